//! Users of the live site can only read: what tells it, and since when. The beginning is recorded, so that the runner's own
//! death does not move it, and the run that ends it begins to count there.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::view::ResourceView;
use schemas::{Address, GroupId, ResourceId, Running, Seen, Service, SiteId};

use crate::core::{Core, SILENT_AFTER};
use crate::entry::GroupEntry;
use crate::in_memory::Group;
use crate::seam::Now;
use crate::views::text;

/// Why users can only read.
pub(crate) struct OnlyReads {
    /// Since when, as it was seen: a site that is silent, since it was last heard.
    pub(crate) since: DateTime<Utc>,
    what: String,
    next: String,
}

impl OnlyReads {
    /// What is seen, for how long, and which command comes next.
    pub(crate) fn sentence(&self, now: Now) -> String {
        let lasts = (now.wall - self.since).to_std().unwrap_or_default();
        format!("{}, limited for {}: {}", self.what, lasting(lasts), self.next)
    }
}

impl Core {
    /// Whether users of the live site can only read, from what is seen now.
    pub(crate) fn limited(&self, now: Now, id: &GroupId, resources: &[ResourceView]) -> Option<OnlyReads> {
        let g = self.groups.get(id)?;
        let live = g.record.live.as_ref()?;
        let other = g.plan.sites.iter().find(|site| *site != live).cloned();
        let failover = format!("pointsman failover {id} --to {} --why …", text(&other));
        let (since, what, next) = if let Some(since) = self.silent_since(now, live, resources) {
            (since, format!("{live} is live and silent"), failover)
        } else if let Some((resource, since, why)) = self.blind_at(now, g, live) {
            let what = format!("{live} is live and {resource} there cannot be looked at ({why})");
            (since, what, format!("start it again, or {failover}"))
        } else {
            let dead = dead_at(g, live, resources)?;
            let what = format!("{live} is live, its database answers, and nothing of {dead} runs there");
            let next = format!("start it again there; if that cannot be done, {failover} (it drains first)");
            (now.wall, what, next)
        };
        let known = g.record.limited.as_ref().filter(|(site, _)| site == live);
        Some(OnlyReads { since: known.map_or(since, |(_, since)| *since), what, next })
    }

    /// Records that it began or that it is over. A run has a clock of its own, which begins with this one.
    pub(crate) fn note_limited(&mut self, now: Now, group: &GroupId) {
        // In the first seconds of this life nobody was heard yet.
        if now.boot < self.began + SILENT_AFTER || self.is_copied(group) {
            return;
        }
        let Some(g) = self.groups.get(group).filter(|g| g.record.active.is_none()) else { return };
        let Some(live) = g.record.live.clone() else { return };
        let ours = g.plan.resources.iter().chain(&g.plan.clients).filter(|a| a.site == live);
        let resources: Vec<ResourceView> = ours.map(|a| self.resource_view(now, a)).collect();
        let found = self.limited(now, group, &resources).map(|found| found.since);
        if found.is_some() == g.record.limited.is_some() {
            return;
        }
        if found.is_none() {
            // What this life has not looked at yet does not tell that it is over.
            let unseen = self.unseen_at(now, g, &live);
            for address in &unseen {
                self.look_at(now, address, None);
            }
            if !unseen.is_empty() {
                return;
            }
        }
        self.append_group(now, group, &GroupEntry::Limited { site: live, since: found });
    }

    /// Since when nothing of the live site is heard. An answer that is late on a busy host is no lost site: three
    /// beats have to be missing.
    fn silent_since(&self, now: Now, live: &SiteId, resources: &[ResourceView]) -> Option<DateTime<Utc>> {
        let lately = now.wall - SILENT_AFTER;
        let ours = || resources.iter().filter(|r| r.address.site == *live);
        let silent = |r: &ResourceView| r.silent && r.heard.is_none_or(|heard| heard < lately);
        let all = ours().next().is_some() && ours().all(silent);
        all.then(|| ours().filter_map(|r| r.heard).max().unwrap_or(self.began_wall))
    }

    /// A database of the live site whose service answers and could not look for some time: since when, and why.
    fn blind_at(&self, now: Now, g: &Group, live: &SiteId) -> Option<(ResourceId, DateTime<Utc>, String)> {
        g.plan.one_live.iter().find_map(|resource| {
            let address =
                Address { site: live.clone(), service: Service::Database, resource: resource.clone() };
            let since = self.blind.get(&address)?;
            let Seen::Nothing(why) = &self.observed.get(&address)?.1.seen else { return None };
            let why = why.detail.clone().unwrap_or_else(|| why.title.clone());
            let lasts = now.boot.saturating_sub(*since);
            (lasts >= SILENT_AFTER).then(|| (resource.clone(), now.wall - lasts, why))
        })
    }

    /// What is heard at the live site and would tell that users write there, and was not seen in this life.
    fn unseen_at(&self, now: Now, g: &Group, live: &SiteId) -> Vec<Address> {
        let databases = g.plan.one_live.iter().map(|resource| (Service::Database, resource));
        let parts = g.plan.live_only.iter().map(|resource| (Service::Process, resource));
        let address = |(service, resource): (Service, &ResourceId)| Address {
            site: live.clone(),
            service,
            resource: resource.clone(),
        };
        let seen = |address: &Address| match self.observed.get(address).map(|(_, seen)| &seen.seen) {
            None => false,
            Some(Seen::Nothing(_)) => address.service != Service::Database,
            Some(_) => true,
        };
        databases.chain(parts).map(address).filter(|a| self.is_heard(now, a) && !seen(a)).collect()
    }
}

/// What runs at the live site only, if every part of it is seen not to run.
fn dead_at(g: &Group, live: &SiteId, resources: &[ResourceView]) -> Option<String> {
    let parts = g.plan.live_only.iter().map(|name| {
        let of = |view: &&ResourceView| {
            view.address.site == *live
                && view.address.service == Service::Process
                && view.address.resource == *name
        };
        let view = resources.iter().find(of).filter(|view| !view.silent)?;
        match &view.observation.as_ref()?.seen {
            Seen::Process(seen) => Some(matches!(seen.running, Running::Stopped | Running::Unhealthy)),
            _ => None,
        }
    });
    let dead: Vec<Option<bool>> = parts.collect();
    let all = !dead.is_empty() && dead.iter().all(|part| *part == Some(true));
    all.then(|| g.plan.live_only.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// As people say it; it grows while they read it.
fn lasting(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
