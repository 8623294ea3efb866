//! A slot that nobody reads keeps log on the live site's disk: how much is told, and when it nears its bound.

use std::time::Duration;

use crate::common::{GROUP, World, receiver};
use chrono::{DateTime, Utc};
use runner_core::Now;
use schemas::view::{GroupView, Mode};
use schemas::{Half, ReplicationSeen, ReplicationState, Seen};
use serde_json::json;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A source's half whose slot nobody reads, and which keeps so much.
fn capturing(kept: u64) -> Seen {
    Seen::Replication(ReplicationSeen {
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
    })
}

/// What `status` warns of while the slot keeps so much.
fn warnings(world: &mut World, kept: u64) -> Vec<String> {
    world.seen.insert("main.replication.csp".into(), capturing(kept));
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
        // Nobody knows since when: no run left the standby.
        assert!(line.starts_with("csp at main: UNPROTECTED, ") && line.contains(words), "{kept}: {line}");
    }
}

/// What is told of the secondary, which a failover opened, once its slot was looked at.
fn failed_over(world: &mut World) -> GroupView {
    world.seen.insert("secondary.replication.css".into(), capturing(GIB));
    world.pass(15);
    world.run_until(|w| {
        let group = w.group();
        group.mode == Mode::FailedOver && group.warnings.iter().any(|line| line.contains("UNPROTECTED"))
    });
    world.group()
}

/// It lasts days, whether or not something was left behind: the clock is of the opening, whoever asks and whenever.
#[test]
fn a_group_that_failed_over_is_told_since_when_it_is_unprotected() {
    for drained in [false, true] {
        let mut world = World::new();
        world.adopt("main");
        if !drained {
            world.silence("main");
        }
        let run = world.start("failover", if drained { &[] } else { &["main"] });
        world.run_until(|w| w.run(run).state.ended());
        let ended = world.entries.iter().rfind(|entry| entry.kind == "group.run-ended").unwrap();
        let left = json!(ended.body)["left"].clone();
        assert_eq!((&left["drained"], &left["follows"]), (&json!(drained), &json!(false)), "{left}");
        let since: DateTime<Utc> = left["since"].as_str().unwrap().parse().unwrap();
        let clock = since.format("since %Y-%m-%d %H:%MZ, ").to_string();
        let told = |group: &GroupView, age: &str| {
            let sentence = format!("secondary is live, unprotected {clock}{age}");
            assert!(group.sentence.starts_with(&sentence), "{drained} {age}: {}", group.sentence);
            let line = format!("css at secondary: UNPROTECTED {clock}{age}");
            assert!(
                group.warnings.iter().any(|w| w.starts_with(&line)),
                "{drained} {age}: {:?}",
                group.warnings
            );
        };
        told(&failed_over(&mut world), "");

        let later = Duration::from_secs(52 * 3600);
        let Now { wall, boot } = world.now;
        world.now = Now { wall: wall + later, boot: boot + later };
        told(&failed_over(&mut world), "2 d 4 h");

        let mut world = world.killed_beside(GROUP, |next| {
            if !drained {
                next.silence("main");
            }
            next.state.insert("main.database.config".into(), json!("closed"));
            next.state.insert("secondary.database.config".into(), json!("open"));
        });
        told(&failed_over(&mut world), "2 d 4 h");
    }
}

/// What is broken was seen to break, at the first site too.
#[test]
fn a_group_whose_replication_broke_is_told_since_when_it_is_unprotected() {
    let mut world = World::new();
    world.adopt("main");
    let broken = ReplicationSeen { trouble: Some("it has no worker".into()), ..receiver() };
    world.seen.insert("secondary.replication.csp".into(), Seen::Replication(broken));
    world.run_until(|w| w.entries.iter().any(|entry| entry.kind == "group.replication"));
    let entry = world.entries.iter().find(|entry| entry.kind == "group.replication").unwrap();
    let clock = entry.at.format("since %Y-%m-%d %H:%MZ, ");
    let sentence = format!("main is live, unprotected {clock}10 min: csp at secondary is broken");
    world.pass(610);
    let said = world.group().sentence;
    assert!(said.starts_with(&sentence), "{said}");
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
