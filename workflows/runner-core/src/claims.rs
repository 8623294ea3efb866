//! Claims (law 6): a run takes every resource of its group, all at once; a refused run ends as fenced;
//! who does not answer owes a claim.

use std::time::Duration;

use schemas::view::RunState;
use schemas::{Address, ClaimReply, ClaimRequest, Code, Epoch, GroupId, Key, Problem, RunId, Verb};

use crate::core::{Asked, Core, Timer};
use crate::entry::{GroupEntry, Owed, RunEntry};
use crate::in_memory::{Claim, Group};
use crate::live::{Live, Owner};
use crate::rules::Rule;
use crate::run::{IN_DOUBT, Run};
use crate::seam::{Answered, Now};

/// How long one claim's answer is awaited: the service may have to end earlier acts first.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two claims that nobody answered.
const AGAIN: Duration = Duration::from_secs(1);

impl Core {
    /// Asks every resource of the group that has not acknowledged the current epoch.
    pub(crate) fn ask_claims(&mut self, now: Now, group: &GroupId) {
        let Some(g) = self.groups.get(group) else { return };
        for address in g.plan.resources.clone() {
            self.ask_claim(now, group, &address);
        }
    }

    /// Asks one resource, unless it acknowledged or is being asked. May be repeated.
    pub(crate) fn ask_claim(&mut self, now: Now, group: &GroupId, address: &Address) {
        if self.is_copied(group) {
            return;
        }
        let Some(g) = self.groups.get_mut(group) else { return };
        let Some(run) = g.record.holder else { return };
        match g.claims.get(address) {
            Some(Claim::Granted | Claim::Asked) => return,
            Some(Claim::Unanswered { again, .. }) if now.boot < *again => return,
            _ => {}
        }
        g.claims.insert(address.clone(), Claim::Asked);
        let epoch = g.record.epoch;
        let sequence = self.runs.get(&run).map_or(0, |run| run.seq);
        let request = ClaimRequest { group: group.clone(), run, epoch, sequence };
        let subject = self.prefix.request(address, Verb::Claim);
        let body = serde_json::to_vec(&request).unwrap_or_default();
        self.flush(run);
        self.ask(Asked::Claim(group.clone(), epoch, address.clone()), subject, Vec::new(), body, PATIENCE);
    }

    pub(crate) fn on_claim_answered(
        &mut self,
        now: Now,
        group: &GroupId,
        epoch: Epoch,
        address: &Address,
        answer: Answered,
    ) {
        let Some(g) = self.groups.get_mut(group) else { return };
        if g.record.epoch != epoch {
            return;
        }
        let undelivered = answer == Answered::NoResponders;
        let reply = match &answer {
            Answered::Reply(body) => serde_json::from_slice::<ClaimReply>(body).ok(),
            _ => None,
        };
        match reply {
            Some(reply) if reply.granted => self.on_granted(now, group, address, &reply),
            Some(reply) => {
                g.seen_epoch = g.seen_epoch.max(reply.epoch);
                let again = now.boot + AGAIN;
                g.claims.insert(address.clone(), Claim::Unanswered { again, undelivered: false });
                self.timer(again, Timer::Claims(group.clone()));
                self.on_claim_refused(now, group, address, &reply);
            }
            None => {
                let again = now.boot + AGAIN;
                g.claims.insert(address.clone(), Claim::Unanswered { again, undelivered });
                // While a run is going on it is asked again. Else, as after an adoption, it is owed: nothing that it says is
                // of this epoch before.
                match (g.record.active, g.record.holder) {
                    (Some(_), _) => self.timer(again, Timer::Claims(group.clone())),
                    (None, Some(run)) => self.owe_claim(now, group, run, address.clone()),
                    (None, None) => {}
                }
                self.wake_at(now, group, address);
            }
        }
    }

    fn on_granted(&mut self, now: Now, group: &GroupId, address: &Address, reply: &ClaimReply) {
        let Some(g) = self.groups.get_mut(group) else { return };
        g.claims.insert(address.clone(), Claim::Granted);
        let (epoch, holder) = (g.record.epoch, g.record.holder);
        let older: Vec<Key> = g
            .record
            .doubts
            .iter()
            .filter(|(_, doubt)| doubt.address == *address && doubt.epoch < epoch)
            .map(|(key, _)| key.clone())
            .collect();
        let paid: Vec<u64> = g
            .record
            .debts
            .iter()
            .filter(|(_, debt)| debt.owed.address == *address && debt.owed.action.is_none())
            .map(|(id, _)| *id)
            .collect();
        for key in older {
            let how = "a newer claim was acknowledged: nothing of it can still act".into();
            self.append_group(now, group, &GroupEntry::DoubtEnded { key, how });
        }
        for debt in paid {
            self.append_group(now, group, &GroupEntry::DebtEnded { debt, how: "claimed".into() });
        }
        let behind = holder
            .and_then(|run| self.runs.get(&run))
            .filter(|run| reply.run == Some(run.id) && reply.sequence > run.seq && run.ended.is_none())
            .map(|run| run.id);
        if let Some(run) = behind.filter(|_| self.rules.keep(Rule::JournalBehind)) {
            let why =
                format!("{}: {address} has seen entry {} of this run", Code::JournalBehind, reply.sequence);
            self.hold(now, run, why);
            return;
        }
        self.wake_at(now, group, address);
        self.pay(now, group, Some(address));
    }

    fn on_claim_refused(&mut self, now: Now, group: &GroupId, address: &Address, reply: &ClaimReply) {
        let Some(g) = self.groups.get(group) else { return };
        let (mine, holder) = (g.record.epoch, g.record.holder);
        let code = reply.problem.as_ref().map(|p| p.code);
        let active = holder.filter(|run| self.runs.get(run).is_some_and(|r| r.ended.is_none()));
        match (code, active) {
            (Some(Code::StaleEpoch), Some(run)) if reply.epoch > mine => {
                let problem =
                    Problem::new(Code::StaleEpoch, format!("{address} holds epoch {}", reply.epoch));
                self.fence(now, run, Some(problem));
            }
            (Some(Code::EpochTaken), Some(run)) => {
                let why = format!(
                    "{address} holds epoch {mine} for another run: find the second runner, then supersede"
                );
                self.hold(now, run, why);
            }
            _ => self.wake_at(now, group, address),
        }
    }

    /// An act was refused as stale: the run is fenced if a newer epoch is held there.
    pub(crate) fn on_stale(&mut self, now: Now, key: &Key, epoch: Epoch) {
        let Some(live) = self.lives.get(key) else { return };
        if let Some(g) = live.group.as_ref().and_then(|g| self.groups.get_mut(g)) {
            g.seen_epoch = g.seen_epoch.max(epoch);
        }
        let newer =
            self.runs.get(&key.run).is_some_and(|run| epoch > run.started.epoch && run.ended.is_none());
        if newer {
            let problem = Problem::new(Code::StaleEpoch, format!("{} holds epoch {epoch}", live.address));
            self.fence(now, key.run, Some(problem));
        } else if !self.runs.contains_key(&key.run) {
            self.lives.remove(key);
        }
    }

    fn wake_at(&mut self, now: Now, group: &GroupId, address: &Address) {
        let keys: Vec<Key> = self
            .lives
            .iter()
            .filter(|(_, l)| l.group.as_ref() == Some(group) && l.address == *address)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.advance(now, &key);
        }
    }

    /// The run ends because a newer epoch holds its group; what it left in doubt joins the group's list.
    pub(crate) fn fence(&mut self, now: Now, run: RunId, problem: Option<Problem>) {
        self.end_run(now, run, RunState::Fenced, problem);
    }

    /// At the end of a run: who never acknowledged owes a claim.
    pub(crate) fn owe_claims(&mut self, now: Now, group: &GroupId, run: RunId) {
        let Some(g) = self.groups.get(group) else { return };
        if g.record.holder != Some(run) {
            return;
        }
        let silent = g.plan.resources.iter().filter(|address| g.claims.get(address) != Some(&Claim::Granted));
        let silent: Vec<Address> = silent.cloned().collect();
        for address in silent {
            self.owe_claim(now, group, run, address);
        }
    }

    /// A claim that was not answered is owed, unless something else is: that claims first.
    fn owe_claim(&mut self, now: Now, group: &GroupId, run: RunId, address: Address) {
        let owes = |g: &Group| g.record.debts.values().any(|debt| debt.owed.address == address);
        if self.groups.get(group).is_none_or(owes) {
            return;
        }
        let why = "it did not answer the claim".into();
        let args = serde_json::Value::Null;
        self.new_debt(now, group, Owed { address, action: None, args, run, since: now.wall, why });
    }

    /// Stops the run until a person decides; says so once.
    pub(crate) fn hold(&mut self, now: Now, run: RunId, why: String) {
        let fresh = self.runs.get(&run).is_some_and(|r| r.ended.is_none() && r.held.as_ref() != Some(&why));
        if fresh {
            self.append_run(now, run, RunEntry::Held { why: why.clone() });
            self.owe_held(now, run, &why);
        }
    }

    /// The same for a call in doubt. It takes no other hold's place: that one ends by a person's word, and this one may
    /// end by itself.
    pub(crate) fn hold_in_doubt(&mut self, now: Now, run: RunId, why: String) {
        let held = self.runs.get(&run).and_then(|run| run.held.as_deref());
        match held.is_some_and(|held| !held.ends_with(IN_DOUBT)) {
            true => self.owe_held(now, run, &why),
            false => self.hold(now, run, why),
        }
    }

    /// What was in doubt is known: a back-out that was held for that alone goes on, since there is nothing left for a
    /// person to decide, and nobody is served before it has ended.
    pub(crate) fn release_back_out(&mut self, now: Now, id: RunId) {
        let open = |(key, live): (&Key, &Live)| key.run == id && live.owner == Owner::Step && live.intended();
        let held = self.runs.get(&id).is_some_and(Run::backs_out_in_doubt);
        if held && !self.lives.iter().any(open) {
            self.append_run(now, id, RunEntry::Released { by: None });
        }
    }
}
