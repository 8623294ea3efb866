//! What the runner looks at by itself, in peace: the replication that protects the live site, and the databases of which
//! one may be open.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::{Address, GroupId, Seen, Service, SiteId};

use crate::core::{Core, Timer};
use crate::entry::GroupEntry;
use crate::seam::Now;

/// Between two looks at the replications.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Between two looks at the databases: two that are open at once are told within 5 s.
const DATABASES_EVERY: Duration = Duration::from_secs(4);
/// Between two watches while a run leaves a lost site: until when it was seen alive is wanted soon.
const LOST_EVERY: Duration = Duration::from_secs(1);

/// A trouble that lasts so long is told; a worker between two tries is none.
const TOLD_AFTER: Duration = Duration::from_secs(20);
/// What was seen longer ago says nothing.
const SEEN_WITHIN: Duration = Duration::from_secs(25);

/// When a group is watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    due: Duration,
    looked: Duration,
    /// Halves with a trouble that is not told yet: since when.
    troubled: BTreeMap<Address, Duration>,
    /// When a run of it ended.
    pub(crate) ended: Duration,
}

impl Core {
    /// From now on each group that has something to protect is watched.
    pub(crate) fn begin_watch(&mut self, now: Now) {
        let groups: Vec<GroupId> = self.groups.keys().cloned().collect();
        for group in groups {
            self.watch_within(now, &group, DATABASES_EVERY);
        }
    }

    /// A group that is new while the runner runs.
    pub(crate) fn begin_group(&mut self, now: Now, group: &GroupId) {
        self.watch_within(now, group, DATABASES_EVERY);
        if self.preflight_every.is_some() {
            self.timer(now.boot, Timer::Preflight(group.clone()));
        }
    }

    /// A run began.
    pub(crate) fn watch_soon(&mut self, now: Now, group: &GroupId) {
        self.watch_within(now, group, LOST_EVERY);
    }

    fn watch_within(&mut self, now: Now, group: &GroupId, within: Duration) {
        let Some(g) = self.groups.get_mut(group).filter(|g| !g.plan.one_live.is_empty()) else { return };
        g.watch.due = now.boot + within;
        self.timer(now.boot + within, Timer::Watch(group.clone()));
    }

    pub(crate) fn watch(&mut self, now: Now, group: &GroupId) {
        let Some(g) = self.groups.get(group).filter(|g| now.boot >= g.watch.due) else { return };
        let looks = now.boot >= g.watch.looked + LOOK_EVERY;
        let loses = g.record.active.and_then(|run| self.runs.get(&run));
        let loses = loses.is_some_and(|run| !run.started.lost.is_empty());
        self.note_limited(now, group);
        if let Some((live, other)) = self.live_and_other(group) {
            let sources = self.halves(now, group, &live, &other, &live);
            let receivers = self.halves(now, group, &live, &other, &other);
            let logs = self.logs(group);
            self.note_silence(now, group, &sources);
            let all = || sources.iter().chain(&receivers).chain(&logs);
            if looks && !loses {
                self.note_trouble(now, group, all());
            }
            if looks {
                for address in all() {
                    self.look_at(now, address, None);
                }
                self.look_at_served(group);
            }
        }
        if let Some(g) = self.groups.get_mut(group).filter(|_| looks) {
            g.watch.looked = now.boot;
        }
        for address in self.databases(group) {
            self.look_at(now, &address, None);
        }
        self.watch_within(
            now,
            group,
            if loses || self.is_split(group) { LOST_EVERY } else { DATABASES_EVERY },
        );
    }

    /// Those that may be open at one site only, at every site that is heard; none while a run looks itself, before it
    /// opens one.
    fn databases(&self, group: &GroupId) -> Vec<Address> {
        let past = |run| self.runs.get(&run).is_some_and(crate::run::Run::no_return);
        let looks =
            |g: &&crate::in_memory::Group| g.record.active.is_none_or(past) || g.split_since.is_some();
        let Some(g) = self.groups.get(group).filter(looks) else { return Vec::new() };
        let ours = |a: &&Address| a.service == Service::Database && g.plan.one_live.contains(&a.resource);
        g.plan.resources.iter().filter(ours).filter(|a| !self.mute.contains(*a)).cloned().collect()
    }

    /// Both halves of the replications of databases that are live at both sites: they run in every mode.
    fn logs(&self, group: &GroupId) -> Vec<Address> {
        let databases = self.groups.get(group).and_then(|g| g.plan.input.get("databases")?.as_object());
        let logs = databases.into_iter().flat_map(|all| all.values());
        let logs = logs.filter(|database| database["kind"] == "both-live");
        let named: Vec<&str> = logs
            .filter_map(|database| database["replication"].as_object())
            .flat_map(|directions| directions.values().filter_map(serde_json::Value::as_str))
            .collect();
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let ours = |a: &&Address| {
            a.service == Service::Replication
                && named.contains(&a.resource.as_str())
                && !self.mute.contains(*a)
        };
        g.plan.resources.iter().filter(ours).cloned().collect()
    }

    pub(crate) fn live_and_other(&self, group: &GroupId) -> Option<(SiteId, SiteId)> {
        let g = self.groups.get(group)?;
        let live = g.record.live.clone()?;
        let other = g.plan.sites.iter().find(|site| **site != live).cloned()?;
        Some((live, other))
    }

    /// The halves at one site of the replications between two.
    pub(crate) fn halves(
        &self,
        now: Now,
        group: &GroupId,
        from: &SiteId,
        to: &SiteId,
        at: &SiteId,
    ) -> Vec<Address> {
        let all = self.replications(now, group, from, to);
        let half = |(resource, _)| Address { site: at.clone(), service: Service::Replication, resource };
        all.into_iter().map(half).collect()
    }

    /// Replication that is broken while nothing is moved: recorded, and so told, when it lasts; and when it ends.
    fn note_trouble<'a>(&mut self, now: Now, group: &GroupId, halves: impl Iterator<Item = &'a Address>) {
        let Some(g) = self.groups.get(group) else { return };
        let mut troubled = BTreeMap::new();
        let mut entries = Vec::new();
        for address in halves {
            let fresh = self.observed.get(address).filter(|(at, _)| now.boot < at.boot + SEEN_WITHIN);
            let why = match fresh.map(|(_, seen)| &seen.seen) {
                Some(Seen::Replication(seen)) => seen.trouble.clone(),
                Some(Seen::Nothing(problem)) => Some(problem.to_string()),
                // Silence is shown as silence; it neither breaks nor mends.
                _ => continue,
            };
            let told = g.record.broken.contains_key(address);
            match why {
                Some(_) if told => {}
                Some(why) => {
                    let since = g.watch.troubled.get(address).copied().unwrap_or(now.boot);
                    if now.boot >= since + TOLD_AFTER {
                        entries
                            .push(GroupEntry::Replication { address: address.clone(), trouble: Some(why) });
                    } else {
                        troubled.insert(address.clone(), since);
                    }
                }
                None if told => {
                    entries.push(GroupEntry::Replication { address: address.clone(), trouble: None });
                }
                None => {}
            }
        }
        if let Some(g) = self.groups.get_mut(group) {
            g.watch.troubled = troubled;
        }
        for entry in entries {
            self.append_group(now, group, &entry);
        }
    }
}
