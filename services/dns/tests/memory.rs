//! Names of a rehearsal behave as real ones.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::collections::BTreeSet;

use bench::*;
use dns::memory::MemoryName;
use responder::memory::{Point, World};
use responder::{Driver, Look};
use schemas::{Action, Code, Seen};
use serde_json::{Value, json};

#[tokio::test]
async fn a_record_once_twice_at_once_and_undone() {
    let world = World::new();
    let sites = BTreeSet::from([site("main"), site("secondary")]);
    world.set("cs-primary", json!("main"));
    let driver = MemoryName::record(world.clone(), "cs-primary", sites);
    let output = point(&driver, to("secondary")).await.unwrap();
    assert_eq!(output["to"], "secondary");
    let (one, other) = tokio::join!(point(&driver, to("secondary")), point(&driver, to("secondary")));
    assert_eq!((one.unwrap(), other.unwrap()), (output.clone(), output));
    world.set("cs-primary", json!("main"));
    assert!(matches!(driver.look(Action::Point, &to("secondary")).await, Look::NotInEffect(_)));
    point(&driver, to("secondary")).await.unwrap();
    let Seen::Name(seen) = driver.observe().await.unwrap() else { panic!() };
    assert_eq!(seen.points_at, Some(site("secondary")));
    for held in [json!("192.0.2.7"), Value::Null] {
        world.set("cs-primary", held);
        assert_eq!(not_done(point(&driver, to("main")).await).0, Code::Precondition);
    }
    assert_eq!(driver.check(Action::Point, &to("nowhere")).await.unwrap_err().code, Code::BadConfiguration);
}

#[tokio::test]
async fn a_hosts_file_is_pushed_and_taken_away() {
    let world = World::new();
    let sites = BTreeSet::from([site("main"), site("secondary")]);
    world.set("s1app", json!("main"));
    let driver = MemoryName::client(world.clone(), "s1app", sites);
    for _ in 0..2 {
        driver.act(&act(Action::Push, json!({ "to": "secondary" }))).await.unwrap();
        let Seen::Name(seen) = driver.observe().await.unwrap() else { panic!() };
        assert_eq!((seen.points_at, seen.pushed), (Some(site("secondary")), Some(site("secondary"))));
    }
    assert!(matches!(driver.look(Action::Follow, &to("secondary")).await, Look::InEffect(_)));
    let back = driver.act(&act(Action::Follow, json!({ "to": "main" }))).await;
    assert_eq!(not_done(back).0, Code::TimedOut);
    assert!(matches!(driver.look(Action::Unpush, &to("secondary")).await, Look::NotInEffect(_)));
    driver.act(&act(Action::Unpush, json!({ "to": "secondary" }))).await.unwrap();
    assert_eq!(world.state("s1app"), json!("secondary"));
    let Seen::Name(seen) = driver.observe().await.unwrap() else { panic!() };
    assert_eq!(seen.pushed, None);
}

#[tokio::test]
async fn an_orphan_may_act_later_until_it_is_ended() {
    let world = World::new();
    let sites = BTreeSet::from([site("main"), site("secondary")]);
    world.set("s1app", json!("main"));
    let driver = MemoryName::client(world.clone(), "s1app", sites);
    world.hold("s1app", Point::Checked);
    let asked = act(Action::Follow, json!({ "to": "secondary" }));
    for end in [false, true] {
        world.set("s1app", json!("main"));
        tokio::select! {
            ended = driver.act(&asked) => panic!("{ended:?}"),
            _ = world.reached("s1app", Point::Checked) => {}
        }
        let orphan = world.orphans("s1app")[0];
        if end {
            driver.end_earlier(std::time::Duration::ZERO).await.unwrap();
        }
        assert_eq!(world.advance(orphan).is_err(), end);
        assert_eq!(world.state("s1app"), json!(if end { "main" } else { "secondary" }));
    }
}
