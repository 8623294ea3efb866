//! Changed groups' files, taken while the runner runs: at once where nothing moves, after its end where a run is
//! under way, so that no run is changed in flight (law 3). Files that are not valid change nothing.

use schemas::op::{GroupFile, OpReply, Reloaded};
use schemas::{Code, Digest, GroupId, Problem};
use serde_json::Value;

use crate::core::Core;
use crate::entry::{ByPerson, GroupEntry};
use crate::in_memory::Group;
use crate::seam::{GroupPlan, Now, ReplyTo};

/// What is wrong with the files is told in at most so many bytes: an answer is one message.
const TEXT_MAX: usize = 16 * 1024;

/// A group's file as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadGroup {
    /// What the core decides by.
    pub plan: GroupPlan,
    /// The journal has entries of a group of this name.
    pub known: bool,
}

/// A file that waits for the end of a run, and who wanted it.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    plan: GroupPlan,
    by: ByPerson,
}

/// The digest of a group's file over its defaults.
pub(crate) fn digest(input: &Value) -> Digest {
    Digest::of(input.to_string().as_bytes())
}

impl Core {
    /// The groups' files as this runner runs with them; whole where one group is named.
    pub(crate) fn group_files(&self, group: Option<&GroupId>) -> Result<OpReply, Problem> {
        let file = |g: &Group| GroupFile {
            group: g.plan.group.clone(),
            digest: digest(&g.plan.input),
            next: g.next.as_ref().map(|next| digest(&next.plan.input)),
            file: if group.is_some() { g.plan.input.clone() } else { Value::Null },
        };
        let Some(id) = group else { return Ok(OpReply::Files(self.groups.values().map(file).collect())) };
        let g = self.groups.get(id).ok_or_else(|| Problem::new(Code::UnknownGroup, format!("`{id}`")))?;
        Ok(OpReply::Files(vec![file(g)]))
    }

    /// The files were read.
    pub(crate) fn on_read_again(
        &mut self,
        now: Now,
        by: &ByPerson,
        read: Result<Vec<ReadGroup>, String>,
        reply_to: ReplyTo,
    ) {
        let reply = match read {
            Ok(groups) => OpReply::Reloaded(self.take_files(now, by, groups)),
            Err(text) => {
                let detail: String = text.chars().take(TEXT_MAX).collect();
                let kept = "nothing was changed: the runner goes on with the files that it had";
                OpReply::Problem(Problem::new(Code::BadConfiguration, format!("{detail}\n{kept}")))
            }
        };
        self.answer(reply_to, reply);
    }

    fn take_files(&mut self, now: Now, by: &ByPerson, groups: Vec<ReadGroup>) -> Reloaded {
        let mut told = Reloaded::default();
        let gone = self.groups.keys().filter(|id| !groups.iter().any(|read| read.plan.group == **id));
        told.restart.extend(gone.map(|id| format!("{id}: its file is gone; until then it stays as it is")));
        for ReadGroup { plan, known } in groups {
            let id = plan.group.clone();
            match self.groups.get_mut(&id) {
                None if known => {
                    told.restart.push(format!("{id}: the journal knows an earlier group of this name"));
                }
                None => {
                    self.groups.insert(id.clone(), Group::new(plan));
                    self.note_file(now, &id, by);
                    self.begin_group(now, &id);
                    told.taken.push(id);
                }
                Some(g) if g.plan.input == plan.input => {
                    g.next = None;
                    told.same.push(id);
                }
                Some(g) if g.record.active.is_some() => {
                    g.next = Some(Next { plan, by: by.clone() });
                    told.later.push(id);
                }
                Some(g) => {
                    g.next = None;
                    g.plan = plan;
                    self.note_file(now, &id, by);
                    told.taken.push(id);
                }
            }
        }
        told
    }

    /// A run has ended: the file that waited for that is taken.
    pub(crate) fn take_next_file(&mut self, now: Now, group: &GroupId) {
        let Some(g) = self.groups.get_mut(group) else { return };
        let Some(Next { plan, by }) = g.next.take() else { return };
        g.plan = plan;
        self.note_file(now, group, &by);
    }

    fn note_file(&mut self, now: Now, group: &GroupId, by: &ByPerson) {
        let Some(g) = self.groups.get(group) else { return };
        let entry = GroupEntry::FileTaken { digest: digest(&g.plan.input), by: by.clone() };
        self.append_group(now, group, &entry);
    }
}
