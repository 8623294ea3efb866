//! Lines of a resource that the runner makes itself: from what is heard, and from how its service answers.

use std::time::Duration;

use crate::common::{GROUP, World};
use schemas::op::{Op, OpReply};
use schemas::{CheckLine, Level, NameSeen, Seen};
use serde_json::{Value, json};

const DATABASE: &str = "secondary.database.config";

fn world() -> World {
    let mut world = World::with(GROUP, Some(Duration::from_secs(60)));
    world.adopt("main");
    world
}

/// What `check` says now under this name; none where it has no such line.
fn line(world: &mut World, name: &str) -> Option<CheckLine> {
    let checks = match world.op("", Op::Check { group: None }) {
        OpReply::Checks(checks) => checks,
        other => panic!("{other:?}"),
    };
    let mut lines = checks.into_iter().flat_map(|check| check.lines);
    lines.find(|line| line.name == name).map(|line| line.line)
}

fn level(line: Option<&CheckLine>) -> Option<Level> {
    line.map(|line| line.level)
}

#[test]
fn a_second_service_that_beats_for_a_resource_is_red() {
    let mut world = world();
    let name = format!("{DATABASE}:instances");
    assert_eq!(line(&mut world, &name), None);
    world.twins.insert(DATABASE.into());
    world.pass(4);
    let told = line(&mut world, &name).unwrap();
    assert_eq!(told.level, Level::Red, "{told:?}");
    assert!(told.remedy.is_some_and(|remedy| remedy.starts_with("stop one of them")));
    assert_eq!(line(&mut world, "main.database.config:instances"), None, "it is of another service");
    // It was stopped.
    world.twins.clear();
    world.pass(8);
    assert_eq!(line(&mut world, &name), None);
}

#[test]
fn a_clock_that_is_wrong_is_amber_and_one_that_makes_times_meaningless_is_red() {
    let mut world = world();
    for (ahead, expected) in [
        (0, None),
        (5, None),
        (6, Some(Level::Amber)),
        (30, Some(Level::Amber)),
        (31, Some(Level::Red)),
        (-6, Some(Level::Amber)),
        (-31, Some(Level::Red)),
    ] {
        world.ahead.insert(DATABASE.into(), ahead);
        let told = line(&mut world, &format!("{DATABASE}:clock"));
        assert_eq!(level(told.as_ref()), expected, "{ahead}: {told:?}");
        let text = told.map(|line| line.text).unwrap_or_default();
        assert!(expected.is_none() || text.contains(&format!("by {} s", ahead.abs())), "{text}");
    }
}

#[test]
fn a_service_that_is_more_than_one_release_apart_is_red() {
    let mut world = world();
    let mut parts = env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse::<u64>().unwrap());
    let (major, minor) = (parts.next().unwrap(), parts.next().unwrap());
    for (theirs, expected) in [
        (format!("{major}.{minor}.77"), None),
        (format!("{major}.{}.0", minor + 1), None),
        (format!("{major}.{}.0", minor + 2), Some(Level::Red)),
        (format!("{}.{minor}.0", major + 1), Some(Level::Red)),
        ("nightly".to_owned(), Some(Level::Red)),
    ] {
        world.versions.insert(DATABASE.into(), theirs.clone());
        let told = line(&mut world, &format!("{DATABASE}:version"));
        assert_eq!(level(told.as_ref()), expected, "{theirs}: {told:?}");
        assert!(told.is_none_or(|line| line.text.contains(&theirs)), "{theirs}");
    }
}

#[test]
fn a_name_that_caches_keep_longer_than_its_group_says_is_amber() {
    let mut world = world();
    for (ttl, expected) in [
        (Value::Null, None),
        (json!(60), Some(Level::Green)),
        (json!(61), Some(Level::Amber)),
        (json!(3600), Some(Level::Amber)),
    ] {
        let seen = NameSeen {
            points_at: None,
            answers: Default::default(),
            silent: Vec::new(),
            pushed: None,
            detail: json!({ "ttl": ttl }),
        };
        world.seen.insert("witness.dns.cs-primary".into(), Seen::Name(seen));
        let told = line(&mut world, "witness.dns.cs-primary:ttl");
        assert_eq!(level(told.as_ref()), expected, "{ttl}: {told:?}");
        let remedy = told.and_then(|line| line.remedy);
        assert_eq!(remedy.is_some(), expected == Some(Level::Amber), "{ttl}: {remedy:?}");
    }
}
