//! Outcomes, and the end of earlier acts. A look alone settles nothing: first they are seen gone.

use schemas::{Answer, Code, Epoch, GroupId, Key, OutcomeRequest, Problem};
use serde_json::Value;

use crate::io::{Ask, END_WITHIN, Effect, Looked, OpId, WAIT_MAX};
use crate::ledger::Settle;
use crate::record::{End, Record};
use crate::resource::{Resource, Tried, Waiting, Work};
use crate::shared::Shared;

impl Resource {
    /// Ledger, group, epoch: whether the one who asks about `key` may have an answer here.
    pub(crate) fn may_settle(
        &self,
        shared: &Shared,
        group: &GroupId,
        key: &Key,
        epoch: Epoch,
        act: bool,
    ) -> Result<(), Problem> {
        if !shared.is_adopted(self.group.as_ref()) {
            return Err(Problem::new(Code::NotAdopted, format!("ledger {}", shared.ledger)));
        }
        let Some(own) = &self.group else {
            if self.forgot.is_some_and(|upto| key.run <= upto) {
                return Err(Problem::new(Code::StaleEpoch, "the run is too old; its keys were forgotten"));
            }
            return Ok(());
        };
        if own != group {
            return Err(Problem::new(Code::WrongGroup, format!("{} belongs to {own}", self.address)));
        }
        let rules = shared.rules;
        let Some(held) = self.holder(shared) else {
            return match rules.claimed_first {
                true => Err(Problem::new(Code::Unclaimed, "nobody has claimed it")),
                false => Ok(()),
            };
        };
        if epoch < held.epoch && if act { rules.lower_epoch } else { rules.stale_epoch } {
            return Err(Problem::new(
                Code::StaleEpoch,
                format!("epoch {} of run {} holds it", held.epoch, held.run),
            ));
        }
        if epoch > held.epoch && rules.claimed_first {
            return Err(Problem::new(Code::Unclaimed, format!("epoch {} holds it", held.epoch)));
        }
        if epoch == held.epoch && key.run != held.run && rules.equal_epoch {
            return Err(Problem::new(Code::EpochTaken, format!("run {} holds it", held.run)));
        }
        Ok(())
    }

    /// What became of a key: settled, awaited, or refused.
    pub(crate) fn outcome(&mut self, shared: &mut Shared, mut waiting: Waiting) {
        let Ask::Outcome(asked) = &waiting.ask else { return };
        let OutcomeRequest { group, key, attempt, epoch, wait } = asked.clone();
        let ticket = waiting.ticket;
        if let Err(problem) = self.may_settle(shared, &group, &key, epoch, false) {
            return self.refuse(shared, ticket, &key, attempt, problem);
        }
        waiting.until = waiting.until.or(Some(shared.now.boot + wait.min(WAIT_MAX)));
        let known = self.keys.get(&key).cloned().unwrap_or_default();
        let running = self.running(&key, &waiting.tried);
        match known.outcome(attempt, running) {
            Settle::WriteVoid => {
                if shared.rules.void {
                    self.write_void(shared, epoch, &key, attempt);
                }
                let known = self.keys.get(&key).cloned().unwrap_or(known);
                self.say_known(shared, ticket, &key, attempt, &known);
            }
            Settle::Ledger => self.say_known(shared, ticket, &key, attempt, &known),
            Settle::Wait => self.wait_or_say(shared, waiting),
            Settle::InDoubt => self.say_in_doubt(shared, ticket, &key, attempt),
            Settle::EndFirst => match &waiting.tried {
                Tried::Not(_) => self.say_in_doubt(shared, ticket, &key, attempt),
                Tried::NotYet | Tried::SeenGone if self.work.is_some() => self.wait_or_say(shared, waiting),
                Tried::NotYet | Tried::SeenGone => {
                    // However short the wait: the ending goes on, and the next question finds its end.
                    self.wait_or_say(shared, waiting);
                    self.end_earlier(shared);
                }
            },
        }
    }

    fn wait_or_say(&mut self, shared: &mut Shared, waiting: Waiting) {
        if waiting.until.is_none_or(|at| at > shared.now.boot) {
            return self.wait(shared, waiting);
        }
        if let Ask::Outcome(asked) = &waiting.ask {
            let answer = Answer::InProgress;
            let (key, attempt) = (&asked.key, asked.attempt);
            self.reply(shared, waiting.ticket, key, attempt, answer, false, Value::Null, None);
        }
    }

    /// Whether something is left that an act, a claim or a look may not pass.
    ///
    /// Once in each life it is done even where the ledger knows of nothing: the ledger may be a new one.
    pub(crate) fn must_end(&self, shared: &Shared) -> bool {
        shared.rules.end_earlier && (!self.swept || self.loose().next().is_some())
    }

    /// Has the driver end what earlier acts left. Nothing else may be in progress.
    pub(crate) fn end_earlier(&mut self, shared: &mut Shared) {
        let op = shared.op(&self.address);
        self.work = Some(Work::Ending { op });
        if shared.rules.end_earlier {
            shared.effect(Effect::End { op, address: self.address.clone(), within: END_WITHIN });
        } else {
            self.ended(shared, op, Ok(()));
        }
    }

    /// The driver has ended them, or could not.
    pub(crate) fn ended(&mut self, shared: &mut Shared, op: OpId, result: Result<(), Problem>) {
        if !matches!(&self.work, Some(Work::Ending { op: asked }) if *asked == op) {
            return;
        }
        if let Err(problem) = result {
            let known = self.loose().next().is_some();
            let problem = match known {
                true => Problem::new(Code::EarlierUnended, problem.to_string()),
                false => problem,
            };
            return self.rest(shared, &Tried::Not(problem));
        }
        self.swept = true;
        let older: Vec<(Epoch, Key)> =
            self.open.keys().filter(|(epoch, _)| !self.is_current(*epoch, shared)).cloned().collect();
        for (epoch, key) in older {
            let record = Record::Gone { address: self.address.clone(), epoch, key };
            self.write(shared, record);
        }
        let left: Vec<Key> = self.open.keys().map(|(_, key)| key.clone()).collect();
        self.settle_next(shared, left);
    }

    /// Looks at the next key that was seen gone.
    fn settle_next(&mut self, shared: &mut Shared, mut left: Vec<Key>) {
        while let Some(key) = left.pop() {
            let found = self.open.iter().find(|((_, open), _)| *open == key);
            let Some((_, open)) = found else { continue };
            let (action, args, address) = (open.action, open.args.clone(), self.address.clone());
            let op = shared.op(&address);
            self.work = Some(Work::Settling { op, key, left });
            shared.effect(Effect::Look { op, address, action, args });
            return;
        }
        self.rest(shared, &Tried::SeenGone);
    }

    /// A key that was seen gone was looked at.
    pub(crate) fn settled(&mut self, shared: &mut Shared, looked: Looked) {
        let Some(Work::Settling { key, left, .. }) = self.work.take() else { return };
        let found = self.open.iter_mut().find(|((_, open), _)| *open == key);
        if let Some(((epoch, _), open)) = found {
            let (epoch, attempt, digest) = (*epoch, open.attempt, open.digest);
            let how = match looked {
                Looked::InEffect(output) => Some(End::Applied { output, by_look: true }),
                Looked::NotInEffect(found) => {
                    let before = open.why.as_ref().map(|why| format!("{why}; ")).unwrap_or_default();
                    let why = format!("{before}it was ended, and then this was found: {found}");
                    Some(End::Failed { problem: Problem::new(Code::Failed, why) })
                }
                Looked::CannotTell(why) => {
                    open.why = Some(Problem::new(Code::InDoubt, why));
                    None
                }
            };
            match how {
                // A claim that came meanwhile made it one of an older epoch.
                _ if !self.is_current(epoch, shared) => {
                    let record = Record::Gone { address: self.address.clone(), epoch, key };
                    self.write(shared, record);
                }
                Some(how) => self.write_end(shared, epoch, &key, attempt, digest, how),
                None => {}
            }
        }
        self.settle_next(shared, left);
    }
}
