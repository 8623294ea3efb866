//! A group's file over the defaults, with the place of each value kept.

use document::{Diagnostic, Document, Located, Node};

/// `top` over `base`: mappings are merged key by key, anything else of `top` replaces.
pub(crate) fn over(base: &Located, top: &Located) -> Located {
    let (Node::Map(below), Node::Map(above)) = (&base.node, &top.node) else {
        return top.clone();
    };
    let mut entries = above.clone();
    for (key, value) in &mut entries {
        // An acceptance is one person's word: it is taken whole, never completed from elsewhere.
        let whole = matches!(key.name.as_str(), "unproved" | "one_prober" | "unknown");
        if let Some(under) = base.get(&key.name).filter(|_| !whole) {
            *value = over(under, value);
        }
    }
    entries.extend(below.iter().filter(|(key, _)| top.get(&key.name).is_none()).cloned());
    Located { node: Node::Map(entries), ..top.clone() }
}

/// The files that a group's values come from, to say where a value stands.
pub(crate) struct Files<'a> {
    pub(crate) group: &'a Document,
    pub(crate) defaults: Option<&'a Document>,
}

impl Files<'_> {
    /// A diagnostic at a value: in the group's file, else in the defaults, else where the group's
    /// file would have it.
    pub(crate) fn error(&self, pointer: &str, code: &str, message: impl Into<String>) -> Diagnostic {
        match self.defaults {
            Some(defaults) if self.group.place(pointer).is_none() && defaults.place(pointer).is_some() => {
                defaults.error(pointer, code, message)
            }
            _ => self.group.error(pointer, code, message),
        }
    }

    /// The same at the value's key.
    pub(crate) fn key_error(&self, pointer: &str, code: &str, message: impl Into<String>) -> Diagnostic {
        match self.group.key_place(pointer) {
            Some(_) => self.group.key_error(pointer, code, message),
            None => self.error(pointer, code, message),
        }
    }
}
