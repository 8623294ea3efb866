//! The group machine: which run may start, the epoch, which sites count as open, what is owed and what
//! is doubtful. [`Record`] is the fold of the group's entries and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use schemas::duration::Iso;
use schemas::op::OpReply;
use schemas::view::{DecisionView, DrillView, RunState};
use schemas::{Address, Epoch, Key, MessageId, Position, RunId, SiteId};
use serde::{Deserialize, Serialize};

use crate::call::CallRecord;
use crate::entry::{ByPerson, Doubt, GroupEntry, Owed, SettledAs};
use crate::left::Left;
use crate::notify::Notice;

/// How many answered requests and decisions are kept.
const KEPT: usize = 64;

/// What the entries of a group say, folded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The highest epoch.
    pub epoch: Epoch,
    /// The run that holds it.
    pub holder: Option<RunId>,
    /// When a person last took the world as it is.
    pub adopted: Option<DateTime<Utc>>,
    /// The live site; none before the first `adopt`.
    pub live: Option<SiteId>,
    /// How the other site was left.
    pub left: Option<Left>,
    /// The run that has not ended.
    pub active: Option<RunId>,
    /// What is known of each database that may be open at one site only.
    #[serde(with = "pairs")]
    pub databases: BTreeMap<Address, OpenState>,
    /// Risks taken, a site each.
    pub accepted: BTreeMap<SiteId, Acceptance>,
    /// The loss that was accepted in this epoch.
    pub loss_accepted: Option<LossAccepted>,
    /// What the latest unplanned opening lost at most.
    pub loss: Option<LossDecided>,
    /// Sources' halves whose site is silent, and until when that was seen alive.
    #[serde(with = "pairs")]
    pub last_seen: BTreeMap<Address, DateTime<Utc>>,
    /// At which live site users can only read, and since when.
    pub limited: Option<(SiteId, DateTime<Utc>)>,
    /// Sites that were seen open at once.
    pub split: Vec<SiteId>,
    /// Replications that are broken: since when, and why.
    #[serde(with = "pairs")]
    pub broken: BTreeMap<Address, (DateTime<Utc>, String)>,
    /// Tables of the latest copy of which nobody knows whether they are equal at both sites.
    pub not_compared: Vec<String>,
    /// Receivers that were found not to hold what their source holds, with the tables.
    #[serde(with = "pairs")]
    pub differs: BTreeMap<Address, Vec<String>>,
    /// When the latest opening was intended.
    pub opened: Option<DateTime<Utc>>,
    /// What is owed.
    #[serde(with = "pairs")]
    pub debts: BTreeMap<u64, Debt>,
    /// The last number given to a debt.
    pub last_debt: u64,
    /// Keys passed or left without knowing.
    #[serde(with = "pairs")]
    pub doubts: BTreeMap<Key, Doubt>,
    /// What people are to be told.
    #[serde(with = "pairs")]
    pub notices: BTreeMap<u64, Notice>,
    /// The last number given to a notice.
    pub last_notice: u64,
    /// The step for whose wait a person was told last.
    pub waited: Option<Key>,
    /// The latest notice that was given up, until another one is told.
    pub untold: Option<(DateTime<Utc>, String)>,
    /// An automatic run was started and nobody acknowledged it.
    pub unacknowledged: bool,
    /// A person switched the triggers off, until then if said.
    pub triggers_off: Option<TriggersOff>,
    /// What a person declared, until it is over.
    pub declared: Option<crate::Declared>,
    /// Latest last.
    pub decisions: Vec<DecisionView>,
    /// The latest drill of each workflow and way: `failover main->secondary`.
    pub drills: BTreeMap<String, DrillView>,
    /// A decision that waits for a person: its id and site.
    pub asked: Option<(String, SiteId)>,
    /// The red lines that were told with it.
    pub asked_red: Vec<String>,
    /// The red lines of the preflight, by name.
    pub red: BTreeSet<String>,
    /// The amber ones.
    pub amber: BTreeSet<String>,
    /// Persons' requests that were answered, latest last.
    pub answered: Vec<(MessageId, OpReply)>,
}

/// What the entries say of a database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum OpenState {
    /// An opening was intended and no close was proved since.
    Opening {
        /// By this key.
        key: Key,
        /// In this epoch.
        epoch: Epoch,
    },
    /// A close was proved and no opening was intended since. It counts only while the proof is fresh.
    Closed {
        /// In this epoch.
        epoch: Epoch,
        /// When.
        seen: DateTime<Utc>,
    },
}

/// A risk that was taken (law 7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Serves only openings of this epoch.
    pub epoch: Epoch,
    /// Standing in the group's file.
    pub standing: bool,
    /// Who and why.
    pub by: ByPerson,
    /// When.
    pub taken: DateTime<Utc>,
}

/// A loss that a person took upon himself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossAccepted {
    /// Serves only openings of this epoch.
    pub epoch: Epoch,
    /// At most so much of what can be told.
    pub bound: Iso,
    /// A loss that nobody can tell too.
    #[serde(default)]
    pub unknown: bool,
    /// Who and why.
    pub by: ByPerson,
}

/// What an unplanned opening lost at most, as it was let through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LossDecided {
    /// The run that opened.
    pub run: RunId,
    /// From the last heartbeat that was applied to the last sign of life; none: nobody could tell.
    pub estimate: Option<Iso>,
    /// From what it was told.
    pub text: String,
    /// What let it through.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Something owed, with the call that pays it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Debt {
    /// What.
    pub owed: Owed,
    /// How often paying it was begun anew.
    pub visit: u32,
    /// The call that is under way, and its key.
    pub call: Option<(Key, CallRecord)>,
}

/// Triggers switched off by a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggersOff {
    /// Until then; for good if not said.
    pub until: Option<DateTime<Utc>>,
    /// Who and why.
    pub by: ByPerson,
}

impl Record {
    /// When a database was proved closed in the current epoch, if no opening was intended since.
    pub fn closed_in_epoch(&self, database: &Address) -> Option<DateTime<Utc>> {
        match self.databases.get(database)? {
            OpenState::Closed { epoch, seen } if *epoch == self.epoch => Some(*seen),
            OpenState::Closed { .. } | OpenState::Opening { .. } => None,
        }
    }

    /// In which epoch an opening of a database was intended, if no close was proved since.
    pub fn opening(&self, database: &Address) -> Option<Epoch> {
        match self.databases.get(database)? {
            OpenState::Opening { epoch, .. } => Some(*epoch),
            OpenState::Closed { .. } => None,
        }
    }

    /// The key under which a debt's next act is asked.
    pub fn debt_key(&self, debt: u64) -> Option<Key> {
        let visit = self.debts.get(&debt)?.visit + 1;
        let position = Position::new(format!("/debt/{debt}#{visit}")).ok()?;
        Some(Key { run: self.holder?, position })
    }

    /// Applies one entry. Total: what does not fit is ignored rather than guessed at, since only this
    /// program writes the stream and the chain proves that it is whole.
    pub fn apply(&mut self, at: DateTime<Utc>, entry: &GroupEntry) {
        match entry {
            GroupEntry::Adopted { epoch, run, live, .. } => {
                self.epoch = *epoch;
                self.adopted = Some(at);
                self.holder = Some(*run);
                self.live.clone_from(live);
                self.left = None;
                self.databases.clear();
                self.accepted.clear();
                self.loss_accepted = None;
                self.split.clear();
                self.not_compared.clear();
                self.differs.clear();
                self.limited.take_if(|limited| live.as_ref() != Some(&limited.0));
            }
            GroupEntry::RunStarted { run, epoch, decision, .. } => {
                self.epoch = *epoch;
                self.holder = Some(*run);
                self.active = Some(*run);
                self.asked = None;
                self.loss_accepted = None;
                if let Some(id) = decision {
                    self.unacknowledged = true;
                    if let Some(view) = self.decisions.iter_mut().find(|d| d.id == *id) {
                        view.verdict = "started".into();
                        view.run = Some(*run);
                    }
                }
            }
            GroupEntry::RunEnded { run, live, left, state, not_compared, compared } => {
                if let Some(tables) = not_compared {
                    self.not_compared.clone_from(tables);
                }
                for found in compared {
                    match found.differ.is_empty() {
                        true => self.differs.remove(&found.half),
                        false => self.differs.insert(found.half.clone(), found.differ.clone()),
                    };
                }
                if let Some(left) = left.as_ref().filter(|_| *state != RunState::Fenced) {
                    // A run that did not have it follow does not begin its being left anew.
                    let as_before = self.left.as_ref().filter(|before| {
                        before.site == left.site
                            && (before.follows, left.follows) == (Some(false), Some(false))
                    });
                    let since = as_before.map_or(left.since, |before| before.since);
                    self.left = Some(Left { since, ..left.clone() });
                }
                if self.active == Some(*run) {
                    self.active = None;
                }
                if let Some(live) = live
                    && *state != RunState::Fenced
                {
                    self.live = Some(live.clone());
                    self.limited.take_if(|limited| limited.0 != *live);
                }
            }
            GroupEntry::Opening { address, key, epoch, .. } => {
                self.databases
                    .insert(address.clone(), OpenState::Opening { key: key.clone(), epoch: *epoch });
                self.accepted.remove(&address.site);
                self.opened = Some(at);
                // What is there is what counts from now on.
                self.differs.retain(|half, _| half.site != address.site);
                self.debts.retain(|_, debt| debt.owed.address != *address);
            }
            GroupEntry::Closed { address, epoch, .. } => {
                self.databases.insert(address.clone(), OpenState::Closed { epoch: *epoch, seen: at });
            }
            GroupEntry::Accepted { site, epoch, standing, by } => {
                let taken = Acceptance { epoch: *epoch, standing: *standing, by: by.clone(), taken: at };
                self.accepted.insert(site.clone(), taken);
            }
            GroupEntry::LossAccepted { epoch, bound, unknown, by } => {
                let (epoch, bound, unknown, by) = (*epoch, *bound, *unknown, by.clone());
                let taken = LossAccepted { epoch, bound, unknown, by };
                self.loss_accepted = Some(taken.beside(self.loss_accepted.as_ref()));
            }
            GroupEntry::Loss { run, estimate, text, by, .. } => {
                let (text, by) = (text.clone(), by.clone());
                self.loss = Some(LossDecided { run: *run, estimate: *estimate, text, by, at });
            }
            GroupEntry::LastSeen { address, alive: Some(alive) } => {
                self.last_seen.insert(address.clone(), *alive);
            }
            GroupEntry::LastSeen { address, alive: None } => {
                self.last_seen.remove(address);
            }
            GroupEntry::Limited { site, since } => self.limited = since.map(|since| (site.clone(), since)),
            GroupEntry::Replication { address, trouble: Some(why) } => {
                self.broken.insert(address.clone(), (at, why.clone()));
            }
            GroupEntry::Replication { address, trouble: None } => {
                self.broken.remove(address);
            }
            GroupEntry::SplitBrain { sites } => self.split.clone_from(sites),
            GroupEntry::DoubtListed { key, doubt } => {
                self.doubts.insert(key.clone(), doubt.clone());
            }
            GroupEntry::DoubtEnded { key, .. } => {
                self.doubts.remove(key);
            }
            GroupEntry::Decision { decision, group, event, site, verdict, red } => {
                self.note_decision(
                    site,
                    red,
                    DecisionView {
                        id: decision.clone(),
                        group: group.clone(),
                        at,
                        event: event.clone(),
                        verdict: verdict.clone(),
                        run: None,
                    },
                );
            }
            GroupEntry::Declared { .. } => self.apply_declared(at, entry),
            GroupEntry::Acknowledged { .. } => self.unacknowledged = false,
            GroupEntry::Drilled { drill, .. } => {
                let drill = DrillView { at, ..(**drill).clone() };
                let way = |drill: &DrillView| format!("{} {}->{}", drill.workflow, drill.from, drill.to);
                // An older checkpoint has them by workflow.
                self.drills.retain(|_, known| way(known) != way(&drill));
                self.drills.insert(way(&drill), drill);
            }
            GroupEntry::Triggers { on, until, by } => {
                self.triggers_off = (!on).then(|| TriggersOff { until: *until, by: by.clone() });
            }
            GroupEntry::OpAnswered { request, reply } => {
                self.answered.push((*request, (**reply).clone()));
                let surplus = self.answered.len().saturating_sub(KEPT);
                self.answered.drain(..surplus);
            }
            GroupEntry::Preflight { red, amber } => {
                self.red = red.clone();
                self.amber = amber.clone();
            }
            GroupEntry::Overridden { .. } | GroupEntry::FileTaken { .. } => {}
            GroupEntry::NoticeOwed { .. } | GroupEntry::NoticeEnded { .. } => self.apply_notice(at, entry),
            GroupEntry::Checkpoint { state } => *self = (**state).clone(),
            GroupEntry::Owed { .. }
            | GroupEntry::DebtIntended { .. }
            | GroupEntry::DebtSent { .. }
            | GroupEntry::DebtSettled { .. }
            | GroupEntry::DebtEnded { .. } => self.apply_debt(at, entry),
        }
    }

    fn apply_debt(&mut self, at: DateTime<Utc>, entry: &GroupEntry) {
        match entry {
            GroupEntry::Owed { debt, owed } => {
                self.last_debt = self.last_debt.max(*debt);
                self.debts.insert(*debt, Debt { owed: owed.clone(), visit: 0, call: None });
            }
            GroupEntry::DebtIntended { debt, run, intent } => {
                if let Some(debt) = self.debts.get_mut(debt) {
                    debt.visit += 1;
                    let key = Key { run: *run, position: intent.step.clone() };
                    debt.call = Some((key, CallRecord::intended(at, intent)));
                }
            }
            GroupEntry::DebtSent { debt, attempt } => {
                if let Some((_, call)) = self.debts.get_mut(debt).and_then(|d| d.call.as_mut()) {
                    call.attempt = *attempt;
                }
            }
            GroupEntry::DebtSettled { debt, settlement } => {
                if matches!(settlement.result, SettledAs::Done { .. }) {
                    self.debts.remove(debt);
                } else if let Some(debt) = self.debts.get_mut(debt) {
                    debt.call = None;
                }
            }
            GroupEntry::DebtEnded { debt, .. } => {
                self.debts.remove(debt);
            }
            _ => {}
        }
    }

    fn note_decision(&mut self, site: &SiteId, red: &[String], view: DecisionView) {
        if view.verdict == "ask" || view.verdict.starts_with("ask: ") {
            self.asked = Some((view.id.clone(), site.clone()));
            self.asked_red = red.to_vec();
        } else if self.asked.as_ref().is_some_and(|(asked, _)| *asked == view.id) {
            self.asked = None;
        }
        if let Some(known) = self.decisions.iter_mut().find(|d| d.id == view.id) {
            known.verdict = view.verdict;
            return;
        }
        self.list_decision(view);
    }

    /// At the end of the list, which has a bound.
    pub(crate) fn list_decision(&mut self, view: DecisionView) {
        self.decisions.push(view);
        let surplus = self.decisions.len().saturating_sub(KEPT);
        self.decisions.drain(..surplus);
    }
}

/// Maps whose keys are no strings, as lists of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(d: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(d)?.into_iter().collect())
    }
}
