//! How a call ends: answers to its request and to the question for its outcome, the settlement, and what
//! is done when there is none within the bound (laws 4 and 5).

use std::time::Duration;

use engine::InDoubt;
use schemas::{Action, Address, Answer, Attempt, Code, Effect, Key, Position, Problem, Reply};
use serde_json::Value;

use crate::call::CallState;
use crate::core::{Core, Timer};
use crate::entry::{AssumedBy, GroupEntry, RunEntry, SettledAs, Settlement};
use crate::live::{AGAIN, DEFAULT_BOUND, Live, Owner, SETTLE_GRACE, Stage, bound, next_attempt_after};
use crate::rules::Rule;
use crate::run::IN_DOUBT;
use crate::seam::{Answered, Now};

impl Core {
    /// An answer to the act's request, or to the question for its outcome.
    pub(crate) fn on_act_answered(&mut self, now: Now, key: &Key, answer: Answered, act: bool) {
        let Some(live) = self.lives.get_mut(key) else { return };
        match answer {
            Answered::Reply(body) => match serde_json::from_slice::<Reply>(&body) {
                Ok(reply) if reply.key == crate::live::on_wire(self.rules, key) => {
                    self.on_reply(now, key, reply, act)
                }
                _ => {
                    live.undelivered = false;
                    let detail = String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
                    live.problem =
                        Some(Problem::new(Code::Malformed, format!("the service answered: {detail}")));
                    self.ask_later(now, key);
                }
            },
            Answered::NoResponders if act => {
                let lost = self.runs.get(&key.run).is_some_and(|run| run.lost(&live.address.site));
                let proves = live.undelivered || !self.rules.keep(Rule::EveryAttemptUndelivered);
                live.problem = Some(Problem::new(Code::Unreachable, "no service listens there"));
                if !proves {
                    return self.ask_later(now, key);
                }
                if lost || now.boot >= live.deadline || live.cancelled {
                    let problem =
                        Problem::new(Code::Unreachable, "never delivered: no service listens there");
                    return self.settle(now, key, "undelivered", SettledAs::NotDone { problem });
                }
                live.wait("its service to listen");
                let at = now.boot + next_attempt_after(live.attempt);
                live.stage = Stage::Resend { at };
                self.timer(at, Timer::Live(key.clone()));
            }
            Answered::NoResponders => {
                live.wait("its service to listen");
                self.ask_later(now, key);
            }
            Answered::Silence => {
                live.undelivered = false;
                if !act {
                    self.ask_later(now, key);
                } else if matches!(live.stage, Stage::Sent { .. }) {
                    self.doubt(now, key, "no answer");
                    self.ask_outcome(now, key);
                }
            }
        }
    }

    /// Asks for the outcome again a little later; past the bound, what `inDoubt` says happens.
    fn ask_later(&mut self, now: Now, key: &Key) {
        let Some(live) = self.lives.get_mut(key) else { return };
        let deadline = live.deadline;
        let patience = if live.in_doubt == InDoubt::Pass { Duration::ZERO } else { SETTLE_GRACE };
        if now.boot < deadline + patience {
            let at = (now.boot + AGAIN).min(deadline.max(now.boot + Duration::from_millis(20)));
            live.stage = Stage::AskAgain { at };
            self.timer(at, Timer::Live(key.clone()));
            return self.doubt(now, key, "not settled yet");
        }
        self.doubt(now, key, "not settled within its bound");
        let Some(live) = self.lives.get_mut(key) else { return };
        match (&live.owner, live.in_doubt) {
            (Owner::Step, InDoubt::Pass) => self.assume(now, key, AssumedBy::Definition),
            (Owner::Step, InDoubt::Retry) if !live.cancelled => {
                live.deadline = now.boot + DEFAULT_BOUND;
                let at = now.boot + next_attempt_after(live.attempt);
                live.stage = Stage::Resend { at };
                self.timer(at, Timer::Live(key.clone()));
            }
            (owner, _) => {
                let step = *owner == Owner::Step;
                let first = !live.told_in_doubt;
                live.told_in_doubt = true;
                let drains = self.runs.get(&key.run).is_some_and(|run| run.proves_drained(&key.position));
                let words = match (drains, live.action) {
                    (true, _) => "done|retry",
                    (false, Some(Action::Point)) => "done|retry|skip|push",
                    (false, _) => "done|retry|skip",
                };
                live.wait(format!(
                    "{} to say what became of it, or a person: pointsman {words} {}",
                    live.address,
                    key.run.short(4)
                ));
                let at = now.boot + Duration::from_secs(2);
                live.stage = Stage::Doubtful { at };
                self.timer(at, Timer::Live(key.clone()));
                if step && first {
                    let step = self.runs.get(&key.run).map(|run| crate::views::label(run, &key.position));
                    let step = step.unwrap_or_else(|| key.position.to_string());
                    self.hold_in_doubt(now, key.run, format!("step {step}{IN_DOUBT}"));
                }
            }
        }
    }

    fn on_reply(&mut self, now: Now, key: &Key, reply: Reply, act: bool) {
        let Some(live) = self.lives.get_mut(key) else { return };
        live.undelivered = false;
        let highest = reply.attempt >= live.attempt;
        if let Some(problem) = &reply.problem {
            live.problem = Some(problem.clone());
        }
        if !reply.adopted && self.rules.keep(Rule::RefusedNeedsVoid) {
            live.wait(format!("the ledger at {} to be adopted: pointsman adopt", live.address));
            return self.ask_later(now, key);
        }
        match reply.answer {
            Answer::Applied | Answer::AlreadyApplied => {
                let by = if act { "reply" } else { "outcome" };
                let result = SettledAs::Done { answer: Some(reply.answer), output: reply.output };
                self.settle(now, key, by, result);
            }
            Answer::Failed if highest => self.not_done(now, key, reply, act),
            Answer::Refused if highest && (reply.void || !self.rules.keep(Rule::RefusedNeedsVoid)) => {
                self.not_done(now, key, reply, act);
            }
            Answer::Refused if matches!(reply.code(), Some(Code::StaleEpoch)) => {
                self.on_stale(now, key, reply.epoch)
            }
            Answer::Refused if reply.code() == Some(Code::EpochTaken) => {
                self.hold(
                    now,
                    key.run,
                    "another run holds this epoch: find the second runner, then supersede".into(),
                );
                self.ask_later(now, key);
            }
            Answer::Refused if reply.code() == Some(Code::Unclaimed) => {
                if let (Some(group), address) = (live.group.clone(), live.address.clone()) {
                    if let Some(g) = self.groups.get_mut(&group) {
                        g.claims.remove(&address);
                    }
                    self.ask_claim(now, &group, &address);
                }
                self.ask_later(now, key);
            }
            Answer::InProgress if !act => {
                live.under_way(now);
                self.ask_later(now, key);
            }
            Answer::Failed | Answer::Refused | Answer::InProgress => self.ask_outcome(now, key),
            Answer::InDoubt => self.ask_later(now, key),
        }
    }

    /// The highest attempt is known not to be in effect: the next one, or the end.
    fn not_done(&mut self, now: Now, key: &Key, reply: Reply, act: bool) {
        let Some(live) = self.lives.get_mut(key) else { return };
        let problem = reply.problem.unwrap_or_else(|| Problem::new(Code::Failed, "it did not say why"));
        if problem.code == Code::Unclaimed {
            // Claimed before its host was armed, say: the resource itself does not hold the epoch yet.
            if let (Some(group), address) = (live.group.clone(), live.address.clone()) {
                if let Some(g) = self.groups.get_mut(&group) {
                    g.claims.remove(&address);
                }
                self.ask_claim(now, &group, &address);
            }
        }
        let Some(live) = self.lives.get_mut(key) else { return };
        // Of a step that is still pending an opening without a yes had no runner to ask in time, as when the
        // runner was away: its answer to the next attempt is another one.
        let again = problem.retryable || matches!(problem.code, Code::Void | Code::NotConfirmed);
        let at = now.boot + next_attempt_after(live.attempt);
        if again && at < live.deadline && !live.cancelled && live.owner != Owner::Doubt {
            live.wait(format!("the next attempt: {problem}"));
            live.stage = Stage::Resend { at };
            return self.timer(at, Timer::Live(key.clone()));
        }
        let by = if act { "reply" } else { "outcome" };
        self.settle(now, key, by, SettledAs::NotDone { problem });
    }

    /// The key is settled: the resource is free, the engine goes on.
    pub(crate) fn settle(&mut self, now: Now, key: &Key, by: &str, result: SettledAs) {
        let Some(live) = self.lives.remove(key) else { return };
        let settlement = Settlement { attempt: live.attempt, by: by.into(), result: result.clone() };
        match (&live.owner, &live.group) {
            (Owner::Debt(debt), Some(group)) => {
                let entry = GroupEntry::DebtSettled { debt: *debt, settlement };
                self.append_group(now, group, &entry);
                match &result {
                    SettledAs::NotDone { .. } => self.not_paid(now, group, *debt, by == "undelivered"),
                    // Where servers of lost sites do not follow yet.
                    SettledAs::Done { output, .. } => self.owe_rest(now, key, &live, output),
                    SettledAs::EndedUnknown => {}
                }
                self.pay(now, &group.clone(), None); // What waited for its turn.
            }
            (Owner::Doubt, Some(group)) => {
                let how = match &result {
                    SettledAs::Done { .. } => "it was done".into(),
                    SettledAs::NotDone { problem } => format!("it was not done: {problem}"),
                    SettledAs::EndedUnknown => "ended by a newer claim".into(),
                };
                let doubt = self.groups.get(group).and_then(|g| g.record.doubts.get(key)).cloned();
                self.append_group(now, group, &GroupEntry::DoubtEnded { key: key.clone(), how });
                if let (Some(doubt), SettledAs::Done { .. }) = (doubt, &result) {
                    self.end_debts_before(now, group, &doubt);
                }
            }
            _ => {
                let entry = RunEntry::Settled { step: key.position.clone(), settlement };
                self.append_run(now, key.run, entry);
            }
        }
        if let Some(group) = &live.group {
            self.free(group, &live.address, key);
            if live.effect() == Effect::Opens {
                self.overtake(&live.address);
            }
            self.note_closed(now, group, &live, &result);
        }
        self.owe_unpush(now, key, &live, Some(&result));
        if live.owner == Owner::Step {
            let (at, run) = (key.position.clone(), key.run);
            self.release_back_out(now, run);
            match result {
                SettledAs::Done { output, .. } => {
                    self.end_debts_at(now, key, &live);
                    self.owe_rest(now, key, &live, &output);
                    self.engine_input(now, run, engine::Input::CallEnded { at, result: Ok(output) });
                }
                SettledAs::NotDone { problem } => {
                    let error = crate::fault::error_of(&problem);
                    self.owe(now, key, &live, &problem.to_string());
                    self.engine_input(now, run, engine::Input::CallEnded { at, result: Err(error) });
                }
                SettledAs::EndedUnknown => {}
            }
        }
        if let (Owner::Doubt | Owner::Debt(_), Some(group)) = (&live.owner, &live.group) {
            self.pay(now, &group.clone(), Some(&live.address));
        }
        self.wake_waiters(now, live.group.as_ref());
    }

    fn free(&mut self, group: &schemas::GroupId, address: &Address, key: &Key) {
        if let Some(g) = self.groups.get_mut(group)
            && g.occupied.get(address) == Some(key)
        {
            g.occupied.remove(address);
        }
    }

    /// Calls that wait for their turn or at the gate look again.
    pub(crate) fn wake_waiters(&mut self, now: Now, group: Option<&schemas::GroupId>) {
        let keys: Vec<Key> = self
            .lives
            .iter()
            .filter(|(_, l)| !l.intended() && (l.group.as_ref() == group || group.is_none()))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.advance(now, &key);
        }
    }

    /// Nothing was ever sent: the step ends without a trace in the world.
    pub(crate) fn give_up(&mut self, now: Now, key: &Key, code: Code, detail: &str) {
        let Some(live) = self.lives.remove(key) else { return };
        self.end_loss_asked(|asked| asked == key);
        let problem = Problem::new(code, detail).about(key);
        if live.owner == Owner::Step {
            self.owe(now, key, &live, detail);
            let result = Err(crate::fault::error_of(&problem));
            let at = key.position.clone();
            self.engine_input(now, key.run, engine::Input::CallEnded { at, result });
        }
        self.wake_waiters(now, live.group.as_ref());
    }

    /// The doubt is passed, by the definition or by a person; the engine gets the error `in-doubt`,
    /// or goes on if a person said so.
    pub(crate) fn assume(&mut self, now: Now, key: &Key, by: AssumedBy) {
        let output = self.runs.get(&key.run).map(|run| run.passed(&key.position)).unwrap_or_default();
        self.assume_as(now, key, by, output);
    }

    /// The same; where a person said so, the engine goes on with this output.
    pub(crate) fn assume_as(&mut self, now: Now, key: &Key, by: AssumedBy, output: Value) {
        let Some(live) = self.lives.remove(key) else { return };
        let person = matches!(by, AssumedBy::Person(_));
        self.append_run(now, key.run, RunEntry::Assumed { step: key.position.clone(), by });
        self.list_doubt(now, key, &live);
        self.owe_unpush(now, key, &live, None);
        self.release_back_out(now, key.run);
        let at = key.position.clone();
        let result = if person {
            Ok(output)
        } else {
            let detail = live.problem.as_ref().map_or("no answer".to_owned(), ToString::to_string);
            self.owe(now, key, &live, &format!("in doubt: {detail}"));
            Err(crate::fault::in_doubt(&detail))
        };
        self.engine_input(now, key.run, engine::Input::CallEnded { at, result });
        self.wake_waiters(now, live.group.as_ref());
    }

    /// A call that the engine no longer wants: given up if nothing was sent, else settled first.
    pub(crate) fn cancel_call(&mut self, now: Now, run: schemas::RunId, at: &Position) {
        let key = Key { run, position: at.clone() };
        self.recall(now, &key);
        let Some(live) = self.lives.get_mut(&key) else {
            return self.engine_input(
                now,
                run,
                engine::Input::CallEnded { at: at.clone(), result: Err(crate::fault::cancelled()) },
            );
        };
        live.cancel(now);
        if !live.intended() {
            self.lives.remove(&key);
            self.end_loss_asked(|asked| *asked == key);
            let result = Err(crate::fault::cancelled());
            self.engine_input(now, run, engine::Input::CallEnded { at: at.clone(), result });
        } else if !matches!(live.stage, Stage::Asking) {
            self.doubt(now, &key, "no longer wanted");
            self.ask_outcome(now, &key);
        }
    }

    /// After a restart: a call that was being ended, and is open, is under way as before; else it would be passed by as
    /// if nothing had been sent, and what it did would not be undone.
    fn recall(&mut self, now: Now, key: &Key) {
        let Some(run) = self.runs.get(&key.run).filter(|_| !self.lives.contains_key(key)) else { return };
        let Some(record) = run.calls.get(&key.position).filter(|record| record.open()) else { return };
        let Some(step) = run.steps.iter().rfind(|step| step.position == key.position) else { return };
        let group = run.started.group.clone();
        let owned = |id: &schemas::GroupId| {
            self.groups.get(id).is_some_and(|g| g.plan.resources.contains(&record.address))
        };
        let overtaken = group.as_ref().is_some_and(|id| self.may_be_overtaken(id, &record.address));
        let live = Live {
            owner: Owner::Step,
            group: group.filter(owned),
            address: record.address.clone(),
            action: Some(record.action),
            args: step.call.args.clone(),
            in_doubt: step.call.in_doubt,
            attempt: record.attempt,
            stage: Stage::AskAgain { at: now.boot },
            deadline: now.boot + bound(step.call.timeout),
            undelivered: false,
            overtaken,
            cancelled: false,
            own_bound: None,
            problem: None,
            waits_for: None,
            asked: None,
            told_in_doubt: false,
            look_due: None,
        };
        if let Some(g) = live.group.as_ref().and_then(|id| self.groups.get_mut(id)) {
            g.occupied.insert(live.address.clone(), key.clone());
        }
        self.lives.insert(key.clone(), live);
    }

    /// After a restart: what the entries leave open is settled before anything else is done with it.
    pub(crate) fn revive(&mut self, now: Now, key: &Key, state: Option<(CallState, Attempt)>) {
        let overtaken = self.lives.get(key).is_some_and(|live| {
            live.group.as_ref().is_some_and(|id| self.may_be_overtaken(id, &live.address))
        });
        if let Some((CallState::Open, attempt)) = state
            && let Some(live) = self.lives.get_mut(key)
        {
            live.attempt = attempt;
            live.undelivered = false;
            let (group, address) = (live.group.clone(), live.address.clone());
            live.overtaken = overtaken;
            if let Some(g) = group.and_then(|g| self.groups.get_mut(&g)) {
                g.occupied.insert(address, key.clone());
            }
            self.doubt(now, key, "the runner was restarted");
            self.ask_outcome(now, key);
        }
    }
}
