//! Two sites that are open at once: recorded, told to people, and told again when it is over. An acceptance is a word
//! about a site that could not be asked; it does not make good what is seen when it answers again.

use std::time::Duration;

use schemas::view::RunState;
use schemas::{Access, Address, GroupId, ResourceId, Seen, Service, SiteId};

use crate::core::Core;
use crate::entry::GroupEntry;
use crate::in_memory::Group;
use crate::notify::NoticeOf;
use crate::seam::Now;

/// A site whose close is owed is closed as soon as it answers again, which takes a moment; so does a run's own close.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

impl Core {
    /// A look at a database: is another site open too? Only what was seen since the latest opening counts.
    pub(crate) fn note_split(&mut self, now: Now, address: &Address) {
        let ours = |g: &&Group| g.plan.one_live.contains(&address.resource);
        let mut groups = self.groups.values().filter(ours).filter(|g| g.plan.resources.contains(address));
        let Some(group) = groups.next().map(|g| g.plan.group.clone()) else { return };
        let sites = self.split_sites(now, &group);
        let Some(g) = self.groups.get_mut(&group).filter(|g| g.record.holder.is_some()) else { return };
        if g.record.split == sites {
            g.split_since = None;
            return;
        }
        let owed = |debt: &crate::group::Debt| {
            debt.owed.address.service == Service::Database && sites.contains(&debt.owed.address.site)
        };
        let closing = g.record.active.is_some() || g.record.debts.values().any(owed);
        if closing && !sites.is_empty() {
            let since = *g.split_since.get_or_insert(now.boot);
            if now.boot < since + CLOSED_WITHIN {
                self.watch_soon(now, &group);
                return;
            }
        }
        g.split_since = None;
        let (holder, told) = (g.record.holder, g.record.split.clone());
        // It is over when one of them is seen closed; one that only fell silent was not.
        if sites.is_empty() && !told.iter().any(|site| self.seen_closed(&group, site)) {
            return;
        }
        self.append_group(now, &group, &GroupEntry::SplitBrain { sites: sites.clone() });
        if let (Some(run), false) = (holder, sites.is_empty()) {
            let names: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
            let text = format!(
                "SPLIT-BRAIN: {} are open at once: close one by hand, then pointsman adopt {group} --why …",
                names.join(" and ")
            );
            self.owe_alarm(now, &group, run, NoticeOf::SplitBrain, RunState::Held, &text);
        }
    }

    /// Sites that are open at once; none, or two and more.
    pub(crate) fn split_sites(&self, now: Now, group: &GroupId) -> Vec<SiteId> {
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let open = |site: &&SiteId| self.is_site_seen_open(now, g, site);
        let open: Vec<SiteId> = g.plan.sites.iter().filter(open).cloned().collect();
        if open.len() > 1 { open } else { Vec::new() }
    }

    /// Whether any database of a site that may be open at one site only is seen so.
    pub(crate) fn is_site_seen_open(&self, now: Now, g: &Group, site: &SiteId) -> bool {
        g.plan.one_live.iter().any(|resource| self.is_seen_open(now, g, &database(site, resource)))
    }

    /// Whether a database is seen open, since the latest opening of its group.
    pub(crate) fn is_seen_open(&self, now: Now, g: &Group, address: &Address) -> bool {
        self.seen_since(g, address).is_some() && self.is_open_at(now, address)
    }

    /// How a database was last seen, and when. What was seen before the latest opening of its group tells nothing of it.
    pub(crate) fn seen_since(&self, g: &Group, address: &Address) -> Option<(Now, Access)> {
        let counts = |at: &Now| g.record.opened.is_none_or(|since| at.wall > since);
        self.access_of(address).filter(|(at, _)| counts(at))
    }

    /// How a database was last seen, and when.
    fn access_of(&self, address: &Address) -> Option<(Now, Access)> {
        let (at, observation) = self.observed.get(address)?;
        match &observation.seen {
            Seen::Database(seen) => Some((*at, seen.access)),
            _ => None,
        }
    }

    /// Whether two sites were seen open and it is not told yet.
    pub(crate) fn is_split(&self, group: &GroupId) -> bool {
        self.groups.get(group).is_some_and(|g| g.split_since.is_some())
    }

    /// Whether every database of a site that may be open at one site only was last seen closed.
    fn seen_closed(&self, group: &GroupId, site: &SiteId) -> bool {
        let Some(g) = self.groups.get(group) else { return false };
        g.plan.one_live.iter().all(|resource| {
            let seen = self.access_of(&database(site, resource));
            seen.is_some_and(|(_, access)| access == Access::Closed)
        })
    }
}

/// A database of a site.
pub(crate) fn database(site: &SiteId, resource: &ResourceId) -> Address {
    Address { site: site.clone(), service: Service::Database, resource: resource.clone() }
}
