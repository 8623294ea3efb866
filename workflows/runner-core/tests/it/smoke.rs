//! The core against services that do whatever they are asked: a move goes from decision to end.

use std::time::Duration;

use crate::common::{GROUP, World};
use schemas::op::{Op, OpReply};
use schemas::view::{RunState, StepState, StepView};

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
        let at = |s: &&StepView| {
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

/// Two closes fail side by side: a word about one is none about the other, which is shown as long as it waits.
#[test]
fn a_failed_step_is_shown_although_the_run_was_released_for_another_one() {
    let more =
        "  more:   { kind: one-live,  replication: { main->secondary: xsp, secondary->main: xss } }\n  log:";
    let group = GROUP.replace("  log:", more);
    assert!(group.contains(more));
    let mut world = World::with(&group, None);
    world.state.insert("main.database.more".into(), "open".into());
    world.adopt("main");
    for database in ["config", "more"] {
        world.failing.insert(format!("main.database.{database}.disable-access"));
    }
    let run = world.start("failover", &[]);
    world.run_until(|w| w.run(run).steps.iter().filter(|s| s.state == StepState::Failed).count() == 2);
    let steps = world.run(run).steps;
    let failed: Vec<&StepView> = steps.iter().filter(|s| s.state == StepState::Failed).collect();
    assert_eq!(world.run(run).state, RunState::Held);
    let close = format!("{}.disable-access", failed[0].address.as_ref().unwrap());
    let retry =
        |step: &StepView| Op::Retry { run: run.to_string(), step: step.number.to_string(), fresh: false };
    world.failing.remove(&close);
    assert!(matches!(world.op("mended", retry(failed[0])), OpReply::Recorded { .. }));
    world.run_until(|w| w.applied(&close) > 0);
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(5));
    let view = world.run(run);
    assert_eq!(view.state, RunState::Waiting, "{view:#?}");
    let words = view.waits_for.join(" ");
    assert!(words.contains("failed: ") && words.contains("pointsman retry|skip|done"), "{words}");

    world.failing.clear();
    assert!(matches!(world.op("mended too", retry(failed[1])), OpReply::Recorded { .. }));
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
}
