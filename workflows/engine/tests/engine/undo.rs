//! Backing out, and cancelling.

use engine::{Error, InDoubt, Input, Outcome, Resolution, Standard};
use serde_json::json;

use crate::flow::of;
use crate::support::{Run, at};

const THREE: &str = "
do:
  - each:
      for: { each: p, in: '[1, 2]' }
      do:
        - stop: { call: test.change:1.0.0@default, with: { p: '${ $p }' }, metadata: { dr: { undo: 'test.back:1.0.0@default' } } }
  - plain: { call: test.look:1.0.0@default }
  - close: { call: test.change:1.0.0@default, with: { site: a }, metadata: { dr: { undo: 'test.open:1.0.0@default', phase: fence, manual: by hand } } }
";

fn failed() -> Error {
    Error::standard(Standard::Runtime, "no")
}

fn up_to_close() -> Run {
    let mut run = Run::of(&of(THREE), json!({}));
    run.ok("/do/0/each[0]/do/0/stop", json!("ok"));
    run.ok("/do/0/each[1]/do/0/stop", json!("ok"));
    run.ok("/do/1/plain", json!("ok"));
    run
}

#[test]
fn what_was_done_is_undone_newest_first_with_its_own_arguments() {
    let mut run = up_to_close();
    run.err("/do/2/close", failed());
    run.resolve("/do/2/close", Resolution::BackOut);
    assert!(run.machine.is_backing_out());
    for (i, p) in [(1, 2), (0, 1)] {
        let (position, call) = run.calls()[0].clone();
        assert_eq!(run.wants(), [format!("call /do/0/each[{i}]/do/0/stop!undo")]);
        assert_eq!((call.service.as_str(), call.action.as_str()), ("test", "back"));
        assert_eq!(call.args, json!({ "p": p }));
        assert_eq!(call.undoes, Some(at(&format!("/do/0/each[{i}]/do/0/stop"))));
        assert_eq!((call.undo, call.in_doubt), (None, InDoubt::Ask));
        run.check_replay();
        run.ok(&position, json!("undone"));
    }
    assert_eq!(run.machine.outcome(), Some(&Outcome::BackedOut));
}

#[test]
fn a_call_in_doubt_may_have_been_done_and_is_undone_too() {
    let mut run = up_to_close();
    run.err("/do/2/close", Error::standard(Standard::InDoubt, "passed"));
    run.resolve("/do/2/close", Resolution::BackOut);
    let (position, call) = run.calls()[0].clone();
    assert_eq!((position.as_str(), call.effect), ("/do/2/close!undo", schemas::Effect::Opens));
    assert_eq!(call.phase.as_deref(), Some("fence"));
}

#[test]
fn an_undo_that_fails_waits_for_a_person() {
    let mut run = up_to_close();
    run.err("/do/2/close", failed());
    run.resolve("/do/2/close", Resolution::BackOut);
    run.err("/do/0/each[1]/do/0/stop!undo", failed());
    assert_eq!(run.wants(), ["decide /do/0/each[1]/do/0/stop!undo"]);
    let out = Input::Resolve { at: at("/do/0/each[1]/do/0/stop!undo"), how: Resolution::BackOut };
    assert!(run.machine.decide(out, run.now).is_err());
    run.check_replay();
    run.resolve("/do/0/each[1]/do/0/stop!undo", Resolution::Retry { fresh: false });
    run.err("/do/0/each[1]/do/0/stop!undo#1", failed());
    run.resolve("/do/0/each[1]/do/0/stop!undo#1", Resolution::Skip { output: json!(null) });
    assert_eq!(run.wants(), ["call /do/0/each[0]/do/0/stop!undo"]);
    run.err("/do/0/each[0]/do/0/stop!undo", failed());
    run.resolve("/do/0/each[0]/do/0/stop!undo", Resolution::Fault);
    assert!(matches!(run.machine.outcome(), Some(Outcome::Faulted { .. })));
}

#[test]
fn a_cancel_awaits_what_is_pending_and_backs_out_or_leaves() {
    for (leave, applied) in [(false, true), (false, false), (true, true)] {
        let mut run = up_to_close();
        run.give(Input::Cancel { leave });
        assert_eq!(run.wants(), ["cancel-call /do/2/close"]);
        assert!(run.machine.decide(Input::Cancel { leave }, run.now).is_err());
        run.check_replay();
        match applied {
            true => run.ok("/do/2/close", json!("it was done")),
            false => run.err("/do/2/close", failed()),
        }
        match (leave, applied) {
            (true, _) => assert_eq!(run.machine.outcome(), Some(&Outcome::Cancelled)),
            (false, true) => assert_eq!(run.wants(), ["call /do/2/close!undo"]),
            (false, false) => assert_eq!(run.wants(), ["call /do/0/each[1]/do/0/stop!undo"]),
        }
        run.check_replay();
    }
}

#[test]
fn a_back_out_can_be_left() {
    let mut run = up_to_close();
    run.give(Input::Cancel { leave: false });
    run.err("/do/2/close", failed());
    run.give(Input::Cancel { leave: true });
    assert_eq!(run.wants(), ["cancel-call /do/0/each[1]/do/0/stop!undo"]);
    run.ok("/do/0/each[1]/do/0/stop!undo", json!(1));
    assert_eq!(run.machine.outcome(), Some(&Outcome::Cancelled));
}

#[test]
fn nothing_to_undo_ends_at_once() {
    let mut run = Run::of(&of(THREE), json!({}));
    run.err("/do/0/each[0]/do/0/stop", failed());
    run.resolve("/do/0/each[0]/do/0/stop", Resolution::BackOut);
    assert_eq!(run.machine.outcome(), Some(&Outcome::BackedOut));
    assert!(run.machine.outstanding().is_empty());
}
