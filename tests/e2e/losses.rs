//! Servers are lost: each of the bus in turn; and a main site that comes back after a kill.

use lab::system::loss::By;
use lab::system::plan::{PROCESSES, PROXIES, Site};
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

/// The database of main alone is gone, and its masters live. A failover stops them; their control server, which is slow
/// to stop, starts them again; and they are gone before a name moves, so that their proxies let go.
#[test]
fn masters_without_their_database_are_stopped_before_the_names_move() {
    use Site::{Main, Secondary};
    let mut lab = Bench::start("masters");
    let slow = |process: &str, what: &str, seconds: &str| {
        let file = lab.plan.script(Main, process, what);
        let text = std::fs::read_to_string(&file).unwrap();
        let slower = text.replacen("#!/bin/sh\n", &format!("#!/bin/sh\nsleep {seconds}\n"), 1);
        assert_ne!(slower, text);
        std::fs::write(&file, slower).unwrap();
    };
    slow("master-scs", "stop", "1");
    for process in ["cs-primary", "cs-backup"] {
        // Not while its stop is still looking.
        slow(process, "start", "0.3");
    }
    lab.postgres[Main.index()].kill9().unwrap();
    until("the master has lost its database", WITHIN, || {
        let said = lab.ask(Main, "cs-primary", "PING")?;
        if said == "PONG no-database" { Ok(Some(())) } else { Err(anyhow::anyhow!("{said}")) }
    })
    .unwrap();
    assert!(lab.newest_run().unwrap().is_none(), "a master answers: the site is not lost");

    let before = lab.bind.serial().unwrap();
    lab.begin("failover", Secondary);
    until("a name has moved", WITHIN, || Ok((lab.bind.serial()? != before).then_some(()))).unwrap();
    for process in PROCESSES.iter().filter(|process| process.live_only) {
        assert_eq!(lab.running(Main, process.name), 0, "a name has moved, and {} runs at main", process.name);
    }
    let log = std::fs::read_to_string(lab.plan.path("log").join("main-master-scs")).unwrap();
    assert!(log.contains("starting it again"), "the night was not played: {log}");

    let run = lab.completed(None, 0);
    let again: Vec<_> = run.steps.iter().filter(|step| step.phase.as_deref() == Some("settle")).collect();
    let names: Vec<&str> = again.iter().map(|step| step.name.as_str()).collect();
    let order = ["stop master-scs@main", "stop cs-backup@main", "stop cs-primary@main", "stop scs-msg@main"];
    assert_eq!(names, order, "{run:#?}");
    let points = run.steps.iter().filter(|step| step.function == "dns.point");
    let first = points.filter_map(|step| step.started).min();
    assert!(again.iter().all(|step| step.ended.is_some() && step.ended <= first), "{run:#?}");

    until("all use secondary", WITHIN, || {
        let wrong = lab.not_served_by(Secondary);
        if wrong.is_empty() { Ok(Some(())) } else { Err(anyhow::anyhow!("{}", wrong.join("; "))) }
    })
    .unwrap();
    lab.written_at(Secondary);
    lab.no_read_failed();
    lab.passed();
}

/// The database of main is gone and nobody can stop its masters: their proxies hold on to them, until a failover
/// makes them let go. Then somebody can, and each process stops, the one that starts others again first.
#[test]
fn masters_without_their_database_lose_their_proxies_and_stop_in_order() {
    use Site::{Main, Secondary};
    let mut lab = Bench::start("no-database");
    lab.lose_host("s1db", By::Kill).unwrap();
    lab.kill_services("s1mgmt").unwrap();
    let says = |lab: &Bench, site: Site, process: &str, line: &str, answer: String| {
        until(&format!("{process} at {} says {answer}", site.name()), WITHIN, || {
            let said = lab.ask(site, process, line)?;
            if said == answer { Ok(Some(())) } else { Err(anyhow::anyhow!("{said}")) }
        })
        .unwrap();
    };
    let everywhere = || Site::ALL.into_iter().flat_map(|site| PROXIES.map(|proxy| (site, proxy)));
    for (site, proxy) in everywhere() {
        says(&lab, site, proxy, "MODE", format!("limited {}", Main.ip(3)));
        // One that was late on a busy host tries again, and finds the same master.
        says(&lab, site, proxy, "PEER cfg-a.example.test", format!("ADDRESS {}", Main.ip(3)));
    }
    assert!(lab.newest_run().unwrap().is_none(), "a master answers: the site is not lost");

    lab.moved("failover", Secondary);
    lab.written_at(Secondary);
    for (site, proxy) in everywhere() {
        says(&lab, site, proxy, "MODE", format!("normal {}", Secondary.ip(3)));
    }
    let live_only = || PROCESSES.iter().filter(|process| process.live_only);
    for process in live_only() {
        assert_eq!(lab.running(Main, process.name), 1, "{} runs on, since nobody can stop it", process.name);
    }

    lab.start_services("s1mgmt").unwrap();
    for process in live_only() {
        until(&format!("{} at main has stopped", process.name), WITHIN, || {
            Ok((lab.running(Main, process.name) == 0).then_some(()))
        })
        .unwrap();
    }
    let log = std::fs::read_to_string(lab.plan.path("log").join("main-master-scs")).unwrap();
    assert!(!log.contains("starting it again"), "{log}");
    for site in Site::ALL {
        says(&lab, site, "site-scs", "PING", format!("PONG control attached {}", Secondary.ip(6)));
    }
    lab.no_read_failed();
    lab.passed();
}
