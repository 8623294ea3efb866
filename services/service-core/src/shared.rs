//! What all resources of one service share: the ledger's id, adoption, the brake, the step being made.

use std::collections::BTreeMap;

use schemas::{Address, Epoch, GroupId, LedgerId, MessageId, RunId};

use crate::Rules;
use crate::io::{Answered, Effect, Now, OpId, Step, Ticket};
use crate::record::Record;

pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) ledger: LedgerId,
    pub(crate) armed: bool,
    pub(crate) now: Now,
    /// Group to the adoption that took this ledger into service for it.
    pub(crate) adopted: BTreeMap<GroupId, (Epoch, RunId)>,
    /// Who waits for what a driver was asked.
    pub(crate) ops: BTreeMap<OpId, Address>,
    /// Who waits for which confirmation.
    pub(crate) confirms: BTreeMap<MessageId, Address>,
    next_op: u64,
    pub(crate) step: Step,
}

impl Shared {
    pub(crate) fn new(rules: Rules, ledger: LedgerId, armed: bool, now: Now) -> Shared {
        Shared {
            rules,
            ledger,
            armed,
            now,
            adopted: BTreeMap::new(),
            ops: BTreeMap::new(),
            confirms: BTreeMap::new(),
            next_op: 0,
            step: Step::default(),
        }
    }

    pub(crate) fn op(&mut self, address: &Address) -> OpId {
        self.next_op += 1;
        let op = OpId(self.next_op);
        self.ops.insert(op, address.clone());
        op
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.step.effects.push(effect);
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, answered: Answered) {
        self.effect(Effect::Answer { ticket, answered });
    }

    /// To be written; what leaves afterwards waits for the sync.
    pub(crate) fn synced(&mut self, record: Record) {
        self.step.records.push(record);
        self.step.sync = true;
    }

    /// To be written, and synced with whatever is synced next.
    ///
    /// Only [`Record::Ended`] and [`Record::Gone`] go this way (law 5: one sync a step). It is safe: a
    /// killed process loses no written line; only a host that loses power may. Then the key shows
    /// `started` by an earlier life, is ended and looked at, and the look gives the answer. Could it
    /// give another one than was sent before? Not through us: whatever this service does to a
    /// resource later is announced by a synced `started` (or fenced by a synced claim) further down in
    /// the same file, and that sync takes the earlier line with it. So what lies between the lost line
    /// and the look is nothing of ours, and the look sees what the answer said; a change by hand in
    /// that second is seen as it is. `void`, `started`, claims and adoptions are always synced before
    /// anything that follows from them leaves.
    pub(crate) fn written(&mut self, record: Record) {
        self.step.records.push(record);
    }

    pub(crate) fn is_adopted(&self, group: Option<&GroupId>) -> bool {
        if !self.rules.adopted_first {
            return true;
        }
        match group {
            Some(group) => self.adopted.contains_key(group),
            None => !self.adopted.is_empty(),
        }
    }
}
