//! In which mode a group is, from what is seen now, and what comes next.

use engine::Purpose;
use schemas::view::{Mode, ResourceView};
use schemas::{GroupId, SiteId};

use crate::core::Core;
use crate::purpose::nothing_live;
use crate::seam::Now;
use crate::since;
use crate::views::text;

impl Core {
    /// The mode, and a sentence that explains it and names the next command. A live site of which nothing is heard is told
    /// before it counts as silent.
    pub(crate) fn mode(&self, now: Now, id: &GroupId, resources: &[ResourceView]) -> (Mode, String) {
        let (mode, sentence) = self.told_mode(now, id, resources);
        match self.hushed(now, id, resources).filter(|_| matches!(mode, Mode::Normal | Mode::FailedOver)) {
            Some(hushed) => (mode, format!("{hushed}; as last seen: {sentence}")),
            None => (mode, sentence),
        }
    }

    fn told_mode(&self, now: Now, id: &GroupId, resources: &[ResourceView]) -> (Mode, String) {
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
        let Some((live, other)) = self.live_and_other(id) else {
            return (Mode::Unknown, nothing_live(id, g));
        };
        if let Some(found) = self.limited(now, id, resources) {
            return (Mode::Limited, found.sentence(now));
        }
        // The journal is what is wrong: users may write, and not where it says.
        if let Some(moved) = self.elsewhere(now, g) {
            return (Mode::Unknown, format!("{}; {}", moved.text(), moved.remedy()));
        }
        let debts = match g.record.debts.len() {
            0 => String::new(),
            n => format!(", {n} owed"),
        };
        let home = g.plan.sites.first() == Some(&live);
        let way_back = |lead: &str| match home {
            true => String::new(),
            false => format!("; {lead}the way back: pointsman failback {id} --why …"),
        };
        let Some(found) = self.unprotected(now, g, &live, &other) else {
            return (Mode::Normal, format!("{live} is live, protected{debts}{}", way_back("")));
        };
        let mode = if home { Mode::Normal } else { Mode::FailedOver };
        let since = self.unprotected_since(g, &live, &other);
        let since = since.map_or(String::new(), |at| format!(" {}", since::since(at, now)));
        let (why, remedy) = (found.why(), &found.remedy);
        let then = way_back("then ");
        (mode, format!("{live} is live, unprotected{since}{debts}: {why}; {remedy}{then}"))
    }
}
