//! A person's words at each point at which a move is held because an act fails: `skip`, `done`, and `cancel --leave` with
//! `adopt`, with debts and without. Whatever he says, no two sites are open unless somebody accepted that, nothing is owed
//! in the end, and the site that is recorded as live is the one that is open.

use std::time::Duration;

use schemas::op::{Op, OpReply};
use schemas::view::{RunState, StepState};
use schemas::{Action, RunId};
use serde_json::json;
use simulation::{World, address, site};

use crate::common::{ready, start_of, with};

/// What fails in an unplanned move whose source answers, and in one whose source is down.
const FAILOVER: &[(&str, Action)] = &[
    ("main.database.config", Action::DisableAccess),
    ("secondary.replication.csp", Action::Drain),
    ("secondary.replication.csp", Action::StopReplication),
    ("secondary.replication.csp", Action::SetSequences),
    ("secondary.replication.css", Action::Capture),
    ("secondary.database.config", Action::EnableAccess),
    ("secondary.process.scs-msg", Action::StartProcess),
    ("secondary.process.cs-primary", Action::StartProcess),
    ("witness.dns.cs-primary", Action::Point),
];

/// What holds a planned move; before its opening only where the group's file asks a person.
const SWITCHOVER: &[(&str, Action)] = &[
    ("secondary.replication.csp", Action::Drain),
    ("secondary.replication.css", Action::Capture),
    ("secondary.database.config", Action::EnableAccess),
    ("secondary.process.scs-msg", Action::StartProcess),
    ("secondary.process.cs-primary", Action::StartProcess),
    ("witness.dns.cs-primary", Action::Point),
    ("main.replication.css", Action::StartReplication),
    ("main.replication.csp", Action::Discard),
];

const ASKS: &str = "drain: { switchover: ask }\nreverse: { cannot_start: { switchover: ask } }\n";

/// No move is held more often for one act that fails.
const HOLDS: usize = 6;
/// How often it is looked at, at most.
const LOOKS: usize = 1500;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Word {
    Skip,
    /// And it was: somebody did it by hand first.
    Done,
}

fn moves() -> impl Iterator<Item = (&'static str, &'static str, Action)> {
    let of = |workflow| move |(at, action): &'static (&'static str, Action)| (workflow, *at, *action);
    FAILOVER.iter().map(of("failover")).chain(SWITCHOVER.iter().map(of("switchover")))
}

/// Whether it is held; else it has ended.
fn is_held(w: &mut World, run: RunId) -> bool {
    for _ in 0..LOOKS {
        if w.ended(run).is_some() {
            return false;
        }
        if w.view(0, run).state == RunState::Held {
            return true;
        }
        w.pass(Duration::from_millis(200));
    }
    w.fail("it is not held, and does not end")
}

/// A world in which one act fails, and a move begun in it.
fn begin(workflow: &str, at: &str, action: Action, down: bool) -> (World, RunId) {
    let mut w = ready(with(ASKS).untraced());
    if down {
        w.kill_host_for_good("main");
    }
    w.ground.broken.insert((address(at), action));
    let accepted: &[&str] = if down { &["main"] } else { &[] };
    let run = w.start(0, start_of(workflow, accepted));
    (w, run)
}

/// Somebody does it without Pointsman.
fn by_hand(w: &mut World, at: &str, action: Action) {
    let state = w.ground.states.entry(address(at)).or_default();
    match action {
        Action::DisableAccess => *state = json!("closed"),
        Action::EnableAccess => *state = json!("open"),
        Action::StartProcess => *state = json!("running"),
        Action::Point => *state = json!("secondary"),
        Action::Drain => state["drained"] = json!(true),
        Action::SetSequences => state["sequences"] = json!(true),
        Action::Capture => state["slot"] = json!(true),
        Action::Discard => state["slot"] = json!(false),
        Action::StartReplication => state["enabled"] = json!(true),
        Action::StopReplication => state["enabled"] = json!(false),
        other => panic!("{other}"),
    }
}

/// The sites whose database is open.
fn open(w: &World) -> Vec<&'static str> {
    let is_open = |site: &&str| w.ground.is_open(&address(&format!("{site}.database.config")));
    ["main", "secondary"].into_iter().filter(is_open).collect()
}

/// One word at the step that failed; the reply.
fn say(w: &mut World, run: RunId, word: Word, (at, action): (&str, Action)) -> OpReply {
    let view = w.view(0, run);
    let failed = view.steps.iter().rfind(|step| step.state == StepState::Failed);
    let Some(step) = failed.map(|step| step.number.to_string()) else { w.fail(&format!("{view:#?}")) };
    let run = run.to_string();
    let op = match word {
        Word::Skip => Op::Skip { run, step },
        Word::Done => {
            by_hand(w, at, action);
            // A look cannot tell of these.
            let unverified = matches!(action, Action::Drain | Action::SetSequences);
            Op::Done { run, step, unverified }
        }
    };
    w.ask_runner(0, "a bad night", op)
}

#[test]
fn a_step_that_fails_is_skipped_or_done_by_hand_at_each_held_point() {
    for (workflow, at, action) in moves() {
        for word in [Word::Skip, Word::Done] {
            let what = format!("{workflow}, {action} of {at} fails, {word:?}");
            let (mut w, run) = begin(workflow, at, action, false);
            let (mut holds, mut opening_skipped) = (0, false);
            while is_held(&mut w, run) {
                holds += 1;
                if holds > HOLDS {
                    w.fail(&format!("{what}: held for ever"));
                }
                let mut said = word;
                let mut reply = say(&mut w, run, word, (at, action));
                // What must not be skipped can be done.
                if word == Word::Skip && matches!(reply, OpReply::Problem(_)) {
                    said = Word::Done;
                    reply = say(&mut w, run, said, (at, action));
                }
                if !matches!(reply, OpReply::Recorded { .. }) {
                    w.fail(&format!("{what}: {reply:?}"));
                }
                opening_skipped |= said == Word::Skip && action == Action::EnableAccess;
            }
            w.ground.broken.clear();
            w.finish("cfg");
            w.clean();
            let live = w.record(0, "cfg").live.clone();
            let wanted: &[&str] = match w.ended(run) {
                Some(RunState::BackedOut) => &["main"],
                Some(RunState::Completed) if opening_skipped => &[],
                Some(RunState::Completed) => &["secondary"],
                other => w.fail(&format!("{what}: {other:?}")),
            };
            assert_eq!(open(&w), wanted, "{what}: held {holds} times");
            if let [only] = wanted {
                assert_eq!(live.as_ref().map(|live| live.as_str()), Some(*only), "{what}");
            }
            // What nobody opened is not called live.
            assert!(!opening_skipped || live != Some(site("secondary")), "{what}");
        }
    }
}

fn adopt(live: Option<&str>) -> Op {
    let record = live.map(site);
    Op::Adopt {
        group: "cfg".parse().unwrap(),
        none_live: record.is_none(),
        record,
        old_runner_stopped: false,
    }
}

#[test]
fn a_held_move_is_left_and_the_world_adopted_with_what_is_owed() {
    for (workflow, at, action) in moves() {
        for down in [false, true] {
            // A planned move needs its source, and what is down cannot fail otherwise.
            if down && (workflow == "switchover" || at.starts_with("main")) {
                continue;
            }
            let what = format!("{workflow}, {action} of {at} fails, main is down: {down}");
            let (mut w, run) = begin(workflow, at, action, down);
            if is_held(&mut w, run) {
                let cancel = Op::Cancel { run: run.to_string(), leave: true };
                let reply = w.ask_runner(0, "by hand from here", cancel);
                assert!(matches!(reply, OpReply::Recorded { .. }), "{what}: {reply:?}");
                w.until_ended(run);
            }
            // While main is down and owes its close: only where another site is seen open.
            let owes = !w.record(0, "cfg").debts.is_empty();
            if down && w.ground.is_open(&address("secondary.database.config")) {
                assert!(owes, "{what}: the close of main is owed");
                let reply = w.ask_runner(0, "the world as it is", adopt(Some("secondary")));
                assert!(matches!(reply, OpReply::Recorded { .. }), "{what}: {reply:?}");
            }
            w.ground.broken.clear();
            w.finish("cfg");
            w.clean();

            let there = open(&w);
            assert!(there.len() < 2, "{what}: {there:?}");
            let reply = w.ask_runner(0, "the world as it is", adopt(there.first().copied()));
            assert!(matches!(reply, OpReply::Recorded { .. }), "{what}: {reply:?}");
            let live = w.record(0, "cfg").live.clone();
            assert_eq!(live.as_ref().map(|live| live.as_str()), there.first().copied(), "{what}");
            w.finish("cfg");
            w.clean();
            assert_eq!(open(&w), there, "{what}: adopting touches nothing");
        }
    }
}
