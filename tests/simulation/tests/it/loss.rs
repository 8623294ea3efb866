//! The gate before an opening that loses something: measured, and accepted, or not opened.

use std::time::Duration;

use schemas::duration::Iso;
use schemas::op::{Op, OpReply};
use schemas::view::{RunState, RunView};
use schemas::{Action, LossBound, RunId};
use serde_json::json;
use simulation::{Scene, World, address, definition, group_plan};

use crate::common::{GROUP, ready, start_of, with};

const LIMIT: &str = "loss: { max: 30s, unknown: ask }";
const STANDING: &str = "loss: { max: 30s, unknown: { accepted_by: ops, why: a drill, until: 2030-01-01 } }";

/// The model system with a limit; the secondary applied a heartbeat so many seconds ago.
fn world(limit: &str, heartbeat: Option<u64>, change: impl FnOnce(Scene) -> Scene) -> World {
    let text = GROUP.replace("GROUP", "cfg").replace("MODE", "observe").replace("PROBER", "refused");
    let plan = group_plan("cfg", &format!("{text}{limit}\n"));
    let mut w = ready(change(Scene::new(vec![plan], vec![definition("failover"), definition("switchover")])));
    w.pass(Duration::from_secs(3));
    if let Some(seconds) = heartbeat {
        let at = w.wall() - Duration::from_secs(seconds);
        w.ground
            .states
            .insert(address("secondary.replication.csp"), json!({ "enabled": true, "heartbeat": at }));
    }
    w.kill_host_for_good("main");
    w
}

fn at_most(seconds: u64) -> LossBound {
    LossBound::AtMost(Iso(Duration::from_secs(seconds)))
}

fn failover(w: &mut World, data_loss: Option<LossBound>) -> RunId {
    let mut op = World::start_op("failover", "cfg", None);
    if let Op::Start { accept_unfenced, accept_data_loss, .. } = &mut op {
        accept_unfenced.push(simulation::site("main"));
        *accept_data_loss = data_loss;
    }
    w.start(0, op)
}

fn opened(w: &World) -> bool {
    w.ground.is_open(&address("secondary.database.config"))
}

/// It waits at the gate, and says for what.
fn waits(w: &mut World, run: RunId) -> RunView {
    let gate = |view: &RunView| view.waits_for.iter().any(|wait| wait.contains("--data-loss"));
    w.until("the gate", |w| gate(&w.view(0, run)));
    w.pass(Duration::from_secs(20));
    assert!(!opened(w), "it was opened");
    let view = w.view(0, run);
    assert!(gate(&view), "{view:#?}");
    view
}

fn accept(w: &mut World, run: RunId, seconds: u64) {
    let data_loss = Some(at_most(seconds));
    let op = Op::Accept { run: run.to_string(), unfenced: None, data_loss };
    let reply = w.ask_runner(0, "agreed with the owner", op);
    assert!(matches!(reply, OpReply::Recorded { .. }), "{reply:?}");
}

fn by(w: &World) -> String {
    w.record(0, "cfg").loss.as_ref().map_or(String::new(), |loss| loss.by.clone())
}

#[test]
fn a_loss_within_the_limit_asks_nobody_and_is_recorded() {
    let mut w = world(LIMIT, Some(10), |scene| scene);
    let run = failover(&mut w, None);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert_eq!(by(&w), "within the limit of 30 s");
    w.finish("cfg");
    w.clean();
}

#[test]
fn a_loss_above_the_limit_waits_for_a_bound_that_covers_it() {
    let mut w = world(LIMIT, Some(100), |scene| scene);
    let run = failover(&mut w, None);
    let view = waits(&mut w, run);
    assert!(view.waits_for.iter().any(|wait| wait.contains("the limit is 30 s")), "{view:#?}");
    accept(&mut w, run, 40);
    waits(&mut w, run);
    // Killed meanwhile, the runner does not forget what was accepted, nor what was not.
    w.kill_runner(0);
    waits(&mut w, run);
    accept(&mut w, run, 600);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(by(&w).contains("at most 600 s accepted by anna"), "{}", by(&w));
    let view = w.view(0, run);
    let opening = view.steps.iter().find(|step| step.function == "database.enable-access").unwrap();
    let waited = opening.started.unwrap() - opening.reached.unwrap();
    assert!(waited.num_seconds() >= 60, "three waits of 20 s: {opening:?}");
    w.finish("cfg");
    w.clean();
}

/// Two words that would be asked for one after the other are named before the run begins.
#[test]
fn a_preview_names_the_words_that_a_failover_will_wait_for() {
    let asks = |w: &mut World, unfenced: bool, data_loss: Option<LossBound>| {
        let mut op = World::start_op("failover", "cfg", None);
        if let Op::Start { accept_unfenced, accept_data_loss, dry_run, .. } = &mut op {
            accept_unfenced.extend(unfenced.then(|| simulation::site("main")));
            (*accept_data_loss, *dry_run) = (data_loss, true);
        }
        let OpReply::Preview(preview) = w.ask_runner(0, "", op) else { panic!("no preview") };
        let fact = preview.facts.iter().find(|fact| fact.label == "asks");
        fact.map(|fact| fact.text.rsplit(": ").next().unwrap().to_owned())
    };
    let mut w = world(LIMIT, Some(100), |scene| scene);
    w.pass(Duration::from_secs(10));
    let all = asks(&mut w, false, None).unwrap();
    let bound = all.strip_prefix("--accept-unfenced main --accept-data-loss ").unwrap().to_owned();
    let seconds: u64 = bound.strip_suffix('s').unwrap().parse().unwrap();
    assert_eq!(asks(&mut w, true, None), Some(format!("--accept-data-loss {seconds}s")));
    assert_eq!(asks(&mut w, true, Some(at_most(30))), Some(format!("--accept-data-loss {seconds}s")));
    assert_eq!(asks(&mut w, false, Some(at_most(seconds))).as_deref(), Some("--accept-unfenced main"));
    // What is named is enough.
    assert_eq!(asks(&mut w, true, Some(at_most(seconds))), None);
    let run = failover(&mut w, Some(at_most(seconds)));
    assert_eq!(w.until_ended(run), RunState::Completed);

    let mut w = world(LIMIT, None, |scene| scene);
    w.pass(Duration::from_secs(10));
    assert_eq!(asks(&mut w, true, None).as_deref(), Some("--accept-data-loss unknown"));
    let run = failover(&mut w, Some(LossBound::Unknown));
    assert_eq!(w.until_ended(run), RunState::Completed);

    let mut w = world(STANDING, None, |scene| scene);
    w.pass(Duration::from_secs(10));
    assert_eq!(asks(&mut w, true, None), None);
}

#[test]
fn a_loss_that_cannot_be_told_waits_unless_somebody_took_it_in_advance() {
    let mut w = world(LIMIT, None, |scene| scene);
    let run = failover(&mut w, None);
    let view = waits(&mut w, run);
    assert!(view.waits_for.iter().any(|wait| wait.contains("cannot be told")), "{view:#?}");
    accept(&mut w, run, 60);
    assert_eq!(w.until_ended(run), RunState::Completed);
    // It waited for just that.
    assert_eq!(by(&w), "unknown, accepted by anna");

    let mut w = world(STANDING, None, |scene| scene);
    let run = failover(&mut w, None);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(by(&w).contains("accepted by ops"), "{}", by(&w));

    // For what can be told and is more, it does not stand.
    let mut w = world(STANDING, Some(100), |scene| scene);
    let run = failover(&mut w, None);
    waits(&mut w, run);
}

#[test]
fn a_bound_that_is_accepted_with_the_command_lets_it_through() {
    let mut w = world(LIMIT, Some(100), |scene| scene);
    let run = failover(&mut w, Some(at_most(600)));
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(by(&w).contains("accepted by anna"), "{}", by(&w));
}

/// A bound that was given to forty groups at once was meant for what can be told. What cannot has a word of its own.
#[test]
fn a_bound_that_is_accepted_with_the_command_says_nothing_of_what_cannot_be_told() {
    let mut w = world(LIMIT, None, |scene| scene);
    let run = failover(&mut w, Some(at_most(600)));
    let view = waits(&mut w, run);
    let told = view.waits_for.join(" ");
    assert!(
        told.contains("cannot be told, and at most 600 s accepted by anna says nothing of that")
            && told.contains("--data-loss unknown"),
        "{told}"
    );
    accept(&mut w, run, 600);
    assert_eq!(w.until_ended(run), RunState::Completed);

    let mut w = world(LIMIT, None, |scene| scene);
    let run = failover(&mut w, Some(LossBound::Unknown));
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert_eq!(by(&w), "unknown, accepted by anna");

    // Nor does the word stand for what can be told and is more.
    let mut w = world(LIMIT, Some(100), |scene| scene);
    let run = failover(&mut w, Some(LossBound::Unknown));
    waits(&mut w, run);
    accept(&mut w, run, 600);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(by(&w).contains("at most 600 s accepted by anna"), "{}", by(&w));
}

/// A word takes back no other one of the same run: a smaller bound, or the word for what nobody can tell.
#[test]
fn what_was_accepted_counts_beside_what_is_accepted_after_it() {
    let mut w = world(LIMIT, Some(100), |scene| scene);
    let run = failover(&mut w, Some(LossBound::Unknown));
    waits(&mut w, run);
    accept(&mut w, run, 60);
    accept(&mut w, run, 40);
    let taken = w.record(0, "cfg").loss_accepted.clone().unwrap();
    assert_eq!((taken.bound, taken.unknown), (Iso(Duration::from_secs(60)), true));
    accept(&mut w, run, 600);
    assert_eq!(w.until_ended(run), RunState::Completed);
}

/// The opening that asked is gone past. A bound that is given afterwards is no answer to its question.
#[test]
fn a_question_ends_with_the_opening_that_asked_it() {
    let mut w = world(LIMIT, None, |scene| scene);
    let run = failover(&mut w, None);
    let view = waits(&mut w, run);
    skip(&mut w, run, &view, "database.enable-access");
    assert!(w.ended(run).is_none());
    accept(&mut w, run, 60);
    let taken = w.record(0, "cfg").loss_accepted.clone().unwrap();
    assert!(!taken.unknown, "{taken:?}");
}

/// What nobody can tell of one database was accepted, and of the other one more is lost than anybody was asked for.
#[test]
fn each_replication_has_to_pass_the_gate() {
    let text = GROUP.replace("GROUP", "cfg").replace("MODE", "observe").replace("PROBER", "refused");
    let text = text.replace("kind: both-live,", "kind: one-live, ");
    let plan = group_plan("cfg", &format!("{text}{LIMIT}\n"));
    let mut w = ready(Scene::new(vec![plan], vec![definition("failover"), definition("switchover")]));
    w.pass(Duration::from_secs(3));
    let at = w.wall() - Duration::from_secs(100);
    w.ground.states.insert(address("secondary.replication.msp"), json!({ "enabled": true, "heartbeat": at }));
    w.kill_host_for_good("main");
    let run = failover(&mut w, Some(LossBound::Unknown));
    let told = waits(&mut w, run).waits_for.join(" ");
    assert!(told.contains("msp: heartbeat") && told.contains("--data-loss DURATION"), "{told}");
    accept(&mut w, run, 600);
    assert_eq!(w.until_ended(run), RunState::Completed);
}

/// The switch of the tests: without the rule it opens at once.
#[test]
fn without_the_gate_it_opens_whatever_is_lost() {
    let mut w = world(LIMIT, Some(100), |scene| scene.without_runner(runner_core::Rule::LossGate));
    let run = failover(&mut w, None);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert_eq!(by(&w), "");
}

/// What was drained is not lost, however old the heartbeat is.
#[test]
fn a_source_that_answers_is_drained_and_loses_nothing() {
    let mut w = world(LIMIT, Some(100), |scene| scene);
    w.start_host("main");
    w.pass(Duration::from_secs(8));
    let run = failover(&mut w, None);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert_eq!(by(&w), "drained");
    // A planned move asks for no loss.
    let run = w.start(0, World::start_op("switchover", "cfg", None));
    assert_eq!(w.until_ended(run), RunState::Completed);
}

/// `drain.failover: ask`, and the person goes past it: what came is applied and its position kept, as if the file said
/// `continue`. He is asked once for that, and then by the loss gate.
#[test]
fn a_drain_that_is_skipped_goes_on_with_what_came_and_the_loss_gate_decides() {
    let csp = address("secondary.replication.csp");
    let mut w = ready(with(&format!("{LIMIT}\n")));
    w.pass(Duration::from_secs(3));
    w.ground.broken.insert((csp.clone(), Action::Drain));
    let run = w.start(0, start_of("failover", &[]));
    w.until("it is held", |w| w.view(0, run).state == RunState::Held);
    let view = w.view(0, run);
    let words = view.waits_for.join(" ");
    assert!(words.contains("`skip` goes on with what came"), "{words}");
    skip(&mut w, run, &view, "replication.drain");
    let view = waits(&mut w, run);
    assert_eq!(view.state, RunState::Waiting, "{view:#?}");
    let state = w.ground.state(&csp);
    assert!(state["abandoned"] == true && state["enabled"] == false, "{state}");
    let abandon = view.steps.iter().find(|step| step.function == "replication.abandon").unwrap();
    assert_eq!(abandon.output["applied"], "0/0", "the position is kept: {abandon:#?}");
    accept(&mut w, run, 60);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(by(&w).contains("accepted by anna"), "{}", by(&w));
    w.ground.broken.clear();
    w.finish("cfg");
    w.clean();

    // The same of the two steps beside it; after the drain itself nothing is lost.
    for (site, action, function, gate) in [
        ("main", Action::Mark, "replication.mark", "no limit"),
        ("secondary", Action::StopReplication, "replication.stop", "drained"),
    ] {
        let mut w = ready(with(""));
        w.ground.broken.insert((address(&format!("{site}.replication.csp")), action));
        let run = w.start(0, start_of("failover", &[]));
        w.until("it is held", |w| w.view(0, run).state == RunState::Held);
        let view = w.view(0, run);
        skip(&mut w, run, &view, function);
        assert_eq!(w.until_ended(run), RunState::Completed, "{function}");
        assert_eq!(by(&w), gate, "{function}");
        assert_eq!(w.ground.state(&csp)["abandoned"], true, "{function}");
    }
}

fn skip(w: &mut World, run: RunId, view: &RunView, function: &str) {
    let step = view.steps.iter().find(|step| step.function == function).unwrap();
    let op = Op::Skip { run: run.to_string(), step: step.number.to_string() };
    let reply = w.ask_runner(0, "we cannot wait", op);
    assert!(matches!(reply, OpReply::Recorded { .. }), "{reply:?}");
}

/// In peace: what breaks is told within a minute, outlives the runner, and is mended by itself.
#[test]
fn a_replication_that_breaks_is_told_within_a_minute() {
    let mut w = ready(crate::common::whole());
    let csp = address("secondary.replication.csp");
    w.pass(Duration::from_secs(30));
    assert!(w.record(0, "cfg").broken.is_empty());
    let why = "it has no worker: 3 errors so far";
    w.ground.states.insert(csp.clone(), json!({ "enabled": true, "trouble": why }));
    assert!(w.within(Duration::from_secs(60), |w| w.record(0, "cfg").broken.contains_key(&csp)));
    assert_eq!(w.record(0, "cfg").broken[&csp].1, why);
    w.kill_runner(0);
    w.pass(Duration::from_secs(20));
    let OpReply::Groups(groups) = w.ask_runner(0, "", Op::Status { group: None }) else { panic!() };
    assert!(groups[0].warnings.iter().any(|line| line.contains(why)), "{:?}", groups[0].warnings);
    // A worker between two tries is no trouble.
    w.ground.states.insert(csp.clone(), json!({ "enabled": true }));
    assert!(w.within(Duration::from_secs(60), |w| w.record(0, "cfg").broken.is_empty()));
    w.ground.states.insert(csp.clone(), json!({ "enabled": true, "trouble": why }));
    w.pass(Duration::from_secs(8));
    w.ground.states.insert(csp.clone(), json!({ "enabled": true }));
    w.pass(Duration::from_secs(60));
    assert!(w.record(0, "cfg").broken.is_empty());
    w.clean();
}
