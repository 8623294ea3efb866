//! ISO 8601 durations.

use std::time::Duration;

use schemas::OutcomeRequest;
use schemas::duration::{PATTERN, format_iso, parse_iso};
use serde_json::json;

#[test]
fn good_and_bad() {
    let second = 1000;
    for (text, millis) in [
        ("PT0S", 0),
        ("PT15S", 15 * second),
        ("PT0.5S", 500),
        ("PT0.0005S", 0),
        ("PT1.123456789S", 1123),
        ("PT1M30S", 90 * second),
        ("PT1H", 3600 * second),
        ("P1D", 86_400 * second),
        ("P1W", 604_800 * second),
        ("P1DT1H1M1S", 90_061 * second),
        ("PT90M", 5400 * second),
        ("P1000D", 86_400_000 * second),
    ] {
        assert_eq!(parse_iso(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    let schema = jsonschema::validator_for(&json!({"pattern": PATTERN})).unwrap();
    for text in [
        "",
        "P",
        "PT",
        "T1S",
        "1S",
        "PT1",
        "PTS",
        "PT.5S",
        "PT1.S",
        "PT0.5M",
        "PT1S1M",
        "PT1M1M",
        "P1H",
        "PT1D",
        "P1Y",
        "P1M",
        "-PT1S",
        "PT-1S",
        "PT+1S",
        "pt1s",
        "PT1s",
        " PT1S",
        "PT1S ",
        "PT1,5S",
        "P1DT",
        "PTé",
        "PT1.1234567890S",
    ] {
        assert!(parse_iso(text).is_err(), "took `{text}`");
        assert!(!schema.is_valid(&json!(text)), "the schema takes `{text}`");
    }
    for text in ["P1001D", "PT999999999999H", "P1000DT1S"] {
        assert!(parse_iso(text).is_err(), "took `{text}`");
    }
}

#[test]
fn round_trips_to_the_millisecond() {
    let schema = jsonschema::validator_for(&json!({"pattern": PATTERN})).unwrap();
    for millis in
        [0, 1, 10, 999, 1000, 1001, 59_999, 60_000, 3_600_000, 3_661_007, 86_400_000, 86_400_000_000]
    {
        let duration = Duration::from_millis(millis);
        let text = format_iso(duration);
        assert_eq!(parse_iso(&text), Ok(duration), "{text}");
        assert!(schema.is_valid(&json!(text)), "the schema refuses `{text}`");
    }
    assert_eq!(format_iso(Duration::from_millis(90_500)), "PT1M30.500S");
}

#[test]
fn in_a_message() {
    let request = |wait: &str| {
        serde_json::from_value::<OutcomeRequest>(json!({
            "group": "cfg", "key": "01938f2e-7b7c-7d10-9c7e-0a4f5b6c7d8e:/do/0/a#0",
            "attempt": 1, "epoch": 3, "wait": wait,
        }))
    };
    assert_eq!(request("PT10S").unwrap().wait, Duration::from_secs(10));
    assert!(request("10s").unwrap_err().to_string().contains("PT15S"), "says what it should look like");
}
