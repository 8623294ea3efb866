//! A standby that is hours behind is no good standby by day either: the number of the loss gate, as a line of `check`.

use std::time::Duration;

use schemas::op::{Op, OpReply};
use schemas::view::RunState;
use schemas::{CheckLine, Code, Level, ReplicationSeen, ReplicationState, Seen};

use crate::common::{GROUP, World, receiver};

const LINE: &str = "secondary.replication.csp:fresh";

/// Main is live, and what was written there so long ago is applied at secondary; a loss of 30 s was agreed upon.
fn world(behind: i64) -> World {
    let group = format!("{GROUP}loss: {{ max: 30s, unknown: ask }}\n");
    let mut world = World::with(&group, Some(Duration::from_secs(60)));
    world.adopt("main");
    applied(&mut world, "secondary.replication.csp", behind);
    world
}

fn applied(world: &mut World, half: &str, behind: i64) {
    let heartbeat = world.now.wall - chrono::Duration::seconds(behind);
    let seen = ReplicationSeen { heartbeat: Some(heartbeat), ..receiver() };
    world.seen.insert(half.into(), Seen::Replication(seen));
}

fn line(world: &mut World, name: &str) -> CheckLine {
    let OpReply::Checks(checks) = world.op("", Op::Check { group: None }) else { panic!() };
    let found = checks[0].lines.iter().find(|line| line.name == name);
    found.unwrap_or_else(|| panic!("{name}: {checks:?}")).line.clone()
}

#[test]
fn half_of_what_may_be_lost_is_amber_and_more_than_all_of_it_red() {
    for (behind, level) in [(0, Level::Green), (10, Level::Green), (20, Level::Amber), (60, Level::Red)] {
        let mut world = world(behind);
        let line = line(&mut world, LINE);
        assert_eq!(line.level, level, "{line:?}");
        // One number: that of the loss gate.
        let loss = world.group().loss.unwrap();
        assert!(line.text.starts_with(&loss.text), "{line:?}, {loss:?}");
        assert_eq!(loss.verdict == "ABOVE LIMIT", level == Level::Red, "{loss:?}");
    }
    let mut world = world(0);
    world.seen.clear();
    let line = line(&mut world, LINE);
    assert_eq!(line.level, Level::Amber, "nobody can tell: {line:?}");
}

#[test]
fn a_stale_standby_stands_against_a_planned_move_until_a_person_names_it() {
    let mut world = world(3600);
    match world.ask("switchover", &[], &[]) {
        OpReply::Problem(problem) => {
            assert_eq!(problem.code, Code::RedPrecondition);
            assert!(problem.to_string().contains(LINE), "{problem}");
        }
        other => panic!("{other:?}"),
    }
    let reply = world.ask("switchover", &[], &[LINE]);
    assert!(matches!(reply, OpReply::Started { .. }), "{reply:?}");
}

/// There the loss gate asks.
#[test]
fn a_stale_standby_keeps_no_failover_from_being_started() {
    let mut world = world(3600);
    assert_eq!(line(&mut world, LINE).level, Level::Red);
    world.silence("main");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).waits_for.iter().any(|wait| wait.contains("--data-loss")));
}

/// What came the last time round is old, and nothing was written since but what was written after the opening.
#[test]
fn right_after_a_planned_move_the_way_back_is_free() {
    let mut world = world(0);
    applied(&mut world, "main.replication.css", 3600);
    let run = world.start("switchover", &[]);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    let loss = world.group().loss.unwrap();
    assert!(loss.text.contains("secondary was opened") && loss.verdict == "WITHIN LIMIT", "{loss:?}");
    assert_ne!(line(&mut world, "main.replication.css:fresh").level, Level::Red);
    let reply = world.ask("switchover", &[], &[]);
    assert!(matches!(reply, OpReply::Started { .. }), "{reply:?}");
}

/// No log says why main is behind: it was left, and nothing was started there.
#[test]
fn while_the_group_is_failed_over_it_names_the_reprotect() {
    for (workflow, command) in [
        ("failover", "pointsman reprotect cfg --by copy --why …"),
        ("switchover", "pointsman reprotect cfg --why …"),
    ] {
        let mut world = world(0);
        let planned = workflow == "switchover";
        if !planned {
            world.silence("main");
        }
        let lost: &[&str] = if planned { &[] } else { &["main"] };
        let run = world.start(workflow, lost);
        world.run_until(|w| w.run(run).state.ended());
        assert_eq!(world.run(run).state, RunState::Completed);
        world.speak("main");
        world.run_until(|w| w.group().debts.is_empty());
        applied(&mut world, "main.replication.css", 3600);
        let Some(Seen::Replication(seen)) = world.seen.get_mut("main.replication.css") else { panic!() };
        seen.state = ReplicationState::Stopped;
        // Of what was written since the opening.
        world.pass(60);
        let line = line(&mut world, "main.replication.css:fresh");
        assert_eq!(line.level, Level::Red, "{line:?}");
        let remedy = line.remedy.unwrap();
        assert!(remedy.starts_with(&format!("css does not run at main; {command}")), "{remedy}");
        assert!(world.group().sentence.contains(command), "{}", world.group().sentence);
    }
}

/// What is in the way of one replication is told of that one.
#[test]
fn a_line_names_the_reason_of_its_own_replication() {
    let more =
        "  more:   { kind: one-live,  replication: { main->secondary: xsp, secondary->main: xss } }\n  log:";
    let group = format!("{}loss: {{ max: 30s, unknown: ask }}\n", GROUP.replace("  log:", more));
    let mut world = World::with(&group, Some(Duration::from_secs(60)));
    world.state.insert("main.database.more".into(), "open".into());
    world.adopt("main");
    for half in ["secondary.replication.csp", "secondary.replication.xsp"] {
        applied(&mut world, half, 60);
    }
    let Some(Seen::Replication(seen)) = world.seen.get_mut("secondary.replication.csp") else { panic!() };
    seen.state = ReplicationState::Stopped;
    let csp = line(&mut world, LINE).remedy.unwrap();
    assert!(csp.starts_with("csp does not run at secondary; "), "{csp}");
    let xsp = line(&mut world, "secondary.replication.xsp:fresh");
    assert_eq!(xsp.level, Level::Red, "{xsp:?}");
    let remedy = xsp.remedy.unwrap();
    assert!(remedy.starts_with("see what holds it up: "), "{remedy}");
}
