//! The frame of a request, and the percent-encoding of header values.

use std::time::Duration;

use schemas::frame::{decode, encode, request_type};
use schemas::{Action, Attempt, Epoch, Frame};

pub(crate) fn frame() -> Frame {
    Frame {
        id: "01938f2e-8a11-7000-8000-000000000001".parse().unwrap(),
        source: "/runner/w ä1".into(),
        group: "cfg".parse().unwrap(),
        key: "01938f2e-7b7c-7d10-9c7e-0a4f5b6c7d8e:/do/2/each[4]/do/0/a%5Bb#1".parse().unwrap(),
        attempt: Attempt(2),
        epoch: Epoch(12),
        act_within: Duration::from_millis(15_500),
        expires: "2026-11-25T02:12:31.250Z".parse().unwrap(),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    }
}

fn headers() -> Vec<(String, String)> {
    frame().to_headers(Action::DisableAccess)
}

fn read(headers: &[(String, String)]) -> Result<Frame, schemas::frame::BadFrame> {
    Frame::from_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

#[test]
fn round_trips_in_any_case() {
    assert_eq!(read(&headers()), Ok(frame()));
    for (name, value) in headers() {
        assert_eq!(name, name.to_lowercase());
        assert!(value.bytes().all(|b| (0x21..=0x7e).contains(&b)), "{name}: {value}");
    }
    let upper: Vec<_> = headers().into_iter().map(|(name, value)| (name.to_uppercase(), value)).collect();
    assert_eq!(read(&upper), Ok(frame()));
    let without = Frame { traceparent: None, ..frame() };
    assert_eq!(read(&without.to_headers(Action::Point)), Ok(without));
}

#[test]
fn the_type_names_service_and_action() {
    assert_eq!(request_type(Action::StartReplication), "io.pointsman.replication.start.v1");
    let kind = headers().into_iter().find(|(name, _)| name == "ce-type").unwrap().1;
    assert_eq!(kind, "io.pointsman.database.disable-access.v1");
}

/// Each header that is needed is missed, and each bad value is refused under its header's name.
#[test]
fn bad_headers_are_named() {
    let needed = [
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-group",
        "ce-runid",
        "ce-stepid",
        "ce-attempt",
        "ce-epoch",
        "ce-idempotencykey",
        "ce-actwithin",
        "ce-expirytime",
    ];
    for name in needed {
        let left: Vec<_> = headers().into_iter().filter(|(n, _)| n != name).collect();
        let error = read(&left).unwrap_err();
        assert_eq!((error.header.as_str(), error.why.as_str()), (name, "is missing"));
    }
    for (name, value) in [
        ("ce-specversion", "0.3"),
        ("ce-id", "7"),
        ("ce-source", "%FF"),
        ("ce-source", "%C3"),
        ("ce-group", "Cfg"),
        ("ce-runid", "01938f2e-7b7c-7d10-9c7e-0a4f5b6c7d8f"),
        ("ce-stepid", "/do/1"),
        ("ce-attempt", "0"),
        ("ce-attempt", "-1"),
        ("ce-attempt", "4294967296"),
        ("ce-epoch", "x"),
        ("ce-epoch", "18446744073709551616"),
        ("ce-idempotencykey", "/do/1"),
        ("ce-actwithin", "15s"),
        ("ce-actwithin", "P2000D"),
        ("ce-expirytime", "tomorrow"),
    ] {
        let mut changed = headers();
        changed.iter_mut().find(|(n, _)| n == name).unwrap().1 = value.into();
        assert_eq!(read(&changed).unwrap_err().header, name, "{value}");
    }
    let mut twice = headers();
    twice.push(("CE-Epoch".into(), "13".into()));
    assert_eq!(read(&twice).unwrap_err().header, "ce-epoch");
}

#[test]
fn a_malformed_trace_is_dropped() {
    for trace in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    ] {
        let mut changed = headers();
        changed.iter_mut().find(|(n, _)| n == "traceparent").unwrap().1 = trace.into();
        assert_eq!(read(&changed), Ok(Frame { traceparent: None, ..frame() }), "{trace}");
    }
}

#[test]
fn percent_encoding() {
    for (plain, coded) in [
        ("", ""),
        ("/do/0/a#1", "/do/0/a#1"),
        ("a b", "a%20b"),
        ("\"", "%22"),
        ("100%", "100%25"),
        ("%41", "%2541"),
        ("é\u{1F600}", "%C3%A9%F0%9F%98%80"),
        ("\n\t\u{7f}", "%0A%09%7F"),
        ("~!", "~!"),
    ] {
        assert_eq!(encode(plain), coded);
        assert_eq!(decode(coded), Ok(plain.to_owned()));
    }
    for (coded, plain) in [
        ("%c3%a9", "é"),
        ("\"a b\"", "a b"),
        (r#""a\"b\\c""#, r#"a"b\c"#),
        ("%2541", "%41"),
        ("a\\b", "a\\b"),
        ("\"", "\""),
    ] {
        assert_eq!(decode(coded), Ok(plain.to_owned()), "{coded}");
    }
    for bad in ["%", "%4", "%GG", "%+1", "%-1", "%é", "a%", "%FF", "%C3", "%ED%A0%80", "\"a\\\""] {
        assert!(decode(bad).is_err(), "took `{bad}`");
    }
}
