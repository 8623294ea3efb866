//! A move practised beside the system that serves its users.

use lab::system::plan::{GROUP, PROCESSES, Site};
use schemas::view::Mode;

use crate::bench::Bench;

/// The failover with main lost, on drivers in memory: in reality main serves on, and nothing was touched.
#[test]
fn a_drill_beside_real_servers_changes_nothing_of_them() {
    use Site::{Main, Secondary};
    let lab = Bench::start("drill");
    lab.written_at(Main);
    let serial = lab.bind.serial().unwrap();
    let changes = Site::ALL.map(|site| lab.access_changes(site));
    let starts = || -> Vec<usize> {
        let all =
            Site::ALL.iter().flat_map(|site| PROCESSES.iter().map(move |process| (*site, process.name)));
        all.map(|(site, process)| lab.starts(site, process)).collect()
    };
    let before = starts();
    let slots = || {
        let sql = "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots";
        Site::ALL.map(|site| lab.postgres[site.index()].psql("config", sql).unwrap())
    };
    let kept = slots();

    let said = lab.pointsman.text(&lab.desk(), &["drill", GROUP, "--why", "beside users"]).unwrap();
    for part in ["lost         main", "open config@secondary", "COMPLETED", "production   unchanged"] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }

    lab.written_at(Main);
    lab.lives_at(Main);
    assert_eq!(lab.bind.serial().unwrap(), serial, "a name was changed");
    assert_eq!(Site::ALL.map(|site| lab.access_changes(site)), changes, "a database was opened or closed");
    assert_eq!(starts(), before, "a process was started");
    assert_eq!(slots(), kept);
    assert!(!lab.is_open(Secondary));
    let status = lab.status().unwrap();
    assert_eq!((status.mode, status.drills.len()), (Mode::Normal, 1), "{status:#?}");
    assert!(lab.newest_run().unwrap().is_none_or(|run| !run.workflow.starts_with("failover")));
    lab.no_read_failed();
    lab.passed();
}
