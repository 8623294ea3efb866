//! Which site is open, by what is recorded: after a run, after a person's word, and after a boot of its server (law 7).

use engine::Purpose;
use schemas::view::RunState;
use schemas::{Action, Address, ConfirmRequest, Effect, GroupId, Key, Position, RunId, SiteId};

use crate::core::Core;
use crate::entry::{ByPerson, GroupEntry};
use crate::gate::Shut;
use crate::group::OpenState;
use crate::live::Live;
use crate::run::Run;
use crate::seam::Now;

impl Core {
    /// The live site after a run, where what it opened tells, or what somebody opened in its place.
    pub(crate) fn live_after(&self, id: RunId, state: RunState) -> Option<SiteId> {
        let run = self.runs.get(&id)?;
        if state == RunState::Fenced {
            return None;
        }
        let opened = |site: &Option<SiteId>| site.as_ref().is_some_and(|site| run.may_have_opened(site));
        if opened(&run.started.to) {
            return run.started.to.clone();
        }
        // What establishes leaves no live site.
        let leaves = run.definition.info().purpose != engine::Purpose::Establish;
        if leaves && state == RunState::BackedOut || opened(&run.started.from) {
            return run.started.from.clone();
        }
        self.opened_before(run)
    }

    /// What a superseded run has opened, where none since has opened anything, nor closed that.
    fn opened_before(&self, run: &Run) -> Option<SiteId> {
        let record = &self.groups.get(run.started.group.as_ref()?)?.record;
        record.databases.iter().find_map(|(address, state)| {
            let OpenState::Opening { key, epoch } = state else { return None };
            let opened = self.runs.get(&key.run).is_some_and(|of| of.may_have_opened(&address.site));
            let mut since = self.runs.values().filter(|of| {
                of.id != run.id && of.started.group == run.started.group && of.started.epoch >= *epoch
            });
            let fenced = since.all(|of| matches!(of.ended, Some((RunState::Fenced, ..))));
            (opened && fenced && key.run != run.id).then(|| address.site.clone())
        })
    }

    /// A person says that an opening is done by hand: its site counts as open from here on, with no gate before it. So his
    /// word is an acceptance of what is not shut beside it, as it is on a closing step, and it is owed to close that.
    pub(crate) fn note_opened_by_hand(&mut self, now: Now, id: RunId, at: &Position, by: &ByPerson) {
        let Some(run) = self.runs.get(&id) else { return };
        let opens = run.steps.iter().rfind(|step| step.position == *at);
        let opens = opens.is_some_and(|step| step.call.effect == Effect::Opens);
        let (Some(group), epoch) = (run.started.group.clone(), run.started.epoch) else { return };
        let Some(address) = self.address_of(id, at).filter(|_| opens) else { return };
        if !self.is_guarded(&group, &address) {
            return;
        }
        for site in self.other_sites(&group, &address.site) {
            let shut = self.shut(now, &group, &site, &address.resource);
            if shut.is_err() {
                let (site, by) = (site.clone(), by.clone());
                let entry = GroupEntry::Accepted { site, epoch, standing: false, by };
                self.append_group(now, &group, &entry);
            }
            if shut != Ok(Shut::Proof) {
                self.owe_close(now, &group, &address, site, id, "opened by hand beside it".into());
            }
        }
        let key = Key { run: id, position: at.clone() };
        let closed_by = self.closed_by(now, &group, &address);
        let entry = GroupEntry::Opening { address: address.clone(), key, epoch, closed_by };
        self.append_group(now, &group, &entry);
        if let Some(g) = self.groups.get_mut(&group) {
            g.proofs.remove(&address);
        }
    }

    /// After a boot of its server: whether a database may stay open, or may open again. It is asked for no other thing
    /// than a step's opening is: the latest epoch, and no other site that counts as open. From a yes on it counts as open.
    pub(crate) fn after_boot(&mut self, now: Now, request: &ConfirmRequest) -> Result<(), String> {
        let (group, address) = (&request.group, &request.address);
        self.is_live(request)?;
        if !self.is_guarded(group, address) {
            return Ok(()); // It is live at both sites.
        }
        if let Some((site, why)) = self.open_beside(now, group, address) {
            // What would end that is looked at, for the next question.
            for address in self.what_shuts(group, &site) {
                self.look_at(now, &address, None);
            }
            return Err(why);
        }
        if self.may_be_closing(group, address) {
            return Err("a close of it is not settled".into());
        }
        let counted =
            self.groups.get(group).is_some_and(|g| g.record.opening(address) == Some(request.epoch));
        if !counted {
            self.end_debts(now, group, "it is open after a boot", |_, owed| owed.address == *address);
            let (address, key) = (address.clone(), request.key.clone());
            let closed_by = self.closed_by(now, group, &address);
            let entry = GroupEntry::Opening { address, key, epoch: request.epoch, closed_by };
            self.append_group(now, group, &entry);
        }
        if let Some(g) = self.groups.get_mut(group) {
            g.proofs.remove(address);
        }
        Ok(())
    }

    /// Whether a close of it is under way, or was in an earlier life and nobody knows its end.
    fn may_be_closing(&self, group: &GroupId, address: &Address) -> bool {
        let closes = |at: &Address, action: Action| at == address && action.effect() == Effect::Closes;
        let lives =
            |live: &Live| live.intended() && live.action.is_some_and(|action| closes(&live.address, action));
        let Some(g) = self.groups.get(group) else { return false };
        let mut sent = g.record.debts.values().filter_map(|debt| debt.call.as_ref());
        let mut doubts = g.record.doubts.values().filter(|doubt| doubt.epoch == g.record.epoch);
        self.lives.values().any(lives)
            || sent.any(|(key, call)| Some(key.run) == g.record.holder && closes(&call.address, call.action))
            || doubts.any(|doubt| closes(&doubt.address, doubt.action))
    }

    /// Whether the database's epoch is the latest, and its site the one that is live in it.
    fn is_live(&self, request: &ConfirmRequest) -> Result<(), String> {
        let (group, address) = (&request.group, &request.address);
        let g = self.groups.get(group).ok_or("no such group")?;
        if self.is_copied(group) {
            return Err("the journal is a copy: adopt first".into());
        }
        if g.record.epoch != request.epoch || g.record.holder != Some(request.key.run) {
            return Err(format!("epoch {} was superseded by {}", request.epoch, g.record.epoch));
        }
        if !g.plan.resources.contains(address) {
            return Err(format!("{address} is not in the group's file"));
        }
        let opened = g.record.opening(address) == Some(request.epoch) || !self.is_guarded(group, address);
        // What protects or tidies up neither opens nor closes the live site.
        let decides = |run: &RunId| {
            let purpose = self.runs.get(run).map(|run| run.definition.info().purpose);
            !matches!(purpose, Some(Purpose::Protect | Purpose::Tidy))
        };
        match (g.record.active.filter(decides), &g.record.live) {
            _ if opened => Ok(()),
            (Some(run), _) => Err(format!("run {} decides", run.short(4))),
            (None, Some(live)) if *live == address.site => Ok(()),
            (None, Some(live)) => Err(format!("{live} is live")),
            (None, None) => Err("no site is live".into()),
        }
    }

    /// Which other site counts as open, and why. What was opened before this one was shut then, by the gate, and nobody
    /// opened it since: a site that is merely silent does not close the one that serves.
    fn open_beside(&self, now: Now, group: &GroupId, address: &Address) -> Option<(SiteId, String)> {
        let g = self.groups.get(group)?;
        let mine = g.record.opening(address);
        self.other_sites(group, &address.site).into_iter().find_map(|site| {
            let other = Address { site: site.clone(), ..address.clone() };
            if self.is_seen_open(now, g, &other) {
                let why = format!("{site} is seen open");
                return Some((site, why));
            }
            let later = g.record.opening(&other).is_some_and(|epoch| mine.is_none_or(|mine| mine <= epoch));
            let wait = self.shut(now, group, &site, &address.resource).err().filter(|_| later)?;
            let why = format!("{site} counts as open: no {wait}");
            Some((site, why))
        })
    }

    /// Whether it is a database of the group that may be open at one site only.
    fn is_guarded(&self, group: &GroupId, address: &Address) -> bool {
        self.groups.get(group).is_some_and(|g| {
            g.plan.resources.contains(address) && g.plan.one_live.contains(&address.resource)
        })
    }
}
