//! Plain paths (`.a.b`, `$x.a.b`) without jq: the same value, or no answer at all.

use serde_json::Value;

/// A plain path: a variable or the input, and names of members.
struct Path<'s> {
    variable: Option<&'s str>,
    members: Vec<&'s str>,
}

/// Whether a source is a plain path: `.`, `.a.b`, `$x`, `$x.a.b`, with identifiers only.
///
/// Its value is then mostly to be had without jq ([`plain`]).
pub fn is_plain(source: &str) -> bool {
    parse(source).is_some()
}

/// The value of a plain path, where jq would give the same without fail; else nothing.
///
/// Only identifiers over objects and null, which is all that the grammar and the meaning of jq
/// leave no doubt about. Everything else is jq's, errors included.
pub fn plain(source: &str, vars: &[(&str, &Value)], input: &Value) -> Option<Value> {
    let path = parse(source)?;
    let mut at = match path.variable {
        Some(name) => vars.iter().rev().find(|(n, _)| *n == name)?.1,
        None => input,
    };
    let null = Value::Null;
    for name in path.members {
        at = match at {
            Value::Object(members) => members.get(name).unwrap_or(&null),
            Value::Null => &null,
            _ => return None,
        };
    }
    Some(at.clone())
}

fn parse(source: &str) -> Option<Path<'_>> {
    let source = source.trim();
    let (variable, rest) = match source.strip_prefix('$') {
        Some(rest) => {
            let (name, rest) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
            (Some(name).filter(|n| identifier(n)), rest)
        }
        None if source == "." => (None, ""),
        None if source.starts_with('.') => (None, source),
        None => return None,
    };
    if source.starts_with('$') && variable.is_none() {
        return None;
    }
    let members: Vec<&str> = rest.split('.').skip(1).collect();
    members.iter().all(|name| identifier(name)).then_some(Path { variable, members })
}

fn identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
