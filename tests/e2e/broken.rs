//! Replication was broken before the disaster: a row at the standby is in the way of the one that comes.

use std::time::Duration;

use lab::demo::case;
use lab::system::loss::By;
use lab::system::plan::{GROUP, Site};
use lab::system::{STATUS_EVERY, until, until_every, users};
use schemas::view::{GroupView, RunState, StepState};

use crate::bench::{Bench, WITHIN};
use crate::nights::{refused, says, status, waits};
use Site::{Main, Secondary};

const BROKEN: &str = "secondary.replication.csp:broken";
const FRESH: &str = "secondary.replication.csp:fresh";
/// As the lab's group has it; a drain that cannot end is not waited for so long.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

fn at_secondary(lab: &Bench, sql: &str) {
    lab.postgres[Secondary.index()].psql("config", sql).unwrap();
}

#[test]
fn replication_broke_before_the_disaster() {
    let mut lab = Bench::start("night-broken");
    says(&lab, &["triggers", "off", GROUP]);
    // As a server outside a test has it: its worker is gone most of the time, and not tried again at once.
    at_secondary(&lab, "ALTER SYSTEM SET wal_retrieve_retry_interval = '5s'");
    at_secondary(&lab, "SELECT pg_reload_conf()");
    let soon = users::acknowledged(&lab.plan.writer_file()).last().unwrap().n + 20;
    at_secondary(&lab, &format!("INSERT INTO entry (id, n, text) VALUES (900000001, {soon}, 'in the way')"));
    let told = |view: &GroupView| view.warnings.iter().any(|line| line.starts_with("csp at secondary: "));
    until_every(STATUS_EVERY, "it is told", WITHIN * 2, || {
        let view = lab.status()?;
        if told(&view) { Ok(Some(())) } else { Err(anyhow::anyhow!("{:?}", view.warnings)) }
    })
    .unwrap();
    let view = status(&lab, "it is no longer protected", |view| {
        view.sentence.contains("csp at secondary is broken")
    });
    assert!(view.sentence.contains("errors so far"), "{}", view.sentence);
    let why = refused(&lab, &["switchover", GROUP, "--to", "secondary", "--yes"]);
    assert!(why.contains(BROKEN), "{why}");
    assert!(lab.is_open(Main));

    // Somebody insists: the drain ends with the reason, long before its bound, and main is live again.
    until("a switchover past the red lines has begun", WITHIN, || {
        let words = ["switchover", GROUP, "--to", "secondary", "--yes", "--detach", "--why", "he insists"];
        let ask = |lines: &[&str]| lab.pointsman.text(&lab.desk(), &[&words[..], lines].concat());
        // After a minute the standby is too far behind, too.
        ask(&["--override", BROKEN]).or_else(|_| ask(&["--override", BROKEN, "--override", FRESH])).map(Some)
    })
    .unwrap();
    let (run, _) = case::follow(&mut lab, None, 0).unwrap();
    assert_eq!(run.state, RunState::BackedOut, "{run:#?}");
    let drain = run.steps.iter().find(|step| step.name == "drain csp@secondary").unwrap();
    assert_eq!(drain.state, StepState::Failed, "{drain:#?}");
    let problem = drain.problem.as_ref().unwrap().to_string();
    assert!(problem.contains("is stuck at") && problem.contains("new errors"), "{problem}");
    let took = (drain.ended.unwrap() - drain.started.unwrap()).to_std().unwrap();
    assert!(took < DRAIN_WITHIN, "{took:?}: {drain:#?}");
    lab.written_at(Main);

    // Then the disaster. What came is all that there is, and a person says whether that will do.
    until_every(STATUS_EVERY, "more would be lost than was agreed", WITHIN * 2, || {
        let loss = lab.status()?.loss;
        let above = loss.as_ref().is_some_and(|loss| loss.verdict == "ABOVE LIMIT");
        if above { Ok(Some(())) } else { Err(anyhow::anyhow!("{loss:?}")) }
    })
    .unwrap();
    lab.lose_site(Main, By::Kill).unwrap();
    lab.begin("failover", Secondary);
    let view = waits(&lab, "--data-loss");
    let run = view.run.unwrap();
    assert!(run.waits_for.join("").contains("the limit is 60 s"), "{:?}", run.waits_for);
    assert!(!lab.is_open(Secondary), "it opened before anybody took the loss");
    says(&lab, &["accept", &run.id.to_string(), "--data-loss", "1h"]);
    lab.completed(None, 0);
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.passed();
}
