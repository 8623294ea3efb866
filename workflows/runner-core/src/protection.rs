//! Which way a group is protected: what the receivers of its replications were last seen to do.

use engine::Purpose;
use schemas::check::GroupLine;
use schemas::{Address, CheckLine, GroupId, ReplicationState, ResourceId, Seen, Service, SiteId};

use crate::core::Core;
use crate::in_memory::Group;
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
        let planned = matches!(checked.purpose, Purpose::Move | Purpose::Return) && !checked.unplanned;
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

    /// Whether the other site receives what is written at the live one. A receiver that is behind does; one that is
    /// broken, and was told to be, does not.
    pub(crate) fn is_protected(&self, now: Now, group: &GroupId, live: &SiteId, other: &SiteId) -> bool {
        let broken = |g| !self.broken_between(g, live, other).is_empty();
        if self.groups.get(group).is_some_and(broken) {
            return false;
        }
        let all = self.replications(now, group, live, other);
        let receives = |state: &Option<ReplicationState>| {
            matches!(state, Some(ReplicationState::Running | ReplicationState::Draining))
        };
        !all.is_empty() && all.iter().all(|(_, state)| receives(state))
    }
}
