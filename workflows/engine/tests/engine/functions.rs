//! Functions that are tasks: as if the task stood where it is called, but for what they see.

use engine::{Resolution, Standard};
use schemas::Effect;
use serde_json::json;

use crate::flow::of;
use crate::support::{Run, TestCatalog, load, problems};

const TWICE: &str = "do:
  - before: { set: { n: 3 }, export: { as: '${ { n: 7, kept: true } }' } }
  - both: { call: 'part.twice:1.0.0@default', with: { n: '${ .n }' } }
  - after: { set: { context: '${ $context }', output: '${ . }' } }
";

#[test]
fn its_arguments_are_its_context_and_what_it_exports_stays_within() {
    let mut run = Run::of(&of(TWICE), json!({}));
    let (at, call) = run.calls().remove(0);
    assert_eq!((at.as_str(), &call.args), ("/do/1/both/call/do/0/one", &json!({ "n": 3 })));
    assert_eq!(call.phase.as_deref(), Some("twice"));
    run.ok(&at, json!("one"));
    let (at, call) = run.calls().remove(0);
    assert_eq!((at.as_str(), &call.args), ("/do/1/both/call/do/1/two", &json!({ "n": 4, "first": "one" })));
    run.check_replay();
    run.ok(&at, json!("two"));
    let context = json!({ "n": 7, "kept": true });
    assert_eq!(run.output(), json!({ "context": context, "output": "two" }));
    run.check_replay();
}

#[test]
fn functions_call_functions() {
    let run = Run::of(&of("do: [ a: { call: 'part.nested:1.0.0@default', with: { n: 2 } } ]"), json!({}));
    let (at, call) = run.calls().remove(0);
    assert_eq!((at.as_str(), &call.args["n"]), ("/do/0/a/call/call/do/0/one", &json!(20)));
    let names: Vec<String> = run.machine.definition().functions().keys().cloned().collect();
    assert_eq!(
        names,
        ["part.nested:1.0.0", "part.twice:1.0.0"],
        "what a run is started with, and kept with it"
    );
}

#[test]
fn a_file_has_functions_of_its_own() {
    let text = of("use: { functions: { look: { input: { schema: { document: { properties: { x: { type: number } } } } }, \
                   call: 'test.look:1.0.0@default', with: { x: '${ .x }' } } } }
do:
  - a: { call: look, with: { x: 1 }, then: c }
  - b: { set: { never: true } }
  - c: { call: look, with: { x: '${ [1] }' } }");
    let mut run = Run::of(&text, json!({}));
    let (at, call) = run.calls().remove(0);
    assert_eq!((at.as_str(), &call.args), ("/do/0/a/call", &json!({ "x": 1 })));
    run.ok(&at, json!("seen"));
    // The second call does not fit what the function asks for.
    assert_eq!(run.wants(), ["decide /do/2/c/call"]);
    run.resolve("/do/2/c/call", Resolution::Skip { output: json!("skipped") });
    assert_eq!(run.output(), json!("skipped"));
}

#[test]
fn a_loop_outside_is_not_seen_and_each_iteration_is_a_key_of_its_own() {
    let text = of("do:
  - each:
      for: { each: n, in: '${ [1, 2] }' }
      do: [ some: { call: 'part.tenfold:1.0.0@default', with: { n: '${ $n }' } } ]");
    let mut run = Run::of(&text, json!({}));
    let mut asked = Vec::new();
    while let Some((at, call)) = run.calls().into_iter().next() {
        asked.push(format!("{at} {}", call.args["i"]));
        run.ok(&at, json!(null));
        run.check_replay();
    }
    assert_eq!(
        asked,
        [
            "/do/0/each[0]/do/0/some/call[0]/do/0/a 0",
            "/do/0/each[1]/do/0/some/call[0]/do/0/a 0",
            "/do/0/each[1]/do/0/some/call[1]/do/0/a 1",
        ]
    );
}

#[test]
fn an_error_inside_is_caught_outside_and_a_retry_is_a_new_visit() {
    let text = of("do:
  - a:
      try: [ b: { call: 'part.twice:1.0.0@default', with: { n: 1 } } ]
      catch: { retry: { limit: { attempt: { count: 1 } } }, do: [ c: { set: { caught: true } } ] }");
    let mut run = Run::of(&text, json!({}));
    run.ok("/do/0/a/try/0/b/call/do/0/one", json!(1));
    run.err("/do/0/a/try/0/b/call/do/1/two", engine::Error::standard(Standard::Runtime, "no"));
    run.err("/do/0/a/try/0/b#1/call/do/0/one", engine::Error::standard(Standard::Runtime, "no"));
    assert_eq!(run.output(), json!({ "caught": true }));
    run.check_replay();
}

#[test]
fn a_bound_of_the_call_bounds_all_within() {
    let text =
        of("do: [ a: { call: 'part.twice:1.0.0@default', with: { n: 1 }, timeout: { after: PT5S } } ]");
    let mut run = Run::of(&text, json!({}));
    assert_eq!(run.wants(), ["call /do/0/a/call/do/0/one", "wake /do/0/a"]);
    run.pass(5);
    run.wake("/do/0/a");
    assert_eq!(run.wants(), ["cancel-call /do/0/a/call/do/0/one"]);
    run.ok("/do/0/a/call/do/0/one", json!(1));
    assert_eq!(run.wants(), ["decide /do/0/a"]);
    run.resolve("/do/0/a", Resolution::BackOut);
    assert_eq!(run.wants(), ["call /do/0/a/call/do/0/one!undo"]);
}

#[test]
fn what_stands_within_is_undone_unless_the_call_says_none() {
    for (undo, wanted) in
        [("", "call /do/0/a/call/do/0/one!undo"), (", metadata: { dr: { undo: none } }", "")]
    {
        let text = of(&format!("do: [ a: {{ call: 'part.twice:1.0.0@default', with: {{ n: 1 }}{undo} }} ]"));
        let mut run = Run::of(&text, json!({}));
        run.ok("/do/0/a/call/do/0/one", json!(1));
        run.err("/do/0/a/call/do/1/two", engine::Error::standard(Standard::Runtime, "no"));
        run.resolve("/do/0/a/call/do/1/two", Resolution::BackOut);
        assert_eq!(run.wants().join(", "), wanted);
    }
}

#[test]
fn a_function_does_what_the_worst_of_its_parts_does_and_says_so() {
    let twice = load(&of(TWICE));
    let step = twice.steps().into_iter().find(|s| s.made_of.is_some()).unwrap();
    assert_eq!((step.kind.as_str(), step.function, step.effect), ("function", None, Some(Effect::Changes)));
    let found = problems(&of("do: [ a: { call: 'part.modest:1.0.0@default' } ]"));
    assert_eq!(found, ["1:27 definition-effect the parts of `part.modest:1.0.0` say: opens"]);
    let found = problems(&of("do: [ a: { call: 'part.silent:1.0.0@default' } ]"));
    assert_eq!(found, ["1:1 definition-effect `metadata.dr.effect` is missing: `part.silent:1.0.0` opens"]);
}

#[test]
fn what_is_wrong_with_a_function_is_said_with_its_own_file_and_place() {
    let found = problems(&of("do: [ a: { call: 'part.wrong:1.0.0@default' } ]"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("3:56 definition-expression the variable `$n`"), "{found:#?}");
    assert!(found[1].starts_with("4:31 definition-then a function does not end"), "{found:#?}");
    let found = problems(&of("do: [ a: { call: 'part.passing:1.0.0@default' } ]"));
    assert!(found[0].starts_with("3:1 definition-key `metadata2`"), "{found:#?}");
    let found = problems(&of("do: [ a: { call: 'part.itself:1.0.0@default' } ]"));
    assert_eq!(found, ["2:18 definition-function `part.itself:1.0.0` calls itself"]);
    let own = "use: { functions: { a: { call: b }, b: { call: a } } }\ndo: [ a: { call: a } ]";
    assert_eq!(problems(&of(own)), ["2:48 definition-function `a` calls itself"]);
    let found = problems(&of("do: [ a: { call: 'part.none:1.0.0@default' } ]"));
    assert!(found[0].starts_with("2:18 definition-function the catalog has no"), "{found:#?}");
    let found = problems(&of("do: [ a: { call: nobody } ]"));
    assert!(found[0].contains("nor one of `use.functions`"), "{found:#?}");
    let dr = "do: [ a: { call: 'part.twice:1.0.0@default', metadata: { dr: { inDoubt: ask, undo: 'test.back:1.0.0@default' } } } ]";
    let found = problems(&of(dr));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|f| f.contains("at the calls of services within")), "{found:#?}");
}

#[test]
fn what_is_handed_to_a_function_is_what_it_takes() {
    let own = "use: { functions: { f: { input: { schema: { document: { required: [x], properties: { x: { type: number }, \
               y: {} } } } }, set: { a: 1 } } } }";
    let cases: [(&str, &[&str]); 7] = [
        ("f, with: { x: 1, y: { z: '${ .z }' } }", &[]),
        ("f, with: { x: '${ .x }' }", &[]),
        ("f, with: { y: 1 }", &["3:27 definition-key `f` needs `x` in `with`"]),
        ("f", &["3:10 definition-key `f` needs `x` in `with`"]),
        ("f, with: { x: 1, z: 2 }", &["3:35 definition-key `f` takes no `z`: x, y"]),
        (
            "f, with: { x: one }",
            &["3:32 definition-shape the `x` that is handed to `f` does not fit its schema"],
        ),
        (
            "site.open:1.0.0@default, with: { site: 5, database: config }",
            &[
                "3:49 definition-key `site.open` needs `databases` in `with`",
                "3:57 definition-shape the `site` that is handed to `site.open` does not fit",
                "3:60 definition-key `site.open` takes no `database`: databases, site",
            ],
        ),
    ];
    for (call, expected) in cases {
        let found = problems(&of(&format!("{own}\ndo: [ a: {{ call: {call} }} ]")));
        assert_eq!(found.len(), expected.len(), "{call}\n{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{call}\n{found}\nexpected {expected}");
        }
    }
}

#[test]
fn a_function_of_the_catalog_is_checked_by_itself() {
    for (name, path, text) in engine::catalog::SHIPPED {
        let found = engine::FunctionFile::load(text, path, name, &engine::catalog::default());
        assert!(found.unwrap_or_else(|e| panic!("{e}")).tasks > 0, "{path}");
    }
    let load = |name: &str, text: &str| engine::FunctionFile::load(text, "f.yaml", name, &TestCatalog);
    let head = "input: { schema: { document: { required: [site], properties: { lost: {} } } } }\n";
    let good = "metadata: { dr: { effect: opens } }\ndo: [ a: { call: 'test.open:1.0.0@default', metadata: { dr: { inDoubt: ask } } } ]";
    let good = load("part.f", &format!("{head}{good}")).unwrap();
    assert_eq!((good.effect, good.tasks), (Effect::Opens, 2));
    assert_eq!(good.takes, ["lost", "site"]);
    for (text, expected) in [
        ("do: [ a: { set: { a: 1 } } ]", "f.yaml:1:1: definition-effect: `metadata.dr.effect` is missing"),
        (
            "metadata: { dr: { effect: changes } }\ndo: [ a: { call: 'test.open:1.0.0@default' } ]",
            "f.yaml:1:27: definition-effect: the parts of `part.f:1.0.0` say: opens",
        ),
        (
            "metadata: { dr: { effect: observes } }\ndo: [ a: { set: { a: 1 }, then: end } ]",
            "f.yaml:2:33: definition-then: a function does not end the workflow",
        ),
        (
            "metadata: { dr: { effect: observes } }\ndo: [ a: { set: { a: '${ $n }' } } ]",
            "f.yaml:2:22: definition-expression: the variable `$n`",
        ),
    ] {
        let found = load("part.f", text).unwrap_err().to_string();
        assert!(found.starts_with(expected) && found.lines().count() == 1, "{found}\nexpected {expected}");
    }
    let itself = load(
        "part.itself",
        "metadata: { dr: { effect: changes } }\ndo: [ a: { call: 'part.itself:1.0.0@default' } ]",
    );
    let found = itself.unwrap_err().to_string();
    assert!(
        found.starts_with("f.yaml:2:18: definition-function: `part.itself:1.0.0` calls itself"),
        "{found}"
    );
}

#[test]
fn functions_that_multiply_have_a_bound() {
    let calls = |name: &str| -> String {
        (0..13).map(|n| format!("c{n}: {{ call: {name} }}")).collect::<Vec<_>>().join(" }, { ")
    };
    let part = |name: &str, next: &str| format!("{name}: {{ do: [ {{ {} }} ] }}", calls(next));
    let leaf = "f: { set: { a: 1 } }".to_owned();
    let parts = [part("a", "b"), part("b", "c"), part("c", "d"), part("d", "e"), part("e", "f"), leaf];
    let text = of(&format!("use: {{ functions: {{ {} }} }}\ndo: [ all: {{ call: a }} ]", parts.join(", ")));
    let found = problems(&text);
    assert!(found.iter().any(|f| f.contains("definition-too-large")), "{found:#?}");
    assert!(found.len() < 10_000, "{}", found.len());
}

#[test]
fn a_kept_definition_is_made_of_kept_functions_and_of_no_others() {
    let text =
        of("do: [ a: { call: 'site.open:1.0.0@default', with: { site: main, databases: [config] } } ]");
    let shipped = engine::Definition::load(&text, "t", &engine::catalog::default()).unwrap();
    let mut kept = shipped.functions().clone();
    let own = kept.get_mut("site.open:1.0.0").unwrap();
    *own = own.replace("enable-access", "disable-access").replace("effect: opens", "effect: closes");
    let again = engine::Definition::load(&text, "t", &engine::catalog::kept(kept)).unwrap();
    let effect = |definition: &engine::Definition| definition.steps()[0].effect;
    assert_eq!((effect(&shipped), effect(&again)), (Some(Effect::Opens), Some(Effect::Closes)));
    assert!(engine::Definition::load(&text, "t", &engine::catalog::kept(Default::default())).is_err());
    // A run goes on as it was started, whatever is asked of one that is started now.
    let older = text.replace(", databases: [config]", "");
    assert!(engine::Definition::load(&older, "t", &engine::catalog::default()).is_err());
    let kept = engine::catalog::kept(shipped.functions().clone());
    assert!(engine::Definition::load(&older, "t", &kept).is_ok());
}

/// The way home by copy: the ledger before anything is dropped or overwritten; waived by name, without it.
#[test]
fn a_copy_saves_before_it_overwrites() {
    let databases = json!({ "config": { "kind": "one-live", "replication":
        { "main->secondary": "csp", "secondary->main": "css" } } });
    let input = json!({ "group": { "databases": databases } });
    let calling = |more: &str| {
        of(&format!(
            "do: [ home: {{ call: 'stream.copy:1.0.0@default', with: {{ live: secondary, standby: main{more} }} }} ]"
        ))
    };
    let ledger = json!({ "file": "/l", "digest": "d" });
    let play = |more: &str, equal: bool| {
        let mut run = Run::of(&calling(more), input.clone());
        let mut asked = Vec::new();
        while let Some((at, call)) = run.calls().into_iter().next() {
            let text = |key: &str| call.args[key].as_str().unwrap_or("-").to_owned();
            asked.push((format!("{} {}@{}", call.action, text("resource"), text("site")), call.args.clone()));
            run.ok(
                &at,
                match call.action.as_str() {
                    "abandon" => json!({ "applied": "0/5A3F1C8" }),
                    "export" => json!({ "ledger": ledger, "rows": 3 }),
                    "compare" => json!({ "equal": equal }),
                    _ => json!({}),
                },
            );
            run.check_replay();
        }
        (run, asked)
    };
    let (run, asked) = play("", true);
    let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    let order =
        ["abandon csp@secondary", "export csp@main", "discard csp@main", "copy css@main", "compare css@main"];
    assert_eq!(names, order);
    assert_eq!(asked[1].1["applied"], "0/5A3F1C8");
    assert_eq!((&asked[3].1["ledger"], &asked[3].1["waived"]), (&ledger, &json!(null)));
    assert!(run.wants().is_empty(), "{:?}", run.wants());

    let (_, asked) = play(", waived: 'anna: nothing to save'", true);
    let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, order[2..]);
    assert_eq!(
        (&asked[1].1["ledger"], &asked[1].1["waived"]),
        (&json!(null), &json!("anna: nothing to save"))
    );

    let (run, _) = play("", false);
    assert!(run.wants().iter().any(|want| want.starts_with("decide")), "{:?}", run.wants());
}
