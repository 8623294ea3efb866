//! A program that works on the database of one site: what is told of it by day, and what is owed of it after a move.

use std::time::Duration;

use crate::common::{GROUP, World, process};
use schemas::op::{Op, OpReply};
use schemas::view::RunState;
use schemas::{CheckLine, Level, ProcessSeen, RunId, Running, Seen, SiteId};
use serde_json::{Value, json};

const SITES: [&str; 2] = ["main", "secondary"];
const POINT: &str = "secondary.process.log-msg.point";

/// The model system with Message Servers that write to that database.
fn group(database: &str) -> String {
    let more = format!("everywhere: [proxy-a, {{ log-msg: {{ database: {database} }} }}]");
    let group = GROUP.replace("everywhere: [proxy-a]", &more).replace("within: 3m", "within: 20s");
    assert!(group.contains(database));
    group
}

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn works(at: Option<&str>, repoints: &[&str], detail: Value) -> Seen {
    let repoints = repoints.iter().map(|name| site(name)).collect();
    Seen::Process(ProcessSeen {
        repoints,
        points_at: at.map(site),
        detail,
        ..process(Running::Healthy, None)
    })
}

/// Adopted, live at main; both Message Servers work on main's database, and both log databases are open.
fn world(database: &str, preflight_every: Option<Duration>) -> World {
    let mut world = World::with(&group(database), preflight_every);
    for at in SITES {
        world.state.insert(format!("{at}.database.log"), json!("open"));
        world.seen.insert(format!("{at}.process.log-msg"), works(Some("main"), &SITES, Value::Null));
    }
    world.adopt("main");
    world
}

fn lines(world: &mut World) -> Vec<(String, CheckLine)> {
    match world.op("", Op::Check { group: None }) {
        OpReply::Checks(mut checks) => {
            let lines = checks.remove(0).lines.into_iter().map(|line| (line.name, line.line));
            lines.filter(|(_, line)| ["repoint", "points"].contains(&line.what.as_str())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_it_works_and_what_a_move_would_need_is_told_by_day() {
    let at = "secondary.process.log-msg";
    for (seen, what, level, words) in [
        (works(Some("main"), &SITES, Value::Null), "points", Level::Green, "it works on `log` of main"),
        (works(None, &[], Value::Null), "repoint", Level::Amber, "`log` of main and secondary"),
        (works(Some("main"), &["main"], Value::Null), "repoint", Level::Amber, "`log` of secondary"),
        (works(None, &SITES, json!({ "pointed": "code 3" })), "points", Level::Amber, "code 3"),
    ] {
        let mut world = world("log@main", Some(Duration::from_secs(60)));
        world.seen.insert(at.into(), seen);
        let lines = lines(&mut world);
        let (_, line) = lines.iter().find(|(name, _)| *name == format!("{at}:{what}")).unwrap();
        assert!(line.level == level && line.text.contains(words), "{words}: {line:?}");
        assert_eq!(line.remedy.is_some(), level != Level::Green, "{line:?}");
        // Of others nothing is said.
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(!matches!(world.ask("switchover", &[], &[]), OpReply::Problem(_)), "it keeps no move back");
    }
    let mut plain = world("log@own", Some(Duration::from_secs(60)));
    assert!(lines(&mut plain).is_empty());
}

#[test]
fn one_that_works_where_nobody_is_is_told() {
    type Makes = fn(&mut World);
    let at = "secondary.process.log-msg";
    let closed = |w: &mut World| drop(w.state.insert("main.database.log".into(), json!("closed")));
    let silent = |w: &mut World| w.silence("main.database.log");
    for (makes, words) in [(closed as Makes, "is closed"), (silent as Makes, "is silent")] {
        let mut world = world("log@main", Some(Duration::from_secs(60)));
        makes(&mut world);
        let later = world.now.boot + Duration::from_secs(20);
        world.run_until(|w| w.now.boot > later);
        let told = lines(&mut world);
        let (_, line) = told.iter().find(|(name, _)| *name == format!("{at}:points")).unwrap();
        assert!(line.level == Level::Amber && line.text.contains(words), "{line:?}");
        // Main is live: a failover would move it.
        assert!(!world.group().warnings.iter().any(|line| line.contains("log-msg")));
    }
    // Main is lost while the secondary is live: nothing else moves it.
    let mut world = world("log@main", None);
    let run = world.start("switchover", &[]);
    world.run_until(|w| w.run(run).state.ended());
    world.silence("main");
    let later = world.now.boot + Duration::from_secs(20);
    world.run_until(|w| w.now.boot > later);
    let warnings = world.group().warnings;
    let told = "log-msg at secondary: it works on `log` of main, which is silent";
    assert!(warnings.iter().any(|line| line.starts_with(told)), "{warnings:?}");
}

/// The sites at which it was owed that a program works, as it was recorded; and how often it is owed now.
fn owed(world: &mut World) -> (Vec<String>, usize) {
    let recorded = world.entries.iter().filter(|entry| entry.kind == "debt.owed");
    let recorded = recorded.map(|entry| &entry.body["owed"]).filter(|owed| owed["action"] == "point-process");
    let recorded = recorded.map(|owed| owed["args"]["to"].as_str().unwrap().to_owned()).collect();
    let now = world.group().debts.iter().filter(|debt| debt.what == "process.point").count();
    (recorded, now)
}

fn completed(world: &mut World, run: RunId) {
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed, "{:#?}", world.run(run));
}

#[test]
fn a_refresh_leaves_what_is_owed_and_it_is_paid() {
    let mut world = world("log@main", None);
    world.silence("main");
    world.failing.insert(POINT.into());
    let run = world.start("failover", &["main"]);
    completed(&mut world, run);
    let place = |w: &World, act: &str| w.acts.iter().position(|known| known == act).unwrap();
    assert!(place(&world, POINT) < place(&world, "secondary.process.log-msg.refresh"));
    assert_eq!(owed(&mut world), (vec!["secondary".to_owned(), "secondary".to_owned()], 2));
    world.failing.clear();
    world.run_until(|w| w.applied(POINT) > 0);
    assert_eq!(owed(&mut world).1, 1, "main's is owed until it is back");
    world.speak("main");
    world.run_until(|w| w.group().debts.is_empty());
    assert_eq!(world.applied("main.process.log-msg.point"), 1);
}

/// Nobody could ask it twice: what is owed is what the latest move wants.
#[test]
fn a_newer_move_replaces_what_is_owed() {
    let at = "main.process.log-msg";
    let mut world = world("config@main", None);
    world.silence(at);
    for (from, to) in [("main", "secondary"), ("secondary", "main")] {
        let run = world.start("switchover", &[]);
        completed(&mut world, run);
        let group = world.group();
        assert_eq!(group.live.unwrap().as_str(), to, "from {from}");
    }
    assert_eq!(owed(&mut world), (vec!["secondary".to_owned(), "main".to_owned()], 1));
    world.speak(at);
    world.run_until(|w| w.group().debts.is_empty());
    assert_eq!(world.applied(&format!("{at}.point")), 1);
}

#[test]
fn what_no_script_can_do_is_owed_and_not_tried_again_and_again() {
    let mut world = world("log@main", None);
    world.silence("main");
    world.seen.insert("secondary.process.log-msg".into(), works(None, &[], Value::Null));
    world.failing.insert(POINT.into());
    let run = world.start("failover", &["main"]);
    completed(&mut world, run);
    let tries = |w: &World| w.acts.iter().filter(|act| *act == POINT).count();
    let later = world.now.boot + Duration::from_secs(60);
    world.run_until(|w| w.now.boot > later);
    assert!(tries(&world) <= 2, "{} tries: each is an entry of the journal", tries(&world));
    // Its host's file was mended.
    world.seen.insert("secondary.process.log-msg".into(), works(Some("main"), &SITES, Value::Null));
    world.failing.clear();
    world.run_until(|w| w.applied(POINT) > 0);
    assert_eq!(owed(&mut world).1, 1, "main's");
}
