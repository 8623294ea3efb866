//! What an expression may say, and where it goes wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

use expressions::{Code, Evaluator, ExprError, Inline, Program, SOURCE_MAX, check};
use proptest::prelude::*;
use serde_json::{Value, json};

fn eval(source: &str, input: &Value) -> Result<Value, ExprError> {
    Inline::new().eval(source, &[], input)
}

#[test]
fn what_is_not_a_function_of_its_input_is_refused() {
    for source in [
        "halt",
        "env",
        "env.PATH",
        "now",
        "input",
        "[inputs]",
        "debug",
        "debug(\"x\")",
        "stderr",
        "localtime",
        "strflocaltime(\"%H\")",
        "halt_error",
        "halt_error(1)",
        "input_filename",
        "$ENV",
        "$__prog_args",
        "@csv2",
        "[.[] | now]",
        "{a: env}",
        "\"\\(now)\"",
        "if now then 1 else 2 end",
        "try halt catch .",
        "reduce .[] as $x (0; now)",
        ". as {a: $x} | env",
        "def f: now; f",
        "label $out | env",
        ".[now]",
        "-now",
        ". as {(env): $x} | $x",
        "path(env)",
        "limit(1; input)",
        "unknown",
        "map(unknown)",
    ] {
        let error = check(source, &[]).unwrap_err();
        assert_eq!(error.code, Code::Refused, "{source}: {error}");
        let span = error.span.unwrap();
        assert!(source.get(span.clone()).is_some_and(|s| !s.is_empty()), "{source} {span:?}");
        assert!(Program::compile(source, &[]).is_err());
    }
}

#[test]
fn what_is_left_out_is_not_even_known_to_the_compiler() {
    // Behind the allow-list stands the table of functions: `halt` would end the process.
    let known = ["halt", "env", "now", "input", "debug", "stderr"];
    for name in known {
        assert!(check(name, &[]).unwrap_err().message.contains("not offered"), "{name}");
    }
}

#[test]
fn a_definition_may_not_call_itself() {
    for source in [
        "def f: f; f",
        "def f(x): x | f(x); f(.)",
        "def f: def g: f; g; f",
        "def f($a): f($a); f(1)",
        "def f: 1; def f: f; f",
    ] {
        let error = check(source, &[]).unwrap_err();
        assert_eq!(error.code, Code::Refused, "{source}");
    }
    // A parameter or an earlier definition with the same name is not the definition itself.
    assert_eq!(eval("def f: 1; def g: def f: 2; f; g + f", &Value::Null), Ok(json!(3)));
    assert_eq!(eval("def f(g): def h: g + 1; h; f(1)", &Value::Null), Ok(json!(2)));
    assert_eq!(eval("def f($a): $a + 2; f(2)", &Value::Null), Ok(json!(4)));
}

#[test]
fn errors_have_their_place() {
    let error = check(".a | ][", &[]).unwrap_err();
    assert_eq!((error.code, error.span), (Code::Syntax, Some(5..7)));
    let error = check("$x + $y", &["x"]).unwrap_err();
    assert_eq!((error.code, error.span), (Code::Refused, Some(5..7)));
    assert!(check("", &[]).is_err());
    assert!(check("\"open", &[]).is_err());
    let uses = check("$x + $y.a + (1 as $z | $z) + (. as [$q] | $q)", &["x", "y", "unused"]).unwrap().uses;
    assert_eq!(uses.into_iter().collect::<Vec<_>>(), ["x", "y"]);
}

#[test]
fn no_text_overflows_the_reader() {
    let deep = "(".repeat(1000) + "1" + &")".repeat(1000);
    assert_eq!(check(&deep, &[]).unwrap_err().code, Code::TooLarge);
    assert_eq!(check(&"1".repeat(SOURCE_MAX + 1), &[]).unwrap_err().code, Code::TooLarge);
    for part in
        ["-", "1+", ".a|", "try ", "if 1 then ", "1 as $x|", "def f: 1;", "reduce . as $x ", "..", "[", "{a:"]
    {
        let source = part.repeat((SOURCE_MAX - 10) / part.len());
        let _ = check(&source, &[]);
        let _ = check(&format!("{source}1"), &[]);
    }
    let chain = "1+".repeat(SOURCE_MAX / 2 - 4) + "1";
    assert!(Program::compile(&chain, &[]).is_ok());
}

#[test]
fn one_value_comes_out_and_json_has_it() {
    assert_eq!(eval(".[]", &json!([1, 2])).unwrap_err().code, Code::Failed);
    assert_eq!(eval("empty", &json!(1)).unwrap_err().code, Code::Failed);
    for source in
        ["1/0", "0/0", "1e400", "{(1|tostring): infinite}", "99999999999999999999999", "{(1): 2}", "nan"]
    {
        let result = eval(source, &Value::Null);
        assert!(result.is_err(), "{source}: {result:?}");
    }
    assert_eq!(eval("18446744073709551615", &Value::Null), Ok(json!(18_446_744_073_709_551_615_u64)));
    assert_eq!(eval("1.5 + 1", &Value::Null), Ok(json!(2.5)));
    let big = json!("x".repeat(expressions::SIZE_MAX));
    assert_eq!(eval("[.]", &big).unwrap_err().code, Code::TooLarge);
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    assert_eq!(eval("[.]", &deep).unwrap_err().code, Code::TooLarge);
}

#[test]
fn the_expressions_of_our_definitions_work() {
    let error = json!({ "type": "https://serverlessworkflow.io/spec/1.0.0/errors/in-doubt" });
    let test = "$error.type | test(\"/(in-doubt|communication)$\")";
    assert_eq!(Inline::new().eval(test, &[("error", &error)], &Value::Null), Ok(json!(true)));
    let i = json!({ "from": "a", "to": "b", "group": { "databases": {
        "c": { "kind": "one-live", "replication": { "a->b": "x" } }, "l": { "kind": "both-live", "replication": {} } } } });
    let all = ". as $i | [$i.group.databases[] | select(.kind == \"one-live\") | .replication[$i.from + \"->\" + $i.to]]";
    assert_eq!(eval(all, &i), Ok(json!(["x"])));
    let keys = "[.group.databases | to_entries[] | select(.value.kind == \"one-live\") | .key]";
    assert_eq!(eval(keys, &i), Ok(json!(["c"])));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_go_in_and_out_unchanged(v in value()) {
        prop_assert_eq!(Inline::without_short_cut().eval(".", &[], &v), Ok(v));
    }

    #[test]
    fn the_short_cut_gives_what_jq_gives(
        v in value(),
        path in prop_oneof![r"(\.[a-c]{1,2}){1,3}", r"\$x(\.[a-c]{1,2}){0,3}", r"[ ]?\.[a-c][.a-c]{0,4}", Just(".".to_owned())],
    ) {
        let with = Inline::new().eval(&path, &[("x", &v)], &v);
        let without = Inline::without_short_cut().eval(&path, &[("x", &v)], &v);
        prop_assert_eq!(with, without);
    }

    #[test]
    fn no_text_makes_checking_panic(text in r#"[ .a$\[\]{}()|,;:"'@0-9+*/=<>?#\\-]{0,60}"#) {
        let _ = check(&text, &["a"]);
    }
}
