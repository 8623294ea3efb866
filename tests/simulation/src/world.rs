//! Everything, moved on one event at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use journal::memory::Medium;
use runner_core::{Answered, Input as RunnerInput, ReplyTo, RequestId};
use schemas::op::OpRequest;
use schemas::{Address, Code, GroupId, MessageId, Problem};
use service_core::{Input, Registered};

use crate::boots::Booted;
use crate::event::{Event, Tap};
use crate::ghosts::Ghosts;
use crate::ground::{Ground, Point};
use crate::host::{Asker, Host, Lost};
use crate::random::Dice;
use crate::runner::{Life, RunnerSlot};
use crate::scene::Scene;

/// One hop of a message, one move of a driver.
pub(crate) const HOP: Duration = Duration::from_millis(1);
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
    pub(crate) medium: Medium,
    pub(crate) records: BTreeMap<GroupId, runner_core::Record>,
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
    /// Databases whose servers were started anew.
    pub(crate) booted: BTreeMap<Address, Booted>,
    /// What their services ask runners, by nonce, and until when an answer counts.
    pub(crate) boot_asked: BTreeMap<MessageId, (Address, Duration)>,
    /// Counts what they ask and do.
    pub(crate) boots: u64,
    pub(crate) taps: Vec<Tap>,
    pub(crate) cut: BTreeSet<(String, Option<usize>)>,
    pub(crate) frozen: Vec<Event>,
    /// Requests of which a copy came to somebody.
    pub(crate) delivered: BTreeSet<(Life, RequestId)>,
    pub(crate) queue: BTreeMap<(Duration, u64), Event>,
    pub(crate) last: u64,
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
        let ground = Ground {
            states: scene.states.clone(),
            switches: scene.switches.clone(),
            second_line: scene.second_line,
            ..Ground::default()
        };
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
            booted: BTreeMap::new(),
            boot_asked: BTreeMap::new(),
            boots: 0,
            taps: Vec::new(),
            cut: BTreeSet::new(),
            frozen: Vec::new(),
            delivered: BTreeSet::new(),
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

    pub(crate) fn runner_now(&self) -> runner_core::Now {
        runner_core::Now { wall: self.wall(), boot: self.now }
    }

    /// The wall clock.
    pub fn wall(&self) -> DateTime<Utc> {
        // 2026-11-25 03:00:00, less the time since boot.
        DateTime::<Utc>::UNIX_EPOCH + Duration::from_secs(1_795_575_600) + self.now
    }

    pub(crate) fn service_now(&self) -> service_core::Now {
        service_core::Now { wall: self.wall(), boot: self.now }
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if !self.scene.traced {
            return;
        }
        if self.trace.len() > 2 * TRACE_MAX {
            self.trace.drain(..TRACE_MAX);
        }
        self.trace.push(format!("{:9.3} {}", self.now.as_secs_f64(), line()));
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
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

    pub(crate) fn ticks(&mut self, due: Duration) {
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

    pub(crate) fn lives(&self, host: &(String, u32)) -> bool {
        self.hosts.get(&host.0).is_some_and(|h| h.life == host.1 && h.core.is_some())
    }

    pub(crate) fn deliver(&mut self, event: Event) {
        self.note(|| event.to_string());
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
                if let Some((database, until)) = self.boot_asked.remove(&reply.nonce) {
                    if self.now <= until {
                        self.boot_judged(&database, reply.yes);
                    }
                    return;
                }
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
            Event::Judge(database) => self.judge_boot(database),
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
}
