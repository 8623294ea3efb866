//! Claims and adoptions: a run takes a resource for its epoch.

use schemas::{ClaimReply, Code, Epoch, GroupId, Problem, RunId};

use crate::Ticket;
use crate::io::{Answered, Ask, Effect, OpId};
use crate::record::Record;
use crate::resource::{Holder, Resource, Tried, Waiting, Work};
use crate::shared::Shared;

/// What a claim and an adoption have in common.
struct Claim {
    group: GroupId,
    run: RunId,
    epoch: Epoch,
    sequence: u64,
}

impl Resource {
    /// A claim or an adoption: written at once, so that a lower epoch is refused from now on; granted
    /// once everything of an older epoch is seen gone.
    pub(crate) fn claim(&mut self, shared: &mut Shared, mut waiting: Waiting) {
        let claim = match &waiting.ask {
            Ask::Claim(c) => {
                Claim { group: c.group.clone(), run: c.run, epoch: c.epoch, sequence: c.sequence }
            }
            Ask::Adopt(a) => Claim { group: a.group.clone(), run: a.run, epoch: a.epoch, sequence: 0 },
            _ => return,
        };
        let ticket = waiting.ticket;
        if let Err(problem) = self.take(shared, &waiting.ask, &claim, &mut waiting.before) {
            return self.answer_claim(shared, ticket, claim.run, waiting.before, Some(problem));
        }
        let older = self.open.keys().any(|(epoch, _)| !self.is_current(*epoch, shared));
        let must_end = shared.rules.end_earlier && (older || !self.swept);
        let must_raise = shared.armed && self.group.is_some() && self.raised < Some(claim.epoch);
        match (&waiting.tried, must_end) {
            (Tried::Not(problem), true) => {
                let problem = problem.clone();
                return self.answer_claim(shared, ticket, claim.run, waiting.before, Some(problem));
            }
            (_, true) if self.work.is_some() => return self.wait(shared, waiting),
            (_, true) => {
                self.wait(shared, waiting);
                return self.end_earlier(shared);
            }
            (_, false) => {}
        }
        match (must_raise, self.work.is_some()) {
            (false, _) => self.answer_claim(shared, ticket, claim.run, waiting.before, None),
            (true, true) => self.wait(shared, waiting),
            (true, false) => {
                let op = shared.op(&self.address);
                self.work = Some(Work::Raising { op, waiting });
                let (address, Claim { group, epoch, run, .. }) = (self.address.clone(), claim);
                shared.effect(Effect::Raise { op, address, group, epoch, run });
            }
        }
    }

    /// Checks it, and writes it where it says something new.
    fn take(
        &mut self,
        shared: &mut Shared,
        ask: &Ask,
        claim: &Claim,
        before: &mut Option<u64>,
    ) -> Result<(), Problem> {
        if let Ask::Adopt(adopt) = ask
            && adopt.ledger != shared.ledger
        {
            let why = format!("the ledger here is {}, not {}", shared.ledger, adopt.ledger);
            return Err(Problem::new(Code::LedgerLost, why));
        }
        let adopting = matches!(ask, Ask::Adopt(_));
        match &self.group {
            Some(own) if *own != claim.group => {
                return Err(Problem::new(Code::WrongGroup, format!("{} belongs to {own}", self.address)));
            }
            None if !adopting => {
                let why = format!("{} serves all groups and is claimed by none", self.address);
                return Err(Problem::new(Code::WrongGroup, why));
            }
            _ => {}
        }
        if !adopting && !shared.is_adopted(self.group.as_ref()) {
            return Err(Problem::new(Code::NotAdopted, format!("ledger {}", shared.ledger)));
        }
        let held = self.holder(shared);
        if self.group.is_some()
            && let Some(held) = held
        {
            fence(shared, claim, held)?;
        }
        let seen = held.filter(|held| held.run == claim.run).map_or(0, |held| held.sequence);
        let first_hearing = before.is_none();
        let before = *before.get_or_insert(seen);
        if adopting && !shared.adopted.contains_key(&claim.group) {
            let record = Record::Adopted { group: claim.group.clone(), epoch: claim.epoch, run: claim.run };
            shared.adopted.insert(claim.group.clone(), (claim.epoch, claim.run));
            shared.synced(record);
            shared.step.rose = true;
            return Ok(());
        }
        let rises = held.is_none_or(|held| claim.epoch > held.epoch);
        let news = rises || first_hearing && claim.sequence > before;
        if self.group.is_some() && news {
            shared.step.rose |= rises;
            let sequence = claim.sequence.max(before);
            let (address, epoch, run) = (self.address.clone(), claim.epoch, claim.run);
            self.write(shared, Record::Claimed { address, epoch, run, sequence });
        }
        Ok(())
    }

    /// The resource itself has taken the epoch, or refused it.
    pub(crate) fn raised(&mut self, shared: &mut Shared, op: OpId, result: Result<(), Problem>) {
        let Some(Work::Raising { op: asked, waiting }) = &self.work else { return };
        if *asked != op {
            return;
        }
        let waiting = waiting.clone();
        let (run, epoch) = match &waiting.ask {
            Ask::Claim(claim) => (claim.run, claim.epoch),
            Ask::Adopt(adopt) => (adopt.run, adopt.epoch),
            _ => return,
        };
        let result = result.and_then(|()| {
            self.raised = self.raised.max(Some(epoch));
            match self.holder(shared) {
                Some(held) if held.epoch > epoch => Err(stale(held)),
                _ => Ok(()),
            }
        });
        self.answer_claim(shared, waiting.ticket, run, waiting.before, result.err());
        self.rest(shared, &Tried::NotYet);
    }

    pub(crate) fn answer_claim(
        &self,
        shared: &mut Shared,
        ticket: Ticket,
        run: RunId,
        before: Option<u64>,
        problem: Option<Problem>,
    ) {
        let holder = self.holder(shared);
        let own = holder.filter(|held| held.run == run).map_or(0, |held| held.sequence);
        let reply = ClaimReply {
            granted: problem.is_none(),
            epoch: self.epoch(shared),
            run: holder.map(|held| held.run),
            sequence: before.unwrap_or(own),
            ledger: shared.ledger,
            adopted: shared.is_adopted(self.group.as_ref()),
            problem,
            at: shared.now.wall,
        };
        shared.answer(ticket, Answered::Claim(reply));
    }
}

fn stale(held: Holder) -> Problem {
    Problem::new(Code::StaleEpoch, format!("epoch {} of run {} holds it", held.epoch, held.run))
}

fn fence(shared: &Shared, claim: &Claim, held: Holder) -> Result<(), Problem> {
    if claim.epoch < held.epoch && shared.rules.lower_epoch {
        return Err(stale(held));
    }
    if claim.epoch == held.epoch && claim.run != held.run && shared.rules.equal_epoch {
        return Err(Problem::new(Code::EpochTaken, format!("run {} holds it", held.run)));
    }
    Ok(())
}
