//! The protocol's invariants, over what really happened: the journals' entries as they became durable, the effects
//! on the ground, the acknowledged claims. Nothing here is known to the product.

use std::collections::{BTreeMap, BTreeSet};

use runner_core::{Append, GroupEntry, Intent, OpenState, Record, RunEntry, SettledAs, Settlement, Stream};
use schemas::{Action, Address, Code, Effect, Epoch, GroupId, Key, RunId, SiteId};
use serde_json::{Value, json};
use service_core::Looked;

use crate::ground::{Effected, Ground};
use crate::host::Host;

/// An invariant is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `I1a` to `I6`.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
}

/// A key, from its intent on.
struct KeyGhost {
    address: Address,
    action: Action,
    intended: u64,
    /// It was in effect at some moment since its intent.
    was_in_effect: bool,
    settled: Option<Settlement>,
}

/// What is remembered to judge by.
#[derive(Default)]
pub struct Ghosts {
    clock: u64,
    one_live: BTreeMap<Address, GroupId>,
    /// The journals, folded: by runner and group.
    records: BTreeMap<(usize, GroupId), Record>,
    accepted: BTreeSet<Address>,
    keys: BTreeMap<Key, KeyGhost>,
    acknowledged: BTreeMap<Address, Epoch>,
    /// When an opening was settled as done, and for which key.
    opened: BTreeMap<Address, u64>,
    judged: usize,
    judged_clock: u64,
    /// Everything broken so far, each sort once.
    pub violations: Vec<Violation>,
}

fn entry<T: serde::de::DeserializeOwned>(append: &Append) -> T {
    let mut body = append.body.clone();
    body.insert("kind".into(), json!(append.kind));
    serde_json::from_value(Value::Object(body)).unwrap_or_else(|e| panic!("{}: {e}", append.kind))
}

impl Ghosts {
    pub(crate) fn new(one_live: BTreeMap<Address, GroupId>) -> Ghosts {
        Ghosts { one_live, ..Ghosts::default() }
    }

    /// What a runner's journal says of a group.
    pub fn record(&self, runner: usize, group: &GroupId) -> Option<&Record> {
        self.records.get(&(runner, group.clone()))
    }

    /// Whether it is a database that may be open at one site only.
    pub(crate) fn guards(&self, address: &Address) -> bool {
        self.one_live.contains_key(address)
    }

    /// A runner's journal is set back.
    pub(crate) fn set_back(&mut self, runner: usize, records: BTreeMap<GroupId, Record>) {
        self.records.retain(|(of, _), _| *of != runner);
        self.records.extend(records.into_iter().map(|(group, record)| ((runner, group), record)));
    }

    pub(crate) fn records_of(&self, runner: usize) -> BTreeMap<GroupId, Record> {
        let of = self.records.iter().filter(|((r, _), _)| *r == runner);
        of.map(|((_, group), record)| (group.clone(), record.clone())).collect()
    }

    fn broken(&mut self, invariant: &'static str, what: String) {
        if !self.violations.iter().any(|v| v.invariant == invariant) {
            self.violations.push(Violation { invariant, what });
        }
    }

    /// Entries of a runner became durable.
    pub(crate) fn durable(&mut self, runner: usize, appends: &[Append]) {
        for append in appends {
            self.clock += 1;
            match &append.stream {
                Stream::Run(run) => self.run_entry(*run, entry(append)),
                Stream::Group(group) => {
                    let said: GroupEntry = entry(append);
                    self.debt_settled(runner, group, &said);
                    self.records.entry((runner, group.clone())).or_default().apply(append.at, &said);
                    self.group_entry(group, said);
                }
            }
        }
    }

    fn run_entry(&mut self, run: RunId, said: RunEntry) {
        match said {
            RunEntry::Intended(intent) => self.intended(run, intent),
            RunEntry::Settled { step, settlement } => self.settled(&Key { run, position: step }, settlement),
            _ => {}
        }
    }

    fn group_entry(&mut self, group: &GroupId, said: GroupEntry) {
        match said {
            GroupEntry::Accepted { site, .. } => {
                let of = |(address, of): (&Address, &GroupId)| {
                    (of == group && address.site == site).then(|| address.clone())
                };
                self.accepted.extend(self.one_live.iter().filter_map(of));
            }
            GroupEntry::Closed { address, .. } | GroupEntry::Opening { address, .. } => {
                self.accepted.remove(&address);
            }
            GroupEntry::DebtIntended { run, intent, .. } => self.intended(run, intent),
            _ => {}
        }
    }

    /// A debt's key stands in the group's record until it is settled.
    fn debt_settled(&mut self, runner: usize, group: &GroupId, said: &GroupEntry) {
        if let GroupEntry::DebtSettled { debt, settlement } = said
            && let Some(record) = self.records.get(&(runner, group.clone()))
            && let Some((key, _)) = record.debts.get(debt).and_then(|debt| debt.call.clone())
        {
            self.settled(&key, settlement.clone());
        }
    }

    fn intended(&mut self, run: RunId, intent: Intent) {
        let key = Key { run, position: intent.step };
        let ghost = KeyGhost {
            address: intent.address,
            action: intent.action,
            intended: self.clock,
            was_in_effect: false,
            settled: None,
        };
        self.keys.insert(key, ghost);
    }

    fn settled(&mut self, key: &Key, settlement: Settlement) {
        let Some(ghost) = self.keys.get_mut(key) else { return };
        let done = matches!(settlement.result, SettledAs::Done { .. });
        if done && settlement.by != "person" && ghost.action.effect() == Effect::Opens {
            self.opened.insert(ghost.address.clone(), self.clock);
        }
        ghost.settled = Some(settlement);
    }

    /// A claim's acknowledgement left its service.
    pub(crate) fn acknowledged(&mut self, address: &Address, epoch: Epoch) {
        let held = self.acknowledged.entry(address.clone()).or_default();
        *held = (*held).max(epoch);
    }

    /// The newest epoch whose claim a resource has acknowledged.
    pub fn acknowledged_epoch(&self, address: &Address) -> Epoch {
        self.acknowledged.get(address).copied().unwrap_or_default()
    }

    /// Judges what has happened since it was last called.
    pub(crate) fn judge(&mut self, ground: &Ground, hosts: &BTreeMap<String, Host>) {
        // Without a new effect or entry only what services hold can have changed.
        if ground.effects.len() > self.judged || self.clock > self.judged_clock {
            for effect in ground.effects.iter().skip(self.judged) {
                self.effect(ground, effect);
            }
            self.two_open(ground);
            self.keys_settled_truly(ground);
            (self.judged, self.judged_clock) = (ground.effects.len(), self.clock);
        }
        self.account(ground, hosts);
    }

    fn other_open(&self, ground: &Ground, address: &Address) -> Option<Address> {
        let beside = |other: &&Address| other.resource == address.resource && other.site != address.site;
        let group = self.one_live.get(address);
        self.one_live
            .iter()
            .filter(|(_, of)| Some(*of) == group)
            .map(|(other, _)| other)
            .find(|other| beside(other) && ground.is_open(other))
            .cloned()
    }

    fn effect(&mut self, ground: &Ground, effect: &Effected) {
        self.clock += 1;
        let Effected { address, key, epoch, action, before, .. } = effect;
        let of_key = ground.effects.iter().filter(|e| e.key == *key).count();
        if of_key > 1 {
            self.broken("I2", format!("{key} had {of_key} effects on {address}"));
        }
        if self.acknowledged.get(address).is_some_and(|held| epoch < held) {
            self.broken("I4", format!("{key} of epoch {epoch} took effect on {address} after a newer claim"));
        }
        let newly = action.effect() == Effect::Opens && before == "closed";
        if newly
            && self.accepted.contains(address)
            && let Some(other) = self.other_open(ground, address)
        {
            self.broken("I1b", format!("{address} was accepted, and opened beside {other}"));
        }
        let intended = self.keys.get(key).map(|ghost| ghost.intended);
        if action.effect() == Effect::Closes
            && let (Some(intended), Some(opened)) = (intended, self.opened.get(address))
            && intended < *opened
        {
            self.broken("I6", format!("{key} closed {address} after a later opening was settled"));
        }
    }

    fn two_open(&mut self, ground: &Ground) {
        let open: Vec<Address> = self.one_live.keys().filter(|a| ground.is_open(a)).cloned().collect();
        for address in open {
            if let Some(other) = self.other_open(ground, &address)
                && !self.accepted.contains(&address)
                && !self.accepted.contains(&other)
            {
                self.broken("I1a", format!("{address} and {other} are open"));
            }
        }
    }

    fn keys_settled_truly(&mut self, ground: &Ground) {
        let mut found = None;
        for (key, ghost) in &mut self.keys {
            let effects = ground.effects.iter().any(|e| e.key == *key);
            let named = matches!(
                ghost.action,
                Action::Point | Action::Follow | Action::PointProcess | Action::Push | Action::Unpush
            );
            ghost.was_in_effect |= effects
                || named
                || matches!(ground.look(&ghost.address, ghost.action, &Value::Null), Looked::InEffect(_));
            let Some(Settlement { by, result, .. }) = &ghost.settled else { continue };
            match result {
                SettledAs::NotDone { problem }
                    if effects && problem.code != Code::Undone && by != "person" =>
                {
                    found = Some(format!("{key} was settled as not done ({problem}), and has its effect"));
                }
                SettledAs::Done { .. } if !ghost.was_in_effect && by != "person" => {
                    found = Some(format!("{key} was settled as done, and never was in effect"));
                }
                _ => {}
            }
        }
        if let Some(what) = found {
            self.broken("I2", what);
        }
    }

    /// Where the run that holds a database says that it is closed, it is.
    fn account(&mut self, ground: &Ground, hosts: &BTreeMap<String, Host>) {
        let mut found = None;
        for ((runner, group), record) in &self.records {
            for (address, state) in &record.databases {
                let OpenState::Closed { epoch, .. } = state else { continue };
                let held = |host: &Host| host.core.as_ref().and_then(|core| core.holder(address));
                let holds = hosts.get(address.site.as_str()).and_then(held);
                let mine = holds.is_some_and(|(e, run)| e == record.epoch && Some(run) == record.holder);
                if mine && *epoch == record.epoch && ground.is_open(address) {
                    found =
                        Some(format!("runner {runner} counts {address} of `{group}` as closed; it is open"));
                }
            }
        }
        if let Some(what) = found {
            self.broken("I3", what);
        }
    }

    /// I5, at the end: nothing is owed or doubted any more, and one site is open.
    pub(crate) fn end(&mut self, ground: &Ground, runner: usize) {
        let groups: BTreeSet<GroupId> = self.one_live.values().cloned().collect();
        for group in groups {
            let Some(record) = self.record(runner, &group) else { continue };
            if !record.debts.is_empty() || !record.doubts.is_empty() {
                let what = format!("`{group}` owes {:?} and doubts {:?}", record.debts, record.doubts);
                self.broken("I5", what);
            }
            let open: Vec<&Address> = self
                .one_live
                .iter()
                .filter(|(a, g)| **g == group && ground.is_open(a))
                .map(|(a, _)| a)
                .collect();
            let sites: BTreeSet<&SiteId> = open.iter().map(|a| &a.site).collect();
            if sites.len() > 1 {
                self.broken("I5", format!("{open:?} stay open"));
            }
        }
    }
}
