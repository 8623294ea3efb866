//! Users can only read: what tells it, and since when. That is so where the live site does not serve, and where no copy of
//! what runs at both sites on what it serves is healthy, such as proxies that have lost their server. The beginning
//! is recorded, so that the runner's own death does not move it, and the run that ends it begins to count there.

use chrono::{DateTime, Utc};
use schemas::view::ResourceView;
use schemas::{Address, GroupId, ResourceId, Running, Seen, Service, SiteId};

use crate::core::{Core, SILENT_AFTER};
use crate::entry::GroupEntry;
use crate::followed::{NAMED, everywhere};
use crate::in_memory::Group;
use crate::preflight::CHECK_WITHIN;
use crate::seam::Now;
use crate::since::{lasting, since};
use crate::views::text;

/// A program that is not healthy, and since when.
type Unwell<'r> = (&'r Address, DateTime<Utc>);

/// Why users can only read.
pub(crate) struct OnlyReads {
    /// Since when, as it was seen: a site that is silent, since it was last heard.
    pub(crate) since: DateTime<Utc>,
    what: String,
    /// What is looked at before anything is done, where the group may have been moved by hand.
    before: Option<String>,
    next: String,
}

impl OnlyReads {
    /// What is seen, since when, and which command comes next.
    pub(crate) fn sentence(&self, now: Now) -> String {
        let before = self.before.as_ref().map_or(String::new(), |before| format!("{before}; if it is not: "));
        format!("{}, limited {}: {before}{}", self.what, since(self.since, now), self.next)
    }
}

impl Core {
    /// Whether users of the live site can only read, from what is seen now. Where the group was moved by hand they may
    /// write at the other site, as long as that is seen.
    pub(crate) fn limited(&self, now: Now, id: &GroupId, resources: &[ResourceView]) -> Option<OnlyReads> {
        let g = self.groups.get(id)?;
        let live = g.record.live.as_ref()?;
        let moved = self.elsewhere(now, g);
        if moved.is_some_and(|moved| moved.is_seen()) {
            return None;
        }
        let before = moved.map(|moved| format!("{}; {}", moved.text(), moved.remedy()));
        let other = g.plan.sites.iter().find(|site| *site != live).cloned();
        let failover = format!("pointsman failover {id} --to {} --why …", text(&other));
        let (unwell, _) = self.unwell_parts(now, g, resources);
        let first = unwell.iter().map(|(_, since)| *since).min();
        let dead = dead_at(g, live, resources);
        let (since, what, next) = if let Some(since) = self.silent_since(now, live, resources) {
            (since, format!("{live} is live and silent"), failover)
        } else if let Some((resource, since, why)) = self.blind_at(now, g, live) {
            let what = format!("{live} is live and {resource} there cannot be looked at ({why})");
            (since, what, format!("start it again, or {failover}"))
        } else if !dead.is_empty() && dead.len() == g.plan.live_only.len() {
            let dead = dead.join(", ");
            let what = format!("{live} is live, its database answers, and nothing of {dead} runs there");
            let next = format!("start it again there; if that cannot be done, {failover} (it drains first)");
            (now.wall, what, next)
        } else {
            let since = first?;
            let are = if unwell.len() == 1 { "runs and is" } else { "run and are" };
            let what = format!("{live} is live, and {} {are} not healthy", listed(&unwell));
            let next = match dead.is_empty() {
                true => {
                    format!("look what they lack; if {live} cannot serve them, {failover} (it drains first)")
                }
                false => format!(
                    "start {} at {live} again; if that cannot be done, {failover} (it drains first)",
                    dead.join(", ")
                ),
            };
            (since, what, next)
        };
        // It began where the first of them could not do its work any more.
        let since = first.map_or(since, |first| first.min(since));
        let known = g.record.limited.as_ref().filter(|(site, _)| site == live);
        Some(OnlyReads { since: known.map_or(since, |(_, since)| *since), what, before, next })
    }

    /// What runs at both sites on what the live site serves, such as proxies, and was not healthy by every look that told for
    /// some time, each with since when: first those of which no copy that is heard is healthy, then those that are sick
    /// beside a healthy copy: the live site serves that one.
    fn unwell_parts<'r>(
        &self,
        now: Now,
        g: &Group,
        resources: &'r [ResourceView],
    ) -> (Vec<Unwell<'r>>, Vec<Unwell<'r>>) {
        let served = served(g);
        let heard: Vec<&ResourceView> =
            resources.iter().filter(|view| !view.silent && served.contains(&view.address)).collect();
        let unwell = |view: &'r ResourceView| Some((&view.address, self.unwell_since(now, &view.address)?));
        heard.iter().copied().filter_map(unwell).partition(|(part, _)| {
            let copy = |view: &&ResourceView| view.address.resource == part.resource;
            !heard.iter().copied().filter(copy).any(|view| self.is_well(now, &view.address))
        })
    }

    /// Those that are sick beside a healthy copy: nobody's writes wait for them.
    pub(crate) fn sick(&self, now: Now, g: &Group) -> Vec<String> {
        let resources: Vec<ResourceView> =
            served(g).iter().map(|part| self.resource_view(now, part)).collect();
        let (_, single) = self.unwell_parts(now, g, &resources);
        let said = |(part, first): &Unwell<'_>| {
            let since = since(*first, now);
            format!(
                "{} at {} runs and is not healthy, its copy is; {since}: look at its log",
                part.resource, part.site
            )
        };
        single.iter().map(said).collect()
    }

    /// Looks at them; in peace only: a run has looks of its own.
    pub(crate) fn look_at_served(&mut self, group: &GroupId) {
        let Some(g) = self.groups.get(group).filter(|g| g.record.active.is_none()) else { return };
        let mut parts = served(g);
        parts.retain(|part| !self.mute.contains(part));
        for part in &parts {
            self.look_for(part, CHECK_WITHIN);
        }
    }

    /// Records that it began or that it is over. A run has a clock of its own, which begins with this one.
    pub(crate) fn note_limited(&mut self, now: Now, group: &GroupId) {
        // In the first seconds of this life nobody was heard yet.
        if now.boot < self.began + SILENT_AFTER || self.is_copied(group) {
            return;
        }
        let Some(g) = self.groups.get(group).filter(|g| g.record.active.is_none()) else { return };
        let moved = self.elsewhere(now, g).is_some_and(|moved| moved.is_seen());
        let Some(live) = g.record.live.clone() else { return };
        let ours = g.plan.resources.iter().chain(&g.plan.clients);
        let resources: Vec<ResourceView> = ours.map(|a| self.resource_view(now, a)).collect();
        let found = self.limited(now, group, &resources).map(|found| found.since);
        if found.is_some() == g.record.limited.is_some() {
            return;
        }
        // Where it was moved by hand users may write at the other site, whatever is not seen at this one.
        if found.is_none() && !moved {
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

    /// That nothing of the live site answers since a moment, which may still be a busy host's lateness.
    pub(crate) fn hushed(&self, now: Now, id: &GroupId, resources: &[ResourceView]) -> Option<String> {
        let live = self.groups.get(id)?.record.live.as_ref()?;
        let ours = || resources.iter().filter(|r| r.address.site == *live);
        let heard = ours().filter_map(|r| r.heard).max().filter(|_| ours().all(|r| r.silent))?;
        let lasts = (now.wall - heard).to_std().unwrap_or_default();
        Some(format!(
            "nothing of {live} answers, heard last {} ago: after {} s it counts as silent",
            lasting(lasts),
            SILENT_AFTER.as_secs()
        ))
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

    /// What is heard and would tell that users write at the live site, and was not seen in this life, or was seen not to be
    /// healthy and not for long yet.
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
        let unseen = databases.chain(parts).map(address).filter(|address| !seen(address));
        let unsure = |address: &Address| !seen(address) || self.may_be_unwell(now, g, address);
        let served = served(g).into_iter().filter(unsure);
        unseen.chain(served).filter(|address| self.is_heard(now, address)).collect()
    }
}

/// What runs at the live site only and is seen not to run there, or not well.
fn dead_at(g: &Group, live: &SiteId, resources: &[ResourceView]) -> Vec<String> {
    let dead = |name: &&ResourceId| {
        let of = |view: &&ResourceView| {
            view.address.site == *live
                && view.address.service == Service::Process
                && view.address.resource == **name
        };
        let view = resources.iter().find(of).filter(|view| !view.silent);
        match view.and_then(|view| Some(&view.observation.as_ref()?.seen)) {
            Some(Seen::Process(seen)) => matches!(seen.running, Running::Stopped | Running::Unhealthy),
            _ => false,
        }
    };
    g.plan.live_only.iter().filter(dead).map(ToString::to_string).collect()
}

/// The programs of `everywhere` at each site that work on what the live site serves: not those with a database that is
/// live at both.
fn served(g: &Group) -> Vec<Address> {
    let both = |share: &str| {
        let database = share.split('@').next().unwrap_or_default();
        g.plan.input.pointer(&format!("/databases/{database}/kind")).and_then(|kind| kind.as_str())
            == Some("both-live")
    };
    let names: Vec<&str> =
        everywhere(g).filter(|(_, share)| !share.is_some_and(both)).map(|(name, _)| name).collect();
    let ours = |a: &&Address| {
        a.service == Service::Process
            && g.plan.sites.contains(&a.site)
            && names.contains(&a.resource.as_str())
    };
    g.plan.resources.iter().filter(ours).cloned().collect()
}

/// The first of them by name and site.
fn listed(parts: &[Unwell<'_>]) -> String {
    let names: Vec<String> =
        parts.iter().take(NAMED).map(|(part, _)| format!("{}@{}", part.resource, part.site)).collect();
    let more = parts.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}
