//! The model system of the tests: one group of everything, and small groups with one database.

use std::collections::BTreeMap;

use schemas::op::{Op, OpReply};
use schemas::view::GroupView;
use schemas::{Address, CloudEvent, Problem, RunId, Service};
use serde_json::Value;
use simulation::{Scene, World, definition, group_plan};

macro_rules! close {
    ($site:literal, $within:literal, $doubt:literal) => {
        concat!(
            "  - close-",
            $site,
            ":\n",
            "      call: database.disable-access:1.0.0@default\n",
            "      with: { resource: config, site: '${ $workflow.input.",
            $site,
            " }' }\n",
            "      timeout: { after: ",
            $within,
            " }\n",
            "      metadata: { dr: { inDoubt: ",
            $doubt,
            " } }\n",
        )
    };
}

macro_rules! close_or_pass {
    ($site:literal) => {
        concat!(
            "  - close-",
            $site,
            ":\n",
            "      try:\n",
            "        - ask:\n",
            "            call: database.disable-access:1.0.0@default\n",
            "            with: { resource: config, site: '${ $workflow.input.",
            $site,
            " }' }\n",
            "            timeout: { after: PT4S }\n",
            "            metadata: { dr: { inDoubt: pass } }\n",
            "      catch:\n",
            "        when: '${ $error.type | test(\"/(in-doubt|communication|timeout)$\") }'\n",
            "        do: [ owed: { set: { owed: true } } ]\n",
        )
    };
}

macro_rules! open {
    ($site:literal) => {
        concat!(
            "  - open-",
            $site,
            ":\n",
            "      call: database.enable-access:1.0.0@default\n",
            "      with: { resource: config, site: '${ $workflow.input.",
            $site,
            " }' }\n",
        )
    };
}

macro_rules! again {
    () => {
        concat!(
            "  - enough: { switch: [ again: { when: '${ ($context.again? // false) | not }', then: reopen }, \
             done: { then: open-to } ] }\n",
            "  - reopen:\n",
            "      call: database.enable-access:1.0.0@default\n",
            "      with: { resource: config, site: '${ $workflow.input.from }' }\n",
            "      export: { as: '${ { again: true } }' }\n",
            "      then: close-from\n",
        )
    };
}

pub(crate) const GROUP: &str = r"
version: 1
group: GROUP
order: 10
sites: [main, secondary]
databases:
  config: { kind: one-live,  replication: { main->secondary: csp, secondary->main: css } }
  log:    { kind: both-live, replication: { main->secondary: msp, secondary->main: mss } }
live_only: [scs-msg, cs-primary]
everywhere: [proxy-a]
names: { max_ttl: 60s, records: { cs-primary: { name: cfg-a.example.net, at: witness } } }
clients:
  hosts: [ { host: s1app, site: main }, { host: s2app, site: secondary } ]
  caches: []
  stale: restart
  done_when: 90%
  within: 20s
trigger: { mode: MODE, run: failover, misses: 3, hold_down: 10s, max_age: 5m, one_prober: PROBER }
fence: { within: 15s, paths: [database], unproved: ask }
";

/// The model system.
pub(crate) fn whole() -> Scene {
    triggered("observe", "refused")
}

/// The model system with a trigger.
pub(crate) fn triggered(mode: &str, prober: &str) -> Scene {
    let text = GROUP.replace("GROUP", "cfg").replace("MODE", mode).replace("PROBER", prober);
    Scene::new(vec![group_plan("cfg", &text)], shipped())
}

/// The model system with more in its group's file.
pub(crate) fn with(keys: &str) -> Scene {
    let text = GROUP.replace("GROUP", "cfg").replace("MODE", "observe").replace("PROBER", "refused");
    Scene::new(vec![group_plan("cfg", &format!("{text}{keys}"))], shipped())
}

/// The model system, and at both sites a Message Server for logging that works on main's log database.
pub(crate) fn logging() -> Scene {
    let both = "everywhere: [proxy-a, { log-msg: { database: log@main } }]";
    let text = GROUP.replace("everywhere: [proxy-a]", both);
    let text = text.replace("GROUP", "cfg").replace("MODE", "observe").replace("PROBER", "refused");
    let mut scene = Scene::new(vec![group_plan("cfg", &text)], shipped());
    for site in ["main", "secondary"] {
        let at = simulation::address(&format!("{site}.process.log-msg"));
        scene.states.insert(at, serde_json::json!({ "running": "running", "pointsAt": "main" }));
    }
    scene
}

/// All that comes with the program.
fn shipped() -> Vec<(String, String)> {
    ["cleanup", "establish", "failback", "failover", "reprotect", "switchover"].map(definition).into()
}

/// The model system before its first day: everything is stopped and closed.
pub(crate) fn asleep() -> Scene {
    let mut scene = whole();
    for (address, state) in &mut scene.states {
        *state = match address.service {
            Service::Database if address.resource.as_str() == "config" => "closed".into(),
            Service::Database => continue,
            Service::Process => "stopped".into(),
            Service::Replication => serde_json::json!({ "enabled": false }),
            Service::Dns => Value::Null,
        };
    }
    scene
}

/// A world of it, adopted.
pub(crate) fn ready(scene: Scene) -> World {
    let mut world = World::new(scene);
    world.adopt_all();
    world
}

/// Monitoring at the witness says that a site is lost.
pub(crate) fn reported_lost(w: &mut World, site: &str, n: usize) {
    let data = serde_json::json!({ "site": site });
    let event =
        CloudEvent::new(format!("alert-{n}"), "/prober/witness", "io.pointsman.site.lost.v1", w.wall(), data);
    let place = simulation::site("witness");
    w.to_runner(0, runner_core::Input::Event { place, event: Box::new(event) });
}

/// The end of a world, as far as it can be compared: each state, and how often each act took effect.
#[derive(Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) states: BTreeMap<Address, Value>,
    pub(crate) effects: BTreeMap<String, usize>,
}

impl End {
    /// The same, but for how a stream of changes was brought to its end.
    pub(crate) fn without_replication(&self) -> End {
        let of = |address: &Address| address.service != schemas::Service::Replication;
        let states = self.states.iter().filter(|(address, _)| of(address));
        let effects = self.effects.iter().filter(|(what, _)| !what.contains("replication"));
        End {
            states: states.map(|(a, s)| (a.clone(), s.clone())).collect(),
            effects: effects.map(|(e, n)| (e.clone(), *n)).collect(),
        }
    }
}

impl End {
    /// The same, but for whether the sequences were set: they are beside the step that fails, and what is beside it
    /// is given up wherever it stands.
    pub(crate) fn without_sequences(&self) -> End {
        let effects = self.effects.iter().filter(|(what, _)| !what.contains("set-sequences"));
        End { states: self.states.clone(), effects: effects.map(|(e, n)| (e.clone(), *n)).collect() }
    }
}

pub(crate) fn end(world: &World) -> End {
    let mut effects: BTreeMap<String, usize> = BTreeMap::new();
    for effect in &world.ground.effects {
        *effects.entry(format!("{} {}", effect.address, effect.action)).or_default() += 1;
    }
    End { states: world.ground.states.clone(), effects }
}

/// The lines in which two texts differ.
pub(crate) fn difference(a: &End, b: &End) -> String {
    let (a, b) = (format!("{a:#?}"), format!("{b:#?}"));
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let gone = a.iter().filter(|line| !b.contains(line)).map(|line| format!("- {line}"));
    let came = b.iter().filter(|line| !a.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(came).collect::<Vec<_>>().join("\n")
}

pub(crate) fn start_of(workflow: &str, accepted: &[&str]) -> Op {
    let mut op = World::start_op(workflow, "cfg", None);
    if let Op::Start { accept_unfenced, .. } = &mut op {
        *accept_unfenced = accepted.iter().map(|name| simulation::site(name)).collect();
    }
    op
}

/// The group as the runner shows it.
pub(crate) fn group(w: &mut World) -> GroupView {
    match w.ask_runner(0, "", Op::Status { group: None }) {
        OpReply::Groups(mut groups) => groups.remove(0),
        other => w.fail(&format!("{other:?}")),
    }
}

/// Why a request is not done.
pub(crate) fn refused(w: &mut World, op: Op) -> Problem {
    match w.ask_runner(0, "because", op) {
        OpReply::Problem(problem) => problem,
        other => w.fail(&format!("not refused: {other:?}")),
    }
}

pub(crate) type Script = fn(&mut World) -> RunId;

/// One database at two sites, `a` and `b`, and nothing else; `a` is live.
pub(crate) fn pair() -> Scene {
    let text = GROUP.replace("GROUP", "cfg").replace("MODE", "observe").replace("PROBER", "refused");
    let text = text.replace("main", "a").replace("secondary", "b");
    let mut plan = group_plan("cfg", &text);
    plan.resources.retain(|address| plan.one_live.contains(&address.resource));
    plan.clients.clear();
    Scene::new(vec![plan], SMALL.iter().map(|(name, head, tasks)| small(name, head, tasks)).collect())
}

fn small(name: &str, head: &str, tasks: &str) -> (String, String) {
    let text = format!(
        "document: {{ dsl: '1.0.3', namespace: dr, name: {name}, version: '1.0.0', \
         metadata: {{ dr: {{ moves: group, onFault: hold }} }} }}\n{head}\ndo:\n{tasks}"
    );
    (name.to_owned(), text)
}

const LOST: &str = "schedule: { on: { one: { with: { type: io.pointsman.site.lost.v1 } } } }";

/// The definitions of the directed traces: name, head, tasks.
const SMALL: &[(&str, &str, &str)] = &[
    ("move", "", concat!(close_or_pass!("from"), open!("to"))),
    ("move-lost", LOST, concat!(close_or_pass!("from"), open!("to"))),
    // Opens, and leaves everything else to the gate.
    ("open", "", open!("to")),
    // Changes its mind: what it was to leave is opened again.
    ("reopen", "", concat!(close_or_pass!("from"), open!("from"))),
    ("retry-reopen", "", concat!(close!("from", "PT2S", "retry"), open!("from"))),
    ("retry-lost", LOST, close!("from", "PT2S", "retry")),
    // In doubt, a person is asked.
    ("close", "", close!("from", "PT3S", "ask")),
    // Closes, opens again, closes again: a second visit.
    ("twice", "", concat!(close!("from", "PT4S", "ask"), again!(), open!("to"))),
    // Moves the wrong way round: to the site that is live.
    ("swap", "", concat!(close!("to", "PT4S", "ask"), open!("from"))),
];
