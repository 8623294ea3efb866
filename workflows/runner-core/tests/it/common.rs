//! One core, a bus without delay, and services that do whatever they are asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use engine::Definition;
use runner_core::{
    Answered, BusRequest, Core, Effect, GroupPlan, Ids, Input, Local, Now, Output, ReplyTo, Rules, Settings,
};
use schemas::op::{Op, OpReply, OpRequest, Preview};
use schemas::view::{GroupView, RunView};
use schemas::*;
use serde_json::{Value, json};
use uuid::Uuid;

struct Counted(u128);

impl Ids for Counted {
    fn run(&mut self, _: Now) -> RunId {
        self.0 += 1;
        RunId(Uuid::from_u128(self.0 | 7 << 76 | 2 << 62))
    }
    fn message(&mut self) -> MessageId {
        self.0 += 1;
        MessageId(Uuid::from_u128(self.0))
    }
}

pub(crate) const GROUP: &str = r"
version: 1
group: cfg
order: 10
sites: [main, secondary]
databases:
  config: { kind: one-live,  replication: { main->secondary: csp, secondary->main: css } }
  log:    { kind: both-live, replication: { main->secondary: msp, secondary->main: mss } }
live_only: [scs-msg, cs-primary, cs-backup]
everywhere: [proxy-a]
names: { max_ttl: 60s, records: { cs-primary: { name: cfg-a.example.net, at: witness } } }
clients:
  hosts: [ { host: s1app, site: main }, { host: s2app, site: secondary } ]
  caches: []
  stale: restart
  done_when: 90%
  within: 3m
trigger: { mode: observe, run: failover, misses: 3, hold_down: 120s, max_age: 5m, one_prober: refused }
fence: { within: 15s, paths: [database], unproved: ask }
";

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Now,
    queue: VecDeque<Input>,
    answers: BTreeMap<u64, OpReply>,
    last: u64,
    silent: BTreeSet<String>,
    /// Sites whose services answer a look and nothing else.
    pub(crate) looks_only: BTreeSet<String>,
    pub(crate) state: BTreeMap<String, Value>,
    applied: BTreeMap<String, u32>,
    /// Acts that fail.
    pub(crate) failing: BTreeSet<String>,
    /// All acts, in their order.
    pub(crate) acts: Vec<String>,
    claimed: BTreeMap<String, (Epoch, RunId)>,
    pub(crate) addresses: Vec<Address>,
    /// Resources on which an act of an earlier life may still be under way.
    pub(crate) unended: BTreeSet<String>,
    /// What each resource's service says of its preconditions.
    pub(crate) checks: BTreeMap<String, Vec<CheckLine>>,
    /// What a resource's service sees, where it is something else than usual.
    pub(crate) seen: BTreeMap<String, Seen>,
    /// By how many seconds a service's clock is ahead of the runner's.
    pub(crate) ahead: BTreeMap<String, i64>,
    /// The version of a service that has not the runner's.
    pub(crate) versions: BTreeMap<String, String>,
    /// Resources for which a second service beats, with a ledger of its own.
    pub(crate) twins: BTreeSet<String>,
    pub(crate) entries: Vec<runner_core::Append>,
    /// Every try to tell people, and when.
    pub(crate) told: Vec<(Duration, runner_core::Telling)>,
    /// The answers to services that asked whether they may open.
    pub(crate) said: Vec<ConfirmReply>,
    /// So many tries fail before one succeeds.
    pub(crate) mute: u32,
    /// What the groups' files say when they are read again.
    pub(crate) files: Result<Vec<runner_core::ReadGroup>, String>,
}

fn definition(name: &str) -> (String, (Digest, Arc<Definition>)) {
    let path = format!("{}/../definitions/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let definition =
        Definition::load(&text, &path, &engine::catalog::default()).unwrap_or_else(|e| panic!("{e}"));
    (name.into(), (Digest::of(text.as_bytes()), Arc::new(definition)))
}

/// What is seen of a program, or of a switch of a site's power.
pub(crate) fn process(running: Running, closes: Option<SiteId>) -> ProcessSeen {
    ProcessSeen { running, closes, repoints: Vec::new(), points_at: None, detail: Value::Null }
}

/// What is seen of a receiver's half that applies all that comes.
pub(crate) fn receiver() -> ReplicationSeen {
    ReplicationSeen {
        half: Half::Receiver,
        state: ReplicationState::Running,
        lag_bytes: Some(0),
        lag_seconds: None,
        heartbeat: None,
        kept_bytes: None,
        copy: None,
        orphans: None,
        aside: None,
        trouble: None,
        detail: Value::Null,
    }
}

fn start(workflow: &str, unfenced: &[&str], overrides: &[&str], dry_run: bool) -> Op {
    Op::Start {
        workflow: workflow.into(),
        group: "cfg".parse().unwrap(),
        to: None,
        supersede: None,
        accept_unfenced: unfenced.iter().map(|site| site.parse().unwrap()).collect(),
        accept_data_loss: None,
        by: None,
        overrides: overrides.iter().map(|name| (*name).to_owned()).collect(),
        waive_ledger: false,
        dry_run,
    }
}

impl World {
    pub(crate) fn new() -> World {
        World::with(GROUP, None)
    }

    /// As the group's file says, with a preflight every so often.
    pub(crate) fn with(group: &str, preflight_every: Option<Duration>) -> World {
        let mut world = World::before(group, preflight_every);
        world.begin();
        world
    }

    /// The runner is killed when no run is under way; the next one reads the group.
    pub(crate) fn killed(self, group: &str) -> World {
        self.killed_beside(group, |_| {})
    }

    /// The same; what the next one meets is made before it begins.
    pub(crate) fn killed_beside(self, group: &str, meets: impl FnOnce(&mut World)) -> World {
        let mut next = World::before(group, None);
        next.now = self.now;
        // Requests that were answered are not asked again.
        next.last = self.last;
        for entry in &self.entries {
            if let runner_core::Stream::Group(group) = &entry.stream {
                let (kind, body) = (&entry.kind, entry.body.clone());
                next.core.replay_group(group, entry.seq, entry.at, kind, body).unwrap();
            }
        }
        meets(&mut next);
        next.begin();
        next
    }

    fn begin(&mut self) {
        let first = self.core.start(self.now);
        self.take(first);
    }

    fn before(group: &str, preflight_every: Option<Duration>) -> World {
        let group = config::parse_group(group, "cfg.yaml", None).unwrap_or_else(|e| panic!("{e}"));
        let plan = GroupPlan::from(&group);
        let addresses: Vec<Address> = plan.resources.iter().chain(&plan.clients).cloned().collect();
        let now = Now {
            wall: "2026-11-25T03:00:00Z".parse::<DateTime<Utc>>().unwrap(),
            boot: Duration::from_secs(100),
        };
        let settings = Settings {
            copied: None,
            prefix: Prefix::new("pointsman").unwrap(),
            source: "/runner/test".into(),
            groups: vec![plan],
            definitions: ["cleanup", "failover", "reprotect", "switchover"].map(definition).into(),
            preflight_every,
        };
        let core = Core::new(settings, Box::new(Counted(0)), Rules::all(), now);
        World {
            core,
            now,
            queue: VecDeque::new(),
            answers: BTreeMap::new(),
            last: 0,
            silent: BTreeSet::new(),
            looks_only: BTreeSet::new(),
            state: BTreeMap::from([("main.database.config".into(), json!("open"))]),
            applied: BTreeMap::new(),
            failing: BTreeSet::new(),
            acts: Vec::new(),
            claimed: BTreeMap::new(),
            addresses,
            unended: BTreeSet::new(),
            checks: BTreeMap::new(),
            seen: BTreeMap::new(),
            ahead: BTreeMap::new(),
            versions: BTreeMap::new(),
            twins: BTreeSet::new(),
            entries: Vec::new(),
            told: Vec::new(),
            said: Vec::new(),
            mute: 0,
            files: Ok(Vec::new()),
        }
    }

    pub(crate) fn adopt(&mut self, live: &str) {
        self.beat();
        let reply = self.op(
            "day one",
            Op::Adopt {
                group: "cfg".parse().unwrap(),
                record: Some(live.parse().unwrap()),
                none_live: false,
                old_runner_stopped: false,
            },
        );
        assert!(matches!(&reply, OpReply::Recorded { what, .. } if !what.contains("not:")), "{reply:?}");
    }

    /// What the runner's shell says of itself.
    pub(crate) fn own(&mut self, lines: Vec<CheckLine>) {
        self.queue.push_back(Input::OwnLines(lines));
        self.settle();
    }

    /// The services of a site, or that of one resource, answer nobody.
    pub(crate) fn silence(&mut self, whom: &str) {
        self.silent.insert(whom.into());
    }

    pub(crate) fn speak(&mut self, whom: &str) {
        self.silent.remove(whom);
        self.beat();
    }

    fn is_silent(&self, address: &Address) -> bool {
        self.silent.contains(address.site.as_str()) || self.silent.contains(&address.to_string())
    }

    /// Nothing happens for so long.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let until = self.now.boot + Duration::from_secs(seconds);
        self.run_until(|w| w.now.boot >= until);
    }

    fn beat(&mut self) {
        let heard: Vec<Address> =
            self.addresses.iter().filter(|address| !self.is_silent(address)).cloned().collect();
        let twins =
            heard.iter().filter(|address| self.twins.contains(&address.to_string())).cloned().collect();
        for (ledger, resources) in [(9, heard), (10, twins)] {
            self.queue.push_back(Input::Beat(Beat {
                resources,
                ledger: LedgerId(Uuid::from_u128(ledger)),
                adopted: true,
                armed: true,
                version: "0".into(),
                at: self.now.wall,
            }));
        }
        self.settle();
    }

    /// Asks for a move, past these unfenced sites and red lines.
    pub(crate) fn ask(&mut self, workflow: &str, unfenced: &[&str], overrides: &[&str]) -> OpReply {
        self.op("INC-1", start(workflow, unfenced, overrides, false))
    }

    /// What a move would do.
    pub(crate) fn preview(&mut self, workflow: &str) -> Preview {
        match self.op("", start(workflow, &[], &[], true)) {
            OpReply::Preview(preview) => *preview,
            other => panic!("{other:?}"),
        }
    }

    /// Starts one.
    pub(crate) fn start(&mut self, workflow: &str, unfenced: &[&str]) -> RunId {
        match self.ask(workflow, unfenced, &[]) {
            OpReply::Started { run, .. } => run,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn op(&mut self, why: &str, op: Op) -> OpReply {
        self.last += 1;
        let id = self.last;
        let request = OpRequest {
            id: MessageId(Uuid::from_u128(u128::from(id) << 64)),
            claimed: "anna@desk".into(),
            why: Some(why.into()),
            seen: None,
            op,
        };
        let input =
            Input::Op { person: "anna".parse().unwrap(), request: Box::new(request), reply_to: ReplyTo(id) };
        self.queue.push_back(input);
        self.run_until(|w| w.answers.contains_key(&id));
        self.answers.remove(&id).unwrap()
    }

    /// Monitoring says that a site is lost.
    pub(crate) fn detect(&mut self, site: &str) {
        self.detect_late(site, Duration::ZERO);
    }

    /// The report was made so long ago.
    pub(crate) fn detect_late(&mut self, site: &str, age: Duration) {
        self.reported(age, json!({ "site": site }));
    }

    pub(crate) fn reported(&mut self, age: Duration, data: Value) {
        let kind = "io.pointsman.site.lost.v1";
        let event = CloudEvent::new("e-1", "/prober/a", kind, self.now.wall - age, data);
        let place = "witness".parse().unwrap();
        self.queue.push_back(Input::Event { place, event: Box::new(event) });
        self.settle();
    }

    pub(crate) fn run(&mut self, run: RunId) -> RunView {
        match self.op("", Op::Show { run: run.to_string() }) {
            OpReply::Run(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn group(&mut self) -> GroupView {
        match self.op("", Op::Status { group: None }) {
            OpReply::Groups(mut groups) => groups.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn applied(&self, act: &str) -> u32 {
        self.applied.get(act).copied().unwrap_or(0)
    }

    pub(crate) fn run_until(&mut self, mut done: impl FnMut(&mut World) -> bool) {
        for _ in 0..4000 {
            self.settle();
            if done(self) {
                return;
            }
            let step =
                self.core.deadline().map_or(Duration::from_secs(1), |at| at.saturating_sub(self.now.boot));
            let step = step.clamp(Duration::from_millis(1), Duration::from_secs(1));
            self.now = Now { wall: self.now.wall + step, boot: self.now.boot + step };
            self.queue.push_back(Input::Tick);
            if self.now.boot.as_secs().is_multiple_of(2) {
                self.beat();
            }
        }
        panic!(
            "never: {:#?}",
            self.entries
                .iter()
                .map(|e| (&e.kind, &e.body))
                .collect::<Vec<_>>()
                .iter()
                .rev()
                .take(30)
                .rev()
                .collect::<Vec<_>>()
        );
    }

    /// What the runner says to the service of a database whose server was started anew.
    pub(crate) fn may_stay_open(&mut self, site: &str, database: &str, epoch: Epoch) -> ConfirmReply {
        let address = format!("{site}.database.{database}");
        let address = *self.addresses.iter().find(|at| at.to_string() == address).as_ref().unwrap();
        let (_, run) = self.claimed[&address.to_string()];
        let request = ConfirmRequest {
            address: address.clone(),
            group: "cfg".parse().unwrap(),
            key: Key { run, position: Position::boot(Uuid::from_u128(1)) },
            attempt: Attempt::FIRST,
            epoch,
            nonce: MessageId(Uuid::from_u128(1)),
        };
        self.queue.push_back(Input::Confirm { request, reply_to: ReplyTo(u64::MAX) });
        self.settle();
        self.said.pop().unwrap()
    }

    fn settle(&mut self) {
        let mut inputs = 0;
        while let Some(input) = self.queue.pop_front() {
            inputs += 1;
            assert!(inputs < 100_000, "it never comes to rest: {input:?}");
            let output = self.core.step(self.now, input);
            self.take(output);
        }
    }

    fn take(&mut self, output: Output) {
        self.entries.extend(output.entries);
        for local in output.local {
            match local {
                Local::Evaluate { run, at, job } => {
                    let result = job.run(&mut expressions::Inline::new());
                    self.queue.push_back(Input::Evaluated { run, at, result });
                }
                Local::ReadFiles { by, reply_to } => {
                    let read = self.files.clone();
                    self.queue.push_back(Input::ReadAgain { by, read, reply_to });
                }
                other => panic!("{other:?}"),
            }
        }
        for effect in output.effects {
            match effect {
                Effect::Request(request) => {
                    let id = request.id;
                    let answer = self.serve(request);
                    self.queue.push_back(Input::Answered { request: id, answer });
                }
                Effect::Answer(to, reply) => drop(self.answers.insert(to.0, *reply)),
                Effect::Confirm(_, reply) => self.said.push(reply),
                Effect::Tell(telling) => {
                    let failed = (self.mute > 0).then(|| "exit 1".to_owned());
                    self.mute = self.mute.saturating_sub(1);
                    let (group, notice) = (telling.group.clone(), telling.notice);
                    self.told.push((self.now.boot, *telling));
                    self.queue.push_back(Input::Told { group, notice, failed });
                }
            }
        }
    }

    fn serve(&mut self, request: BusRequest) -> Answered {
        let prefix = Prefix::new("pointsman").unwrap();
        let (address, verb) = prefix.parse_request(&request.subject).unwrap();
        let looks = matches!(verb, Verb::Observe | Verb::Check);
        let deaf = !looks && self.looks_only.contains(address.site.as_str());
        if deaf || self.is_silent(&address) {
            return Answered::NoResponders;
        }
        let name = address.to_string();
        let ledger = LedgerId(Uuid::from_u128(9));
        let at = self.now.wall;
        let (epoch, run) = self.claimed.get(&name).map_or((Epoch(0), None), |(e, r)| (*e, Some(*r)));
        let reply = match verb {
            Verb::Claim | Verb::Adopt => {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                let epoch: Epoch = serde_json::from_value(body["epoch"].clone()).unwrap();
                let run: RunId = serde_json::from_value(body["run"].clone()).unwrap();
                self.claimed.insert(name, (epoch, run));
                serde_json::to_vec(&ClaimReply {
                    granted: true,
                    epoch,
                    run: Some(run),
                    sequence: 0,
                    ledger,
                    adopted: true,
                    problem: None,
                    at,
                })
            }
            Verb::Observe => {
                let open = self.state.get(&name) == Some(&json!("open"));
                let access = if open { Access::Open } else { Access::Closed };
                let role = if open { Role::Live } else { Role::Standby };
                let seen = match address.service {
                    _ if self.seen.contains_key(&name) => self.seen[&name].clone(),
                    Service::Database if self.state.get(&name) == Some(&json!("dead")) => {
                        Seen::Nothing(Problem::new(Code::Unreachable, "no session on it"))
                    }
                    Service::Database => Seen::Database(DatabaseSeen {
                        access,
                        role,
                        sessions: 0,
                        epoch: None,
                        detail: Value::Null,
                    }),
                    _ => {
                        let running = match self.state.get(&name).and_then(Value::as_str) {
                            Some("unhealthy") => Running::Unhealthy,
                            Some("healthy") => Running::Healthy,
                            _ => Running::Unknown,
                        };
                        Seen::Process(process(running, None))
                    }
                };
                let earlier = Key { run: RunId(Uuid::nil()), position: Position::boot(Uuid::nil()) };
                serde_json::to_vec(&Observation {
                    seen,
                    group: None,
                    epoch,
                    run,
                    unended: self.unended.contains(&name).then_some(earlier).into_iter().collect(),
                    ledger,
                    adopted: true,
                    armed: true,
                    at: at + TimeDelta::seconds(self.ahead.get(&name).copied().unwrap_or(0)),
                })
            }
            Verb::Check => serde_json::to_vec(&CheckReply {
                lines: self.checks.get(&name).cloned().unwrap_or_default(),
                version: self.versions.get(&name).cloned().unwrap_or(env!("CARGO_PKG_VERSION").into()),
                at,
            }),
            Verb::ByHand => panic!("nothing is done by hand here"),
            Verb::Outcome => panic!("nothing is ever in doubt here"),
            Verb::Act(action) => {
                let headers = request.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                let frame = Frame::from_headers(headers).unwrap();
                let act = format!("{name}.{}", action.as_str());
                let fails = self.failing.contains(&act);
                *self.applied.entry(act.clone()).or_default() += u32::from(!fails);
                self.acts.push(act);
                match action.effect() {
                    _ if fails => {}
                    schemas::Effect::Opens => drop(self.state.insert(name, json!("open"))),
                    schemas::Effect::Closes => drop(self.state.insert(name, json!("closed"))),
                    _ => {}
                }
                serde_json::to_vec(&Reply {
                    answer: if fails { Answer::Failed } else { Answer::Applied },
                    key: frame.key,
                    attempt: frame.attempt,
                    epoch: frame.epoch,
                    ledger,
                    adopted: true,
                    void: false,
                    output: json!({}),
                    problem: fails.then(|| Problem::new(Code::Precondition, "somebody is in the way")),
                    at,
                })
            }
        };
        Answered::Reply(reply.unwrap())
    }
}
