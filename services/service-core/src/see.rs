//! `observe`: what is true now, and what may still change it. Waits for no act.

use std::collections::BTreeSet;

use schemas::{Code, Key, Observation, Problem, Seen};

use crate::Ticket;
use crate::io::{Answered, Effect, OpId, WAITING_MAX};
use crate::resource::Resource;
use crate::shared::Shared;

/// A look at what is true now, on its way.
pub(crate) struct Seeing {
    ticket: Ticket,
    unended: BTreeSet<Key>,
}

impl Resource {
    /// What is true now? Waits for no act.
    pub(crate) fn see(&mut self, shared: &mut Shared, ticket: Ticket) {
        if self.seeing.len() >= WAITING_MAX {
            let problem = Problem::new(Code::Busy, format!("{WAITING_MAX} looks are on their way"));
            shared.answer(ticket, Answered::Problem(problem));
            return;
        }
        let op = shared.op(&self.address);
        self.seeing.insert(op, Seeing { ticket, unended: self.unended() });
        shared.effect(Effect::See { op, address: self.address.clone() });
    }

    fn unended(&self) -> BTreeSet<Key> {
        self.open.keys().map(|(_, key)| key.clone()).collect()
    }

    /// An act begins while looks are on their way: what they see proves nothing any more.
    pub(crate) fn disturb(&mut self, key: &Key) {
        for seeing in self.seeing.values_mut() {
            seeing.unended.insert(key.clone());
        }
    }

    pub(crate) fn seen(&mut self, shared: &mut Shared, op: OpId, seen: Seen) {
        let Some(mut seeing) = self.seeing.remove(&op) else { return };
        seeing.unended.append(&mut self.unended());
        let holder = self.holder(shared);
        let observation = Observation {
            seen,
            group: self.group.clone(),
            epoch: self.epoch(shared),
            run: holder.map(|holder| holder.run),
            unended: seeing.unended.into_iter().collect(),
            ledger: shared.ledger,
            adopted: shared.is_adopted(self.group.as_ref()),
            armed: shared.armed,
            at: shared.now.wall,
        };
        shared.answer(seeing.ticket, Answered::Observation(observation));
    }
}
