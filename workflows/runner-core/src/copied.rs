//! A journal that was imported from another host, or restored (law 6): it knows less than the world does, and
//! the runner that wrote it may still act. So its runs are fenced, nothing is asked of any service but what is
//! true now, and each group waits until a person adopts the world under the next epoch.

use schemas::view::WorldView;
use schemas::{Code, GroupId, Problem, RunId};

use crate::core::Core;
use crate::seam::Now;

impl Core {
    /// Whether the group's record is a copy that nobody adopted yet.
    pub fn is_copied(&self, group: &GroupId) -> bool {
        let Some(since) = self.copied else { return false };
        self.groups.get(group).is_some_and(|g| g.seq > 0 && g.record.adopted.is_none_or(|at| at < since))
    }

    /// The groups whose record is a copy that nobody adopted yet.
    pub fn copied_groups(&self) -> Vec<GroupId> {
        self.groups.keys().filter(|group| self.is_copied(group)).cloned().collect()
    }

    /// Whatever the copy's runs still have under way is fenced by the next epoch, not gone on with.
    pub(crate) fn fence_copied(&mut self, now: Now) {
        let of_copied = |group: &Option<GroupId>| group.as_ref().is_some_and(|group| self.is_copied(group));
        let runs: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, run)| run.ended.is_none() && of_copied(&run.started.group))
            .map(|(id, _)| *id)
            .collect();
        for run in runs {
            let problem =
                Problem::new(Code::JournalImported, "a copied journal never resumes in its old epoch");
            self.fence(now, run, Some(problem));
        }
    }

    /// What stands against going on with a copied group.
    pub(crate) fn check_copied(&self, group: &GroupId) -> Result<(), Problem> {
        match self.is_copied(group) {
            true => Err(Problem::new(Code::JournalImported, format!("pointsman adopt {group} --why …"))),
            false => Ok(()),
        }
    }

    /// Where nobody answers, the older runner could still be obeyed.
    pub(crate) fn silent_copied(&self, world: &WorldView, group: &GroupId) -> Option<Problem> {
        let silent: Vec<String> =
            world.resources.iter().filter(|view| view.silent).map(|view| view.address.to_string()).collect();
        if silent.is_empty() || !self.is_copied(group) {
            return None;
        }
        let detail = format!(
            "{} cannot be asked, and would still obey the older runner: see that it is stopped, then \
             pointsman adopt {group} --accept-old-runner-stopped --why …",
            silent.join(", ")
        );
        Some(Problem::new(Code::JournalImported, detail))
    }
}
