//! A standby whose tables are not all there: it protects nobody, whatever its heartbeat says.

use std::time::Duration;

use schemas::duration::Iso;
use schemas::op::{Op, OpReply};
use schemas::view::{Mode, RunState};
use schemas::{
    Code, CopyProgress, Declaration, Level, LossBound, ReplicationSeen, ReplicationState, RunId, Seen,
};
use serde_json::json;

use crate::common::{GROUP, World, receiver};

const WORDS: &str = "csp: the copy at secondary is not finished, 3 of 5 tables are there";
const LIMIT: &str = "loss: { max: 30s, unknown: ask }";
const STANDING: &str = "loss: { max: 30s, unknown: { accepted_by: ops, why: a drill, until: 2030-01-01 } }";

/// The receiver has just applied a heartbeat; so many of its tables are there.
fn copied(world: &mut World, tables_ready: u64) {
    let copy = CopyProgress { tables: 5, tables_ready, rows: 0, bytes: 0, bytes_total: 0, left: None };
    let half = ReplicationSeen {
        state: ReplicationState::Draining,
        heartbeat: Some(world.now.wall),
        copy: (tables_ready < 5).then_some(copy),
        ..receiver()
    };
    world.seen.insert("secondary.replication.csp".into(), Seen::Replication(half));
}

fn world(limit: &str) -> World {
    let mut world = World::with(&format!("{GROUP}{limit}\n"), Some(Duration::from_secs(60)));
    copied(&mut world, 3);
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    world
}

fn start(workflow: &str, unfenced: &[&str], accept_data_loss: Option<LossBound>) -> Op {
    Op::Start {
        workflow: workflow.into(),
        group: "cfg".parse().unwrap(),
        to: None,
        supersede: None,
        accept_unfenced: unfenced.iter().map(|site| site.parse().unwrap()).collect(),
        accept_data_loss,
        by: None,
        overrides: Vec::new(),
        waive_ledger: false,
        dry_run: false,
    }
}

fn failover(world: &mut World, accepted: LossBound) -> RunId {
    match world.op("forty groups at once", start("failover", &["main"], Some(accepted))) {
        OpReply::Started { run, .. } => run,
        other => panic!("{other:?}"),
    }
}

fn at_most(seconds: u64) -> LossBound {
    LossBound::AtMost(Iso(Duration::from_secs(seconds)))
}

#[test]
fn status_and_check_say_that_it_is_not_finished() {
    let mut world = world(LIMIT);
    let group = world.group();
    let loss = group.loss.unwrap();
    assert_eq!((loss.verdict.as_str(), loss.estimate, loss.text.as_str()), ("UNKNOWN", None, WORDS));
    let next =
        "it goes on by itself; one that was given up goes on by pointsman reprotect cfg --by copy --why …";
    assert_eq!(group.sentence, format!("main is live, unprotected: {WORDS}; {next}"));
    assert_eq!(group.warnings, [WORDS]);
    let OpReply::Checks(checks) = world.op("", Op::Check { group: None }) else { panic!() };
    let line = checks[0].lines.iter().find(|line| line.name == "cfg:protected").unwrap();
    assert!(line.line.level == Level::Amber && line.line.text.contains(WORDS), "{line:?}");
    assert_eq!(line.line.remedy.as_deref(), Some(next));

    copied(&mut world, 5);
    let group = world.group();
    assert_eq!(group.loss.unwrap().verdict, "WITHIN LIMIT");
    assert_eq!(group.sentence, "main is live, protected");
    assert!(group.warnings.is_empty(), "{:?}", group.warnings);
}

/// Nobody knows whether the copy of a receiver that is silent goes on.
#[test]
fn a_declared_outage_names_the_command_for_a_copy_that_was_given_up() {
    let mut world = world("");
    let (group, site) = ("cfg".parse().unwrap(), Some("secondary".parse().unwrap()));
    let declare = Op::Declare { group, what: Declaration::Outage, site };
    assert!(matches!(world.op("a flood", declare), OpReply::Recorded { .. }));
    let given_up =
        format!("{WORDS}; one that was given up goes on by pointsman reprotect cfg --by copy --why …; ");
    let said = world.group().declared.unwrap().sentence;
    assert!(said.starts_with(&given_up), "{said}");
    world.silence("secondary");
    world.pass(20);
    let said = world.group().declared.unwrap().sentence;
    assert!(said.starts_with("secondary is down and will return: "), "{said}");
}

#[test]
fn a_planned_move_towards_it_is_refused() {
    let mut world = world("");
    let preview = world.preview("switchover");
    assert!(preview.refusals.iter().any(|problem| problem.to_string().contains(WORDS)), "{preview:?}");
    match world.ask("switchover", &[], &[]) {
        OpReply::Problem(problem) => {
            assert_eq!(problem.code, Code::Precondition);
            assert!(problem.to_string().contains(WORDS), "{problem}");
        }
        other => panic!("{other:?}"),
    }
    copied(&mut world, 5);
    let run = world.start("switchover", &[]);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
}

/// Two hours into a copy the live site is lost. No limit and no standing acceptance was meant for that.
#[test]
fn a_half_copied_standby_is_opened_only_by_a_persons_word() {
    for limit in ["", LIMIT, STANDING] {
        let mut world = world(limit);
        world.silence("main");
        let facts = world.preview("failover").facts;
        let loss = facts.iter().find(|fact| fact.label == "loss").unwrap();
        assert!(loss.text.contains(WORDS) && loss.verdict.as_deref() == Some("UNKNOWN"), "{limit}: {loss:?}");
        // A bound in advance was meant for what can be told.
        let run = failover(&mut world, at_most(3600));
        world.run_until(|w| w.run(run).waits_for.iter().any(|wait| wait.contains("--data-loss unknown")));
        let waits = world.run(run).waits_for;
        assert!(waits.iter().any(|wait| wait.contains(WORDS)), "{limit}: {waits:?}");
        let waited = world.now.boot + Duration::from_secs(20);
        world.run_until(|w| w.now.boot > waited);
        assert_ne!(
            world.state.get("secondary.database.config"),
            Some(&json!("open")),
            "{limit}: it was opened"
        );

        let data_loss = Some(at_most(60));
        world.op("the old rows do", Op::Accept { run: run.to_string(), unfenced: None, data_loss });
        world.run_until(|w| w.run(run).state.ended());
        assert_eq!(world.state.get("secondary.database.config"), Some(&json!("open")), "{limit}");

        // Whoever knows it from `status` may say so at once.
        let mut world = self::world(limit);
        world.silence("main");
        let run = failover(&mut world, LossBound::Unknown);
        world.run_until(|w| w.run(run).state.ended());
        assert_eq!(world.state.get("secondary.database.config"), Some(&json!("open")), "{limit}");
    }
}
