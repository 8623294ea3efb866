//! What a definition is for: from which site to which it goes, and what has to hold before it starts.

use engine::Purpose;
use schemas::op::ProtectBy;
use schemas::{Access, Address, Code, Epoch, GroupId, Problem, Seen, Service, SiteId};

use crate::core::Core;
use crate::in_memory::Group;
use crate::start::{Checked, Start};

/// How a start leaves the site that is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// It is lost.
    Lost,
    /// Closed in order.
    Planned,
    /// As it is; or none was.
    Live,
    /// As it is, and what runs at the other one is stopped first.
    Standby,
}

impl Checked {
    pub(crate) fn leaves(&self) -> Leaves {
        match self.purpose {
            _ if self.unplanned => Leaves::Lost,
            Purpose::Move | Purpose::Return => Leaves::Planned,
            Purpose::Protect => Leaves::Standby,
            Purpose::Establish | Purpose::Tidy => Leaves::Live,
        }
    }
}

fn conflict(detail: String) -> Problem {
    Problem::new(Code::Conflict, detail)
}

fn other(g: &Group, site: &SiteId) -> Result<SiteId, Problem> {
    g.plan.sites.iter().find(|s| *s != site).cloned().ok_or_else(|| conflict("the group has one site".into()))
}

impl Core {
    /// The site that is left, or that sends; and the site that is opened, or that receives.
    pub(crate) fn direction(
        &self,
        start: &Start,
        g: &Group,
        purpose: Purpose,
    ) -> Result<(SiteId, SiteId), Problem> {
        if let Some(to) = &start.to {
            g.plan.has_site(to)?;
        }
        if purpose == Purpose::Establish {
            return self.establish(start, g);
        }
        let live = g.record.live.clone().ok_or_else(|| conflict(nothing_live(&start.group, g)))?;
        let (from, to) = match purpose {
            Purpose::Return => {
                let home = g.plan.sites.first().cloned().unwrap_or_else(|| live.clone());
                if start.to.as_ref().is_some_and(|to| *to != home) {
                    return Err(conflict(format!(
                        "a failback goes to {home}: pointsman switchover goes elsewhere"
                    )));
                }
                (other(g, &home)?, home)
            }
            Purpose::Protect => {
                let standby = other(g, &live)?;
                if start.to.as_ref().is_some_and(|to| *to != standby) {
                    return Err(conflict(format!(
                        "{live} is live: {standby} is what can be brought up to date"
                    )));
                }
                self.may_protect(start, g, &standby)?;
                return Ok((live, standby));
            }
            Purpose::Tidy => {
                let standby = other(g, &live)?;
                return Ok((live, standby));
            }
            Purpose::Move | Purpose::Establish => {
                let to = start.to.clone().map_or_else(|| other(g, &live), Ok)?;
                (other(g, &to)?, to)
            }
        };
        // Whoever supersedes may go on to the same site or back; otherwise the live site cannot be the target.
        if to == live && start.supersede.is_none() {
            return Err(conflict(format!("{to} is live already")));
        }
        Ok((from, to))
    }

    fn establish(&self, start: &Start, g: &Group) -> Result<(SiteId, SiteId), Problem> {
        if g.record.epoch == Epoch(0) {
            return Err(conflict(nothing_live(&start.group, g)));
        }
        let first = g.plan.sites.first().cloned().ok_or_else(|| conflict("the group has no site".into()))?;
        let to = start.to.clone().or_else(|| g.record.live.clone()).unwrap_or(first);
        if let Some(live) = g.record.live.as_ref().filter(|live| **live != to) {
            let detail =
                format!("{live} was live last and has what was written last: --to {live}, or a failover");
            return Err(conflict(detail));
        }
        // However long ago it was seen: what was open then was not closed by us since.
        for resource in &g.plan.one_live {
            for site in &g.plan.sites {
                let address =
                    Address { site: site.clone(), service: Service::Database, resource: resource.clone() };
                let open = self.observed.get(&address).is_some_and(
                    |(_, seen)| matches!(&seen.seen, Seen::Database(d) if d.access != Access::Closed),
                );
                if open && start.supersede.is_none() {
                    let detail = format!("{resource} is open at {site}: there is nothing to establish");
                    return Err(conflict(detail));
                }
            }
        }
        Ok((other(g, &to)?, to))
    }

    /// Whether the standby's receivers were last seen to apply what is written at the live site.
    fn follows(&self, g: &Group, standby: &SiteId) -> bool {
        let Some(live) = &g.record.live else { return false };
        let all = self.halves_of(g, live, standby);
        let applies = |address: &Address| match self.observed.get(address).map(|(_, seen)| &seen.seen) {
            Some(Seen::Replication(seen)) => {
                matches!(seen.state, schemas::ReplicationState::Running | schemas::ReplicationState::Draining)
            }
            _ => false,
        };
        let whole = self.broken_between(g, live, standby).is_empty()
            && self.unfinished(g, live, standby).is_empty()
            && self.all_unlike(g, live, standby).is_empty();
        !all.is_empty() && all.iter().all(applies) && whole
    }

    /// Whether the other site may be brought up to date in the way that was asked for.
    fn may_protect(&self, start: &Start, g: &Group, standby: &SiteId) -> Result<(), Problem> {
        let left = g.record.left.as_ref().filter(|left| left.site == *standby);
        let live = g.record.live.as_ref();
        let copies = live.map(|live| self.unfinished(g, live, standby)).unwrap_or_default();
        if start.waive_ledger && start.protect_by != Some(ProtectBy::Copy) {
            return Err(conflict("only a copy needs a ledger: there is none to be waived".into()));
        }
        let by = start.protect_by.unwrap_or(ProtectBy::CatchUp);
        if let (ProtectBy::CatchUp, Some(gone)) = (by, g.record.gone(standby)) {
            let detail = format!(
                "{} declared that {standby} is gone ({}), so nothing of it is caught up with: pointsman reprotect {} --by copy \
                 --why …, or pointsman declare over {} --why … first",
                gone.by.who.person, gone.by.why, start.group, start.group
            );
            return Err(Problem::new(Code::Declared, detail));
        }
        match by {
            ProtectBy::CatchUp if left.is_some_and(|left| left.drained) => Ok(()),
            ProtectBy::CatchUp if left.is_none() && self.follows(g, standby) => {
                let detail = format!("{standby} follows already: there is nothing to bring up to date");
                Err(conflict(detail))
            }
            ProtectBy::CatchUp if left.is_none() && !copies.is_empty() => {
                Err(conflict(format!("{}: it goes on by itself", copies.join("; "))))
            }
            ProtectBy::CatchUp => {
                let detail = format!(
                    "it is not proved that {standby} has nothing that never came over: save that and copy, \
                     pointsman reprotect {} --by copy --why …",
                    start.group
                );
                Err(Problem::new(Code::Precondition, detail))
            }
            // The service itself looks at what it would overwrite.
            ProtectBy::Copy => Ok(()),
        }
    }
}

/// Which command comes first where no site is live.
pub(crate) fn nothing_live(group: &GroupId, g: &Group) -> String {
    match g.record.epoch {
        Epoch(0) => format!(
            "`{group}` was never adopted: pointsman adopt {group}; where every site is closed: --none-live"
        ),
        _ => format!("no site of `{group}` is live: pointsman establish {group} --why …"),
    }
}
