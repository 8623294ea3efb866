//! For how long users could only read: from when it was seen, whatever becomes of the runner meanwhile.

use std::time::Duration;

use schemas::view::Mode;
use serde_json::{Value, json};

use crate::common::{GROUP, World};

fn noted(world: &World) -> Vec<Value> {
    let all = world.entries.iter().filter(|entry| entry.kind == "group.limited");
    all.map(|entry| json!(entry.body)).collect()
}

#[test]
fn it_counts_from_the_silence_over_a_restart_to_the_end_of_the_move() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    assert_eq!(world.group().limited_since, None);
    let lost = world.now.wall;
    world.silence("main");
    world.run_until(|w| w.group().mode == Mode::Limited);
    let since = world.group().limited_since.unwrap();
    assert!((lost - since).to_std().unwrap_or_default() <= Duration::from_secs(2), "{lost} {since}");
    let later = lost + Duration::from_secs(190);
    world.run_until(|w| w.now.wall > later);
    let group = world.group();
    assert!(
        group.sentence.contains("main is live and silent, limited for 3 min: pointsman failover"),
        "{group:?}"
    );
    assert_eq!(group.limited_since, Some(since));
    assert_eq!(noted(&world), [json!({ "site": "main", "since": since })], "once");

    // Its clock outlives the runner, and the move that ends it begins to count there.
    let mut world = world.killed(GROUP);
    world.silence("main");
    let later = world.now.wall + Duration::from_secs(60);
    world.run_until(|w| w.now.wall > later);
    assert_eq!(world.group().limited_since, Some(since));
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    let limited = world.run(run).limited.unwrap();
    assert_eq!(limited.since, since);
    assert!(limited.until.is_some_and(|until| until > later), "{limited:?}");
    let later = world.now.wall + Duration::from_secs(20);
    world.run_until(|w| w.now.wall > later);
    assert_eq!(world.group().limited_since, None);
    assert_eq!(noted(&world), [] as [Value; 0], "the run's end says it");
}

#[test]
fn a_live_site_that_is_mended_ends_it() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    world.state.insert("main.database.config".into(), json!("dead"));
    world.run_until(|w| !noted(w).is_empty());
    world.state.insert("main.database.config".into(), json!("open"));
    world.run_until(|w| noted(w).len() > 1);
    assert_eq!(noted(&world)[1], json!({ "site": "main" }));
    assert_eq!(world.group().limited_since, None);
}
