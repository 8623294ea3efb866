//! Data and control: what the language says, and the choices of docs/language.md.

use engine::{Evaluation, Input, Outcome, Want};
use serde_json::{Value, json};

use crate::support::{Run, at, load};

const HEAD: &str = "document: { dsl: '1.0.3', namespace: t, name: t, version: '1.0.0' }\n";

pub(crate) fn of(text: &str) -> String {
    format!("{HEAD}{text}")
}

fn run(text: &str, input: Value) -> Value {
    let run = Run::of(&of(text), input);
    run.check_replay();
    run.output()
}

#[test]
fn input_and_output_are_transformed_and_validated() {
    let text = "
input: { from: .a, schema: { document: { type: object, required: [a] } } }
output: { as: '{ whole: ., context: $context, raw: $workflow.input, id: $workflow.id }' }
do:
  - one:
      input: { from: '{ x: ., t: $task.input, c: $context }' }
      set: { y: '${ $input }', z: '${ .x }', name: '${ $task.name }', ref: '${ $task.reference }' }
      output: { as: '{ y, z, name, ref, before: $task.output.z, in: $input.x }' }
      export: { as: '{ was: $context, out: $output.z }' }
";
    let output = run(text, json!({ "a": 5 }));
    // The initial context is the workflow's transformed input.
    let expected = json!({
        "whole": { "y": { "x": 5, "t": 5, "c": 5 }, "z": 5, "name": "one", "ref": "/do/0/one", "before": 5, "in": 5 },
        "context": { "was": 5, "out": 5 }, "raw": { "a": 5 }, "id": "run-1",
    });
    assert_eq!(output, expected);
}

#[test]
fn a_misfit_is_a_validation_error_of_its_task() {
    let text = of("
do:
  - first: { set: { n: 1 } }
  - second: { set: { n: 2 }, input: { schema: { document: { required: [m] } } } }
");
    let run = Run::of(&text, json!({}));
    let Want::Decide { at, error } = &run.wanted[0] else { panic!("{:?}", run.wanted) };
    assert_eq!(at.as_str(), "/do/1/second");
    assert_eq!(error.kind, "https://serverlessworkflow.io/spec/1.0.0/errors/validation");
    assert_eq!(error.instance.as_deref(), Some("/do/1/second"));
}

#[test]
fn a_task_whose_if_says_no_passes_its_input_on_and_goes_on() {
    let text = "
do:
  - one: { set: { n: 1 } }
  - two: { if: .n == 2, set: { n: 3 }, then: end, export: { as: .n } }
  - three: { set: { n: '${ .n + 10 }' } }
";
    assert_eq!(run(text, json!({})), json!({ "n": 11 }));
}

#[test]
fn then_leads_forwards_backwards_out_and_to_the_end() {
    let text = "
do:
  - count: { set: { n: '${ .n + 1 }' } }
  - again: { switch: [ { more: { when: .n < 5, then: count } }, { enough: { then: inner } } ] }
  - never: { set: { n: -1 } }
  - inner:
      do:
        - a: { set: { n: '${ .n * 10 }' }, then: exit }
        - b: { set: { n: -2 } }
  - last: { do: [ stop: { set: { n: '${ .n + 1 }' }, then: end }, not: { set: { n: -3 } } ] }
  - neither: { set: { n: -4 } }
";
    assert_eq!(run(text, json!({ "n": 0 })), json!({ "n": 51 }));
}

#[test]
fn a_loop_of_nothing_but_literals_comes_in_bounded_batches() {
    let text = of("do: [ a: { set: { n: 1 }, then: b }, b: { set: { n: 2 }, then: a } ]");
    let machine = engine::Machine::new(load(&text));
    let facts = engine::RunFacts { id: "r".into(), started_at: crate::support::start(), input: json!({}) };
    let entries = machine.begin(facts);
    assert!(entries.len() > 200 && entries.len() < 300, "{}", entries.len());
}

#[test]
fn a_loop_hands_on_its_output_and_stops_when_while_says_so() {
    let text = "
do:
  - each:
      for: { each: x, at: i, in: '${ .list }' }
      while: $i < 3
      do:
        - add: { set: { list: [], sum: '${ (.sum // 0) + $x }', at: '${ $i }' } }
";
    assert_eq!(run(text, json!({ "list": [1, 2, 4, 8] })), json!({ "list": [], "sum": 7, "at": 2 }));
    // Nothing to do: the output is the input.
    assert_eq!(run(text, json!({ "list": [] })), json!({ "list": [] }));
    // `exit` leaves the list of this iteration; the loop goes on.
    let text = "
do:
  - each: { for: { in: '[1,2,3]' }, do: [ a: { set: { n: '${ (.n // 0) + $item }' }, then: exit }, b: { set: { n: -1 } } ] }
";
    assert_eq!(run(text, json!({})), json!({ "n": 6 }));
}

#[test]
fn iterations_at_once_are_all_wanted_and_give_an_array() {
    let text = of("
do:
  - each:
      for: { each: x, in: '[10, 20, 30]' }
      metadata: { dr: { atOnce: true } }
      do: [ ask: { call: test.change:1.0.0@default, with: { x: '${ $x }', i: '${ $index }', in: '${ .n }' } } ]
");
    let mut run = Run::of(&text, json!({ "n": 7 }));
    let args: Vec<Value> = run.calls().into_iter().map(|(_, c)| c.args).collect();
    assert_eq!(
        args,
        [
            json!({ "x": 10, "i": 0, "in": 7 }),
            json!({ "x": 20, "i": 1, "in": 7 }),
            json!({ "x": 30, "i": 2, "in": 7 })
        ]
    );
    run.ok("/do/0/each[2]/do/0/ask", json!("c"));
    run.ok("/do/0/each[0]/do/0/ask", json!("a"));
    assert_eq!(run.wants(), ["call /do/0/each[1]/do/0/ask"]);
    run.check_replay();
    run.ok("/do/0/each[1]/do/0/ask", json!("b"));
    assert_eq!(run.output(), json!(["a", "b", "c"]));
    let none = Run::of(&text.replace("[10, 20, 30]", "[]"), json!({}));
    assert_eq!(none.output(), json!([]));
}

#[test]
fn a_fork_gives_the_outputs_of_its_branches_in_order() {
    let text = of("
do:
  - both:
      fork:
        branches:
          - slow: { call: test.look:1.0.0@default }
          - quick: { do: [ a: { set: { q: 1 } } ] }
");
    let mut run = Run::of(&text, json!({}));
    assert_eq!(run.wants(), ["call /do/0/both/fork/branches/0/slow"]);
    run.ok("/do/0/both/fork/branches/0/slow", json!({ "s": 1 }));
    assert_eq!(run.output(), json!([{ "s": 1 }, { "q": 1 }]));
    run.check_replay();
}

#[test]
fn the_losers_of_a_race_are_ended_before_it_goes_on() {
    let text = of("
do:
  - race:
      fork:
        compete: true
        branches:
          - a: { call: test.change:1.0.0@default }
          - b: { call: test.look:1.0.0@default }
");
    let mut run = Run::of(&text, json!({}));
    run.ok("/do/0/race/fork/branches/1/b", json!("won"));
    assert_eq!(run.wants(), ["cancel-call /do/0/race/fork/branches/0/a"]);
    assert_eq!(run.machine.outcome(), None);
    run.check_replay();
    run.ok("/do/0/race/fork/branches/0/a", json!("too late"));
    assert_eq!(run.output(), json!("won"));
}

#[test]
fn a_loser_that_failed_first_is_no_error_once_the_race_is_won() {
    // Whether the error is caught is still being found out when the other branch wins.
    let text = of("
do:
  - safe:
      try:
        - race:
            fork:
              compete: true
              branches:
                - lost: { raise: { error: { type: 'https://example.org/x', status: 400 } } }
                - won: { set: { n: 1 } }
      catch: { when: '${ $error.status == 500 }', do: [ bad: { set: { n: 2 } } ] }
");
    let run = Run::of(&text, json!({}));
    assert_eq!(run.output(), json!({ "n": 1 }));
    run.check_replay();
}

#[test]
fn the_end_of_the_workflow_waits_for_pending_calls() {
    let text = of("
do:
  - both:
      fork:
        branches:
          - a: { call: test.change:1.0.0@default }
          - b: { set: { done: true }, then: end }
  - never: { set: { done: false } }
");
    let mut run = Run::of(&text, json!({}));
    assert_eq!(run.wants(), ["cancel-call /do/0/both/fork/branches/0/a"]);
    run.ok("/do/0/both/fork/branches/0/a", json!(1));
    assert_eq!(run.output(), json!({ "done": true }));
}

#[test]
fn a_wait_wants_to_be_woken_and_hands_its_input_on() {
    let text = of("do: [ w: { wait: { minutes: 1, seconds: 30 } }, x: { wait: '${ .d }' } ]");
    let mut run = Run::of(&text, json!({ "d": "PT10S" }));
    let Want::Wake { when, .. } = &run.wanted[0] else { panic!() };
    assert_eq!(*when - run.now, chrono::TimeDelta::seconds(90));
    run.pass(90);
    run.wake("/do/0/w");
    run.check_replay();
    run.pass(10);
    run.wake("/do/1/x");
    assert_eq!(run.output(), json!({ "d": "PT10S" }));
}

#[test]
fn a_listen_takes_what_fits_once() {
    let text = of("
do:
  - one: { listen: { to: { one: { with: { type: a.b.v1, subject: '${ $workflow.id }' } } } } }
  - all:
      listen: { read: envelope, to: { all: [ { with: { type: x } }, { with: { type: y } } ] } }
");
    let mut run = Run::of(&text, json!({}));
    let event = |kind: &str| json!({ "type": kind, "subject": "run-1", "data": { "n": kind } });
    let Want::Listen { filters, .. } = &run.wanted[0] else { panic!() };
    assert!(filters.matches(&event("a.b.v1")) && !filters.matches(&event("other")));
    run.give(Input::EventArrived { at: at("/do/0/one"), event: event("other") });
    assert_eq!(run.wants(), ["listen /do/0/one"]);
    run.give(Input::EventArrived { at: at("/do/0/one"), event: event("a.b.v1") });
    for kind in ["y", "y", "x"] {
        run.check_replay();
        run.give(Input::EventArrived { at: at("/do/1/all"), event: event(kind) });
    }
    assert_eq!(run.output(), json!([event("x"), event("y")]));
}

#[test]
fn a_call_needs_no_evaluation_where_it_has_no_expression() {
    let text = of(
        "do: [ a: { call: test.change:1.0.0@default, with: { n: 1 } }, b: { call: test.look:1.0.0@default } ]",
    );
    let definition = load(&text);
    let mut machine = engine::Machine::new(definition);
    let facts = engine::RunFacts { id: "r".into(), started_at: crate::support::start(), input: json!({}) };
    let entries = machine.begin(facts);
    let kinds: Vec<_> = entries.iter().map(engine::Entry::kind).collect();
    assert_eq!(kinds, ["begun", "entered", "entered"]);
    entries.iter().for_each(|e| machine.apply(e).unwrap());
    // The outcome of one step and the intent of the next are in one batch.
    let input = Input::CallEnded { at: at("/do/0/a"), result: Ok(json!(1)) };
    let entries = machine.decide(input, crate::support::start()).unwrap();
    let kinds: Vec<_> = entries.iter().map(engine::Entry::kind).collect();
    assert_eq!(kinds, ["left", "entered"]);
}

#[test]
fn plain_paths_are_no_reason_to_wait_and_what_only_jq_can_say_is() {
    let text = of(
        "do: [ a: { call: test.look:1.0.0@default }, b: { call: test.change:1.0.0@default, with: { n: '${ .n.m }', c: '${ $context.x }' } } ]",
    );
    let mut machine = engine::Machine::new(load(&text));
    let facts =
        engine::RunFacts { id: "r".into(), started_at: crate::support::start(), input: json!({ "x": 7 }) };
    machine.begin(facts).iter().for_each(|e| machine.apply(e).unwrap());
    let after = |output: Value| {
        let input = Input::CallEnded { at: at("/do/0/a"), result: Ok(output) };
        machine.decide(input, crate::support::start()).unwrap()
    };
    let entries = after(json!({ "n": { "m": 5 } }));
    let engine::Entry::Entered { body: engine::Body::Call { args, .. }, .. } = &entries[1] else { panic!() };
    assert_eq!(args, &json!({ "n": 5, "c": 7 }));
    // A number has no members: that is an error, and jq's to tell.
    assert_eq!(after(json!({ "n": 5 })).len(), 1);
}

#[test]
fn a_late_answer_is_passed_over() {
    let text = of("do: [ a: { call: test.change:1.0.0@default } ]");
    let mut run = Run::of(&text, json!({}));
    let early = Input::Evaluated { at: at("/do/0/a"), result: Ok(Evaluation::Skipped) };
    assert!(run.machine.decide(early, run.now).is_err());
    assert!(run.machine.decide(Input::Woke { at: at("/do/0/a") }, run.now).is_err());
    run.ok("/do/0/a", json!(1));
    let again = Input::CallEnded { at: at("/do/0/a"), result: Ok(json!(1)) };
    assert!(run.machine.decide(again, run.now).is_err());
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })));
}
