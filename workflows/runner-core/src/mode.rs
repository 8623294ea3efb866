//! In which mode a group is, from what is seen now, and what comes next.

use engine::Purpose;
use schemas::view::{Mode, ResourceView};
use schemas::{Address, GroupId, ResourceId, Seen, Service, SiteId};

use crate::core::Core;
use crate::in_memory::Group;
use crate::purpose::nothing_live;
use crate::seam::Now;
use crate::views::text;

impl Core {
    /// The mode, and a sentence that explains it and names the next command.
    pub(crate) fn mode(&self, now: Now, id: &GroupId, resources: &[ResourceView]) -> (Mode, String) {
        let Some(g) = self.groups.get(id) else { return (Mode::Unknown, String::new()) };
        let open = self.split_sites(now, id);
        if !open.is_empty() {
            let names: Vec<&str> = open.iter().map(SiteId::as_str).collect();
            if g.split_since.is_some() && g.record.split.is_empty() {
                let sentence = format!("{} are open at once, and one is being closed", names.join(" and "));
                return (Mode::SplitBrain, sentence);
            }
            return (
                Mode::SplitBrain,
                format!(
                    "{} are open at once: close one on its host, with its service stopped (pointsman act database.NAME \
                     disable-access --here --why …, or docs/workflows/by-hand.md), then pointsman adopt {id} --why …",
                    names.join(" and ")
                ),
            );
        }
        if self.is_copied(id) {
            let live = text(&g.record.live);
            let sentence =
                format!("the journal is a copy, {live} was live in it: pointsman adopt {id} --why …");
            return (Mode::Unknown, sentence);
        }
        if let Some(run) = g.record.active.and_then(|run| self.runs.get(&run)) {
            let home = g.plan.sites.first() == run.started.to.as_ref();
            let (mode, what) = match run.definition.info().purpose {
                Purpose::Protect => (Mode::Resyncing, "brings up to date"),
                Purpose::Tidy => (Mode::Resyncing, "tidies up after a copy, beside"),
                Purpose::Establish => (Mode::SwitchingOver, "establishes it at"),
                Purpose::Move if !run.started.lost.is_empty() => (Mode::FailingOver, "moves it to"),
                Purpose::Move | Purpose::Return if home => (Mode::FailingBack, "moves it home to"),
                Purpose::Move | Purpose::Return => (Mode::SwitchingOver, "moves it to"),
            };
            let short = run.id.short(4);
            let held = run.held.clone().map_or(String::new(), |why| format!(", held: {why}"));
            let moves = matches!(run.definition.info().purpose, Purpose::Move | Purpose::Return);
            let only =
                if moves && run.no_return() { ", past the point of no return: only forward" } else { "" };
            return (
                mode,
                format!("run {short} {what} {}{only}{held}; pointsman watch {short}", text(&run.started.to)),
            );
        }
        let Some(live) = &g.record.live else {
            return (Mode::Unknown, nothing_live(id, g));
        };
        let other = g.plan.sites.iter().find(|s| *s != live);
        // An answer that is late on a busy host is no lost site: three beats have to be missing.
        let lately = now.wall - crate::core::SILENT_AFTER;
        let silent = |r: &&ResourceView| r.silent && r.heard.is_none_or(|heard| heard < lately);
        let all = resources.iter().filter(|r| r.address.site == *live).count();
        if all > 0 && resources.iter().filter(|r| r.address.site == *live).filter(silent).count() == all {
            return (
                Mode::Limited,
                format!(
                    "{live} is live and silent: pointsman failover {id} --to {} --why …",
                    text(&other.cloned())
                ),
            );
        }
        if let Some((resource, why)) = self.blind_at(now, g, live) {
            let sentence = format!(
                "{live} is live and {resource} there cannot be looked at ({why}): start it again, or pointsman failover {id} \
                 --to {} --why …",
                text(&other.cloned())
            );
            return (Mode::Limited, sentence);
        }
        if let Some(dead) = dead_at(g, live, resources) {
            let sentence = format!(
                "{live} is live, its database answers, and nothing of {dead} runs there: start it again there; if that cannot \
                 be done, pointsman failover {id} --to {} --why … (it drains first)",
                text(&other.cloned())
            );
            return (Mode::Limited, sentence);
        }
        let debts = match g.record.debts.len() {
            0 => String::new(),
            n => format!(", {n} owed"),
        };
        let protected = other.is_some_and(|other| self.is_protected(now, id, live, other));
        match (g.plan.sites.first() == Some(live), protected) {
            (true, true) => (Mode::Normal, format!("{live} is live, protected{debts}")),
            (true, false) => {
                let next = match g.record.left.as_ref() {
                    Some(left) if left.drained && Some(&left.site) == other => {
                        format!("; if it does not come back: pointsman reprotect {id} --why …")
                    }
                    // It was left with what nobody received.
                    Some(left) if Some(&left.site) == other => {
                        format!("; once {} is back: pointsman reprotect {id} --by copy --why …", left.site)
                    }
                    _ => String::new(),
                };
                let broken = other.map_or(Vec::new(), |other| self.broken_between(g, live, other));
                let copies = other.map_or(Vec::new(), |other| self.unfinished(g, live, other));
                let why = match (broken.first(), copies.first()) {
                    (Some((half, why)), _) => format!("{} at {} is broken ({why})", half.resource, half.site),
                    (None, Some(copy)) => format!("unprotected: {copy}"),
                    (None, None) => "replication is not seen to run".to_owned(),
                };
                (Mode::Normal, format!("{live} is live, {why}{debts}{next}"))
            }
            (false, true) => (
                Mode::Normal,
                format!("{live} is live, protected{debts}; the way back: pointsman failback {id} --why …"),
            ),
            (false, false) => {
                let left = g.record.left.as_ref();
                let broken = other.map_or(Vec::new(), |other| self.broken_between(g, live, other));
                if let Some((half, why)) = broken.first() {
                    let sentence = format!(
                        "{live} is live, unprotected: {} at {} is broken ({why}){debts}; mend that, then the way back is \
                         pointsman failback {id} --why …",
                        half.resource, half.site
                    );
                    return (Mode::FailedOver, sentence);
                }
                let copies = other.map_or(Vec::new(), |other| self.unfinished(g, live, other));
                if let Some(copy) = copies.first() {
                    let sentence = format!(
                        "{live} is live, unprotected: {copy}{debts}; when it is, the way back is pointsman failback {id} \
                         --why …; a reprotect --by copy that was given up goes on when it is given again"
                    );
                    return (Mode::FailedOver, sentence);
                }
                let since = left.map_or(String::new(), |l| format!(" since {}", l.since.format("%H:%M:%SZ")));
                let next = match left {
                    Some(left) if left.drained => format!("pointsman reprotect {id} --why …"),
                    _ => format!(
                        "save what only the other site has, then pointsman reprotect {id} --by copy --why …"
                    ),
                };
                let sentence = format!(
                    "{live} is live, unprotected{since}{debts}; before the way back the other site has to be brought up \
                     to date: {next}"
                );
                (Mode::FailedOver, sentence)
            }
        }
    }

    /// A database of the live site whose service answers and could not look for some time; and why.
    fn blind_at(&self, now: Now, g: &Group, live: &SiteId) -> Option<(ResourceId, String)> {
        g.plan.one_live.iter().find_map(|resource| {
            let address =
                Address { site: live.clone(), service: Service::Database, resource: resource.clone() };
            let since = self.blind.get(&address)?;
            let Seen::Nothing(why) = &self.observed.get(&address)?.1.seen else { return None };
            let why = why.detail.clone().unwrap_or_else(|| why.title.clone());
            (now.boot >= *since + crate::core::SILENT_AFTER).then(|| (resource.clone(), why))
        })
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
            Seen::Process(seen) => {
                Some(matches!(seen.running, schemas::Running::Stopped | schemas::Running::Unhealthy))
            }
            _ => None,
        }
    });
    let dead: Vec<Option<bool>> = parts.collect();
    let all = !dead.is_empty() && dead.iter().all(|part| *part == Some(true));
    all.then(|| g.plan.live_only.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
