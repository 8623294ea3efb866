//! The loss that a person takes upon himself. A bound in time says nothing of what nobody can tell, unless it is given to a
//! run that waits for just that; else that has to be named.

use std::time::Duration;

use schemas::duration::Iso;
use schemas::{Code, LossBound, Problem, RunId};

use crate::core::Core;
use crate::entry::{ByPerson, GroupEntry};
use crate::group::LossAccepted;
use crate::seam::Now;

/// The bound that is recorded, and whether the acceptance is one of what nobody can tell; `asked`: the run waits for that.
pub(crate) fn taken(accepted: LossBound, asked: bool) -> (Iso, bool) {
    match accepted {
        LossBound::AtMost(bound) => (bound, asked),
        LossBound::Unknown => (Iso(Duration::ZERO), true),
    }
}

/// A recorded acceptance, in words.
pub fn accepted_loss(bound: Iso, unknown: bool) -> String {
    match (unknown, bound.0.is_zero()) {
        (false, _) => format!("a loss of at most {bound}"),
        (true, true) => "a loss that nobody can tell".into(),
        (true, false) => format!("a loss of at most {bound}, or one that nobody can tell"),
    }
}

impl LossAccepted {
    /// What counts beside what was accepted before in the same epoch: a word takes back no other one.
    pub(crate) fn beside(self, before: Option<&LossAccepted>) -> LossAccepted {
        let Some(before) = before.filter(|before| before.epoch == self.epoch) else { return self };
        let less = before.bound > self.bound && (before.unknown || !self.unknown);
        LossAccepted {
            epoch: self.epoch,
            bound: self.bound.max(before.bound),
            unknown: self.unknown || before.unknown,
            by: if less { before.by.clone() } else { self.by },
        }
    }

    /// What lets an opening with a known loss through.
    pub(crate) fn bounded(&self) -> String {
        format!("at most {} accepted by {}", self.bound, self.by.who.person)
    }

    /// The same where nobody can tell it; else what speaks for it, which is not enough.
    pub(crate) fn untold(&self) -> Result<String, String> {
        match self.unknown {
            true => Ok(format!("unknown, accepted by {}", self.by.who.person)),
            false => Err(format!(", and {} says nothing of that", self.bounded())),
        }
    }
}

impl Core {
    /// A person takes a loss upon himself; in words what was recorded.
    pub(crate) fn accept_loss(
        &mut self,
        now: Now,
        run: RunId,
        accepted: LossBound,
        by: ByPerson,
    ) -> Result<String, Problem> {
        let found = self.runs.get(&run).and_then(|r| Some((r.started.group.clone()?, r.started.epoch)));
        let (group, epoch) = found.ok_or_else(|| Problem::new(Code::Conflict, "the run moves no group"))?;
        let waits = self.groups.get(&group).and_then(|g| g.loss_asked.as_ref());
        let asked = waits.is_some_and(|asked| asked.key.run == run && asked.unknown);
        let (bound, unknown) = taken(accepted, asked);
        self.append_group(now, &group, &GroupEntry::LossAccepted { epoch, bound, unknown, by });
        self.wake_waiters(now, Some(&group));
        Ok(accepted_loss(bound, unknown))
    }
}
