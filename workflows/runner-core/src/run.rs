//! One run in memory: the fold of its entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use engine::{Change, Definition, Machine, Purpose, Want};
use schemas::view::RunState;
use schemas::{Effect, GroupId, Position, Problem, RunId, SiteId};
use serde_json::{Value, json};
use thiserror::Error;

use crate::call::{CallRecord, CallState};
use crate::entry::{RunEntry, Started};

/// How the words end by which a run is held for a call in doubt.
pub(crate) const IN_DOUBT: &str = " is in doubt";

/// An entry does not fit the run: the journal is damaged, or of another program.
#[derive(Debug, Error)]
pub enum BadRun {
    /// The engine refuses its entry.
    #[error("run {run}: {source}")]
    Engine {
        /// Which run.
        run: RunId,
        /// What is wrong.
        source: engine::BadEntry,
    },
    /// An entry about a call that was never intended.
    #[error("run {run}: an entry about {step}, which was never intended")]
    NoIntent {
        /// Which run.
        run: RunId,
        /// Which call.
        step: Position,
    },
}

/// One call of the definition, in the order in which the calls were first wanted.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) position: Position,
    pub(crate) call: engine::Call,
    /// Since when it is wanted.
    pub(crate) since: DateTime<Utc>,
    /// How the engine took its end, where it failed or was passed over.
    pub(crate) error: Option<engine::Error>,
    pub(crate) by_hand: Option<&'static str>,
    /// When the engine went past it.
    pub(crate) left: Option<DateTime<Utc>>,
    /// What the runner itself answered; a service's answer is in its call.
    pub(crate) output: Value,
}

/// A run and what its entries say.
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) started: Started,
    pub(crate) definition: Arc<Definition>,
    pub(crate) machine: Machine,
    pub(crate) seq: u64,
    pub(crate) began: DateTime<Utc>,
    pub(crate) last: DateTime<Utc>,
    pub(crate) held: Option<String>,
    pub(crate) paused: bool,
    pub(crate) cancelling: bool,
    pub(crate) ended: Option<(RunState, Option<Problem>, DateTime<Utc>)>,
    pub(crate) calls: BTreeMap<Position, CallRecord>,
    pub(crate) steps: Vec<Step>,
}

impl Run {
    /// A run after its first entry.
    pub(crate) fn new(id: RunId, at: DateTime<Utc>, started: Started, definition: Arc<Definition>) -> Run {
        Run {
            id,
            started,
            machine: Machine::new(Arc::clone(&definition)),
            definition,
            seq: 1,
            began: at,
            last: at,
            held: None,
            paused: false,
            cancelling: false,
            ended: None,
            calls: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    /// Applies one entry after the first; says what the engine wants differently since, evaluations apart:
    /// those are asked for when all entries of a decision are applied ([`Run::evaluations`]).
    pub(crate) fn apply(
        &mut self,
        seq: u64,
        at: DateTime<Utc>,
        entry: &RunEntry,
    ) -> Result<Vec<Change>, BadRun> {
        self.seq = seq;
        self.last = at;
        match entry {
            RunEntry::Started(_) => {}
            RunEntry::Engine { entry } => {
                self.machine.apply(entry).map_err(|source| BadRun::Engine { run: self.id, source })?;
                self.note(entry, at);
                let changes = self.machine.take_other_changes();
                for change in &changes {
                    if let Change::Wanted(Want::Call { at: position, call }) = change {
                        self.steps.push(Step {
                            position: position.clone(),
                            call: call.clone(),
                            since: at,
                            error: None,
                            by_hand: None,
                            left: None,
                            output: Value::Null,
                        });
                    }
                }
                return Ok(changes);
            }
            RunEntry::Intended(intent) => {
                self.calls.insert(intent.step.clone(), CallRecord::intended(at, intent));
            }
            RunEntry::Sent { step, attempt } => self.call(step)?.attempt = *attempt,
            RunEntry::Doubted { step, .. } => self.call(step)?.doubted = true,
            RunEntry::Settled { step, settlement } => {
                let call = self.call(step)?;
                call.state = CallState::Settled { settlement: settlement.clone() };
                call.ended = Some(at);
            }
            RunEntry::Assumed { step, by } => {
                let call = self.call(step)?;
                call.state = CallState::Assumed { by: by.clone() };
                call.doubted = true;
                call.ended = Some(at);
            }
            RunEntry::Held { why } => self.held = Some(why.clone()),
            RunEntry::Released { .. } => {
                self.held = None;
                self.paused = false;
            }
            RunEntry::Paused { .. } => self.paused = true,
            RunEntry::Resolved { step, how, .. } => {
                let word = match how.as_str() {
                    "skip" => Some("skip"),
                    "done" => Some("done"),
                    crate::push::PUSH => Some(crate::push::PUSH),
                    _ => None,
                };
                if let Some(found) = self.steps.iter_mut().rev().find(|s| s.position == *step) {
                    found.by_hand = word;
                }
            }
            RunEntry::Cancelling { .. } => self.cancelling = true,
            RunEntry::Ended { state, problem } => self.ended = Some((*state, problem.clone(), at)),
        }
        Ok(Vec::new())
    }

    /// What is to be evaluated since the last call.
    pub(crate) fn evaluations(&mut self) -> Vec<Change> {
        self.machine.take_changes()
    }

    fn call(&mut self, step: &Position) -> Result<&mut CallRecord, BadRun> {
        let run = self.id;
        self.calls.get_mut(step).ok_or_else(|| BadRun::NoIntent { run, step: step.clone() })
    }

    fn note(&mut self, entry: &engine::Entry, when: DateTime<Utc>) {
        let (at, error, output) = match entry {
            engine::Entry::Failed { at, error, .. } => (at, Some(error.clone()), None),
            engine::Entry::Left { at, output, .. } | engine::Entry::Ended { at, output, .. } => {
                (at, None, Some(output))
            }
            engine::Entry::Undone { at, .. } | engine::Entry::Settled { at, .. } => (at, None, None),
            _ => return,
        };
        let asked = self.calls.contains_key(at);
        if let Some(step) = self.steps.iter_mut().rev().find(|s| s.position == *at) {
            step.left = Some(when);
            step.error = error;
            // Where both entries come, the first one has it as it was given.
            if let Some(output) = output.filter(|_| !asked && step.output.is_null()) {
                step.output = output.clone();
            }
        }
    }

    /// Whether the point of no return was passed: the target may be open by this run.
    pub(crate) fn no_return(&self) -> bool {
        self.started.to.as_ref().is_some_and(|to| self.may_have_opened(to))
    }

    /// Whether a site may be open by this run: an opening there was intended and is not settled as not done, or a
    /// person says that it is done.
    pub(crate) fn may_have_opened(&self, site: &SiteId) -> bool {
        let opens = |call: &CallRecord| {
            call.action.effect() == Effect::Opens && call.address.site == *site && call.may_be_in_effect()
        };
        self.calls.values().any(opens) || self.opened_by_hand(site).next().is_some()
    }

    /// The openings at a site that a person calls done.
    pub(crate) fn opened_by_hand(&self, site: &SiteId) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| {
            let opens = step.by_hand == Some("done") && step.call.effect == Effect::Opens;
            opens && step.call.args.get("site").and_then(Value::as_str) == Some(site.as_str())
        })
    }

    /// A step as persons name it: by its number, or by its position where it has none.
    pub(crate) fn step_name(&self, at: &Position) -> String {
        let number = self.steps.iter().rposition(|step| step.position == *at).map(|i| i + 1);
        number.map_or(at.to_string(), |number| number.to_string())
    }

    /// Whether a step proves, in a planned move, that nothing is left behind: whoever went on without it would lose that,
    /// with no loss gate before the opening. The close is one: what is written while it drains never comes.
    pub(crate) fn proves_drained(&self, at: &Position) -> bool {
        let moves = matches!(self.definition.info().purpose, Purpose::Move | Purpose::Return);
        let proves = self.replicates(at, &["drain", "stop"]) || self.closes_what_is_left(at);
        moves && self.started.lost.is_empty() && proves
    }

    fn closes_what_is_left(&self, at: &Position) -> bool {
        let step = self.steps.iter().rfind(|step| step.position == *at);
        step.is_some_and(|step| {
            let site = step.call.args.get("site").and_then(Value::as_str);
            let closes = step.call.service == "database" && step.call.action == "disable-access";
            closes && site == self.started.from.as_ref().map(SiteId::as_str)
        })
    }

    /// Whether a step is one by which an unplanned move drains: whoever goes past it leaves behind what did not come, and the
    /// loss gate decides before the opening.
    pub(crate) fn leaves_behind(&self, at: &Position) -> bool {
        !self.started.lost.is_empty() && self.replicates(at, &["mark", "drain", "stop"])
    }

    fn replicates(&self, at: &Position, actions: &[&str]) -> bool {
        let step = self.steps.iter().rfind(|step| step.position == *at);
        step.is_some_and(|step| {
            step.call.service == "replication" && actions.contains(&step.call.action.as_str())
        })
    }

    /// What a step that a person went past gives: whoever asks a definition to drain tells by it that nobody did.
    pub(crate) fn passed(&self, at: &Position) -> Value {
        let step = self.steps.iter().rfind(|step| step.position == *at);
        let skipped = step.is_some_and(|step| step.by_hand == Some("skip"));
        if skipped && self.leaves_behind(at) { json!({ "skipped": true }) } else { Value::Null }
    }

    /// How a step failed that nothing caught, and what a person can do.
    pub(crate) fn failed(&self, at: &Position, error: &engine::Error) -> String {
        let (short, step) = (self.id.short(4), self.step_name(at));
        let detail = error.detail.as_deref().or(error.title.as_deref()).unwrap_or(&error.kind);
        if let Some(unwritten) = self.unwritten(at) {
            return format!("step {step} failed: {detail}; {unwritten}");
        }
        if self.proves_drained(at) {
            return format!("step {step} failed: {detail}; {}", self.undrained(at));
        }
        let hint = self.hint(at, &short);
        // What goes back already is ended, if at all, as it is.
        let leave = if at.as_str().contains("!undo") { " --leave" } else { "" };
        format!(
            "step {step} failed: {detail}.{hint} pointsman retry|skip|done {short} {step} --why …, or cancel {short}{leave} \
             --why …"
        )
    }

    /// The way round a step that failed, where it has one of its own.
    fn hint(&self, at: &Position, short: &str) -> String {
        let failed = self.steps.iter().rfind(|step| step.position == *at);
        match (failed.map(|step| step.call.action.as_str()), &self.started.group) {
            // The fallback of an authority that is gone; clients are pushed nothing else before it is verified.
            _ if self.points(at) && self.can_push() => format!(
                " Until its server is back, have the hosts files of the clients lead there: pointsman push {short} --why …, where \
                 their hosts' files have `push`; else write them by hand, then `done`;"
            ),
            _ if self.points(at) => {
                " Until its server is back, write the new address into the hosts files of the clients, then `done`;".to_owned()
            }
            // Past it there is no ledger to copy with.
            (Some("export"), Some(group)) => format!(
                " To give up what only that site has, by your name: pointsman reprotect {group} --by copy --waive-ledger \
                 --supersede {short} --why …; else"
            ),
            _ if self.leaves_behind(at) => {
                " `skip` goes on with what came, and the loss gate decides before the opening;".to_owned()
            }
            _ => String::new(),
        }
    }

    /// What a person can do where such a step failed.
    pub(crate) fn undrained(&self, at: &Position) -> String {
        let (short, step) = (self.id.short(4), self.step_name(at));
        let group = self.started.group.as_ref().map_or("GROUP", GroupId::as_str);
        format!(
            "a planned move loses nothing, so it is not skipped: pointsman retry {short} {step} --why …, or cancel {short} --why …; \
             to go on with what came, pointsman failover {group} --supersede {short} --why …"
        )
    }

    /// What a person is told where the last of a back-out failed: everything is given back, and no write was seen to arrive.
    pub(crate) fn unwritten(&self, at: &Position) -> Option<String> {
        let step = self.steps.iter().rfind(|step| step.position == *at)?;
        let verifies = step.call.undoes.is_some() && step.call.action == "verify-write";
        let site = step.call.args.get("site").filter(|_| verifies)?.as_str()?;
        let (short, number) = (self.id.short(4), self.step_name(at));
        Some(format!(
            "the back-out has given {site} back, and no write was seen to arrive there: its users may be unable to write. Mend \
             that, then pointsman retry {short} {number} --why …; where they are seen to write, pointsman done {short} {number} \
             --unverified --why …"
        ))
    }

    /// Whether it is a back-out that is held for nothing but a call in doubt. While it is held the first site stays closed.
    pub(crate) fn backs_out_in_doubt(&self) -> bool {
        let doubt = self.held.as_deref().is_some_and(|why| why.ends_with(IN_DOUBT));
        doubt && !self.paused && self.ended.is_none() && self.machine.is_backing_out()
    }

    /// Whether the decision calls this site lost.
    pub(crate) fn lost(&self, site: &schemas::SiteId) -> bool {
        self.started.lost.contains(site)
    }

    /// Whether steps may begin.
    pub(crate) fn goes_on(&self) -> bool {
        self.ended.is_none() && self.held.is_none() && !self.paused
    }
}
