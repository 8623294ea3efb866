//! Solution Control Servers and their Message Servers in pairs: before, during and after a move.

use std::net::IpAddr;
use std::process::Command;

use lab::system::plan::{PROCESSES, SECONDS, Site};
use lab::system::until;
use schemas::view::RunView;

use crate::bench::{Bench, WITHIN};
use Site::{Main, Secondary};

/// The control servers of the masters, and the masters.
const CONTROLS: [&str; 2] = ["master-scs", "master-scs-b"];
const MASTERS: [&str; 2] = ["cs-primary", "cs-backup"];

/// The control servers of both sites, and those of the masters at `live`, come to be attached to this Message Server.
#[track_caller]
fn attached(lab: &Bench, live: Site, to: IpAddr) {
    let own = Site::ALL.into_iter().flat_map(|site| ["site-scs", "site-scs-b"].map(|name| (site, name)));
    for (site, control) in own.chain(CONTROLS.map(|name| (live, name))) {
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

/// How often the masters of a site were started so far, by whomever.
fn starts(lab: &Bench, site: Site) -> [usize; 2] {
    MASTERS.map(|name| {
        let log = lab.plan.path("log").join(format!("{}-{name}", site.name()));
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.lines().filter(|line| line.contains(" start ")).count()
    })
}

/// In a planned move from here both control servers had ended before a stop of a master was begun.
#[track_caller]
fn stopped_in_order(run: &RunView, from: Site) {
    let stop = |name: &str| {
        let name = format!("stop {name}@{}", from.name());
        let step = run.steps.iter().find(|step| step.name == name);
        step.unwrap_or_else(|| panic!("no `{name}`: {run:#?}"))
    };
    for (control, master) in CONTROLS.into_iter().flat_map(|one| MASTERS.map(|master| (one, master))) {
        let (ended, begun) = (stop(control).ended.unwrap(), stop(master).started.unwrap());
        assert!(ended <= begun, "{control} ended {ended}, {master} was asked at {begun}");
    }
}

#[test]
fn pairs_of_control_and_message_servers_take_over_and_move() {
    let mut lab = Bench::start_in_pairs("pairs");
    attached(&lab, Main, Main.ip(PROCESSES[0].last));
    the_second_takes_over(&lab, Main);

    // There and back as planned: neither of the control servers starts again what is being stopped.
    for (from, to) in [(Main, Secondary), (Secondary, Main)] {
        let before = starts(&lab, from);
        let run = lab.moved("switchover", to);
        stopped_in_order(&run, from);
        lab.written_at(to);
        lab.lives_at(to);
        assert_eq!(starts(&lab, from), before, "{} masters were started again", from.name());
        attached(&lab, to, to.ip(PROCESSES[0].last));
    }

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
