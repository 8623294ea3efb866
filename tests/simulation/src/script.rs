//! What a test says to a world.

use std::time::Duration;

use runner_core::{Record, RunEntry};
use schemas::op::{Op, OpReply, OpRequest};
use schemas::view::{RunState, RunView};
use schemas::{Address, GroupId, MessageId, RunId, SiteId};
use uuid::Uuid;

use crate::event::Event;
use crate::random::Dice;
use crate::world::{Chance, World};

/// No test needs more events than this; one that does is stuck.
const EVENTS_MAX: u64 = 12_000;
/// The lines of history that a failure tells.
const TOLD: usize = 90;

impl World {
    /// Moves on until something holds.
    ///
    /// # Panics
    ///
    /// It never does.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut World) -> bool) {
        for _ in 0..EVENTS_MAX {
            if holds(self) {
                return;
            }
            self.step();
        }
        self.fail(&format!("never: {what}"));
    }

    /// Moves on until something holds, or the time is over; says whether it holds.
    pub fn within(&mut self, time: Duration, mut holds: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.now + time;
        self.push(Event::Person(MessageId(Uuid::nil())), time);
        while self.now < end {
            if holds(self) {
                return true;
            }
            self.step();
        }
        holds(self)
    }

    /// Moves on for a while.
    pub fn pass(&mut self, time: Duration) {
        self.within(time, |_| false);
    }

    /// Fails with the history.
    ///
    /// # Panics
    ///
    /// Always.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        let told = |line: &&String| {
            ["pulses", " beats to ", "waits no longer", ": Look", ": Check"]
                .iter()
                .all(|dull| !line.contains(dull))
        };
        let lines: Vec<&str> = self.trace.iter().filter(told).map(String::as_str).collect();
        let from = lines.len().saturating_sub(TOLD);
        let hint = if self.scene.traced { "" } else { "(POINTSMAN_TRACE=1 tells the history)" };
        panic!("{why} {hint}\n{}\nbroken: {:#?}", lines[from..].join("\n"), self.ghosts.violations);
    }

    /// No invariant was broken so far.
    ///
    /// # Panics
    ///
    /// One was.
    #[track_caller]
    pub fn clean(&self) {
        if !self.ghosts.violations.is_empty() {
            self.fail("an invariant is broken");
        }
    }

    /// A person asks; the answer comes later.
    pub fn request(&mut self, runner: usize, why: &str, op: Op) -> MessageId {
        self.last_person += 1;
        let id = MessageId(Uuid::from_u128(u128::from(self.last_person) << 64));
        let why = Some(why.to_owned());
        let request = OpRequest { id, claimed: "anna@desk".into(), why, seen: None, op };
        self.persons.insert(id, (runner, request));
        self.push(Event::Person(id), Duration::ZERO);
        id
    }

    /// A person asks and waits.
    #[track_caller]
    pub fn ask_runner(&mut self, runner: usize, why: &str, op: Op) -> OpReply {
        let id = self.request(runner, why, op);
        self.until("an answer to a person", |w| w.runners[runner].answers.contains_key(&id));
        self.runners[runner].answers.remove(&id).unwrap_or_else(|| self.fail("no answer"))
    }

    /// Every group is adopted, its first site live.
    #[track_caller]
    pub fn adopt_all(&mut self) {
        let plans: Vec<(GroupId, SiteId)> = self
            .scene
            .groups
            .iter()
            .filter_map(|plan| Some((plan.group.clone(), plan.sites.first()?.clone())))
            .collect();
        self.pass(Duration::from_millis(10));
        for (group, live) in plans {
            let op = Op::Adopt { group, record: Some(live), none_live: false, old_runner_stopped: false };
            let reply = self.ask_runner(0, "day one", op);
            match &reply {
                OpReply::Recorded { what, .. } if !what.contains("not:") => {}
                other => self.fail(&format!("{other:?}")),
            }
        }
    }

    /// The first group is adopted, no site live.
    #[track_caller]
    pub fn adopt_none(&mut self) {
        let group = self.scene.groups[0].group.clone();
        self.pass(Duration::from_millis(10));
        let reply = self.ask_runner(
            0,
            "day one",
            Op::Adopt { group, record: None, none_live: true, old_runner_stopped: false },
        );
        match &reply {
            OpReply::Recorded { what, .. } if !what.contains("not:") => {}
            other => self.fail(&format!("{other:?}")),
        }
    }

    /// The request that starts a move.
    pub fn start_op(workflow: &str, group: &str, to: Option<&str>) -> Op {
        Op::Start {
            workflow: workflow.into(),
            group: GroupId::new(group).unwrap_or_else(|e| panic!("{e}")),
            to: to.map(crate::scene::site),
            supersede: None,
            accept_unfenced: Vec::new(),
            accept_data_loss: None,
            by: None,
            overrides: Vec::new(),
            waive_ledger: false,
            dry_run: false,
        }
    }

    /// Starts a move; says which run it is.
    #[track_caller]
    pub fn start(&mut self, runner: usize, op: Op) -> RunId {
        match self.ask_runner(runner, "because", op) {
            OpReply::Started { run, .. } => run,
            other => self.fail(&format!("not started: {other:?}")),
        }
    }

    /// A new run takes over.
    #[track_caller]
    pub fn supersede(
        &mut self,
        runner: usize,
        old: RunId,
        workflow: &str,
        to: &str,
        accepted: &[&str],
    ) -> RunId {
        let group = self.scene.groups[0].group.as_str().to_owned();
        let mut op = World::start_op(workflow, &group, Some(to));
        if let Op::Start { supersede, accept_unfenced, .. } = &mut op {
            *supersede = Some(old.to_string());
            *accept_unfenced = accepted.iter().map(|name| crate::scene::site(name)).collect();
        }
        self.start(runner, op)
    }

    /// A person takes the risk that a site is open.
    #[track_caller]
    pub fn accept(&mut self, runner: usize, run: RunId, unfenced: &str) {
        let unfenced = Some(crate::scene::site(unfenced));
        let op = Op::Accept { run: run.to_string(), unfenced, data_loss: None };
        self.ask_runner(runner, "the power is off", op);
    }

    /// The run as a runner shows it.
    #[track_caller]
    pub fn view(&mut self, runner: usize, run: RunId) -> RunView {
        match self.ask_runner(runner, "", Op::Show { run: run.to_string() }) {
            OpReply::Run(view) => *view,
            other => self.fail(&format!("{other:?}")),
        }
    }

    /// What a runner's journal says of a group.
    #[track_caller]
    pub fn record(&self, runner: usize, group: &str) -> &Record {
        let group = GroupId::new(group).unwrap_or_else(|e| panic!("{e}"));
        self.ghosts.record(runner, &group).unwrap_or_else(|| self.fail("no entry of the group"))
    }

    /// How a run ended, if it has.
    pub fn ended(&self, run: RunId) -> Option<RunState> {
        self.ended.get(&run).copied()
    }

    /// Moves on until a run has ended.
    #[track_caller]
    pub fn until_ended(&mut self, run: RunId) -> RunState {
        self.until("the end of the run", |w| w.ended.contains_key(&run));
        self.ended[&run]
    }

    pub(crate) fn note_ends(&mut self, appends: &[runner_core::Append]) {
        for append in appends {
            let runner_core::Stream::Run(run) = &append.stream else { continue };
            if append.kind != "run.ended" {
                continue;
            }
            let mut body = append.body.clone();
            body.insert("kind".into(), append.kind.clone().into());
            if let Ok(RunEntry::Ended { state, .. }) = serde_json::from_value(body.into()) {
                self.ended.insert(*run, state);
            }
        }
    }

    /// How many writes a runner has made, over all its lives.
    pub fn writes(&self, runner: usize) -> u64 {
        self.runners[runner].writes
    }

    /// Whether a runner lives.
    pub fn runner_lives(&self, runner: usize) -> bool {
        self.runners[runner].alive.is_some()
    }

    /// How many points a host's service has passed at which it may be killed.
    pub fn points(&self, host: &str) -> u64 {
        self.hosts.get(host).map_or(0, |host| host.points)
    }

    /// Everything is mended and started; in the end nothing is owed or doubted (I5), and no run goes on.
    #[track_caller]
    pub fn finish(&mut self, group: &str) {
        self.heal();
        let group_id = GroupId::new(group).unwrap_or_else(|e| panic!("{e}"));
        for _ in 0..EVENTS_MAX {
            let quiet = self
                .ghosts
                .record(0, &group_id)
                .is_some_and(|r| r.active.is_none() && r.debts.is_empty() && r.doubts.is_empty());
            if quiet && self.ground.statements.is_empty() {
                break;
            }
            self.step();
        }
        self.pass(Duration::from_secs(5));
        self.ghosts.end(&self.ground, 0);
    }

    /// Somebody throws the switch of a site whose services are dead: nothing at the site accepts a write.
    pub fn power_off(&mut self, switch: &Address) {
        self.note(|| format!("{switch} is switched off"));
        self.ground.states.insert(switch.clone(), "stopped".into());
    }

    /// And switches it on again. What boots there starts closed.
    pub fn power_on(&mut self, switch: &Address) {
        self.note(|| format!("{switch} is switched on"));
        let of = self.ground.switches.get(switch).cloned();
        for (address, state) in &mut self.ground.states {
            if Some(&address.site) == of.as_ref() && self.ghosts.guards(address) {
                *state = "closed".into();
            }
        }
        self.ground.states.insert(switch.clone(), "running".into());
    }

    /// All links are mended, all processes started, chance rests.
    pub fn heal(&mut self) {
        self.chance = None;
        self.death = None;
        self.restart = Some(Duration::from_millis(700));
        for host in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.mend(&host);
            self.start_host(&host);
        }
        for runner in 0..self.runners.len() {
            self.start_runner(runner);
        }
    }

    /// From now on messages are lost, doubled and late, and services die, as the dice fall.
    pub fn by_chance(&mut self, dice: Dice, loses: u64, doubles: u64, delays: u64, kills: u64) {
        self.chance = Some(Chance { dice, loses, doubles, delays, kills });
    }
}
