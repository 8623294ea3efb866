//! What is owed of before, when the world is taken as it is or somebody wants it otherwise.

use std::time::Duration;

use schemas::op::{Op, OpReply};
use schemas::view::RunState;
use serde_json::{Value, json};

use crate::common::{GROUP, World};

fn pass(world: &mut World, seconds: u64) {
    let end = world.now.boot + Duration::from_secs(seconds);
    world.run_until(|w| w.now.boot >= end);
}

/// Main was lost; the secondary is live, and main's close, stops and client are owed.
fn failed_over(group: &str) -> World {
    let mut world = World::with(group, None);
    world.adopt("main");
    world.silence("main");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    world
}

fn entries<'a>(world: &'a World, kind: &'a str) -> impl Iterator<Item = &'a serde_json::Map<String, Value>> {
    world.entries.iter().filter(move |entry| entry.kind == kind).map(|entry| &entry.body)
}

/// The world is taken as it is: the site was opened by hand.
fn adopted(world: &mut World, live: &str) -> OpReply {
    let adopt = Op::Adopt {
        group: "cfg".parse().unwrap(),
        record: Some(live.parse().unwrap()),
        none_live: false,
        old_runner_stopped: false,
    };
    world.op("it was opened by hand", adopt)
}

/// The secondary is lost too, and somebody opens main by hand: what the failover owes would close it again.
#[test]
fn a_world_that_is_adopted_is_not_undone_by_what_was_owed_before() {
    let mut world = failed_over(GROUP);
    let owed = |world: &mut World, what: &str| world.group().debts.iter().any(|debt| debt.what == what);
    for what in ["database.disable-access", "process.stop", "dns.follow"] {
        assert!(owed(&mut world, what), "{what}: {:#?}", world.group().debts);
    }
    world.silence("secondary");
    pass(&mut world, 10);
    // Main's services answer looks alone until it is adopted.
    world.state.insert("main.database.config".into(), json!("open"));
    world.looks_only.insert("main".into());
    world.speak("main");
    pass(&mut world, 4);
    let reply = adopted(&mut world, "main");
    assert!(matches!(reply, OpReply::Recorded { .. }), "{reply:?}");
    world.looks_only.clear();
    let before = world.acts.len();
    pass(&mut world, 30);

    let undone = |act: &&String| act.ends_with(".disable-access") || act.ends_with(".stop");
    let acts: Vec<&String> = world.acts[before..].iter().filter(undone).collect();
    assert!(acts.is_empty(), "{acts:?}");
    assert_eq!(world.state["main.database.config"], json!("open"));
    for what in ["database.disable-access", "process.stop", "dns.follow"] {
        assert!(!owed(&mut world, what), "{what}: {:#?}", world.group().debts);
    }
    let said = entries(&world, "debt.ended").filter(|body| {
        body["how"].as_str().is_some_and(|how| how.contains("main is live, and it would undo that"))
    });
    assert!(said.count() >= 5, "a close, three stops and a client, each in the journal");
}

/// A client that followed nowhere is to follow the names as they are now.
#[test]
fn what_is_owed_of_a_client_is_where_the_names_lead_now() {
    let mut world = failed_over(&GROUP.replace("done_when: 90%", "done_when: 50%"));
    world.failing.insert("main.dns.s1app.follow".into());
    world.speak("main");
    world.run_until(|w| w.group().debts.iter().all(|debt| debt.what == "dns.follow"));
    let run = world.start("switchover", &[]);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    let to = |body: &serde_json::Map<String, Value>| body["owed"]["args"]["to"].clone();
    let owed = entries(&world, "debt.owed").filter(|body| body["owed"]["address"]["resource"] == "s1app");
    assert_eq!(owed.map(to).collect::<Vec<_>>(), [json!("secondary"), json!("main")]);
    assert_eq!(world.group().debts.len(), 1);
    world.failing.clear();
    world.run_until(|w| w.group().debts.is_empty());
}

/// Main is dead, somebody opened the secondary by hand, and the group is adopted there: main is claimed when it is back, so
/// that what it says is of this epoch and it counts as closed where it is.
#[test]
fn a_site_that_was_silent_when_the_group_was_adopted_is_claimed_when_it_is_back() {
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    world.state.insert("secondary.database.config".into(), json!("open"));
    pass(&mut world, 20);
    let reply = adopted(&mut world, "secondary");
    assert!(matches!(&reply, OpReply::Recorded { what, .. } if what.contains("not:")), "{reply:?}");
    pass(&mut world, 5);
    let group = world.group();
    let claims = |site: &str| {
        group.debts.iter().filter(|debt| debt.what == "claim" && debt.address.site.as_str() == site).count()
    };
    assert!(claims("main") > 3 && claims("secondary") == 0, "{:#?}", group.debts);

    world.state.insert("main.database.config".into(), json!("closed"));
    world.speak("main");
    pass(&mut world, 30);
    let group = world.group();
    assert!(group.debts.is_empty(), "{:#?}", group.debts);
    let main = group.sites.iter().find(|(site, _)| site.as_str() == "main").unwrap().1;
    assert!(!main.counts_open, "{main:?}");
}
