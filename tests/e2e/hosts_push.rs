//! A night in which no name can be changed: the hosts files of the clients are pushed, and taken away again.

use lab::system::loss::By;
use lab::system::plan::{GROUP, NAMES, PROXIES, Site};
use lab::system::until;
use schemas::Level;
use schemas::op::OpReply;
use schemas::view::{RunState, StepState};

use crate::bench::{Bench, WITHIN};
use crate::nights::{says, status};

/// Clients whose hosts file still is pushed, as `check` says.
fn told(lab: &Bench) -> Vec<String> {
    let reply: OpReply = lab.pointsman.look(&lab.desk(), &["check", GROUP]).unwrap();
    let OpReply::Checks(checks) = reply else { panic!("{reply:?}") };
    let lines = checks.into_iter().flat_map(|check| check.lines);
    let amber = lines.filter(|line| line.line.what == "hosts" && line.line.level == Level::Amber);
    amber.map(|line| line.name).collect()
}

#[test]
fn only_the_dns_server_is_lost_and_hosts_files_are_pushed() {
    let mut lab = Bench::start("night-push");
    says(&lab, &["triggers", "off", GROUP]);
    lab.lose_host("dns", By::Kill).unwrap();
    lab.begin("failover", Site::Secondary);
    let view = status(&lab, "it offers the push", |view| {
        let offers = |wait: &String| wait.contains("pointsman push");
        view.run.as_ref().is_some_and(|run| run.state == RunState::Held && run.waits_for.iter().any(offers))
    });
    assert_eq!(told(&lab), [] as [String; 0]);
    says(&lab, &["push", &view.run.unwrap().id.to_string()]);
    let run = lab.completed(None, 0);
    let pushed = run.steps.iter().filter(|s| s.function == "dns.push" && s.state == StepState::Done);
    assert_eq!(pushed.count(), 2, "{run:#?}");

    // Users work by the proxies of both sites, and every name server that answers still says main.
    assert!(lab.bind.lookup(NAMES[0]).is_err(), "the DNS server answers");
    let proxies = Site::ALL.into_iter().flat_map(|site| PROXIES.map(|proxy| (site, proxy)));
    for ((site, proxy), n) in proxies.zip(910_000_001..) {
        until(&format!("{proxy} of {} writes", site.name()), WITHIN, || {
            let said = lab.ask(site, proxy, &format!("WRITE {n} without DNS"))?;
            if said == format!("OK {n}") { Ok(Some(())) } else { Err(anyhow::anyhow!("{said}")) }
        })
        .unwrap();
        let row = format!("SELECT text FROM entry WHERE n = {n}");
        assert_eq!(lab.postgres[Site::Secondary.index()].psql("config", &row).unwrap(), "without DNS");
    }
    let view = lab.status().unwrap();
    for what in ["dns.point", "dns.follow", "dns.unpush"] {
        let owed = view.debts.iter().filter(|debt| debt.what == what).count();
        assert_eq!(owed, 2, "{what}: {:#?}", view.debts);
    }
    assert_eq!(told(&lab), ["main.dns.s1app:hosts", "secondary.dns.s2app:hosts"]);
    assert!(Site::ALL.iter().all(|site| lab.plan.hosts_file(*site).exists()));

    // It is back: names, then caches, then the files go.
    lab.return_host("dns").unwrap();
    status(&lab, "nothing is owed", |view| view.debts.is_empty() && view.doubts.is_empty());
    assert!(!Site::ALL.iter().any(|site| lab.plan.hosts_file(*site).exists()));
    assert_eq!(told(&lab), [] as [String; 0]);
    lab.written_at(Site::Secondary);
    lab.lives_at(Site::Secondary);
    lab.nothing_lost(Site::Secondary);
    lab.no_read_failed();
    lab.passed();
}
