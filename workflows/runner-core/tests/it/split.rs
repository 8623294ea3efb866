//! Two sites that are open at once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::view::Mode;
use schemas::{Code, Problem, Seen};
use serde_json::json;

use crate::common::{GROUP, World};

fn events(world: &World) -> Vec<serde_json::Value> {
    let all = world.entries.iter().filter(|entry| entry.kind == "group.split-brain");
    all.map(|entry| entry.body["sites"].clone()).collect()
}

#[test]
fn two_open_sites_are_told_within_five_seconds_and_the_end_too() {
    let mut world = World::with(&format!("{GROUP}notify: {{ held: /page }}\n"), None);
    world.adopt("main");
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(20));
    assert_eq!(events(&world), [] as [serde_json::Value; 0], "one is open");

    world.state.insert("secondary.database.config".into(), json!("open"));
    let since = world.now.boot;
    world.run_until(|w| !events(w).is_empty());
    assert!(world.now.boot <= since + Duration::from_secs(5), "{:?}", world.now.boot - since);
    assert_eq!(events(&world), [json!(["main", "secondary"])]);
    world.run_until(|w| !w.told.is_empty());
    let facts = &world.told[0].1.facts;
    assert_eq!(
        (facts["notify"].as_str(), facts["look"].as_str()),
        (Some("split-brain"), Some("pointsman status cfg"))
    );
    assert!(facts["text"].as_str().unwrap().contains("main and secondary are open at once"), "{facts}");
    assert_eq!(world.group().mode, Mode::SplitBrain);

    // It is told once, and its end once.
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(20));
    assert_eq!(events(&world).len(), 1);
    world.state.insert("secondary.database.config".into(), json!("closed"));
    world.run_until(|w| events(w).len() > 1);
    assert_eq!(events(&world)[1], json!([]));
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(20));
    assert_eq!((events(&world).len(), world.told.len()), (2, 1));
}

#[test]
fn a_move_is_no_split_brain() {
    let mut world = World::new();
    world.adopt("main");
    for to in ["secondary", "main", "secondary"] {
        let run = world.start("switchover", &[]);
        world.run_until(|w| w.run(run).state.ended());
        let since = world.now.boot;
        world.run_until(|w| w.now.boot > since + Duration::from_secs(15));
        assert_eq!(world.group().live.unwrap().as_str(), to);
    }
    assert_eq!(events(&world), [] as [serde_json::Value; 0]);
}

/// The acceptance of a failover says that main could not be asked. It says nothing about what main does later.
#[test]
fn a_site_that_was_accepted_once_is_told_when_it_is_open_beside_the_other() {
    let mut world = World::with(&format!("{GROUP}notify: {{ held: /page }}\n"), None);
    world.adopt("main");
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(10));
    world.silence("main");
    world.state.insert("main.database.config".into(), json!("closed"));
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    world.speak("main");
    world.run_until(|w| w.group().debts.is_empty());
    assert_eq!(events(&world), [] as [serde_json::Value; 0], "it came back closed");

    world.state.insert("main.database.config".into(), json!("open"));
    let since = world.now.boot;
    world.run_until(|w| !events(w).is_empty());
    assert!(world.now.boot <= since + Duration::from_secs(5), "{:?}", world.now.boot - since);
    assert_eq!(world.group().mode, Mode::SplitBrain);
    world.run_until(|w| !w.told.is_empty());
}

/// It comes back open, as after a freeze, and is closed at once: nobody is woken for that.
#[test]
fn a_site_that_comes_back_open_and_is_closed_at_once_is_not_told() {
    let mut world = World::new();
    world.adopt("main");
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(10));
    world.silence("main");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    world.speak("main");
    world.run_until(|w| w.group().debts.is_empty());
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(20));
    assert_eq!(events(&world), [] as [serde_json::Value; 0]);
    assert!(world.applied("main.database.config.disable-access") > 0, "it was closed");
    let tries = world.entries.iter().filter(|entry| entry.kind == "debt.intended").count();
    assert!(tries < 60, "a debt at a service that is gone is not tried again at once: {tries} tries");
}

/// When a close that is owed was intended.
fn closes(world: &World) -> Vec<DateTime<Utc>> {
    let close = |entry: &&runner_core::Append| {
        entry.kind == "debt.intended" && entry.body["intent"]["action"] == "disable-access"
    };
    world.entries.iter().filter(close).map(|entry| entry.at).collect()
}

/// The site may be open until then. Later it is tried less often, and not at all where nobody would hear it: each try is
/// an entry of the journal.
#[test]
fn a_close_that_is_owed_and_failed_is_tried_again_soon() {
    let close = "main.database.config.disable-access";
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(10));
    let before = closes(&world).len();
    world.failing.insert(close.into());
    world.speak("main");
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(20));
    let tries = closes(&world)[before..].to_vec();
    let pauses: Vec<i64> = tries.windows(2).map(|two| (two[1] - two[0]).num_milliseconds()).collect();
    assert!(pauses.len() >= 5 && pauses[0] < 600 && pauses[1] < 1100, "{pauses:?}");
    for (pause, least) in pauses.iter().zip([500, 1000].into_iter().chain(std::iter::repeat(2000))) {
        assert!(*pause >= least, "{pauses:?}");
    }

    world.silence("main");
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(10));
    assert_eq!(closes(&world).len(), before + tries.len(), "nobody would hear it");

    // Its service is back, and no server is behind it.
    let gone = Problem::new(Code::Unreachable, "connection refused");
    world.seen.insert("main.database.config".into(), Seen::Nothing(gone));
    world.speak("main");
    let since = world.now.boot;
    world.run_until(|w| w.now.boot > since + Duration::from_secs(60));
    let more = closes(&world).len() - before - tries.len();
    assert!(more <= 1, "{more} tries of a close where no server is");

    world.failing.clear();
    world.seen.clear();
    world.run_until(|w| w.applied(close) > 0);
}
