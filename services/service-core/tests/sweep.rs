//! Random interleavings of two runs, their resends, kills, lost power and orphans on one resource.
//!
//! After every input: one effect a key; what was settled is settled truly; void was never started; a
//! superseded run has no effect after the newer claim was granted.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bench::*;
use proptest::prelude::*;
use schemas::{Action, Answer, Code, Key, Problem};
use service_core::{Answered, Ask, Record, Rule, Rules, Ticket};

#[derive(Debug, Clone, Copy)]
enum Move {
    /// A run's request: run, step, attempt.
    Act(u128, u8, u32),
    Outcome(u128, u8, u32),
    Claim(u128),
    Observe,
    Deliver,
    DeliverToAnswer,
    Kill,
    LosePower,
    Orphan,
    Endable(bool),
    Yes(bool),
    Pass(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    let run = || prop_oneof![Just(2u128), Just(3)];
    prop_oneof![
        6 => (run(), 0..3u8, 1..4u32).prop_map(|(r, s, a)| Move::Act(r, s, a)),
        3 => (run(), 0..3u8, 1..4u32).prop_map(|(r, s, a)| Move::Outcome(r, s, a)),
        2 => run().prop_map(Move::Claim),
        1 => Just(Move::Observe),
        12 => Just(Move::Deliver),
        6 => Just(Move::DeliverToAnswer),
        1 => Just(Move::Kill),
        1 => Just(Move::LosePower),
        2 => Just(Move::Orphan),
        1 => any::<bool>().prop_map(Move::Endable),
        1 => any::<bool>().prop_map(Move::Yes),
        1 => (0..4u64).prop_map(Move::Pass),
    ]
}

fn step(n: u8) -> (&'static str, Action) {
    [("open", OPEN), ("close", CLOSE), ("open2", OPEN)][usize::from(n)]
}

/// What the asker knows: the answers that settled a key, and when.
#[derive(Default)]
struct Ledger {
    questions: BTreeMap<Ticket, (Key, u32)>,
    sent: BTreeMap<Key, u32>,
    /// Settled as not done: no effect may come any more, unless a later attempt is sent.
    not_done: BTreeMap<Key, u32>,
    voids: BTreeSet<(Key, u32)>,
    granted: u64,
    claims: BTreeMap<Ticket, u64>,
    heard: BTreeSet<Ticket>,
}

impl Ledger {
    fn check(&mut self, bench: &Bench, before: usize) -> Result<(), String> {
        // New effects are judged by what was settled before this input.
        for (key, action) in &bench.effects[before..] {
            if bench.effects_of(key) > 1 {
                return Err(format!("I2: {key} has two effects"));
            }
            if self.not_done.get(key).is_some_and(|upto| self.sent.get(key) <= Some(upto)) {
                return Err(format!("I2: {key} was settled as not done, then {action} took effect"));
            }
            if key.run == run_id(2) && self.granted >= 3 {
                return Err(format!("I4: {key} after the newer claim was granted"));
            }
        }
        for record in &bench.disk {
            if let Record::Started { key, attempt, .. } = record
                && self.voids.contains(&(key.clone(), attempt.0))
            {
                return Err(format!("void attempt {attempt} of {key} was started"));
            }
        }
        for (ticket, answered) in &bench.answers {
            if !self.heard.insert(*ticket) {
                continue;
            }
            match answered {
                Answered::Claim(reply) if reply.granted => {
                    if let Some(epoch) = self.claims.get(ticket) {
                        self.granted = self.granted.max(*epoch);
                    }
                }
                Answered::Reply(reply) => {
                    let Some((key, _)) = self.questions.get(ticket) else { continue };
                    let effects = bench.effects_of(key);
                    match reply.answer {
                        Answer::Applied if effects == 0 && !reachable(bench, key) => {
                            return Err(format!("I2: {key} is said to be applied, and nothing happened"));
                        }
                        Answer::Refused if reply.void => {
                            if effects > 0 {
                                return Err(format!("I2: {key} took effect and is said to be void"));
                            }
                            for attempt in 1..=reply.attempt.0 {
                                self.voids.insert((key.clone(), attempt));
                            }
                            let upto = self.not_done.entry(key.clone()).or_default();
                            *upto = (*upto).max(reply.attempt.0);
                        }
                        Answer::Failed if reply.code() != Some(Code::Undone) => {
                            let upto = self.not_done.entry(key.clone()).or_default();
                            *upto = (*upto).max(reply.attempt.0);
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A look found the state there, though another key reached it.
fn reachable(bench: &Bench, key: &Key) -> bool {
    let open = key.position.as_str() != "/do/close";
    bench.effects.iter().any(|(_, action)| (*action == OPEN) == open) || !open
}

fn play(rules: Rules, moves: &[Move]) -> Result<(), String> {
    let mut bench = Bench::new(rules);
    let mut known = Ledger::default();
    let act = |bench: &mut Bench, known: &mut Ledger, one: Move| match one {
        Move::Act(run, n, attempt) => {
            let (name, action) = step(n);
            let key = key(run, name);
            let sent = known.sent.entry(key.clone()).or_default();
            *sent = (*sent).max(attempt);
            let ticket = bench.send(u64::try_from(run).unwrap(), &key, attempt, action);
            known.questions.insert(ticket, (key, attempt));
        }
        Move::Outcome(run, n, attempt) => {
            let key = key(run, step(n).0);
            let ticket = bench.send_outcome(u64::try_from(run).unwrap(), &key, attempt, 1);
            known.questions.insert(ticket, (key, attempt));
        }
        Move::Claim(run) => {
            let epoch = u64::try_from(run).unwrap();
            let ticket = bench.send_claim(epoch, run, 0);
            known.claims.insert(ticket, epoch);
        }
        Move::Observe => {
            bench.ask(Ask::Observe);
        }
        Move::Deliver => {
            bench.deliver();
        }
        Move::DeliverToAnswer => while bench.answers.len() < known.heard.len() + 1 && bench.deliver() {},
        Move::Kill => bench.kill(),
        Move::LosePower => bench.lose_power(),
        Move::Orphan => bench.commit_orphan(),
        Move::Endable(endable) => bench.endable = endable,
        Move::Yes(yes) => bench.yes = yes.then_some(()).ok_or(Problem::new(Code::Conflict, "no")),
        Move::Pass(seconds) => bench.pass(Duration::from_secs(seconds)),
    };
    for one in moves {
        let before = bench.effects.len();
        act(&mut bench, &mut known, *one);
        known.check(&bench, before)?;
    }
    // In the end, with a driver that can see, everything is answered and every key can be settled.
    bench.endable = true;
    let before = bench.effects.len();
    bench.run();
    known.check(&bench, before)?;
    let (epoch, run) = bench.core.as_ref().unwrap().holder(&address()).unwrap();
    if epoch.0 < 2 {
        return Ok(());
    }
    for n in 0..3 {
        let key = Key { run, ..key(2, step(n).0) };
        let reply = bench.outcome(epoch.0, &key, 9);
        if !matches!(
            (reply.answer, reply.void),
            (Answer::Applied | Answer::Failed, _) | (Answer::Refused, true)
        ) && reply.answer != Answer::InDoubt
        {
            return Err(format!("I5: {key} cannot be settled: {reply:?}"));
        }
        known.check(&bench, bench.effects.len())?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_interleaving_breaks_it(moves in proptest::collection::vec(moves(), 1..60)) {
        if let Err(broken) = play(Rules::default(), &moves) {
            panic!("{broken}");
        }
    }
}

/// The sweep sees the absence of the rules that random interleavings can show.
#[test]
fn the_sweep_finds_rules_that_are_left_out() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    for rule in [
        Rule::EndEarlier,
        Rule::Void,
        Rule::HonestRefusal,
        Rule::StaleEpoch,
        Rule::LowerEpoch,
        Rule::AppliedOnce,
        Rule::AttemptFence,
        Rule::StartedFirst,
    ] {
        let mut runner = TestRunner::deterministic();
        let strategy = proptest::collection::vec(moves(), 1..60);
        let found = (0..20_000).any(|_| {
            let moves = strategy.new_tree(&mut runner).unwrap().current();
            play(Rules::without(rule), &moves).is_err()
        });
        assert!(found, "without {rule:?} the sweep finds nothing");
    }
}
