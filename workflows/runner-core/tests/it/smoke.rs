//! The core against services that do whatever they are asked: a move goes from decision to end.

use crate::common::World;
use schemas::op::OpReply;
use schemas::view::{RunState, StepState};

#[test]
fn a_failover_goes_from_decision_to_end() {
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    let reply = world.ask("failover", &["main"], &[]);
    let OpReply::Started { run, epoch: 2 } = reply else { panic!("{reply:?}") };
    world.run_until(|w| w.run(run).state.ended());
    let view = world.run(run);
    assert_eq!(view.state, RunState::Completed, "{view:#?}");
    let state = |function: &str, site: &str| -> Vec<StepState> {
        let at = |s: &&schemas::view::StepView| {
            s.function == function && s.address.as_ref().is_some_and(|a| a.site.as_str() == site)
        };
        view.steps.iter().filter(at).map(|s| s.state).collect()
    };
    assert_eq!(state("database.enable-access", "secondary"), [StepState::Done]);
    assert_eq!(state("database.disable-access", "main"), [StepState::Failed]);
    let group = world.group();
    assert_eq!(group.live.as_ref().unwrap().as_str(), "secondary");
    assert!(group.debts.iter().any(|d| d.what == "database.disable-access"), "{:#?}", group.debts);

    world.speak("main");
    world.run_until(|w| w.group().debts.is_empty());
    assert_eq!(world.applied("main.database.config.disable-access"), 1);
    let stopped = world.acts.iter().filter_map(|act| act.strip_suffix(".stop"));
    let stopped: Vec<&str> = stopped.filter(|name| name.starts_with("main.process.")).collect();
    let order = ["cs-backup", "cs-primary", "scs-msg"].map(|name| format!("main.process.{name}"));
    assert_eq!(stopped, order, "a debt is paid in the order of a move");
}

#[test]
fn a_switchover_goes_from_decision_to_end() {
    let mut world = World::new();
    world.adopt("main");
    let run = world.start("switchover", &[]);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed, "{:#?}", world.run(run));
    assert!(world.group().debts.is_empty(), "{:#?}", world.group().debts);
    let opening = world.entries.iter().find(|entry| entry.kind == "group.opening").unwrap();
    assert_eq!(opening.body["closedBy"]["main"], "proof", "by what it was opened beside main: {opening:?}");
}
