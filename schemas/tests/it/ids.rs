//! Names, keys, digests and codes: what is taken, what is not, and that both ways agree.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use schemas::{
    Action, Address, Code, Digest, GroupId, Key, KindId, PersonId, Position, ResourceId, RunId, Service,
    SiteId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Each good text comes back as it was, as text and as JSON; each bad one is refused by both.
fn check<T>(good: &[&str], bad: &[&str])
where
    T: FromStr + Display + Serialize + DeserializeOwned + PartialEq + Debug + schemars::JsonSchema,
    T::Err: Debug,
{
    let schema = jsonschema::validator_for(&serde_json::to_value(schemars::schema_for!(T)).unwrap()).unwrap();
    for text in good {
        let value: T = text.parse().unwrap();
        assert_eq!(value.to_string(), *text);
        assert_eq!(serde_json::to_value(&value).unwrap(), json!(text));
        assert_eq!(serde_json::from_value::<T>(json!(text)).unwrap(), value);
        assert!(schema.is_valid(&json!(text)), "the schema refuses `{text}`");
    }
    for text in bad {
        assert!(text.parse::<T>().is_err(), "took `{text}`");
        assert!(serde_json::from_value::<T>(json!(text)).is_err(), "took `{text}` as JSON");
        assert!(!schema.is_valid(&json!(text)), "the schema takes `{text}`");
    }
    for other in [json!(1), json!(null), json!([]), json!({})] {
        assert!(serde_json::from_value::<T>(other).is_err());
    }
}

const LONG: &str = "a23456789-123456789-123456789-123456789-123456789-123456789-123";
const RUN: &str = "01938f2e-7b7c-7d10-9c7e-0a4f5b6c7d8e";

#[test]
fn names() {
    let good = ["a", "0", "cfg", "cfg-config", "a-", LONG];
    let long = format!("{LONG}4");
    let bad = ["", "-a", "A", "a.b", "a b", "a_b", "a*", ">", "é", "a\n", " a", long.as_str()];
    check::<GroupId>(&good, &bad);
    check::<ResourceId>(&good, &bad);
    check::<PersonId>(&good, &bad);
    check::<KindId>(&good, &bad);
    check::<SiteId>(&good, &bad);
    check::<SiteId>(&["main", "witness", "runners", "events"], &["runner", "event"]);
    check::<ResourceId>(&["runner", "event"], &[]);
}

#[test]
fn positions_and_keys() {
    let long = format!("/{}", "a".repeat(511));
    let longer = format!("/{}", "a".repeat(512));
    let good = ["/", "/do/2/each[4]/do/0/act#1", "/do/0/close#1!undo", "/do/0/a%5Bb:c~1d", long.as_str()];
    let bad = ["", "do/0", "/do 0", "/dö", "/do\"", "/a\n", longer.as_str()];
    check::<Position>(&good, &bad);
    let key = |position: &str| format!("{RUN}:{position}");
    let good: Vec<String> = good.iter().map(|p| key(p)).collect();
    let mut bad: Vec<String> = bad.iter().map(|p| key(p)).collect();
    bad.extend(["", RUN, "/do/0", "x:/do/0"].map(String::from));
    let texts = |list: &[String]| -> Vec<&'static str> {
        list.iter().map(|s| &*Box::leak(s.clone().into_boxed_str())).collect()
    };
    check::<Key>(&texts(&good), &texts(&bad));
}

#[test]
fn digests() {
    let digest = Digest::of(b"abc").to_string();
    assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let upper = digest.to_uppercase();
    let signed = format!("+a{}", &digest[2..]);
    check::<Digest>(&[&digest], &["", "ba78", &digest[1..], &upper, &signed]);
}

#[test]
fn a_request_s_digest_is_that_of_its_meaning() {
    let address = |resource: &str| Address {
        site: "main".parse().unwrap(),
        service: Service::Process,
        resource: resource.parse().unwrap(),
    };
    let of = |address: &Address, action, text: &str| {
        Digest::of_request(address, action, &serde_json::from_str::<Value>(text).unwrap())
    };
    let here = address("a");
    let one = of(&here, Action::StartProcess, r#"{"a": 1, "b": {"c": 2, "d": 3}}"#);
    assert_eq!(one, of(&here, Action::StartProcess, r#"{"b":{"d":3,"c":2},"a":1}"#));
    assert_ne!(one, of(&here, Action::StartProcess, r#"{"a": 1, "b": {"c": 2, "d": 4}}"#));
    assert_ne!(one, of(&here, Action::StopProcess, r#"{"a": 1, "b": {"c": 2, "d": 3}}"#));
    assert_ne!(one, of(&address("b"), Action::StartProcess, r#"{"a": 1, "b": {"c": 2, "d": 3}}"#));
}

#[test]
fn a_run_s_short_id_is_its_end() {
    let run: RunId = RUN.parse().unwrap();
    assert_eq!(run.short(4), "7d8e");
    assert_eq!(run.short(99).len(), 32);
}

#[test]
fn codes_are_unique_and_explained() {
    let mut texts = BTreeSet::new();
    for code in Code::ALL {
        let text = code.as_str();
        assert!(texts.insert(text), "`{text}` stands there twice");
        assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "`{text}`");
        assert_eq!(text.parse::<Code>(), Ok(*code));
        assert_eq!(serde_json::to_value(code).unwrap(), json!(text));
        assert!((400..600).contains(&code.status()), "{text}: {}", code.status());
        for sentence in [code.title(), code.cause(), code.remedy()] {
            assert!(sentence.ends_with('.'), "{text}: {sentence}");
        }
    }
    assert!("no-such-code".parse::<Code>().is_err());
}

#[test]
fn each_action_is_found_by_its_service_and_text() {
    let mut kinds = BTreeSet::new();
    for action in Action::ALL {
        assert_eq!(Action::of(action.service(), action.as_str()), Some(*action));
        assert!(kinds.insert(schemas::frame::request_type(*action)));
        for service in Service::ALL.iter().filter(|service| **service != action.service()) {
            assert_ne!(Action::of(*service, action.as_str()), Some(*action));
        }
    }
    assert_eq!("dns".parse(), Ok(Service::Dns));
    assert!("DNS".parse::<Service>().is_err());
}
