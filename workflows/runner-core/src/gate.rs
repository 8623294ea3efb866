//! The gate of law 7: no opening intent while another site counts as open, pessimistically, at run time.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::{
    Access, Address, Answer, ConfirmReply, ConfirmRequest, Effect, Key, Observation, Problem, ResourceId,
    Running, Seen, Service, SiteId, YES_COUNTS,
};

use crate::core::{Asked, Core, Timer};
use crate::debts::PAY_WITHIN;
use crate::entry::{ByPerson, GroupEntry, Owed, SettledAs};
use crate::in_memory::Group;
use crate::live::{Live, SETTLE_GRACE, Stage};
use crate::rules::Rule;
use crate::seam::{Now, ReplyTo};

/// The bound of an opening's act.
pub(crate) const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// A proof older than this is looked at again.
const PROOF_COUNTS: Duration = Duration::from_secs(30);
/// A fence path says nothing against a database that was seen open so shortly before, or later. Longer than several looks
/// of a wait: they are asked for together, answer in any order, and a busy service may miss some.
const PATH_AFTER: Duration = Duration::from_secs(4);
/// Between two looks at what is waited for.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The latest looks at a database, by the boot-time clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looked {
    /// When one ended, answered or not.
    pub(crate) ended: Duration,
    /// When it was seen open, or not quite closed.
    pub(crate) open: Option<Duration>,
}

/// Why a site does not count as open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Its service saw its database closed, in this epoch.
    Proof,
    /// Its power or network is off.
    FencePath(Address),
    /// Somebody took the risk.
    Acceptance(String),
}

impl Shut {
    pub(crate) fn text(&self) -> String {
        match self {
            Shut::Proof => "proof".into(),
            Shut::FencePath(path) => format!("fence path {path}"),
            Shut::Acceptance(who) => format!("accepted by {who}"),
        }
    }
}

impl Core {
    /// Whether `resource` at `site` is shut as far as law 7 asks; else what is waited for.
    pub(crate) fn shut(
        &self,
        now: Now,
        group: &schemas::GroupId,
        site: &SiteId,
        resource: &ResourceId,
    ) -> Result<Shut, String> {
        let Some(g) = self.groups.get(group) else { return Err("no such group".into()) };
        let address = Address { site: site.clone(), service: Service::Database, resource: resource.clone() };
        if g.proofs.get(&address).is_some_and(|at| now.boot < *at + PROOF_COUNTS) {
            return Ok(Shut::Proof);
        }
        let mut wait = format!("proof that {resource} at {site} is closed");
        for path in &g.plan.fence_paths {
            let off = self.observed.get(path).filter(|(at, seen)| {
                now.boot < at.boot + PROOF_COUNTS
                    && matches!(&seen.seen, Seen::Process(p)
                        if p.closes.as_ref() == Some(site) && p.running == Running::Stopped)
                    && seen.unended.is_empty()
            });
            let Some((at, _)) = off else { continue };
            match self.against_path(g, site, at.boot) {
                None => return Ok(Shut::FencePath(path.clone())),
                Some(why) => wait.push_str(&format!(" ({path} says that {site} is off, but {why})")),
            }
        }
        if let Some(accepted) = g.record.accepted.get(site)
            && (accepted.epoch == g.record.epoch || !self.rules.keep(Rule::AcceptanceOneEpoch))
        {
            // A yes of an earlier life may still be in somebody's hands (law 7).
            let since = self.began + YES_COUNTS + OPEN_WITHIN;
            let until = g.yes_until.get(site).copied().unwrap_or(Duration::ZERO).max(since);
            if now.boot >= until || !self.rules.keep(Rule::AcceptanceWaits) {
                return Ok(Shut::Acceptance(accepted.by.who.person.clone()));
            }
            wait =
                format!("{:.1} s until no earlier yes for {site} can act", (until - now.boot).as_secs_f64());
        }
        Err(wait)
    }

    /// What speaks against a fence path that was seen off: a database of its site that was seen open since or shortly
    /// before, or that was not looked at.
    fn against_path(&self, g: &Group, site: &SiteId, off: Duration) -> Option<String> {
        g.plan.one_live.iter().find_map(|resource| {
            let address =
                Address { site: site.clone(), service: Service::Database, resource: resource.clone() };
            match self.looked.get(&address) {
                Some(Looked { open: Some(open), .. }) if off < *open + PATH_AFTER => {
                    Some(format!("{resource} there was seen open"))
                }
                Some(Looked { ended, .. }) if off < *ended + PATH_AFTER => None,
                _ => Some(format!("{resource} there was not looked at since")),
            }
        })
    }

    pub(crate) fn other_sites(&self, group: &schemas::GroupId, site: &SiteId) -> Vec<SiteId> {
        self.groups
            .get(group)
            .map(|g| g.plan.sites.iter().filter(|s| *s != site).cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn at_gate(&mut self, now: Now, key: &Key) {
        let Some(live) = self.lives.get(key) else { return };
        let (Some(group), address, deadline) = (live.group.clone(), live.address.clone(), live.deadline)
        else {
            return;
        };
        if !self.runs.get(&key.run).is_some_and(|run| run.goes_on()) {
            return;
        }
        let guarded = self.groups.get(&group).is_some_and(|g| g.plan.one_live.contains(&address.resource));
        if guarded && self.rules.keep(Rule::Gate) {
            for site in self.other_sites(&group, &address.site) {
                if let Err(wait) = self.shut(now, &group, &site, &address.resource) {
                    self.accept_standing(now, &group, key.run, &site);
                    if self.shut(now, &group, &site, &address.resource).is_ok() {
                        continue;
                    }
                    // The bound of the opening counts from when the gate lets it through.
                    let moved = now.boot + deadline.saturating_sub(now.boot).max(OPEN_WITHIN);
                    self.wait_for_close(now, key, &group, &site, wait);
                    if let Some(live) = self.lives.get_mut(key) {
                        live.deadline = moved;
                    }
                    return;
                }
            }
            if self.back_in_turn(now, key) || !self.loss_gate(now, key, &group) {
                return;
            }
            self.owe_accepted(now, &group, &address, key.run);
        } else if self.back_in_turn(now, key) || guarded && !self.loss_gate(now, key, &group) {
            return;
        }
        self.intend(now, key);
    }

    /// What was begun on its resource while it stood at the gate, such as a close that is owed, is settled first: it takes its
    /// turn again, and asks the gate again after that.
    fn back_in_turn(&mut self, now: Now, key: &Key) -> bool {
        if self.occupant(key).is_none() {
            return false;
        }
        let until = now.boot + PAY_WITHIN + SETTLE_GRACE;
        if let Some(live) = self.lives.get_mut(key) {
            live.deadline = live.deadline.max(until);
        }
        self.stage(key, Stage::InTurn);
        true
    }

    /// By what each other site counts as closed as an opening is let through.
    pub(crate) fn closed_by(
        &self,
        now: Now,
        group: &schemas::GroupId,
        opening: &Address,
    ) -> BTreeMap<SiteId, String> {
        let guarded = self.groups.get(group).is_some_and(|g| g.plan.one_live.contains(&opening.resource));
        let others = self.other_sites(group, &opening.site).into_iter().filter(|_| guarded);
        let by = |site: SiteId| {
            let shut = self.shut(now, group, &site, &opening.resource).ok()?;
            Some((site, shut.text()))
        };
        others.filter_map(by).collect()
    }

    /// What was accepted as perhaps open is opened beside: its close is owed (law 8), whoever accepted it and why.
    fn owe_accepted(&mut self, now: Now, group: &schemas::GroupId, opening: &Address, run: schemas::RunId) {
        for site in self.other_sites(group, &opening.site) {
            let Ok(Shut::Acceptance(who)) = self.shut(now, group, &site, &opening.resource) else { continue };
            self.owe_close(now, group, opening, site, run, format!("accepted as unfenced by {who}"));
        }
    }

    /// The close of a site beside which a database is opened is owed.
    pub(crate) fn owe_close(
        &mut self,
        now: Now,
        group: &schemas::GroupId,
        opening: &Address,
        site: SiteId,
        run: schemas::RunId,
        why: String,
    ) {
        let args = serde_json::json!({ "resource": opening.resource, "site": site });
        let owed = Owed {
            address: Address { site, ..opening.clone() },
            action: Some(schemas::Action::DisableAccess),
            args,
            run,
            since: now.wall,
            why,
        };
        self.new_debt(now, group, owed);
    }

    pub(crate) fn at_await_closed(&mut self, now: Now, key: &Key, site: &SiteId) {
        let Some(live) = self.lives.get(key) else { return };
        let Some(group) = live.group.clone() else { return };
        let databases = self.groups.get(&group).map(|g| g.plan.one_live.clone()).unwrap_or_default();
        let mut by = None;
        for resource in &databases {
            let mut shut = self.shut(now, &group, site, resource);
            if shut.is_err() {
                self.accept_standing(now, &group, key.run, site);
                shut = self.shut(now, &group, site, resource);
            }
            match shut {
                // Of several the one that was not proved tells what is known of the site.
                Ok(_) if by.as_ref().is_some_and(|by| *by != Shut::Proof) => {}
                Ok(_) if self.was_closed(now, &group, site, resource) => by = Some(Shut::Proof),
                Ok(shut) => by = Some(shut),
                Err(wait) => return self.wait_for_close(now, key, &group, site, wait),
            }
        }
        self.lives.remove(key);
        let by = by.map_or("nothing to close".into(), |by| by.text());
        let result = Ok(serde_json::json!({ "site": site, "by": by }));
        self.engine_input(now, key.run, engine::Input::CallEnded { at: key.position.clone(), result });
    }

    /// Whether a database was proved closed in this epoch, if only a while ago, and is not seen open.
    fn was_closed(&self, now: Now, group: &schemas::GroupId, site: &SiteId, resource: &ResourceId) -> bool {
        let address = Address { site: site.clone(), service: Service::Database, resource: resource.clone() };
        let closed = self.groups.get(group).is_some_and(|g| g.record.closed_in_epoch(&address).is_some());
        closed && !self.is_open_at(now, &address)
    }

    /// Whether a wait looks now. It is woken for the next look, by one timer however often other things wake it.
    pub(crate) fn looks_again(&mut self, now: Now, key: &Key) -> bool {
        let Some(live) = self.lives.get_mut(key) else { return false };
        if live.look_due.is_some_and(|due| now.boot < due) {
            return false;
        }
        live.look_due = Some(now.boot + LOOK_AGAIN);
        self.timer(now.boot + LOOK_AGAIN, Timer::Live(key.clone()));
        true
    }

    /// Looks at the site's databases and at the fence paths again, and says what would end the wait.
    fn wait_for_close(&mut self, now: Now, key: &Key, group: &schemas::GroupId, site: &SiteId, wait: String) {
        if self.looks_again(now, key) {
            for address in self.what_shuts(group, site) {
                self.look_at(now, &address, None);
            }
        }
        let accepted = self
            .groups
            .get(group)
            .is_some_and(|g| g.record.accepted.get(site).is_some_and(|a| a.epoch == g.record.epoch));
        match accepted {
            true => {
                if let Some(live) = self.lives.get_mut(key) {
                    live.wait(wait);
                }
            }
            false => {
                let how = format!("{wait}: pointsman accept {} --unfenced {site} --why …", key.run.short(4));
                self.wait_for_person(now, key, how);
            }
        }
    }

    /// What a look may prove a site shut by: its databases, and the fence paths.
    pub(crate) fn what_shuts(&self, group: &schemas::GroupId, site: &SiteId) -> Vec<Address> {
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let databases = g.plan.one_live.iter().map(|resource| Address {
            site: site.clone(),
            service: Service::Database,
            resource: resource.clone(),
        });
        databases.chain(g.plan.fence_paths.iter().cloned()).collect()
    }

    /// Takes the acceptance that stands in the group's file, once the fence had its time.
    fn accept_standing(&mut self, now: Now, group: &schemas::GroupId, run: schemas::RunId, site: &SiteId) {
        let Some(g) = self.groups.get(group) else { return };
        let Some(standing) = g.plan.standing.clone().filter(|s| now.wall < s.until) else { return };
        let Some(r) = self.runs.get(&run) else { return };
        let had_time =
            now.wall >= r.began + chrono::Duration::from_std(g.plan.fence_within).unwrap_or_default();
        // Where every service of the site is known not to listen, waiting longer would prove nothing more.
        let taken = g.record.accepted.get(site).is_some_and(|a| a.epoch == g.record.epoch);
        let lost = r.lost(site);
        let busy = self.lives.values().any(|l| {
            l.group.as_ref() == Some(group) && l.address.site == *site && l.effect() == Effect::Closes
        });
        if taken || !lost || busy || !(had_time || self.site_unheard(now, group, site)) {
            return;
        }
        let who = schemas::op::Who { person: standing.who.clone(), claimed: "the group's file".into() };
        let entry = GroupEntry::Accepted {
            site: site.clone(),
            epoch: g.record.epoch,
            standing: true,
            by: ByPerson { who, why: standing.why },
        };
        self.append_group(now, group, &entry);
    }

    fn site_unheard(&self, _now: Now, group: &schemas::GroupId, site: &SiteId) -> bool {
        self.groups.get(group).is_some_and(|g| {
            g.plan.resources.iter().filter(|a| a.site == *site).all(|a| {
                matches!(g.claims.get(a), Some(crate::in_memory::Claim::Unanswered { undelivered: true, .. }))
            })
        })
    }

    /// An opening of a database is intended, or has ended: closes that were intended before, and looks that were asked for
    /// before, are no proof any more, whenever they answer.
    pub(crate) fn overtake(&mut self, address: &Address) {
        for live in self.lives.values_mut().filter(|live| live.address == *address) {
            live.overtaken |= live.effect() == Effect::Closes && live.intended();
        }
        for asked in self.asked.values_mut() {
            match asked {
                Asked::Observe { address: of, overtaken, .. } if of == address => *overtaken = true,
                _ => {}
            }
        }
    }

    /// Whether a close that an earlier life intended may have been followed by the opening that counts. Where nobody can
    /// tell, a look does.
    pub(crate) fn may_be_overtaken(&self, group: &schemas::GroupId, address: &Address) -> bool {
        self.groups.get(group).is_some_and(|g| g.record.opening(address) == Some(g.record.epoch))
    }

    /// An observation proves a close if its service holds this epoch and nothing there is unended.
    pub(crate) fn note_observation(
        &mut self,
        now: Now,
        address: &Address,
        seen: &Observation,
        overtaken: bool,
    ) {
        let Seen::Database(database) = &seen.seen else { return };
        if database.access != Access::Closed {
            self.looked.entry(address.clone()).or_default().open = Some(now.boot);
        }
        let Some((id, g)) = self.groups.iter_mut().find(|(_, g)| g.plan.resources.contains(address)) else {
            return;
        };
        if !g.plan.one_live.contains(&address.resource) {
            return;
        }
        let mine = seen.epoch == g.record.epoch && seen.run == g.record.holder && seen.adopted;
        if database.access != Access::Closed {
            g.proofs.remove(address);
            return;
        }
        let pending = g.occupied.contains_key(address);
        if mine && seen.unended.is_empty() && !pending && !overtaken && g.record.epoch.0 > 0 {
            g.proofs.insert(address.clone(), now.boot);
            let known = g.record.closed_in_epoch(address).is_some();
            let (id, epoch) = (id.clone(), g.record.epoch);
            if !known {
                let entry = GroupEntry::Closed { address: address.clone(), epoch, by: "observed".into() };
                self.append_group(now, &id, &entry);
            }
            self.wake_waiters(now, Some(&id));
        }
    }

    /// A close that was settled as done is a proof, unless an opening was intended after it.
    pub(crate) fn note_closed(
        &mut self,
        now: Now,
        group: &schemas::GroupId,
        live: &Live,
        result: &SettledAs,
    ) {
        let done =
            matches!(result, SettledAs::Done { answer: Some(Answer::Applied | Answer::AlreadyApplied), .. });
        // Acts wait for each other; what a person says that he opened does not, nor does a boot.
        let overtaken = live.overtaken && self.rules.keep(Rule::OneOpenKey);
        let Some(g) = self.groups.get_mut(group) else { return };
        if live.effect() != Effect::Closes
            || !done
            || overtaken
            || !g.plan.one_live.contains(&live.address.resource)
        {
            return;
        }
        g.proofs.insert(live.address.clone(), now.boot);
        let epoch = g.record.epoch;
        let entry =
            GroupEntry::Closed { address: live.address.clone(), epoch, by: "closed by its service".into() };
        self.append_group(now, group, &entry);
    }

    /// May I open now? Yes only while the key is pending, in the current epoch, by the attempt that was sent.
    pub(crate) fn on_confirm(&mut self, now: Now, request: &ConfirmRequest, reply_to: ReplyTo) {
        let boot = request.key.position.is_boot();
        let verdict = if boot { self.after_boot(now, request) } else { self.may_open(request) };
        if verdict.is_ok()
            && let Some(g) = self.groups.get_mut(&request.group)
        {
            g.yes_until.insert(request.address.site.clone(), now.boot + YES_COUNTS + OPEN_WITHIN);
        }
        let problem = verdict.err().map(|why| Problem::new(schemas::Code::NotConfirmed, why));
        let reply = ConfirmReply { yes: problem.is_none(), nonce: request.nonce, problem };
        self.confirm(reply_to, reply);
    }

    fn live_on_wire(&self, key: &Key) -> Option<&Live> {
        let wired = |(of, _): &(&Key, &Live)| crate::live::on_wire(self.rules, of) == *key;
        match self.rules.keep(Rule::Visits) {
            true => self.lives.get(key),
            false => self.lives.iter().find(wired).map(|(_, live)| live),
        }
    }

    fn may_open(&self, request: &ConfirmRequest) -> Result<(), String> {
        let g = self.groups.get(&request.group).ok_or("no such group")?;
        if !self.rules.keep(Rule::YesWhilePending) {
            return Ok(());
        }
        if g.record.epoch != request.epoch || g.record.holder != Some(request.key.run) {
            return Err(format!("epoch {} was superseded by {}", request.epoch, g.record.epoch));
        }
        let run = self.runs.get(&request.key.run).ok_or("the run has ended")?;
        if run.ended.is_some() {
            return Err("the run has ended".into());
        }
        let live = self.live_on_wire(&request.key).ok_or("the step is not pending")?;
        let pending = matches!(
            live.stage,
            Stage::Sent { .. } | Stage::Asking | Stage::AskAgain { .. } | Stage::Doubtful { .. }
        );
        if !pending || live.attempt != request.attempt || live.address != request.address || live.cancelled {
            return Err("the step is not pending with this attempt".into());
        }
        Ok(())
    }
}
