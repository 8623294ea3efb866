//! A planned move that does not get to its opening gives everything back.

use lab::demo::case;
use lab::system::plan::{PROCESSES, Site};
use lab::system::until;
use schemas::view::{Mode, RunState, RunView, StepState};
use schemas::{Action, Service};

use crate::acts::psql::Session;
use crate::bench::{Bench, WITHIN};
use Site::{Main, Secondary};

/// A step of the move itself, not one that undoes it.
#[track_caller]
fn state(run: &RunView, name: &str) -> StepState {
    let own = |step: &&schemas::view::StepView| {
        step.name.starts_with(name) && !step.position.as_str().contains("!undo")
    };
    run.steps.iter().find(own).unwrap_or_else(|| panic!("no `{name}`: {run:#?}")).state
}

/// Somebody loads something into secondary's log database, which is live there too: the slot of the way back waits for
/// his transaction, and he does not end it. By then main is closed and drained. The runner is killed as replication is
/// started again, and once more as main is opened again.
#[test]
fn a_switchover_whose_slot_cannot_be_made_gives_main_back_with_the_runner_killed_on_the_way() {
    let mut lab = Bench::start("back-out");
    let log = lab.postgres[Secondary.index()].superuser_dsn("log");
    let row = "INSERT INTO message (site, id, text) VALUES ('secondary', 900000001, 'a long load')";
    let load = Session::start(&log, &format!("BEGIN; {row};"));
    let changes = [Main, Secondary].map(|site| lab.access_changes(site));
    let started = |lab: &Bench| {
        let live_only = PROCESSES.iter().filter(|process| process.live_only);
        live_only.map(|process| lab.starts(Main, process.name)).collect::<Vec<_>>()
    };
    let before = started(&lab);

    // Both are asked for by a run that goes back, and by no other.
    let killer = lab.killer(&[
        (Secondary, Service::Replication, "csp", Action::StartReplication),
        (Main, Service::Database, "config", Action::EnableAccess),
    ]);
    lab.begin("switchover", Secondary);
    let (run, _) = case::follow(&mut lab, Some(&killer), 2).unwrap();
    assert_eq!(run.state, RunState::BackedOut, "{run:#?}");
    assert_eq!(state(&run, "capture css@secondary"), StepState::Failed, "{run:#?}");
    for undone in ["close config@main", "stop csp@secondary"] {
        assert_eq!(state(&run, undone), StepState::Undone, "{undone}: {run:#?}");
    }

    // Main is live as before: open, its masters started once each, its users write.
    lab.written_at(Main);
    lab.lives_at(Main);
    assert_eq!([Main, Secondary].map(|site| lab.access_changes(site)), [changes[0] + 2, changes[1]]);
    let once: Vec<usize> = before.iter().map(|count| count + 1).collect();
    assert_eq!(started(&lab), once);
    // Nothing is kept for the way back, and what main writes arrives.
    assert_eq!((lab.slots(Main).as_str(), lab.slots(Secondary).as_str()), ("lab_config_fwd", ""));
    lab.nothing_lost(Main);
    lab.nothing_lost(Secondary);
    let applies =
        "SELECT count(*) FROM pg_stat_subscription WHERE subname = 'lab_config_fwd' AND pid IS NOT NULL";
    until("the forward replication runs", WITHIN, || {
        Ok((lab.postgres[Secondary.index()].psql("config", applies)? == "1").then_some(()))
    })
    .unwrap();
    lab.mode(Mode::Normal, "main is live, protected");
    let status = lab.status().unwrap();
    assert!(status.debts.is_empty() && status.doubts.is_empty(), "{status:#?}");
    lab.no_read_failed();

    // Nothing of it stands in the way of the next one.
    drop(load);
    lab.moved("switchover", Secondary);
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.nothing_lost(Secondary);
    lab.no_read_failed();
    lab.passed();
}
