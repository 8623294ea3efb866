//! What loading refuses, with its place.

use crate::flow::of;
use crate::support::problems;

/// The one problem of a definition whose tasks begin at line 2.
fn refused(tasks: &str, expected: &str) {
    let found = problems(&of(tasks));
    assert!(found.len() == 1 && found[0].starts_with(expected), "{tasks}\n{found:#?}\nexpected {expected}");
}

#[test]
fn what_is_not_supported_is_refused_with_its_place() {
    refused("do: [ a: { call: http, with: { method: get } } ]", "2:18 definition-unsupported `call: http`");
    refused("do: [ a: { run: { shell: { command: ls } } } ]", "2:12 definition-unsupported `run`");
    refused("do: [ a: { set: { a: 1 }, foo: 1 } ]", "2:27 definition-key `foo`");
    refused(
        "do: [ a: { listen: { to: { any: [ { with: { type: x } } ], until: .x } } } ]",
        "2:60 definition-unsupported",
    );
    refused(
        "use: { extensions: [ { a: { extend: all } } ] }\ndo: [ a: { set: { a: 1 } } ]",
        "2:8 definition-unsupported",
    );
    refused("schedule: { cron: '0 0 * * *' }\ndo: [ a: { set: { a: 1 } } ]", "2:13 definition-unsupported");
    refused("evaluate: { language: js }\ndo: [ a: { set: { a: 1 } } ]", "2:13 definition-unsupported");
    refused("foo: 1\ndo: [ a: { set: { a: 1 } } ]", "2:1 definition-key");
    refused("do: [ a: { set: { a: 1 }, wait: PT1S } ]", "2:10 definition-key a task is only one thing");
    refused(
        "do: [ a: { try: [ b: { set: { a: 1 } } ], catch: { retry: { limit: { attempt: { duration: PT1S } } } } } ]",
        "2:81 definition-unsupported",
    );
}

#[test]
fn expressions_are_checked_where_they_stand() {
    refused("do: [ a: { set: { a: '${ .a + }' } } ]", "2:22 definition-expression");
    refused(
        "do: [ a: { if: '$nobody', set: { a: 1 } } ]",
        "2:16 definition-expression the variable `$nobody`",
    );
    refused("do: [ a: { set: { a: '${ now }' } } ]", "2:22 definition-expression the function `now`");
    refused("do: [ a: { set: { a: '${ $secrets.x }' } } ]", "2:22 definition-secret");
    refused("do: [ a: { set: { a: 1 }, input: { from: $input } } ]", "2:42 definition-expression");
    refused("do: [ a: { set: { a: 1 }, output: { as: $output } } ]", "2:41 definition-expression");
    // A loop's variables are known inside it only.
    refused(
        "do: [ a: { for: { in: '[1]' }, do: [ b: { set: { a: '${ $item }' } } ] }, c: { set: { a: '${ $item }' } } ]",
        "2:90 definition-expression",
    );
    refused(
        "do: [ a: { for: { each: context, in: '[1]' }, do: [ b: { set: { a: 1 } } ] } ]",
        "2:25 definition-name",
    );
}

#[test]
fn names_directions_durations_and_schemas_are_checked() {
    refused("do: [ a: { set: { a: 1 }, then: nowhere } ]", "2:33 definition-then");
    refused("do: [ a: { do: [ b: { set: { a: 1 }, then: a } ] } ]", "2:44 definition-then");
    refused("do: [ a: { set: { a: 1 } }, a: { set: { a: 1 } } ]", "2:29 definition-name");
    refused("do: [ a: { wait: 5 } ]", "2:18 definition-duration");
    refused("do: [ a: { wait: PT }, b: { set: { a: 1 } } ]", "2:18 definition-duration");
    refused("do: [ a: { set: { a: 1 }, timeout: { after: { weeks: 1 } } } ]", "2:45 definition-duration");
    refused("do: [ a: { set: { a: 1 }, timeout: none } ]", "2:36 definition-name");
    refused(
        "do: [ a: { set: { a: 1 }, input: { schema: { document: { type: 5 } } } } ]",
        "2:56 definition-schema",
    );
    refused("do: []", "2:5 definition-shape");
    refused("do: [ a: { raise: { error: { type: x } } } ]", "2:28 definition-shape");
    let deep = (0..20).fold("set: { a: 1 }".to_owned(), |inner, i| {
        format!("do: [ a-rather-long-name-{i}: {{ {inner} }} ]")
    });
    let found = problems(&of(&deep));
    assert!(found.iter().all(|p| p.contains("definition-too-large")) && !found.is_empty(), "{found:?}");
}

#[test]
fn functions_effects_and_doubts_are_checked() {
    refused("do: [ a: { call: database.enable:1.0.0@default } ]", "2:18 definition-function");
    refused("do: [ a: { call: database.enable-access:2.0.0@default } ]", "2:18 definition-function");
    refused("do: [ a: { call: enable } ]", "2:18 definition-function");
    refused("do: [ a: { call: test.look:1.0.0@other } ]", "2:18 definition-unsupported the catalog `other`");
    refused(
        "do: [ a: { call: test.change:1.0.0@default, metadata: { dr: { undo: test.nothing:1.0.0@default } } } ]",
        "2:69 definition-function",
    );
    let call = |with: &str| {
        format!("do:\n  - a:\n      call: database.disable-access:1.0.0@default\n      with: {{ {with} }}")
    };
    refused(
        &call("resource: c, site: s, sight: t"),
        "5:37 definition-key `database.disable-access` takes no `sight`",
    );
    refused(&call("resource: c"), "5:13 definition-key `database.disable-access` needs `site` in `with`");
    refused(
        &call("resource: c, site: 5"),
        "5:34 definition-shape the `site` that is handed to `database.disable-access` does not fit",
    );
    refused("do: [ a: { set: { a: 1 }, metadata: { dr: { inDoubt: ask } } } ]", "2:45 definition-key");
    refused(
        "do: [ a: { call: test.change:1.0.0@default, metadata: { dr: { sometimes: ask } } } ]",
        "2:63 definition-key",
    );
    let pass = "metadata: { dr: { inDoubt: pass } }";
    refused(
        &format!("do: [ a: {{ call: test.change:1.0.0@default, {pass} }} ]"),
        "2:72 definition-in-doubt `pass` raises",
    );
    let inside = |function: &str, catch: &str| {
        format!("do: [ t: {{ try: [ a: {{ call: {function}:1.0.0@default, {pass} }} ], catch: {catch} }} ]")
    };
    assert_eq!(problems(&of(&inside("test.change", "{}"))), [""; 0]);
    assert_eq!(problems(&of(&inside("test.change", "{ when: '$error.status == 500' }"))), [""; 0]);
    refused(&inside("test.open", "{}"), "2:82 definition-in-doubt what opens");
    let other = "{ errors: { with: { type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout' } } }";
    refused(&inside("test.change", other), "2:84 definition-in-doubt `pass` raises");
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let found =
        problems(&of("do:\n  - a: { wait: 5 }\n  - b: { set: { a: '${ ( }' }, then: c }\n  - d: { foo: 1 }"));
    let lines: Vec<&str> = found.iter().map(|p| p.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["3", "4", "4", "5"], "{found:#?}");
}

#[test]
fn each_code_is_explained() {
    let codes: Vec<&str> = engine::CODES.iter().map(|c| c.code).collect();
    for problem in problems(&of("do: [ a: { wait: 5, then: x } ]")) {
        let code = problem.split(' ').nth(1).unwrap();
        assert!(codes.contains(&code), "{code}");
    }
    assert!(engine::CODES.iter().all(|c| !c.cause.is_empty() && !c.remedy.is_empty()));
}
