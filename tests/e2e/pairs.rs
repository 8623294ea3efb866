//! Solution Control Servers and their Message Servers in pairs: before, during and after a move.

use std::net::IpAddr;
use std::process::Command;

use lab::system::plan::{PROCESSES, SECONDS, Site};
use lab::system::until;

use crate::bench::{Bench, WITHIN};
use Site::{Main, Secondary};

/// The control servers of both sites, and those of the masters at `live`, come to be attached to this Message Server.
#[track_caller]
fn attached(lab: &Bench, live: Site, to: IpAddr) {
    let own = Site::ALL.into_iter().flat_map(|site| ["site-scs", "site-scs-b"].map(|name| (site, name)));
    for (site, control) in own.chain([(live, "master-scs")]) {
        let wanted = format!("PONG control attached {to}");
        until(&format!("{control} of {} is attached to {to}", site.name()), WITHIN, || {
            let said = lab.ask(site, control, "PING")?;
            if said == wanted { Ok(Some(())) } else { Err(anyhow::anyhow!("{said}")) }
        })
        .unwrap();
    }
}

/// The first Message Server of a pair is gone: the second one has all of them, nothing is moved, and it comes back.
fn the_second_takes_over(lab: &Bench, site: Site) {
    let first = &PROCESSES[0];
    assert!(Command::new(lab.plan.script(site, first.name, "stop")).status().unwrap().success());
    attached(lab, site, site.ip(SECONDS[0].last));
    lab.start_process(site, first).unwrap();
    attached(lab, site, site.ip(SECONDS[0].last));
}

#[test]
fn pairs_of_control_and_message_servers_take_over_and_move() {
    let mut lab = Bench::start_in_pairs("pairs");
    attached(&lab, Main, Main.ip(PROCESSES[0].last));
    the_second_takes_over(&lab, Main);

    lab.moved("failover", Secondary);
    for process in &SECONDS {
        let at_main = usize::from(!process.live_only);
        assert_eq!(lab.running(Secondary, process.name), 1, "{}", process.name);
        assert_eq!(lab.running(Main, process.name), at_main, "{}", process.name);
    }
    attached(&lab, Secondary, Secondary.ip(PROCESSES[0].last));
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.nothing_lost(Secondary);
    the_second_takes_over(&lab, Secondary);
    lab.no_read_failed();
    lab.passed();
}
