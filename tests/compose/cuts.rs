//! Nothing hears each other: the link, a whole site, one way.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use schemas::SiteId;
use schemas::view::DebtView;

use crate::system::System;

/// So long nothing must happen; twice what a failover by monitoring waits for here.
const QUIET: Duration = Duration::from_secs(15);
/// The live site stamps one every 5 s: an estimate beyond this is of a link that is cut.
const HEARTBEATS: Duration = Duration::from_secs(15);
/// Longer than `fence.within`: an acceptance that stands in the group's file would be taken within that.
const FENCE: Duration = Duration::from_secs(8);

/// `up` is normal. Without the link nothing starts, since the witness hears both, and status says so, and who can only
/// read. Then a drill.
#[test]
fn up_is_normal_a_lost_link_is_told_and_a_failover_is_one_command() {
    let Some(system) = System::up() else { return };
    system.until("status is normal", || match system.status_line() {
        (0, said) if said.contains("main is live, protected") && !said.contains("nothing of ") => Ok(()),
        (code, said) => Err(anyhow!("exit {code}: {said}")),
    });
    system.written_at("main");
    system.until("every container with a health check is healthy", || system.all_healthy());
    for site in ["main", "secondary"] {
        system.until("the site's control server is attached to main's Message Server", || {
            let said = system.ask_control(site, "PING")?;
            if said == "PONG control attached 10.57.1.10" { Ok(()) } else { Err(anyhow!("{site}: {said}")) }
        });
    }
    let before = system.newest_run().unwrap().id;

    system.cut(&["main", "secondary"]);
    system.until("status says that replication is broken", || match system.status_line() {
        (8, said) if said.contains("AMBER") && said.contains("secondary.replication.csp") => Ok(()),
        (code, said) => Err(anyhow!("exit {code}: {said}")),
    });
    system.until("status says what would be lost now, beside it", || {
        let loss = system.status()?.loss.context("no loss")?;
        let grown = loss.estimate.is_some_and(|lost| lost.0 > HEARTBEATS);
        if grown { Ok(()) } else { Err(anyhow!("{loss:?}")) }
    });
    let (_, said) = system.status_line();
    assert!(said.contains("loss now: csp: heartbeat "), "{said}");
    let declare = |what: &str| {
        let done = system.pointsman(&["declare", what, "cfg", "--why", "the carrier has lost a fibre"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    };
    declare("disconnect");
    let (_, said) = system.status_line();
    assert!(
        said.contains("declared DISCONNECT since") && said.contains("no trigger starts anything"),
        "{said}"
    );
    system.written_at("main");
    assert_eq!(system.newest_run().unwrap().id, before, "a run has started");
    // Its proxies have lost their master: there, users can only read. Its control server is attached to nobody, and not
    // healthy either. Main's have all that.
    system.until("status names the proxies that can only read, and the control server that is alone", || {
        let status = system.status()?;
        let named = |part: &str| status.warnings.iter().any(|line| line.contains(part));
        let there = ["proxy-a at secondary", "proxy-b at secondary", "site-scs at secondary"].map(named);
        let told = there == [true; 3] && !named("proxy-a at main") && !named("site-scs at main");
        if told { Ok(()) } else { Err(anyhow!("{:?}: {:?}", status.mode, status.warnings)) }
    });
    assert!(system.is_closed("secondary").unwrap());

    system.cut(&["heal"]);
    declare("over");
    system.until("status is normal again", || match system.status_line() {
        (0, said) if said.contains("main is live, protected") && !said.contains("nothing of ") => Ok(()),
        (code, said) => Err(anyhow!("exit {code}: {said}")),
    });

    let words = ["failover", "cfg", "--to", "secondary", "--why", "drill", "--yes"];
    let done = system.pointsman(&words);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    system.written_at("secondary");
    system.nothing_owed();
    system.lives_at_secondary_only();
}

/// The host of the masters hangs, and the database answers: that is no lost site. Then the site is cut: it lives on,
/// takes writes, and is closed when it is heard again.
#[test]
fn main_cut_lives_on_and_is_closed_when_it_is_heard_again() {
    let Some(system) = System::up() else { return };
    system.written_at("main");
    let before = system.newest_run().unwrap().id;

    system.docker("pause", "main");
    system.until("the proxies of secondary are in limited mode", || {
        let mode = system.ask_proxy("secondary", "MODE")?;
        if mode.starts_with("limited") { Ok(()) } else { Err(anyhow!("{mode}")) }
    });
    let since = Instant::now();
    while since.elapsed() < QUIET {
        assert_eq!(system.newest_run().unwrap().id, before, "a run has started, and main's database answers");
        std::thread::sleep(Duration::from_secs(1));
    }
    system.docker("unpause", "main");
    system.written_at("main");

    system.cut(&["main"]);
    let run = system.failed_over();
    assert_ne!(run.id, before);
    system.written_at("secondary");
    assert!(!system.status().unwrap().debts.is_empty(), "nothing is owed at a site that nobody hears");
    // Isolated and alive: its master has its session, and its own proxies take writes.
    assert_eq!((system.masters("main").as_str(), system.masters("secondary").as_str()), ("1", "1"));
    assert_eq!(system.ask_proxy("main", "WRITE 900000001 isolated").unwrap(), "OK 900000001");

    system.cut(&["heal"]);
    system.nothing_owed();
    system.written_at("secondary");
    system.lives_at_secondary_only();
    let orphan = "SELECT count(*) FROM entry WHERE n = 900000001";
    let rows = ["main", "secondary"].map(|site| system.sql(site, orphan).unwrap());
    assert_eq!(rows, ["1", "0"], "what main took alone stays there, as rows to export");
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        assert!(system.is_closed("main").unwrap(), "main is open again");
    }
}

/// The same cut, where the group's file accepts nothing in advance: main goes on alone, the failover that monitoring
/// started opens nothing, and a person's word opens the other site.
#[test]
fn main_cut_lives_on_and_nothing_opens_before_somebody_accepts_that() {
    let Some(system) = System::up_asking() else { return };
    system.written_at("main");
    system.cut(&["main"]);
    let run = system.until("the run waits for an acceptance", || {
        let run = system.status()?.run.context("no run")?;
        match run.waits_for.iter().any(|wait| wait.contains("--unfenced main")) {
            true => Ok(run),
            false => Err(anyhow!("{:?}, waits for {:?}", run.state, run.waits_for)),
        }
    });
    let since = Instant::now();
    while since.elapsed() < FENCE {
        assert!(system.is_closed("secondary").unwrap(), "secondary is open, and nobody accepted that");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!((system.masters("main").as_str(), system.masters("secondary").as_str()), ("1", "0"));
    assert_eq!(system.ask_proxy("main", "WRITE 900000001 isolated").unwrap(), "OK 900000001");
    let id = run.id.to_string();
    let main = "main".parse::<SiteId>().unwrap();
    let status = system.status().unwrap();
    assert!(status.sites[&main].counts_open, "{:?}", status.sites);
    let waits = status.run.map(|run| run.waits_for).unwrap_or_default();
    assert!(waits.iter().any(|wait| wait.contains("--unfenced main")), "{waits:?}");

    let done = system.pointsman(&["accept", &id, "--unfenced", "main", "--why", "its power is off, seen"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert_eq!(system.failed_over().id, run.id);
    system.written_at("secondary");
    let status = system.status().unwrap();
    assert!(status.sites[&main].why.contains("accepted by operator"), "{:?}", status.sites);
    assert!(!status.debts.is_empty(), "nothing is owed at a site that nobody hears");
}

/// Main hears all and is not heard: unknown counts as open, so the other site opens by the acceptance in the group's
/// file, and main is seen closed before anything else is believed.
#[test]
fn main_hears_and_is_not_heard() {
    let Some(system) = System::up() else { return };
    system.written_at("main");
    system.cut(&["--one-way", "main"]);
    let run = system.failed_over();
    assert_eq!(run.to.as_ref().map(SiteId::as_str), Some("secondary"));
    system.written_at("secondary");
    let status = system.status().unwrap();
    let main = &status.sites[&"main".parse::<SiteId>().unwrap()];
    assert!(main.why.contains("accepted by operator"), "went on without the acceptance: {main:?}");
    let close =
        |debt: &DebtView| debt.what == "database.disable-access" && debt.address.site.as_str() == "main";
    assert!(status.debts.iter().any(close), "a close that nobody saw is owed: {:?}", status.debts);

    system.cut(&["heal"]);
    system.nothing_owed();
    system.written_at("secondary");
    system.lives_at_secondary_only();
}
