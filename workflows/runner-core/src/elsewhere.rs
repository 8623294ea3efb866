//! A group that was moved by hand: its databases are open at the other site, and closed where the journal has it live, or
//! nobody sees them there: such a move is made when that site is lost. The journal is what is wrong then. So nobody is told
//! to close or to stop what runs there, or to start what the journal has live: the world is adopted first. Where the other
//! site fell silent since, somebody looks there before that.

use chrono::{DateTime, Utc};
use schemas::{Access, Action, Address, CheckLine, GroupId, Level, ResourceId, SiteId};

use crate::core::{Core, SILENT_AFTER};
use crate::group::{Debt, OpenState};
use crate::in_memory::Group;
use crate::seam::Now;
use crate::split::database;

/// Where a group was moved to by hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elsewhere<'g> {
    group: &'g GroupId,
    live: &'g SiteId,
    site: &'g SiteId,
    /// Whether the live one is seen closed; else it is silent, or cannot be looked at.
    closed: bool,
    /// When that site was last seen open, where nobody sees it now.
    unseen: Option<DateTime<Utc>>,
}

impl Elsewhere<'_> {
    /// Whether that site is seen open now: users may write there.
    pub(crate) fn is_seen(&self) -> bool {
        self.unseen.is_none()
    }

    /// What is seen, or was.
    pub(crate) fn text(&self) -> String {
        let Elsewhere { live, site, .. } = self;
        let here = if self.closed { "is closed" } else { "is not seen" };
        let there = match self.unseen {
            None => format!("{site} is open, and no run left it so"),
            Some(at) => format!(
                "no run opened {site}; {site} was last seen open at {} and is silent",
                at.format("%H:%M:%SZ")
            ),
        };
        format!("{live} counts as live, and {here}; {there}")
    }

    /// What comes first.
    pub(crate) fn remedy(&self) -> String {
        let Elsewhere { group, live, site, .. } = self;
        let adopt = format!("pointsman adopt {group} --live {site} --why …");
        match self.unseen {
            None if self.closed => format!("if that was meant: {adopt}"),
            None => format!(
                "see first that {live} is closed, or off, and start nothing there; then, if that was meant: {adopt}"
            ),
            Some(_) => format!(
                "see first whether {site} is still open, start nothing at {live} before; if it is: {adopt}"
            ),
        }
    }

    /// A line of `check` about a resource that is not as the journal has it.
    pub(crate) fn line(&self, level: Level, what: &str, seen: &str) -> CheckLine {
        let text = format!("{seen}: {}", self.text());
        CheckLine { what: what.to_owned(), level, text, remedy: Some(self.remedy()) }
    }
}

/// What comes first where a site works beside a live one that nobody sees open: it may be the only one.
pub(crate) fn look_first(g: &Group, live: &SiteId, site: &SiteId, done: &str) -> String {
    let group = &g.plan.group;
    format!(
        "{live} is not seen open: look there before anything is {done} here; if it was moved by hand: pointsman adopt \
         {group} --live {site} --why …"
    )
}

impl Core {
    /// Where the group was moved to by hand; none while a run moves it, and where only some of its databases are seen so.
    pub(crate) fn elsewhere<'g>(&self, now: Now, g: &'g Group) -> Option<Elsewhere<'g>> {
        let live = g.record.live.as_ref()?;
        let site = g.plan.sites.iter().find(|site| *site != live)?;
        let access = |site: &SiteId, resource: &ResourceId| {
            self.seen_since(g, &database(site, resource)).map(|(_, access)| access)
        };
        // One that is open in part counts as open (law 7).
        let is_open =
            |resource: &ResourceId| matches!(access(site, resource), Some(Access::Open | Access::Partly));
        let peace = g.record.active.is_none() && !g.plan.one_live.is_empty();
        if !peace || !g.plan.one_live.iter().all(is_open) {
            return None;
        }
        let closed = g.plan.one_live.iter().all(|resource| access(live, resource) == Some(Access::Closed));
        let gone = |resource: &ResourceId| {
            access(live, resource) == Some(Access::Closed) || self.is_gone(now, g, &database(live, resource))
        };
        if !closed && (self.is_known_open(g, site) || !g.plan.one_live.iter().all(gone)) {
            return None;
        }
        let there = g.plan.one_live.iter().map(|resource| database(site, resource));
        let silent = there.filter(|address| !self.is_seen_open(now, g, address));
        let unseen = silent.filter_map(|address| self.seen_since(g, &address)).map(|(at, _)| at.wall).min();
        // Nobody sees either site: that is another night.
        (closed || unseen.is_none()).then_some(Elsewhere { group: &g.plan.group, live, site, closed, unseen })
    }

    /// Whether a database is silent, or its service answers and cannot look for some time: nobody writes to it as far as
    /// anybody sees. In the first seconds of this life nobody was heard yet.
    fn is_gone(&self, now: Now, g: &Group, address: &Address) -> bool {
        if self.is_seen_open(now, g, address) || now.boot < self.began + SILENT_AFTER {
            return false;
        }
        let blind = self.blind.get(address).is_some_and(|since| now.boot >= *since + SILENT_AFTER);
        blind || !self.is_heard(now, address)
    }

    /// Whether it is known otherwise why a site is open that is not live: a run left it so, both were open at once, or a
    /// person said that only the link is lost.
    fn is_known_open(&self, g: &Group, site: &SiteId) -> bool {
        let closes =
            |debt: &Debt| debt.owed.action == Some(Action::DisableAccess) && debt.owed.address.site == *site;
        let opened = |resource: &ResourceId| {
            matches!(g.record.databases.get(&database(site, resource)), Some(OpenState::Opening { .. }))
        };
        g.record.debts.values().any(closes)
            || g.plan.one_live.iter().any(opened)
            || !g.record.split.is_empty()
            || g.split_since.is_some()
            || g.record.disconnected().is_some()
    }
}
