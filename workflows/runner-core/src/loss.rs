//! How much an unplanned opening loses, and the gate that stands before it: what was written at the site that is
//! left after the last heartbeat that the other site applied, until anything there was last seen alive. Unknown is unknown.

use std::time::Duration;

use chrono::{DateTime, Utc};
use engine::Purpose;
use schemas::duration::Iso;
use schemas::op::Fact;
use schemas::view::LossView;
use schemas::{Address, GroupId, Key, LossBound, Observation, ResourceId, RunId, Seen, Service, SiteId};

use crate::core::Core;
use crate::entry::GroupEntry;
use crate::gate::OPEN_WITHIN;
use crate::group::{LossAccepted, OpenState};
use crate::in_memory::{Group, LossAsked};
use crate::live::Owner;
use crate::rules::Rule;
use crate::run::Run;
use crate::seam::Now;
use crate::start::{Checked, Start};

/// A receiver that does not answer for so long is judged by what it said before.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// What is known of the loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// None: it cannot be told.
    pub(crate) estimate: Option<Iso>,
    alive: Option<DateTime<Utc>>,
    heartbeat: Option<DateTime<Utc>>,
    /// A drain of this run proved that everything came.
    drained: bool,
    /// Tables are missing at the receiver, or rows of them: a heartbeat says nothing of that.
    unfinished: bool,
    /// From what it is told.
    pub(crate) text: String,
}

impl Estimate {
    fn unknown(text: String) -> Estimate {
        Estimate { estimate: None, alive: None, heartbeat: None, drained: false, unfinished: false, text }
    }

    /// The greater, the worse.
    fn weight(&self) -> (bool, bool, Option<Iso>) {
        (self.unfinished, self.estimate.is_none(), self.estimate)
    }
}

/// A time in a message, as an estimate: to the millisecond, never negative.
fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Iso {
    Iso(Duration::from_millis((to - from).num_milliseconds().max(0).unsigned_abs()))
}

/// Back to where it was live all the time: nothing was written elsewhere.
fn stays(g: &Group, from: &SiteId, to: &SiteId) -> bool {
    let mut opening =
        g.record.databases.iter().filter(|(_, state)| matches!(state, OpenState::Opening { .. }));
    g.record.live.as_ref() == Some(to) && !opening.any(|(address, _)| address.site == *from)
}

fn replication(site: &SiteId, resource: &ResourceId) -> Address {
    Address { site: site.clone(), service: Service::Replication, resource: resource.clone() }
}

impl Core {
    /// What moving from one site to the other without the first would lose now; of several replications, the worst.
    pub(crate) fn estimate(
        &self,
        now: Now,
        group: &GroupId,
        from: &SiteId,
        to: &SiteId,
        run: Option<RunId>,
    ) -> Estimate {
        let worst = self.estimates(now, group, from, to, run).into_iter().max_by_key(Estimate::weight);
        worst.unwrap_or_else(|| Estimate::unknown(format!("no replication from {from} to {to} is known")))
    }

    /// The same of each replication.
    fn estimates(
        &self,
        now: Now,
        group: &GroupId,
        from: &SiteId,
        to: &SiteId,
        run: Option<RunId>,
    ) -> Vec<Estimate> {
        let run = run.and_then(|run| self.runs.get(&run));
        let all = self.replications(now, group, from, to);
        all.iter().map(|(resource, _)| self.estimate_one(group, from, to, resource, run)).collect()
    }

    /// The same of one replication.
    pub(crate) fn estimate_one(
        &self,
        group: &GroupId,
        from: &SiteId,
        to: &SiteId,
        resource: &ResourceId,
        run: Option<&Run>,
    ) -> Estimate {
        let (source, receiver) = (replication(from, resource), replication(to, resource));
        let unlike = || self.groups.get(group).and_then(|g| self.unlike(g, &receiver));
        if let Some(text) = self.unfinished_copy(&receiver).or_else(unlike) {
            return Estimate { unfinished: true, ..Estimate::unknown(text) };
        }
        let record = self.groups.get(group).map(|g| &g.record);
        let drained = |run: &Run| record.is_some_and(|record| run.proved_drained(record, from, to, resource));
        if run.is_some_and(drained) {
            let text = format!("{resource}: drained");
            return Estimate {
                estimate: Some(Iso(Duration::ZERO)),
                drained: true,
                ..Estimate::unknown(text)
            };
        }
        let seen = self.observed.get(&receiver).map(|(_, seen)| &seen.seen);
        let Some(Seen::Replication(seen)) = seen else {
            return Estimate::unknown(format!("{resource}: its half at {to} does not say what it applied"));
        };
        let Some(heartbeat) = seen.heartbeat else {
            return Estimate::unknown(format!("{resource}: {to} has no heartbeat of {from}"));
        };
        let g = self.groups.get(group);
        // What an earlier life of this runner saw counts for a run that began in it; else nobody can say that
        // the site did not come back meanwhile.
        let recorded = || {
            let of_run = run.filter(|run| run.started.lost.contains(from))?;
            let record = &g?.record;
            record.last_seen.get(&source).filter(|_| record.holder == Some(of_run.id)).copied()
        };
        let (alive, since) = match g.and_then(|g| self.last_alive(g, &source)).or_else(recorded) {
            Some(alive) => {
                let outlived = g.and_then(|g| self.outlived(g, &source));
                let outlived = outlived.map(|why| format!(" ({why})")).unwrap_or_default();
                (alive, format!("the last contact with {from}{outlived}"))
            }
            None => (self.began_wall, format!("this runner's start, and {from} was not heard since")),
        };
        // After it was seen closed in this epoch, nothing was written any more.
        let closed = g.and_then(|g| {
            let there = g.record.databases.keys().filter(|address| address.site == *from);
            let seen = there.map(|address| g.record.closed_in_epoch(address));
            // Of several databases all have to be.
            let seen: Vec<_> = seen.collect::<Option<Vec<_>>>()?;
            seen.into_iter().max().filter(|_| g.record.databases.len() >= g.plan.one_live.len())
        });
        let alive = closed.map_or(alive, |closed| closed.min(alive));
        let lost = between(heartbeat, alive);
        let opened = self.opened_alike(group, from, to).map(|opened| between(opened, alive));
        let (lost, text) = match opened.filter(|since_then| *since_then < lost) {
            Some(lost) => (lost, format!("{resource}: {from} was opened {lost} before {since}")),
            None => (lost, format!("{resource}: heartbeat {lost} before {since}")),
        };
        Estimate {
            estimate: Some(lost),
            alive: Some(alive),
            heartbeat: Some(heartbeat),
            drained: false,
            unfinished: false,
            text,
        }
    }

    /// When the live site was opened by a move in order from the other one. That has everything of before, so no more can
    /// be lost than what was written since, however old the heartbeat is that came the last time round.
    fn opened_alike(&self, group: &GroupId, live: &SiteId, other: &SiteId) -> Option<DateTime<Utc>> {
        let record = &self.groups.get(group)?.record;
        let left = record.left.as_ref().filter(|left| left.site == *other && left.drained)?;
        let purpose = self.runs.get(&left.run)?.definition.info().purpose;
        let moved = matches!(purpose, Purpose::Move | Purpose::Return);
        (moved && record.live.as_ref() == Some(live)).then_some(left.since)
    }

    /// What lets an opening with this loss through; else why it waits.
    fn judge(&self, now: Now, group: &GroupId, found: &Estimate) -> Result<String, String> {
        if found.drained {
            return Ok("drained".into());
        }
        let Some(g) = self.groups.get(group) else { return Err("no such group".into()) };
        let accepted = g.record.loss_accepted.as_ref().filter(|a| a.epoch == g.record.epoch);
        // A bound in time was not meant for that, unless it was given to a run that waits for just that.
        let untold = accepted.map_or(Err(String::new()), LossAccepted::untold);
        let untold = untold.map_err(|but| format!("{}: the loss cannot be told{but}", found.text));
        if found.unfinished {
            // Whole tables: what the group's file accepts was not meant for that either.
            return untold;
        }
        let Some(limit) = &g.plan.loss else { return Ok("no limit".into()) };
        let max = Iso(limit.max);
        match (found.estimate, accepted) {
            (Some(loss), _) if loss <= max => Ok(format!("within the limit of {max}")),
            (Some(loss), Some(accepted)) if loss <= accepted.bound => Ok(accepted.bounded()),
            (Some(_), Some(accepted)) => {
                Err(format!("{}; the limit is {max}, and {}", found.text, accepted.bounded()))
            }
            (Some(_), None) => Err(format!("{}; the limit is {max}", found.text)),
            (None, _) => untold.or_else(|why| {
                let standing = limit.unknown.as_ref().filter(|standing| now.wall < standing.until);
                let standing = standing.map(|standing| standing.who.clone()).ok_or(why)?;
                Ok(format!("unknown, accepted by {standing} in the group's file"))
            }),
        }
    }

    /// Which sites an opening that could lose something lies between; none where nothing can be lost by it, or it
    /// was let through before.
    fn may_lose(&self, key: &Key, group: &GroupId) -> Option<(SiteId, SiteId)> {
        let live = self.lives.get(key).filter(|live| live.owner == Owner::Step)?;
        let run = self.runs.get(&key.run)?;
        let (from, to) = (run.started.from.as_ref()?, run.started.to.as_ref()?);
        let g = self.groups.get(group)?;
        if !run.lost(from) || *to != live.address.site {
            return None;
        }
        if g.record.loss.as_ref().is_some_and(|loss| loss.run == key.run) {
            return None;
        }
        (!stays(g, from, to)).then(|| (from.clone(), to.clone()))
    }

    /// Whether an opening may go on as far as its loss goes; else it waits, and looks again.
    pub(crate) fn loss_gate(&mut self, now: Now, key: &Key, group: &GroupId) -> bool {
        if !self.rules.keep(Rule::LossGate) {
            return true;
        }
        let Some((from, to)) = self.may_lose(key, group) else { return true };
        let found = self.estimate(now, group, &from, &to, Some(key.run));
        // What is taken of one replication says nothing of another one: each has to pass. The worst that does not is told.
        let each = self.estimates(now, group, &from, &to, Some(key.run)).into_iter();
        let refused = each.filter(|found| self.judge(now, group, found).is_err());
        let found = refused.max_by_key(Estimate::weight).unwrap_or(found);
        let verdict = self.judge(now, group, &found);
        let limit = self.groups.get(group).and_then(|g| g.plan.loss.as_ref());
        let good = found.drained
            || !found.unfinished
                && limit.is_none_or(|limit| found.estimate.is_some_and(|loss| loss.0 <= limit.max));
        // What was seen before can only be worse than what is applied by now: unless that is good enough, the
        // receiver is asked again, for a while.
        if !good && !self.asked_for_loss(now, key, group, &from, &to) {
            self.wait_for_loss(now, key, format!("what {to} has applied"));
            return false;
        }
        match verdict {
            Ok(by) => {
                if let Some(g) = self.groups.get_mut(group) {
                    g.loss_asked = None;
                }
                let Estimate { estimate, alive, heartbeat, text, .. } = found;
                let entry = GroupEntry::Loss { run: key.run, estimate, alive, heartbeat, text, by };
                self.append_group(now, group, &entry);
                true
            }
            Err(why) => {
                let run = key.run.short(4);
                let unknown = found.unfinished || found.estimate.is_none();
                let loss = if unknown { LossBound::UNTOLD } else { "DURATION" };
                let grows = match self.still_grows(now, group, &from, found.alive) {
                    true => format!("; it grows while {from} is heard: give more than that"),
                    false => String::new(),
                };
                let how = format!("{why}{grows}: pointsman accept {run} --data-loss {loss} --why …");
                // Whatever wakes it, an answer too, it asks again by its own timer only.
                if self.wait_for_loss(now, key, how.clone()) {
                    for (resource, _) in self.replications(now, group, &from, &to) {
                        self.look_at(now, &replication(&to, &resource), None);
                        self.look_at_source(now, group, &replication(&from, &resource));
                    }
                }
                if let Some(asked) = self.groups.get_mut(group).and_then(|g| g.loss_asked.as_mut()) {
                    asked.unknown = unknown;
                }
                self.wait_for_person(now, key, how);
                false
            }
        }
    }

    /// Whether the receivers were asked since this opening came to the gate, and answered or had their time.
    fn asked_for_loss(&mut self, now: Now, key: &Key, group: &GroupId, from: &SiteId, to: &SiteId) -> bool {
        let since = self.groups.get(group).and_then(|g| g.loss_asked.as_ref());
        let Some(since) = since.filter(|asked| asked.key == *key).map(|asked| asked.since) else {
            if let Some(g) = self.groups.get_mut(group) {
                g.loss_asked = Some(LossAsked { key: key.clone(), since: now.boot, unknown: false });
            }
            for (resource, _) in self.replications(now, group, from, to) {
                self.look_at(now, &replication(to, &resource), None);
            }
            return false;
        };
        let fresh = |(resource, _): &(ResourceId, _)| {
            self.observed.get(&replication(to, resource)).is_some_and(|(at, _)| at.boot >= since)
        };
        now.boot >= since + LOOK_WITHIN || self.replications(now, group, from, to).iter().all(fresh)
    }

    /// Whether what is waited for is to be looked at now.
    fn wait_for_loss(&mut self, now: Now, key: &Key, what: String) -> bool {
        if let Some(live) = self.lives.get_mut(key) {
            // The bound of the opening counts from when the gate lets it through.
            live.deadline = now.boot + live.deadline.saturating_sub(now.boot).max(OPEN_WITHIN);
            live.wait(what);
        }
        self.looks_again(now, key)
    }

    /// An opening that waited at the gate is not wanted any longer: what is accepted from here on is no answer to its question.
    pub(crate) fn end_loss_asked(&mut self, of: impl Fn(&Key) -> bool) {
        for g in self.groups.values_mut() {
            g.loss_asked.take_if(|asked| of(&asked.key));
        }
    }

    /// A look at one half of a replication: an opening may wait for it.
    pub(crate) fn note_replication(&mut self, now: Now, address: &Address, seen: &Observation) {
        let Seen::Replication(_) = &seen.seen else { return };
        let waits =
            |g: &&crate::in_memory::Group| g.loss_asked.is_some() && g.plan.resources.contains(address);
        let group = self.groups.values().find(waits).map(|g| g.plan.group.clone());
        if group.is_some() {
            self.wake_waiters(now, group.as_ref());
        }
    }

    fn told(&self, group: &GroupId, found: &Estimate) -> LossView {
        let limit = self.groups.get(group).and_then(|g| g.plan.loss.as_ref()).map(|limit| Iso(limit.max));
        let verdict = match (found.estimate, limit) {
            (None, _) => "UNKNOWN",
            (Some(loss), Some(limit)) if loss > limit => "ABOVE LIMIT",
            (Some(_), Some(_)) => "WITHIN LIMIT",
            (Some(_), None) => "NO LIMIT",
        };
        LossView { estimate: found.estimate, limit, text: found.text.clone(), verdict: verdict.into() }
    }

    /// What would be lost if the live site were lost now; while a run moves the group, what that loses.
    pub(crate) fn loss_view(&self, now: Now, group: &GroupId) -> Option<LossView> {
        let g = self.groups.get(group)?;
        let run =
            g.record.active.and_then(|run| self.runs.get(&run)).filter(|run| !run.started.lost.is_empty());
        let (from, to) = match run {
            Some(run) => (run.started.from.clone()?, run.started.to.clone()?),
            None => {
                let live = g.record.live.clone()?;
                let other = g.plan.sites.iter().find(|site| **site != live).cloned()?;
                (live, other)
            }
        };
        if g.plan.one_live.is_empty() {
            return None;
        }
        Some(self.told(group, &self.estimate(now, group, &from, &to, run.map(|run| run.id))))
    }

    /// Which bound an opening would wait for that is not given with the command, as far as can be told now; of several
    /// replications the worst one's. Where one cannot be told and another is too late, a bound is asked for after that.
    pub(crate) fn bound_asked(&self, now: Now, start: &Start, checked: &Checked) -> Option<String> {
        let g = self.groups.get(&start.group)?;
        if stays(g, &checked.from, &checked.to) {
            return None;
        }
        let limit = g.plan.loss.as_ref();
        let standing = limit.and_then(|limit| limit.unknown.as_ref()).is_some_and(|s| now.wall < s.until);
        let given = start.accept_data_loss;
        let asked = |found: &Estimate| match found.estimate.filter(|_| !found.unfinished) {
            _ if found.drained => None,
            Some(loss) => {
                let covered = matches!(given, Some(LossBound::AtMost(bound)) if loss <= bound);
                let more = limit.is_some_and(|limit| loss.0 > limit.max) && !covered;
                more.then(|| format!("{}s", loss.0.as_secs() + 1))
            }
            None => {
                let gate = found.unfinished || limit.is_some() && !standing;
                (gate && given != Some(LossBound::Unknown)).then(|| LossBound::UNTOLD.to_owned())
            }
        };
        let all = self.estimates(now, &start.group, &checked.from, &checked.to, None);
        let mut asked: Vec<_> =
            all.iter().filter_map(|found| Some((found.weight(), asked(found)?))).collect();
        asked.sort();
        let (_, worst) = asked.pop()?;
        let bound = asked.into_iter().rev().map(|(_, bound)| bound).find(|bound| *bound != LossBound::UNTOLD);
        Some(match bound.filter(|_| worst == LossBound::UNTOLD) {
            Some(bound) => format!("{worst} (and in the run, then, --data-loss {bound})"),
            None => worst,
        })
    }

    /// The line of a preview.
    pub(crate) fn loss_fact(&self, now: Now, start: &Start, checked: &Checked) -> Fact {
        let found = self.estimate(now, &start.group, &checked.from, &checked.to, None);
        let told = self.told(&start.group, &found);
        let mut text = told.text;
        if let Some(limit) = told.limit {
            text.push_str(&format!(", limit {limit}"));
        }
        if let Some(bound) = start.accept_data_loss {
            text.push_str(&format!(", {bound} accepted"));
        }
        Fact { label: "loss".into(), text, verdict: Some(told.verdict) }
    }
}

/// The line of a preview that somebody has to read before a copy.
pub(crate) fn copy_fact(start: &Start, checked: &Checked) -> Fact {
    let saved = match start.waive_ledger {
        true => "what only it has is NOT saved as a ledger",
        false => "what only it has is saved as a ledger first",
    };
    let text = format!("the databases at {} are overwritten and kept aside; {saved}", checked.to);
    Fact { label: "copy".into(), text, verdict: Some("OVERWRITES".into()) }
}
