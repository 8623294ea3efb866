//! Planned moves: nothing is lost, there and back.

use lab::system::plan::{PROCESSES, Site};
use lab::system::until;
use schemas::{Action, Service};

use crate::bench::{Bench, WITHIN};

/// There, with the runner killed at six requests on the way; each effect is there once. Then back.
#[test]
fn a_switchover_with_the_runner_killed_six_times_does_each_thing_once_and_back() {
    use Site::{Main, Secondary};
    let mut lab = Bench::start("switchover");
    let serial = lab.bind.serial().unwrap();
    let (closed, opened) = (lab.access_changes(Main), lab.access_changes(Secondary));
    let killer = lab.killer(&[
        (Main, Service::Process, "cs-backup", Action::StopProcess),
        (Main, Service::Database, "config", Action::DisableAccess),
        (Secondary, Service::Replication, "csp", Action::Drain),
        (Secondary, Service::Replication, "css", Action::Capture),
        (Secondary, Service::Database, "config", Action::EnableAccess),
        (Secondary, Service::Process, "cs-primary", Action::StartProcess),
    ]);
    lab.begin("switchover", Secondary);
    let view = lab.completed(Some(&killer), 6);
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.nothing_lost(Secondary);
    lab.no_read_failed();

    assert!(view.steps.iter().filter(|step| step.in_doubt).count() >= 3, "{view:#?}");
    assert_eq!(lab.bind.serial().unwrap(), serial + 2, "one change of each of two names");
    assert_eq!(lab.access_changes(Main), closed + 1);
    assert_eq!(lab.access_changes(Secondary), opened + 1);
    for process in PROCESSES.iter().filter(|process| process.live_only) {
        assert_eq!(lab.starts(Secondary, process.name), 1, "{}", process.name);
    }
    let slot = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'lab_config_rev' AND active";
    until("the reverse slot is read", WITHIN, || {
        Ok((lab.postgres[1].psql("config", slot)? == "1").then_some(()))
    })
    .unwrap();
    until("the sequences were set once", WITHIN, || {
        let calls = lab.calls(Secondary, "set_sequences");
        if calls == "1" { Ok(Some(())) } else { Err(anyhow::anyhow!("{calls}")) }
    })
    .unwrap();
    lab.nothing_lost(Main);

    lab.moved("switchover", Main);
    lab.written_at(Main);
    lab.lives_at(Main);
    lab.nothing_lost(Main);
    lab.nothing_lost(Secondary);
    lab.no_read_failed();
    lab.passed();
}
