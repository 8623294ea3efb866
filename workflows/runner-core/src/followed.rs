//! When enough clients follow the names: counted from what is owed, so it ends by itself when debts are paid; and what
//! runs at both sites follows when it is healthy again.

use chrono::{DateTime, Utc};
use engine::Purpose;
use schemas::{Action, Address, Key, Running, Seen, Service, SiteId};
use serde_json::{Value, json};

use crate::core::{Core, SILENT_AFTER};
use crate::entry::Owed;
use crate::in_memory::Group;
use crate::live::{Live, Stage};
use crate::preflight::CHECK_WITHIN;
use crate::seam::Now;

/// So many clients are named in a wait.
pub(crate) const NAMED: usize = 5;

/// The programs of `everywhere`, each with the database that it works on.
pub(crate) fn everywhere(g: &Group) -> impl Iterator<Item = (&str, Option<&str>)> {
    let all = g.plan.input.get("everywhere").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|part| {
        let name = part.get("process")?.as_str()?;
        Some((name, part.get("database").and_then(Value::as_str)))
    })
}

impl Core {
    /// Whether `share` per cent of the group's clients resolve the new addresses, and of what runs everywhere is healthy;
    /// those of lost sites do not count. Else the step waits, for them or for a person.
    pub(crate) fn at_await_followed(&mut self, now: Now, key: &Key, share: u64) {
        let Some(group) = self.lives.get(key).and_then(|live| live.group.clone()) else { return };
        let Some(run) = self.runs.get(&key.run) else { return };
        let Some(g) = self.groups.get(&group) else { return };
        // Caches follow when the names are right, which nobody waits for after a push.
        let later = if run.pushed() { run.caches() } else { Vec::new() };
        let waited_for = |client: &&Address| !run.lost(&client.site) && !later.contains(client);
        let counted: Vec<&Address> = g.plan.clients.iter().filter(waited_for).collect();
        let owed = |client: &&&Address| {
            g.record
                .debts
                .values()
                .any(|debt| debt.owed.address == ***client && debt.owed.action == Some(Action::Follow))
        };
        let mut missing: Vec<String> =
            counted.iter().filter(owed).map(|client| client.resource.to_string()).collect();
        let began = run.steps.iter().rfind(|step| step.position == key.position).map(|step| step.since);
        // On the first day they are started after this.
        let counts = run.definition.info().purpose != Purpose::Establish;
        let parts = if counts { self.everywhere(now, &group, |site| run.lost(site)) } else { Vec::new() };
        let works: Vec<Option<bool>> = parts.iter().map(|part| self.works(part, began)).collect();
        for (part, works) in parts.iter().zip(&works).filter(|(_, works)| **works != Some(true)) {
            let not_seen = if works.is_none() { " (not seen yet)" } else { "" };
            missing.push(format!("{}@{}{not_seen}", part.resource, part.site));
        }
        let all = counted.len() + parts.len();
        let followed = all - missing.len();
        let enough = followed as u64 * 100 >= share * all as u64;
        if enough {
            self.lives.remove(key);
            let result = Ok(json!({ "followed": followed, "of": all, "owed": missing }));
            return self.engine_input(
                now,
                key.run,
                engine::Input::CallEnded { at: key.position.clone(), result },
            );
        }
        let number = run.steps.iter().rposition(|step| step.position == key.position).map_or(0, |i| i + 1);
        let more = missing.len().saturating_sub(NAMED);
        let named = missing.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let how = format!(
            "{followed} of {all} clients follow, {share} % are asked for; not yet {named}{more}: pointsman skip {} {number} --why …",
            key.run.short(4)
        );
        self.wait_for_person(now, key, how);
        if self.looks_again(now, key) {
            for (part, _) in parts.iter().zip(&works).filter(|(_, works)| **works != Some(true)) {
                self.look_for(part, CHECK_WITHIN);
            }
        }
    }

    /// What runs at both sites, at each that is not lost and whose service is there.
    fn everywhere(&self, now: Now, group: &schemas::GroupId, lost: impl Fn(&SiteId) -> bool) -> Vec<Address> {
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let named: Vec<&str> = everywhere(g).map(|(name, _)| name).collect();
        let ours = |a: &&Address| {
            a.service == Service::Process
                && named.contains(&a.resource.as_str())
                && !lost(&a.site)
                && self.is_heard(now, a)
        };
        g.plan.resources.iter().filter(ours).cloned().collect()
    }

    /// Whether it was seen healthy since then. One that nobody runs, or that cannot be told, would be waited for in
    /// vain: `check` says it.
    fn works(&self, part: &Address, since: Option<DateTime<Utc>>) -> Option<bool> {
        let (at, seen) = self.observed.get(part)?;
        if since.is_some_and(|since| at.wall < since) {
            return None;
        }
        match &seen.seen {
            Seen::Process(process) => Some(process.running != Running::Unhealthy),
            _ => Some(true),
        }
    }

    /// Whether a program that is owed a refresh would be started again in vain: what it needs is not seen to run at the
    /// live site, or a run is about to take that elsewhere. In limited mode it still serves what it has, and started
    /// anew it has nothing.
    pub(crate) fn in_vain(&self, now: Now, g: &Group, owed: &Owed) -> bool {
        if owed.action != Some(Action::RefreshProcess) {
            return false;
        }
        let run = g.record.active.and_then(|run| self.runs.get(&run));
        let moves = |run: &crate::run::Run| {
            !matches!(run.definition.info().purpose, Purpose::Protect | Purpose::Tidy)
        };
        run.is_some_and(moves) || serving(g).any(|part| !self.is_seen_running(now, &part))
    }

    fn is_seen_running(&self, now: Now, part: &Address) -> bool {
        let looked = self.observed.get(part).filter(|(at, _)| now.boot < at.boot + SILENT_AFTER * 2);
        let seen = looked.filter(|_| !self.mute.contains(part)).map(|(_, seen)| &seen.seen);
        matches!(seen, Some(Seen::Process(process))
            if !matches!(process.running, Running::Stopped | Running::Unhealthy))
    }

    /// Looks at what those need that are owed a refresh.
    pub(crate) fn look_at_serving(&mut self, group: &schemas::GroupId) {
        let Some(g) = self.groups.get(group) else { return };
        for part in serving(g).collect::<Vec<_>>() {
            self.look_for(&part, CHECK_WITHIN);
        }
    }

    /// A program was looked at.
    pub(crate) fn wake_followers(&mut self, now: Now) {
        let waits = |live: &&Live| matches!(live.stage, Stage::AwaitFollowed(_));
        let keys: Vec<Key> =
            self.lives.iter().filter(|(_, live)| waits(live)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.advance(now, &key);
        }
    }
}

/// What runs at the live site only, there.
fn serving(g: &Group) -> impl Iterator<Item = Address> {
    g.record.live.iter().flat_map(move |site| {
        g.plan.live_only.iter().map(move |resource| Address {
            site: site.clone(),
            service: Service::Process,
            resource: resource.clone(),
        })
    })
}
