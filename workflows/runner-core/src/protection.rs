//! Which way a group is protected: what the receivers of its replications were last seen to do.

use schemas::check::GroupLine;
use schemas::{
    Address, CheckLine, Code, GroupId, Problem, ReplicationState, ResourceId, Seen, Service, SiteId,
};

use crate::core::Core;
use crate::in_memory::Group;
use crate::purpose::Leaves;
use crate::seam::Now;
use crate::start::Checked;

impl Core {
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
                let copy = g.record.left.as_ref().is_some_and(|left| !left.drained);
                let how = if copy { " --by copy" } else { "" };
                let remedy = format!("bring that up to date first: pointsman reprotect {group}{how} --why …");
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
        let receives = |state: &Option<ReplicationState>| {
            matches!(state, Some(ReplicationState::Running | ReplicationState::Draining))
        };
        !all.is_empty() && all.iter().all(|(_, state)| receives(state))
    }
}
