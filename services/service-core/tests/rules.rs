//! protocol.md's counter-examples, as far as one service shows them: each trace is harmless with all rules,
//! and breaks an invariant when its rule is left out.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::time::Duration;

use bench::*;
use schemas::{Answer, Code, LedgerId, Problem, Reply};
use serde_json::json;
use service_core::{Effect, Rule, Rules};

/// Plays the trace with all rules, and without `rule`; `trace` says what broke.
#[track_caller]
fn guards(rule: Rule, trace: impl Fn(&mut Bench) -> Option<&'static str>) {
    assert_eq!(trace(&mut Bench::new(Rules::default())), None, "with all rules");
    let broken = trace(&mut Bench::new(Rules::without(rule)));
    assert!(broken.is_some(), "without {rule:?} nothing breaks");
}

fn settled_not_done(reply: &Reply) -> bool {
    reply.answer == Answer::Failed || reply.answer == Answer::Refused && reply.void
}

const TWICE: &str = "I2: two effects of one key";
const FALSE: &str = "I2: settled falsely";

#[test]
fn an_orphan_commits_beside_the_next_run() {
    guards(Rule::EndEarlier, |bench| {
        bench.claim(2, 2);
        bench.send(2, &key(2, "open"), 1, OPEN);
        bench.run_to_act();
        bench.kill();
        let claim = bench.claim(3, 3);
        bench.commit_orphan();
        (claim.granted && bench.effects_of(&key(2, "open")) > 0).then_some("I4: an effect after the claim")
    });
}

#[test]
fn an_orphan_commits_after_its_key_was_looked_at() {
    guards(Rule::EndEarlier, |bench| {
        bench.claim(2, 2);
        bench.send(2, &key(2, "open"), 1, OPEN);
        bench.run_to_act();
        bench.kill();
        let settled = bench.outcome(2, &key(2, "open"), 1);
        bench.commit_orphan();
        (settled_not_done(&settled) && bench.open).then_some(FALSE)
    });
}

#[test]
fn an_orphan_commits_after_another_act_began() {
    guards(Rule::EndEarlier, |bench| {
        bench.claim(2, 2);
        bench.send(2, &key(2, "open"), 1, OPEN);
        bench.run_to_act();
        bench.kill();
        bench.act(2, &key(2, "close"), 1, CLOSE);
        bench.commit_orphan();
        bench.open.then_some("I6: the older act undoes the newer")
    });
}

#[test]
fn a_request_arrives_after_its_outcome_was_asked() {
    guards(Rule::Void, |bench| {
        bench.claim(2, 2);
        let settled = bench.outcome(2, &key(2, "open"), 1);
        bench.act(2, &key(2, "open"), 1, OPEN);
        (settled_not_done(&settled) && bench.open).then_some(FALSE)
    });
}

#[test]
fn a_refused_request_is_doubled_and_starts_after_the_claim() {
    guards(Rule::HonestRefusal, |bench| {
        let refused = bench.act(2, &key(2, "open"), 1, OPEN);
        bench.claim(2, 2);
        bench.act(2, &key(2, "open"), 1, OPEN);
        (settled_not_done(&refused) && bench.open).then_some(FALSE)
    });
}

#[test]
fn an_older_epochs_key_was_forgotten() {
    guards(Rule::StaleEpoch, |bench| {
        bench.claim(2, 2);
        bench.act(2, &key(2, "open"), 1, OPEN);
        bench.claim(3, 3);
        settled_not_done(&bench.outcome(2, &key(2, "open"), 1)).then_some(FALSE)
    });
}

#[test]
fn a_late_claim_of_the_older_run() {
    guards(Rule::LowerEpoch, |bench| {
        bench.claim(3, 3);
        bench.claim(2, 2);
        bench.act(2, &key(2, "open"), 1, OPEN);
        bench.open.then_some("I4: a superseded run has an effect")
    });
}

#[test]
fn two_journals_with_one_epoch() {
    guards(Rule::EqualEpoch, |bench| {
        bench.claim(2, 2);
        bench.act(2, &key(9, "open"), 1, OPEN);
        bench.open.then_some("I1a: the other run opens")
    });
}

#[test]
fn a_request_before_its_claim() {
    guards(Rule::ClaimedFirst, |bench| {
        bench.claim(2, 2);
        bench.act(3, &key(3, "open"), 1, OPEN);
        bench.open.then_some("I1b: an opening in an epoch that ended nothing")
    });
}

#[test]
fn an_opening_of_a_superseded_run() {
    guards(Rule::Confirm, |bench| {
        bench.yes = Err(Problem::new(Code::Conflict, "superseded"));
        bench.claim(2, 2);
        bench.act(2, &key(2, "open"), 1, OPEN);
        bench.open.then_some("I1b: it opened without a yes")
    });
}

#[test]
fn a_yes_that_is_in_hand_for_too_long() {
    guards(Rule::YesExpires, |bench| {
        bench.claim(2, 2);
        bench.send(2, &key(2, "open"), 1, OPEN);
        bench.run_to_act();
        bench.now.boot += Duration::from_secs(3);
        bench.run();
        bench.open.then_some("I1b: it opened after the acceptance of its site")
    });
}

#[test]
fn a_yes_that_comes_too_late() {
    guards(Rule::YesExpires, |bench| {
        bench.claim(2, 2);
        bench.send(2, &key(2, "open"), 1, OPEN);
        bench.run_to_confirm();
        bench.now.boot += Duration::from_secs(3);
        bench.run();
        bench.open.then_some("I1b: it opened on an old yes")
    });
}

#[test]
fn a_key_that_ended_applied_acts_again() {
    guards(Rule::AppliedOnce, |bench| {
        bench.open = true;
        bench.claim(2, 2);
        bench.act(2, &key(2, "close"), 1, CLOSE);
        bench.act(2, &key(2, "open"), 1, OPEN);
        bench.act(2, &key(2, "close"), 2, CLOSE);
        (bench.effects_of(&key(2, "close")) > 1).then_some(TWICE)
    });
}

#[test]
fn an_attempt_below_the_void_one() {
    guards(Rule::AttemptFence, |bench| {
        bench.claim(2, 2);
        let settled = bench.outcome(2, &key(2, "open"), 2);
        bench.act(2, &key(2, "open"), 1, OPEN);
        (settled_not_done(&settled) && bench.open).then_some(FALSE)
    });
}

#[test]
fn a_lower_attempt_than_the_one_that_failed() {
    guards(Rule::AttemptFence, |bench| {
        bench.claim(2, 2);
        bench.yes = Err(Problem::new(Code::Conflict, "no"));
        let settled = bench.act(2, &key(2, "open"), 2, OPEN);
        bench.yes = Ok(());
        bench.act(2, &key(2, "open"), 1, OPEN);
        (settled_not_done(&settled) && bench.open).then_some(FALSE)
    });
}

#[test]
fn one_key_for_two_things() {
    guards(Rule::OneDigest, |bench| {
        bench.claim(2, 2);
        bench.act(2, &key(2, "step"), 1, CLOSE);
        let other = bench.ask(Bench::act_ask(2, &key(2, "step"), 1, OPEN, json!({})));
        bench.run();
        (bench.reply(other).answer != Answer::Refused).then_some("I2: an answer about something else")
    });
}

#[test]
fn two_acts_at_once() {
    guards(Rule::OneAtATime, |bench| {
        bench.open = true;
        bench.claim(2, 2);
        bench.send(2, &key(2, "close"), 1, CLOSE);
        bench.run_to_act();
        bench.send(2, &key(2, "other"), 1, CLOSE);
        for _ in 0..10 {
            bench.deliver_beside_acts();
        }
        let acts = bench.flight.iter().filter(|effect| matches!(effect, Effect::Act { .. })).count();
        (acts > 1).then_some("two acts at once")
    });
}

#[test]
fn an_effect_that_the_ledger_knows_nothing_of() {
    guards(Rule::StartedFirst, |bench| {
        bench.claim(2, 2);
        bench.send(2, &key(2, "open"), 1, OPEN);
        bench.run_to_act();
        bench.kill();
        bench.commit_orphan();
        settled_not_done(&bench.outcome(2, &key(2, "open"), 1)).then_some(FALSE)
    });
}

#[test]
fn a_lost_ledger_says_void() {
    guards(Rule::AdoptedFirst, |bench| {
        bench.open = true;
        bench.claim(2, 2);
        bench.act(2, &key(2, "close"), 1, CLOSE);
        bench.lose_ledger();
        bench.claim(2, 2);
        settled_not_done(&bench.outcome(2, &key(2, "close"), 1)).then_some(FALSE)
    });
}

#[test]
fn an_adoption_names_the_ledger_that_was_seen() {
    let mut bench = Bench::empty(Rules::default());
    bench.ledger = LedgerId(uuid::Uuid::from_u128(77));
    let reply = bench.adopt(1, 1);
    assert_eq!(reply.problem.unwrap().code, Code::LedgerLost);
    assert!(!reply.adopted);
}

#[test]
fn every_rule_has_a_trace() {
    let tests = include_str!("rules.rs");
    for rule in Rule::ALL {
        assert!(tests.contains(&format!("guards(Rule::{rule:?},")), "{rule:?} has no trace");
    }
}
