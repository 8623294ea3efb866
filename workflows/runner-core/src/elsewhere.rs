//! A group that was moved by hand: its databases are seen closed where the journal has it live, and open at the other site.
//! The journal is what is wrong then. So nobody is told to close or to stop what runs there, or to start what the journal
//! has live: the world is adopted first.

use schemas::{Access, Address, CheckLine, GroupId, Level, ResourceId, Seen, Service, SiteId};

use crate::core::Core;
use crate::in_memory::Group;
use crate::seam::Now;

/// Where a group was moved to by hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elsewhere<'g> {
    group: &'g GroupId,
    live: &'g SiteId,
    site: &'g SiteId,
}

impl Elsewhere<'_> {
    /// What is seen.
    pub(crate) fn text(&self) -> String {
        let Elsewhere { live, site, .. } = self;
        format!("{live} counts as live, and is closed; {site} was opened by other hands than Pointsman's")
    }

    /// What comes first.
    pub(crate) fn remedy(&self) -> String {
        let Elsewhere { group, site, .. } = self;
        format!("if that was meant: pointsman adopt {group} --live {site} --why …")
    }

    /// A line of `check` about a resource that is not as the journal has it.
    pub(crate) fn line(&self, level: Level, what: &str, seen: &str) -> CheckLine {
        let text = format!("{seen}: {}", self.text());
        CheckLine { what: what.to_owned(), level, text, remedy: Some(self.remedy()) }
    }
}

impl Core {
    /// Where the group was moved to by hand; none while a run moves it, and where only some of its databases are seen so.
    pub(crate) fn elsewhere<'g>(&self, g: &'g Group) -> Option<Elsewhere<'g>> {
        let live = g.record.live.as_ref()?;
        let site = g.plan.sites.iter().find(|site| *site != live)?;
        let moved = |database: &ResourceId| {
            self.seen_since(g, live, database) == Some(Access::Closed)
                && self.seen_since(g, site, database) == Some(Access::Open)
        };
        let all = g.record.active.is_none() && !g.plan.one_live.is_empty();
        (all && g.plan.one_live.iter().all(moved)).then_some(Elsewhere { group: &g.plan.group, live, site })
    }

    /// How a database was seen. What was seen before the latest opening tells nothing of it.
    fn seen_since(&self, g: &Group, site: &SiteId, database: &ResourceId) -> Option<Access> {
        let address = Address { site: site.clone(), service: Service::Database, resource: database.clone() };
        let since = |at: &Now| g.record.opened.is_none_or(|since| at.wall > since);
        match self.observed.get(&address).filter(|(at, _)| since(at)).map(|(_, seen)| &seen.seen) {
            Some(Seen::Database(seen)) => Some(seen.access),
            _ => None,
        }
    }
}
