//! The document as a tree in which everything has a place.

use crate::refine::{misspelt, refine};
use crate::{Diagnostic, Diagnostics, Place, codes, de, pointer};
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use std::ops::Range;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the text. Of a list or mapping: from its beginning to the end of its last item.
    pub span: Range<usize>,
    /// The value itself.
    pub node: Node,
}

/// The kinds of value that JSON has.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Null, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A text.
    String(String),
    /// A list, in order.
    List(Vec<Located>),
    /// A mapping, in the order of the file; no key is there twice.
    Map(Vec<(Key, Located)>),
}

/// A key of a mapping and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key itself.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the text.
    pub span: Range<usize>,
}

impl Key {
    /// Where the key stands.
    pub fn place(&self) -> Place {
        Place { line: self.line, column: self.column, span: self.span.clone() }
    }
}

impl Located {
    /// Where the value stands.
    pub fn place(&self) -> Place {
        Place { line: self.line, column: self.column, span: self.span.clone() }
    }

    /// The value below this one at a JSON pointer (RFC 6901).
    pub fn at(&self, pointer: &str) -> Option<&Located> {
        pointer::tokens(pointer)?.try_fold(self, |here, token| here.child(&token))
    }

    /// The key of the value below this one at a JSON pointer; list items have none.
    pub fn key_at(&self, pointer: &str) -> Option<&Key> {
        let above = self.at(pointer::parent(pointer)?)?;
        let name = pointer::tokens(pointer)?.last()?;
        let Node::Map(entries) = &above.node else {
            return None;
        };
        entries.iter().map(|(key, _)| key).find(|key| key.name == name)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Located> {
        self.entries().iter().find(|(k, _)| k.name == key).map(|(_, value)| value)
    }

    /// The entries of a mapping; nothing for any other value.
    pub fn entries(&self) -> &[(Key, Located)] {
        match &self.node {
            Node::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; nothing for any other value.
    pub fn items(&self) -> &[Located] {
        match &self.node {
            Node::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.node {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The same without an entry of this mapping; places stay.
    #[must_use]
    pub fn without(&self, key: &str) -> Located {
        let mut rest = self.clone();
        if let Node::Map(entries) = &mut rest.node {
            entries.retain(|(its, _)| its.name != key);
        }
        rest
    }

    /// The value without places.
    pub fn to_value(&self) -> Value {
        match &self.node {
            Node::Null => Value::Null,
            Node::Bool(flag) => Value::Bool(*flag),
            Node::Number(number) => Value::Number(number.clone()),
            Node::String(text) => Value::String(text.clone()),
            Node::List(items) => Value::Array(items.iter().map(Located::to_value).collect()),
            Node::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.name.clone(), value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// This part of a document as a type; `path` is the file's, for the message.
    ///
    /// # Errors
    ///
    /// `document-shape`, as in [`crate::Document::typed`].
    pub fn typed<T: DeserializeOwned>(&self, path: &str) -> Result<T, Diagnostics> {
        T::deserialize(self).map_err(|error: de::ShapeError| {
            let place = error.place.unwrap_or_else(|| self.place());
            let (place, help) = match misspelt(self, &place, &error.message) {
                Some((place, help)) => (place, Some(help)),
                None => (refine(self, place, &error.message), None),
            };
            Diagnostics(vec![Diagnostic {
                code: codes::SHAPE.to_owned(),
                message: error.message,
                path: path.to_owned(),
                place: Some(place),
                help,
            }])
        })
    }

    fn child(&self, token: &str) -> Option<&Located> {
        match &self.node {
            Node::Map(_) => self.get(token),
            Node::List(items) => {
                let canonical = token == "0" || !token.starts_with(['0', '+']);
                items.get(token.parse::<usize>().ok().filter(|_| canonical)?)
            }
            _ => None,
        }
    }
}
