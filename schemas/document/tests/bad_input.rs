//! Bad documents: each is refused with a code and a place, and none costs more than a bound.
#![expect(clippy::unwrap_used, reason = "tests")]

use document::{CODES, Document, MAX_BYTES};
use std::time::{Duration, Instant};

/// (text, what `path:line:col: code: message` must begin with)
const BAD: &[(&str, &str)] = &[
    ("", "f.yaml: document-empty: "),
    ("# only a comment\n", "f.yaml: document-empty: "),
    ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: document-duplicate-key: the key `a` is already on line 1"),
    ("{\"a\": 1, \"a\": 2}", "f.yaml:1:10: document-duplicate-key: "),
    ("a: 1\n\tb: 2\n", "f.yaml:1:4: document-syntax: "),
    ("a:\n\tb: 2\n", "f.yaml:2:"),
    ("a: \"x\0y\"\n", "f.yaml:1:6: document-syntax: the text holds a NUL byte"),
    ("a: &x 1\nb:\n  <<: *x\n", "f.yaml:3:3: document-merge-key: "),
    ("a: !secret x\n", "f.yaml:1:12: document-tag: "),
    ("a: !!python/object x\n", "f.yaml:1:20: document-tag: "),
    ("a: !!set {x}\n", "f.yaml:1:10: document-tag: "),
    ("a: *nowhere\n", "f.yaml:1:4: document-alias: "),
    ("a: &a [*a]\n", "f.yaml:1:"),
    ("a: 1\n---\nb: 2\n", "f.yaml:"),
    ("a: .inf\n", "f.yaml:1:4: document-number: "),
    ("a: .nan\n", "f.yaml:1:4: document-number: "),
    ("a: 1e400\n", "f.yaml:1:4: document-number: "),
    ("a: 123456789012345678901234567890\n", "f.yaml:1:4: document-number: "),
    ("true: 1\n", "f.yaml:1:1: document-key: "),
    ("12: 1\n", "f.yaml:1:1: document-key: "),
    ("~: 1\n", "f.yaml:1:1: document-key: "),
    ("[1, 2]: 1\n", "f.yaml:1:"),
    ("a: [1, 2\n", "f.yaml:1:4: document-syntax: "),
    ("a: 'x\n", "f.yaml:"),
    ("a: b: c\n", "f.yaml:1:"),
    ("- a\nb: 1\n", "f.yaml:2:"),
    ("a: \"\\q\"\n", "f.yaml:1:"),
    ("%YAML 1.1\n---\n%\n", "f.yaml:"),
];

#[test]
fn each_bad_text_is_refused_with_its_code_and_place() {
    let mut wrong = Vec::new();
    for (text, begin) in BAD {
        let found = match Document::parse(text, "f.yaml") {
            Ok(document) => panic!("{text:?} was read as {}", document.value()),
            Err(found) => found,
        };
        let line = found.to_string();
        if !line.starts_with(begin) {
            wrong.push(format!("{text:?} gave {line}"));
        }
        for diagnostic in &found.0 {
            assert!(
                CODES.iter().any(|known| known.code == diagnostic.code),
                "{} is not in the list of codes",
                diagnostic.code
            );
            assert!(!diagnostic.render(text).is_empty());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_duplicate_is_reported_at_once() {
    let found = Document::parse("a: 1\nb: {c: 1, c: 2}\na: 2\n", "f.yaml").unwrap_err();
    assert_eq!(found.0.len(), 2, "{found}");
    assert_eq!(found.0[0].place.as_ref().unwrap().line, 2);
    assert_eq!(found.0[1].place.as_ref().unwrap().line, 3);
}

fn alias_bomb() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let names = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{names}]\n"));
    }
    text
}

#[test]
fn no_text_costs_more_than_its_bound() {
    let cases = [
        ("alias bomb", alias_bomb(), "document-alias"),
        ("deep flow", "[".repeat(100_000), "document-too-large"),
        ("deep JSON", format!("{}1{}", "[".repeat(65), "]".repeat(65)), "document-too-large"),
        ("deep block", (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect(), "document-too-large"),
        ("10 MB", format!("a: {}", "x".repeat(10 << 20)), "document-too-large"),
        ("many values", format!("[{}]", "1,".repeat(150_000)), "document-too-large"),
        ("many keys", (0..60_000).map(|i| format!("k{i}: 1\n")).collect(), "document-too-large"),
        ("long line of colons", ":".repeat(MAX_BYTES), ""),
        ("long line of quotes", "'".repeat(MAX_BYTES - 1), ""),
        ("anchors", "&a ".repeat(100_000), ""),
        ("question marks", "? ".repeat(100_000), ""),
        ("dashes", "- ".repeat(100_000), ""),
    ];
    for (name, text, code) in cases {
        let began = Instant::now();
        let found = Document::parse(&text, "f.yaml");
        let took = began.elapsed();
        println!(
            "{name}: {took:?} {:?}",
            found.as_ref().err().map(ToString::to_string).map(|s| s.chars().take(150).collect::<String>())
        );
        assert!(took < Duration::from_secs(10), "{name} took {took:?}");
        if !code.is_empty() {
            assert!(found.unwrap_err().to_string().contains(code), "{name}");
        }
    }
}

#[test]
fn what_the_scanner_finds_is_shown_at_its_place() {
    let text = "a: 1\nb:\n  c: 2\n  d: \"3\ne: 4\n";
    let found = Document::parse(text, "f.yaml").unwrap_err();
    assert!(found.to_string().starts_with("f.yaml:4:6: document-syntax: "), "{found}");
    let shown = found.render(text);
    assert!(shown.contains("f.yaml:4:6") && shown.contains("4 |   d: \"3"), "{shown}");
}

#[test]
fn a_json_file_must_be_json() {
    let found = Document::parse("{\n  \"a\": 1,\n  \"b\": x\n}\n", "f.json").unwrap_err();
    assert!(found.to_string().starts_with("f.json:3:8: document-syntax: not JSON: "), "{found}");
    let found = Document::parse("a: 1\n", "f.json").unwrap_err();
    assert!(found.to_string().starts_with("f.json:1:1: document-syntax: not JSON: "), "{found}");
    let found = Document::parse("{\"a\": 1, \"a\": 2}", "f.json").unwrap_err();
    assert!(found.to_string().starts_with("f.json:1:10: document-duplicate-key: "), "{found}");
}
