//! YAML and JSON documents read strictly, with line and column of everything.
//!
//! One function reads a text: [`Document::parse`]. What comes out is a plain JSON value beside a
//! tree that knows where each key and value stands, so that whatever is found wrong later can
//! still name line and column.
//!
//! Strict means: no YAML 1.1 (`on`, `no` and `010` stay strings), no merge keys, no duplicate
//! keys, no tags but those of the core schema, one document, and bounds on size, depth and
//! aliases. Nothing is skipped or guessed.

mod codes;
mod de;
mod diagnostic;
mod limits;
mod pointer;
mod read;
mod refine;
mod tree;

pub use codes::{CODES, CodeText};
pub use diagnostic::{Diagnostic, Diagnostics, Place};
pub use limits::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
pub use pointer::{escape, parent};
pub use tree::{Key, Located, Node};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// One file that was read: its text, its value, and where everything stands.
#[derive(Debug, Clone)]
pub struct Document {
    path: String,
    text: String,
    root: Located,
    value: Value,
}

impl Document {
    /// Reads one YAML or JSON document; a `path` that ends in `.json` must be JSON.
    ///
    /// `path` is used for messages only; no file is opened. The same text gives the same
    /// result.
    ///
    /// # Errors
    ///
    /// One diagnostic for the first error of syntax, or one for each duplicate key and each
    /// number that would lose digits. The codes are those of [`CODES`].
    pub fn parse(text: &str, path: &str) -> Result<Self, Diagnostics> {
        let root = read::read(text, path)?;
        let value = root.to_value();
        Ok(Self { path: path.to_owned(), text: text.to_owned(), root, value })
    }

    /// The path that was given to [`Document::parse`].
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The document as a plain value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The document as a tree with positions; keys keep the order of the file.
    pub fn root(&self) -> &Located {
        &self.root
    }

    /// Where the value at this JSON pointer (RFC 6901) stands.
    pub fn place(&self, pointer: &str) -> Option<Place> {
        self.root.at(pointer).map(Located::place)
    }

    /// Where the key of the value at this JSON pointer stands; list items have none.
    pub fn key_place(&self, pointer: &str) -> Option<Place> {
        self.root.key_at(pointer).map(Key::place)
    }

    /// A diagnostic at the value of this pointer, or of its nearest ancestor that exists.
    pub fn error(&self, pointer: &str, code: impl Into<String>, message: impl Into<String>) -> Diagnostic {
        let mut at = Some(pointer);
        let place = std::iter::from_fn(|| {
            let this = at?;
            at = pointer::parent(this);
            Some(this)
        })
        .find_map(|this| self.place(this));
        Diagnostic { code: code.into(), message: message.into(), path: self.path.clone(), place, help: None }
    }

    /// A diagnostic at the key of this pointer; at the value where there is no key.
    pub fn key_error(
        &self,
        pointer: &str,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Diagnostic {
        let mut diagnostic = self.error(pointer, code, message);
        if let Some(place) = self.key_place(pointer) {
            diagnostic.place = Some(place);
        }
        diagnostic
    }

    /// The document as a type; the error stands where the type did not fit.
    ///
    /// Inside `flatten` and untagged or internally tagged enums, where serde forgets places, it
    /// is the one place that the message quotes, or else the whole enclosing value.
    ///
    /// # Errors
    ///
    /// `document-shape`: one diagnostic, the first mismatch in the order of the file.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, Diagnostics> {
        self.root.typed(&self.path)
    }
}
