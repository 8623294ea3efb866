//! Which way a group is protected: what the receivers of its replications were last seen to do; and why it is not, with the
//! command that comes next.

use chrono::{DateTime, Utc};
use schemas::check::GroupLine;
use schemas::{
    Address, Aside, CheckLine, Code, GroupId, Problem, ReplicationState, ResourceId, Seen, Service, SiteId,
};

use crate::compared::rows_differ;
use crate::core::Core;
use crate::in_memory::Group;
use crate::purpose::Leaves;
use crate::seam::Now;
use crate::start::Checked;

/// Why the other site is not seen to receive what is written at the live one.
#[derive(Debug)]
pub(crate) struct Unprotected {
    /// All that is in the way, first what is mended first.
    whys: Vec<Why>,
    /// Which command comes next.
    pub(crate) remedy: String,
}

/// One thing that is in the way.
#[derive(Debug, Clone)]
struct Why {
    /// Of which replication; none: of the whole group.
    of: Option<ResourceId>,
    text: String,
}

impl Why {
    fn of(half: &Address, text: String) -> Why {
        Why { of: Some(half.resource.clone()), text }
    }

    fn of_all(text: String) -> Why {
        Why { of: None, text }
    }
}

impl Unprotected {
    /// What is mended first.
    pub(crate) fn why(&self) -> &str {
        self.whys.first().map_or("", |why| why.text.as_str())
    }

    /// All that is in the way, in words.
    pub(crate) fn all(&self) -> String {
        let all: Vec<&str> = self.whys.iter().map(|why| why.text.as_str()).collect();
        all.join("; ")
    }

    /// What is in the way of one replication.
    pub(crate) fn why_of(&self, replication: &ResourceId) -> Option<&str> {
        let of = |why: &&Why| why.of.as_ref().is_none_or(|of| of == replication);
        self.whys.iter().find(of).map(|why| why.text.as_str())
    }
}

/// The command that copies a site anew.
pub(crate) fn by_copy(group: &GroupId) -> String {
    format!("pointsman reprotect {group} --by copy --why …")
}

/// What goes on with a copy that nobody goes on with by himself.
pub(crate) fn given_up(group: &GroupId) -> String {
    format!("one that was given up goes on by {}", by_copy(group))
}

fn catches_up(g: &Group, standby: &SiteId) -> bool {
    let left = g.record.left.as_ref().filter(|left| left.site == *standby);
    left.is_some_and(|left| g.record.may_catch_up(left))
}

fn receives(state: Option<ReplicationState>) -> bool {
    matches!(state, Some(ReplicationState::Running | ReplicationState::Draining))
}

impl Core {
    /// The command that brings a site up to date: by catch-up where it was left with nothing that never came over and was not
    /// declared gone, else by copy. Never `establish`, which opens a site where none is open.
    pub(crate) fn reprotect(&self, g: &Group, standby: &SiteId) -> String {
        match catches_up(g, standby) {
            true => format!("pointsman reprotect {} --why …", g.plan.group),
            false => self.copied_to(g, standby),
        }
    }

    /// The command that copies a site anew; before it, where an earlier copy laid something aside there and has ended, the
    /// one that drops that: a copy beside it is refused. A site that is declared gone stands anew by then.
    pub(crate) fn copied_to(&self, g: &Group, standby: &SiteId) -> String {
        let group = &g.plan.group;
        let live = g.plan.sites.iter().find(|site| *site != standby);
        let halves = live.map(|live| self.halves_of(g, live, standby)).unwrap_or_default();
        let aside =
            halves.iter().filter_map(|half| match self.observed.get(half).map(|(_, seen)| &seen.seen) {
                Some(Seen::Replication(seen)) => seen.aside.as_deref(),
                _ => None,
            });
        let aside: Vec<&Aside> = aside.filter(|_| g.record.gone(standby).is_none()).collect();
        let copy = by_copy(group);
        let kept: Vec<&Aside> = aside.iter().copied().filter(|aside| aside.is_kept()).collect();
        if kept.is_empty() || aside.iter().any(|aside| aside.unfinished) {
            return copy;
        }
        let exported = kept.iter().filter(|aside| aside.ledger.is_some()).count();
        let only = match exported {
            0 => "; it was exported to no ledger: nobody else has it",
            all if all == kept.len() => "",
            _ => "; not all of it was exported to a ledger",
        };
        format!(
            "pointsman cleanup {group} --why …, when nobody needs what an earlier copy laid aside at {standby}{only}, and then {copy}"
        )
    }

    /// Why a group is not protected, and what mends that; none where it is.
    pub(crate) fn unprotected(
        &self,
        now: Now,
        g: &Group,
        live: &SiteId,
        other: &SiteId,
    ) -> Option<Unprotected> {
        let group = &g.plan.group;
        if self.is_protected(now, group, live, other) {
            return None;
        }
        // Whatever follows from the journal would close the only open site.
        if let Some(moved) = self.elsewhere(now, g) {
            let whys = vec![Why::of_all(moved.text())];
            return Some(Unprotected { whys, remedy: moved.remedy() });
        }
        let halves = self.halves_of(g, live, other);
        let differs = |half: &Address| Some(Why::of(half, rows_differ(g, half)?));
        let unlike: Vec<Why> = halves.iter().filter_map(differs).collect();
        let broken = self.broken_between(g, live, other).into_iter();
        let broken: Vec<Why> = broken
            .map(|(half, why)| {
                Why::of(&half, format!("{} at {} is broken ({why})", half.resource, half.site))
            })
            .collect();
        let copied = |half: &Address| Some(Why::of(half, self.unfinished_copy(half)?));
        let copies: Vec<Why> = halves.iter().filter_map(copied).collect();
        let copy = self.copied_to(g, other);
        let remedy = if !unlike.is_empty() {
            self.copied_anew(g, other)
        } else if !broken.is_empty() {
            format!("mend that, and it goes on by itself; where that cannot be done, {copy}")
        } else if !copies.is_empty() {
            format!("it goes on by itself; {}", given_up(group))
        } else {
            self.runs_again(now, g, live, other)
        };
        let mut whys = [unlike, broken, copies].concat();
        if whys.is_empty() {
            whys = self.not_running(now, g, live, other);
        }
        Some(Unprotected { whys, remedy })
    }

    /// Since when an unprotected group is that, where it is recorded: the run that left the other site had it receive nothing,
    /// or what is broken now was seen to break. When a standby stopped by itself is not.
    pub(crate) fn unprotected_since(
        &self,
        g: &Group,
        live: &SiteId,
        other: &SiteId,
    ) -> Option<DateTime<Utc>> {
        let left = g.record.left.as_ref().filter(|left| left.site == *other);
        if let Some(left) = left.filter(|left| !left.follows.unwrap_or(left.drained)) {
            return Some(left.since);
        }
        // What differs, or is not all there, protected nobody before it broke.
        if !self.all_unlike(g, live, other).is_empty() || !self.unfinished(g, live, other).is_empty() {
            return None;
        }
        let broken = self.broken_between(g, live, other).into_iter();
        broken.filter_map(|(half, _)| g.record.broken.get(&half).map(|(since, _)| *since)).min()
    }

    /// The replications that are not seen to run, in words.
    fn not_running(&self, now: Now, g: &Group, live: &SiteId, other: &SiteId) -> Vec<Why> {
        let all = self.replications(now, &g.plan.group, live, other);
        if all.is_empty() {
            let text = format!("the group's file names no replication from {live} to {other}");
            return vec![Why::of_all(text)];
        }
        let still = all.into_iter().filter(|(_, state)| !receives(*state));
        still
            .map(|(resource, state)| {
                let what = if state.is_some() { "does not run" } else { "is not seen to run" };
                let receiver = Address {
                    site: other.clone(),
                    service: Service::Replication,
                    resource: resource.clone(),
                };
                let trouble = match self.observed.get(&receiver).map(|(_, seen)| &seen.seen) {
                    Some(Seen::Replication(seen)) => seen.trouble.as_ref(),
                    _ => None,
                };
                let trouble = trouble.map_or(String::new(), |trouble| format!(" ({trouble})"));
                Why::of(&receiver, format!("{resource} {what} at {other}{trouble}"))
            })
            .collect()
    }

    /// What has them run again.
    fn runs_again(&self, now: Now, g: &Group, live: &SiteId, other: &SiteId) -> String {
        let all = self.replications(now, &g.plan.group, live, other);
        if all.is_empty() {
            return "name it there: databases.….replication".to_owned();
        }
        let seen = all.iter().any(|(_, state)| state.is_some() && !receives(*state));
        let was_left = g.record.left.as_ref().is_some_and(|left| left.site == *other);
        let catches_up = catches_up(g, other);
        let home = g.plan.sites.first() == Some(live);
        let lead = match (seen, was_left) {
            // A move home, or a reprotect, has started it.
            _ if home && catches_up => "if it does not come back: ".to_owned(),
            (true, _) => String::new(),
            (false, true) => format!("once {other} is back: "),
            (false, false) => "if it does not come back: ".to_owned(),
        };
        // Without a slot of its own nobody knows what only it has.
        let saves = match (catches_up, was_left && g.record.gone(other).is_none()) {
            (true, _) => String::new(),
            (false, true) => format!(" (it saves first what only {other} has)"),
            (false, false) => {
                " (where it can save nothing it stops and says so: then the same with --waive-ledger)"
                    .to_owned()
            }
        };
        format!("{lead}{}{saves}", self.reprotect(g, other))
    }

    /// The replications of the databases that may be open at one site only, from one site to the other, each
    /// with what its receiver was last seen to do; none where that is not known.
    pub(crate) fn replications(
        &self,
        now: Now,
        group: &GroupId,
        from: &SiteId,
        to: &SiteId,
    ) -> Vec<(ResourceId, Option<ReplicationState>)> {
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let state = |address: &Address| {
            let (at, seen) = self.observed.get(address)?;
            let fresh = now.boot < at.boot + crate::core::SILENT_AFTER && !self.mute.contains(address);
            match &seen.seen {
                Seen::Replication(seen) if fresh => Some(seen.state),
                _ => None,
            }
        };
        let all = self.halves_of(g, from, to).into_iter();
        all.map(|address| (address.resource.clone(), state(&address))).collect()
    }

    /// The receivers' halves of these replications.
    pub(crate) fn halves_of(&self, g: &Group, from: &SiteId, to: &SiteId) -> Vec<Address> {
        let direction = format!("{from}->{to}");
        let name = |database: &ResourceId| -> Option<ResourceId> {
            let databases = g.plan.input.get("databases")?;
            databases.get(database.as_str())?.get("replication")?.get(&direction)?.as_str()?.parse().ok()
        };
        let half = |resource| Address { site: to.clone(), service: Service::Replication, resource };
        g.plan.one_live.iter().filter_map(name).map(half).collect()
    }

    /// Replications from one site to the other that are broken, as was told and was last seen: each half with its words.
    pub(crate) fn broken_between(&self, g: &Group, from: &SiteId, to: &SiteId) -> Vec<(Address, String)> {
        let both = self.halves_of(g, from, to).into_iter().flat_map(|receiver| {
            let source = Address { site: from.clone(), ..receiver.clone() };
            [source, receiver]
        });
        let mended = |half: &Address| {
            let seen = self.observed.get(half).map(|(_, seen)| &seen.seen);
            matches!(seen, Some(Seen::Replication(seen)) if seen.trouble.is_none())
        };
        let why =
            |half: &Address| g.record.broken.get(half).filter(|_| !mended(half)).map(|(_, why)| why.clone());
        both.filter_map(|half| why(&half).map(|why| (half, why))).collect()
    }

    /// What stands against a planned move, and against no other: replications that it would drain, and that are broken
    /// or do not run. It would close the live site and then wait for what does not come.
    pub(crate) fn undrainable(&self, now: Now, group: &GroupId, checked: &Checked) -> Vec<GroupLine> {
        let planned = checked.leaves() == Leaves::Planned;
        let Some(g) = self.groups.get(group).filter(|_| planned) else { return Vec::new() };
        let (from, to) = (&checked.from, &checked.to);
        let red = |half: Address, what: &str, text: String, remedy: String| GroupLine {
            name: format!("{half}:{what}"),
            address: Some(half),
            line: CheckLine::red(what, text, remedy),
        };
        let mut lines = Vec::new();
        for (resource, state) in self.replications(now, group, from, to) {
            if matches!(state, Some(ReplicationState::Stopped | ReplicationState::Capturing)) {
                let remedy = format!("bring that up to date first: {}", self.reprotect(g, to));
                let half = Address { site: to.clone(), service: Service::Replication, resource };
                lines.push(red(half, "stopped", format!("it does not run at {to}"), remedy));
            }
        }
        for (half, why) in self.broken_between(g, from, to) {
            let remedy = format!("mend that first: pointsman status {group} says when it runs");
            lines.push(red(half, "broken", why, remedy));
        }
        lines
    }

    /// How far the copy of a receiver is, as it was last seen, in words; none where every table is there. What was
    /// stopped in the middle is as unfinished: some tables have everything, others nothing.
    pub(crate) fn unfinished_copy(&self, receiver: &Address) -> Option<String> {
        let Seen::Replication(seen) = &self.observed.get(receiver)?.1.seen else { return None };
        let copy = seen.copy.as_ref()?;
        let Address { site, resource, .. } = receiver;
        let (ready, tables) = (copy.tables_ready, copy.tables);
        Some(format!("{resource}: the copy at {site} is not finished, {ready} of {tables} tables are there"))
    }

    /// The same of all receivers from one site to the other.
    pub(crate) fn unfinished(&self, g: &Group, from: &SiteId, to: &SiteId) -> Vec<String> {
        self.halves_of(g, from, to).iter().filter_map(|half| self.unfinished_copy(half)).collect()
    }

    /// A planned move closes the live site first, and then waits until everything is at the other one: that may be hours
    /// while a table is copied, and what differs never comes. No red line: nobody goes past it by naming it.
    pub(crate) fn refuse_unfinished(&self, group: &GroupId, checked: &Checked) -> Result<(), Problem> {
        let planned = checked.leaves() == Leaves::Planned;
        let Some(g) = self.groups.get(group).filter(|_| planned) else { return Ok(()) };
        if let Some(why) = self.all_unlike(g, &checked.from, &checked.to).into_iter().next() {
            return Err(Problem::new(Code::Precondition, why));
        }
        match self.unfinished(g, &checked.from, &checked.to).first() {
            None => Ok(()),
            Some(why) => Err(Problem::new(
                Code::Precondition,
                format!(
                    "{why}: pointsman status {group} shows how far it is; a reprotect --by copy that was given up goes on \
                     when it is given again"
                ),
            )),
        }
    }

    /// Whether the other site receives what is written at the live one, on top of what it has. A receiver that is behind
    /// does; one that is broken, and was told to be, does not, nor does one whose copy is not finished, or differs.
    pub(crate) fn is_protected(&self, now: Now, group: &GroupId, live: &SiteId, other: &SiteId) -> bool {
        let not = |g| {
            !self.broken_between(g, live, other).is_empty()
                || !self.unfinished(g, live, other).is_empty()
                || !self.all_unlike(g, live, other).is_empty()
        };
        if self.groups.get(group).is_some_and(not) {
            return false;
        }
        let all = self.replications(now, group, live, other);
        !all.is_empty() && all.iter().all(|(_, state)| receives(*state))
    }
}
