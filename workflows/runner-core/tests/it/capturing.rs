//! A slot that nobody reads keeps log on the live site's disk: how much is told, and when it nears its bound.

use std::time::Duration;

use crate::common::{GROUP, World};
use schemas::{Half, ReplicationSeen, ReplicationState, Seen};
use serde_json::json;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What `status` warns of while the slot keeps so much.
fn warnings(world: &mut World, kept: u64) -> Vec<String> {
    let seen = ReplicationSeen {
        half: Half::Source,
        state: ReplicationState::Capturing,
        lag_bytes: None,
        lag_seconds: None,
        heartbeat: None,
        kept_bytes: Some(kept),
        copy: None,
        aside: None,
        orphans: None,
        trouble: None,
        detail: json!({ "maxSlotWalKeepSize": "10GB" }),
    };
    world.seen.insert("main.replication.csp".into(), Seen::Replication(seen));
    // The halves of a replication are looked at every 10 s.
    let looked = world.now.boot + Duration::from_secs(15);
    world.run_until(|w| w.now.boot > looked);
    world.group().warnings
}

#[test]
fn a_slot_that_fills_the_disk_is_warned_of_from_four_fifths_of_its_bound_on() {
    let mut world = World::with(&format!("{GROUP}reverse: {{ wal_keep: 10GiB }}\n"), None);
    world.adopt("main");
    for (kept, words) in [
        (8 * GIB - MIB, "8.0 GiB of log are kept for the other site"),
        (8 * GIB, "8.0 GiB of log are kept, of 10.0 GiB at most"),
        (10 * GIB - MIB, "10.0 GiB of log are kept, of 10.0 GiB at most"),
        (10 * GIB, "10.0 GiB of log are kept, more than reverse.wal_keep (10.0 GiB)"),
    ] {
        let told = warnings(&mut world, kept);
        let [line] = told.as_slice() else { panic!("{kept}: {told:?}") };
        assert!(line.starts_with("csp at main: UNPROTECTED") && line.contains(words), "{kept}: {line}");
    }
}

#[test]
fn a_slot_without_a_bound_is_warned_of_by_itself() {
    let mut world = World::new();
    world.adopt("main");
    let told = warnings(&mut world, 0);
    assert!(!told.iter().any(|line| line.contains("max_slot_wal_keep_size")), "{told:?}");
    let Some(Seen::Replication(seen)) = world.seen.get_mut("main.replication.csp") else { panic!() };
    seen.detail = json!({ "maxSlotWalKeepSize": "-1" });
    let looked = world.now.boot + Duration::from_secs(15);
    world.run_until(|w| w.now.boot > looked);
    let told = world.group().warnings;
    assert!(told.iter().any(|line| line.contains("max_slot_wal_keep_size is not set")), "{told:?}");
}
