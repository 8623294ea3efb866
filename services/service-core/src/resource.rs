//! One resource: who holds it, its keys, what is being done, who waits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use schemas::{
    Action, Address, Answer, Attempt, Code, Digest, Epoch, Frame, GroupId, Key, MessageId, Problem, RunId,
};
use serde_json::Value;

use crate::io::{Ask, KEYS_MAX, Now, OpId, Ticket, WAITING_MAX};
use crate::ledger::{Known, Last, Running};
use crate::record::Record;
use crate::see::Seeing;
use crate::shared::Shared;

/// The run that holds a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) epoch: Epoch,
    pub(crate) run: RunId,
    pub(crate) sequence: u64,
}

/// A started act that was not seen ended; a running one too.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Open {
    pub(crate) group: GroupId,
    pub(crate) attempt: Attempt,
    pub(crate) digest: Digest,
    pub(crate) action: Action,
    pub(crate) args: Value,
    /// Why it is in doubt, if this life knows.
    pub(crate) why: Option<Problem>,
}

/// An act's request on its way.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) ticket: Ticket,
    pub(crate) frame: Frame,
    pub(crate) action: Action,
    pub(crate) args: Value,
    pub(crate) digest: Digest,
    pub(crate) nonce: MessageId,
}

/// Where an act stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    /// The driver checks the arguments; nothing is written.
    Checking(OpId),
    /// `started` is written; it is looked at first.
    Looking(OpId),
    /// The runner was asked whether it may open.
    Confirming { asked: Duration },
    /// The driver acts.
    Acting(OpId),
}

/// What is being done; one thing at a time.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// An act.
    Act { request: Request, phase: Phase, doubtful: bool },
    /// A look for a later attempt of a key that ended applied.
    LookOnly { request: Request, op: OpId },
    /// Earlier acts are being ended.
    Ending { op: OpId },
    /// They were; those of this epoch are looked at, one by one.
    Settling { op: OpId, key: Key, left: Vec<Key> },
    /// The resource itself takes a claim's epoch.
    Raising { op: OpId, waiting: Waiting },
}

/// What an attempt to end earlier acts came to, for those who waited for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tried {
    NotYet,
    SeenGone,
    Not(Problem),
}

/// A question that cannot be answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) ask: Ask,
    pub(crate) nonce: MessageId,
    /// An outcome's: afterwards it is answered `in-progress`.
    pub(crate) until: Option<Duration>,
    pub(crate) tried: Tried,
    /// A claim's: the highest journal sequence that was seen before it.
    pub(crate) before: Option<u64>,
}

pub(crate) struct Resource {
    pub(crate) address: Address,
    /// Whether the host's file names it; if not, its lines are only kept.
    pub(crate) registered: bool,
    /// The group that it belongs to; none: no claim, no epoch.
    pub(crate) group: Option<GroupId>,
    pub(crate) holder: Option<Holder>,
    pub(crate) keys: BTreeMap<Key, Known>,
    pub(crate) open: BTreeMap<(Epoch, Key), Open>,
    /// Without group: runs up to this one are forgotten.
    pub(crate) forgot: Option<RunId>,
    /// Whether this life has ended what earlier lives left, known or not.
    pub(crate) swept: bool,
    /// The epoch that the resource itself is known to hold.
    pub(crate) raised: Option<Epoch>,
    pub(crate) work: Option<Work>,
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) seeing: BTreeMap<OpId, Seeing>,
}

impl Resource {
    pub(crate) fn new(address: Address) -> Resource {
        Resource {
            address,
            registered: false,
            group: None,
            holder: None,
            keys: BTreeMap::new(),
            open: BTreeMap::new(),
            forgot: None,
            swept: false,
            raised: None,
            work: None,
            waiting: VecDeque::new(),
            seeing: BTreeMap::new(),
        }
    }

    /// Who holds it: its own claim, or the adoption where that is newer.
    pub(crate) fn holder(&self, shared: &Shared) -> Option<Holder> {
        let adoption = self.group.as_ref().and_then(|group| shared.adopted.get(group));
        let adoption = adoption.map(|(epoch, run)| Holder { epoch: *epoch, run: *run, sequence: 0 });
        match (self.holder, adoption) {
            (Some(own), Some(adopted)) if adopted.epoch > own.epoch => Some(adopted),
            (Some(own), _) => Some(own),
            (None, adopted) => adopted,
        }
    }

    pub(crate) fn epoch(&self, shared: &Shared) -> Epoch {
        self.holder(shared).map_or(Epoch(0), |holder| holder.epoch)
    }

    /// Whether acts of `epoch` may still count. Where no group claims, they always do.
    pub(crate) fn is_current(&self, epoch: Epoch, shared: &Shared) -> bool {
        self.group.is_none() || epoch == self.epoch(shared)
    }

    /// The act that is being done, if one is.
    pub(crate) fn acting(&self) -> Option<&Request> {
        match &self.work {
            Some(Work::Act { request, .. }) => Some(request),
            _ => None,
        }
    }

    pub(crate) fn running(&self, key: &Key, tried: &Tried) -> Running {
        match (self.acting(), tried) {
            (Some(request), _) if request.frame.key == *key => Running::Here,
            (_, Tried::SeenGone) => Running::SeenGone,
            _ => Running::No,
        }
    }

    /// Started acts that this life does not work on.
    pub(crate) fn loose(&self) -> impl Iterator<Item = (&(Epoch, Key), &Open)> {
        let acting = self.acting().map(|request| (request.frame.epoch, request.frame.key.clone()));
        self.open.iter().filter(move |(name, _)| Some(*name) != acting.as_ref())
    }

    pub(crate) fn apply(&mut self, record: &Record, shared: &Shared) {
        match record {
            Record::Adopted { .. } => {}
            Record::Claimed { epoch, run, sequence, .. } => {
                if self.holder(shared).is_none_or(|held| *epoch > held.epoch) {
                    self.keys.clear();
                }
                self.holder = Some(Holder { epoch: *epoch, run: *run, sequence: *sequence });
            }
            Record::Void { epoch, key, attempt, .. } => {
                if self.is_current(*epoch, shared) {
                    let known = self.keys.entry(key.clone()).or_default();
                    known.void = known.void.max(Some(*attempt));
                }
            }
            Record::Started { group, epoch, key, attempt, digest, action, args, .. } => {
                if self.is_current(*epoch, shared) {
                    let known = self.keys.entry(key.clone()).or_default();
                    known.last = Some(Last { attempt: *attempt, digest: *digest, end: None });
                }
                let open = Open {
                    group: group.clone(),
                    attempt: *attempt,
                    digest: *digest,
                    action: *action,
                    args: args.clone(),
                    why: None,
                };
                self.open.insert((*epoch, key.clone()), open);
            }
            Record::Ended { epoch, key, attempt, digest, how, .. } => {
                if self.is_current(*epoch, shared) {
                    let known = self.keys.entry(key.clone()).or_default();
                    known.last = Some(Last { attempt: *attempt, digest: *digest, end: Some(how.clone()) });
                }
                self.open.remove(&(*epoch, key.clone()));
            }
            Record::Gone { epoch, key, .. } => {
                self.open.remove(&(*epoch, key.clone()));
            }
            Record::Forgot { run, .. } => {
                self.forgot = self.forgot.max(Some(*run));
                self.keys.retain(|key, known| {
                    key.run > *run || known.last.as_ref().is_some_and(|l| l.end.is_none())
                });
            }
        }
    }

    /// Lines that give the same state when they are replayed.
    pub(crate) fn records(&self, shared: &Shared, out: &mut Vec<Record>) {
        let address = &self.address;
        if let Some(Holder { epoch, run, sequence }) = self.holder {
            out.push(Record::Claimed { address: address.clone(), epoch, run, sequence });
        }
        if let Some(run) = self.forgot {
            out.push(Record::Forgot { address: address.clone(), run });
        }
        let epoch = self.epoch(shared);
        for (key, known) in &self.keys {
            if let Some(attempt) = known.void {
                out.push(Record::Void { address: address.clone(), epoch, key: key.clone(), attempt });
            }
            if let Some(Last { attempt, digest, end: Some(how) }) = &known.last {
                out.push(Record::Ended {
                    address: address.clone(),
                    epoch,
                    key: key.clone(),
                    attempt: *attempt,
                    digest: *digest,
                    how: how.clone(),
                });
            }
        }
        for ((epoch, key), open) in &self.open {
            out.push(Record::Started {
                address: address.clone(),
                group: open.group.clone(),
                epoch: *epoch,
                key: key.clone(),
                attempt: open.attempt,
                digest: open.digest,
                action: open.action,
                args: open.args.clone(),
            });
        }
    }

    /// Writes a record and applies it.
    pub(crate) fn write(&mut self, shared: &mut Shared, record: Record) {
        self.apply(&record, shared);
        match record {
            Record::Ended { .. } | Record::Gone { .. } | Record::Forgot { .. } => shared.written(record),
            _ => shared.synced(record),
        }
    }

    /// Where no group claims, no epoch ever lets keys be forgotten: the oldest runs are, and refused.
    pub(crate) fn forget_oldest(&mut self, shared: &mut Shared) {
        if self.group.is_none() && self.keys.len() > KEYS_MAX {
            let newest = self.keys.last_key_value().map(|(key, _)| key.run);
            if let Some((oldest, _)) = self.keys.first_key_value()
                && Some(oldest.run) != newest
            {
                let record = Record::Forgot { address: self.address.clone(), run: oldest.run };
                self.write(shared, record);
            }
        }
    }

    /// Puts a question to the end of the queue, or says that the queue is full.
    pub(crate) fn wait(&mut self, shared: &mut Shared, mut waiting: Waiting) {
        if self.waiting.len() >= WAITING_MAX {
            let problem = Problem::new(Code::Busy, format!("{WAITING_MAX} questions wait already"));
            self.turn_away(shared, &waiting.ask, waiting.ticket, problem);
            return;
        }
        waiting.tried = Tried::NotYet;
        self.waiting.push_back(waiting);
    }

    /// The next moment at which time alone changes something here.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let confirm = match &self.work {
            Some(Work::Act { phase: Phase::Confirming { asked }, .. }) => Some(*asked + schemas::YES_COUNTS),
            _ => None,
        };
        self.waiting.iter().filter_map(|waiting| waiting.until).chain(confirm).min()
    }

    /// Answers the outcomes that have waited long enough.
    pub(crate) fn expire(&mut self, shared: &mut Shared) {
        let Now { boot, .. } = shared.now;
        let (late, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|w| w.until.is_some_and(|at| at <= boot));
        self.waiting = kept;
        for waiting in late {
            if let Ask::Outcome(asked) = &waiting.ask {
                let answer = Answer::InProgress;
                let (key, attempt) = (&asked.key, asked.attempt);
                self.reply(shared, waiting.ticket, key, attempt, answer, false, Value::Null, None);
            }
        }
    }

    /// What is being done is done: everybody who waited is heard again, in order.
    pub(crate) fn rest(&mut self, shared: &mut Shared, tried: &Tried) {
        self.work = None;
        for mut waiting in std::mem::take(&mut self.waiting) {
            waiting.tried = tried.clone();
            self.hear(shared, waiting);
        }
    }

    /// Takes a question: the first time, or again after it waited.
    pub(crate) fn hear(&mut self, shared: &mut Shared, waiting: Waiting) {
        match &waiting.ask {
            Ask::Observe => self.see(shared, waiting.ticket),
            Ask::Act { .. } => self.act(shared, waiting),
            Ask::Outcome(_) => self.outcome(shared, waiting),
            Ask::Claim(_) | Ask::Adopt(_) => self.claim(shared, waiting),
        }
    }
}
