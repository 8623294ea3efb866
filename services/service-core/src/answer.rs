//! The answers: what is said when.

use schemas::{Answer, Attempt, Code, Key, Problem, Reply};
use serde_json::Value;

use crate::Ticket;
use crate::io::{Answered, Ask, Looked};
use crate::ledger::Known;
use crate::record::End;
use crate::resource::Resource;
use crate::shared::Shared;

impl Resource {
    /// Answers a question that is not taken; nothing was written for it.
    pub(crate) fn turn_away(&self, shared: &mut Shared, ask: &Ask, ticket: Ticket, problem: Problem) {
        match ask {
            Ask::Act { frame, .. } => {
                let (key, attempt) = (frame.key.clone(), frame.attempt);
                self.refuse(shared, ticket, &key, attempt, problem);
            }
            Ask::Outcome(asked) => {
                let (key, attempt) = (asked.key.clone(), asked.attempt);
                self.refuse(shared, ticket, &key, attempt, problem);
            }
            Ask::Claim(asked) => {
                self.answer_claim(shared, ticket, asked.run, None, Some(problem));
            }
            Ask::Adopt(asked) => {
                self.answer_claim(shared, ticket, asked.run, None, Some(problem));
            }
            Ask::Observe => shared.answer(ticket, Answered::Problem(problem)),
        }
    }

    /// `refused` without `void`: it settles nothing.
    pub(crate) fn refuse(
        &self,
        shared: &mut Shared,
        ticket: Ticket,
        key: &Key,
        attempt: Attempt,
        p: Problem,
    ) {
        let void = !shared.rules.honest_refusal;
        self.reply(shared, ticket, key, attempt, Answer::Refused, void, Value::Null, Some(p));
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a reply, once")]
    pub(crate) fn reply(
        &self,
        shared: &mut Shared,
        ticket: Ticket,
        key: &Key,
        attempt: Attempt,
        answer: Answer,
        void: bool,
        output: Value,
        problem: Option<Problem>,
    ) {
        let reply = Reply {
            answer,
            key: key.clone(),
            attempt,
            epoch: self.epoch(shared),
            ledger: shared.ledger,
            adopted: shared.is_adopted(self.group.as_ref()),
            void,
            output,
            problem: problem.map(|problem| problem.about(key)),
            at: shared.now.wall,
        };
        shared.answer(ticket, Answered::Reply(reply));
    }

    /// Answers from the ledger about a key that has ended.
    pub(crate) fn answer_end(
        &self,
        shared: &mut Shared,
        ticket: Ticket,
        key: &Key,
        attempt: Attempt,
        end: &End,
        again: bool,
    ) {
        let (answer, output, problem) = match end {
            End::Applied { output, .. } if again => (Answer::AlreadyApplied, output.clone(), None),
            End::Applied { output, .. } => (Answer::Applied, output.clone(), None),
            End::Failed { problem } => (Answer::Failed, Value::Null, Some(problem.clone())),
            End::InDoubt { problem } => (Answer::InDoubt, Value::Null, Some(problem.clone())),
        };
        self.reply(shared, ticket, key, attempt, answer, false, output, problem);
    }

    pub(crate) fn say_look(
        &self,
        shared: &mut Shared,
        ticket: Ticket,
        key: &Key,
        attempt: Attempt,
        looked: Looked,
    ) {
        let (answer, output, problem) = match looked {
            Looked::InEffect(output) => (Answer::AlreadyApplied, output, None),
            Looked::NotInEffect(found) => {
                let why = format!("an earlier attempt ended applied, now this was found: {found}");
                (Answer::Failed, found, Some(Problem::new(Code::Undone, why)))
            }
            Looked::CannotTell(why) => (Answer::InDoubt, Value::Null, Some(Problem::new(Code::InDoubt, why))),
        };
        self.reply(shared, ticket, key, attempt, answer, false, output, problem);
    }

    pub(crate) fn say_in_progress(&self, shared: &mut Shared, ticket: Ticket, key: &Key, known: &Known) {
        let answer = Answer::InProgress;
        self.reply(shared, ticket, key, known.highest(), answer, false, Value::Null, None);
    }

    /// The answer that the ledger has: an end, or void.
    pub(crate) fn say_known(
        &self,
        shared: &mut Shared,
        ticket: Ticket,
        key: &Key,
        asked: Attempt,
        known: &Known,
    ) {
        match known.last.as_ref().and_then(|last| last.end.as_ref()) {
            Some(end) => {
                let attempt = asked.max(known.highest());
                self.answer_end(shared, ticket, key, attempt, end, false);
            }
            None => {
                let known = Known { void: known.void.max(Some(asked)), last: None };
                self.say_void(shared, ticket, key, &known);
            }
        }
    }

    /// Nothing was started, nothing will be; that was written.
    pub(crate) fn say_void(&self, shared: &mut Shared, ticket: Ticket, key: &Key, known: &Known) {
        let attempt = known.highest();
        let problem = Problem::new(Code::Void, format!("attempts up to {attempt}"));
        self.reply(shared, ticket, key, attempt, Answer::Refused, true, Value::Null, Some(problem));
    }

    pub(crate) fn say_in_doubt(&self, shared: &mut Shared, ticket: Ticket, key: &Key, attempt: Attempt) {
        let why = self.open.iter().find(|((_, open), _)| open == key).and_then(|(_, open)| open.why.clone());
        let problem = why.unwrap_or_else(|| {
            Problem::new(
                Code::InDoubt,
                "an earlier life of the service started it, and it cannot be seen ended",
            )
        });
        let answer = Answer::InDoubt;
        self.reply(shared, ticket, key, attempt, answer, false, Value::Null, Some(problem));
    }
}
