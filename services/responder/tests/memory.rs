//! The memory world: held points, orphans that act later, and their end.

#![expect(clippy::unwrap_used, reason = "tests")]

mod desk;

use std::sync::Arc;
use std::time::Duration;

use desk::*;
use responder::memory::{MemoryDriver, Point, World};
use responder::{Act, Driver};
use schemas::{Attempt, Code, Epoch};
use serde_json::json;

fn act(epoch: u64, position: &str) -> Act {
    let key = key(epoch.into(), position);
    let (run, within) = (key.run, Duration::from_secs(5));
    let (action, args, attempt) = (CLOSE, json!({}), Attempt(1));
    Act { action, args, group: group(), epoch: Epoch(epoch), run, key, attempt, within, not_after: None }
}

/// An act whose service is gone at `point`.
async fn left_at(world: &World, driver: &Arc<MemoryDriver<Switch>>, point: Point) {
    world.hold("x", point);
    let driver = driver.clone();
    let acting = tokio::spawn(async move { driver.act(&act(2, "close")).await });
    tokio::time::timeout(SOON, world.reached("x", point)).await.unwrap();
    acting.abort();
    assert!(acting.await.unwrap_err().is_cancelled());
    world.release("x", point);
}

#[tokio::test]
async fn an_orphan_acts_later_unless_it_is_ended_or_fenced() {
    let world = World::new();
    let driver = Arc::new(MemoryDriver::new(world.clone(), "x", Switch));
    left_at(&world, &driver, Point::Checked).await;
    let [orphan] = world.orphans("x")[..] else { panic!() };
    assert_eq!(world.state("x"), json!(null));
    assert_eq!(world.advance(orphan).unwrap(), Point::Effect);
    assert_eq!((world.state("x"), world.effects("x").len()), (json!("closed"), 1));

    left_at(&world, &driver, Point::Checked).await;
    world.set_endable("x", false);
    driver.end_earlier(SOON).await.unwrap_err();
    world.set_endable("x", true);
    driver.end_earlier(SOON).await.unwrap();
    assert!(world.orphans("x").is_empty());

    // The epoch is compared once: before it, a newer one fences; behind it, nothing does.
    left_at(&world, &driver, Point::Begun).await;
    left_at(&world, &driver, Point::Checked).await;
    world.raise_epoch("x", Epoch(3), key(3, "x").run).unwrap();
    let [early, late] = world.orphans("x")[..] else { panic!() };
    assert_eq!(world.advance(early).unwrap_err().problem().code, Code::StaleEpoch);
    assert_eq!(world.advance(late).unwrap(), Point::Effect);
    assert_eq!(world.effects("x").len(), 2);
}

#[tokio::test]
async fn an_effect_whose_author_is_gone_is_no_orphan() {
    let world = World::new();
    let driver = Arc::new(MemoryDriver::new(world.clone(), "x", Switch));
    left_at(&world, &driver, Point::Effect).await;
    assert!(world.statements("x").is_empty());
    assert_eq!(world.effects("x").len(), 1);
    world.set_down("x", true);
    driver.act(&act(2, "close")).await.unwrap_err();
    driver.observe().await.unwrap_err();
}
