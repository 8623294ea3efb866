//! No name can be changed: a person has the hosts files of the clients pushed, the run goes on, and what was pushed is
//! taken away when the name is right.

use std::time::Duration;

use journal::memory::Moment;
use schemas::op::{Op, OpReply};
use schemas::view::RunState;
use schemas::{Action, Code, RunId};
use serde_json::json;
use simulation::{World, address};

use crate::common::{End, difference, end, ready, start_of, whole};

const HOSTS: [&str; 2] = ["main.dns.s1app", "secondary.dns.s2app"];

fn push(w: &mut World, run: RunId) -> OpReply {
    w.ask_runner(0, "the DNS server is gone", Op::Push { run: run.to_string() })
}

/// The run is held at its name, and pushed, as often as it takes. Returns when it has ended; the name still is broken.
fn pushed(w: &mut World) -> RunId {
    w.ground.broken.insert((address("witness.dns.cs-primary"), Action::Point));
    let run = w.start(0, start_of("failover", &[]));
    w.until("its end", |w| {
        if w.ended(run).is_none() && w.view(0, run).state == RunState::Held {
            push(w, run);
        }
        w.ended(run).is_some()
    });
    run
}

#[test]
fn a_run_goes_on_by_pushed_hosts_files_and_they_are_taken_away_after_the_name() {
    let mut w = ready(whole());
    let early = w.start(0, start_of("switchover", &[]));
    let OpReply::Problem(problem) = push(&mut w, early) else { panic!("it is not held at a name") };
    assert_eq!(problem.code, Code::Conflict, "{problem}");
    w.until_ended(early);

    let mut w = ready(whole());
    let run = pushed(&mut w);
    assert_eq!(w.ended(run), Some(RunState::Completed));
    let by = w.view(0, run).steps.iter().filter(|step| step.function == "dns.push").count();
    assert_eq!(by, HOSTS.len());
    // Whoever starts the runner again does not take them away early either.
    w.kill_runner(0);
    w.pass(Duration::from_secs(60));
    for host in HOSTS {
        assert_eq!(*w.ground.state(&address(host)), json!({ "pushed": "secondary" }), "{host}");
    }
    let owed: Vec<String> =
        w.record(0, "cfg").debts.values().map(|debt| debt.owed.address.to_string()).collect();
    assert_eq!(owed.len(), 3, "the name, and each hosts file: {owed:?}");

    w.ground.broken.clear();
    w.finish("cfg");
    w.clean();
    for host in HOSTS.into_iter().chain(["witness.dns.cs-primary"]) {
        assert_eq!(*w.ground.state(&address(host)), json!("secondary"), "{host}");
    }
    let acts: Vec<Action> = w.ground.effects.iter().map(|effect| effect.action).collect();
    let at = |action: Action| acts.iter().position(|one| *one == action).unwrap();
    assert!(at(Action::Push) < at(Action::Point) && at(Action::Point) < at(Action::Unpush), "{acts:?}");
}

/// The runner is killed at each write: the same end, each file written and taken away once.
#[test]
fn the_runner_is_killed_at_each_write_while_hosts_files_are_pushed() {
    let play = |disturb: &dyn Fn(&mut World)| -> (u64, End) {
        let mut w = ready(whole().untraced());
        disturb(&mut w);
        let run = pushed(&mut w);
        w.ground.broken.clear();
        w.finish("cfg");
        w.clean();
        assert_eq!(w.ended(run), Some(RunState::Completed));
        (w.writes(0), end(&w))
    };
    let before = ready(whole().untraced()).writes(0);
    let (last, calm) = play(&|_| ());
    assert!(last > before, "the runner is never killed");
    for write in before + 1..=last {
        let moment = if write % 2 == 0 { Moment::Before } else { Moment::After };
        let (_, now) = play(&|w| w.runner_dies_at(0, write, moment));
        let (calm, now) = (calm.without_replication(), now.without_replication());
        assert!(calm == now, "killed at write {write}, {moment:?}\n{}", difference(&calm, &now));
    }
}
