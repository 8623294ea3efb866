//! A site that was lost is back and closed: what only it has is told, and how that is saved.

use schemas::{Half, Orphans, ReplicationSeen, ReplicationState, Seen};
use serde_json::json;

use crate::common::{World, receiver};

/// What `status` says when main's service has counted so.
fn told(transactions: u64, rows: u64, change: impl FnOnce(&mut Orphans)) -> Vec<String> {
    let mut world = World::new();
    world.state.remove("main.database.config");
    world.state.insert("secondary.database.config".into(), json!("open"));
    world.adopt("secondary");
    let mut orphans = Orphans { transactions, rows, more: false, unknown: None, at: world.now.wall };
    change(&mut orphans);
    let half = ReplicationSeen {
        half: Half::Source,
        state: ReplicationState::Capturing,
        orphans: Some(orphans),
        ..receiver()
    };
    world.seen.insert("main.replication.csp".into(), Seen::Replication(half));
    let lines = world.group().warnings;
    lines.into_iter().filter(|line| line.starts_with("main came back")).collect()
}

#[test]
fn rows_that_only_a_returned_site_has_are_told_with_the_command_that_saves_them() {
    let how = "pointsman reprotect cfg --by copy --why … exports them before anything is overwritten";
    for (found, words) in [
        (
            told(2, 3, |_| {}),
            "main came back with 3 rows in 2 transactions that secondary never received (csp): ",
        ),
        (
            told(1, 1, |_| {}),
            "main came back with 1 row in 1 transaction that secondary never received (csp): ",
        ),
        (
            told(9, 9, |found| found.more = true),
            "main came back with at least 9 rows in 9 transactions that ",
        ),
    ] {
        let [line] = found.as_slice() else { panic!("{found:?}") };
        assert!(line.starts_with(words) && line.ends_with(how), "{line}");
    }
}

#[test]
fn that_it_has_none_is_told_and_that_nobody_knows_too() {
    assert_eq!(told(0, 0, |_| {}), ["main came back: nothing to export was found (csp)"]);
    let found = told(0, 0, |found| found.unknown = Some("slot x is lost".into()));
    let words = "main came back, and nobody knows whether it has rows that secondary never received (csp): ";
    assert_eq!(found, [format!("{words}slot x is lost")]);
}
