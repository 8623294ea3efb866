//! Pointsman itself dies: all of it half way, or one service in the middle of an act.

use std::time::Duration;

use lab::system::plan::{PROCESSES, Role, Site};
use lab::system::until;
use schemas::{Action, Service};

use crate::bench::{Bench, WITHIN};

const HOSTS: [&str; 9] = ["s1db", "s1dns", "s1mgmt", "s1app", "s2db", "s2dns", "s2mgmt", "s2app", "wdns"];

#[test]
fn a_move_half_done_goes_on_after_everything_was_stopped_and_started() {
    let mut lab = Bench::start("half-way");
    let killer = lab.killer(&[(Site::Secondary, Service::Replication, "css", Action::Capture)]);
    lab.begin("switchover", Site::Secondary);
    until("the runner is killed half way", WITHIN, || Ok(killer.fired())).unwrap();
    lab.kill_runner().unwrap();
    for host in HOSTS {
        lab.kill_services(host).unwrap();
    }
    assert!(!lab.is_open(Site::Main), "it was closed before the slot was asked for");
    assert!(!lab.is_open(Site::Secondary), "nobody is there to open it");
    for host in HOSTS {
        lab.start_services(host).unwrap();
    }
    lab.start_runner().unwrap();
    lab.completed(None, 0);
    lab.written_at(Site::Secondary);
    lab.lives_at(Site::Secondary);
    lab.nothing_lost(Site::Secondary);
    lab.passed();
}

#[test]
fn a_service_killed_in_the_middle_of_a_start_leaves_one_process() {
    let mut lab = Bench::start("service");
    let host = Site::Secondary.host(Role::Management);
    // The killer sees the request; here it is the service that dies, not the runner.
    let killer = lab.killer(&[(Site::Secondary, Service::Process, "cs-primary", Action::StartProcess)]);
    killer.aim(0);
    lab.begin("switchover", Site::Secondary);
    until("the start is asked for", Duration::from_secs(60), || Ok(killer.fired())).unwrap();
    lab.kill_services(host).unwrap();
    lab.start_services(host).unwrap();
    lab.completed(None, 0);
    lab.written_at(Site::Secondary);
    lab.lives_at(Site::Secondary);
    lab.nothing_lost(Site::Secondary);
    for process in PROCESSES.iter().filter(|process| process.live_only) {
        assert_eq!(lab.running(Site::Secondary, process.name), 1, "{}", process.name);
    }
    lab.passed();
}
