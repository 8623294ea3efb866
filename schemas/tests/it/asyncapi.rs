//! The AsyncAPI 3.0 document against the types. The rules checked are those of the specification's text
//! that this document can break; its official schema is not at hand.

use std::collections::BTreeSet;

use schemas::{Action, Address, Prefix, RunId, Service, Verb};
use serde_json::Value;

use crate::files::{folder, json, names};
use crate::messages::verbs;

fn document() -> Value {
    let text = std::fs::read_to_string(folder().join("asyncapi.yaml")).unwrap();
    document::Document::parse(&text, "asyncapi.yaml").unwrap().value().clone()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// The members of `value` are among `allowed`, all of `needed` are there; `x-` extensions pass.
fn members(what: &str, value: &Value, needed: &[&str], allowed: &[&str]) {
    let found = keys(value);
    for key in needed {
        assert!(found.contains(key), "{what} has no {key}");
    }
    for key in found {
        assert!(
            needed.contains(&key) || allowed.contains(&key) || key.starts_with("x-"),
            "{what} has `{key}`"
        );
    }
}

/// What a reference stands for: a place in the document, or a JSON file beside it.
fn resolve<'a>(document: &'a Value, reference: &str) -> std::borrow::Cow<'a, Value> {
    use std::borrow::Cow::{Borrowed, Owned};
    match reference.strip_prefix('#') {
        Some(pointer) => {
            Borrowed(document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")))
        }
        None => Owned(json(&folder().join(reference))),
    }
}

fn reference(value: &Value) -> &str {
    assert_eq!(keys(value), BTreeSet::from(["$ref"]), "{value} is no plain reference");
    value["$ref"].as_str().unwrap()
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => found.push(text),
                    value => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn its_frame_is_that_of_asyncapi_3() {
    let document = document();
    members(
        "the document",
        &document,
        &["asyncapi", "info", "channels", "operations", "components"],
        &["id", "servers", "defaultContentType"],
    );
    assert_eq!(document["asyncapi"], "3.0.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    members("info", &document["info"], &["title", "version"], &["description", "license", "contact", "tags"]);
    for server in document["servers"].as_object().unwrap().values() {
        members("a server", server, &["host", "protocol"], &["description", "title", "bindings"]);
        assert_eq!(server["protocol"], "nats");
    }
    let components = &document["components"];
    members("components", components, &["parameters", "messages"], &["schemas"]);
    for map in
        [&document["channels"], &document["operations"], &components["parameters"], &components["messages"]]
    {
        for key in keys(map) {
            let good = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
            assert!(!key.is_empty() && key.bytes().all(good), "`{key}` is no key");
        }
    }
    for (name, parameter) in components["parameters"].as_object().unwrap() {
        members(name, parameter, &["description"], &["enum", "default", "examples", "location"]);
    }
    let enumeration = |name: &str| -> BTreeSet<String> {
        serde_json::from_value(components["parameters"][name]["enum"].clone()).unwrap()
    };
    assert_eq!(enumeration("verb"), verbs());
    assert_eq!(enumeration("service"), Service::ALL.iter().map(Service::to_string).collect());
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_used() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in &found {
        resolve(&document, reference);
    }
    let found: BTreeSet<&str> = found.into_iter().collect();
    for part in ["parameters", "messages"] {
        for name in keys(&document["components"][part]) {
            assert!(
                found.contains(format!("#/components/{part}/{name}").as_str()),
                "{name} of {part} is not used"
            );
        }
    }
    for folder in ["json", "json/args", "json/output"] {
        for name in names(folder, ".schema.json") {
            assert!(found.contains(format!("./{folder}/{name}.schema.json").as_str()), "{name} is not used");
        }
    }
}

/// Each address that the code builds, with its variable tokens in braces.
fn addresses() -> BTreeSet<String> {
    const RUN: &str = "01938f2e-7b7c-7d10-9c7e-0a4f5b6c7d8e";
    let prefix = Prefix::new("pointsman").unwrap();
    let address = |service| Address {
        site: "a-site".parse().unwrap(),
        service,
        resource: "a-resource".parse().unwrap(),
    };
    let mut built = Vec::new();
    for action in Action::ALL {
        built.push(prefix.request(&address(action.service()), Verb::Act(*action)));
    }
    for verb in [Verb::Observe, Verb::Check, Verb::Claim, Verb::Outcome, Verb::Adopt, Verb::ByHand] {
        for service in Service::ALL {
            let subject = prefix.request(&address(*service), verb);
            built.push(subject.replace(&format!(".{service}."), ".{service}."));
        }
    }
    let run: RunId = RUN.parse().unwrap();
    built.push(prefix.op(&"a-person".parse().unwrap(), "{verb}"));
    built.push(prefix.confirm());
    built.push(prefix.beat());
    built.push(prefix.event_in(&"a-place".parse().unwrap(), &"a-kind".parse().unwrap()));
    built.push(prefix.event_out(&"a-group".parse().unwrap(), Some(&run), &"a-kind".parse().unwrap()));
    let token = |token: &str| match token.strip_prefix("a-") {
        Some(name) => format!("{{{name}}}"),
        None if token == RUN => "{run}".to_owned(),
        None => token.to_owned(),
    };
    built.iter().map(|subject| subject.split('.').map(token).collect::<Vec<_>>().join(".")).collect()
}

#[test]
fn its_channels_are_the_subjects_that_the_code_builds() {
    let document = document();
    let mut found = BTreeSet::new();
    for (name, channel) in document["channels"].as_object().unwrap() {
        members(name, channel, &["address", "messages"], &["description", "parameters", "title", "summary"]);
        for message in channel["messages"].as_object().unwrap().values() {
            assert!(reference(message).starts_with("#/components/messages/"), "{name}");
        }
        let Some(address) = channel["address"].as_str() else {
            assert!(channel["address"].is_null() && name == "inbox", "{name} has no address");
            continue;
        };
        assert!(found.insert(address.to_owned()), "{address} stands there twice");
        let told: BTreeSet<&str> =
            address.split('.').filter_map(|t| t.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(keys(&channel["parameters"]), told, "parameters of {name}");
        for (parameter, value) in channel["parameters"].as_object().into_iter().flatten() {
            assert_eq!(reference(value), format!("#/components/parameters/{parameter}"));
        }
    }
    assert_eq!(found, addresses());
}

/// Each channel has one operation, whose messages are of that channel and whose replies are of the inbox.
#[test]
fn its_operations() {
    let document = document();
    let mut served = BTreeSet::new();
    for (name, operation) in document["operations"].as_object().unwrap() {
        members(name, operation, &["action", "channel", "messages"], &["reply", "summary", "description"]);
        assert!(matches!(operation["action"].as_str(), Some("send" | "receive")), "{name}");
        let channel = reference(&operation["channel"]);
        assert!(channel.starts_with("#/channels/") && served.insert(channel), "{name}: {channel}");
        let within = |messages: &Value, channel: &str| {
            let messages = messages.as_array().unwrap();
            assert!(!messages.is_empty(), "{name} has no message");
            for message in messages {
                assert!(reference(message).starts_with(&format!("{channel}/messages/")), "{name}: {message}");
            }
        };
        within(&operation["messages"], channel);
        let answered = operation.get("reply").is_some();
        assert_eq!(answered, !name.starts_with("hear.") && !name.starts_with("tell."), "{name}");
        if answered {
            members(name, &operation["reply"], &["channel", "messages"], &["address"]);
            assert_eq!(reference(&operation["reply"]["channel"]), "#/channels/inbox");
            within(&operation["reply"]["messages"], "#/channels/inbox");
        }
    }
    let channels = keys(&document["channels"]).into_iter().filter(|name| *name != "inbox");
    let channels: Vec<String> = channels.map(|name| format!("#/channels/{name}")).collect();
    assert_eq!(served, channels.iter().map(String::as_str).collect());
}

/// What goes over each channel, and comes back, is what the code sends and reads there.
#[test]
fn its_messages_are_those_of_the_types() {
    let document = document();
    let payload = |message: &Value| {
        let message = resolve(&document, reference(message)).into_owned();
        message.get("payload").map(|payload| reference(payload).to_owned())
    };
    let check = |operation: &str, request: Option<&str>, reply: Option<&str>| {
        let operation = &document["operations"][operation];
        let file = |name: &str| format!("./json/{name}.schema.json");
        let sent = resolve(&document, reference(&operation["messages"][0])).into_owned();
        assert_eq!(payload(&sent), request.map(file), "{operation}");
        let answered = &operation["reply"]["messages"][0];
        let answered = answered.get("$ref").map(|r| resolve(&document, r.as_str().unwrap()).into_owned());
        assert_eq!(answered.and_then(|m| payload(&m)), reply.map(file), "{operation}");
    };
    for action in Action::ALL {
        check(&format!("ask.{action}"), Some(&format!("args/{action}")), Some("reply"));
        let output = reference(&document["operations"][format!("ask.{action}")]["x-output"]);
        assert_eq!(output, format!("./json/output/{action}.schema.json"));
        let message = &document["components"]["messages"][action.to_string()];
        assert_eq!(reference(&message["headers"]), "./json/frame.schema.json");
    }
    check("ask.observe", None, Some("observation"));
    check("ask.check", None, Some("check-reply"));
    check("ask.claim", Some("claim-request"), Some("claim-reply"));
    check("ask.outcome", Some("outcome-request"), Some("reply"));
    check("ask.adopt", Some("adopt-request"), Some("claim-reply"));
    check("ask.by-hand", Some("by-hand-request"), Some("by-hand-reply"));
    check("answer.op", Some("op-request"), Some("op-reply"));
    check("answer.confirm", Some("confirm-request"), Some("confirm-reply"));
    check("hear.beat", Some("beat"), None);
    check("hear.event", Some("cloud-event"), None);
    check("tell.event", Some("cloud-event"), None);
}

#[test]
fn its_examples_fit_and_none_is_left_out() {
    let document = document();
    let mut named = BTreeSet::new();
    for (name, message) in document["components"]["messages"].as_object().unwrap() {
        members(name, message, &["name", "title"], &["headers", "payload", "contentType", "x-examples"]);
        assert_eq!(message["name"], name.as_str());
        let Some(payload) = message.get("payload") else { continue };
        let schema = resolve(&document, reference(payload));
        let examples = message["x-examples"].as_array().unwrap_or_else(|| panic!("{name} has no example"));
        for example in examples {
            let path = example.as_str().unwrap();
            let errors: Vec<String> = jsonschema::validator_for(&schema)
                .unwrap()
                .iter_errors(&json(&folder().join(path)))
                .map(|e| e.to_string())
                .collect();
            assert!(errors.is_empty(), "{path} in {name}: {errors:?}");
            named.insert(path.to_owned());
        }
    }
    let mut expected = BTreeSet::new();
    for (folder, skip) in [("examples", "frame"), ("examples/args", "")] {
        let files = names(folder, ".json").into_iter().filter(|name| name != skip);
        expected.extend(files.map(|name| format!("./{folder}/{name}.json")));
    }
    assert_eq!(named, expected);
}
