//! A database's server was started anew, and its service asks whether it may stay open.

use crate::common::World;
use schemas::Epoch;
use schemas::view::RunState;

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
