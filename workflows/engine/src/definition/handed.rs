//! What is handed to a function, beside what it says that it takes: the names, and the kind of what is written out.

use document::{Key, Located, Node};
use serde_json::{Value, json};

use super::codes;
use super::reader::{At, Reader, join};
use crate::catalog::{AWAIT_CLOSED, AWAIT_FOLLOWED, EXPECT_WRITES};
use crate::schema;

/// What an action takes, as a JSON Schema; none where that is not known.
pub(super) fn of_action(name: &str) -> Option<Value> {
    let site = json!({ "type": "string" });
    Some(match name {
        AWAIT_CLOSED => json!({ "required": ["site"], "properties": { "site": site } }),
        AWAIT_FOLLOWED => {
            json!({ "required": ["site"], "properties": { "site": site, "share": { "type": "integer" } } })
        }
        EXPECT_WRITES => {
            json!({ "required": ["resource", "site"], "properties": { "resource": { "type": "string" }, "site": site } })
        }
        name => {
            let action = schemas::Action::ALL.iter().find(|action| action.to_string() == name)?;
            schemas::args::shape(*action)
        }
    })
}

impl Reader<'_> {
    /// Compares the `with` of the call at `at` with what the function of that name takes. A schema that lists its members
    /// takes no others, unless it says `additionalProperties`.
    pub(super) fn handed(&mut self, name: &str, takes: &Value, at: At<'_>) {
        if self.catalog.is_kept() {
            return;
        }
        let place = join(at.pointer, "with");
        let given: &[(Key, Located)] = match at.value.get("with").map(|with| &with.node) {
            Some(Node::Map(entries)) => entries,
            // That it is no mapping was said already.
            Some(_) => return,
            None => &[],
        };
        let members = takes.get("properties").and_then(Value::as_object);
        let required: Vec<&str> = takes
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let others = takes.get("additionalProperties").is_some_and(|others| *others != Value::Bool(false));
        if let Some(members) = members.filter(|_| !others && takes.get("patternProperties").is_none()) {
            let known = |name: &String| members.contains_key(name) || required.contains(&name.as_str());
            for (key, _) in given.iter().filter(|(key, _)| !known(&key.name)) {
                let all: Vec<&str> = members.keys().map(String::as_str).collect();
                let message = match all.as_slice() {
                    [] => format!("`{name}` takes nothing, and no `{}`", key.name),
                    all => format!("`{name}` takes no `{}`: {}", key.name, all.join(", ")),
                };
                self.key_problem(&join(&place, &key.name), codes::KEY, message);
            }
        }
        for missing in required.iter().filter(|name| !given.iter().any(|(key, _)| key.name == **name)) {
            let place = if given.is_empty() { at.pointer } else { place.as_str() };
            self.problem(place, codes::KEY, format!("`{name}` needs `{missing}` in `with`"));
        }
        for (key, value) in given.iter().filter(|(_, value)| is_written_out(value)) {
            let Some(wanted) = members.and_then(|members| members.get(&key.name)) else { continue };
            let wanted = alone(takes, wanted);
            let what = format!("`{}` that is handed to `{name}`", key.name);
            // What is wrong with the schema itself is said where it stands.
            if schema::check(&wanted).is_ok()
                && let Err(error) = schema::validate(Some(&wanted), &value.to_value(), &what)
            {
                self.problem(&join(&place, &key.name), codes::SHAPE, error.detail.unwrap_or_default());
            }
        }
    }
}

/// Whether no part of a value is an expression.
fn is_written_out(value: &Located) -> bool {
    match &value.node {
        Node::String(text) => expressions::strict(text).is_none(),
        Node::List(items) => items.iter().all(is_written_out),
        Node::Map(entries) => entries.iter().all(|(_, value)| is_written_out(value)),
        Node::Null | Node::Bool(_) | Node::Number(_) => true,
    }
}

/// A part of a schema, with what the whole defines for its parts.
fn alone(whole: &Value, part: &Value) -> Value {
    let mut part = part.clone();
    if let (Some(part), Some(definitions)) = (part.as_object_mut(), whole.get("$defs")) {
        part.entry("$defs").or_insert_with(|| definitions.clone());
    }
    part
}
