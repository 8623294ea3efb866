//! A preview says what a run that begins now will wait for: not what one that began before has been given.

use schemas::op::{Op, OpReply, Preview};
use schemas::view::RunState;

use crate::common::{GROUP, World};

fn fact<'p>(preview: &'p Preview, label: &str) -> Option<(&'p str, Option<&'p str>)> {
    let fact = preview.facts.iter().find(|fact| fact.label == label)?;
    Some((&fact.text, fact.verdict.as_deref()))
}

fn asks(world: &mut World) -> Option<String> {
    let preview = world.preview("failover");
    fact(&preview, "asks").map(|(text, _)| text.rsplit(": ").next().unwrap().to_owned())
}

/// The run has an epoch of its own, and an acceptance serves one.
#[test]
fn what_was_accepted_for_another_run_is_asked_for_again() {
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    world.pass(20);
    assert_eq!(asks(&mut world).as_deref(), Some("--accept-unfenced main"));
    let run = world.start("failover", &[]);
    let accept =
        Op::Accept { run: run.to_string(), unfenced: Some("main".parse().unwrap()), data_loss: None };
    world.failing.insert("secondary.database.config.enable-access".into());
    assert!(matches!(world.op("seen dark", accept), OpReply::Recorded { .. }));
    world.pass(5);
    let cancel = Op::Cancel { run: run.to_string(), leave: true };
    assert!(matches!(world.op("not today", cancel), OpReply::Recorded { .. }));
    world.run_until(|w| w.run(run).state.ended());
    assert_ne!(world.run(run).state, RunState::Completed);
    let preview = world.preview("failover");
    let fence = fact(&preview, "fence").unwrap();
    assert_eq!(fence, ("main cannot be asked: it may still accept writes", Some("NOT PROVED")));
    assert_eq!(asks(&mut world).as_deref(), Some("--accept-unfenced main"));
}

/// Its host answers for the programs; nobody can close it all the same.
#[test]
fn a_database_whose_service_is_dead_is_asked_for_although_its_site_answers() {
    let group = format!("{GROUP}loss: {{ max: 30s, unknown: ask }}\n");
    let mut world = World::with(&group, None);
    world.adopt("main");
    world.pass(10);
    assert_eq!(asks(&mut world), None, "it is closed and drained first");
    world.silence("main.database.config");
    world.pass(20);
    let asked = asks(&mut world);
    assert_eq!(asked.as_deref(), Some("--accept-unfenced main --accept-data-loss unknown"));
    let preview = world.preview("failover");
    assert_eq!(fact(&preview, "fence").unwrap().1, Some("NOT PROVED"));
}
