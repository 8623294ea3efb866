//! A database's server was started anew, and its service asks whether it may stay open.

use std::time::Duration;

use crate::common::World;
use schemas::Epoch;
use schemas::op::OpReply;
use schemas::view::RunState;
use serde_json::json;

#[test]
fn only_the_live_site_may_stay_open_after_a_boot_and_only_in_the_latest_epoch() {
    let mut world = World::new();
    world.adopt("main");
    let first = Epoch(1);
    assert!(world.may_stay_open("main", "config", first).yes);
    assert!(world.may_stay_open("main", "log", first).yes, "it is live at both sites");
    let no = world.may_stay_open("secondary", "config", first);
    assert!(!no.yes && no.problem.unwrap().to_string().contains("main is live"));

    world.silence("main");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    assert!(world.may_stay_open("secondary", "config", Epoch(2)).yes);
    let no = world.may_stay_open("main", "config", first);
    assert!(
        !no.yes && no.problem.unwrap().to_string().contains("superseded"),
        "what main knows is of before"
    );
}

fn openings(world: &World, site: &str) -> usize {
    let of =
        |entry: &&runner_core::Append| entry.kind == "group.opening" && entry.body["address"]["site"] == site;
    world.entries.iter().filter(of).count()
}

/// Whoever asks the journal finds it open, as after a step's opening.
#[test]
fn a_yes_after_a_boot_is_recorded_once_and_before_it_is_given() {
    let mut world = World::new();
    world.adopt("main");
    assert_eq!(openings(&world, "main"), 0);
    for _ in 0..3 {
        assert!(world.may_stay_open("main", "config", Epoch(1)).yes);
        assert!(world.may_stay_open("main", "log", Epoch(1)).yes);
        assert!(!world.may_stay_open("secondary", "config", Epoch(1)).yes);
    }
    assert_eq!((openings(&world, "main"), openings(&world, "secondary")), (1, 0));
}

/// Its own record says that it is live; somebody opened the other one by hand.
#[test]
fn nothing_opens_after_a_boot_beside_a_site_that_is_seen_open() {
    let mut world = World::new();
    world.adopt("main");
    let closed = json!("closed");
    world.state.insert("main.database.config".into(), closed.clone());
    world.state.insert("secondary.database.config".into(), json!("open"));
    world.group();
    let no = world.may_stay_open("main", "config", Epoch(1));
    assert!(!no.yes && no.problem.unwrap().to_string().contains("secondary is seen open"));
    world.state.insert("secondary.database.config".into(), closed);
    world.group();
    assert!(world.may_stay_open("main", "config", Epoch(1)).yes);
    // One that falls silent afterwards does not close the live one.
    world.silence("secondary");
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(60));
    assert!(world.may_stay_open("main", "config", Epoch(1)).yes);
}

#[test]
fn while_a_run_is_under_way_it_decides() {
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    let run = world.start("failover", &[]);
    world.run_until(|w| !w.run(run).waits_for.is_empty());
    let no = world.may_stay_open("secondary", "config", Epoch(2));
    assert!(!no.yes && no.problem.unwrap().to_string().contains("decides"), "it has not opened it");
}

/// A copy takes hours, and the live site's server may be started anew meanwhile.
#[test]
fn while_a_run_only_protects_the_live_site_may_stay_open() {
    let mut world = World::new();
    world.adopt("main");
    world.failing.insert("secondary.replication.css.export".into());
    let OpReply::Started { run, .. } = world.op("secondary is back", crate::ledger::copy(None)) else {
        panic!()
    };
    world.run_until(|w| w.run(run).state == RunState::Held);
    let yes = world.may_stay_open("main", "config", Epoch(2));
    assert!(yes.yes, "{:?}", yes.problem);
    let no = world.may_stay_open("secondary", "config", Epoch(2));
    assert!(!no.yes && no.problem.unwrap().to_string().contains("main is live"));
}
