//! Random definitions, random answers: a replay stands where the run stands, nothing is wanted twice,
//! no pending call is passed over, and each run can be brought to its end.

use std::collections::BTreeSet;

use engine::{Error, Input, Resolution, Standard, Want};
use proptest::prelude::*;
use schemas::Position;
use serde_json::{Value, json};

use crate::support::Run;

fn tasks(inner: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    let list = prop::collection::vec(inner, 1..4);
    let named = list.prop_map(|tasks| {
        Value::Array(tasks.into_iter().enumerate().map(|(i, t)| json!({ format!("t{i}"): t })).collect())
    });
    named.boxed()
}

fn call() -> impl Strategy<Value = Value> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(undo, output, args)| {
        let mut task = json!({ "call": "test.change:1.0.0@default" });
        if undo {
            task["metadata"] = json!({ "dr": { "undo": "test.back:1.0.0@default" } });
        }
        if output {
            task["output"] = json!({ "as": "{ o: . }" });
        }
        if args {
            task["with"] = json!({ "a": "${ . }" });
        }
        task
    })
}

fn task() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => call(),
        1 => Just(json!({ "set": { "n": 1 } })),
        1 => Just(json!({ "set": { "n": "${ . }" }, "export": { "as": "." } })),
        1 => Just(json!({ "wait": "PT5S", "timeout": { "after": "PT3S" } })),
        1 => Just(json!({ "wait": "PT5S" })),
        1 => Just(json!({ "set": { "n": 2 }, "then": "exit" })),
        1 => Just(json!({ "set": { "n": 3 }, "then": "end" })),
        1 => Just(json!({ "raise": { "error": { "type": "https://example.org/e", "status": 400 } } })),
        1 => Just(json!({ "listen": { "to": { "one": { "with": { "type": "x" } } } } })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = tasks(inner);
        prop_oneof![
            (list.clone(), any::<bool>()).prop_map(|(list, bound)| match bound {
                true => json!({ "do": list, "timeout": { "after": "PT4S" } }),
                false => json!({ "do": list }),
            }),
            (list.clone(), any::<bool>()).prop_map(|(list, at_once)| json!({
                "for": { "in": "[1, 2]" }, "do": list, "metadata": { "dr": { "atOnce": at_once } }
            })),
            (list.clone(), any::<bool>())
                .prop_map(|(list, compete)| json!({ "fork": { "compete": compete, "branches": list } })),
            (list.clone(), list.clone(), 0..4).prop_map(|(block, handler, kind)| match kind {
                0 => json!({ "try": block, "catch": { "do": handler } }),
                1 => json!({ "try": block, "catch": { "when": "$error.status == 500" } }),
                2 => json!({ "try": block, "catch": { "retry": { "delay": "PT1S", "limit": { "attempt": { "count": 2 } } } } }),
                _ => json!({ "try": block, "catch": { "retry": { "when": "$error.status == 500", "limit": { "attempt": { "count": 1 } } }, "do": handler } }),
            }),
        ]
    })
}

struct Judge {
    run: Run,
    called: BTreeSet<Position>,
    pending: BTreeSet<Position>,
}

impl Judge {
    fn new(definition: &Value) -> Judge {
        let run = Run::of(&definition.to_string(), json!({ "in": 1 }));
        let mut judge = Judge { run, called: BTreeSet::new(), pending: BTreeSet::new() };
        judge.look(None);
        judge
    }

    fn look(&mut self, answered: Option<&Position>) {
        let mut pending = BTreeSet::new();
        for want in &self.run.wanted {
            match want {
                Want::Call { at, .. } => {
                    pending.insert(at.clone());
                    if !self.pending.contains(at) {
                        assert!(self.called.insert(at.clone()), "one key, two calls: {at}");
                    }
                }
                Want::CancelCall { at } => drop(pending.insert(at.clone())),
                _ => {}
            }
        }
        for at in &self.pending {
            assert!(pending.contains(at) || Some(at) == answered, "a pending call was passed over: {at}");
        }
        self.pending = pending;
        if self.run.machine.outcome().is_some() {
            assert!(self.run.wanted.is_empty(), "over, and still wanted: {:?}", self.run.wanted);
        }
        self.run.check_replay();
    }

    fn give(&mut self, input: Input) {
        let answered = match &input {
            Input::CallEnded { at, .. } => Some(at.clone()),
            _ => None,
        };
        self.run.give(input);
        self.look(answered.as_ref());
    }

    /// Answers one of the wants in one of the ways.
    fn answer(&mut self, which: usize, way: u8) {
        if self.run.wanted.is_empty() {
            return;
        }
        let want = self.run.wanted[which % self.run.wanted.len()].clone();
        let failed = || Error::standard(Standard::Communication, "silent");
        let doubt = || Error::standard(Standard::InDoubt, "nobody knows");
        let input = match want {
            Want::Call { at, .. } | Want::CancelCall { at } => {
                let result = match way % 4 {
                    0 | 1 => Ok(json!({ "ok": way })),
                    2 => Err(failed()),
                    _ => Err(doubt()),
                };
                Input::CallEnded { at, result }
            }
            Want::Wake { at, when } => {
                self.run.now = self.run.now.max(when);
                Input::Woke { at }
            }
            Want::Listen { at, .. } => Input::EventArrived { at, event: json!({ "type": "x", "data": way }) },
            Want::Decide { at, .. } => {
                let how = match way % 5 {
                    0 => Resolution::Retry { fresh: false },
                    1 => Resolution::Retry { fresh: true },
                    2 => Resolution::Skip { output: json!(null) },
                    3 => Resolution::BackOut,
                    _ => Resolution::Fault,
                };
                let input = Input::Resolve { at: at.clone(), how };
                if self.run.machine.decide(input.clone(), self.run.now).is_err() {
                    Input::Resolve { at, how: Resolution::Skip { output: json!(null) } }
                } else {
                    input
                }
            }
            Want::Evaluate { .. } => panic!("evaluations are done at once"),
        };
        self.give(input);
    }

    fn cancel(&mut self, leave: bool) {
        let input = Input::Cancel { leave };
        if self.run.machine.decide(input.clone(), self.run.now).is_ok() {
            self.give(input);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn a_replay_stands_where_the_run_stands(
        list in tasks(task()),
        answers in prop::collection::vec((any::<usize>(), any::<u8>(), 0..40_u8), 0..40),
        end in 0..3_u8,
    ) {
        let definition = json!({
            "document": { "dsl": "1.0.3", "namespace": "t", "name": "t", "version": "1.0.0" }, "do": list,
        });
        let mut judge = Judge::new(&definition);
        for (which, way, special) in answers {
            match special {
                0 => judge.cancel(true),
                1 => judge.cancel(false),
                _ => judge.answer(which, way),
            }
        }
        match end {
            0 => judge.cancel(true),
            1 => judge.cancel(false),
            _ => {}
        }
        // From here on everything goes well, and the run must end.
        for _ in 0..2_000 {
            if judge.run.machine.outcome().is_some() {
                break;
            }
            prop_assert!(!judge.run.wanted.is_empty(), "it neither ends nor wants anything");
            judge.answer(0, 4 * 5 + 4);
        }
        prop_assert!(judge.run.machine.outcome().is_some());
    }
}
