//! Servers are lost: each of the bus in turn; and a main site that comes back after a kill.

use lab::system::loss::By;
use lab::system::plan::Site;
use lab::system::{STATUS_EVERY, until, until_every};

use crate::bench::{Bench, WITHIN};

#[test]
fn moves_go_on_while_any_one_server_of_the_bus_is_lost() {
    let mut lab = Bench::start("bus");
    let mut to = Site::Secondary;
    for (number, host) in ["s1nats", "s2nats", "wnats"].into_iter().enumerate() {
        lab.lose_host(host, By::Kill).unwrap();
        until_every(STATUS_EVERY, "all services are heard", WITHIN, || {
            let silent = lab.status()?.resources.iter().filter(|resource| resource.silent).count();
            if silent == 0 { Ok(Some(())) } else { Err(anyhow::anyhow!("{silent} are silent")) }
        })
        .unwrap();
        lab.moved("switchover", to);
        lab.written_at(to);
        lab.lives_at(to);
        lab.nothing_lost(to);
        lab.return_host(host).unwrap();
        lab.bus.wait_joined(number).unwrap();
        to = to.other();
    }
    lab.no_read_failed();
    lab.passed();
}

#[test]
fn main_comes_back_after_a_kill_and_is_closed() {
    let mut lab = Bench::start("back");
    lab.lose_site(Site::Main, By::Kill).unwrap();
    until("monitoring has started a failover", WITHIN, || lab.newest_run()).unwrap();
    lab.completed(None, 0);
    lab.written_at(Site::Secondary);
    assert!(!lab.status().unwrap().debts.is_empty(), "nothing is owed at a lost site");

    lab.return_site(Site::Main).unwrap();
    until_every(STATUS_EVERY, "nothing is owed", WITHIN, || {
        let debts = lab.status()?.debts.len();
        if debts == 0 { Ok(Some(())) } else { Err(anyhow::anyhow!("{debts} are owed")) }
    })
    .unwrap();
    assert!(!lab.is_open(Site::Main), "main is open again");
    assert!(lab.is_open(Site::Secondary));
    assert_eq!(lab.running(Site::Main, "cs-primary"), 0);
    lab.written_at(Site::Secondary);
    lab.passed();
}
