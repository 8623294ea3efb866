//! Groups' files are read again: what is valid counts, at once or when the run has ended; what is not changes nothing.

use runner_core::{GroupPlan, ReadGroup};
use schemas::Code;
use schemas::op::{GroupFile, Op, OpReply, Reloaded};
use serde_json::{Value, json};

use crate::common::{GROUP, World};

pub(crate) fn read(text: &str) -> ReadGroup {
    let group = config::parse_group(text, "cfg.yaml", None).unwrap_or_else(|e| panic!("{e}"));
    ReadGroup { plan: GroupPlan::from(&group), known: false }
}

/// The group with another bound for its fence.
fn slower() -> ReadGroup {
    read(&GROUP.replace("within: 15s", "within: 40s"))
}

fn reload(world: &mut World) -> Reloaded {
    match world.op("CHG-1", Op::Reload {}) {
        OpReply::Reloaded(told) => told,
        other => panic!("{other:?}"),
    }
}

fn file(world: &mut World) -> GroupFile {
    match world.op("", Op::Files { group: Some("cfg".parse().unwrap()) }) {
        OpReply::Files(mut files) => files.remove(0),
        other => panic!("{other:?}"),
    }
}

fn within(file: &GroupFile) -> &Value {
    &file.file["fence"]["within"]
}

fn taken(world: &World) -> usize {
    world.entries.iter().filter(|entry| entry.kind == "group.file-taken").count()
}

#[test]
fn a_changed_file_counts_at_once_where_nothing_moves_and_who_wanted_it_is_recorded() {
    let mut world = World::new();
    world.adopt("main");
    let before = file(&mut world);
    world.files = Ok(vec![read(GROUP)]);
    let cfg = || vec!["cfg".parse().unwrap()];
    assert_eq!(reload(&mut world), Reloaded { same: cfg(), ..Reloaded::default() });
    world.files = Ok(vec![slower()]);
    assert_eq!(reload(&mut world), Reloaded { taken: cfg(), ..Reloaded::default() });
    let after = file(&mut world);
    assert_ne!(before.digest, after.digest);
    assert_eq!((within(&before), within(&after)), (&json!("PT15S"), &json!("PT40S")));
    let entry = world.entries.iter().find(|entry| entry.kind == "group.file-taken").unwrap();
    assert_eq!(entry.body["digest"], json!(after.digest));
    assert_eq!(entry.body["by"]["who"]["person"], "anna");
    assert_eq!(entry.body["by"]["why"], "CHG-1");
    assert_eq!(taken(&world), 1);
}

#[test]
fn no_run_in_flight_is_changed() {
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    let run = world.start("failover", &[]);
    let waits = |w: &mut World| w.run(run).waits_for.iter().any(|wait| wait.contains("pointsman accept"));
    world.run_until(waits);
    let before = file(&mut world);
    world.files = Ok(vec![slower()]);
    let told = reload(&mut world);
    assert_eq!((told.later.len(), told.taken.len()), (1, 0), "{told:?}");
    let during = file(&mut world);
    assert_eq!(during.digest, before.digest);
    assert!(during.next.is_some_and(|next| next != before.digest));
    // Set back before the run has ended: nothing waits any more. And once more.
    world.files = Ok(vec![read(GROUP)]);
    assert_eq!(reload(&mut world).same.len(), 1);
    assert_eq!(file(&mut world).next, None);
    world.files = Ok(vec![slower()]);
    reload(&mut world);
    let accept =
        Op::Accept { run: run.to_string(), unfenced: Some("main".parse().unwrap()), data_loss: None };
    world.op("seen", accept);
    world.run_until(|w| w.run(run).state.ended());
    let after = file(&mut world);
    assert_eq!((within(&after), after.next), (&json!("PT40S"), None));
    assert_eq!(taken(&world), 1);
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_with_its_place() {
    let mut world = World::new();
    world.adopt("main");
    let before = file(&mut world);
    world.files = Err("groups/cfg.yaml:4:1: document-shape: unknown field `fenc`".into());
    let OpReply::Problem(problem) = world.op("CHG-1", Op::Reload {}) else { panic!("taken") };
    assert_eq!(problem.code, Code::BadConfiguration);
    let detail = problem.detail.unwrap();
    assert!(detail.contains("cfg.yaml:4:1") && detail.contains("nothing was changed"), "{detail}");
    assert_eq!(file(&mut world), before);
    assert_eq!(taken(&world), 0);
}

#[test]
fn a_new_group_is_taken_and_what_needs_a_new_start_is_named() {
    let mut world = World::new();
    world.adopt("main");
    let other = |name: &str, known: bool| {
        let text = GROUP.replace("group: cfg", &format!("group: {name}"));
        ReadGroup { known, ..read(&text) }
    };
    world.files = Ok(vec![other("msg", false), other("old", true)]);
    let told = reload(&mut world);
    assert_eq!(told.taken, ["msg".parse().unwrap()]);
    assert_eq!(told.restart.len(), 2, "{told:?}");
    assert!(told.restart[0].starts_with("cfg: its file is gone"), "{told:?}");
    assert!(told.restart[1].starts_with("old: the journal knows"), "{told:?}");
    let OpReply::Files(files) = world.op("", Op::Files { group: None }) else { panic!("no files") };
    let names: Vec<&str> = files.iter().map(|file| file.group.as_str()).collect();
    assert_eq!(names, ["cfg", "msg"]);
}
