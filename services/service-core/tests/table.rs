//! The ledger's whole machine, as a table that is committed: a change of behaviour is a line in the diff.
//!
//! `UPDATE_GOLDEN=1 cargo test -p service-core --test table` rewrites it.

#![expect(clippy::unwrap_used, reason = "tests")]

use schemas::{Attempt, Code, Digest, Problem};
use serde_json::Value;
use service_core::ledger::{Known, Last, Running};
use service_core::{End, Rules};

fn ends() -> Vec<(&'static str, Option<End>)> {
    let problem = |code| Problem::new(code, "");
    vec![
        ("started", None),
        ("applied", Some(End::Applied { output: Value::Null, by_look: false })),
        ("failed", Some(End::Failed { problem: problem(Code::Failed) })),
        ("in doubt", Some(End::InDoubt { problem: problem(Code::InDoubt) })),
    ]
}

/// Each state of a key, around attempt 2.
fn states() -> Vec<(String, Known, Vec<Running>)> {
    let idle = vec![Running::No];
    let all = vec![Running::Here, Running::No, Running::SeenGone];
    let mut states = vec![("nothing".to_owned(), Known::default(), idle.clone())];
    states.push(("void 2".into(), Known { void: Some(Attempt(2)), last: None }, idle.clone()));
    for void in [None, Some(Attempt(3))] {
        for (name, end) in ends() {
            let running = if end.is_none() { all.clone() } else { idle.clone() };
            let last = Last { attempt: Attempt(2), digest: Digest::of(b"a"), end };
            let fence = void.map(|upto: Attempt| format!(", void {upto}")).unwrap_or_default();
            states.push((format!("2 {name}{fence}"), Known { void, last: Some(last) }, running));
        }
    }
    states
}

fn table() -> String {
    let mut out = String::from("state | being done | question | verdict\n");
    for (name, known, runnings) in states() {
        for running in runnings {
            for attempt in 1..=4 {
                let verdict = known.asked(Attempt(attempt), Digest::of(b"a"), running, Rules::default());
                out += &format!("{name} | {running:?} | request {attempt} | {verdict:?}\n");
            }
            let other = known.asked(Attempt(3), Digest::of(b"b"), running, Rules::default());
            out += &format!("{name} | {running:?} | request 3, other arguments | {other:?}\n");
            for attempt in 1..=4 {
                let settle = known.outcome(Attempt(attempt), running);
                out += &format!("{name} | {running:?} | outcome {attempt} | {settle:?}\n");
            }
        }
    }
    out
}

#[test]
fn the_table_is_the_committed_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/ledger.txt");
    let now = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(now, committed, "UPDATE_GOLDEN=1 rewrites it");
}
