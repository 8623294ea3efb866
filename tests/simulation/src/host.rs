//! One service process: its core, its ledger, and what a crash leaves of them.

use std::collections::BTreeMap;

use schemas::{Address, LedgerId, Verb};
use service_core::{Core, Record, Registered, Rules, Setup, Ticket};
use uuid::Uuid;

use crate::event::RequestId;
use crate::runner::Life;

/// What a crash takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The process: written lines stay, statements are orphans.
    Process,
    /// The host with its power: unsynced lines are gone, and so is everything that ran.
    Power,
    /// The process and its ledger.
    Ledger,
}

/// Who asked what, under a ticket.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) life: Life,
    pub(crate) id: RequestId,
    pub(crate) address: Address,
    pub(crate) verb: Verb,
}

/// One host's services.
pub struct Host {
    /// Its name: that of its site.
    pub name: String,
    /// Counts its starts.
    pub life: u32,
    /// None while it is down.
    pub core: Option<Core>,
    /// The ledger's lines.
    pub disk: Vec<Record>,
    /// How many of them are synced.
    pub synced: usize,
    /// Whether the brake is off.
    pub armed: bool,
    pub(crate) resources: Vec<Registered>,
    pub(crate) rules: Rules,
    pub(crate) ledger: LedgerId,
    pub(crate) tickets: BTreeMap<Ticket, Asker>,
    /// Points that were passed at which it may be killed.
    pub(crate) points: u64,
    last_ticket: u64,
}

impl Host {
    pub(crate) fn new(name: &str, resources: Vec<Registered>, rules: Rules, number: u128) -> Host {
        Host {
            name: name.to_owned(),
            life: 0,
            core: None,
            disk: Vec::new(),
            synced: 0,
            armed: true,
            resources,
            rules,
            ledger: LedgerId(Uuid::from_u128(number << 64 | 1)),
            tickets: BTreeMap::new(),
            points: 0,
            last_ticket: 0,
        }
    }

    /// Its name and life, as events carry it.
    pub fn this(&self) -> (String, u32) {
        (self.name.clone(), self.life)
    }

    fn setup(&self) -> Setup {
        Setup { ledger: self.ledger, resources: self.resources.clone(), armed: self.armed, rules: self.rules }
    }

    pub(crate) fn start(&mut self) {
        self.life += 1;
        self.tickets.clear();
        self.core = Some(Core::new(self.setup(), self.disk.clone()));
    }

    /// The process is gone. What lies on the disk afterwards is what the loss leaves.
    pub(crate) fn die(&mut self, lost: Lost) {
        self.core = None;
        self.life += 1;
        match lost {
            Lost::Process => {}
            Lost::Power => self.disk.truncate(self.synced),
            Lost::Ledger => {
                self.disk.clear();
                self.synced = 0;
                self.ledger = LedgerId(Uuid::from_u128(self.ledger.0.as_u128() + 1));
            }
        }
    }

    pub(crate) fn ticket(&mut self, asker: Asker) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.tickets.insert(ticket, asker);
        ticket
    }

    /// Drawn for a confirmation: never twice the same, over all lives.
    pub(crate) fn nonce(&self) -> schemas::MessageId {
        schemas::MessageId(Uuid::from_u128(self.ledger.0.as_u128() << 20 | u128::from(self.last_ticket)))
    }

    /// Appends lines.
    pub(crate) fn write(&mut self, records: Vec<Record>, sync: bool) {
        self.disk.extend(records);
        if sync {
            self.synced = self.disk.len();
        }
    }

    /// An epoch rose: the ledger is written anew, as the product may at this point.
    pub(crate) fn rewrite(&mut self) {
        if let Some(core) = &self.core {
            self.disk = core.records();
            self.synced = self.disk.len();
        }
    }
}
