//! Which reports of a lost site are decided about.

use std::time::Duration;

use serde_json::json;

use crate::common::{GROUP, World};

fn verdicts(world: &World) -> Vec<String> {
    let all = world.entries.iter().filter(|entry| entry.kind == "group.decision");
    all.map(|entry| entry.body["verdict"].as_str().unwrap().to_owned()).collect()
}

/// What lay in a queue says nothing of now, and does not keep what is said now from being heard.
#[test]
fn a_fresh_report_counts_although_an_old_one_came_before() {
    let mut world = World::with(GROUP, None);
    world.adopt("main");
    world.detect_late("main", Duration::from_secs(3600));
    world.detect_late("main", Duration::from_secs(3600));
    assert_eq!(verdicts(&world).len(), 1, "{:?}", verdicts(&world));
    world.pass(5);
    world.detect("main");
    world.pass(5);
    world.detect("main");
    let told = verdicts(&world);
    assert!(told.len() == 2 && told[0].contains("3600 s old") && told[1].contains("hold-down"), "{told:?}");
}

/// An observer that counts aloud is believed once it has counted far enough.
#[test]
fn a_report_of_fewer_misses_than_the_groups_file_asks_for_does_not_count() {
    let mut world = World::with(GROUP, None);
    world.adopt("main");
    for misses in 1..3 {
        world.reported(Duration::ZERO, json!({ "site": "main", "misses": misses }));
    }
    assert!(verdicts(&world).is_empty(), "{:?}", verdicts(&world));
    world.reported(Duration::ZERO, json!({ "site": "main", "misses": 3 }));
    assert!(verdicts(&world)[0].contains("hold-down"), "{:?}", verdicts(&world));
}
