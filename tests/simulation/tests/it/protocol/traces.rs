//! The traces of the protocol's table, in words and in events.

use std::time::Duration;

use schemas::{Action, Address, Epoch, Verb};
use simulation::{Event, Lost, Point, Then, World, address};

const CLOSE: Action = Action::DisableAccess;
const OPEN: Action = Action::EnableAccess;

pub(super) fn a() -> Address {
    address("a.database.config")
}

pub(super) fn b() -> Address {
    address("b.database.config")
}

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// B's opening has its yes, the service is killed, its statement lives; the next run finds B closed by a look,
/// opens A; the orphan commits.
pub(super) fn an_orphan_opens_after_a_look(w: &mut World, _: bool) {
    orphan_of_an_opening(w, Point::Checked);
}

pub(super) fn orphan_of_an_opening(w: &mut World, at: Point) {
    w.restart = Some(Duration::from_millis(50));
    w.stop_at = Some(("b".into(), at));
    let run = w.start(0, World::start_op("move", "cfg", None));
    w.until("the opening at its point", |w| w.holds("stopped") == 1);
    w.stop_at = None;
    w.kill_host("b", Lost::Process);
    w.supersede(0, run, "move", "a", &[]);
    // Its deadline is two seconds from the question.
    w.within(Duration::from_millis(1500), |w| w.ground.is_open(&a()));
    w.commit_orphans(&b());
    w.pass(seconds(5));
}

/// Started, killed, restart, the new claim written and acknowledged, the old orphan commits.
pub(super) fn an_orphan_acts_after_the_new_claim(w: &mut World, _: bool) {
    w.stop_at = Some(("a".into(), Point::Checked));
    let run = w.start(0, World::start_op("close", "cfg", None));
    w.until("the close at its point", |w| w.holds("stopped") == 1);
    w.stop_at = None;
    w.kill_host("a", Lost::Process);
    w.supersede(0, run, "open", "b", &[]);
    w.until("the new claim", |w| w.ghosts.acknowledged_epoch(&a()) == Epoch(3));
    w.commit_orphans(&a());
    w.pass(seconds(5));
}

/// A look says "not in effect", the next attempt acts, the orphan commits.
pub(super) fn an_orphan_acts_beside_the_next_attempt(w: &mut World, _: bool) {
    w.stop_at = Some(("a".into(), Point::Checked));
    w.start(0, World::start_op("close", "cfg", None));
    w.until("the close at its point", |w| w.holds("stopped") == 1);
    w.stop_at = None;
    w.kill_host("a", Lost::Process);
    w.within(seconds(6), |w| !w.ground.is_open(&a()));
    w.commit_orphans(&a());
    w.pass(seconds(5));
}

/// Close A is passed; open A is intended; the old close turns out applied and marks A closed; open A then acts.
pub(super) fn an_old_close_is_heard_of_after_a_new_opening(w: &mut World, _: bool) {
    w.tap("reply", Then::Lose, |e| e.answers("a", CLOSE));
    w.tap("outcome", Then::Lose, |e| e.asks_verb("a", Verb::Outcome));
    w.tap("opening", Then::Hold, |e| e.asks("a", OPEN));
    w.start(0, World::start_op("reopen", "cfg", None));
    w.until("the close is passed", |w| !w.record(0, "cfg").doubts.is_empty());
    w.within(seconds(1), |w| w.holds("opening") == 1);
    w.untap("outcome");
    w.within(seconds(8), |w| w.record(0, "cfg").doubts.is_empty());
    w.release("opening");
    w.pass(seconds(10));
}

/// Close A is passed, open A is done; the late close arrives and closes the live site.
pub(super) fn an_old_close_arrives_after_a_new_opening(w: &mut World, _: bool) {
    w.tap("close", Then::Hold, |e| e.asks("a", CLOSE));
    w.tap("outcome", Then::Lose, |e| e.asks_verb("a", Verb::Outcome));
    w.start(0, World::start_op("reopen", "cfg", None));
    w.until("the close is passed", |w| !w.record(0, "cfg").doubts.is_empty());
    w.pass(seconds(1));
    w.untap("outcome");
    w.pass(Duration::from_millis(1));
    w.release("close");
    w.pass(seconds(20));
}

/// A request is refused (the host's brake is on), that settles it; the brake is let go, a copy of it comes.
pub(super) fn a_refused_request_comes_twice(w: &mut World, _: bool) {
    w.arm("a", false);
    w.tap("copy", Then::Double, |e| e.asks("a", CLOSE));
    w.start(0, World::start_op("close", "cfg", None));
    w.pass(seconds(12));
    w.untap("copy");
    w.arm("a", true);
    w.release("copy");
    w.pass(seconds(10));
}

/// Attempt 2 had no responders; attempt 1 arrives later and acts.
pub(super) fn the_first_attempt_arrives_after_the_second_had_no_responders(w: &mut World, _: bool) {
    w.tap("first", Then::Hold, |e| e.asks("a", CLOSE));
    w.start(0, World::start_op("retry-lost", "cfg", None));
    w.until("the request is out", |w| w.holds("first") == 1);
    w.untap("first");
    w.kill_host_for_good("a");
    w.pass(seconds(10));
    w.start_host("a");
    w.release("first");
    w.pass(seconds(20));
}

/// The ledger forgot the older epoch's key; asked for it, it says `void`, falsely.
pub(super) fn a_forgotten_key_is_asked_for(w: &mut World, _: bool) {
    let copy = w.save_journal(0);
    w.tap("reply", Then::Lose, |e| e.answers("a", CLOSE) && e.runner() == Some(0));
    w.tap("outcome", Then::Hold, |e| e.asks_verb("a", Verb::Outcome) && e.runner() == Some(0));
    w.start(0, World::start_op("close", "cfg", None));
    w.until("the close took effect", |w| !w.ground.is_open(&a()));
    let other = w.add_runner_on(&copy);
    w.pass(seconds(3));
    let run = w.start(other, World::start_op("open", "cfg", None));
    w.pass(seconds(1));
    w.supersede(other, run, "open", "b", &[]);
    w.until("the other runner's claim", |w| w.ghosts.acknowledged_epoch(&a()) == Epoch(3));
    w.pass(seconds(2));
    w.release("outcome");
    w.pass(seconds(10));
}

/// B is accepted; the next run opens B all the same; the one after it opens A through the old acceptance.
pub(super) fn an_old_acceptance_is_still_there(w: &mut World, _: bool) {
    let run = w.start(0, World::start_op("move", "cfg", None));
    w.until_ended(run);
    w.cut("b", None);
    let run = w.start(0, World::start_op("open", "cfg", Some("a")));
    w.accept(0, run, "b");
    let run = w.supersede(0, run, "move", "b", &[]);
    w.mend("b");
    w.until("b is intended again", |w| w.ended(run).is_some());
    w.cut("b", None);
    let run = w.start(0, World::start_op("open", "cfg", Some("a")));
    w.within(seconds(30), |w| w.ended(run).is_some());
}

/// B's opening has its yes; supersede; accept B; A opens; within the 2 s B acts.
pub(super) fn a_yes_in_hand_is_used_after_an_acceptance(w: &mut World, _: bool) {
    w.stop_at = Some(("b".into(), Point::Checked));
    let run = w.start(0, World::start_op("move", "cfg", None));
    w.until("the opening has its yes", |w| w.holds("stopped") == 1);
    w.stop_at = None;
    w.cut("b", None);
    w.supersede(0, run, "open", "a", &["b"]);
    w.within(seconds(1), |w| w.ground.is_open(&a()));
    w.release("stopped");
    w.pass(seconds(20));
}

/// Attempt 1's `applied` arrives late, the run opens A again; attempt 2 arrives, looks, and closes A again.
pub(super) fn a_second_attempt_arrives_after_the_key_was_settled(w: &mut World, _: bool) {
    w.tap("late", Then::Hold, |e| e.answers("a", CLOSE));
    w.tap("outcome", Then::Lose, |e| e.asks_verb("a", Verb::Outcome));
    w.tap("second", Then::Hold, |e| e.asks("a", CLOSE) && e.attempt() > Some(schemas::Attempt(1)));
    let run = w.start(0, World::start_op("retry-reopen", "cfg", None));
    w.until("the second attempt is out", |w| w.holds("second") == 1);
    w.untap("outcome");
    w.release("late");
    w.until_ended(run);
    w.release("second");
    w.pass(seconds(10));
}

/// A second runner takes over past the silent B, which it accepts; the old one still says yes to B.
pub(super) fn the_old_runner_says_yes(w: &mut World, stopped: bool) {
    let copy = w.save_journal(0);
    w.tap("opening", Then::Hold, |e| e.asks("b", OPEN));
    w.tap("outcome", Then::Lose, |e| e.asks_verb("b", Verb::Outcome));
    w.start(0, World::start_op("move", "cfg", None));
    w.until("the opening is out", |w| w.holds("opening") == 1);
    if stopped {
        w.restart = None;
        w.kill_runner(0);
    }
    let other = w.add_runner_on(&copy);
    w.cut("b", Some(other));
    w.cut("a", Some(0));
    w.pass(seconds(3));
    let run = w.start(other, World::start_op("open", "cfg", None));
    w.pass(seconds(1));
    w.supersede(other, run, "open", "a", &["b"]);
    w.within(seconds(20), |w| w.ground.is_open(&a()));
    w.release("opening");
    w.pass(seconds(10));
}

/// Two journals, both in epoch 2: one closes A and intends B; the other closes B and opens A; the first one's
/// opening of B arrives, and its own runner says yes.
pub(super) fn two_journals_have_the_same_epoch(w: &mut World, _: bool) {
    let copy = w.save_journal(0);
    let other = w.add_runner_on(&copy);
    w.cut("a", Some(0));
    w.mend("a");
    w.tap("opening", Then::Hold, |e| e.asks("b", OPEN));
    w.tap("outcome", Then::Lose, |e| e.asks_verb("b", Verb::Outcome) && e.runner() == Some(0));
    w.start(0, World::start_op("move", "cfg", None));
    w.until("the opening is out", |w| w.holds("opening") == 1);
    w.cut("a", Some(0));
    w.start(other, World::start_op("swap", "cfg", None));
    w.within(seconds(5), |w| w.ground.is_open(&a()));
    w.cut("b", Some(other));
    w.release("opening");
    w.pass(seconds(10));
}

/// Asked, the service has nothing of the key, that settles it; then the request arrives and acts.
pub(super) fn a_request_arrives_after_its_key_was_settled(w: &mut World, _: bool) {
    w.tap("close", Then::Hold, |e| e.asks("a", CLOSE));
    w.start(0, World::start_op("close", "cfg", None));
    w.pass(seconds(10));
    w.release("close");
    w.pass(seconds(10));
}

/// The opening of B is on its way; supersede; accept B; open A; B, which the new claim has not reached, gets the
/// old request.
pub(super) fn an_opening_arrives_after_its_run_was_superseded(w: &mut World, _: bool) {
    w.tap("to b", Then::Hold, |e| e.asks("b", OPEN) || e.asks_verb("b", Verb::Outcome));
    let run = w.start(0, World::start_op("move", "cfg", None));
    w.until("the opening is out", |w| w.holds("to b") == 1);
    w.tap("new", Then::Lose, |e| matches!(e, Event::Ask { address, .. } if *address == b()));
    w.supersede(0, run, "open", "a", &["b"]);
    w.until("a opens", |w| w.ground.is_open(&a()));
    w.release("to b");
    w.pass(seconds(10));
}

/// As above, with a yes in hand.
pub(super) fn a_yes_is_used_too_late(w: &mut World, _: bool) {
    w.stop_at = Some(("b".into(), Point::Checked));
    let run = w.start(0, World::start_op("move", "cfg", None));
    w.until("the opening has its yes", |w| w.holds("stopped") == 1);
    w.stop_at = None;
    w.cut("b", None);
    w.supersede(0, run, "open", "a", &["b"]);
    w.until("a opens", |w| w.ground.is_open(&a()));
    w.release("stopped");
    w.pass(seconds(10));
}

/// Nobody closed A, and B is to be opened.
pub(super) fn nobody_closed_a(w: &mut World, _: bool) {
    w.start(0, World::start_op("open", "cfg", None));
    w.pass(seconds(10));
}

/// A is silent, accepted, B is opened; A returns, open.
pub(super) fn a_returns_open(w: &mut World, _: bool) {
    w.kill_host_for_good("a");
    let mut op = World::start_op("move-lost", "cfg", None);
    if let schemas::op::Op::Start { accept_unfenced, .. } = &mut op {
        accept_unfenced.push(simulation::site("a"));
    }
    let run = w.start(0, op);
    w.until_ended(run);
    w.finish("cfg");
}

/// Close A is applied, the ledger is lost, the old claim is taken again; asked, the new ledger says `void`.
pub(super) fn a_ledger_is_lost(w: &mut World, _: bool) {
    w.tap("reply", Then::Lose, |e| e.answers("a", CLOSE));
    w.start(0, World::start_op("close", "cfg", None));
    w.until("the close took effect", |w| !w.ground.is_open(&a()));
    w.restart = None;
    w.kill_host("a", Lost::Ledger);
    w.pass(seconds(9));
    w.start_host("a");
    w.pass(seconds(10));
}

/// A is closed, opened again, closed again: the second close is answered by the first one's line.
pub(super) fn a_is_closed_twice(w: &mut World, _: bool) {
    w.start(0, World::start_op("twice", "cfg", None));
    w.pass(seconds(10));
    let closed = w.ground.effects.iter().filter(|e| e.address == a() && e.action == CLOSE).count();
    assert!(closed >= 1);
}

/// A claim of run 1 comes again after run 2 closed A.
pub(super) fn an_old_claim_comes_again(w: &mut World, _: bool) {
    w.tap("claim", Then::Double, |e| e.asks_verb("a", Verb::Claim));
    let run = w.start(0, World::start_op("open", "cfg", None));
    w.until("the claim", |w| w.ghosts.acknowledged_epoch(&a()) == Epoch(2));
    w.untap("claim");
    w.tap("reply", Then::Lose, |e| e.answers("a", CLOSE));
    w.tap("outcome", Then::Lose, |e| e.asks_verb("a", Verb::Outcome));
    w.supersede(0, run, "close", "b", &[]);
    w.until("the close took effect", |w| !w.ground.is_open(&a()));
    w.pass(seconds(9));
    w.release("claim");
    w.pass(Duration::from_millis(10));
    w.untap("outcome");
    w.pass(seconds(10));
}

/// Killed right after its effect, started again; asked, it says `void`.
pub(super) fn a_service_dies_right_after_its_effect(w: &mut World, _: bool) {
    w.start(0, World::start_op("close", "cfg", None));
    w.until("the close took effect", |w| !w.ground.is_open(&a()));
    w.restart = None;
    w.kill_host("a", Lost::Process);
    w.pass(seconds(9));
    w.start_host("a");
    w.pass(seconds(10));
}
