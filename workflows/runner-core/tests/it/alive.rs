//! What is lost is counted until the site was last seen alive, by whatever lived there longest.

use std::time::Duration;

use schemas::op::{Op, OpReply};
use schemas::{CheckLine, Code, Level, Problem, ReplicationSeen, Seen};
use serde_json::json;

use crate::common::{GROUP, World, receiver};

const SOURCE: &str = "main.replication.csp";

/// Main is live, secondary has just applied a heartbeat, and no other one comes; a loss of 30 s was agreed upon.
fn world() -> World {
    let mut world =
        World::with(&format!("{GROUP}loss: {{ max: 30s, unknown: ask }}\n"), Some(Duration::from_secs(60)));
    world.adopt("main");
    let seen = ReplicationSeen { heartbeat: Some(world.now.wall), ..receiver() };
    world.seen.insert("secondary.replication.csp".into(), Seen::Replication(seen));
    world
}

fn fresh(world: &mut World) -> CheckLine {
    let OpReply::Checks(checks) = world.op("", Op::Check { group: None }) else { panic!() };
    let found = checks[0].lines.iter().find(|line| line.name == "secondary.replication.csp:fresh");
    found.unwrap_or_else(|| panic!("{checks:?}")).line.clone()
}

fn lost(world: &mut World) -> u64 {
    world.group().loss.unwrap().estimate.unwrap().0.as_secs()
}

/// The service that stamps the heartbeats is the only one that died. The link broke later, the site later still.
#[test]
fn what_was_written_after_the_replication_service_died_is_lost_too() {
    let mut world = world();
    world.silence(SOURCE);
    world.pass(10);
    let line = fresh(&mut world);
    assert_eq!(line.level, Level::Amber, "nobody stamps, at once: {line:?}");
    assert!(line.text.contains("(csp there is silent since "), "{line:?}");
    assert!(line.remedy.unwrap().contains(SOURCE));
    world.pass(60);
    assert_eq!(fresh(&mut world).level, Level::Red);

    let silent = world.now.wall;
    world.silence("main");
    world.pass(20);
    assert!((68..=74).contains(&lost(&mut world)), "{:?}", world.group().loss);
    // Recorded once, for whoever runs after this life.
    let noted: Vec<_> = world.entries.iter().filter(|entry| entry.kind == "group.last-seen").collect();
    let [noted] = noted.as_slice() else { panic!("{noted:?}") };
    let alive: chrono::DateTime<chrono::Utc> = serde_json::from_value(noted.body["alive"].clone()).unwrap();
    assert!((silent - alive).num_seconds() <= 2, "{noted:?}");

    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).waits_for.iter().any(|wait| wait.contains("the limit is 30 s")));
    assert_ne!(world.state.get("secondary.database.config"), Some(&json!("open")));
}

/// A bound that is given is behind again at the next sign of life: whoever gives it is told.
#[test]
fn a_loss_that_grows_while_its_site_is_heard_says_so() {
    for lives in [true, false] {
        let mut world = world();
        world.silence(SOURCE);
        world.silence("main.database.config");
        world.pass(60);
        if !lives {
            world.silence("main");
            world.pass(20);
        }
        let run = world.start("failover", &["main"]);
        world.run_until(|w| w.run(run).waits_for.iter().any(|wait| wait.contains("--data-loss DURATION")));
        let told = world.run(run).waits_for.join(" ");
        assert_eq!(told.contains("it grows while main is heard: give more"), lives, "{told}");
    }
}

/// A sign of whoever stands beside a server that lets nobody in is no sign of a write, as long as it is seen so.
#[test]
fn a_server_that_lets_nobody_in_takes_no_writes_whoever_lives_beside_it() {
    let mut world = world();
    world.pass(4);
    world.state.insert("main.database.config".into(), json!("dead"));
    let unreachable = Seen::Nothing(Problem::new(Code::Unreachable, "no session on it"));
    world.seen.insert(SOURCE.into(), unreachable);
    world.pass(60);
    assert!(lost(&mut world) <= 15, "{:?}", world.group().loss);

    // Both services that could tell fall silent, and the rest of the site lives on: the server may be back.
    world.silence("main.database.config");
    world.silence(SOURCE);
    world.pass(40);
    assert!(lost(&mut world) >= 100, "{:?}", world.group().loss);
}

#[test]
fn a_server_that_is_back_takes_writes() {
    let mut world = world();
    world.state.insert("main.database.config".into(), json!("dead"));
    world.seen.insert(SOURCE.into(), Seen::Nothing(Problem::new(Code::Unreachable, "no session on it")));
    world.pass(30);
    world.state.insert("main.database.config".into(), json!("open"));
    world.seen.remove(SOURCE);
    world.pass(30);
    assert!(lost(&mut world) >= 58, "{:?}", world.group().loss);
}
