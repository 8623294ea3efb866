//! The whole machine as a table: each place, each entry, what follows. A change of behaviour is a line
//! in the diff of `tests/golden/transitions.txt`; `UPDATE_GOLDEN=1` writes it again.

use std::fmt::Write as _;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use engine::{
    Applied, Body, Catching, Entry, Error, EventFilter, EventFilters, Input, Machine, Resolution, RunFacts,
    Standard, Strategy,
};
use schemas::Position;
use serde_json::json;

use crate::flow::of;
use crate::support::{Run, at, start};

const TEXT: &str = "
do:
  - first: { set: { a: '${ .a }' }, if: .stop == 1 }
  - composite:
      fork:
        branches:
          - call: { call: test.change:1.0.0@default, metadata: { dr: { undo: 'test.back:1.0.0@default' } } }
          - leaving: { call: test.look:1.0.0@default, output: { as: '[.x]' } }
          - sequence: { timeout: { after: PT1H }, do: [ ask: { call: test.look:1.0.0@default } ] }
          - loops: { for: { in: '[1, 2]' }, while: $index < 2, do: [ ask: { call: test.look:1.0.0@default } ] }
          - catches: { try: [ ask: { call: test.look:1.0.0@default } ], catch: { when: '$error.status == 408', do: [ ask: { call: test.look:1.0.0@default } ] } }
          - retries: { try: [ ask: { call: test.look:1.0.0@default } ], catch: { retry: { delay: PT1S } } }
          - waits: { wait: PT1H }
          - listens: { listen: { to: { all: [ { with: { type: a } }, { with: { type: b } } ] } } }
          - ready: { set: { a: 1 } }
";

/// Tasks of each kind whose entry is to be evaluated, and not by a plain path.
const ARRIVING: &str = "
do:
  - all:
      fork:
        branches:
          - call: { call: test.look:1.0.0@default, with: { a: '${ [.] }' } }
          - for: { for: { in: '[.]' }, do: [ ask: { call: test.look:1.0.0@default } ] }
          - do: { if: '. == 1', do: [ ask: { call: test.look:1.0.0@default } ] }
          - fork: { if: '. == 1', fork: { branches: [ ask: { call: test.look:1.0.0@default } ] } }
          - try: { if: '. == 1', try: [ ask: { call: test.look:1.0.0@default } ], catch: {} }
          - wait: { wait: '${ [.] }' }
          - listen: { listen: { to: { one: { with: { type: '${ [.] }' } } } } }
          - emit: { emit: { event: { with: { type: '${ [.] }' } } } }
          - switch: { switch: [ { one: { when: . == 1, then: continue } } ] }
          - raise: { raise: { error: { type: '${ [.] }', status: 400 } } }
";

fn error() -> Error {
    Error::standard(Standard::Communication, "silent")
}

fn branch(n: usize, rest: &str) -> String {
    format!("/do/1/composite/fork/branches/{n}/{rest}")
}

/// A run up to the fork.
fn forked() -> Run {
    Run::of(&of(TEXT), json!({ "stop": 0 }))
}

/// Machines with a frame at each place, and where it stands.
fn samples() -> Vec<(&'static str, Machine, Position)> {
    let mut all = Vec::new();
    let mut early = Machine::new(forked().machine.definition().clone());
    let facts = RunFacts { id: "r".into(), started_at: start(), input: json!({ "stop": 0 }) };
    early.begin(facts.clone()).iter().for_each(|e| early.apply(e).unwrap());
    let definition = crate::support::load(&of(ARRIVING));
    let mut begun = Machine::new(definition);
    for (i, entry) in begun.begin(facts.clone()).iter().enumerate() {
        begun.apply(entry).unwrap();
        if i == 0 {
            all.push(("workflow", begun.clone(), at("/")));
        }
    }
    for (i, kind) in ["call", "for", "do", "fork", "try", "wait", "listen", "emit", "switch", "raise"]
        .into_iter()
        .enumerate()
    {
        all.push((kind, begun.clone(), at(&format!("/do/0/all/fork/branches/{i}/{kind}"))));
    }
    let mut add = |name, run: &Run, position: &str| all.push((name, run.machine.clone(), at(position)));
    let run = forked();
    add("call", &run, &branch(0, "call"));
    add("do", &run, &branch(2, "sequence"));
    add("for", &run, &branch(3, "loops"));
    add("fork", &run, "/do/1/composite");
    add("wait", &run, &branch(6, "waits"));
    add("listen", &run, &branch(7, "listens"));
    add("branch", &run, &branch(8, "ready"));
    let mut run = forked();
    run.err(&branch(0, "call"), error());
    add("call", &run, &branch(0, "call"));
    let mut run = forked();
    run.err(&branch(5, "retries/try/0/ask"), error());
    add("try", &run, &branch(5, "retries"));
    let mut run = forked();
    run.err(&branch(4, "catches/try/0/ask"), Error::standard(Standard::Timeout, "late"));
    add("try", &run, &branch(4, "catches"));
    let mut run = forked();
    run.give(Input::Cancel { leave: false });
    add("call", &run, &branch(0, "call"));
    add("workflow", &run, "/");
    run.ok(&branch(0, "call"), json!(1));
    for left in run.wants() {
        run.ok(left.split_once(' ').unwrap().1, json!(1));
    }
    add("workflow", &run, "/");
    add("undo", &run, &branch(0, "call!undo"));
    run.err(&branch(0, "call!undo"), error());
    add("undo", &run, &branch(0, "call!undo"));
    // Evaluations that a run does at once are held back here.
    let held = |position: &str, result: Result<serde_json::Value, Error>| {
        let run = forked();
        let mut machine = run.machine.clone();
        let entries = machine.decide(Input::CallEnded { at: at(position), result }, run.now).unwrap();
        entries.iter().for_each(|e| machine.apply(e).unwrap());
        machine
    };
    all.push(("task", early, at("/do/0/first")));
    all.push(("call", held(&branch(1, "leaving"), Ok(json!({}))), at(&branch(1, "leaving"))));
    let catching = held(&branch(4, "catches/try/0/ask"), Err(error()));
    all.push(("try", catching.clone(), at(&branch(4, "catches"))));
    all.push(("caught", catching, at(&branch(4, "catches/try/0/ask"))));
    let looping = held(&branch(3, "loops[0]/do/0/ask"), Ok(json!(1)));
    all.push(("iteration", looping, at(&branch(3, "loops[1]"))));
    all
}

fn entries(at: &Position, time: DateTime<Utc>) -> Vec<(String, Entry)> {
    let (output, error) = (json!(1), error());
    let mut all = Vec::new();
    let bodies = [
        ("block", Body::Block),
        ("call", Body::Call { args: json!({}), timeout_ms: None }),
        ("for", Body::For { items: vec![json!(1)] }),
        ("wait", Body::Wait { until: time }),
        (
            "listen",
            Body::Listen {
                filters: EventFilters { strategy: Strategy::Any, filters: vec![EventFilter::default()] },
            },
        ),
    ];
    for (name, body) in bodies {
        let entry = Entry::Entered { at: at.clone(), time, input: None, deadline: None, body };
        all.push((format!("entered {name}"), entry));
    }
    for (name, how) in [
        ("pass", Catching::Pass),
        ("retry now", Catching::Retry { due: None }),
        ("retry later", Catching::Retry { due: Some(time) }),
        ("handle", Catching::Handle),
    ] {
        all.push((format!("caught {name}"), Entry::Caught { at: at.clone(), time, how }));
    }
    for (name, how) in [
        ("fault", Resolution::Fault),
        ("back-out", Resolution::BackOut),
        ("retry", Resolution::Retry { fresh: false }),
        ("retry fresh", Resolution::Retry { fresh: true }),
        ("skip", Resolution::Skip { output: output.clone() }),
    ] {
        all.push((format!("resolved {name}"), Entry::Resolved { at: at.clone(), time, how }));
    }
    for (name, applied) in [("yes", Applied::Yes), ("no", Applied::No), ("maybe", Applied::Maybe)] {
        all.push((format!("settled {name}"), Entry::Settled { at: at.clone(), time, applied }));
    }
    for go in [true, false] {
        all.push((format!("looped {go}"), Entry::Looped { at: at.clone(), time, go }));
    }
    let at = || at.clone();
    all.extend(
        [
            Entry::Skipped { at: at(), time },
            Entry::Ran { at: at(), time, output: output.clone(), context: None, case: None, event: None },
            Entry::Ended { at: at(), time, output: output.clone() },
            Entry::Left { at: at(), time, output: output.clone(), context: None },
            Entry::Heard { at: at(), time, filter: 0, event: output },
            Entry::Failed { at: at(), time, error: error.clone() },
            Entry::TimedOut { at: at(), time, error },
            Entry::Woke { at: at(), time },
            Entry::Undone { at: at(), time },
        ]
        .map(|e| (e.kind().to_owned(), e)),
    );
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn place<'m>(machine: &'m Machine, at: &Position) -> &'m str {
    machine.places().into_iter().find(|(p, _)| *p == at).map_or("gone", |(_, place)| place)
}

fn table() -> String {
    let mut out =
        String::from("# task, its place + entry -> its place afterwards. What is not here is refused.\n");
    for (name, machine, at) in samples() {
        let before = place(&machine, &at);
        assert_ne!(before, "gone", "{name} {at}: {:?}", machine.places());
        for (label, entry) in entries(&at, start()) {
            let mut after = machine.clone();
            match after.apply(&entry) {
                Ok(()) => {
                    let over = after.outcome().map_or(String::new(), |o| {
                        let kind = serde_json::to_value(o).unwrap()["outcome"].as_str().unwrap().to_owned();
                        format!(", run {kind}")
                    });
                    writeln!(out, "{name} {before} + {label} -> {}{over}", place(&after, &at)).unwrap();
                }
                // Refused, and nothing has changed.
                Err(_) => assert!(after == machine, "{name} {before} + {label}"),
            }
        }
    }
    out
}

#[test]
fn the_table_is_the_one_that_was_agreed() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/transitions.txt");
    let table = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &table).unwrap();
    }
    let agreed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(agreed == table, "the table changed; look at the difference with UPDATE_GOLDEN=1 and git diff");
}

#[test]
fn each_place_and_each_entry_is_in_the_table() {
    let table = table();
    let places = "arriving calling cancelling running looping forking catching unwinding delaying handling waiting \
                  listening exiting ended failed undoing";
    let samples = samples();
    for place in places.split_whitespace() {
        assert!(samples.iter().any(|(_, m, at)| self::place(m, at) == place), "{place} has no sample");
    }
    for (label, _) in entries(&at("/x"), start()) {
        assert!(table.contains(&format!("+ {label} ->")), "{label} is nowhere possible");
    }
}
