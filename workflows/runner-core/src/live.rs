//! A call under way: claimed, in turn, past the gate, sent, settled. Laws 4, 5 and 6 as one machine.
//!
//! The stages before the intent leave no trace and may be given up at any time. After the intent only a
//! settlement, or somebody who takes the doubt upon himself, ends it.

use std::time::Duration;

use engine::InDoubt;
use schemas::{Action, Address, Attempt, Code, Digest, Effect, Frame, Key, OutcomeRequest, Problem, Verb};
use serde_json::Value;

use crate::core::{Asked, Core, Timer};
use crate::entry::{GroupEntry, Intent, RunEntry};
use crate::in_memory::Claim;
use crate::rules::{Rule, Rules};
use crate::seam::Now;

/// A call without a bound of its own.
pub(crate) const DEFAULT_BOUND: Duration = Duration::from_secs(60);
/// How long a reply is awaited before the outcome is asked for.
const REPLY_PATIENCE: Duration = Duration::from_secs(2);
/// The longest poll for an outcome.
const POLL: Duration = Duration::from_secs(2);
/// Between two questions that nobody hears, and between the first two attempts.
pub(crate) const AGAIN: Duration = Duration::from_millis(200);
/// Between two attempts at most.
const AGAIN_MOST: Duration = Duration::from_secs(2);

/// How long after this attempt the next one is made: twice as long as before it, up to 2 s, since each one is an
/// entry of the journal.
pub(crate) fn next_attempt_after(attempt: Attempt) -> Duration {
    let doublings = attempt.0.saturating_sub(1).min(8);
    AGAIN_MOST.min(AGAIN * (1 << doublings))
}
/// How long a doubt is looked into after the call's bound, unless the definition passes it.
pub(crate) const SETTLE_GRACE: Duration = Duration::from_secs(3);

/// For whom a call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A step of the key's run.
    Step,
    /// A debt of the group.
    Debt(u64),
    /// A doubt of the current epoch, asked again because its service answers.
    Doubt,
}

/// Where a call stands, in this life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits for the resource's claim.
    Claiming,
    /// Waits until the resource is free.
    InTurn,
    /// Waits until no other site counts as open.
    AtGate,
    /// A group function that only looks: until a site is closed.
    AwaitClosed(schemas::SiteId),
    /// The other one: until this share of the clients, in per cent, follows the names.
    AwaitFollowed(u64),
    /// The request is out.
    Sent { since: Duration },
    /// The next attempt is due then.
    Resend { at: Duration },
    /// The outcome is being asked for.
    Asking,
    /// The outcome is asked for again then.
    AskAgain { at: Duration },
    /// In doubt beyond its bound; a person was asked. Still looked into.
    Doubtful { at: Duration },
}

/// A call under way.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) owner: Owner,
    pub(crate) group: Option<schemas::GroupId>,
    pub(crate) address: Address,
    pub(crate) action: Option<Action>,
    pub(crate) args: Value,
    pub(crate) in_doubt: InDoubt,
    pub(crate) attempt: Attempt,
    pub(crate) stage: Stage,
    /// The bound of trying; settling goes on a little longer.
    pub(crate) deadline: Duration,
    /// Every attempt so far had no responders.
    pub(crate) undelivered: bool,
    /// An opening of the same database was intended after it: that it closed it, once, says nothing of now.
    pub(crate) overtaken: bool,
    /// Nobody wants it any longer: no further attempt.
    pub(crate) cancelled: bool,
    /// Of one that nobody wants any longer: its bound before that. Until then it is waited for while its service says that it
    /// is under way.
    pub(crate) own_bound: Option<Duration>,
    /// The latest reason why it is not done.
    pub(crate) problem: Option<Problem>,
    /// What it waits for, for people.
    pub(crate) waits_for: Option<String>,
    /// Since when only a person's word is missing.
    pub(crate) asked: Option<Duration>,
    /// A person was asked what became of it, past its bound.
    pub(crate) told_in_doubt: bool,
    /// A wait that looks by itself: when next.
    pub(crate) look_due: Option<Duration>,
}

impl Live {
    pub(crate) fn effect(&self) -> Effect {
        self.action.map_or(Effect::Observes, Action::effect)
    }

    /// Whether an intent is on disk.
    pub(crate) fn intended(&self) -> bool {
        matches!(
            self.stage,
            Stage::Sent { .. }
                | Stage::Resend { .. }
                | Stage::Asking
                | Stage::AskAgain { .. }
                | Stage::Doubtful { .. }
        )
    }

    /// Whether a person was asked about it, also while its service is asked once more.
    pub(crate) fn is_doubtful(&self) -> bool {
        matches!(self.stage, Stage::Doubtful { .. }) || (self.stage == Stage::Asking && self.told_in_doubt)
    }

    /// Nobody wants it any longer: it is settled soon, unless it is seen to be under way.
    pub(crate) fn cancel(&mut self, now: Now) {
        self.cancelled = true;
        self.own_bound = self.own_bound.or(Some(self.deadline));
        self.deadline = self.deadline.min(now.boot + SETTLE_GRACE);
    }

    /// Its service says that it is under way: a person could do nothing but wait too, up to its own bound.
    pub(crate) fn under_way(&mut self, now: Now) {
        self.wait("the act, which is in progress");
        if let Some(own) = self.own_bound {
            self.deadline = self.deadline.max(own.min(now.boot + SETTLE_GRACE));
        }
    }

    pub(crate) fn wait(&mut self, why: impl Into<String>) {
        self.waits_for = Some(why.into());
    }
}

/// The key as services know it: all of it. Without the rule of visits it names the task only.
pub(crate) fn on_wire(rules: Rules, key: &Key) -> Key {
    if rules.keep(Rule::Visits) {
        return key.clone();
    }
    let task = key.position.as_str().split('#').next().unwrap_or_default();
    Key { run: key.run, position: schemas::Position::new(task).unwrap_or_else(|_| key.position.clone()) }
}

/// The bound of a call that has none of its own.
pub(crate) fn bound(timeout: Option<Duration>) -> Duration {
    timeout.unwrap_or(DEFAULT_BOUND)
}

impl Core {
    /// Moves a call on as far as it goes now.
    pub(crate) fn advance(&mut self, now: Now, key: &Key) {
        while let Some(live) = self.lives.get(key) {
            let before = live.stage.clone();
            match before.clone() {
                Stage::Claiming => self.at_claim(now, key),
                Stage::InTurn => self.at_turn(now, key),
                Stage::AtGate => self.at_gate(now, key),
                Stage::AwaitClosed(site) => self.at_await_closed(now, key, &site),
                Stage::AwaitFollowed(share) => self.at_await_followed(now, key, share),
                Stage::Sent { since } => {
                    if now.boot >= since + REPLY_PATIENCE.min(self.patience(key)) {
                        self.doubt(now, key, "no answer yet");
                        self.ask_outcome(now, key);
                    }
                }
                Stage::Resend { at } if now.boot >= at => self.resend(now, key),
                Stage::AskAgain { at } | Stage::Doubtful { at } if now.boot >= at => {
                    self.ask_outcome(now, key)
                }
                Stage::Resend { .. } | Stage::AskAgain { .. } | Stage::Doubtful { .. } | Stage::Asking => {}
            }
            match self.lives.get(key) {
                Some(live) if live.stage != before => {}
                _ => break,
            }
        }
    }

    fn patience(&self, key: &Key) -> Duration {
        match self.lives.get(key).map(|live| live.in_doubt) {
            // What is passed at its bound must have been asked for before.
            Some(InDoubt::Pass) => Duration::from_secs(1),
            _ => REPLY_PATIENCE,
        }
    }

    fn may_begin(&self, key: &Key) -> bool {
        match self.lives.get(key).map(|l| l.owner.clone()) {
            Some(Owner::Step) => self.runs.get(&key.run).is_some_and(|run| run.goes_on()),
            Some(_) => true,
            None => false,
        }
    }

    pub(crate) fn stage(&mut self, key: &Key, stage: Stage) {
        if let Some(live) = self.lives.get_mut(key) {
            live.stage = stage;
        }
    }

    fn at_claim(&mut self, now: Now, key: &Key) {
        if !self.may_begin(key) {
            return;
        }
        let Some(live) = self.lives.get_mut(key) else { return };
        let (address, deadline) = (live.address.clone(), live.deadline);
        let Some(group) = live.group.clone() else {
            live.stage = Stage::InTurn;
            return;
        };
        let claim = self.groups.get(&group).and_then(|g| g.claims.get(&address)).copied();
        let lost = self.runs.get(&key.run).is_some_and(|run| run.lost(&address.site));
        match claim {
            Some(Claim::Granted) => return self.stage(key, Stage::InTurn),
            Some(Claim::Unanswered { undelivered: true, .. }) if lost => {
                return self.give_up(now, key, Code::Unreachable, "no service listens at the lost site");
            }
            _ => {}
        }
        if now.boot >= deadline {
            return self.give_up(now, key, Code::Unreachable, "its service did not answer the claim");
        }
        if let Some(live) = self.lives.get_mut(key) {
            live.wait(format!("{address} to acknowledge the claim"));
        }
        self.timer(deadline, Timer::Live(key.clone()));
        self.ask_claim(now, &group, &address);
    }

    fn at_turn(&mut self, now: Now, key: &Key) {
        if !self.may_begin(key) {
            return;
        }
        let Some(live) = self.lives.get(key) else { return };
        let (address, deadline, effect) = (live.address.clone(), live.deadline, live.effect());
        if let Some(occupant) = self.occupant(key).cloned() {
            let waits = match self.lives.get(&occupant).map(|live| &live.stage) {
                Some(Stage::Doubtful { .. }) => {
                    format!("{occupant} on {address} to be settled; supersede to go past it")
                }
                Some(_) => format!("{occupant} on {address} to be settled"),
                None => format!(
                    "{occupant} on {address}, which was passed without knowing; supersede to go past it"
                ),
            };
            if now.boot >= deadline {
                return self.give_up(now, key, Code::Busy, &format!("waited for {waits}"));
            }
            if let Some(live) = self.lives.get_mut(key) {
                live.wait(waits);
            }
            return self.timer(deadline, Timer::Live(key.clone()));
        }
        match effect {
            Effect::Opens => self.stage(key, Stage::AtGate),
            _ => self.intend(now, key),
        }
    }

    /// The other key that is open on its resource: it is settled first.
    pub(crate) fn occupant(&self, key: &Key) -> Option<&Key> {
        let live = self.lives.get(key)?;
        let occupant = self.groups.get(live.group.as_ref()?)?.occupied.get(&live.address);
        occupant.filter(|occupant| *occupant != key && self.rules.keep(Rule::OneOpenKey))
    }

    /// Writes the intent; the first request follows it.
    pub(crate) fn intend(&mut self, now: Now, key: &Key) {
        let Some(live) = self.lives.get_mut(key) else { return };
        let Some(action) = live.action else { return };
        live.waits_for = None;
        live.attempt = Attempt::FIRST;
        let (owner, address, group) = (live.owner.clone(), live.address.clone(), live.group.clone());
        let digest = Digest::of_request(&address, action, &live.args);
        let intent = Intent { step: key.position.clone(), address: address.clone(), action, digest };
        if let Some(g) = group.as_ref().and_then(|id| self.groups.get_mut(id)) {
            g.occupied.insert(address.clone(), key.clone());
        }
        self.end_debts_against(now, key);
        if let Some(id) = &group
            && action.effect() == Effect::Opens
        {
            let epoch = self.epoch_of(key);
            self.flush(key.run);
            let accepted = self.groups.get(id).map(|g| g.record.accepted.clone());
            let closed_by = self.closed_by(now, id, &address);
            let entry = GroupEntry::Opening { address: address.clone(), key: key.clone(), epoch, closed_by };
            self.append_group(now, id, &entry);
            if let Some(g) = self.groups.get_mut(id) {
                g.proofs.remove(&address);
                if let Some(accepted) = accepted.filter(|_| !self.rules.keep(Rule::AcceptanceOneEpoch)) {
                    g.record.accepted = accepted;
                }
            }
        }
        match (&owner, &group) {
            (Owner::Debt(debt), Some(id)) => {
                let entry = GroupEntry::DebtIntended { debt: *debt, run: key.run, intent };
                self.append_group(now, id, &entry);
            }
            _ => self.append_run(now, key.run, RunEntry::Intended(intent)),
        }
        self.send(now, key);
    }

    fn epoch_of(&self, key: &Key) -> schemas::Epoch {
        match self.runs.get(&key.run) {
            Some(run) => run.started.epoch,
            None => self
                .lives
                .get(key)
                .and_then(|l| l.group.as_ref())
                .and_then(|g| self.groups.get(g))
                .map_or(schemas::Epoch(0), |g| g.record.epoch),
        }
    }

    /// How long the act itself may take, sent now.
    fn act_within(&self, now: Now, key: &Key) -> Duration {
        let Some(live) = self.lives.get(key) else { return DEFAULT_BOUND };
        let left = live.deadline.saturating_sub(now.boot).max(Duration::from_secs(1));
        match live.effect() {
            // What an acceptance waits for is 2 s and this bound.
            Effect::Opens => left.min(crate::gate::OPEN_WITHIN),
            _ => left,
        }
    }

    fn send(&mut self, now: Now, key: &Key) {
        let within = self.act_within(now, key);
        let epoch = self.epoch_of(key);
        let Some(live) = self.lives.get_mut(key) else { return };
        let Some(action) = live.action else { return };
        live.stage = Stage::Sent { since: now.boot };
        let frame = Frame {
            id: self.ids.message(),
            source: self.source.clone(),
            group: match &live.group {
                Some(group) => group.clone(),
                None => match self.runs.get(&key.run).and_then(|r| r.started.group.clone()) {
                    Some(group) => group,
                    None => return,
                },
            },
            key: on_wire(self.rules, key),
            attempt: live.attempt,
            epoch,
            act_within: within,
            expires: now.wall + within + schemas::CLOCK_ALLOWANCE,
            traceparent: None,
        };
        let subject = self.prefix.request(&live.address, Verb::Act(action));
        let body = live.args.to_string().into_bytes();
        self.timer(now.boot + REPLY_PATIENCE.min(self.patience(key)), Timer::Live(key.clone()));
        self.ask(
            Asked::Act(key.clone()),
            subject,
            frame.to_headers(action),
            body,
            within + Duration::from_secs(5),
        );
    }

    fn resend(&mut self, now: Now, key: &Key) {
        // An earlier attempt that nothing was heard of may still arrive, whatever becomes of this one.
        let unheard = self.asked.values().any(|asked| matches!(asked, Asked::Act(of) if of == key));
        let Some(live) = self.lives.get_mut(key) else { return };
        live.undelivered &= !unheard;
        live.attempt = live.attempt.next();
        let attempt = live.attempt;
        match (&live.owner, &live.group) {
            (Owner::Debt(debt), Some(group)) => {
                let (debt, group) = (*debt, group.clone());
                self.append_group(now, &group, &GroupEntry::DebtSent { debt, attempt });
            }
            _ => self.append_run(now, key.run, RunEntry::Sent { step: key.position.clone(), attempt }),
        }
        self.send(now, key);
    }

    /// Records that the step is in doubt, once.
    pub(crate) fn doubt(&mut self, now: Now, key: &Key, why: &str) {
        let doubted = self
            .runs
            .get(&key.run)
            .and_then(|run| run.calls.get(&key.position))
            .is_none_or(|call| call.doubted || !call.open());
        if !doubted {
            let step = key.position.clone();
            self.append_run(now, key.run, RunEntry::Doubted { step, why: why.into() });
        }
    }

    pub(crate) fn ask_outcome(&mut self, now: Now, key: &Key) {
        let epoch = self.epoch_of(key);
        let Some(live) = self.lives.get_mut(key) else { return };
        let Some(group) = live.group.clone().or_else(|| self.runs.get(&key.run)?.started.group.clone())
        else {
            return;
        };
        let past = now.boot >= live.deadline;
        let wait = match live.stage {
            Stage::Doubtful { .. } => Duration::ZERO,
            _ if past => AGAIN,
            _ => POLL.min(live.deadline - now.boot),
        };
        live.stage = Stage::Asking;
        let left = chrono::Duration::from_std(live.deadline.saturating_sub(now.boot)).unwrap_or_default();
        let asked = (now.wall + left).format("%H:%M:%SZ");
        live.waits_for.get_or_insert_with(|| {
            format!("an answer to what became of it; without one a person is asked after {asked}")
        });
        let subject = self.prefix.request(&live.address, Verb::Outcome);
        let wired = on_wire(self.rules, key);
        let request = OutcomeRequest { group, key: wired, attempt: live.attempt, epoch, wait };
        let body = serde_json::to_vec(&request).unwrap_or_default();
        self.ask(Asked::Outcome(key.clone()), subject, Vec::new(), body, wait + Duration::from_secs(1));
    }
}
