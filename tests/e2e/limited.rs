//! Proxies without their master: seen by the health gate of each, told with the first of them, and left alone.

use std::process::Command;

use lab::system::plan::{PROCESSES, PROXIES, Site};
use schemas::view::Mode;

use crate::bench::Bench;
use crate::nights::status;
use Site::{Main, Secondary};

#[test]
fn both_masters_are_dead_and_what_runs_beside_them_is_not() {
    let lab = Bench::start("limited");
    // Their control server would start them again.
    let dead = ["master-scs", "cs-backup", "cs-primary"];
    for part in dead {
        assert!(Command::new(lab.plan.script(Main, part, "stop")).status().unwrap().success(), "{part}");
    }
    let lost = chrono::Utc::now();
    let proxies = ["proxy-a@main", "proxy-b@main", "proxy-a@secondary", "proxy-b@secondary"];
    let mut told = None;
    let view = status(&lab, "each proxy is named", |view| {
        told = told.or(view.limited_since.filter(|_| view.sentence.contains("not healthy")));
        view.mode == Mode::Limited && proxies.iter().all(|proxy| view.sentence.contains(proxy))
    });
    let start = "start cs-primary, cs-backup, master-scs at main again";
    assert!(view.sentence.contains(start), "{}", view.sentence);
    let since = view.limited_since.unwrap();
    assert!(Some(since) <= told, "since {since}, and {told:?} when the first proxy was named");
    assert!(since >= lost - chrono::TimeDelta::seconds(5), "since {since}, lost at {lost}");
    assert!(lab.newest_run().unwrap().is_none(), "a site whose database answers is not lost");

    for part in PROCESSES.iter().filter(|part| dead.contains(&part.name)) {
        lab.start_process(Main, part).unwrap();
    }
    status(&lab, "users write again", |view| view.mode == Mode::Normal);
    for (site, proxy) in [Main, Secondary].into_iter().flat_map(|site| PROXIES.map(|proxy| (site, proxy))) {
        assert_eq!(lab.starts(site, proxy), 0, "{proxy} at {} was started again", site.name());
    }
    lab.written_at(Main);
    lab.no_read_failed();
    lab.passed();
}
