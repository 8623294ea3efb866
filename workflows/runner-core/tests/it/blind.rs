//! The live site's database is dead, and its host is not.

use crate::common::World;
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
