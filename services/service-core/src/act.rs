//! The way of an act's request: checks, `started`, a look, a yes where it opens, the act.

use schemas::{
    Answer, Attempt, CLOCK_ALLOWANCE, Code, ConfirmRequest, Effect as Does, Key, Problem, YES_COUNTS,
};
use serde_json::Value;

use crate::io::{Acted, Ask, Effect, Looked, OpId, Order};
use crate::ledger::Verdict;
use crate::record::{End, Record};
use crate::resource::{Phase, Request, Resource, Tried, Waiting, Work};
use crate::shared::Shared;

impl Resource {
    /// A request for an act: answered at once, started, or put to wait.
    pub(crate) fn act(&mut self, shared: &mut Shared, waiting: Waiting) {
        let Ask::Act { frame, action, args } = &waiting.ask else { return };
        let (key, attempt, ticket) = (frame.key.clone(), frame.attempt, waiting.ticket);
        if let Err(problem) = self.may_ask(shared, frame) {
            return self.refuse(shared, ticket, &key, attempt, problem);
        }
        let request = Request {
            ticket,
            frame: frame.clone(),
            action: *action,
            args: args.clone(),
            digest: schemas::Digest::of_request(&self.address, *action, args),
            nonce: waiting.nonce,
        };
        let known = self.keys.get(&key).cloned().unwrap_or_default();
        let running = self.running(&key, &waiting.tried);
        match known.asked(attempt, request.digest, running, shared.rules) {
            Verdict::KeyReused => self.refuse(
                shared,
                ticket,
                &key,
                attempt,
                Problem::new(Code::KeyReused, "the arguments differ from the ones before"),
            ),
            Verdict::LowerAttempt => {
                let why = format!("attempt {} was seen", known.highest());
                self.refuse(shared, ticket, &key, attempt, Problem::new(Code::LowerAttempt, why));
            }
            Verdict::Void => self.say_void(shared, ticket, &key, &known),
            Verdict::Ledger => self.say_known(shared, ticket, &key, attempt, &known),
            Verdict::InProgress => self.say_in_progress(shared, ticket, &key, &known),
            Verdict::InDoubt => self.say_in_doubt(shared, ticket, &key, attempt),
            Verdict::EndFirst if shared.rules.end_earlier => {
                self.begin(shared, waiting, request, Start::EndFirst)
            }
            Verdict::EndFirst => self.begin(shared, waiting, request, Start::Act { doubtful: true }),
            Verdict::LookOnly => self.begin(shared, waiting, request, Start::LookOnly),
            Verdict::Start { doubtful } => self.begin(shared, waiting, request, Start::Act { doubtful }),
        }
    }

    /// Prefix, brake, ledger, group, epoch: in this order.
    fn may_ask(&self, shared: &Shared, frame: &schemas::Frame) -> Result<(), Problem> {
        if shared.now.wall > frame.expires + CLOCK_ALLOWANCE {
            let why = format!("it expired at {}, here it is {}", frame.expires, shared.now.wall);
            return Err(Problem::new(Code::Expired, why));
        }
        if !shared.armed {
            return Err(Problem::new(Code::NotArmed, self.address.to_string()));
        }
        self.may_settle(shared, &frame.group, &frame.key, frame.epoch, true)
    }

    /// What the request's key allows is begun, unless something is in the way.
    fn begin(&mut self, shared: &mut Shared, waiting: Waiting, request: Request, start: Start) {
        let (key, attempt, ticket) = (request.frame.key.clone(), request.frame.attempt, request.ticket);
        match &self.work {
            Some(Work::Act { request: other, .. }) if shared.rules.one_at_a_time => {
                let why = format!("{} is in progress", other.frame.key);
                return self.refuse(shared, ticket, &key, attempt, Problem::new(Code::Busy, why));
            }
            Some(Work::Act { .. }) | None => {}
            Some(_) => return self.wait(shared, waiting),
        }
        match &waiting.tried {
            Tried::Not(problem) => return self.refuse(shared, ticket, &key, attempt, problem.clone()),
            Tried::NotYet if start == Start::EndFirst || self.must_end(shared) => {
                self.wait(shared, waiting);
                return self.end_earlier(shared);
            }
            Tried::NotYet | Tried::SeenGone => {}
        }
        let (address, action, args) = (self.address.clone(), request.action, request.args.clone());
        let op = shared.op(&address);
        match start {
            Start::LookOnly => {
                self.work = Some(Work::LookOnly { request, op });
                shared.effect(Effect::Look { op, address, action, args });
            }
            Start::Act { .. } | Start::EndFirst => {
                let doubtful = start != Start::Act { doubtful: false };
                self.work = Some(Work::Act { request, phase: Phase::Checking(op), doubtful });
                shared.effect(Effect::Check { op, address, action, args });
            }
        }
    }

    /// The driver has checked the arguments.
    pub(crate) fn checked(&mut self, shared: &mut Shared, op: OpId, result: Result<(), Problem>) {
        let Some((request, phase, _)) = self.act_at() else { return };
        if phase != Phase::Checking(op) {
            return;
        }
        let (key, attempt, ticket) = (request.frame.key.clone(), request.frame.attempt, request.ticket);
        // A claim may have come meanwhile.
        let frame = request.frame.clone();
        let allowed = self.may_settle(shared, &frame.group, &key, frame.epoch, true);
        match (allowed, result) {
            (Err(problem), _) => self.refuse(shared, ticket, &key, attempt, problem),
            (Ok(()), Err(problem)) => self.refuse_checked(shared, &request, problem),
            (Ok(()), Ok(())) => return self.start(shared, request),
        }
        self.rest(shared, &Tried::NotYet);
    }

    /// Refused by the driver before anything was started; written, so that the refusal settles the key.
    fn refuse_checked(&mut self, shared: &mut Shared, request: &Request, problem: Problem) {
        let (key, attempt) = (&request.frame.key, request.frame.attempt);
        let known = self.keys.get(key).cloned().unwrap_or_default();
        match known.last.and_then(|last| last.end) {
            None if self.open.contains_key(&(request.frame.epoch, key.clone())) => {
                self.refuse(shared, request.ticket, key, attempt, problem);
            }
            None => {
                self.write_void(shared, request.frame.epoch, key, attempt);
                let void = true;
                let (answer, ticket) = (Answer::Refused, request.ticket);
                self.reply(shared, ticket, key, attempt, answer, void, Value::Null, Some(problem));
            }
            Some(End::Failed { .. }) => {
                self.write_void(shared, request.frame.epoch, key, attempt);
                self.answer_end(shared, request.ticket, key, attempt, &End::Failed { problem }, false);
            }
            Some(_) => self.refuse(shared, request.ticket, key, attempt, problem),
        }
    }

    pub(crate) fn write_void(
        &mut self,
        shared: &mut Shared,
        epoch: schemas::Epoch,
        key: &Key,
        attempt: Attempt,
    ) {
        let record = Record::Void { address: self.address.clone(), epoch, key: key.clone(), attempt };
        self.write(shared, record);
        self.forget_oldest(shared);
    }

    /// `started` is written; a look comes first.
    fn start(&mut self, shared: &mut Shared, request: Request) {
        self.hide_older(shared, &request.frame.key);
        let record = Record::Started {
            address: self.address.clone(),
            group: request.frame.group.clone(),
            epoch: request.frame.epoch,
            key: request.frame.key.clone(),
            attempt: request.frame.attempt,
            digest: request.digest,
            action: request.action,
            args: request.args.clone(),
        };
        match shared.rules.started_first {
            true => self.write(shared, record),
            false => self.apply(&record, shared),
        }
        self.forget_oldest(shared);
        self.disturb(&request.frame.key);
        let op = shared.op(&self.address);
        let (address, action, args) = (self.address.clone(), request.action, request.args.clone());
        self.phase(Phase::Looking(op));
        shared.effect(Effect::Look { op, address, action, args });
    }

    /// Keys that were seen gone but could not be looked at: from now on a look at them says nothing.
    fn hide_older(&mut self, shared: &mut Shared, starting: &Key) {
        if !shared.rules.end_earlier {
            return;
        }
        let hidden: Vec<_> = self
            .loose()
            .filter(|((epoch, key), _)| key != starting && self.is_current(*epoch, shared))
            .map(|(name, open)| (name.clone(), open.clone()))
            .collect();
        for ((epoch, key), open) in hidden {
            let problem =
                Problem::new(Code::InDoubt, "it was ended, could not be looked at, and another act followed");
            self.write_end(shared, epoch, &key, open.attempt, open.digest, End::InDoubt { problem });
        }
    }

    pub(crate) fn write_end(
        &mut self,
        shared: &mut Shared,
        epoch: schemas::Epoch,
        key: &Key,
        attempt: Attempt,
        digest: schemas::Digest,
        how: End,
    ) {
        let address = self.address.clone();
        let record = Record::Ended { address, epoch, key: key.clone(), attempt, digest, how };
        self.write(shared, record);
    }

    /// The look before the act, or the look that is all.
    pub(crate) fn looked(&mut self, shared: &mut Shared, op: OpId, looked: Looked) {
        match &self.work {
            Some(Work::LookOnly { request, op: asked }) if *asked == op => {
                let (ticket, key, attempt) =
                    (request.ticket, request.frame.key.clone(), request.frame.attempt);
                self.say_look(shared, ticket, &key, attempt, looked);
                self.rest(shared, &Tried::NotYet);
            }
            Some(Work::Settling { op: asked, .. }) if *asked == op => self.settled(shared, looked),
            Some(Work::Act { request, phase: Phase::Looking(asked), doubtful }) if *asked == op => {
                let (request, doubtful) = (request.clone(), *doubtful);
                match looked {
                    Looked::InEffect(output) => {
                        self.finish(shared, End::Applied { output, by_look: false }, Saw::Already);
                    }
                    // Without a check it is done once, and never repeated.
                    Looked::CannotTell(why) if doubtful => {
                        let why = format!("an earlier attempt may be in effect: {why}");
                        let problem = Problem::new(Code::InDoubt, why);
                        self.finish(shared, End::InDoubt { problem }, Saw::Act);
                    }
                    Looked::NotInEffect(_) | Looked::CannotTell(_) => self.ask_or_act(shared, &request),
                }
            }
            _ => {}
        }
    }

    /// Asks the runner where the act opens; else acts. Nothing was done so far, so an older epoch ends here.
    fn ask_or_act(&mut self, shared: &mut Shared, request: &Request) {
        if let Err(problem) = self.still_held(shared, request) {
            return self.finish(shared, End::Failed { problem }, Saw::Act);
        }
        if request.action.effect() != Does::Opens || !shared.rules.confirm {
            return self.do_it(shared, request, None);
        }
        let asked = shared.now.boot;
        self.phase(Phase::Confirming { asked });
        shared.confirms.insert(request.nonce, self.address.clone());
        let question = ConfirmRequest {
            address: self.address.clone(),
            group: request.frame.group.clone(),
            key: request.frame.key.clone(),
            attempt: request.frame.attempt,
            epoch: request.frame.epoch,
            nonce: request.nonce,
        };
        shared.effect(Effect::Confirm { request: question, within: YES_COUNTS });
    }

    fn still_held(&self, shared: &Shared, request: &Request) -> Result<(), Problem> {
        let older = self.group.is_some() && request.frame.epoch < self.epoch(shared);
        if !older || !shared.rules.lower_epoch {
            return Ok(());
        }
        let why = format!("epoch {} has claimed {}", self.epoch(shared), self.address);
        Err(Problem::new(Code::StaleEpoch, why))
    }

    /// The runner's yes or no, or the end of the time for it.
    pub(crate) fn confirmed(
        &mut self,
        shared: &mut Shared,
        nonce: schemas::MessageId,
        yes: Result<(), Problem>,
    ) {
        let Some((request, Phase::Confirming { asked }, _)) = self.act_at() else { return };
        if request.nonce != nonce {
            return;
        }
        let end = asked + YES_COUNTS;
        let late = shared.rules.yes_expires && shared.now.boot > end;
        let problem = match yes {
            Ok(()) if late => Problem::new(Code::NotConfirmed, "the yes came too late"),
            Ok(()) => match self.still_held(shared, &request) {
                Ok(()) => {
                    let end = shared.rules.yes_expires.then_some(end);
                    return self.do_it(shared, &request, end);
                }
                Err(problem) => problem,
            },
            Err(no) => Problem::new(Code::NotConfirmed, no.to_string()),
        };
        self.finish(shared, End::Failed { problem }, Saw::Act);
    }

    /// No yes came in time.
    pub(crate) fn confirm_late(&mut self, shared: &mut Shared) {
        if let Some((request, Phase::Confirming { asked }, _)) = self.act_at()
            && shared.now.boot >= asked + YES_COUNTS
        {
            let silent = Problem::new(Code::NoRunner, "no answer within 2 s");
            self.confirmed(shared, request.nonce, Err(silent));
        }
    }

    fn do_it(&mut self, shared: &mut Shared, request: &Request, not_after: Option<std::time::Duration>) {
        let op = shared.op(&self.address);
        let order = Order {
            action: request.action,
            args: request.args.clone(),
            group: request.frame.group.clone(),
            epoch: request.frame.epoch,
            run: request.frame.run(),
            key: request.frame.key.clone(),
            attempt: request.frame.attempt,
            within: request.frame.act_within,
            not_after,
        };
        self.phase(Phase::Acting(op));
        shared.effect(Effect::Act { op, address: self.address.clone(), order });
    }

    /// The driver is done.
    pub(crate) fn acted(&mut self, shared: &mut Shared, op: OpId, acted: Acted) {
        let Some((request, phase, _)) = self.act_at() else { return };
        if phase != Phase::Acting(op) {
            return;
        }
        match acted {
            Acted::Done(output) => self.finish(shared, End::Applied { output, by_look: false }, Saw::Act),
            Acted::NotDone(problem) => self.finish(shared, End::Failed { problem }, Saw::Act),
            Acted::Unknown(problem) => {
                // No line: `started` without an end is what is known. It is ended and looked at before
                // anything else happens here.
                let (key, attempt) = (request.frame.key.clone(), request.frame.attempt);
                if let Some(open) = self.open.get_mut(&(request.frame.epoch, key.clone())) {
                    open.why = Some(problem.clone());
                }
                let answer = Answer::InDoubt;
                self.reply(shared, request.ticket, &key, attempt, answer, false, Value::Null, Some(problem));
                self.rest(shared, &Tried::NotYet);
            }
        }
    }

    /// The act has ended: written, answered, and the next one may come.
    fn finish(&mut self, shared: &mut Shared, how: End, saw: Saw) {
        let Some((request, ..)) = self.act_at() else { return };
        shared.confirms.remove(&request.nonce);
        let (epoch, key, attempt) = (request.frame.epoch, request.frame.key, request.frame.attempt);
        self.write_end(shared, epoch, &key, attempt, request.digest, how.clone());
        self.answer_end(shared, request.ticket, &key, attempt, &how, saw == Saw::Already);
        self.rest(shared, &Tried::NotYet);
    }

    fn act_at(&self) -> Option<(Request, Phase, bool)> {
        match &self.work {
            Some(Work::Act { request, phase, doubtful }) => Some((request.clone(), *phase, *doubtful)),
            _ => None,
        }
    }

    fn phase(&mut self, next: Phase) {
        if let Some(Work::Act { phase, .. }) = &mut self.work {
            *phase = next;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Act { doubtful: bool },
    LookOnly,
    EndFirst,
}

/// What the answer may say: done by this act, or found done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saw {
    Act,
    Already,
}
