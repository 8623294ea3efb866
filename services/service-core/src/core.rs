//! One service process: all its resources, one ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use schemas::{Address, Code, Epoch, GroupId, LedgerId, Problem, RunId};

use crate::Rules;
use crate::io::{Answered, Ask, Effect, Input, Now, OpId, Step, Ticket};
use crate::record::Record;
use crate::resource::{Resource, Tried, Waiting};
use crate::shared::Shared;

/// One resource that the host's file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its address.
    pub address: Address,
    /// Its group; none for a client host or cache, which no group claims.
    pub group: Option<GroupId>,
}

/// What a core starts with, beside its ledger's records.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The ledger's id.
    pub ledger: LedgerId,
    /// What it answers for.
    pub resources: Vec<Registered>,
    /// Whether the host's brake is off.
    pub armed: bool,
    /// All, in the product.
    pub rules: Rules,
}

/// The core of one service process.
pub struct Core {
    shared: Shared,
    resources: BTreeMap<Address, Resource>,
}

impl Core {
    /// Replays the ledger. What it shows as started and not ended is of an earlier life.
    ///
    /// Lines of resources that are not registered are kept, and nothing is answered for them.
    pub fn new(setup: Setup, records: impl IntoIterator<Item = Record>) -> Core {
        let now = Now { wall: DateTime::UNIX_EPOCH, boot: Duration::ZERO };
        let shared = Shared::new(setup.rules, setup.ledger, setup.armed, now);
        let mut core = Core { shared, resources: BTreeMap::new() };
        for Registered { address, group } in setup.resources {
            let resource = core.resource(&address);
            resource.registered = true;
            resource.group = group;
        }
        for record in records {
            core.replay(&record);
        }
        core
    }

    fn resource(&mut self, address: &Address) -> &mut Resource {
        self.resources.entry(address.clone()).or_insert_with(|| Resource::new(address.clone()))
    }

    fn replay(&mut self, record: &Record) {
        let address = match record {
            Record::Adopted { group, epoch, run } => {
                self.shared.adopted.insert(group.clone(), (*epoch, *run));
                return;
            }
            Record::Claimed { address, .. }
            | Record::Void { address, .. }
            | Record::Started { address, .. }
            | Record::Ended { address, .. }
            | Record::Gone { address, .. }
            | Record::Forgot { address, .. } => address.clone(),
        };
        self.resource(&address);
        if let Some(resource) = self.resources.get_mut(&address) {
            resource.apply(record, &self.shared);
        }
    }

    /// Takes one input. The step's records are to be written before its effects leave.
    pub fn step(&mut self, now: Now, input: Input) -> Step {
        self.shared.now = now;
        match input {
            Input::Asked { ticket, address, ask, nonce } => {
                let waiting = Waiting { ticket, ask, nonce, until: None, tried: Tried::NotYet, before: None };
                match self.resources.get_mut(&address).filter(|resource| resource.registered) {
                    Some(resource) => resource.hear(&mut self.shared, waiting),
                    None => {
                        let problem = Problem::new(Code::UnknownSubject, address.to_string());
                        self.shared.answer(waiting.ticket, Answered::Problem(problem));
                    }
                }
            }
            Input::Checked { op, result } => self.of(op, |r, shared| r.checked(shared, op, result)),
            Input::Looked { op, looked } => self.of(op, |r, shared| r.looked(shared, op, looked)),
            Input::Ended { op, result } => self.of(op, |r, shared| r.ended(shared, op, result)),
            Input::Raised { op, result } => self.of(op, |r, shared| r.raised(shared, op, result)),
            Input::Acted { op, acted } => self.of(op, |r, shared| r.acted(shared, op, acted)),
            Input::Seen { op, seen } => self.of(op, |r, shared| r.seen(shared, op, seen)),
            Input::Confirmed { nonce, yes } => {
                if let Some(address) = self.shared.confirms.remove(&nonce)
                    && let Some(resource) = self.resources.get_mut(&address)
                {
                    resource.confirmed(&mut self.shared, nonce, yes);
                }
            }
            Input::Time => {
                for resource in self.resources.values_mut() {
                    resource.confirm_late(&mut self.shared);
                    resource.expire(&mut self.shared);
                }
            }
            Input::Armed(armed) => self.shared.armed = armed,
        }
        std::mem::take(&mut self.shared.step)
    }

    fn of(&mut self, op: OpId, go: impl FnOnce(&mut Resource, &mut Shared)) {
        if let Some(address) = self.shared.ops.remove(&op)
            && let Some(resource) = self.resources.get_mut(&address)
        {
            go(resource, &mut self.shared);
        }
    }

    /// How a question is answered that cannot be taken: refused, which settles nothing. Changes nothing, so
    /// it follows from no record.
    pub fn refusal(&mut self, now: Now, address: &Address, ask: &Ask, problem: Problem) -> Answered {
        self.shared.now = now;
        let none = Answered::Problem(problem.clone());
        let Some(resource) = self.resources.get(address).filter(|r| r.registered) else { return none };
        resource.turn_away(&mut self.shared, ask, Ticket(0), problem);
        match std::mem::take(&mut self.shared.step).effects.pop() {
            Some(Effect::Answer { answered, .. }) => answered,
            _ => none,
        }
    }

    /// When [`Input::Time`] is due, by the boot-time clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.resources.values().filter_map(Resource::deadline).min()
    }

    /// The ledger, rewritten: lines that replay to the same state.
    pub fn records(&self) -> Vec<Record> {
        let mut out: Vec<Record> = self
            .shared
            .adopted
            .iter()
            .map(|(group, (epoch, run))| Record::Adopted { group: group.clone(), epoch: *epoch, run: *run })
            .collect();
        self.resources.values().for_each(|resource| resource.records(&self.shared, &mut out));
        out
    }

    /// The ledger's id.
    pub fn ledger(&self) -> LedgerId {
        self.shared.ledger
    }

    /// Whether every registered resource's ledger is adopted.
    pub fn adopted(&self) -> bool {
        let mut registered = self.resources.values().filter(|resource| resource.registered);
        registered.all(|resource| self.shared.is_adopted(resource.group.as_ref()))
    }

    /// Whether the host's brake is off.
    pub fn armed(&self) -> bool {
        self.shared.armed
    }

    /// How many acts are in progress.
    pub fn in_progress(&self) -> usize {
        self.resources.values().filter(|resource| resource.acting().is_some()).count()
    }

    /// The epoch and the run that hold a resource.
    pub fn holder(&self, address: &Address) -> Option<(Epoch, RunId)> {
        let resource = self.resources.get(address)?;
        resource.holder(&self.shared).map(|held| (held.epoch, held.run))
    }
}

/// Reads that tests make of a question, to name it in failures.
impl std::fmt::Display for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ask::Act { frame, action, .. } => write!(f, "{action} {} #{}", frame.key, frame.attempt),
            Ask::Claim(claim) => write!(f, "claim {} epoch {}", claim.run, claim.epoch),
            Ask::Outcome(asked) => write!(f, "outcome {} #{}", asked.key, asked.attempt),
            Ask::Observe => f.write_str("observe"),
            Ask::Adopt(adopt) => write!(f, "adopt {} epoch {}", adopt.ledger, adopt.epoch),
        }
    }
}
