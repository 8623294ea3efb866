//! Plain paths (`.a.b`, `$x.a.b`) without jq: the same value, or no answer at all.

use serde_json::Value;

/// The value of a plain path, where jq would give the same without fail; else nothing.
///
/// Only identifiers over objects and null, which is all that the grammar and the meaning of jq
/// leave no doubt about. Everything else is jq's.
pub(crate) fn plain(source: &str, vars: &[(&str, &Value)], input: &Value) -> Option<Value> {
    let source = source.trim();
    if source == "." {
        return Some(input.clone());
    }
    let (mut at, rest) = match source.strip_prefix('$') {
        Some(rest) => {
            let end = rest.find('.').unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let (_, value) = vars.iter().rev().find(|(n, _)| *n == name)?;
            (*value, rest)
        }
        None => (input, source),
    };
    let null = Value::Null;
    for name in rest.split('.').skip(1) {
        let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !identifier {
            return None;
        }
        at = match at {
            Value::Object(members) => members.get(name).unwrap_or(&null),
            Value::Null => &null,
            _ => return None,
        };
    }
    (rest.is_empty() || rest.starts_with('.')).then(|| at.clone())
}
