//! Bad nights, each by the name that an operator would give it: docs/nights.md has them all.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::system::loss::By;
use lab::system::plan::{GROUP, PROCESSES, Role, Site};
use lab::system::{STATUS_EVERY, until, until_every, users};
use schemas::Seen;
use schemas::view::{GroupView, Mode, RunState, RunView, StepState};
use serde_json::Value;

use crate::acts::psql::Session;
use crate::bench::{Bench, WITHIN};
use Site::{Main, Secondary};

/// Waits until status says so.
#[track_caller]
pub(crate) fn status(lab: &Bench, what: &str, mut seen: impl FnMut(&GroupView) -> bool) -> GroupView {
    until_every(STATUS_EVERY, what, WITHIN, || {
        let view = lab.status()?;
        if seen(&view) { Ok(Some(view)) } else { Err(anyhow::anyhow!("{} {:?}", view.sentence, view.run)) }
    })
    .unwrap()
}

/// Waits until the run under way waits for this.
#[track_caller]
pub(crate) fn waits(lab: &Bench, what: &str) -> GroupView {
    let all = |view: &GroupView| view.run.as_ref().map(|run| run.waits_for.join("\n")).unwrap_or_default();
    status(lab, &format!("it waits for {what}"), |view| all(view).contains(what))
}

/// A command that has to succeed.
#[track_caller]
pub(crate) fn says(lab: &Bench, words: &[&str]) -> String {
    lab.pointsman.text(&lab.desk(), &[words, &["--why", "a bad night"]].concat()).unwrap()
}

/// A command that has to be refused, and what it says.
#[track_caller]
pub(crate) fn refused(lab: &Bench, words: &[&str]) -> String {
    let done = lab.pointsman.text(&lab.desk(), &[words, &["--why", "a bad night"]].concat());
    format!("{:#}", done.expect_err("it was not refused"))
}

/// From now on nothing that nobody proved is accepted in advance, and monitoring starts nothing.
fn ask_a_person(lab: &Bench) {
    let file = lab.plan.host("wrun").join(format!("groups/{GROUP}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap();
    let line = |line: &str| if line.starts_with("  unproved:") { "  unproved: ask" } else { line }.to_owned();
    std::fs::write(&file, text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    says(lab, &["config", "reload"]);
    says(lab, &["triggers", "off", GROUP]);
}

#[test]
fn mains_database_is_up_and_its_application_is_dead() {
    let mut lab = Bench::start("night-application");
    for part in PROCESSES.iter().rev().filter(|part| part.live_only) {
        let stopped = Command::new(lab.plan.script(Main, part.name, "stop")).status().unwrap();
        assert!(stopped.success(), "{}", part.name);
    }
    let view = status(&lab, "users can only read", |view| view.mode == Mode::Limited);
    assert!(view.sentence.contains("start it again there"), "{}", view.sentence);
    assert!(lab.newest_run().unwrap().is_none(), "a site whose database answers is not lost");

    // Ordered all the same: main is closed and drained first, so nothing is lost.
    let run = lab.moved("failover", Secondary);
    let done = |name: &str| run.steps.iter().any(|s| s.name.starts_with(name) && s.state == StepState::Done);
    assert!(done("close config@main") && done("drain csp@secondary"), "{run:#?}");
    assert!(!run.steps.iter().any(|step| step.name.starts_with("abandon")), "{run:#?}");
    lab.nothing_lost(Secondary);
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.no_read_failed();
    lab.passed();
}

#[test]
fn mains_database_service_is_dead_and_its_database_is_open() {
    let mut lab = Bench::start("night-service");
    ask_a_person(&lab);
    lab.kill_services("s1db").unwrap();
    lab.begin("failover", Secondary);
    let view = waits(&lab, "--unfenced main");
    assert!(view.sites[&"main".parse().unwrap()].counts_open, "a silent service proves nothing: {view:#?}");
    assert!(lab.is_open(Main) && !lab.is_open(Secondary));

    // Its service is started again: it closes main, and nobody has to take a risk.
    lab.start_services("s1db").unwrap();
    let run = lab.completed(None, 0);
    assert!(!lab.is_open(Main), "{run:#?}");
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.no_read_failed();
    lab.passed();
}

/// A switch of main's power, as its operator's scripts tell of it: served at the witness, named in the group's file.
struct Switch {
    scripts: PathBuf,
}

impl Switch {
    /// It is on, and counts from the next `config reload` on.
    fn install(lab: &mut Bench) -> Switch {
        let switch = Switch { scripts: lab.plan.path("scripts/power-main") };
        let on = lab.plan.path("power-main-is-on").display().to_string();
        std::fs::create_dir_all(&switch.scripts).unwrap();
        for (what, line) in [
            ("start", format!(": >'{on}'")),
            ("stop", format!("rm -f '{on}'")),
            ("check", format!("[ -e '{on}' ]")),
        ] {
            let script = switch.scripts.join(what);
            std::fs::write(&script, format!("#!/bin/sh\n{line}\n")).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        switch.throw("start");
        let scripts = switch.scripts.display();
        let process = format!(
            "process:\n  power-main: {{ driver: exec, closes: main, start: {scripts}/start, stop: {scripts}/stop, \
             check: {scripts}/check }}\n"
        );
        edit(&lab.plan.host_file("wdns"), |text| format!("{text}{process}"));
        lab.kill_services("wdns").unwrap();
        lab.start_services("wdns").unwrap();
        let paths = "  paths: [database, { process: power-main, site: witness }]";
        edit(&lab.plan.host("wrun").join(format!("groups/{GROUP}.yaml")), |text| {
            text.replace("  paths: [database]", paths)
        });
        switch
    }

    /// Throws it by its script: `start` or `stop`.
    fn throw(&self, what: &str) {
        assert!(Command::new(self.scripts.join(what)).status().unwrap().success());
    }
}

fn edit(file: &Path, change: impl FnOnce(&str) -> String) {
    let text = std::fs::read_to_string(file).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "{}", file.display());
    std::fs::write(file, changed).unwrap();
}

#[test]
fn mains_services_are_dead_and_its_power_is_switched_off() {
    let mut lab = Bench::start("night-power");
    let switch = Switch::install(&mut lab);
    ask_a_person(&lab);
    let of_switch = |view: &GroupView| {
        let seen = view.resources.iter().find(|r| r.address.to_string() == "witness.process.power-main");
        seen.is_some_and(|r| !r.silent && r.observation.is_some())
    };
    status(&lab, "the switch is seen", of_switch);
    for role in Role::SERVED {
        lab.kill_services(Main.host(role)).unwrap();
    }
    lab.begin("failover", Secondary);
    waits(&lab, "--unfenced main");
    lab.written_at(Main);
    assert!(lab.is_open(Main) && !lab.is_open(Secondary), "its switch is on, and it lives");

    // Its power goes, and the switch says so: nobody has to take a risk.
    lab.lose_site(Main, By::Kill).unwrap();
    switch.throw("stop");
    let run = lab.completed(None, 0);
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    let view = status(&lab, "main counts as shut", |view| !view.sites[&"main".parse().unwrap()].counts_open);
    let why = &view.sites[&"main".parse().unwrap()].why;
    assert!(why.contains("fence path witness.process.power-main"), "{why}");
    let told = lab.pointsman.text(&lab.desk(), &["report", &run.id.to_string()]).unwrap();
    assert!(!told.contains("may still take writes"), "somebody accepted something: {told}");
    assert!(told.contains("counts as closed: fence path witness.process.power-main"), "{told}");

    switch.throw("start");
    lab.return_site(Main).unwrap();
    status(&lab, "nothing is owed", |view| view.debts.is_empty() && view.doubts.is_empty());
    assert!(!lab.is_open(Main) && lab.is_open(Secondary));
    lab.written_at(Secondary);
    lab.passed();
}

#[test]
fn only_the_dns_server_is_lost() {
    let mut lab = Bench::start("night-dns");
    says(&lab, &["triggers", "off", GROUP]);
    lab.lose_host("dns", By::Kill).unwrap();
    // A planned move is refused before main is closed.
    let why = refused(&lab, &["switchover", GROUP, "--to", "secondary", "--yes"]);
    assert!(why.contains("witness.dns.cs-primary:update"), "{why}");
    assert!(lab.is_open(Main));
    lab.written_at(Main);

    // An unplanned one goes on: the site is open and started, and it waits at the names.
    lab.begin("failover", Secondary);
    let view = status(&lab, "it is held at a name", |view| {
        view.run
            .as_ref()
            .is_some_and(|run| run.state == RunState::Held && run.waits_for.join("").contains("hosts files"))
    });
    let run = view.run.unwrap();
    for part in PROCESSES.iter().filter(|part| part.live_only) {
        assert_eq!(lab.running(Secondary, part.name), 1, "{}: {run:#?}", part.name);
    }
    assert!(lab.is_open(Secondary) && !lab.is_open(Main));
    undone_by_hand_is_shown(&lab);

    lab.return_host("dns").unwrap();
    for _ in 0..2 {
        // Each name is a step of its own.
        let view = status(&lab, "it ended or is held", |view| {
            view.run.as_ref().is_none_or(|run| run.state == RunState::Held)
        });
        let Some(run) = view.run else { break };
        let failed = run.steps.iter().rev().find(|step| step.state == StepState::Failed).unwrap();
        says(&lab, &["retry", &run.id.to_string(), &failed.number.to_string()]);
        status(&lab, "it goes on", |view| {
            view.run.as_ref().is_none_or(|now| now.sequence > run.sequence + 1)
        });
    }
    lab.completed(None, 0);
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.nothing_lost(Secondary);
    lab.no_read_failed();
    lab.passed();
}

/// Somebody shuts the writers out of secondary while the run is held, and lets them in again.
fn undone_by_hand_is_shown(lab: &Bench) {
    let by_hand = |sql: &str| lab.postgres[Secondary.index()].psql("config", sql).unwrap();
    let seen = |run: &RunView| {
        let open = run.steps.iter().find(|step| step.name == "open config@secondary");
        open.and_then(|step| step.now.clone()).map(|now| (now.seen, now.agrees))
    };
    let shows = |what: &str, agrees: bool| {
        let wanted = Some((what.to_owned(), agrees));
        status(lab, what, |view| view.run.as_ref().is_some_and(|run| seen(run) == wanted)).run.unwrap()
    };
    shows("open", true);
    by_hand("ALTER ROLE cfg_db NOLOGIN");
    // Its sessions live on.
    let run = shows("partly open", false);
    let shown = lab.show(&run.id.to_string()).unwrap();
    assert_eq!(seen(&shown), Some(("partly open".to_owned(), false)), "{shown:#?}");
    by_hand("ALTER ROLE cfg_db LOGIN");
    shows("open", true);
}

#[test]
fn main_freezes_and_wakes_up_later() {
    let mut lab = Bench::start("night-frozen");
    // A user in the middle of something, who says the last word when nobody listens any more.
    let dsn = lab.postgres[Main.index()].dsn("cfg_db", "config");
    let mut user = Session::start(&dsn, "BEGIN; INSERT INTO entry (n, text) VALUES (-4711, 'frozen');");
    lab.lose_site(Main, By::Freeze).unwrap();
    user.send("COMMIT;");
    let at_main = |lab: &Bench| {
        let rows = users::acknowledged(&lab.plan.writer_file());
        rows.iter().filter(|row| row.site() == Some(Main)).count()
    };
    let before = at_main(&lab);
    until("monitoring has started a failover", WITHIN, || lab.newest_run()).unwrap();
    lab.completed(None, 0);
    lab.written_at(Secondary);

    lab.return_site(Main).unwrap();
    status(&lab, "nothing is owed", |view| view.debts.is_empty() && view.doubts.is_empty());
    assert!(!lab.is_open(Main), "main woke up and is open");
    assert!(lab.is_open(Secondary));
    lab.written_at(Secondary);
    assert_eq!(at_main(&lab), before, "main acknowledged a write after it was frozen");

    // What lay in the socket was carried out when main woke up, before it was closed: secondary never got it.
    let frozen = "SELECT count(*) FROM entry WHERE n = -4711";
    for (site, rows) in [(Main, "1"), (Secondary, "0")] {
        assert_eq!(lab.postgres[site.index()].psql("config", frozen).unwrap(), rows, "at {}", site.name());
    }
    let counted = |view: &GroupView| {
        let csp = view.resources.iter().find(|r| r.address.to_string() == "main.replication.csp")?;
        match &csp.observation.as_ref()?.seen {
            Seen::Replication(seen) => seen.orphans.clone(),
            _ => None,
        }
    };
    let view = status(&lab, "what only main has is counted", |view| counted(view).is_some());
    let orphans = counted(&view).unwrap();
    assert!(orphans.rows > 0 && !orphans.more && orphans.unknown.is_none(), "{orphans:?}");
    let told = format!("main came back with {} that secondary never received (csp)", orphans.words());
    assert!(view.warnings.iter().any(|line| line.starts_with(&told)), "{told}: {:?}", view.warnings);

    // The ledger lists the same, and nothing of it is overwritten before.
    lab.copy_home();
    lab.completed(None, 0);
    let ledgers = lab.ledgers(Main).unwrap();
    assert_eq!(ledgers.len(), 1, "{ledgers:?}");
    let text = std::fs::read_to_string(ledgers.first().unwrap()).unwrap();
    let rows: Vec<Value> = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let transactions: BTreeSet<u64> = rows.iter().filter_map(|row| row["transaction"].as_u64()).collect();
    assert_eq!(
        (rows.len() as u64, transactions.len() as u64),
        (orphans.rows, orphans.transactions),
        "{text}"
    );
    assert!(rows.iter().any(|row| row["new"]["n"] == "-4711"), "{text}");
    status(&lab, "nothing of it is told any more", |view| counted(view).is_none());
    lab.passed();
}

#[test]
fn secondary_is_lost_while_failed_over_and_main_is_stale() {
    let mut lab = Bench::start("night-twice");
    lab.lose_site(Main, By::Kill).unwrap();
    until("monitoring has started a failover", WITHIN, || lab.newest_run()).unwrap();
    lab.completed(None, 0);
    lab.written_at(Secondary);
    lab.return_site(Main).unwrap();
    status(&lab, "main was closed", |view| view.debts.is_empty() && view.doubts.is_empty());

    // Now the site that is live is lost too. Nothing starts by itself: the first failover was never acknowledged.
    lab.lose_site(Secondary, By::Kill).unwrap();
    status(&lab, "secondary is silent", |view| view.mode == Mode::Limited);
    lab.begin("failover", Main);
    let view = waits(&lab, "--data-loss");
    assert!(!lab.is_open(Main), "it opened before anybody took the loss: {view:#?}");
    let run = view.run.unwrap().id.to_string();
    says(&lab, &["accept", &run, "--data-loss", "1h"]);
    lab.completed(None, 0);
    lab.written_at(Main);
    assert_eq!(lab.status().unwrap().live.unwrap().as_str(), "main");
    lab.passed();
}

#[test]
fn a_services_ledger_is_lost_with_its_disk() {
    let mut lab = Bench::start("night-ledger");
    let state = lab.plan.host("s1db").join("state");
    lab.kill_services("s1db").unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    lab.start_services("s1db").unwrap();
    let new = |view: &GroupView| {
        let database = view.resources.iter().find(|r| r.address.to_string() == "main.database.config");
        database.and_then(|r| r.observation.as_ref()).is_some_and(|seen| !seen.adopted && !seen.armed)
    };
    status(&lab, "its new ledger is seen", new);
    let why = refused(&lab, &["switchover", GROUP, "--to", "secondary", "--yes"]);
    assert!(why.contains("main.database.config:adopted"), "{why}");
    assert!(lab.is_open(Main), "a service with a new ledger did something");
    lab.written_at(Main);

    // Taken into service: never again from epoch 0.
    let epoch = lab.status().unwrap().epoch;
    lab.pointsman.text(&lab.plan.host_file("s1db"), &["arm"]).unwrap();
    says(&lab, &["adopt", GROUP, "--live", "main", "--yes"]);
    assert!(lab.status().unwrap().epoch > epoch);
    // What the lost ledger's service said last is forgotten within some seconds.
    until("nothing is red any more", WITHIN, || {
        let words = ["switchover", GROUP, "--to", "secondary", "--dry-run", "--why", "is it ready?"];
        lab.pointsman.text(&lab.desk(), &words).map(Some)
    })
    .unwrap();
    lab.moved("switchover", Secondary);
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.nothing_lost(Secondary);
    lab.no_read_failed();
    lab.passed();
}

#[test]
fn secondary_was_opened_by_hand_already() {
    let mut lab = Bench::start("night-by-hand");
    says(&lab, &["triggers", "off", GROUP]);
    lab.lose_site(Main, By::Kill).unwrap();
    // Somebody helped himself, and users wrote there.
    let by_hand = "ALTER ROLE cfg_db LOGIN;
                   GRANT INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO cfg_db;
                   INSERT INTO entry (id, n, text) VALUES (900000001, 900000001, 'by hand')";
    lab.postgres[Secondary.index()].psql("config", by_hand).unwrap();
    status(&lab, "it is told", |view| {
        view.mode == Mode::Unknown && view.sentence.contains("pointsman adopt cfg --live secondary")
    });

    // It is told, and nothing is taken for done in silence.
    let why = refused(&lab, &["failover", GROUP, "--to", "secondary", "--yes"]);
    let line = "secondary.database.config:closed";
    assert!(why.contains(line), "{why}");
    says(&lab, &["failover", GROUP, "--to", "secondary", "--yes", "--detach", "--override", line]);
    let run = lab.completed(None, 0);
    let step = |name: &str| run.steps.iter().find(|step| step.name.starts_with(name)).unwrap();
    assert_eq!(
        step("abandon csp@secondary").state,
        StepState::Done,
        "what comes from main is stopped, its position kept"
    );
    assert_eq!(step("capture css@secondary").state, StepState::Done, "rows are kept for main from now on");
    let shown = lab.pointsman.text(&lab.desk(), &["show", &run.id.to_string()]).unwrap();
    let open = shown.lines().find(|line| line.contains("open config@secondary")).unwrap();
    assert!(open.contains("already so"), "{shown}");

    // What was written before the slot is in no slot: main comes home by a copy, and by nothing less.
    lab.written_at(Secondary);
    lab.return_site(Main).unwrap();
    let view = status(&lab, "main was closed", |view| view.debts.is_empty() && view.doubts.is_empty());
    assert!(view.sentence.contains("--by copy"), "{}", view.sentence);
    let why = refused(&lab, &["reprotect", GROUP, "--by", "catch-up", "--yes"]);
    assert!(why.contains("copy"), "{why}");
    lab.passed();
}

#[test]
fn both_sites_are_open_at_once() {
    let mut lab = Bench::start("night-split");
    let secondary = |lab: &Bench, sql: &str| lab.postgres[Secondary.index()].psql("config", sql).unwrap();
    let open = "ALTER ROLE cfg_db LOGIN;
                GRANT INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO cfg_db";
    secondary(&lab, open);
    let view = status(&lab, "it is told", |view| view.mode == Mode::SplitBrain);
    assert!(view.sentence.contains("disable-access --here"), "{}", view.sentence);
    secondary(
        &lab,
        "ALTER ROLE cfg_db NOLOGIN;
         REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public FROM cfg_db",
    );
    status(&lab, "it is over", |view| view.mode == Mode::Normal);

    // Again, and this time somebody wrote there and wants to stay there. Main is drained, and still: what was written
    // before the slot was made is in no slot, so main does not catch up, it is copied.
    secondary(&lab, open);
    secondary(&lab, "INSERT INTO entry (id, n, text) VALUES (900000001, 900000001, 'by hand')");
    let line = "secondary.database.config:closed";
    let why = refused(&lab, &["failover", GROUP, "--to", "secondary", "--yes"]);
    assert!(why.contains(line), "{why}");
    says(&lab, &["failover", GROUP, "--to", "secondary", "--yes", "--detach", "--override", line]);
    let run = lab.completed(None, 0);
    assert!(run.steps.iter().any(|step| step.name.starts_with("drain csp@secondary")), "{run:#?}");
    let view = status(&lab, "a copy comes next", |view| view.sentence.contains("--by copy"));
    assert_eq!(view.mode, Mode::FailedOver);
    let why = refused(&lab, &["reprotect", GROUP, "--by", "catch-up", "--yes"]);
    assert!(why.contains("copy"), "{why}");
    lab.written_at(Secondary);
    lab.lives_at(Secondary);
    lab.passed();
}
