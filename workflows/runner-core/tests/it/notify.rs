//! People are told: late rather than never, each thing once where the command works, and no run waits for it.

use std::time::Duration;

use schemas::op::Op;
use schemas::view::RunState;
use serde_json::json;

use crate::common::{GROUP, World};

fn notifying() -> String {
    format!("{GROUP}notify: {{ held: /page, failed: /page, completed: /page }}\n")
}

/// At main, which is lost.
fn lost() -> World {
    let mut world = World::with(&notifying(), None);
    world.adopt("main");
    world.silence("main");
    world
}

fn ends(world: &World) -> Vec<serde_json::Value> {
    let ends = world.entries.iter().filter(|entry| entry.kind == "notice.ended");
    ends.map(|entry| json!(entry.body)).collect()
}

#[test]
fn a_wait_for_a_person_is_told_once_and_the_end_too() {
    let mut world = lost();
    let run = world.start("failover", &[]);
    world.run_until(|w| !w.told.is_empty());
    let (_, held) = &world.told[0];
    assert_eq!((held.program.to_str(), held.notice), (Some("/page"), 1));
    for (name, value) in [
        ("id", json!("cfg-notice-1")),
        ("notify", json!("held")),
        ("group", json!("cfg")),
        ("run", json!(run)),
        ("state", json!("waiting")),
        ("from", json!("main")),
        ("to", json!("secondary")),
        ("who", json!("anna")),
        ("why", json!("INC-1")),
        ("ended", json!(false)),
        ("try", json!(1)),
    ] {
        assert_eq!(held.facts[name], value, "{name}");
    }
    let text = held.facts["text"].as_str().unwrap();
    assert!(text.contains("pointsman accept") && text.contains("--unfenced main"), "{text}");
    let waited = world.now.boot + Duration::from_secs(60);
    world.run_until(|w| w.now.boot > waited);
    assert_eq!(world.told.len(), 1, "it is told once");

    let accept =
        Op::Accept { run: run.to_string(), unfenced: Some("main".parse().unwrap()), data_loss: None };
    world.op("seen", accept);
    world.run_until(|w| w.told.len() == 2);
    assert_eq!(world.told[1].1.facts["notify"], "completed");
    assert_eq!(world.run(run).state, RunState::Completed);
    assert_eq!(ends(&world), [json!({ "notice": 1, "tries": 1 }), json!({ "notice": 2, "tries": 1 })]);
}

#[test]
fn what_fails_is_tried_again_and_no_run_waits_for_it() {
    let mut world = lost();
    world.mute = 5;
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    assert!(ends(&world).is_empty(), "the run ended before anybody could be told");
    world.run_until(|w| w.told.len() == 2);
    let warnings = world.group().warnings;
    assert!(warnings.iter().any(|w| w.contains("is not told yet, 2 tries: exit 1")), "{warnings:?}");
    world.run_until(|w| w.told.len() == 6);
    assert_eq!(ends(&world), [json!({ "notice": 1, "tries": 6 })]);
    let pauses: Vec<u64> = world.told.windows(2).map(|w| (w[1].0 - w[0].0).as_secs()).collect();
    assert_eq!(pauses, [2, 4, 8, 16, 32]);
    assert_eq!(world.told[5].1.facts["ended"], json!(true));
    let warnings = world.group().warnings;
    assert!(!warnings.iter().any(|w| w.contains("told")), "{warnings:?}");
}

#[test]
fn what_is_owed_outlives_the_runner_and_what_was_told_is_not_told_again() {
    let mut world = lost();
    world.mute = 1_000_000;
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended() && w.told.len() > 3);
    let mut next = world.killed(&notifying());
    next.run_until(|w| !w.told.is_empty());
    assert_eq!(next.told[0].1.facts["id"], "cfg-notice-1");
    assert_eq!(next.told[0].1.facts["run"], json!(run));
    assert_eq!(ends(&next), [json!({ "notice": 1, "tries": 1 })]);
    let before = next.entries.clone();
    // Another life: what was told is over.
    let mut third = next;
    third.entries = before;
    let third = third.killed(&notifying());
    assert!(third.told.is_empty());
}

#[test]
fn what_cannot_be_told_within_an_hour_is_given_up_aloud() {
    let mut world = lost();
    world.mute = 1_000_000;
    let run = world.start("failover", &["main"]);
    world.run_until(|w| !ends(w).is_empty());
    let tries = world.told.len();
    assert!((60..80).contains(&tries), "{tries} tries in an hour");
    let gave_up = ends(&world)[0]["gaveUp"].as_str().unwrap().to_owned();
    assert!(gave_up.contains("the last: exit 1"), "{gave_up}");
    let entry = world.entries.iter().find(|entry| entry.kind == "notice.ended").unwrap();
    let told = runner_core::event_of("/r", &entry.stream, entry.seq, entry.at, entry.told.as_ref().unwrap());
    assert_eq!(told.unwrap().kind, "notify-failed");
    let warnings = world.group().warnings;
    let short = run.short(4);
    let wanted = format!("notify.completed of run {short} was never told");
    assert!(warnings.iter().any(|w| w.starts_with(&wanted)), "{warnings:?}");
}

#[test]
fn a_command_that_the_file_names_no_more_is_not_waited_for() {
    let mut world = lost();
    world.mute = 1_000_000;
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    let next = world.killed(GROUP);
    assert!(next.told.is_empty());
    assert!(ends(&next)[0]["gaveUp"].as_str().unwrap().contains("names no command"), "{:?}", ends(&next));
}
