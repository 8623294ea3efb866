//! The six answers, and what each question gets in the plain cases.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::time::Duration;

use bench::*;
use schemas::{Answer, Attempt, Code, Epoch, Problem};
use service_core::{Answered, Ask, Core, Input, Record, Registered, Rules, Setup};

fn claimed() -> Bench {
    let mut bench = Bench::new(Rules::default());
    assert!(bench.claim(2, 2).granted);
    bench
}

#[test]
fn acts_once_and_answers_a_duplicate_from_the_ledger() {
    let mut bench = claimed();
    let key = key(2, "open");
    assert_eq!(bench.act(2, &key, 1, OPEN).answer, Answer::Applied);
    assert_eq!(bench.act(2, &key, 1, OPEN).answer, Answer::Applied);
    assert_eq!(bench.act(2, &key, 2, OPEN).answer, Answer::AlreadyApplied);
    assert_eq!(bench.outcome(2, &key, 2).answer, Answer::Applied);
    assert_eq!(bench.effects_of(&key), 1);
}

#[test]
fn an_opening_that_finds_its_site_open_needs_no_yes() {
    let mut bench = claimed();
    bench.open = true;
    bench.yes = Err(Problem::new(Code::NotConfirmed, "no"));
    assert_eq!(bench.act(2, &key(2, "open"), 1, OPEN).answer, Answer::AlreadyApplied);
    assert!(bench.effects.is_empty());
}

#[test]
fn undone_by_hand_is_said_and_not_done_again() {
    let mut bench = claimed();
    let key = key(2, "open");
    bench.act(2, &key, 1, OPEN);
    bench.open = false;
    let reply = bench.act(2, &key, 2, OPEN);
    assert_eq!((reply.answer, reply.code()), (Answer::Failed, Some(Code::Undone)));
    assert_eq!(bench.effects_of(&key), 1);
}

#[test]
fn a_failed_key_acts_again_with_its_next_attempt() {
    let mut bench = claimed();
    let key = key(2, "open");
    bench.yes = Err(Problem::new(Code::NotConfirmed, "no"));
    let reply = bench.act(2, &key, 1, OPEN);
    assert_eq!((reply.answer, reply.code()), (Answer::Failed, Some(Code::NotConfirmed)));
    bench.yes = Ok(());
    assert_eq!(bench.act(2, &key, 1, OPEN).answer, Answer::Failed, "a duplicate does not act");
    assert_eq!(bench.act(2, &key, 2, OPEN).answer, Answer::Applied);
}

#[test]
fn an_outcome_after_a_failure_fences_the_attempt_that_is_on_its_way() {
    let mut bench = claimed();
    let key = key(2, "open");
    bench.yes = Err(Problem::new(Code::NotConfirmed, "no"));
    bench.act(2, &key, 1, OPEN);
    bench.yes = Ok(());
    let settled = bench.outcome(2, &key, 2);
    assert_eq!((settled.answer, settled.attempt), (Answer::Failed, Attempt(2)));
    assert_eq!(bench.act(2, &key, 2, OPEN).answer, Answer::Failed);
    assert!(bench.effects.is_empty());
}

#[test]
fn what_the_driver_refuses_is_void() {
    let mut bench = claimed();
    bench.refuse = Some(Problem::new(Code::CannotClose, "superuser"));
    let reply = bench.act(2, &key(2, "close"), 1, CLOSE);
    assert_eq!((reply.answer, reply.void, reply.code()), (Answer::Refused, true, Some(Code::CannotClose)));
    assert!(matches!(bench.disk.last(), Some(Record::Void { .. })));
    bench.refuse = None;
    assert_eq!(bench.act(2, &key(2, "close"), 1, CLOSE).code(), Some(Code::Void));
}

#[test]
fn the_epoch_is_looked_at_before_the_key() {
    let mut bench = claimed();
    assert_eq!(bench.act(1, &key(1, "close"), 1, CLOSE).code(), Some(Code::StaleEpoch));
    assert_eq!(bench.act(3, &key(3, "close"), 1, CLOSE).code(), Some(Code::Unclaimed));
    assert_eq!(bench.act(2, &key(9, "close"), 1, CLOSE).code(), Some(Code::EpochTaken));
    let reply = bench.outcome(3, &key(3, "close"), 1);
    assert_eq!((reply.code(), reply.void), (Some(Code::Unclaimed), false));
}

#[test]
fn a_claim_is_remembered_with_its_sequence() {
    let mut bench = claimed();
    let first = bench.send_claim(3, 3, 40);
    bench.run();
    assert_eq!((bench.claimed(first).granted, bench.claimed(first).sequence), (true, 0));
    bench.kill();
    let again = bench.send_claim(3, 3, 12);
    bench.run();
    assert_eq!((bench.claimed(again).granted, bench.claimed(again).sequence), (true, 40));
    let lower = bench.claim(2, 2);
    assert_eq!((lower.granted, lower.epoch), (false, Epoch(3)));
    assert_eq!(lower.problem.unwrap().code, Code::StaleEpoch);
    assert_eq!(bench.claim(3, 9).problem.unwrap().code, Code::EpochTaken);
}

#[test]
fn one_act_at_a_time_and_an_outcome_waits() {
    let mut bench = claimed();
    let (a, b) = (key(2, "close"), key(2, "open"));
    bench.open = true;
    let act = bench.send(2, &a, 1, CLOSE);
    bench.run_to_act();
    let other = bench.send(2, &b, 1, OPEN);
    assert_eq!((bench.reply(other).code(), bench.reply(other).void), (Some(Code::Busy), false));
    let twin = bench.send(2, &a, 1, CLOSE);
    assert_eq!(bench.reply(twin).answer, Answer::InProgress);
    let short = bench.send_outcome(2, &a, 1, 1);
    let long = bench.send_outcome(2, &a, 1, 60);
    let look = bench.ask(Ask::Observe);
    let deadline = bench.core.as_ref().unwrap().next_deadline().unwrap();
    assert_eq!(deadline, bench.now.boot + Duration::from_secs(1));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.reply(short).answer, Answer::InProgress);
    bench.run();
    assert_eq!(bench.reply(act).answer, Answer::Applied);
    assert_eq!(bench.reply(long).answer, Answer::Applied);
    let Some(Answered::Observation(seen)) = bench.answers.get(&look) else { panic!() };
    assert_eq!(seen.unended, vec![a]);
}

#[test]
fn a_claim_fences_an_act_that_waits_for_its_yes() {
    let mut bench = claimed();
    let old = key(2, "open");
    let act = bench.send(2, &old, 1, OPEN);
    bench.run_to_confirm();
    let claim = bench.send_claim(3, 3, 0);
    bench.run();
    assert_eq!(bench.reply(act).code(), Some(Code::StaleEpoch));
    assert!(bench.claimed(claim).granted);
    assert!(bench.effects.is_empty());
}

#[test]
fn a_new_ledger_acts_on_nothing_until_it_is_adopted() {
    let mut bench = Bench::empty(Rules::default());
    let refused = bench.act(1, &key(1, "close"), 1, CLOSE);
    assert_eq!((refused.code(), refused.adopted), (Some(Code::NotAdopted), false));
    assert_eq!(bench.claim(1, 1).problem.unwrap().code, Code::NotAdopted);
    assert_eq!(bench.outcome(1, &key(1, "close"), 1).code(), Some(Code::NotAdopted));
    assert!(bench.adopt(5, 5).granted);
    assert_eq!(bench.claim(4, 4).problem.unwrap().code, Code::StaleEpoch);
    assert!(bench.claim(6, 6).granted);
}

#[test]
fn a_brake_refuses_acts_and_lets_claims_through() {
    let mut bench = Bench::new(Rules::default());
    bench.input(Input::Armed(false));
    assert!(bench.claim(2, 2).granted);
    assert_eq!(bench.act(2, &key(2, "close"), 1, CLOSE).code(), Some(Code::NotArmed));
    bench.input(Input::Armed(true));
    assert_eq!(bench.act(2, &key(2, "close"), 1, CLOSE).answer, Answer::AlreadyApplied);
}

#[test]
fn what_an_earlier_life_started_is_ended_and_looked_at() {
    let mut bench = claimed();
    bench.open = true;
    let key = key(2, "close");
    bench.send(2, &key, 1, CLOSE);
    bench.run_to_act();
    bench.kill();
    bench.endable = false;
    assert_eq!(bench.outcome(2, &key, 1).answer, Answer::InDoubt);
    let other = bench.act(2, &bench::key(2, "open"), 1, OPEN);
    assert_eq!((other.answer, other.code()), (Answer::Refused, Some(Code::EarlierUnended)));
    bench.endable = true;
    assert_eq!(bench.outcome(2, &key, 1).answer, Answer::Failed);
    bench.commit_orphan();
    assert!(bench.open, "it was ended for good");
    assert_eq!(bench.act(2, &key, 2, CLOSE).answer, Answer::Applied);
}

#[test]
fn a_lost_end_is_found_again_by_a_look() {
    let mut bench = claimed();
    let key = key(2, "open");
    assert_eq!(bench.act(2, &key, 1, OPEN).answer, Answer::Applied);
    assert!(bench.synced < bench.disk.len(), "the end needs no sync of its own");
    bench.lose_power();
    assert_eq!(bench.outcome(2, &key, 1).answer, Answer::Applied);
    assert_eq!(bench.effects_of(&key), 1);
}

#[test]
fn without_a_check_it_is_done_once_and_never_repeated() {
    let mut bench = claimed();
    bench.blind = true;
    let key = key(2, "close");
    bench.send(2, &key, 1, CLOSE);
    bench.run_to_act();
    bench.kill();
    assert_eq!(bench.outcome(2, &key, 1).answer, Answer::InDoubt);
    assert_eq!(bench.act(2, &key, 2, CLOSE).answer, Answer::InDoubt);
    assert!(bench.effects.is_empty());
}

#[test]
fn no_answer_of_the_runner_is_a_no() {
    let mut bench = claimed();
    let act = bench.send(2, &key(2, "open"), 1, OPEN);
    bench.run_to_confirm();
    bench.flight.clear();
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.reply(act).code(), Some(Code::NotConfirmed));
}

#[test]
fn the_queue_has_an_end() {
    let mut bench = claimed();
    bench.open = true;
    let key = key(2, "close");
    bench.send(2, &key, 1, CLOSE);
    bench.run_to_act();
    let tickets: Vec<_> = (0..65).map(|_| bench.send_outcome(2, &key, 1, 10)).collect();
    assert_eq!(bench.reply(tickets[64]).code(), Some(Code::Busy));
    bench.run();
    assert_eq!(bench.reply(tickets[63]).answer, Answer::Applied);
}

#[test]
fn expired_and_other_arguments_are_refused() {
    let mut bench = claimed();
    let key = key(2, "open");
    bench.act(2, &key, 1, OPEN);
    let other = bench.ask(Bench::act_ask(2, &key, 2, OPEN, serde_json::json!({ "x": 1 })));
    assert_eq!(bench.reply(other).code(), Some(Code::KeyReused));
    bench.pass(Duration::from_secs(3600 + 31));
    assert_eq!(bench.act(2, &key, 3, OPEN).code(), Some(Code::Expired));
}

#[test]
fn what_no_group_claims_acts_without_claim_or_epoch() {
    let registered = Registered { address: address(), group: None };
    let ledger = schemas::LedgerId(uuid::Uuid::from_u128(1));
    let setup = Setup { ledger, resources: vec![registered], armed: true, rules: Rules::default() };
    let mut bench = Bench::new(Rules::default());
    bench.core = Some(Core::new(setup, bench.disk.clone()));
    assert_eq!(bench.claim(2, 2).problem.unwrap().code, Code::WrongGroup);
    let (old, new) = (key(2, "open"), key(3, "close"));
    assert_eq!(bench.act(2, &old, 1, OPEN).answer, Answer::Applied);
    assert_eq!(bench.act(3, &new, 1, CLOSE).answer, Answer::Applied);
    assert_eq!(bench.act(2, &old, 1, OPEN).answer, Answer::Applied, "from the ledger");
    assert_eq!(bench.outcome(2, &key(2, "void"), 1).code(), Some(Code::Void));
    assert_eq!(bench.effects.len(), 2);
}
