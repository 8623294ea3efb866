//! What is read, as which value, and where it stands.
#![expect(clippy::unwrap_used, reason = "tests")]

use document::{Document, Node};
use serde::Deserialize;
use serde_json::{Value, json};

fn value(text: &str) -> Value {
    Document::parse(text, "f.yaml").unwrap().value().clone()
}

#[test]
fn there_are_no_surprises_of_yaml_1_1() {
    let cases = [
        ("a: on", json!("on")),
        ("a: off", json!("off")),
        ("a: yes", json!("yes")),
        ("a: no", json!("no")),
        ("a: y", json!("y")),
        ("a: true", json!(true)),
        ("a: 'true'", json!("true")),
        ("a: ~", json!(null)),
        ("a:", json!(null)),
        ("a: null", json!(null)),
        ("a: 010", json!("010")),
        ("a: 1_000", json!("1_000")),
        ("a: 0x1F", json!(31)),
        ("a: 0o17", json!(15)),
        ("a: 12:30:45", json!("12:30:45")),
        ("a: 2026-11-24", json!("2026-11-24")),
        ("a: 1.5", json!(1.5)),
        ("a: 1e3", json!(1000.0)),
        ("a: -7", json!(-7)),
        ("a: 18446744073709551615", json!(18446744073709551615_u64)),
        ("a: -9223372036854775808", json!(i64::MIN)),
        ("a: 15s", json!("15s")),
        ("a: 50GiB", json!("50GiB")),
        ("a: 90%", json!("90%")),
        ("a: '1.0.0'", json!("1.0.0")),
        ("a: 1.0.0", json!("1.0.0")),
        ("a: !!str 5", json!("5")),
        ("a: |\n  x\n  y\n", json!("x\ny\n")),
        ("a: >\n  x\n  y\n", json!("x y\n")),
        ("a: \"\\ud83d\\ude00 \\u00e9\"", json!("\u{1f600} \u{e9}")),
        ("a: 'it''s'", json!("it's")),
        ("a: &x [1, 2]\nb: *x", json!([1, 2])),
    ];
    for (text, expected) in cases {
        assert_eq!(value(text)["a"], expected, "{text}");
    }
    assert_eq!(value("on: 1\nno: 2\ny: 3"), json!({"on": 1, "no": 2, "y": 3}));
    assert_eq!(value("a: &x [1]\nb: *x"), json!({"a": [1], "b": [1]}));
    assert_eq!(value("main->secondary: csp"), json!({"main->secondary": "csp"}));
    assert_eq!(value("\u{feff}a: 1"), json!({"a": 1}));
    assert_eq!(value("a: 1\r\nb: 2\r\n"), json!({"a": 1, "b": 2}));
    assert_eq!(value("---\na: 1\n...\n"), json!({"a": 1}));
}

const TEXT: &str = "name: x\nlist:\n  - one\n  - { \"k\\u00e9y/~\": [true, 5] }\n\u{e9}\u{e9}: 'q'\n";

#[test]
fn everything_has_a_place() {
    let document = Document::parse(TEXT, "f.yaml").unwrap();
    let cases = [
        ("", 1, 1),
        ("/name", 1, 7),
        ("/list", 3, 3),
        ("/list/0", 3, 5),
        ("/list/1", 4, 5),
        ("/list/1/k\u{e9}y~1~0", 4, 21),
        ("/list/1/k\u{e9}y~1~0/1", 4, 28),
        ("/\u{e9}\u{e9}", 5, 5),
    ];
    for (pointer, line, column) in cases {
        let place = document.place(pointer).unwrap();
        assert_eq!((place.line, place.column), (line, column), "{pointer}");
        assert!(TEXT.get(place.span.clone()).is_some(), "{pointer}");
    }
    assert_eq!(&TEXT[document.place("/name").unwrap().span], "x");
    assert_eq!(&TEXT[document.place("/\u{e9}\u{e9}").unwrap().span], "'q'");
    assert_eq!(&TEXT[document.key_place("/list").unwrap().span], "list");
    assert_eq!(document.key_place("/\u{e9}\u{e9}").unwrap().column, 1);
    assert!(document.key_place("/list/0").is_none());
    for absent in ["/no", "/list/2", "/list/01", "/list/+1", "/name/x", "name", "/list/1/x"] {
        assert!(document.place(absent).is_none(), "{absent}");
    }
    let names: Vec<_> = document.root().entries().iter().map(|(k, _)| k.name.as_str()).collect();
    assert_eq!(names, ["name", "list", "\u{e9}\u{e9}"]);
    assert!(matches!(document.root().at("/list").unwrap().node, Node::List(_)));
}

#[test]
fn an_error_stands_at_the_nearest_ancestor_that_exists() {
    let document = Document::parse(TEXT, "f.yaml").unwrap();
    let line = document.error("/list/1/absent/deeper", "some-code", "is missing").to_string();
    assert_eq!(line, "f.yaml:4:5: some-code: is missing");
    let line = document.key_error("/list", "some-code", "no").help("do that").to_string();
    assert_eq!(line, "f.yaml:2:1: some-code: no (do that)");
    let shown = document.key_error("/list", "some-code", "no").help("do that").render(TEXT);
    println!("{shown}");
    assert!(shown.contains("f.yaml:2:1") && shown.contains("^^^^") && shown.contains("do that"));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct Shape {
    name: String,
    #[serde(default)]
    list: Vec<Item>,
    mode: Option<Mode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct Item {
    count: u8,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its shape matters")]
enum Mode {
    Plain,
    With { count: u8 },
    New(u8),
}

#[test]
fn a_type_that_does_not_fit_is_an_error_at_its_place() {
    let cases = [
        ("name: 5", "1:7: document-shape: invalid type: integer `5`, expected a string"),
        (
            "name: x\nlist:\n- count: 1\n- coutn: 1",
            "4:3: document-shape: unknown field `coutn`, expected `count`",
        ),
        ("name: x\nlist:\n- count: 300", "3:10: document-shape: invalid value: integer `300`, expected u8"),
        ("name: x\nlist:\n- {}", "3:3: document-shape: missing field `count`"),
        ("list: []", "1:1: document-shape: missing field `name`"),
        ("name: x\nmode: other", "2:7: document-shape: unknown variant `other`"),
        ("name: x\nmode: { othe: 1 }", "2:9: document-shape: unknown variant `othe`"),
        (
            "name: x\nmode: { with: { count: x } }",
            "2:24: document-shape: invalid type: string \"x\", expected u8",
        ),
        ("name: x\nmode: { new: x }", "2:14: document-shape: invalid type: string \"x\", expected u8"),
        ("name: x\nmode: { a: 1, b: 2 }", "2:7: document-shape: expected a word, or a mapping with one key"),
        ("- 1", "1:1: document-shape: invalid type: sequence, expected a mapping"),
    ];
    for (text, expected) in cases {
        let found = Document::parse(text, "f.yaml").unwrap().typed::<Shape>().unwrap_err();
        let line = found.to_string();
        assert!(line.starts_with(&format!("f.yaml:{expected}")), "{text:?} gave {line}");
    }
    for text in [
        "name: x",
        "name: x\nmode: plain",
        "name: x\nmode: { with: { count: 1 } }",
        "name: x\nmode: { new: 1 }\nlist: [{count: 2}]",
        "name: x\nmode:",
    ] {
        Document::parse(text, "f.yaml").unwrap().typed::<Shape>().unwrap();
    }
}

#[test]
fn the_deepest_document_that_is_allowed_is_read_on_a_small_stack() {
    let deep: String = (0..document::MAX_DEPTH - 1).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let read = std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(move || {
            let document = Document::parse(&deep, "f.yaml").unwrap();
            document.typed::<Value>().unwrap() == *document.value()
        })
        .unwrap();
    assert!(read.join().unwrap());
}

#[derive(Debug, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
enum Driver {
    Exec { start: String, settle: u8 },
}

#[test]
fn where_serde_forgets_places_the_message_finds_the_one_that_it_quotes() {
    let cases = [
        ("d: { driver: exec, strat: x, settle: 1 }", "1:20: document-shape: unknown field `strat`"),
        ("d: { driver: exec, start: x, settle: 300 }", "1:38: document-shape: invalid value: integer `300`"),
        ("d: { driver: exec, start: 5, settle: 1 }", "1:27: document-shape: invalid type: integer `5`"),
        ("d: { driver: exec, start: x, settle: y }", "1:38: document-shape: invalid type: string \"y\""),
        ("d: { driver: exce, start: x, settle: 1 }", "1:14: document-shape: unknown variant `exce`"),
        // Quoted twice, or about the whole: it stays at the whole.
        ("d: { driver: exec, start: 5, settle: 5 }", "1:4: document-shape: invalid type: integer `5`"),
        ("d: { driver: exec, start: x }", "1:4: document-shape: missing field `settle`"),
        ("d: { drivr: exec, start: x, settle: 1 }", "1:6: document-shape: missing field `driver`"),
    ];
    for (text, expected) in cases {
        let document = Document::parse(text, "f.yaml").unwrap();
        let settings = document.root().get("d").unwrap();
        let line = settings.typed::<Driver>("f.yaml").unwrap_err().to_string();
        assert!(line.starts_with(&format!("f.yaml:{expected}")), "{text:?} gave {line}");
    }
}
