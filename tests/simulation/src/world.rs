//! Everything, moved on one event at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use journal::memory::{Medium, Moment};
use runner_core::{Answered, BusRequest, Effect as RunnerEffect, Input as RunnerInput, ReplyTo};
use schemas::op::OpRequest;
use schemas::{Address, Beat, Code, Frame, GroupId, MessageId, Problem, Verb, args};
use service_core::{Acted, Answered as Said, Ask, Effect, Input, Registered, Step};

use crate::event::{Event, Tap, Then};
use crate::ghosts::Ghosts;
use crate::ground::{Ground, Point, StatementId};
use crate::host::{Asker, Host, Lost};
use crate::random::Dice;
use crate::runner::{Came, RunnerSlot};
use crate::scene::Scene;

/// One hop of a message, one move of a driver.
const HOP: Duration = Duration::from_millis(1);
/// Between two beats.
const BEAT: Duration = Duration::from_secs(2);
/// The lines of history that are kept for a failure's message.
const TRACE_MAX: usize = 400;

/// A host's service is killed when it has passed so many points.
#[derive(Debug, Clone)]
pub struct Death {
    /// Which host.
    pub host: String,
    /// At which point, from 1.
    pub at: u64,
    /// What it takes.
    pub lost: Lost,
}

/// A copy of a runner's disk, and what is known of it.
pub struct Saved {
    medium: Medium,
    records: BTreeMap<GroupId, runner_core::Record>,
}

/// What chance does to messages and processes.
#[derive(Debug, Clone)]
pub(crate) struct Chance {
    pub(crate) dice: Dice,
    /// One message in so many is lost.
    pub(crate) loses: u64,
    /// One in so many comes twice.
    pub(crate) doubles: u64,
    /// One in so many is late, by up to 20 s.
    pub(crate) delays: u64,
    /// One service in so many dies at a point.
    pub(crate) kills: u64,
}

/// Runners, hosts, the ground, the bus, two clocks.
pub struct World {
    /// The boot-time clock of all; the wall clocks agree with it.
    pub now: Duration,
    /// What the services act upon.
    pub ground: Ground,
    /// The hosts, by site.
    pub hosts: BTreeMap<String, Host>,
    /// The runners.
    pub runners: Vec<RunnerSlot>,
    /// The invariants.
    pub ghosts: Ghosts,
    /// Events that taps hold.
    pub held: Vec<(&'static str, Event)>,
    /// After how long a killed process is started; none: by hand.
    pub restart: Option<Duration>,
    /// After how long an orphan commits; none: in the test's hands.
    pub orphans_commit: Option<Duration>,
    /// A service's death to come.
    pub death: Option<Death>,
    /// Statements at this host stop at this point; held as `stopped`.
    pub stop_at: Option<(String, Point)>,
    /// History, for failures.
    pub trace: Vec<String>,
    /// How many events there were.
    pub events: u64,
    /// How runs ended.
    pub(crate) ended: BTreeMap<schemas::RunId, schemas::view::RunState>,
    pub(crate) scene: Scene,
    pub(crate) chance: Option<Chance>,
    pub(crate) persons: BTreeMap<MessageId, (usize, OpRequest)>,
    pub(crate) last_person: u64,
    taps: Vec<Tap>,
    cut: BTreeSet<(String, Option<usize>)>,
    frozen: Vec<Event>,
    queue: BTreeMap<(Duration, u64), Event>,
    last: u64,
}

fn registered(scene: &Scene) -> BTreeMap<String, Vec<Registered>> {
    let mut hosts: BTreeMap<String, BTreeMap<Address, Option<GroupId>>> = BTreeMap::new();
    for plan in &scene.groups {
        let owned = plan.resources.iter().map(|a| (a, Some(plan.group.clone())));
        let shared = plan.clients.iter().map(|a| (a, None));
        for (address, group) in owned.chain(shared) {
            hosts.entry(address.site.as_str().into()).or_default().insert(address.clone(), group);
        }
    }
    let list = |of: BTreeMap<Address, Option<GroupId>>| {
        of.into_iter().map(|(address, group)| Registered { address, group }).collect()
    };
    hosts.into_iter().map(|(name, of)| (name, list(of))).collect()
}

impl World {
    /// All processes run; nothing is adopted yet.
    pub fn new(scene: Scene) -> World {
        let one_live = scene.groups.iter().flat_map(|plan| {
            let of =
                |a: &&Address| plan.one_live.contains(&a.resource) && a.service == schemas::Service::Database;
            plan.resources.iter().filter(of).map(|a| (a.clone(), plan.group.clone()))
        });
        let ground =
            Ground { states: scene.states.clone(), second_line: scene.second_line, ..Ground::default() };
        let hosts = registered(&scene).into_iter().zip(1u128..).map(|((name, resources), n)| {
            (name.clone(), Host::new(&name, resources, scene.service_rules, n))
        });
        let mut world = World {
            now: Duration::from_secs(100),
            ground,
            hosts: hosts.collect(),
            runners: Vec::new(),
            ghosts: Ghosts::new(one_live.collect()),
            held: Vec::new(),
            restart: Some(Duration::from_millis(700)),
            orphans_commit: None,
            death: None,
            stop_at: None,
            trace: Vec::new(),
            events: 0,
            ended: BTreeMap::new(),
            chance: None,
            persons: BTreeMap::new(),
            last_person: 0,
            taps: Vec::new(),
            cut: BTreeSet::new(),
            frozen: Vec::new(),
            queue: BTreeMap::new(),
            last: 0,
            scene,
        };
        world.add_runner(Medium::default());
        for name in world.hosts.keys().cloned().collect::<Vec<_>>() {
            world.start_host(&name);
        }
        world
    }

    /// One more runner on the same bus, on a disk of its own; it starts at once.
    pub fn add_runner(&mut self, medium: Medium) -> usize {
        let runner = self.runners.len();
        self.runners.push(RunnerSlot::new(runner, medium));
        self.start_runner(runner);
        runner
    }

    fn runner_now(&self) -> runner_core::Now {
        runner_core::Now { wall: self.wall(), boot: self.now }
    }

    /// The wall clock.
    pub fn wall(&self) -> DateTime<Utc> {
        // 2026-11-25 03:00:00, less the time since boot.
        DateTime::<Utc>::UNIX_EPOCH + Duration::from_secs(1_795_575_600) + self.now
    }

    fn service_now(&self) -> service_core::Now {
        service_core::Now { wall: self.wall(), boot: self.now }
    }

    fn note(&mut self, line: String) {
        if self.trace.len() > 2 * TRACE_MAX {
            self.trace.drain(..TRACE_MAX);
        }
        self.trace.push(format!("{:9.3} {line}", self.now.as_secs_f64()));
    }

    // ---- the bus ----

    /// Puts a tap into the stream: it sees every event as it is sent.
    pub fn tap(&mut self, name: &'static str, then: Then, takes: impl Fn(&Event) -> bool + 'static) {
        self.taps.push(Tap { name, takes: Box::new(takes), then });
    }

    /// Takes a tap out again; what it holds stays held.
    pub fn untap(&mut self, name: &str) {
        self.taps.retain(|tap| tap.name != name);
    }

    /// Lets everything go that a tap holds, in order, and takes the tap out.
    pub fn release(&mut self, name: &str) {
        self.untap(name);
        let (out, kept) = std::mem::take(&mut self.held).into_iter().partition(|(of, _)| *of == name);
        self.held = kept;
        let out: Vec<(&str, Event)> = out;
        for (_, event) in out {
            self.note(format!("released: {event}"));
            self.push(event, HOP);
        }
    }

    /// How many events a tap holds.
    pub fn holds(&self, name: &str) -> usize {
        self.held.iter().filter(|(of, _)| *of == name).count()
    }

    /// Cuts a host's link to one runner, or to all: messages wait, and arrive when it is mended.
    pub fn cut(&mut self, host: &str, runner: Option<usize>) {
        self.note(format!("the link of {host} is cut"));
        self.cut.insert((host.into(), runner));
    }

    /// Mends a link; what waited arrives in order.
    pub fn mend(&mut self, host: &str) {
        self.note(format!("the link of {host} is mended"));
        self.cut.retain(|(of, _)| of != host);
        for event in std::mem::take(&mut self.frozen) {
            self.send(event);
        }
    }

    fn is_cut(&self, event: &Event) -> bool {
        let (Some(host), Some(runner)) = (event.host(), event.runner()) else {
            return event.host().is_some_and(|host| self.cut.contains(&(host.to_owned(), None)));
        };
        self.cut.contains(&(host.to_owned(), None)) || self.cut.contains(&(host.to_owned(), Some(runner)))
    }

    fn send(&mut self, event: Event) {
        let taken = self.taps.iter().find(|tap| (tap.takes)(&event)).map(|tap| (tap.name, tap.then));
        match taken {
            Some((_, Then::Lose)) => return self.note(format!("lost: {event}")),
            Some((name, Then::Hold)) => {
                self.note(format!("held by `{name}`: {event}"));
                return self.held.push((name, event));
            }
            Some((name, Then::Double)) => self.held.push((name, event.clone())),
            None => {}
        }
        if self.is_cut(&event) {
            return self.frozen.push(event);
        }
        let Some(chance) = &mut self.chance else { return self.push(event, HOP) };
        let mut delay = HOP + Duration::from_micros(chance.dice.below(3000));
        if chance.dice.once_in(chance.delays) {
            delay += Duration::from_millis(chance.dice.below(20_000));
        }
        let twice = chance.dice.once_in(chance.doubles);
        let later = delay + Duration::from_millis(chance.dice.below(5_000));
        if chance.dice.once_in(chance.loses) {
            return self.note(format!("lost: {event}"));
        }
        if twice {
            self.push(event.clone(), later);
        }
        self.push(event, delay);
    }

    pub(crate) fn push(&mut self, event: Event, delay: Duration) {
        self.last += 1;
        self.queue.insert((self.now + delay, self.last), event);
    }

    // ---- time ----

    fn next_deadline(&self) -> Option<Duration> {
        let runners = self.runners.iter().filter_map(|r| r.alive.as_ref()?.core.deadline());
        let hosts = self.hosts.values().filter_map(|h| h.core.as_ref()?.next_deadline());
        runners.chain(hosts).min()
    }

    /// The next event, or the next deadline: whichever is first.
    pub fn step(&mut self) {
        self.events += 1;
        let event = self.queue.first_key_value().map(|((at, _), _)| *at);
        let due = self.next_deadline();
        match (event, due) {
            (Some(event), Some(due)) if due < event => self.ticks(due),
            (None, Some(due)) => self.ticks(due),
            (Some(at), _) => {
                self.now = self.now.max(at);
                if let Some((_, event)) = self.queue.pop_first() {
                    self.deliver(event);
                }
            }
            (None, None) => self.now += Duration::from_secs(1),
        }
        self.ghosts.judge(&self.ground, &self.hosts);
    }

    fn ticks(&mut self, due: Duration) {
        self.now = self.now.max(due);
        for runner in 0..self.runners.len() {
            let deadline = self.runners[runner].alive.as_ref().and_then(|alive| alive.core.deadline());
            if deadline.is_some_and(|at| at <= self.now) {
                self.to_runner(runner, RunnerInput::Tick);
            }
        }
        for name in self.hosts.keys().cloned().collect::<Vec<_>>() {
            let deadline = self.hosts.get(&name).and_then(|h| h.core.as_ref()?.next_deadline());
            if deadline.is_some_and(|at| at <= self.now) {
                self.to_host(&name, Input::Time);
            }
        }
    }

    fn lives(&self, host: &(String, u32)) -> bool {
        self.hosts.get(&host.0).is_some_and(|h| h.life == host.1 && h.core.is_some())
    }

    fn deliver(&mut self, event: Event) {
        self.note(event.to_string());
        match event {
            Event::Ask { from, id, address, verb, frame, body } => {
                self.arrives(Asker { life: from, id, address, verb }, frame, &body);
            }
            Event::Answer { to, id, answer, .. } if self.runners[to.runner].life == to => {
                self.to_runner(to.runner, RunnerInput::Answered { request: id, answer });
            }
            Event::Patience { of, id } if self.runners[of.runner].life == of => {
                let answer = Answered::Silence;
                self.to_runner(of.runner, RunnerInput::Answered { request: id, answer });
            }
            Event::MayI { from, runner, request } => {
                let slot = &mut self.runners[runner];
                slot.last_reply += 1;
                let reply_to = ReplyTo(slot.last_reply);
                slot.confirms.insert(reply_to, (from, request.address.clone()));
                self.to_runner(runner, RunnerInput::Confirm { request, reply_to });
            }
            Event::May { to, reply, .. } if self.lives(&to) => {
                let no = || Problem::new(Code::NotConfirmed, "no");
                let yes = if reply.yes { Ok(()) } else { Err(reply.problem.unwrap_or_else(no)) };
                self.to_host(&to.0, Input::Confirmed { nonce: reply.nonce, yes });
            }
            Event::Beat { runner, beat, .. } => self.to_runner(runner, RunnerInput::Beat(beat)),
            Event::Hand { host, effect } if self.lives(&host) => self.hand(&host.0, *effect),
            Event::Statement { host, op, statement } => self.statement_moves(host, op, statement),
            Event::Told { host, op, acted } if self.lives(&host) => {
                self.to_host(&host.0, Input::Acted { op, acted });
            }
            Event::Orphan(statement) => {
                if let Ok(Some(Point::Begun | Point::Checked)) = self.ground.advance(statement, self.now) {
                    self.push(Event::Orphan(statement), HOP);
                }
            }
            Event::Pulse { host } if self.lives(&host) => self.pulse(&host.0),
            Event::StartHost(name) => self.start_host(&name),
            Event::StartRunner(runner) => self.start_runner(runner),
            Event::Person(id) => self.person_asks(id),
            Event::Answer { .. }
            | Event::Patience { .. }
            | Event::May { .. }
            | Event::Hand { .. }
            | Event::Told { .. }
            | Event::Pulse { .. } => {}
        }
    }

    // ---- runners ----

    /// Starts a runner on its disk, unless it lives.
    pub fn start_runner(&mut self, runner: usize) {
        if self.runners[runner].alive.is_some() {
            return;
        }
        let now = self.runner_now();
        let came = self.runners[runner].start(&self.scene, now);
        self.came(runner, came);
    }

    /// Kills a runner now: what it had in mind is gone.
    pub fn kill_runner(&mut self, runner: usize) {
        self.note(format!("runner {runner} is killed"));
        self.runners[runner].alive = None;
        self.runner_died(runner);
    }

    fn runner_died(&mut self, runner: usize) {
        self.runners[runner].life.life += 1;
        if let Some(after) = self.restart {
            self.push(Event::StartRunner(runner), after);
        }
    }

    /// Hands an input to a runner, if it lives.
    pub fn to_runner(&mut self, runner: usize, input: RunnerInput) {
        let now = self.runner_now();
        let came = self.runners[runner].input(now, input);
        self.came(runner, came);
    }

    fn came(&mut self, runner: usize, came: Came) {
        for append in &came.durable {
            self.note(format!("runner {runner} wrote {} {}", append.kind, brief(&append.body)));
        }
        self.ghosts.durable(runner, &came.durable);
        self.note_ends(&came.durable);
        for effect in came.effects {
            self.released(runner, effect);
        }
        if came.died {
            self.note(format!("runner {runner} died at a write"));
            self.runner_died(runner);
        }
    }

    fn released(&mut self, runner: usize, effect: RunnerEffect) {
        match effect {
            RunnerEffect::Request(request) => self.ask(runner, request),
            RunnerEffect::Answer(to, reply) => {
                let slot = &mut self.runners[runner];
                if let Some(id) = slot.waiting.remove(&to) {
                    slot.answers.insert(id, *reply);
                    self.persons.remove(&id);
                }
            }
            RunnerEffect::Confirm(to, reply) => {
                if let Some((host, address)) = self.runners[runner].confirms.remove(&to) {
                    self.send(Event::May { to: host, address, reply });
                }
            }
        }
    }

    fn ask(&mut self, runner: usize, request: BusRequest) {
        let life = self.runners[runner].life;
        let prefix = self.scene.prefix();
        let (address, verb) = prefix.parse_request(&request.subject).unwrap_or_else(|e| panic!("{e}"));
        let frame = (!request.headers.is_empty()).then(|| {
            let headers = request.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            Box::new(Frame::from_headers(headers).unwrap_or_else(|e| panic!("{e:?}")))
        });
        self.push(Event::Patience { of: life, id: request.id }, request.patience);
        self.send(Event::Ask { from: life, id: request.id, address, verb, frame, body: request.body });
    }

    fn person_asks(&mut self, id: MessageId) {
        let Some((runner, request)) = self.persons.get(&id).cloned() else { return };
        let slot = &mut self.runners[runner];
        if slot.alive.is_some() {
            slot.last_reply += 1;
            let reply_to = ReplyTo(slot.last_reply);
            slot.waiting.insert(reply_to, id);
            let person = "anna".parse().unwrap_or_else(|e| panic!("{e}"));
            self.to_runner(runner, RunnerInput::Op { person, request: Box::new(request), reply_to });
        }
        // The command asks again, with the same id, until it is answered.
        self.push(Event::Person(id), Duration::from_secs(6));
    }

    // ---- hosts ----

    /// Starts a host's service on its ledger, unless it lives.
    pub fn start_host(&mut self, name: &str) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.core.is_some() {
            return;
        }
        host.start();
        let this = host.this();
        self.push(Event::Pulse { host: this }, HOP);
    }

    /// Kills a host's service now; the statements it made are orphans.
    pub fn kill_host(&mut self, name: &str, lost: Lost) {
        self.note(format!("{name} is killed: {lost:?}"));
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.die(lost);
        let mut orphans = Vec::new();
        self.ground.statements.retain(|id, statement| {
            if statement.address.site.as_str() != name || statement.orphan {
                return true;
            }
            statement.orphan = true;
            orphans.push(*id);
            statement.at < Point::Effect && lost != Lost::Power
        });
        if let Some(after) = self.orphans_commit {
            for orphan in orphans {
                self.push(Event::Orphan(orphan), after);
            }
        }
        if let Some(after) = self.restart {
            self.push(Event::StartHost(name.into()), after);
        }
    }

    /// Kills a host's service; it is started by [`World::heal`] only.
    pub fn kill_host_for_good(&mut self, name: &str) {
        let restart = self.restart.take();
        self.kill_host(name, Lost::Process);
        self.restart = restart;
    }

    /// The host's brake.
    pub fn arm(&mut self, name: &str, armed: bool) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.armed = armed;
        }
        self.to_host(name, Input::Armed(armed));
    }

    fn pulse(&mut self, name: &str) {
        let Some(host) = self.hosts.get(name) else { return };
        let Some(core) = &host.core else { return };
        let beat = Beat {
            resources: host.resources.iter().map(|r| r.address.clone()).collect(),
            ledger: core.ledger(),
            adopted: core.adopted(),
            armed: core.armed(),
            version: "0".into(),
            at: self.wall(),
        };
        let this = host.this();
        for runner in 0..self.runners.len() {
            self.send(Event::Beat { from: name.into(), runner, beat: beat.clone() });
        }
        self.push(Event::Pulse { host: this }, BEAT);
    }

    fn arrives(&mut self, asker: Asker, frame: Option<Box<Frame>>, body: &[u8]) {
        let name = asker.address.site.as_str().to_owned();
        let there = self.hosts.get(&name).is_some_and(|host| {
            host.core.is_some() && host.resources.iter().any(|r| r.address == asker.address)
        });
        if !there {
            return self.reply(&asker, Answered::NoResponders);
        }
        let ask = match read(&asker, frame, body) {
            Ok(ask) => ask,
            Err(problem) => {
                let body = serde_json::to_vec(&problem).unwrap_or_default();
                return self.reply(&asker, Answered::Reply(body));
            }
        };
        let Some(host) = self.hosts.get_mut(&name) else { return };
        let address = asker.address.clone();
        let ticket = host.ticket(asker);
        let nonce = host.nonce();
        self.to_host(&name, Input::Asked { ticket, address, ask, nonce });
    }

    fn reply(&mut self, to: &Asker, answer: Answered) {
        let Asker { life, id, address, verb } = to.clone();
        self.send(Event::Answer { to: life, id, address, verb, answer });
    }

    /// A point at which the service may be killed; says whether it was.
    fn point(&mut self, name: &str) -> bool {
        let Some(host) = self.hosts.get_mut(name) else { return true };
        host.points += 1;
        let dies = self.death.as_ref().is_some_and(|death| death.host == name && death.at == host.points);
        let by_chance = self.chance.as_mut().filter(|chance| chance.kills > 0).and_then(|chance| {
            let power = chance.dice.once_in(3);
            chance.dice.once_in(chance.kills).then_some(if power { Lost::Power } else { Lost::Process })
        });
        let lost = match (&self.death, by_chance) {
            (Some(death), _) if dies => death.lost,
            (_, Some(lost)) => lost,
            _ => return false,
        };
        if dies {
            self.death = None;
        }
        self.kill_host(name, lost);
        true
    }

    /// Hands an input to a host's core, if it lives; its records are written, then its effects leave.
    pub fn to_host(&mut self, name: &str, input: Input) {
        let now = self.service_now();
        let Some(core) = self.hosts.get_mut(name).and_then(|host| host.core.as_mut()) else { return };
        let Step { records, sync, rose, effects } = core.step(now, input);
        let answers = effects.iter().any(|e| matches!(e, Effect::Answer { .. }));
        if !records.is_empty() {
            // Before anything is written: the step never was.
            if self.point(name) {
                return;
            }
            for record in &records {
                self.note(format!("{name} wrote {}", brief_record(record)));
            }
            if let Some(host) = self.hosts.get_mut(name) {
                host.write(records, sync);
                if rose {
                    host.rewrite();
                }
            }
        }
        // Written, and nothing left yet: no act begins, no reply leaves.
        if (sync || answers) && self.point(name) {
            return;
        }
        for effect in effects {
            self.leaves(name, effect);
        }
    }

    fn leaves(&mut self, name: &str, effect: Effect) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let this = host.this();
        match effect {
            Effect::Answer { ticket, answered } => {
                let Some(asker) = host.tickets.remove(&ticket) else { return };
                let body = match answered {
                    Said::Reply(reply) => serde_json::to_vec(&reply),
                    Said::Claim(claim) => {
                        if claim.granted {
                            self.ghosts.acknowledged(&asker.address, claim.epoch);
                        }
                        serde_json::to_vec(&claim)
                    }
                    Said::Observation(seen) => serde_json::to_vec(&seen),
                    Said::Problem(problem) => serde_json::to_vec(&problem),
                };
                self.reply(&asker, Answered::Reply(body.unwrap_or_default()));
            }
            Effect::Confirm { request, .. } => {
                let mut asked = false;
                for runner in 0..self.runners.len() {
                    if self.runners[runner].alive.is_some() {
                        asked = true;
                        self.send(Event::MayI { from: this.clone(), runner, request: request.clone() });
                    }
                }
                if !asked {
                    let yes = Err(Problem::new(Code::NoRunner, "no runner listens"));
                    self.to_host(name, Input::Confirmed { nonce: request.nonce, yes });
                }
            }
            Effect::Act { op, address, order } => {
                let statement = self.ground.begin(&address, order);
                if !self.point(name) {
                    self.statement_goes_on(this, op, statement);
                }
            }
            other => self.push(Event::Hand { host: this, effect: Box::new(other) }, HOP),
        }
    }

    fn hand(&mut self, name: &str, effect: Effect) {
        let input = match effect {
            Effect::Check { op, .. } => Input::Checked { op, result: Ok(()) },
            Effect::Look { op, address, action, args } => {
                Input::Looked { op, looked: self.ground.look(&address, action, &args) }
            }
            Effect::End { op, address, .. } => {
                self.ground.end_orphans(&address);
                Input::Ended { op, result: Ok(()) }
            }
            Effect::Raise { op, address, epoch, run, .. } => {
                Input::Raised { op, result: self.ground.raise(&address, epoch, run) }
            }
            Effect::See { op, address } => Input::Seen { op, seen: self.ground.seen(&address) },
            Effect::Act { .. } | Effect::Confirm { .. } | Effect::Answer { .. } => return,
        };
        self.to_host(name, input);
    }

    fn statement_moves(&mut self, host: (String, u32), op: service_core::OpId, statement: StatementId) {
        if !self.lives(&host) {
            return;
        }
        let address = self.ground.statements.get(&statement).map(|s| s.address.clone());
        let order = self.ground.statements.get(&statement).map(|s| s.order.clone());
        let moved = self.ground.advance(statement, self.now);
        match moved {
            Ok(Some(_)) => {
                if !self.point(&host.0) {
                    self.statement_goes_on(host, op, statement);
                }
            }
            Ok(None) => {
                let output = match (address, order) {
                    (Some(address), Some(order)) => self.ground.look(&address, order.action, &order.args),
                    _ => return,
                };
                let acted = match output {
                    service_core::Looked::InEffect(output) => Acted::Done(output),
                    _ => Acted::NotDone(Problem::new(Code::Failed, "it is not in effect afterwards")),
                };
                self.push(Event::Told { host, op, acted }, HOP);
            }
            Err(problem) => self.push(Event::Told { host, op, acted: Acted::NotDone(problem) }, HOP),
        }
    }

    /// A driver may be stopped between two points: what it has in hand is held as `stopped`.
    fn statement_goes_on(&mut self, host: (String, u32), op: service_core::OpId, statement: StatementId) {
        let at = self.ground.statements.get(&statement).map(|s| s.at);
        let stops = self.stop_at.as_ref().is_some_and(|(name, point)| *name == host.0 && Some(*point) == at);
        let event = Event::Statement { host, op, statement };
        match stops {
            true => self.held.push(("stopped", event)),
            false => self.push(event, HOP),
        }
    }

    /// Orphans of a resource move on from now, if there are any.
    pub fn commit_orphans(&mut self, address: &Address) {
        for orphan in self.ground.orphans(address) {
            self.push(Event::Orphan(orphan), HOP);
        }
    }

    /// A copy of a runner's disk as it is now.
    pub fn save_journal(&self, runner: usize) -> Saved {
        Saved { medium: self.runners[runner].medium.fork(), records: self.ghosts.records_of(runner) }
    }

    /// One more runner, on a copy of another one's disk.
    pub fn add_runner_on(&mut self, saved: &Saved) -> usize {
        self.ghosts.set_back(self.runners.len(), saved.records.clone());
        self.add_runner(saved.medium.fork())
    }

    /// A dead runner's disk is set back; it starts on it.
    pub fn restore_journal(&mut self, runner: usize, saved: &Saved) {
        self.kill_runner(runner);
        self.note(format!("the journal of runner {runner} is set back"));
        self.ghosts.set_back(runner, saved.records.clone());
        self.runners[runner].medium = saved.medium.fork();
        self.start_runner(runner);
    }

    /// At which write of its history a runner is to die, and on which side of it.
    pub fn runner_dies_at(&mut self, runner: usize, write: u64, moment: Moment) {
        let slot = &mut self.runners[runner];
        slot.die_at = Some((write, moment));
        if let Some(alive) = &slot.alive {
            alive.journal.die_at(write - slot.writes + alive.journal.writes(), moment);
        }
    }
}

fn read(asker: &Asker, frame: Option<Box<Frame>>, body: &[u8]) -> Result<Ask, Problem> {
    let bad = |e: serde_json::Error| Problem::new(Code::Malformed, e.to_string());
    Ok(match asker.verb {
        Verb::Observe => Ask::Observe,
        Verb::Claim => Ask::Claim(serde_json::from_slice(body).map_err(bad)?),
        Verb::Outcome => Ask::Outcome(serde_json::from_slice(body).map_err(bad)?),
        Verb::Adopt => Ask::Adopt(serde_json::from_slice(body).map_err(bad)?),
        Verb::Act(action) => {
            let args = serde_json::from_slice(body).map_err(bad)?;
            args::check(&asker.address, action, &args)?;
            let frame = *frame.ok_or_else(|| Problem::new(Code::Malformed, "no frame"))?;
            Ask::Act { frame, action, args }
        }
    })
}

fn brief(body: &serde_json::Map<String, serde_json::Value>) -> String {
    serde_json::Value::Object(body.clone()).to_string().chars().take(160).collect()
}

fn brief_record(record: &service_core::Record) -> String {
    serde_json::to_string(record).unwrap_or_default().chars().take(200).collect()
}
