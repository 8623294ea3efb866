//! CloudEvents as NATS messages, in both modes.

use schemas::{CloudEvent, MESSAGE_MAX};
use serde_json::{Value, json};

const STRUCTURED: (&str, &str) = ("Content-Type", "application/cloudevents+json; charset=utf-8");

fn structured(value: &Value) -> Result<CloudEvent, String> {
    CloudEvent::read([STRUCTURED], value.to_string().as_bytes()).map_err(|e| e.to_string())
}

fn binary(more: &[(&str, &str)], body: &[u8]) -> Result<CloudEvent, String> {
    let least = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t.v1")];
    CloudEvent::read(least.iter().chain(more).copied(), body).map_err(|e| e.to_string())
}

fn least() -> Value {
    json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t.v1"})
}

fn with(name: &str, value: Value) -> Value {
    let mut event = least();
    event[name] = value;
    event
}

#[test]
fn both_modes_say_the_same() {
    let text = json!({
        "specversion": "1.0", "id": "a 1", "source": "/prober/ä", "type": "io.pointsman.site.lost.v1",
        "subject": "main", "time": "2026-11-25T02:06:41.5Z", "datacontenttype": "application/json",
        "data": {"site": "main"}, "severity": "critical", "sequence": "0007",
    });
    let one = structured(&text).unwrap();
    assert_eq!(one.extensions.get("severity"), Some(&json!("critical")));
    let headers = [
        ("CE-SpecVersion", "1.0"),
        ("ce-id", "a%201"),
        ("ce-source", "/prober/%c3%A4"),
        ("ce-type", "io.pointsman.site.lost.v1"),
        ("ce-subject", "\"main\""),
        ("ce-time", "2026-11-25T02:06:41.5Z"),
        ("ce-datacontenttype", "application/json"),
        ("ce-severity", "critical"),
        ("ce-sequence", "0007"),
        ("Nats-Msg-Id", "x"),
    ];
    assert_eq!(CloudEvent::read(headers, br#"{"site":"main"}"#), Ok(one.clone()));
    assert_eq!(CloudEvent::read([], text.to_string().as_bytes()), Ok(one.clone()), "published by hand");
    let again = serde_json::to_value(&one).unwrap();
    assert_eq!(structured(&again).unwrap(), one);
}

#[test]
fn null_is_absent() {
    let plain = structured(&least()).unwrap();
    for name in ["subject", "time", "datacontenttype", "data", "data_base64", "anything"] {
        assert_eq!(structured(&with(name, Value::Null)).unwrap(), plain, "{name}");
    }
    assert_eq!(serde_json::to_value(&plain).unwrap(), least());
    for name in ["specversion", "id", "source", "type"] {
        assert!(structured(&with(name, Value::Null)).unwrap_err().contains(name));
    }
}

#[test]
fn data_of_any_kind() {
    let event = structured(&with("data_base64", json!("/wA="))).unwrap();
    assert_eq!((event.data, event.data_base64.as_deref()), (Value::Null, Some("/wA=")));
    let mut both = with("data_base64", json!("/wA="));
    both["data"] = json!(1);
    assert!(structured(&both).unwrap_err().contains("both"));

    let kind = |kind: &'static str| [("ce-datacontenttype", kind)];
    assert_eq!(binary(&[], b"[1]").unwrap().data, json!([1]));
    assert_eq!(binary(&[], b"").unwrap().data, Value::Null);
    assert_eq!(binary(&kind("application/problem+json"), b"{}").unwrap().data, json!({}));
    assert_eq!(binary(&kind("Application/JSON; charset=utf-8"), b"1").unwrap().data, json!(1));
    assert_eq!(binary(&kind("text/plain"), "ä".as_bytes()).unwrap().data, json!("ä"));
    for (bytes, text) in [
        (b"\xff".as_slice(), "/w=="),
        (b"\xff\x00", "/wA="),
        (b"\xff\x00\x01", "/wAB"),
        (b"\xfb\xef\xbe\xff", "++++/w=="),
    ] {
        for kind in [kind("text/plain"), kind("application/octet-stream")] {
            let event = binary(&kind, bytes).unwrap();
            assert_eq!((event.data, event.data_base64.as_deref()), (Value::Null, Some(text)));
        }
    }
    assert!(binary(&[], b"\xff").unwrap_err().contains("no JSON"));
    let sneaked = binary(&[("ce-data", "x"), ("ce-data_base64", "y")], b"1").unwrap();
    assert_eq!((sneaked.data, sneaked.data_base64), (json!(1), None));
}

#[test]
fn extensions_of_any_kind_are_kept() {
    for value in [json!("x"), json!(7), json!(true), json!({"a": 1})] {
        let event = structured(&with("comexampleother", value.clone())).unwrap();
        assert_eq!(event.extensions.get("comexampleother"), Some(&value));
        assert_eq!(serde_json::to_value(&event).unwrap()["comexampleother"], value);
    }
    assert_eq!(binary(&[("ce-runid", "a%25b")], b"").unwrap().extensions["runid"], json!("a%b"));
}

#[test]
fn what_is_no_event() {
    for (name, value) in [
        ("specversion", json!("0.3")),
        ("specversion", json!(1.0)),
        ("id", json!("")),
        ("id", json!(7)),
        ("source", json!("")),
        ("type", json!("")),
        ("time", json!("yesterday")),
        ("subject", json!(1)),
        ("data_base64", json!(1)),
    ] {
        assert!(structured(&with(name, value.clone())).is_err(), "took {name} = {value}");
    }
    for body in ["", "x", "[]", "{}", "1", "null"] {
        assert!(CloudEvent::read([], body.as_bytes()).is_err(), "took `{body}`");
        assert!(CloudEvent::read([STRUCTURED], body.as_bytes()).is_err(), "took `{body}`");
    }
    assert!(CloudEvent::read([("content-type", "application/cloudevents-batch+json")], b"[]").is_err());
    assert!(CloudEvent::read([("ce-specversion", "1.0")], b"{}").is_err());
    for bad in ["%FF", "%C3", "%", "%ZZ"] {
        assert!(binary(&[("ce-subject", bad)], b"").unwrap_err().contains("ce-subject"), "took `{bad}`");
    }
    assert!(binary(&[("Ce-Id", "2")], b"").unwrap_err().contains("twice"));
    assert!(structured(&with("data", json!("x".repeat(MESSAGE_MAX)))).unwrap_err().contains("bytes"));
    let mut bytes = least().to_string().into_bytes();
    bytes[20] = 0xff;
    assert!(CloudEvent::read([STRUCTURED], &bytes).is_err(), "took bytes that are not UTF-8");
}
