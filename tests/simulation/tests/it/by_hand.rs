//! Openings that a person goes past: done by hand, skipped, left. When the other site comes back, and its server is started
//! anew, one site is open.

use std::time::Duration;

use schemas::op::{Op, OpReply};
use schemas::view::RunState;
use schemas::{Action, RunId, Verb};
use simulation::{Then, World, address};

use crate::common::{ready, start_of, whole, with};

const MAIN: &str = "main.database.config";
const SECONDARY: &str = "secondary.database.config";

/// What keeps the opening of the secondary from being done by its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stuck {
    Waits,
    Fails,
    InDoubt,
}

/// Main is lost, and the failover stands at its opening.
fn stands_at_the_opening(stuck: Stuck) -> (World, RunId) {
    let mut w = ready(match stuck {
        Stuck::Waits => with("loss: { max: 30s, unknown: ask }\n"),
        Stuck::Fails | Stuck::InDoubt => whole(),
    });
    match stuck {
        Stuck::Waits => {}
        Stuck::Fails => {
            w.ground.broken.insert((address(SECONDARY), Action::EnableAccess));
        }
        Stuck::InDoubt => w.tap("opening", Then::Lose, |e| {
            e.asks("secondary", Action::EnableAccess) || e.asks_verb("secondary", Verb::Outcome)
        }),
    }
    w.kill_host_for_good("main");
    let run = w.start(0, start_of("failover", &["main"]));
    if stuck == Stuck::InDoubt {
        // Longer than an opening is tried and looked into.
        w.pass(Duration::from_secs(90));
    }
    w.until("a person is asked", |w| {
        let view = w.view(0, run);
        view.state == RunState::Held || view.waits_for.iter().any(|wait| wait.contains("--data-loss"))
    });
    (w, run)
}

/// The opening's number.
fn opening(w: &mut World, run: RunId) -> String {
    let steps = w.view(0, run).steps;
    let step = steps.iter().find(|step| step.function == "database.enable-access");
    step.unwrap_or_else(|| panic!("{steps:#?}")).number.to_string()
}

fn word(w: &mut World, op: Op) {
    let reply = w.ask_runner(0, "by hand", op);
    assert!(matches!(reply, OpReply::Recorded { .. }), "{reply:?}");
}

/// Main's services are back, and its server is started anew.
fn main_comes_back(w: &mut World) {
    w.untap("opening");
    w.ground.broken.clear();
    w.start_host("main");
    w.boot(&address(MAIN));
    w.pass(Duration::from_secs(20));
}

#[test]
fn what_a_person_opened_in_the_place_of_a_run_is_live_and_the_other_site_stays_closed() {
    for stuck in [Stuck::Waits, Stuck::Fails, Stuck::InDoubt] {
        let (mut w, run) = stands_at_the_opening(stuck);
        w.ground.states.insert(address(SECONDARY), "open".into());
        let step = opening(&mut w, run);
        word(&mut w, Op::Done { run: run.to_string(), step, unverified: false });
        assert_eq!(w.until_ended(run), RunState::Completed, "{stuck:?}");
        let record = w.record(0, "cfg");
        assert_eq!(record.live.as_ref().unwrap().as_str(), "secondary", "{stuck:?}");
        let left = record.left.as_ref().unwrap();
        assert!(left.run == run && left.site.as_str() == "main" && !left.drained, "{stuck:?}: {left:?}");

        main_comes_back(&mut w);
        assert!(!w.ground.is_open(&address(MAIN)) && w.ground.is_open(&address(SECONDARY)), "{stuck:?}");
        // The secondary's server too: it is live, and may stay open.
        w.boot(&address(SECONDARY));
        w.pass(Duration::from_secs(20));
        assert!(w.ground.is_open(&address(SECONDARY)), "{stuck:?}");
        w.finish("cfg");
        w.clean();
    }
}

/// Nobody says that it was opened, but it was intended, and no close is proved: main counts it as open.
#[test]
fn an_opening_that_a_person_went_past_keeps_the_other_site_closed_until_it_is_proved_closed() {
    for leaves in [false, true] {
        let (mut w, run) = stands_at_the_opening(Stuck::Fails);
        w.ground.states.insert(address(SECONDARY), "open".into());
        let step = opening(&mut w, run);
        let run_text = run.to_string();
        match leaves {
            false => word(&mut w, Op::Skip { run: run_text, step }),
            true => word(&mut w, Op::Cancel { run: run_text, leave: true }),
        }
        let state = if leaves { RunState::Cancelled } else { RunState::Completed };
        assert_eq!(w.until_ended(run), state);
        w.kill_host_for_good("secondary");
        main_comes_back(&mut w);
        assert!(!w.ground.is_open(&address(MAIN)), "leaves: {leaves}");

        w.ground.states.insert(address(SECONDARY), "closed".into());
        w.start_host("secondary");
        w.until("main is open again", |w| w.ground.is_open(&address(MAIN)));
        w.finish("cfg");
        w.clean();
    }
}

/// He says so while main is not known to be closed: it is an acceptance with his name, and its close is owed.
#[test]
fn an_opening_by_hand_beside_an_unproved_site_is_an_acceptance() {
    let mut w = ready(crate::common::pair());
    w.kill_host_for_good("a");
    let run = w.start(0, World::start_op("open", "cfg", None));
    w.until("the gate", |w| w.view(0, run).waits_for.iter().any(|wait| wait.contains("--unfenced a")));
    assert!(w.record(0, "cfg").accepted.is_empty());
    let step = opening(&mut w, run);
    word(&mut w, Op::Done { run: run.to_string(), step, unverified: true });
    assert_eq!(w.until_ended(run), RunState::Completed);
    let record = w.record(0, "cfg");
    assert_eq!(record.live.as_ref().unwrap().as_str(), "b");
    let accepted = &record.accepted[&simulation::site("a")];
    assert_eq!((accepted.epoch, accepted.by.why.as_str()), (record.epoch, "by hand"));
    let a = address("a.database.config");
    assert!(record.debts.values().any(|debt| debt.owed.address == a), "{:?}", record.debts);
    w.finish("cfg");
    assert!(!w.ground.is_open(&a));
    w.clean();
}
