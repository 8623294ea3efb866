//! A copy whose ledger cannot be stored.

use schemas::op::{Op, OpReply, ProtectBy};
use schemas::view::RunState;

use crate::common::World;

pub(crate) fn copy(supersede: Option<String>) -> Op {
    Op::Start {
        workflow: "reprotect".into(),
        group: "cfg".parse().unwrap(),
        to: None,
        waive_ledger: supersede.is_some(),
        supersede,
        accept_unfenced: Vec::new(),
        accept_data_loss: None,
        by: Some(ProtectBy::Copy),
        overrides: Vec::new(),
        dry_run: false,
    }
}

#[test]
fn a_copy_that_is_held_for_its_ledger_names_the_waiver() {
    let mut world = World::new();
    world.adopt("main");
    world.failing.insert("secondary.replication.css.export".into());
    let OpReply::Started { run, .. } = world.op("secondary is back", copy(None)) else { panic!() };
    world.run_until(|w| w.run(run).state == RunState::Held);
    let waits = world.run(run).waits_for.join(" ");
    let short = run.short(4);
    let waiver = format!(
        "pointsman reprotect cfg --by copy --waive-ledger --supersede {short} --why …; else pointsman retry"
    );
    assert!(waits.contains(&waiver), "{waits}");
    assert_eq!(world.applied("secondary.replication.css.discard"), 0, "nothing of it is given up yet");

    let OpReply::Started { run, .. } = world.op("agreed with its owner", copy(Some(short))) else { panic!() };
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    assert_eq!(world.applied("secondary.replication.csp.copy"), 1);
}
