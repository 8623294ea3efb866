//! Sweeps: the runner ends at every write of its journal, each service at every point of every act; everything is
//! started again and goes on to the end, which must be that of an undisturbed run.

/// Past the test runner's capture: a count that nobody sees is no count.
macro_rules! say {
    ($($text:tt)*) => {{
        // Fails where nobody listens.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!($($text)*).as_bytes());
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"\n");
    }};
}

use std::time::Duration;

use journal::memory::Moment;
use schemas::op::Op;
use schemas::view::RunState;
use schemas::{Action, RunId};
use simulation::{Death, Effected, Lost, Then, World, address};

use crate::common::{End, Script, asleep, difference, end, logging, ready, start_of, whole};

/// One move under one misfortune.
struct Case {
    name: &'static str,
    /// The world that it begins in.
    before: fn() -> World,
    script: Script,
    ends: RunState,
    /// A site that answers at first and then does not is left as a lost one: its stream is abandoned, not drained.
    may_be_lost: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "failover, main answers",
        before: adopted,
        script: failover_answering,
        ends: RunState::Completed,
        may_be_lost: true,
    },
    Case {
        name: "failover, main is down and comes back",
        before: adopted,
        script: failover_down,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "failover, main is cut off and comes back",
        before: adopted,
        script: failover_cut,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "switchover",
        before: adopted,
        script: switchover,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "switchover that backs out",
        before: adopted,
        script: back_out,
        ends: RunState::BackedOut,
        may_be_lost: false,
    },
    Case {
        name: "establish",
        before: closed,
        script: establish,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "failback after a switchover",
        before: moved,
        script: failback,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "failback that backs out",
        before: moved,
        script: failback_back,
        ends: RunState::BackedOut,
        may_be_lost: false,
    },
    Case {
        name: "reprotect by catch-up",
        before: unprotected,
        script: reprotect,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "reprotect by copy",
        before: lost_and_back,
        script: copied,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "cleanup after a copy",
        before: copied_home,
        script: cleanup,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "failover, main's power is off",
        before: with_a_switch,
        script: failover_off,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "switchover that backs out with its replication stopped",
        before: adopted,
        script: back_out_late,
        ends: RunState::BackedOut,
        may_be_lost: false,
    },
    Case {
        name: "switchover that a person cancels before the opening",
        before: adopted,
        script: cancelled,
        ends: RunState::BackedOut,
        may_be_lost: false,
    },
    Case {
        name: "failover, main is down, and Message Servers worked on its database",
        before: with_message_servers,
        script: failover_down,
        ends: RunState::Completed,
        may_be_lost: false,
    },
    Case {
        name: "failover whose opening a person did by hand; main comes back by a boot",
        before: adopted,
        script: opened_by_hand,
        ends: RunState::Completed,
        may_be_lost: false,
    },
];

/// A switch of main's power, at the witness.
const SWITCH: &str = "witness.process.power-main";

fn adopted() -> World {
    ready(whole().untraced())
}

fn with_a_switch() -> World {
    ready(whole().untraced().with_switch(&address(SWITCH), "main"))
}

fn with_message_servers() -> World {
    ready(logging().untraced())
}

/// Nothing runs, every site is closed.
fn closed() -> World {
    let mut w = World::new(asleep().untraced());
    w.adopt_none();
    w
}

/// Live at the secondary, protected.
fn moved() -> World {
    let mut w = adopted();
    switchover(&mut w);
    w.pass(Duration::from_secs(3));
    w
}

/// Live at the secondary after a failover whose source answered: nothing was left behind, and nothing comes back.
fn unprotected() -> World {
    let mut w = adopted();
    failover_answering(&mut w);
    w.pass(Duration::from_secs(3));
    w
}

/// Main was lost with rows that may never have come, and is back, closed.
fn lost_and_back() -> World {
    let mut w = adopted();
    w.kill_host_for_good("main");
    let run = w.start(0, start_of("failover", &["main"]));
    w.until_ended(run);
    w.heal();
    w.until("the close is paid", |w| w.record(0, "cfg").debts.is_empty());
    w.pass(Duration::from_secs(3));
    w
}

/// Main has everything again, by a copy, and what it had before is kept aside.
fn copied_home() -> World {
    let mut w = lost_and_back();
    copied(&mut w);
    w.pass(Duration::from_secs(3));
    w
}

fn failover_answering(w: &mut World) -> RunId {
    let run = w.start(0, start_of("failover", &[]));
    w.until_ended(run);
    run
}

/// No service listens at main; its database stays open, which was accepted.
fn failover_down(w: &mut World) -> RunId {
    w.kill_host_for_good("main");
    let run = w.start(0, start_of("failover", &["main"]));
    w.until_ended(run);
    run
}

/// Nothing comes from main, and what was asked of it arrives late.
fn failover_cut(w: &mut World) -> RunId {
    w.cut("main", None);
    w.pass(Duration::from_secs(7));
    let run = w.start(0, start_of("failover", &["main"]));
    w.until_ended(run);
    run
}

/// No service listens at main; a fence path proves that it is off, and nobody accepts anything.
fn failover_off(w: &mut World) -> RunId {
    let switch = address(SWITCH);
    w.kill_host_for_good("main");
    w.power_off(&switch);
    let run = w.start(0, start_of("failover", &[]));
    w.until_ended(run);
    if !w.record(0, "cfg").accepted.is_empty() {
        w.fail("somebody accepted something");
    }
    w.power_on(&switch);
    run
}

fn switchover(w: &mut World) -> RunId {
    let run = w.start(0, start_of("switchover", &[]));
    w.until_ended(run);
    run
}

/// The receiver cannot drain: everything that was done is undone, newest first.
fn back_out(w: &mut World) -> RunId {
    w.ground.broken.insert((address("secondary.replication.csp"), Action::Drain));
    let run = w.start(0, start_of("switchover", &[]));
    w.until_ended(run);
    run
}

/// The slot of the way back cannot be made: replication is drained and stopped, and is started again.
fn back_out_late(w: &mut World) -> RunId {
    w.ground.broken.insert((address("secondary.replication.css"), Action::Capture));
    switchover(w)
}

/// All that can be undone is done, and only the sequences keep the other site from being opened: what is asked of
/// them is lost. Then somebody changes his mind.
fn cancelled(w: &mut World) -> RunId {
    w.tap("sequences", Then::Lose, |e| e.asks("secondary", Action::SetSequences));
    let run = w.start(0, start_of("switchover", &[]));
    let css = address("secondary.replication.css");
    w.until("the slot of the way back", |w| w.ground.state(&css)["slot"] == true);
    w.ask_runner(0, "not today", Op::Cancel { run: run.to_string(), leave: false });
    w.until_ended(run);
    run
}

/// The secondary's service cannot open its database, somebody does, and says so. Main's server is started anew when its
/// host is back: it is closed, and nothing opens it.
fn opened_by_hand(w: &mut World) -> RunId {
    let (main, secondary) = (address("main.database.config"), address("secondary.database.config"));
    w.ground.broken.insert((secondary.clone(), Action::EnableAccess));
    w.kill_host_for_good("main");
    let run = w.start(0, start_of("failover", &["main"]));
    w.until("a person is asked", |w| w.view(0, run).state == RunState::Held);
    w.ground.states.insert(secondary, "open".into());
    let steps = w.view(0, run).steps;
    let opening = steps.iter().find(|step| step.function == "database.enable-access");
    let step = opening.unwrap_or_else(|| w.fail("it does not stand at the opening")).number.to_string();
    w.ask_runner(0, "opened by hand", Op::Done { run: run.to_string(), step, unverified: true });
    w.until_ended(run);
    w.start_host("main");
    w.boot(&main);
    w.pass(Duration::from_secs(10));
    run
}

fn establish(w: &mut World) -> RunId {
    let run = w.start(0, start_of("establish", &[]));
    w.until_ended(run);
    run
}

fn failback(w: &mut World) -> RunId {
    let run = w.start(0, start_of("failback", &[]));
    w.until_ended(run);
    run
}

fn failback_back(w: &mut World) -> RunId {
    w.ground.broken.insert((address("main.replication.css"), Action::Drain));
    failback(w)
}

fn reprotect(w: &mut World) -> RunId {
    let run = w.start(0, start_of("reprotect", &[]));
    w.until_ended(run);
    run
}

fn copied(w: &mut World) -> RunId {
    let mut op = start_of("reprotect", &[]);
    if let schemas::op::Op::Start { by, .. } = &mut op {
        *by = Some(schemas::op::ProtectBy::Copy);
    }
    let run = w.start(0, op);
    w.until_ended(run);
    run
}

fn cleanup(w: &mut World) -> RunId {
    let run = w.start(0, start_of("cleanup", &[]));
    w.until_ended(run);
    run
}

/// Plays a case, disturbed as `disturb` says, to its end.
fn play(case: &Case, disturb: impl FnOnce(&mut World)) -> World {
    let mut w = (case.before)();
    disturb(&mut w);
    let run = (case.script)(&mut w);
    w.finish("cfg");
    w.clean();
    if w.ended(run) != Some(case.ends) {
        w.fail(&format!("{}: ended as {:?}", case.name, w.ended(run)));
    }
    if case.ends == RunState::BackedOut && !ends_with_a_write(&w, run) {
        w.fail(&format!("{}: it did not end with a write that is seen to arrive", case.name));
    }
    w
}

/// The last thing that a back-out does: all the rest is given back before.
fn ends_with_a_write(w: &World, run: RunId) -> bool {
    let undone = |e: &&Effected| e.key.run == run && e.key.position.as_str().contains("!undo");
    w.ground.effects.iter().rfind(undone).is_some_and(|e| e.action == Action::VerifyWrite)
}

fn same_end(case: &Case, w: &World, at: &str, calm: &End) {
    let now = end(w);
    let lost = case.may_be_lost && now.states.values().any(|state| state["abandoned"] == true);
    let (calm, now) = match (lost, case.ends) {
        (true, _) => (&calm.without_replication(), &now.without_replication()),
        (false, RunState::BackedOut) => (&calm.without_sequences(), &now.without_sequences()),
        (false, _) => (calm, &now),
    };
    if calm != now {
        w.fail(&format!("{}, {at}: another end\n{}", case.name, difference(calm, now)));
    }
}

fn sweep_runner(case: &Case) {
    let before = (case.before)().writes(0);
    let calm = play(case, |_| ());
    let (last, calm) = (calm.writes(0), end(&calm));
    let mut points = 0;
    for write in before + 1..=last {
        for moment in [Moment::Before, Moment::Torn, Moment::After] {
            let w = play(case, |w| w.runner_dies_at(0, write, moment));
            same_end(case, &w, &format!("runner dead {moment:?} write {write}"), &calm);
            points += 1;
        }
    }
    say!("{}: the runner was killed at {points} points ({} writes)", case.name, last - before);
    assert!(points > 0, "{}: the runner was never killed", case.name);
}

const WAYS: [(Lost, Option<Duration>); 4] = [
    (Lost::Process, None),
    (Lost::Process, Some(Duration::from_millis(300))),
    (Lost::Process, Some(Duration::from_secs(3))),
    (Lost::Power, None),
];

/// How a service is killed: the ways take turns from point to point, or, asked by `POINTSMAN_SWEEP=all`, each
/// point sees them all.
fn ways(point: u64) -> Vec<(Lost, Option<Duration>)> {
    match std::env::var_os("POINTSMAN_SWEEP").is_some_and(|how| how == "all") {
        true => WAYS.to_vec(),
        false => WAYS.iter().cycle().skip(point as usize % WAYS.len()).take(1).copied().collect(),
    }
}

/// Gives how often the host was killed: of one with no part in the case, never.
fn sweep_host(case: &Case, host: &str) -> u64 {
    let fresh = (case.before)();
    let before = fresh.points(host);
    let calm = play(case, |_| ());
    let (last, calm) = (calm.points(host), end(&calm));
    let mut points = 0;
    for at in before + 1..=last {
        for (lost, commits) in ways(at) {
            let w = play(case, |w| {
                w.orphans_commit = commits;
                w.death = Some(Death { host: host.into(), at, lost });
            });
            let what = format!("{host} dead at point {at}, {lost:?}, orphans {commits:?}");
            same_end(case, &w, &what, &calm);
            points += 1;
        }
    }
    say!("{}: {host} was killed in {points} ways ({} points)", case.name, last - before);
    points
}

fn sweep_hosts(case: &Case) {
    let killed: u64 = ["main", "secondary", "witness"].iter().map(|host| sweep_host(case, host)).sum();
    assert!(killed > 0, "{}: no service was ever killed", case.name);
}

macro_rules! sweeps {
    ($($name:ident $case:literal;)*) => { $(
        mod $name {
            use super::{CASES, sweep_hosts, sweep_runner};

            #[test]
            fn the_runner_ends_at_every_write() {
                sweep_runner(&CASES[$case]);
            }

            #[test]
            fn each_service_ends_at_every_point() {
                sweep_hosts(&CASES[$case]);
            }
        }
    )* };
}

sweeps! {
    failover_main_answers 0;
    failover_main_down 1;
    failover_main_cut 2;
    switchover_forward 3;
    switchover_back 4;
    establish_from_nothing 5;
    failback_forward 6;
    failback_back 7;
    reprotect_by_catch_up 8;
    reprotect_by_copy 9;
    cleanup_after_a_copy 10;
    failover_main_off 11;
    switchover_back_late 12;
    switchover_cancelled 13;
    failover_main_down_with_message_servers 14;
    failover_by_hand 15;
}
