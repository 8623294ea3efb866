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
/// his transaction, and he does not end it.
fn long_load(lab: &Bench) -> Session {
    let log = lab.postgres[Secondary.index()].superuser_dsn("log");
    let row = "INSERT INTO message (site, id, text) VALUES ('secondary', 900000001, 'a long load')";
    Session::start(&log, &format!("BEGIN; {row};"))
}

/// The slot of the way back cannot be made, and by then main is closed and drained. The runner is killed as replication is
/// started again, and once more as main is opened again.
#[test]
fn a_switchover_whose_slot_cannot_be_made_gives_main_back_with_the_runner_killed_on_the_way() {
    let mut lab = Bench::start("back-out");
    let load = long_load(&lab);
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
    // The last thing is a write that arrives: as the writers' role, to the application's own table.
    let last = run.steps.last().unwrap();
    assert_eq!((last.function.as_str(), last.state), ("database.verify-write", StepState::Done), "{run:#?}");
    assert_eq!(last.output["roles"]["cfg_db"], "public.entry", "{last:#?}");

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

/// Main is open again and its masters are healthy, and no write gets through: that is no end of a back-out.
#[test]
fn a_back_out_whose_users_cannot_write_is_held_until_they_can() {
    let mut lab = Bench::start("back-out-unwritten");
    let load = long_load(&lab);
    lab.begin("switchover", Secondary);
    until("main is closed", WITHIN, || Ok((!lab.is_open(Main)).then_some(()))).unwrap();
    lab.postgres[Main.index()]
        .psql(
            "config",
            "CREATE FUNCTION in_repair() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'somebody repairs this table'; END $$;
             CREATE TRIGGER in_repair BEFORE INSERT ON entry EXECUTE FUNCTION in_repair()",
        )
        .unwrap();
    let held = until("the back-out is held", WITHIN, || {
        let run = lab.status()?.run;
        Ok(run.filter(|run| run.state == RunState::Held))
    })
    .unwrap();
    let words = held.waits_for.join(" ");
    for part in ["cfg_db cannot write to public.entry", "somebody repairs this table", "users may be unable"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(lab.is_open(Main) && !lab.is_open(Secondary));
    for part in PROCESSES.iter().filter(|part| part.live_only) {
        assert_eq!(lab.running(Main, part.name), 1, "{}: {held:#?}", part.name);
    }

    lab.postgres[Main.index()].psql("config", "DROP FUNCTION in_repair CASCADE").unwrap();
    let failed = held.steps.iter().rfind(|step| step.state == StepState::Failed).unwrap();
    let (id, step) = (held.id.to_string(), failed.number.to_string());
    let retry = ["retry", id.as_str(), step.as_str(), "--why", "repaired"];
    lab.pointsman.text(&lab.desk(), &retry).unwrap();
    until("the run goes on", WITHIN, || Ok((lab.show(&id)?.state != RunState::Held).then_some(()))).unwrap();
    let (run, _) = case::follow(&mut lab, None, 0).unwrap();
    assert_eq!(run.state, RunState::BackedOut, "{run:#?}");
    lab.written_at(Main);
    lab.lives_at(Main);
    lab.nothing_lost(Main);
    drop(load);
    lab.no_read_failed();
    lab.passed();
}
