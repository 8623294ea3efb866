//! One runner: a core over one life of the journal's twin in memory, opened by the same replay as the product's.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use engine::Definition;
use journal::memory::{Kept, Medium, Memory, Moment, Pace, collect};
use journal::{Batch, NewEntry, Record as _, StreamId};
use runner_core::{
    Append, Core, Effect, Ids, Input, Local, Now, Output, ReplyTo, Settings, Started, Stored, Stream,
};
use schemas::op::OpReply;
use schemas::{Digest, GroupId, MessageId, RunId};
use uuid::Uuid;

use crate::scene::Scene;

/// Which runner, in which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// Which.
    pub runner: usize,
    /// Counts its starts.
    pub life: u32,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "runner {}.{}", self.runner, self.life)
    }
}

/// Ids that are counted, never drawn; each life of each runner has its own.
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

type Journal = Memory<Vec<Effect>>;

/// One life of a process.
pub(crate) struct Alive {
    pub(crate) core: Core,
    pub(crate) journal: Journal,
    released: Kept<Vec<Effect>>,
}

/// A runner's place: its disk, and the process that may live on it.
pub struct RunnerSlot {
    /// Which, and its present life.
    pub life: Life,
    /// Its disk.
    pub medium: Medium,
    /// None while it is down.
    pub(crate) alive: Option<Alive>,
    /// Answers to persons, by request.
    pub(crate) answers: BTreeMap<MessageId, OpReply>,
    /// Who waits for which answer in this life.
    pub(crate) waiting: BTreeMap<ReplyTo, MessageId>,
    /// Hosts that wait for a confirmation in this life.
    pub(crate) confirms: BTreeMap<ReplyTo, ((String, u32), schemas::Address)>,
    pub(crate) last_reply: u64,
    /// At which write of its whole history it is to die, and how.
    pub(crate) die_at: Option<(u64, Moment)>,
    /// Writes over all lives.
    pub(crate) writes: u64,
}

/// What came of handing the core an input.
pub(crate) struct Came {
    /// Entries that are on disk now.
    pub(crate) durable: Vec<Append>,
    /// What the journal released.
    pub(crate) effects: Vec<Effect>,
    /// The process died at a write.
    pub(crate) died: bool,
}

fn stream_id(stream: &Stream) -> StreamId {
    match stream {
        Stream::Run(run) => StreamId::run(run),
        Stream::Group(group) => StreamId::group(group),
    }
    .unwrap_or_else(|bad| panic!("{bad}"))
}

fn new_entry(append: &Append) -> NewEntry {
    NewEntry {
        stream: stream_id(&append.stream),
        seq: append.seq,
        at: append.at,
        kind: append.kind.clone(),
        body: append.body.clone(),
        link: append.link.as_ref().map(stream_id),
    }
}

impl RunnerSlot {
    pub(crate) fn new(runner: usize, medium: Medium) -> RunnerSlot {
        RunnerSlot {
            life: Life { runner, life: 0 },
            medium,
            alive: None,
            answers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            confirms: BTreeMap::new(),
            last_reply: 0,
            die_at: None,
            writes: 0,
        }
    }

    /// Opens the journal, reads everything, goes on: what `runner::run` does.
    pub(crate) fn start(&mut self, scene: &Scene, now: Now) -> Came {
        self.life.life += 1;
        self.waiting.clear();
        self.confirms.clear();
        let (sink, released) = collect();
        let (journal, opened) = Memory::open(&self.medium, Pace::Now, sink).unwrap_or_else(|e| panic!("{e}"));
        if let Some((write, moment)) = self.die_at
            && write > self.writes
        {
            journal.die_at(write - self.writes, moment);
        }
        for (name, text) in &scene.definitions {
            let definition = loaded(name, text);
            for text in [text].into_iter().chain(definition.functions().values()) {
                journal.put(text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
            }
        }
        let definitions = scene
            .definitions
            .iter()
            .map(|(name, text)| (name.clone(), (Digest::of(text.as_bytes()), loaded(name, text))));
        let settings = Settings {
            copied: None,
            prefix: scene.prefix(),
            source: format!("/runner/{}", self.life.runner),
            groups: scene.groups.clone(),
            definitions: definitions.collect(),
            preflight_every: None,
        };
        let Life { runner, life } = self.life;
        let ids = Counted((runner as u128 + 1) << 40 | u128::from(life) << 24);
        let mut core = Core::new(settings, Box::new(ids), scene.runner_rules, now);
        for stream in &opened.groups {
            let group: GroupId = stream.name().parse().unwrap_or_else(|e| panic!("{e}"));
            for entry in journal.read(stream, 1).unwrap_or_else(|e| panic!("{e}")) {
                let entry = entry.unwrap_or_else(|e| panic!("{e}"));
                core.replay_group(&group, entry.seq, entry.at, &entry.kind, entry.body)
                    .unwrap_or_else(|e| panic!("{e}"));
            }
        }
        for stream in &opened.unfinished {
            core.replay_run(read_run(&journal, stream));
        }
        self.alive = Some(Alive { core, journal, released });
        let first = self.alive.as_mut().map(|alive| alive.core.start(now)).unwrap_or_default();
        self.take(now, first)
    }

    pub(crate) fn input(&mut self, now: Now, input: Input) -> Came {
        match &mut self.alive {
            Some(alive) => {
                let output = alive.core.step(now, input);
                self.take(now, output)
            }
            None => Came { durable: Vec::new(), effects: Vec::new(), died: false },
        }
    }

    /// What the shell does with an output: one batch to the journal, then the local work.
    fn take(&mut self, now: Now, output: Output) -> Came {
        let mut came = Came { durable: Vec::new(), effects: Vec::new(), died: false };
        let Some(alive) = &mut self.alive else { return came };
        let mut outputs = VecDeque::from([output]);
        while let Some(output) = outputs.pop_front() {
            if output.is_empty() {
                continue;
            }
            let before = alive.journal.writes();
            let batch = Batch {
                entries: output.entries.iter().map(new_entry).collect(),
                effects: output.effects,
                ended: output.ended.iter().map(stream_id).collect(),
            };
            let taken = alive.journal.submit(batch);
            if taken.is_err() || alive.journal.is_dead() {
                came.died = true;
                if matches!(self.die_at, Some((_, Moment::After))) {
                    came.durable.extend(output.entries);
                }
                self.writes += 1;
                self.die_at = None;
                break;
            }
            self.writes += alive.journal.writes() - before;
            came.durable.extend(output.entries);
            for local in output.local {
                match local {
                    Local::Evaluate { run, at, job } => {
                        let result = evaluate(job);
                        outputs.push_back(alive.core.step(now, Input::Evaluated { run, at, result }));
                    }
                    // What is read from the journal is the shell's; no test here asks for it.
                    Local::Show { .. }
                    | Local::ReadFiles { .. }
                    | Local::List { .. }
                    | Local::Evidence { .. }
                    | Local::Definition { .. } => {}
                }
            }
        }
        let mut released = alive.released.lock().unwrap_or_else(|e| panic!("{e}"));
        for durable in released.drain(..) {
            came.effects.extend(durable.into_inner());
        }
        drop(released);
        if came.died {
            self.alive = None;
        }
        came
    }
}

fn read_run(journal: &Journal, stream: &StreamId) -> runner_core::ReadRun {
    let id: RunId = stream.name().parse().unwrap_or_else(|e| panic!("{e}"));
    let entries = journal.read(stream, 1).unwrap_or_else(|e| panic!("{e}"));
    let stored = entries.map(|entry| {
        let entry = entry.unwrap_or_else(|e| panic!("{e}"));
        Stored { seq: entry.seq, at: entry.at, kind: entry.kind, body: entry.body }
    });
    let text = |digest: &Digest| -> Result<String, String> {
        let kept: journal::Digest =
            digest.to_string().parse().map_err(|e: journal::BadDigest| e.to_string())?;
        let text = journal.get(&kept).map_err(|e| e.to_string())?;
        String::from_utf8(text).map_err(|e| e.to_string())
    };
    let definition = |started: &Started| {
        KEPT.with_borrow_mut(|known| {
            let digests = (started.definition, started.functions.clone());
            let load = || started.load(text).unwrap_or_else(|e| panic!("{e}"));
            Ok::<_, String>(known.entry(digests).or_insert_with(load).clone())
        })
    };
    runner_core::read_run(id, stored.collect::<Vec<_>>(), definition).unwrap_or_else(|e| panic!("{e}"))
}

/// The digests of a definition's text and of its functions'.
type Meant = (Digest, BTreeMap<String, Digest>);

thread_local! {
    static LOADED: RefCell<BTreeMap<String, Arc<Definition>>> = const { RefCell::new(BTreeMap::new()) };
    static KEPT: RefCell<BTreeMap<Meant, Arc<Definition>>> = const { RefCell::new(BTreeMap::new()) };
    static EVALUATED: RefCell<BTreeMap<String, Result<engine::Evaluation, engine::Error>>> =
        const { RefCell::new(BTreeMap::new()) };
    static INLINE: RefCell<expressions::Inline> = RefCell::new(expressions::Inline::new());
}

/// Loading is pure, so once a thread is enough.
fn loaded(name: &str, text: &str) -> Arc<Definition> {
    LOADED.with_borrow_mut(|loaded| {
        let load = || {
            let definition = Definition::load(text, name, &engine::catalog::default());
            Arc::new(definition.unwrap_or_else(|e| panic!("{e}")))
        };
        loaded.entry(text.to_owned()).or_insert_with(load).clone()
    })
}

/// So is evaluating: a sweep asks the same questions thousands of times.
fn evaluate(job: engine::Job) -> Result<engine::Evaluation, engine::Error> {
    let question = serde_json::to_string(&job).unwrap_or_else(|e| panic!("{e}"));
    if let Some(known) = EVALUATED.with_borrow(|known| known.get(&question).cloned()) {
        return known;
    }
    let result = INLINE.with_borrow_mut(|inline| job.run(inline));
    EVALUATED.with_borrow_mut(|known| known.insert(question, result.clone()));
    result
}
