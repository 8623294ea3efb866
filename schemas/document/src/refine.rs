//! A nearer place for an error of shape.
//!
//! Where serde buffers (internally tagged and untagged enums, `flatten`) an error is known to be
//! somewhere in a mapping. Its message quotes what did not fit; if that stands in one place only,
//! the error stands there.

use crate::{Key, Located, Node, Place};

/// The one place within the value at `place` that the message quotes, else `place` itself.
pub(crate) fn refine(root: &Located, place: Place, message: &str) -> Place {
    // What follows says what was expected, and quotes that.
    let said = message.split(", expected").next().unwrap_or(message);
    let mut found = Vec::new();
    match find(root, &place) {
        Some(within) if matches!(within.node, Node::Map(_) | Node::List(_)) => {
            quoted(within, said, &mut found);
        }
        _ => {}
    }
    match found.as_slice() {
        [one] => one.clone(),
        _ => place,
    }
}

/// The one key of the mapping at `place` that is nearly the field that the message misses, and an advice. What chooses
/// among shapes is missed before anybody could say which keys are unknown.
pub(crate) fn misspelt(root: &Located, place: &Place, message: &str) -> Option<(Place, String)> {
    let (field, _) = message.strip_prefix("missing field `")?.split_once('`')?;
    // Of `bus` one letter, of `driver` two: `dns` is not meant to be `bus`.
    let most = (field.chars().count() / 3).min(2);
    let near = |key: &&Key| (1..=most).contains(&strsim::damerau_levenshtein(&key.name, field));
    let mut keys = find(root, place)?.entries().iter().map(|(key, _)| key).filter(near);
    match (keys.next(), keys.next()) {
        (Some(key), None) => Some((key.place(), format!("is `{}` meant to be `{field}`?", key.name))),
        _ => None,
    }
}

fn find<'a>(here: &'a Located, place: &Place) -> Option<&'a Located> {
    if here.place() == *place {
        return Some(here);
    }
    let below = here.items().iter().chain(here.entries().iter().map(|(_, value)| value));
    below.into_iter().find_map(|value| find(value, place))
}

fn quoted(here: &Located, said: &str, found: &mut Vec<Place>) {
    let has = |text: &str| said.contains(text);
    match &here.node {
        Node::Null => {}
        Node::Bool(flag) if has(&format!("`{flag}`")) => found.push(here.place()),
        Node::Number(number) if has(&format!("`{number}`")) => found.push(here.place()),
        Node::String(text) if has(&format!("`{text}`")) || has(&format!("{text:?}")) => {
            found.push(here.place());
        }
        Node::Bool(_) | Node::Number(_) | Node::String(_) => {}
        Node::List(items) => items.iter().for_each(|item| quoted(item, said, found)),
        Node::Map(entries) => {
            for (key, value) in entries {
                if has(&format!("unknown field `{}`", key.name)) {
                    found.push(key.place());
                } else {
                    quoted(value, said, found);
                }
            }
        }
    }
}
