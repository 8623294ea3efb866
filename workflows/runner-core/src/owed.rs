//! When something is no longer owed although nobody asked for it: a step has done it, or wants it otherwise; or the world
//! is taken as it is, and paying would undo that.

use schemas::{Action, Address, Effect, GroupId, Key, Position, RunId, Seen};
use serde_json::Value;

use crate::call::CallRecord;
use crate::core::Core;
use crate::entry::{Doubt, GroupEntry, Owed};
use crate::live::{Live, Owner};
use crate::seam::Now;

/// Whether two acts of one resource ask for the same. Of a lost site's parts a step waits for none, and a debt for all.
fn same(owed: &Owed, action: Action, args: &Value) -> bool {
    let mut args = args.clone();
    if let Some(args) = args.as_object_mut() {
        args.remove("lost");
    }
    owed.action == Some(action) && owed.args == args
}

/// Whether what is owed of a resource is so no longer once `done` is: on whose database a program works, and what stands in
/// a hosts file, are matters of their own.
fn ends_with(done: Action, owed: Option<Action>) -> bool {
    let Some(owed) = owed else { return true };
    let own = |action| matches!(action, Action::PointProcess | Action::Push | Action::Unpush);
    done == owed || (done.effect() != Effect::Observes && !own(done) && !own(owed))
}

impl Core {
    /// Ends debts of a group. What was sent for one and is not settled may act all the same: it is a doubt from now on.
    pub(crate) fn end_debts(
        &mut self,
        now: Now,
        group: &GroupId,
        how: &str,
        ends: impl Fn(u64, &Owed) -> bool,
    ) {
        let Some(g) = self.groups.get(group) else { return };
        let doubt = |call: &(Key, CallRecord)| {
            let (key, call) = call;
            let doubt = Doubt {
                address: call.address.clone(),
                action: call.action,
                epoch: g.record.epoch,
                attempt: call.attempt,
                since: now.wall,
            };
            // A newer claim ends what was sent before it.
            (Some(key.run) == g.record.holder).then(|| (key.clone(), doubt))
        };
        let all = g.record.debts.iter().filter(|(id, debt)| ends(**id, &debt.owed));
        let all: Vec<(u64, Option<(Key, Doubt)>)> =
            all.map(|(id, debt)| (*id, debt.call.as_ref().and_then(doubt))).collect();
        for (debt, doubt) in all {
            self.append_group(now, group, &GroupEntry::DebtEnded { debt, how: how.into() });
            if let Some((key, doubt)) = doubt {
                self.append_group(now, group, &GroupEntry::DoubtListed { key, doubt });
            }
            self.lives.retain(|_, live| live.owner != Owner::Debt(debt) || live.intended());
        }
    }

    /// The group of a call, whose clients no group claims.
    pub(crate) fn group_of_call(&self, key: &Key, live: &Live) -> Option<GroupId> {
        live.group.clone().or_else(|| self.runs.get(&key.run)?.started.group.clone())
    }

    /// A step is intended: an opening ends what was to close it, and a name or client that is to lead elsewhere from now
    /// on what was owed of it before. Anything else is owed until it is done: a step that fails leaves the world as it was.
    pub(crate) fn end_debts_against(&mut self, now: Now, key: &Key) {
        let Some(live) = self.lives.get(key).filter(|live| live.owner == Owner::Step) else { return };
        let (Some(action), Some(group)) = (live.action, self.group_of_call(key, live)) else { return };
        let (address, args) = (live.address.clone(), live.args.clone());
        let opens = action.effect() == Effect::Opens;
        self.end_debts(now, &group, "a newer step wants it otherwise", |_, owed| {
            let elsewhere = owed.action == Some(action) && !same(owed, action, &args);
            owed.address == address && (opens || elsewhere)
        });
    }

    /// A step is done: nothing of before is owed of its resource.
    pub(crate) fn end_debts_at(&mut self, now: Now, key: &Key, live: &Live) {
        let (Some(action), Some(group)) = (live.action, self.group_of_call(key, live)) else { return };
        self.end_debts(now, &group, "a newer step has acted on the resource", |_, owed| {
            owed.address == live.address && ends_with(action, owed.action)
        });
    }

    /// The same where a person says that it is done. What it is itself stays owed: he may be wrong, and paying what is so
    /// already does no harm.
    pub(crate) fn note_done_by_hand(&mut self, now: Now, id: RunId, at: &Position) {
        let Some(run) = self.runs.get(&id) else { return };
        let Some(step) = run.steps.iter().rfind(|step| step.position == *at) else { return };
        let (Some(group), args) = (run.started.group.clone(), step.call.args.clone()) else { return };
        let action =
            self.address_of(id, at).map(|address| (Action::of(address.service, &step.call.action), address));
        let Some((Some(action), address)) = action else { return };
        self.end_debts(now, &group, "a newer step was done by hand", |_, owed| {
            let other = owed.action.is_some() && !same(owed, action, &args);
            owed.address == address && other && ends_with(action, owed.action)
        });
    }

    /// A call that was passed without knowing turns out to be done: what else was owed of its resource before is not.
    pub(crate) fn end_debts_before(&mut self, now: Now, group: &GroupId, doubt: &Doubt) {
        self.end_debts(now, group, "a newer step has acted on the resource", |_, owed| {
            let other = owed.action.is_some_and(|action| action != doubt.action);
            let before = owed.since < doubt.since && ends_with(doubt.action, owed.action);
            owed.address == doubt.address && other && before
        });
    }

    /// The live site is known anew: what would close it, stop what runs there or lead its users away is not owed any
    /// longer. All the rest is.
    pub(crate) fn end_contradicted(&mut self, now: Now, group: &GroupId) {
        let Some(g) = self.groups.get(group) else { return };
        let Some(live) = g.record.live.clone() else { return };
        let cuts = |path: &&Address| match self.observed.get(*path).map(|(_, seen)| &seen.seen) {
            Some(Seen::Process(seen)) => seen.closes.as_ref() == Some(&live),
            _ => false,
        };
        let switches: Vec<Address> = g.plan.fence_paths.iter().filter(cuts).cloned().collect();
        let how = format!("{live} is live, and it would undo that");
        self.end_debts(now, group, &how, |_, owed| match owed.action {
            Some(Action::DisableAccess) => owed.address.site == live,
            Some(Action::StopProcess) => owed.address.site == live || switches.contains(&owed.address),
            Some(Action::Point | Action::Follow) => {
                owed.args.get("to").and_then(Value::as_str).is_some_and(|to| to != live.as_str())
            }
            _ => false,
        });
    }
}
