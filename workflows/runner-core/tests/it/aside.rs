//! A cleanup says what it drops before it does: which tables, of which site, and whether a ledger of them exists.

use schemas::op::{Fact, Op, OpReply, Preview, ProtectBy};
use schemas::{Aside, AsideTable, Code, Problem, ReplicationSeen, Seen, keeping};

use crate::common::{World, receiver};

fn says(world: &mut World, half: &str, aside: Option<Aside>) {
    let aside = aside.map(Box::new);
    world.seen.insert(half.into(), Seen::Replication(ReplicationSeen { aside, ..receiver() }));
}

/// What main keeps of a copy: so many tables, two of them named.
fn kept(tables: u64) -> Aside {
    let table = |name: &str, number: u32, bytes| AsideTable {
        table: format!("public.{name}"),
        kept: format!("pointsman_kept.rev_config_{number}"),
        bytes,
    };
    Aside {
        tables,
        bytes: 3 << 30,
        largest: vec![table("entry", 1, 2 << 30), table("note", 2, 1 << 30)],
        since: Some("2026-11-25T02:12:31Z".parse().unwrap()),
        ledger: Some("csp.orphans.jsonl 0a1b".into()),
        ..Aside::default()
    }
}

fn world() -> World {
    let mut world = World::new();
    says(&mut world, "main.replication.css", Some(Aside::default()));
    says(&mut world, "secondary.replication.csp", Some(Aside::default()));
    world.adopt("main");
    world
}

fn lines(preview: &Preview) -> Vec<String> {
    let ours = |fact: &&Fact| ["aside", "table", "ledger"].contains(&fact.label.as_str());
    let line = |fact: &Fact| {
        let verdict = fact.verdict.as_deref().map(|verdict| format!(" {verdict}")).unwrap_or_default();
        format!("{} {}{verdict}", fact.label, fact.text)
    };
    preview.facts.iter().filter(ours).map(line).collect()
}

fn sites(preview: &Preview) -> Vec<&str> {
    keeping(preview.aside.as_ref().unwrap()).into_iter().map(|site| site.as_str()).collect()
}

#[test]
fn each_table_is_named_with_its_site_and_its_ledger() {
    let mut world = world();
    says(&mut world, "main.replication.css", Some(kept(5)));
    let preview = world.preview("cleanup");
    assert_eq!(
        lines(&preview),
        [
            "aside css at main: 5 tables, 3.0 GiB, since 2026-11-25 02:12:31Z DROPPED FOR GOOD",
            "table css at main: public.entry, 2.0 GiB, kept as pointsman_kept.rev_config_1",
            "table css at main: public.note, 1.0 GiB, kept as pointsman_kept.rev_config_2",
            "table css at main: and 3 more",
            "ledger css at main: what only it had was exported to csp.orphans.jsonl 0a1b EXPORTED",
            "aside csp at secondary: nothing is kept aside",
        ]
    );
    assert_eq!(sites(&preview), ["main"], "the live site keeps them");
    assert!(world.preview("switchover").aside.is_none());
}

#[test]
fn a_waived_ledger_and_a_copy_that_has_not_ended_are_told() {
    let mut world = world();
    let waived = Some("anna: nothing was written there".into());
    let aside = Aside { ledger: None, waived, unfinished: true, ..kept(2) };
    says(&mut world, "secondary.replication.csp", Some(aside));
    let preview = world.preview("cleanup");
    let said = lines(&preview).join("\n");
    for part in [
        "csp at secondary: 2 tables, 3.0 GiB, since 2026-11-25 02:12:31Z COPY NOT ENDED",
        "not exported, waived by anna: nothing was written there WAIVED",
    ] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    assert!(!said.contains("more"), "{said}");
    assert_eq!(sites(&preview), ["secondary"]);
}

#[test]
fn what_a_copy_that_has_not_ended_keeps_is_not_dropped_and_neither_is_anything_else() {
    let mut world = world();
    says(&mut world, "main.replication.css", Some(kept(2)));
    says(&mut world, "secondary.replication.csp", Some(Aside { unfinished: true, ..kept(2) }));
    let preview = world.preview("cleanup");
    let refused = |problem: &Problem| {
        let detail = problem.detail.clone().unwrap_or_default();
        problem.code == Code::Precondition
            && detail.starts_with("the copy of csp at secondary has not ended")
            && detail.contains("pointsman reprotect cfg --by copy")
    };
    assert!(preview.refusals.iter().any(refused), "{:?}", preview.refusals);
    match world.ask("cleanup", &[], &[]) {
        OpReply::Problem(problem) => assert!(refused(&problem), "{problem:?}"),
        other => panic!("{other:?}"),
    }
    // It keeps no other move from being started.
    assert!(!world.preview("switchover").refusals.iter().any(refused));

    says(&mut world, "secondary.replication.csp", Some(kept(2)));
    assert!(!world.preview("cleanup").refusals.iter().any(refused));
}

/// Its service would refuse it in the midst of the run, when the slot of what only that site has is gone.
#[test]
fn a_copy_beside_what_an_earlier_one_kept_is_refused_before_anything_is_done() {
    let mut world = world();
    let copy = |world: &mut World| {
        let start = Op::Start {
            workflow: "reprotect".into(),
            group: "cfg".parse().unwrap(),
            to: None,
            supersede: None,
            accept_unfenced: Vec::new(),
            accept_data_loss: None,
            by: Some(ProtectBy::Copy),
            overrides: Vec::new(),
            waive_ledger: false,
            dry_run: true,
        };
        match world.op("", start) {
            OpReply::Preview(preview) => preview.refusals.clone(),
            other => panic!("{other:?}"),
        }
    };
    let refused = |refusals: &[Problem]| {
        let said = |problem: &Problem| problem.detail.clone().unwrap_or_default();
        refusals.iter().any(|problem| said(problem).contains("pointsman cleanup cfg --why … first"))
    };
    says(&mut world, "secondary.replication.csp", Some(kept(2)));
    let refusals = copy(&mut world);
    assert!(refused(&refusals), "{refusals:?}");
    // One that was given up goes on, and what the live site keeps is in nobody's way.
    says(&mut world, "secondary.replication.csp", Some(Aside { unfinished: true, ..kept(2) }));
    let refusals = copy(&mut world);
    assert!(!refused(&refusals), "{refusals:?}");
    says(&mut world, "secondary.replication.csp", Some(Aside::default()));
    says(&mut world, "main.replication.css", Some(kept(2)));
    let refusals = copy(&mut world);
    assert!(!refused(&refusals), "{refusals:?}");
}

#[test]
fn a_cleanup_of_what_is_kept_starts() {
    let mut world = world();
    says(&mut world, "main.replication.css", Some(kept(2)));
    world.start("cleanup", &[]);
}

#[test]
fn nothing_kept_is_told_and_so_is_a_receiver_that_does_not_say() {
    let mut world = world();
    let preview = world.preview("cleanup");
    let nothing = |half: &str| format!("aside {half}: nothing is kept aside");
    assert_eq!(lines(&preview), [nothing("css at main"), nothing("csp at secondary")]);
    assert!(sites(&preview).is_empty());

    says(&mut world, "secondary.replication.csp", None);
    let preview = world.preview("cleanup");
    let unknown = "aside csp at secondary: what it keeps aside was not seen UNKNOWN".to_owned();
    assert_eq!(lines(&preview), [nothing("css at main"), unknown]);
    assert_eq!(sites(&preview), ["secondary"]);
}
