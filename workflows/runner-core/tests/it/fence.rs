//! Fence paths: a switch of a site's power that is seen off opens the other site, and nobody has to take a risk.

use std::time::Duration;

use schemas::op::{Op, OpReply};
use schemas::view::{GroupView, RunState};
use schemas::{Code, RunId, Running, Seen};
use serde_json::json;

use crate::common::{GROUP, World, process};

const SWITCH: &str = "witness.process.power-main";

/// Main is live and answers no more; at the witness is a switch of its power, which `prepare` says more about.
fn world(prepare: impl FnOnce(&mut World)) -> World {
    looking(None, prepare)
}

/// With a preflight every so often, and as a person starts a move.
fn looking(preflight_every: Option<Duration>, prepare: impl FnOnce(&mut World)) -> World {
    let paths = "paths: [database, { process: power-main, site: witness }]";
    let group = GROUP.replace("paths: [database]", paths);
    assert!(group.contains(paths));
    let mut world = World::with(&group, preflight_every);
    prepare(&mut world);
    // It looks at everything, the switch among it.
    world.adopt("main");
    world.silence("main");
    world
}

/// What is said, and what makes it so.
type Case = (&'static str, fn(&mut World));

fn switch(world: &mut World, running: Running, closes: Option<&str>) {
    let closes = closes.map(|site| site.parse().unwrap());
    world.seen.insert(SWITCH.into(), Seen::Process(process(running, closes)));
}

fn off(world: &mut World) {
    switch(world, Running::Stopped, Some("main"));
    world.unended.clear();
}

fn pass(world: &mut World, seconds: u64) {
    let end = world.now.boot + Duration::from_secs(seconds);
    world.run_until(|w| w.now.boot >= end);
}

/// It waits for a person.
fn asks(world: &mut World, run: RunId) -> bool {
    world.run(run).waits_for.iter().any(|wait| wait.contains("--unfenced main"))
}

fn opened(world: &World) -> u32 {
    world.applied("secondary.database.config.enable-access")
}

/// It completes, and there is no acceptance.
fn completes(world: &mut World, run: RunId) -> GroupView {
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed, "{:#?}", world.run(run));
    assert_eq!(opened(world), 1);
    assert!(!world.entries.iter().any(|entry| entry.kind == "group.accepted"), "nobody accepted anything");
    world.group()
}

#[test]
fn a_switch_that_is_seen_off_opens_the_other_site_and_nobody_accepts() {
    let mut world = world(off);
    let run = world.start("failover", &[]);
    let group = completes(&mut world, run);
    let why = format!("fence path {SWITCH}");
    let main = &group.sites[&"main".parse().unwrap()];
    assert!(!main.counts_open && main.why.contains(&why), "{main:?}");
    let closed_by: Vec<String> =
        world.run(run).steps.iter().filter_map(|step| step.closed_by().map(str::to_owned)).collect();
    assert_eq!(closed_by, std::slice::from_ref(&why), "and so does the step that waited");
    let recorded = |entry: &runner_core::Append| json!(entry.body).to_string().contains(&why);
    assert!(world.entries.iter().any(recorded), "the journal says what proved it");
    let opening = world.entries.iter().find(|entry| entry.kind == "group.opening").unwrap();
    assert_eq!(json!(opening.body)["closedBy"], json!({ "main": why }), "and so does the opening");
    let owed = |debt: &schemas::view::DebtView| debt.what == "database.disable-access";
    assert!(group.debts.iter().any(owed), "when it comes back it is closed: {:#?}", group.debts);
}

#[test]
fn a_switch_that_proves_nothing_opens_nothing() {
    let proves_nothing: [Case; 6] = [
        ("it is on", |w| switch(w, Running::Healthy, Some("main"))),
        ("it is neither", |w| switch(w, Running::Unhealthy, Some("main"))),
        ("nobody can tell", |w| switch(w, Running::Unknown, Some("main"))),
        ("it closes no site", |w| switch(w, Running::Stopped, None)),
        ("it closes the other site", |w| switch(w, Running::Stopped, Some("secondary"))),
        ("an act of an earlier life may switch it on again", |w| {
            off(w);
            w.unended.insert(SWITCH.into());
        }),
    ];
    for (what, prepare) in proves_nothing {
        let mut world = world(prepare);
        let run = world.start("failover", &[]);
        world.run_until(|w| asks(w, run));
        pass(&mut world, 40);
        assert!(asks(&mut world, run) && opened(&world) == 0, "{what}, and it was opened");
        // It is thrown while the run waits.
        off(&mut world);
        completes(&mut world, run);
    }
}

/// What was seen half a minute ago may have changed since.
#[test]
fn a_look_at_a_switch_counts_for_thirty_seconds() {
    // Main was long silent when the switch was seen off, and its own service has fallen silent since.
    let seen_off = || {
        let mut world = world(off);
        pass(&mut world, 10);
        world.group();
        world.silence("witness");
        world
    };
    let mut fresh = seen_off();
    fresh.start("failover", &[]);
    fresh.run_until(|w| opened(w) == 1);

    let mut stale = seen_off();
    pass(&mut stale, 31);
    let run = stale.start("failover", &[]);
    stale.run_until(|w| asks(w, run));
    pass(&mut stale, 10);
    assert!(asks(&mut stale, run) && opened(&stale) == 0, "an old look opened it");
    stale.speak("witness");
    completes(&mut stale, run);
}

/// It is wired to something else, or main has power again: its database answers, and takes writes.
#[test]
fn a_switch_is_not_believed_while_the_database_is_seen_open() {
    let mut world = world(off);
    // Nothing there can be closed: its services answer looks alone.
    world.looks_only.insert("main".into());
    world.speak("main");
    let run = world.start("failover", &[]);
    world.run_until(|w| asks(w, run));
    pass(&mut world, 40);
    let waits = world.run(run).waits_for;
    assert!(asks(&mut world, run) && opened(&world) == 0, "two sites were opened");
    let said = format!("({SWITCH} says that main is off, but config there was seen open)");
    assert!(waits.iter().any(|wait| wait.contains(&said)), "{waits:?}");
    let group = world.group();
    let main = &group.sites[&"main".parse().unwrap()];
    assert!(main.counts_open && main.why.contains(&said), "{main:?}");

    // Then its power is off indeed.
    world.silence("main");
    completes(&mut world, run);
}

/// A start looks at the switch and not at the site that it calls lost, whose silence of a while ago proves nothing.
#[test]
fn the_database_is_looked_at_before_a_switch_is_believed() {
    let mut world = looking(Some(Duration::from_secs(60)), off);
    pass(&mut world, 20);
    // It answers again, and nobody has looked since.
    world.looks_only.insert("main".into());
    world.speak("main");
    let run = world.start("failover", &[]);
    world.run_until(|w| asks(w, run));
    pass(&mut world, 10);
    assert!(asks(&mut world, run) && opened(&world) == 0, "two sites were opened");
}

/// Whoever means the other one is told so, and the run goes on asking.
#[test]
fn the_site_that_the_run_opens_cannot_be_accepted_as_unfenced() {
    let mut world = world(|w| switch(w, Running::Healthy, Some("main")));
    let run = world.start("failover", &[]);
    world.run_until(|w| asks(w, run));
    let accept = |site: &str| Op::Accept {
        run: run.to_string(),
        unfenced: Some(site.parse().unwrap()),
        data_loss: None,
    };
    let refused = world.op("it is off", accept("secondary"));
    let OpReply::Problem(problem) = refused else { panic!("{refused:?}") };
    assert_eq!(problem.code, Code::Conflict);
    assert!(asks(&mut world, run) && opened(&world) == 0);
    assert!(matches!(world.op("it is off", accept("main")), OpReply::Recorded { .. }));
    world.run_until(|w| opened(w) > 0);
}
