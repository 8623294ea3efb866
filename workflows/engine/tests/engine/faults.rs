//! Errors, retries, timeouts, and what a person decides.

use chrono::TimeDelta;
use engine::{Error, Input, Outcome, Resolution, Standard, Want};
use serde_json::{Value, json};

use crate::flow::of;
use crate::support::{Run, at};

fn communication() -> Error {
    Error::standard(Standard::Communication, "silent")
}

#[test]
fn an_error_is_caught_by_type_in_any_spelling_and_has_its_place() {
    for host in [
        "https://serverlessworkflow.io/spec/1.0.0/errors/",
        "https://open-workflow-specification.org/dsl/errors/types/",
    ] {
        let text = of(&format!("
do:
  - safe:
      try: [ ask: {{ call: test.look:1.0.0@default }} ]
      catch: {{ errors: {{ with: {{ type: '{host}communication', status: 500 }} }}, as: err, do: [ say: {{ set: {{ e: '${{ $err.instance }}', in: '${{ .n }}' }} }} ] }}
"));
        let mut run = Run::of(&text, json!({ "n": 3 }));
        run.err("/do/0/safe/try/0/ask", communication());
        assert_eq!(run.output(), json!({ "e": "/do/0/safe/try/0/ask", "in": 3 }));
        run.check_replay();
    }
}

#[test]
fn a_catch_without_do_hands_on_the_input_and_then_of_catch_counts() {
    let text = of("
do:
  - safe:
      try: [ bad: { raise: { error: { type: 'https://example.org/x', status: 400 } } } ]
      catch: { then: last }
  - skipped: { set: { n: -1 } }
  - last: { set: { n: '${ .n + 1 }' } }
");
    assert_eq!(Run::of(&text, json!({ "n": 1 })).output(), json!({ "n": 2 }));
}

#[test]
fn when_and_except_when_decide_and_the_next_try_around_gets_its_turn() {
    let text = of("
use: { errors: { mine: { type: 'https://example.org/mine', status: 418, title: '${ .t }' } } }
do:
  - outer:
      try:
        - inner:
            try: [ bad: { raise: { error: mine } } ]
            catch: { when: $error.status == 400 }
      catch:
        exceptWhen: $error.title != \"tea\"
        do: [ seen: { set: { title: '${ $error.title }', at: '${ $error.instance }' } } ]
");
    let run = Run::of(&text, json!({ "t": "tea" }));
    assert_eq!(run.output(), json!({ "title": "tea", "at": "/do/0/outer/try/0/inner/try/0/bad" }));
    run.check_replay();
    // Nothing catches: the failed task stays, and somebody must decide.
    let mut run = Run::of(&text, json!({ "t": "coffee" }));
    assert_eq!(run.wants(), ["decide /do/0/outer/try/0/inner/try/0/bad"]);
    run.check_replay();
    run.resolve("/do/0/outer/try/0/inner/try/0/bad", Resolution::Fault);
    let Some(Outcome::Faulted { error }) = run.machine.outcome() else { panic!() };
    assert_eq!(error.status, 418);
}

#[test]
fn an_error_in_catch_do_is_not_caught_by_the_same_try() {
    let text = of("
do:
  - safe:
      try: [ bad: { raise: { error: { type: 'https://example.org/x', status: 400 } } } ]
      catch: { do: [ worse: { raise: { error: { type: 'https://example.org/y', status: 500 } } } ] }
");
    assert_eq!(Run::of(&text, json!({})).wants(), ["decide /do/0/safe/catch/do/0/worse"]);
}

#[test]
fn a_retry_is_a_new_visit_after_its_delay_and_ends_with_its_limit() {
    let text = of("
do:
  - safe:
      try:
        - ask: { call: test.change:1.0.0@default, with: { n: '${ .n }' } }
      catch:
        errors: { with: { status: 500 } }
        retry: { delay: PT2S, backoff: { exponential: {} }, limit: { attempt: { count: 3 } } }
");
    let mut run = Run::of(&text, json!({ "n": 1 }));
    let mut position = "/do/0/safe/try/0/ask".to_owned();
    for (visit, delay) in [2, 4, 8].into_iter().enumerate() {
        run.err(&position, communication());
        assert_eq!(run.wants(), ["wake /do/0/safe"]);
        let Want::Wake { when, .. } = &run.wanted[0] else { panic!() };
        assert_eq!(*when - run.now, TimeDelta::seconds(delay));
        run.check_replay();
        run.pass(delay);
        run.wake("/do/0/safe");
        position = format!("/do/0/safe/try/0/ask#{}", visit + 1);
        assert_eq!(run.wants(), [format!("call {position}")]);
    }
    // The first try is not counted; without `do` an error that is not retried any more goes on.
    run.err(&position, communication());
    assert_eq!(run.wants(), [format!("decide {position}")]);
    run.check_replay();
}

#[test]
fn retries_come_before_catch_do_and_jitter_is_always_the_same() {
    let text = of("
use: { retries: { soon: { delay: { seconds: 1 }, backoff: { linear: {} }, jitter: { from: PT0S, to: PT10S }, limit: { attempt: { count: 1 } } } } }
do:
  - safe:
      try: [ ask: { call: test.look:1.0.0@default } ]
      catch: { retry: soon, do: [ gave: { set: { gave: up } } ] }
");
    let mut whens = Vec::new();
    for _ in 0..2 {
        let mut run = Run::of(&text, json!({}));
        run.err("/do/0/safe/try/0/ask", communication());
        let Want::Wake { when, .. } = run.wanted[0] else { panic!() };
        assert!(when - run.now >= TimeDelta::seconds(1) && when - run.now <= TimeDelta::seconds(11));
        whens.push(when);
        run.wake("/do/0/safe");
        run.err("/do/0/safe/try/0/ask#1", communication());
        assert_eq!(run.output(), json!({ "gave": "up" }));
    }
    assert_eq!(whens[0], whens[1]);
}

#[test]
fn a_catch_ends_pending_calls_before_it_goes_on() {
    let text = of("
do:
  - safe:
      try:
        - both:
            fork:
              branches:
                - a: { call: test.change:1.0.0@default }
                - b: { call: test.look:1.0.0@default }
      catch: { do: [ after: { set: { caught: '${ $error.detail }' } } ] }
");
    let mut run = Run::of(&text, json!({}));
    run.err("/do/0/safe/try/0/both/fork/branches/1/b", communication());
    assert_eq!(run.wants(), ["cancel-call /do/0/safe/try/0/both/fork/branches/0/a"]);
    run.check_replay();
    run.err("/do/0/safe/try/0/both/fork/branches/0/a", communication());
    assert_eq!(run.output(), json!({ "caught": "silent" }));
}

#[test]
fn branches_go_on_while_somebody_decides_about_one() {
    let text = of("
do:
  - both:
      fork:
        branches:
          - a: { do: [ one: { call: test.change:1.0.0@default }, two: { call: test.change:1.0.0@default } ] }
          - b: { call: test.look:1.0.0@default }
");
    let mut run = Run::of(&text, json!({}));
    run.err("/do/0/both/fork/branches/1/b", communication());
    run.ok("/do/0/both/fork/branches/0/a/do/0/one", json!(1));
    assert_eq!(
        run.wants(),
        ["call /do/0/both/fork/branches/0/a/do/1/two", "decide /do/0/both/fork/branches/1/b"]
    );
    run.check_replay();
    run.resolve("/do/0/both/fork/branches/1/b", Resolution::Skip { output: json!("by hand") });
    run.ok("/do/0/both/fork/branches/0/a/do/1/two", json!(2));
    assert_eq!(run.output(), json!([2, "by hand"]));
}

#[test]
fn a_retry_by_hand_sends_the_same_arguments_or_evaluates_anew() {
    let text = of("
do:
  - put: { set: { n: 1 }, export: { as: . } }
  - ask: { call: test.change:1.0.0@default, with: { n: '${ $context.n }' }, timeout: { after: PT9S }, then: end }
");
    for fresh in [false, true] {
        let mut run = Run::of(&text, json!({}));
        assert_eq!(run.calls()[0].1.timeout, Some(std::time::Duration::from_secs(9)));
        run.err("/do/1/ask", communication());
        run.resolve("/do/1/ask", Resolution::Retry { fresh });
        let (position, call) = run.calls()[0].clone();
        assert_eq!((position.as_str(), &call.args), ("/do/1/ask#1", &json!({ "n": 1 })));
        assert_eq!(call.timeout, Some(std::time::Duration::from_secs(9)));
        let entries =
            run.entries.iter().filter(|e| e.kind() == "entered" && e.at() == Some(&at("/do/1/ask#1")));
        assert_eq!(entries.count(), usize::from(fresh));
        run.check_replay();
        run.err("/do/1/ask#1", communication());
        run.resolve("/do/1/ask#1", Resolution::Retry { fresh });
        run.ok("/do/1/ask#2", json!("in the end"));
        assert_eq!(run.output(), json!("in the end"));
    }
}

#[test]
fn a_bound_on_a_composite_ends_what_is_pending_and_then_raises() {
    let text = of("
do:
  - safe:
      try:
        - bounded:
            timeout: { after: '${ .t }' }
            do: [ ask: { call: test.change:1.0.0@default } ]
      catch: { do: [ late: { set: { status: '${ $error.status }', at: '${ $error.instance }' } } ] }
");
    let mut run = Run::of(&text, json!({ "t": "PT5S" }));
    assert_eq!(run.wants(), ["call /do/0/safe/try/0/bounded/do/0/ask", "wake /do/0/safe/try/0/bounded"]);
    run.pass(5);
    run.wake("/do/0/safe/try/0/bounded");
    assert_eq!(run.wants(), ["cancel-call /do/0/safe/try/0/bounded/do/0/ask"]);
    run.check_replay();
    run.ok("/do/0/safe/try/0/bounded/do/0/ask", json!(1));
    assert_eq!(run.output(), json!({ "status": 408, "at": "/do/0/safe/try/0/bounded" }));
}

#[test]
fn bounds_on_waits_listens_and_the_workflow() {
    let text = of("
timeout: { after: PT1H }
do:
  - a: { try: [ w: { wait: PT1M, timeout: { after: PT5S } } ], catch: {} }
  - b: { try: [ l: { listen: { to: { one: { with: { type: x } } } }, timeout: { after: PT5S } } ], catch: {} }
  - c: { wait: PT2H }
");
    let mut run = Run::of(&text, json!({}));
    run.pass(5);
    run.wake("/do/0/a/try/0/w");
    assert_eq!(run.wants(), ["listen /do/1/b/try/0/l", "wake /", "wake /do/1/b/try/0/l"]);
    run.pass(5);
    run.wake("/do/1/b/try/0/l");
    assert_eq!(run.wants(), ["wake /", "wake /do/2/c"]);
    run.check_replay();
    run.pass(3600);
    run.wake("/");
    assert_eq!(run.wants(), ["decide /"]);
    assert!(
        run.machine
            .decide(Input::Resolve { at: at("/"), how: Resolution::Retry { fresh: true } }, run.now)
            .is_err()
    );
    run.resolve("/", Resolution::Fault);
    let Some(Outcome::Faulted { error }) = run.machine.outcome() else { panic!() };
    assert!(error.is(Standard::Timeout));
}

#[test]
fn a_broken_expression_is_an_error_of_its_task() {
    let text = of(
        "do: [ a: { try: [ x: { set: { n: '${ .a + 1 }' } } ], catch: { do: [ y: { set: { t: '${ $error.type }' } } ] } } ]",
    );
    let output = Run::of(&text, json!({ "a": "text" })).output();
    assert_eq!(output, json!({ "t": "https://serverlessworkflow.io/spec/1.0.0/errors/expression" }));
    let text = of("do: [ a: { for: { in: '${ .a }' }, do: [ x: { set: { n: 1 } } ] } ]");
    assert_eq!(Run::of(&text, json!({ "a": Value::Null })).wants(), ["decide /do/0/a"]);
}
