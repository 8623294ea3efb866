//! The live site's database is dead, and its host is not.

use crate::common::World;
use schemas::SiteId;
use schemas::view::Mode;
use serde_json::json;

#[test]
fn a_live_database_that_cannot_be_looked_at_is_not_called_well() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    world.state.insert("main.database.config".into(), json!("dead"));
    world.run_until(|w| w.group().mode == Mode::Limited);
    let said = world.group().sentence;
    assert!(said.contains("config there cannot be looked at (no session on it)"), "{said}");
    assert!(said.contains("pointsman failover cfg --to secondary"), "{said}");
    world.state.insert("main.database.config".into(), json!("open"));
    world.run_until(|w| w.group().mode == Mode::Normal);
}

#[test]
fn a_site_is_seen_closed_while_every_database_that_counts_just_was() {
    let mut world = World::new();
    world.adopt("main");
    let closed =
        |world: &mut World, site: &str| world.group().sites[&site.parse::<SiteId>().unwrap()].seen_closed;
    world.run_until(|w| closed(w, "secondary"));
    // The other database is live at both sites.
    world.state.insert("secondary.database.log".into(), json!("open"));
    world.pass(4);
    assert!(closed(&mut world, "secondary"));
    assert!(!closed(&mut world, "main"));
    // What was seen grows old.
    world.silence("secondary.database.config");
    world.run_until(|w| !closed(w, "secondary"));
}
