//! In which mode a group is, from what is seen now, and what comes next.

use engine::Purpose;
use schemas::view::{Mode, ResourceView};
use schemas::{GroupId, SiteId};

use crate::core::Core;
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
        if let Some(found) = self.limited(now, id, resources) {
            return (Mode::Limited, found.sentence(now));
        }
        let debts = match g.record.debts.len() {
            0 => String::new(),
            n => format!(", {n} owed"),
        };
        let unlike = other.map_or(Vec::new(), |other| self.all_unlike(g, live, other));
        if let Some(why) = unlike.first() {
            let home = g.plan.sites.first() == Some(live);
            let mode = if home { Mode::Normal } else { Mode::FailedOver };
            return (mode, format!("{live} is live, unprotected{debts}: {why}"));
        }
        let protected = other.is_some_and(|other| self.is_protected(now, id, live, other));
        match (g.plan.sites.first() == Some(live), protected) {
            (true, true) => (Mode::Normal, format!("{live} is live, protected{debts}")),
            (true, false) => {
                let next = match g.record.left.as_ref() {
                    Some(left) if g.record.may_catch_up(left) && Some(&left.site) == other => {
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
                    Some(left) if g.record.may_catch_up(left) => format!("pointsman reprotect {id} --why …"),
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
}
