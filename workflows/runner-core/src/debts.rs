//! Debts and doubts (laws 4 and 8): what could not be asked outlives the run and is paid as soon as its
//! service answers; what was passed without knowing is asked again.

use std::time::Duration;

use engine::InDoubt;
use schemas::{Action, Address, Attempt, Code, Effect, GroupId, Key, Seen, Service};
use serde_json::Value;

use crate::core::{Core, Timer};
use crate::entry::{Doubt, GroupEntry, Owed};
use crate::in_memory::{Claim, Group, Unpaid};
use crate::live::{Live, Owner, Stage};
use crate::rules::Rule;
use crate::seam::Now;

/// The bound of one attempt to pay a debt.
pub(crate) const PAY_WITHIN: Duration = Duration::from_secs(30);
/// A debt that could not be paid is not tried again before: its services answer at once, and every try is an entry.
const PAY_AGAIN: Duration = Duration::from_secs(2);
/// The first such pause of a close, twice as long each time up to the other one: its site may be open.
const CLOSE_AGAIN: Duration = Duration::from_millis(500);

/// Whether a site may be open until it is paid.
fn closes(owed: &Owed) -> bool {
    owed.action.is_some_and(|action| action.effect() == Effect::Closes)
}

/// A close that could not be paid and is due again.
fn due(g: &Group, now: Now, id: u64) -> Option<&Owed> {
    let unpaid = g.unpaid.get(&id).filter(|unpaid| now.boot >= unpaid.again);
    unpaid.and_then(|_| g.record.debts.get(&id)).map(|debt| &debt.owed).filter(|owed| closes(owed))
}

impl Core {
    /// A step at a lost site ended without its effect: what it was for is owed.
    pub(crate) fn owe(&mut self, now: Now, key: &Key, live: &Live, why: &str) {
        let lost = self.runs.get(&key.run).is_some_and(|run| run.lost(&live.address.site));
        // Nothing of a move waits for a client, or for a program that works on one site's database: it is owed wherever it is.
        let client =
            matches!(live.action, Some(Action::Follow | Action::RefreshProcess | Action::PointProcess));
        let (Some(action), true) = (live.action, lost || client) else { return };
        // A hosts file that was not written is not written later: its host follows the names, once they are right.
        if action == Action::Push || matches!(action.effect(), Effect::Observes | Effect::Opens) {
            return;
        }
        if let Some(group) = self.group_of_call(key, live) {
            self.owe_act(now, &group, key, live, action, why);
        }
    }

    /// A step that is done for all but lost parts (name servers at a lost site) says so in `owed`.
    pub(crate) fn owe_rest(&mut self, now: Now, key: &Key, live: &Live, output: &Value) {
        let rest = output.get("owed").and_then(Value::as_array).filter(|list| !list.is_empty());
        if let (Some(rest), Some(action), Some(group)) = (rest, live.action, live.group.clone()) {
            let servers: Vec<String> = rest.iter().map(ToString::to_string).collect();
            let why = format!("silent: {}", servers.join(", "));
            self.owe_act(now, &group, key, live, action, &why);
        }
    }

    pub(crate) fn owe_act(
        &mut self,
        now: Now,
        group: &GroupId,
        key: &Key,
        live: &Live,
        action: Action,
        why: &str,
    ) {
        let mut args = live.args.clone();
        if let Some(args) = args.as_object_mut() {
            // What is paid later is paid whole: no site counts as lost then.
            args.remove("lost");
        }
        let owed = Owed {
            address: live.address.clone(),
            action: Some(action),
            args,
            run: key.run,
            since: now.wall,
            why: why.into(),
        };
        self.new_debt(now, group, owed);
    }

    pub(crate) fn new_debt(&mut self, now: Now, group: &GroupId, owed: Owed) {
        if !self.rules.keep(Rule::Debts) {
            return;
        }
        let Some(g) = self.groups.get(group) else { return };
        let known = g.record.debts.iter().find(|(_, debt)| {
            debt.owed.address == owed.address
                && (debt.owed.action == owed.action || debt.owed.action.is_none())
        });
        let how = match known.map(|(_, debt)| &debt.owed) {
            Some(known) if known.action.is_none() && owed.action.is_some() => "part of a larger debt",
            // Such as a name that is to lead elsewhere by now.
            Some(known) if known.args != owed.args => "another one of the resource came after it",
            Some(_) => return,
            None => "",
        };
        if let Some((id, _)) = known {
            let id = *id;
            self.end_debts(now, group, how, |debt, _| debt == id);
        }
        let Some(debt) = self.groups.get(group).map(|g| g.record.last_debt + 1) else { return };
        self.append_group(now, group, &GroupEntry::Owed { debt, owed });
    }

    /// What was passed is remembered until it is known.
    pub(crate) fn list_doubt(&mut self, now: Now, key: &Key, live: &Live) {
        let epoch = self.runs.get(&key.run).map(|run| run.started.epoch);
        if let (Some(group), Some(action), Some(epoch)) = (&live.group, live.action, epoch) {
            let doubt = Doubt {
                address: live.address.clone(),
                action,
                epoch,
                attempt: live.attempt,
                since: now.wall,
            };
            self.append_group(now, group, &GroupEntry::DoubtListed { key: key.clone(), doubt });
        }
    }

    /// Pays what can be paid: at one resource, or everywhere. A resource is tried when its service was heard
    /// lately; doubts of this epoch are settled before a new act is intended there.
    pub(crate) fn pay(&mut self, now: Now, group: &GroupId, at: Option<&Address>) {
        if self.is_copied(group) {
            return;
        }
        let Some(g) = self.groups.get(group) else { return };
        let wanted = |address: &Address| at.is_none_or(|at| at == address);
        let epoch = g.record.epoch;
        let doubts: Vec<(Key, Doubt)> = g
            .record
            .doubts
            .iter()
            // Client hosts know no epoch: no claim ever ends their doubts, so they are asked whatever the epoch.
            .filter(|(_, d)| d.epoch == epoch || g.plan.clients.contains(&d.address))
            .filter(|(key, d)| wanted(&d.address) && !self.lives.contains_key(key))
            .filter(|(_, d)| self.is_heard(now, &d.address))
            .map(|(key, doubt)| (key.clone(), doubt.clone()))
            .collect();
        for (key, doubt) in doubts {
            self.look_into(now, group, &key, &doubt);
        }
        let Some(g) = self.groups.get(group) else { return };
        let debts: Vec<u64> = g
            .record
            .debts
            .iter()
            .filter(|(_, d)| wanted(&d.owed.address) && self.is_heard(now, &d.owed.address))
            .filter(|(id, _)| g.unpaid.get(id).is_none_or(|unpaid| now.boot >= unpaid.again))
            .filter(|(_, d)| !self.waits_its_turn(now, group, &d.owed))
            .map(|(id, _)| *id)
            .collect();
        let (vain, debts): (Vec<u64>, Vec<u64>) = debts
            .into_iter()
            .partition(|id| g.record.debts.get(id).is_some_and(|debt| self.in_vain(now, g, &debt.owed)));
        if !vain.is_empty() {
            self.look_at_serving(group);
        }
        for debt in debts {
            let Some(g) = self.groups.get(group) else { return };
            let owed = g.record.debts.get(&debt).map(|debt| &debt.owed);
            let vain = owed.filter(|owed| g.unpaid.contains_key(&debt) && self.is_vain(owed));
            if let Some(address) = vain.map(|owed| owed.address.clone()) {
                // A try would fail as the one before did, and every try is an entry.
                self.look_at(now, &address, None);
                continue;
            }
            // One that was just paid before it may have to end first.
            let owed = self.groups.get(group).and_then(|g| g.record.debts.get(&debt));
            if owed.is_some_and(|debt| !self.waits_its_turn(now, group, &debt.owed)) {
                self.pay_debt(now, group, debt);
            }
        }
    }

    /// Whether the latest look found nobody at the database, or no script that does it.
    fn is_vain(&self, owed: &Owed) -> bool {
        match (self.observed.get(&owed.address).map(|(_, seen)| &seen.seen), owed.action) {
            (Some(Seen::Nothing(why)), _) => {
                owed.address.service == Service::Database && why.code == Code::Unreachable
            }
            (Some(Seen::Process(seen)), Some(Action::PointProcess)) => {
                let to = owed.args.get("to").and_then(Value::as_str);
                !seen.repoints.iter().any(|site| Some(site.as_str()) == to)
            }
            _ => false,
        }
    }

    /// A debt could not be paid, and is tried again at its service's first beat after a pause. A close is not left to the
    /// beats.
    pub(crate) fn not_paid(&mut self, now: Now, group: &GroupId, id: u64, undelivered: bool) {
        let Some(g) = self.groups.get_mut(group) else { return };
        let owed = &g.record.debts;
        g.unpaid.retain(|debt, _| owed.contains_key(debt));
        let close = owed.get(&id).is_some_and(|debt| closes(&debt.owed));
        let pause = match g.unpaid.get(&id) {
            _ if !close => PAY_AGAIN,
            Some(known) => PAY_AGAIN.min(known.pause * 2),
            None => CLOSE_AGAIN,
        };
        let again = now.boot + pause;
        g.unpaid.insert(id, Unpaid { again, pause, undelivered });
        if close {
            self.timer(again, Timer::Owed(group.clone(), id));
        }
    }

    /// The pause of a close is over. Its database is looked at first, which leaves no trace: a try that nobody hears, or
    /// that meets a database which is not there, would be an entry of the journal each time.
    pub(crate) fn on_owed_due(&mut self, now: Now, group: &GroupId, id: u64) {
        let owed = self.groups.get(group).and_then(|g| due(g, now, id));
        let Some(address) = owed.map(|owed| owed.address.clone()) else { return };
        if self.is_heard(now, &address) {
            self.look_at(now, &address, None);
        }
    }

    /// A database was seen: a close that is owed there and due is tried again.
    pub(crate) fn pay_close(&mut self, now: Now, address: &Address) {
        let owes = |g: &Group| {
            g.unpaid.keys().any(|id| due(g, now, *id).is_some_and(|owed| owed.address == *address))
        };
        let group = self.groups.iter().find(|(_, g)| owes(g)).map(|(id, _)| id.clone());
        if let Some(group) = group {
            self.pay(now, &group, Some(address));
        }
    }

    /// Whether another debt comes first. Processes stop in the order in which a move stops them, since one may
    /// start another again; and no client follows a name that is not right yet at every server. What was tried
    /// once and failed keeps nobody waiting; what a service that is just starting did not hear yet does. A hosts file
    /// that was pushed stays until the name itself is changed, and until the caches of its site follow, tried or not.
    fn waits_its_turn(&self, now: Now, group: &GroupId, owed: &Owed) -> bool {
        let Some(g) = self.groups.get(group) else { return false };
        let place = |address: &Address| g.plan.live_only.iter().position(|known| *known == address.resource);
        let first = |other: &Owed| match (other.action, owed.action) {
            (Some(Action::StopProcess), Some(Action::StopProcess)) => {
                other.address.site == owed.address.site && place(&other.address) > place(&owed.address)
            }
            (Some(Action::Point), Some(Action::Follow | Action::Unpush)) => true,
            // Of a cache: a host that has a hosts file of its own to be taken away serves nobody else.
            (Some(Action::Follow), Some(Action::Unpush)) => {
                let host = g.record.debts.values().any(|debt| {
                    debt.owed.action == Some(Action::Unpush) && debt.owed.address == other.address
                });
                other.address.site == owed.address.site && !host
            }
            _ => false,
        };
        let stays = owed.action == Some(Action::Unpush);
        let follows = stays || owed.action == Some(Action::Follow);
        g.record.debts.iter().any(|(id, other)| {
            let unheard =
                g.unpaid.get(id).is_some_and(|unpaid| unpaid.undelivered && now.boot < unpaid.again);
            let tried = other.visit > 0 && other.call.is_none() && !unheard;
            let again = stays && other.owed.action == Some(Action::Follow);
            follows && crate::push::is_the_name_itself(&other.owed)
                || (again || !tried) && first(&other.owed) && self.is_heard(now, &other.owed.address)
        })
    }

    fn look_into(&mut self, now: Now, group: &GroupId, key: &Key, doubt: &Doubt) {
        let live = Live {
            owner: Owner::Doubt,
            group: Some(group.clone()),
            address: doubt.address.clone(),
            action: Some(doubt.action),
            args: Value::Null,
            in_doubt: InDoubt::Ask,
            attempt: doubt.attempt,
            stage: Stage::AskAgain { at: now.boot },
            deadline: now.boot + PAY_WITHIN,
            undelivered: false,
            overtaken: self.may_be_overtaken(group, &doubt.address),
            cancelled: true,
            own_bound: None,
            problem: None,
            waits_for: None,
            asked: None,
            told_in_doubt: false,
            look_due: None,
        };
        self.lives.insert(key.clone(), live);
        self.advance(now, key);
    }

    fn pay_debt(&mut self, now: Now, group: &GroupId, id: u64) {
        let Some(g) = self.groups.get(group) else { return };
        let Some(debt) = g.record.debts.get(&id) else { return };
        let address = debt.owed.address.clone();
        let ours = g.plan.resources.contains(&address);
        let Some(action) = debt.owed.action else {
            return self.ask_claim(now, group, &address);
        };
        // One act at a time; doubts first; and a debt already being paid is left alone.
        let busy =
            self.lives.values().any(|l| l.address == address && (l.owner != Owner::Step || l.intended()));
        if busy {
            return;
        }
        let running = g.claims.get(&address) == Some(&Claim::Granted) || !ours;
        if !running {
            self.ask_claim(now, group, &address);
            return;
        }
        if let Some((key, call)) = &debt.call
            && Some(key.run) != g.record.holder
        {
            // The newer claim ended it; what it did is what a look will find.
            let settlement = crate::entry::Settlement {
                attempt: call.attempt,
                by: "claim".into(),
                result: crate::entry::SettledAs::EndedUnknown,
            };
            self.append_group(now, group, &GroupEntry::DebtSettled { debt: id, settlement });
            return self.pay_debt(now, group, id);
        }
        let (key, stage, attempt) = match &debt.call {
            Some((key, call)) => (key.clone(), Stage::AskAgain { at: now.boot }, call.attempt),
            None => match g.record.debt_key(id) {
                Some(key) => (key, Stage::InTurn, Attempt::FIRST),
                None => return,
            },
        };
        let live = Live {
            owner: Owner::Debt(id),
            group: Some(group.clone()),
            address,
            action: Some(action),
            args: debt.owed.args.clone(),
            in_doubt: InDoubt::Ask,
            attempt,
            stage,
            deadline: now.boot + PAY_WITHIN,
            undelivered: debt.call.is_none(),
            overtaken: debt.call.is_some() && self.may_be_overtaken(group, &debt.owed.address),
            cancelled: false,
            own_bound: None,
            problem: None,
            waits_for: None,
            asked: None,
            told_in_doubt: false,
            look_due: None,
        };
        self.lives.insert(key.clone(), live);
        self.advance(now, &key);
    }

    /// Whether the resource's service was heard within the time of three beats.
    pub(crate) fn is_heard(&self, now: Now, address: &Address) -> bool {
        let heard = self.heard.get(address);
        !self.mute.contains(address) && heard.is_some_and(|h| now.boot < h.boot + crate::core::SILENT_AFTER)
    }

    pub(crate) fn on_beat(&mut self, now: Now, beat: schemas::Beat) {
        let mut groups: Vec<GroupId> = Vec::new();
        for address in &beat.resources {
            let anew = !self.is_heard(now, address);
            self.heard.insert(address.clone(), now);
            self.note_alive(now, address, beat.at);
            let beating = self.beating.entry(address.clone()).or_default();
            beating.retain(|_, at| now.boot <= at.boot + crate::core::SILENT_AFTER);
            beating.insert(beat.ledger, now);
            self.mute.remove(address);
            for (id, g) in &mut self.groups {
                let ours = g.plan.resources.contains(address) || g.plan.clients.contains(address);
                if ours && !groups.contains(id) {
                    groups.push(id.clone());
                }
                // Who was silent and speaks again is asked at once.
                if anew && let Some(Claim::Unanswered { again, .. }) = g.claims.get_mut(address) {
                    *again = now.boot;
                }
            }
        }
        for group in groups {
            let owing = self.groups.get(&group).is_some_and(|g| {
                !g.record.debts.is_empty() || !g.record.doubts.is_empty() || g.record.active.is_some()
            });
            if owing {
                for address in &beat.resources {
                    self.pay(now, &group, Some(address));
                    let ours = self.groups.get(&group).is_some_and(|g| g.plan.resources.contains(address));
                    if ours && self.groups.get(&group).is_some_and(|g| g.record.active.is_some()) {
                        self.ask_claim(now, &group, address);
                    }
                }
            }
        }
    }
}
