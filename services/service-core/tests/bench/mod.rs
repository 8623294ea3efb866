//! A core on a bench: its disk, its resource and its runner are in the test's hands.

#![allow(dead_code, clippy::unwrap_used, clippy::allow_attributes, reason = "each test file uses a part")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::{
    Action, Address, AdoptRequest, Attempt, ClaimReply, ClaimRequest, Code, Epoch, Frame, GroupId, Key,
    LedgerId, MessageId, OutcomeRequest, Position, Problem, Reply, ResourceId, RunId, Seen, Service, SiteId,
};
use serde_json::{Value, json};
use service_core::{
    Acted, Answered, Ask, Core, Effect, Input, Looked, Now, Order, Record, Registered, Rules, Setup, Ticket,
};
use uuid::Uuid;

pub(crate) fn run_id(n: u128) -> RunId {
    RunId(Uuid::from_u128(n))
}

pub(crate) fn key(run: u128, position: &str) -> Key {
    Key { run: run_id(run), position: Position::new(format!("/do/{position}")).unwrap() }
}

pub(crate) fn group() -> GroupId {
    GroupId::new("shop").unwrap()
}

/// One resource: a site's database, open or closed.
pub(crate) fn address() -> Address {
    Address {
        site: SiteId::new("b").unwrap(),
        service: Service::Database,
        resource: ResourceId::new("config").unwrap(),
    }
}

pub(crate) const OPEN: Action = Action::EnableAccess;
pub(crate) const CLOSE: Action = Action::DisableAccess;

pub(crate) struct Bench {
    pub(crate) core: Option<Core>,
    pub(crate) rules: Rules,
    pub(crate) ledger: LedgerId,
    /// What a killed process leaves.
    pub(crate) disk: Vec<Record>,
    /// How much of it a lost host leaves.
    pub(crate) synced: usize,
    pub(crate) now: Now,
    pub(crate) open: bool,
    /// Every effect, in order.
    pub(crate) effects: Vec<(Key, Action)>,
    pub(crate) flight: VecDeque<Effect>,
    pub(crate) orphans: Vec<Order>,
    pub(crate) endable: bool,
    /// What a look says, if not the truth.
    pub(crate) blind: bool,
    pub(crate) yes: Result<(), Problem>,
    pub(crate) refuse: Option<Problem>,
    pub(crate) answers: BTreeMap<Ticket, Answered>,
    next: u64,
}

impl Bench {
    /// Adopted in epoch 1, nothing claimed yet.
    pub(crate) fn new(rules: Rules) -> Bench {
        let mut bench = Bench::empty(rules);
        bench.adopt(1, 0xad);
        bench
    }

    pub(crate) fn empty(rules: Rules) -> Bench {
        let mut bench = Bench {
            core: None,
            rules,
            ledger: LedgerId(Uuid::from_u128(1)),
            disk: Vec::new(),
            synced: 0,
            now: Now { wall: DateTime::<Utc>::UNIX_EPOCH, boot: Duration::from_secs(100) },
            open: false,
            effects: Vec::new(),
            flight: VecDeque::new(),
            orphans: Vec::new(),
            endable: true,
            blind: false,
            yes: Ok(()),
            refuse: None,
            answers: BTreeMap::new(),
            next: 0,
        };
        bench.start();
        bench
    }

    pub(crate) fn start(&mut self) {
        let setup = Setup {
            ledger: self.ledger,
            resources: vec![Registered { address: address(), group: Some(group()) }],
            armed: true,
            rules: self.rules,
        };
        self.core = Some(Core::new(setup, self.disk.clone()));
    }

    /// Killed and started again. Acts that were handed down are orphans now.
    pub(crate) fn kill(&mut self) {
        for effect in std::mem::take(&mut self.flight) {
            if let Effect::Act { order, .. } = effect {
                self.orphans.push(order);
            }
        }
        self.start();
    }

    /// The host lost power: unsynced lines are gone, and so is everything that ran.
    pub(crate) fn lose_power(&mut self) {
        self.disk.truncate(self.synced);
        self.flight.clear();
        self.orphans.clear();
        self.start();
    }

    /// The ledger is lost with its disk.
    pub(crate) fn lose_ledger(&mut self) {
        self.disk.clear();
        self.synced = 0;
        self.ledger = LedgerId(Uuid::from_u128(self.ledger.0.as_u128() + 1));
        self.kill();
    }

    pub(crate) fn input(&mut self, input: Input) {
        let core = self.core.as_mut().unwrap();
        let step = core.step(self.now, input);
        self.disk.extend(step.records);
        if step.sync {
            self.synced = self.disk.len();
        }
        if step.rose {
            // A rewritten ledger is the same state.
            let lines = core.records();
            let setup = Setup {
                ledger: self.ledger,
                resources: vec![Registered { address: address(), group: Some(group()) }],
                armed: true,
                rules: self.rules,
            };
            assert_eq!(Core::new(setup, lines.clone()).records(), lines);
            self.disk = lines;
            self.synced = self.disk.len();
        }
        for effect in step.effects {
            match effect {
                Effect::Answer { ticket, answered } => {
                    assert!(self.answers.insert(ticket, answered).is_none(), "answered twice");
                }
                effect => self.flight.push_back(effect),
            }
        }
    }

    pub(crate) fn ask(&mut self, ask: Ask) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        let nonce = MessageId(Uuid::from_u128(self.next.into()));
        self.input(Input::Asked { ticket, address: address(), ask, nonce });
        ticket
    }

    fn look(&self, action: Action) -> Looked {
        let found = json!({ "open": self.open });
        match (self.blind, self.open == (action == OPEN)) {
            (true, _) => Looked::CannotTell("blind".into()),
            (false, true) => Looked::InEffect(found),
            (false, false) => Looked::NotInEffect(found),
        }
    }

    fn take_effect(&mut self, order: &Order) -> bool {
        if order.not_after.is_some_and(|end| self.now.boot > end) {
            return false;
        }
        self.open = order.action == OPEN;
        self.effects.push((order.key.clone(), order.action));
        true
    }

    /// An orphan takes effect.
    pub(crate) fn commit_orphan(&mut self) {
        if let Some(order) = self.orphans.pop() {
            self.take_effect(&order);
        }
    }

    /// Does what the core asked for next; says whether there was anything.
    pub(crate) fn deliver(&mut self) -> bool {
        let Some(effect) = self.flight.pop_front() else { return false };
        match effect {
            Effect::Check { op, .. } => {
                let result = self.refuse.clone().map_or(Ok(()), Err);
                self.input(Input::Checked { op, result });
            }
            Effect::Look { op, action, .. } => self.input(Input::Looked { op, looked: self.look(action) }),
            Effect::End { op, .. } => {
                let result = match self.endable {
                    true => {
                        self.orphans.clear();
                        Ok(())
                    }
                    false => Err(Problem::new(Code::EarlierUnended, "still there")),
                };
                self.input(Input::Ended { op, result });
            }
            Effect::Raise { op, .. } => self.input(Input::Raised { op, result: Ok(()) }),
            Effect::Act { op, order, .. } => {
                let acted = match self.take_effect(&order) {
                    true => Acted::Done(json!({ "open": self.open })),
                    false => Acted::NotDone(Problem::new(Code::NotConfirmed, "too late")),
                };
                self.input(Input::Acted { op, acted });
            }
            Effect::See { op, .. } => {
                let seen = Seen::Nothing(Problem::new(Code::Unreachable, ""));
                self.input(Input::Seen { op, seen });
            }
            Effect::Confirm { request, .. } => {
                let yes = self.yes.clone();
                self.input(Input::Confirmed { nonce: request.nonce, yes });
            }
            Effect::Answer { .. } => unreachable!(),
        }
        true
    }

    /// The same for anything but an act, which stays in flight.
    pub(crate) fn deliver_beside_acts(&mut self) {
        if let Some(at) = self.flight.iter().position(|effect| !matches!(effect, Effect::Act { .. })) {
            let effect = self.flight.remove(at);
            self.flight.extend(effect.clone());
            self.flight.rotate_right(usize::from(effect.is_some()));
            self.deliver();
        }
    }

    pub(crate) fn run(&mut self) {
        while self.deliver() {}
    }

    /// Goes on until the core wants the driver to act.
    pub(crate) fn run_to_act(&mut self) {
        while !matches!(self.flight.front(), Some(Effect::Act { .. }) | None) {
            self.deliver();
        }
        assert!(!self.flight.is_empty(), "no act came: {:?}", self.answers);
    }

    /// Goes on until the core wants a yes.
    pub(crate) fn run_to_confirm(&mut self) {
        while !matches!(self.flight.front(), Some(Effect::Confirm { .. }) | None) {
            self.deliver();
        }
    }

    pub(crate) fn act_ask(epoch: u64, key: &Key, attempt: u32, action: Action, args: Value) -> Ask {
        let frame = Frame {
            id: MessageId(Uuid::from_u128(7)),
            source: "/runner/test".into(),
            group: group(),
            key: key.clone(),
            attempt: Attempt(attempt),
            epoch: Epoch(epoch),
            act_within: Duration::from_secs(5),
            expires: DateTime::<Utc>::UNIX_EPOCH + Duration::from_secs(3600),
            traceparent: None,
        };
        Ask::Act { frame, action, args }
    }

    pub(crate) fn send(&mut self, epoch: u64, key: &Key, attempt: u32, action: Action) -> Ticket {
        self.ask(Bench::act_ask(epoch, key, attempt, action, json!({})))
    }

    pub(crate) fn send_claim(&mut self, epoch: u64, run: u128, sequence: u64) -> Ticket {
        let (group, run, epoch) = (group(), run_id(run), Epoch(epoch));
        self.ask(Ask::Claim(ClaimRequest { group, run, epoch, sequence }))
    }

    pub(crate) fn send_outcome(&mut self, epoch: u64, key: &Key, attempt: u32, wait: u64) -> Ticket {
        self.ask(Ask::Outcome(OutcomeRequest {
            group: group(),
            key: key.clone(),
            attempt: Attempt(attempt),
            epoch: Epoch(epoch),
            wait: Duration::from_secs(wait),
        }))
    }

    pub(crate) fn adopt(&mut self, epoch: u64, run: u128) -> ClaimReply {
        let ledger = self.ledger;
        let ask = Ask::Adopt(AdoptRequest { group: group(), run: run_id(run), epoch: Epoch(epoch), ledger });
        let ticket = self.ask(ask);
        self.run();
        self.claimed(ticket)
    }

    pub(crate) fn act(&mut self, epoch: u64, key: &Key, attempt: u32, action: Action) -> Reply {
        let ticket = self.send(epoch, key, attempt, action);
        self.run();
        self.reply(ticket)
    }

    pub(crate) fn claim(&mut self, epoch: u64, run: u128) -> ClaimReply {
        let ticket = self.send_claim(epoch, run, 0);
        self.run();
        self.claimed(ticket)
    }

    pub(crate) fn outcome(&mut self, epoch: u64, key: &Key, attempt: u32) -> Reply {
        let ticket = self.send_outcome(epoch, key, attempt, 1);
        self.run();
        self.reply(ticket)
    }

    #[track_caller]
    pub(crate) fn reply(&self, ticket: Ticket) -> Reply {
        match self.answers.get(&ticket) {
            Some(Answered::Reply(reply)) => reply.clone(),
            other => panic!("{ticket:?} has {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn claimed(&self, ticket: Ticket) -> ClaimReply {
        match self.answers.get(&ticket) {
            Some(Answered::Claim(reply)) => reply.clone(),
            other => panic!("{ticket:?} has {other:?}"),
        }
    }

    pub(crate) fn effects_of(&self, key: &Key) -> usize {
        self.effects.iter().filter(|(of, _)| of == key).count()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.boot += time;
        self.now.wall += time;
        self.input(Input::Time);
    }
}
