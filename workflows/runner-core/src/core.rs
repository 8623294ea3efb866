//! The runner core: `(state, now, input) -> entries and effects`. It has no clock, disk, bus or
//! randomness of its own, so that the same inputs in the same order give the same outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::{Change, Definition, Want};
use schemas::{
    Address, CheckReply, Digest, Epoch, GroupId, Key, LedgerId, Observation, Position, Prefix, RunId, SiteId,
};
use serde_json::{Map, Value};

use crate::entry::{AnyEntry, Append, GroupEntry, RunEntry, Stream, UnknownEntry, join, split};
use crate::in_memory::Group;
use crate::live::Live;
use crate::query::Query;
use crate::rules::Rules;
use crate::run::{BadRun, Run};
use crate::seam::{Answered, BusRequest, Effect, GroupPlan, Ids, Input, Local, Now, Output, RequestId};

/// After how many entries of a group its state is written whole, so that reading can start there.
const CHECKPOINT_EVERY: u64 = 64;
/// Runs kept in memory, the ended ones among them.
const ENDED_KEPT: usize = 64;
/// A service that was not heard for so long is silent (three beats).
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(6);

/// What the core is told once.
pub struct Settings {
    /// The subjects' prefix.
    pub prefix: Prefix,
    /// Who sends: `/runner/<host>`.
    pub source: String,
    /// The groups, from their files.
    pub groups: Vec<GroupPlan>,
    /// Since when this journal is a copy: of another host's, or from a backup. No group goes on before a
    /// person adopted it after that.
    pub copied: Option<chrono::DateTime<chrono::Utc>>,
    /// The definitions that can be started, by name, with the digest of their text.
    pub definitions: BTreeMap<String, (Digest, Arc<Definition>)>,
    /// How often each group's preconditions are looked at, and whether a person's start looks first; never if
    /// left out.
    pub preflight_every: Option<Duration>,
}

/// What a request on the bus was for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Act(Key),
    Outcome(Key),
    Claim(GroupId, Epoch, Address),
    /// `overtaken`: an opening of it was intended, or ended, since.
    Observe {
        address: Address,
        query: Option<u64>,
        overtaken: bool,
    },
    Check {
        address: Address,
        query: u64,
    },
    Adopt(GroupId, Address, u64),
    ByHand {
        address: Address,
        query: u64,
    },
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Live(Key),
    Wake(RunId, Position),
    Claims(GroupId),
    Detection(GroupId, SiteId),
    Approval(GroupId),
    Preflight(GroupId),
    Query(u64),
    Watch(GroupId),
    Notice(GroupId, u64),
    Owed(GroupId, u64),
}

/// The runner core.
pub struct Core {
    pub(crate) prefix: Prefix,
    pub(crate) source: String,
    pub(crate) rules: Rules,
    pub(crate) ids: Box<dyn Ids>,
    pub(crate) copied: Option<chrono::DateTime<chrono::Utc>>,
    pub(crate) definitions: BTreeMap<String, (Digest, Arc<Definition>)>,
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) lives: BTreeMap<Key, Live>,
    pub(crate) asked: BTreeMap<RequestId, Asked>,
    pub(crate) queries: BTreeMap<u64, Query>,
    pub(crate) heard: BTreeMap<Address, Now>,
    pub(crate) observed: BTreeMap<Address, (Now, Observation)>,
    pub(crate) looked: BTreeMap<Address, crate::gate::Looked>,
    /// Databases whose services answer and cannot look, since when by the boot-time clock.
    pub(crate) blind: BTreeMap<Address, Duration>,
    /// Programs that do their work, or run and do not.
    pub(crate) health: BTreeMap<Address, crate::health::Health>,
    /// The last sign of life of each service.
    pub(crate) alive: BTreeMap<Address, crate::alive::Sign>,
    /// Servers that let nobody in, as the services beside them say.
    pub(crate) down: BTreeMap<Address, crate::alive::Down>,
    pub(crate) checked: BTreeMap<Address, (Now, CheckReply)>,
    /// Who beats for a resource: ledgers, and when each was heard.
    pub(crate) beating: BTreeMap<Address, BTreeMap<LedgerId, Now>>,
    pub(crate) preflight_every: Option<Duration>,
    /// What its shell says of the runner's own preconditions.
    pub(crate) own_lines: Vec<schemas::CheckLine>,
    /// Resources that did not answer the latest look; a beat or an answer ends it.
    pub(crate) mute: BTreeSet<Address>,
    pub(crate) began: Duration,
    pub(crate) began_wall: chrono::DateTime<chrono::Utc>,
    last_request: u64,
    last_query: u64,
    timers: BTreeSet<(Duration, Timer)>,
    /// Entries of runs that wait for an evaluation: they go with the next effect in one batch.
    waiting: BTreeMap<RunId, (BTreeSet<Position>, Vec<Append>)>,
    changed: Vec<(RunId, Vec<Change>)>,
    pub(crate) out: Output,
}

fn told(entry: AnyEntry) -> Option<Arc<AnyEntry>> {
    crate::events::is_told(&entry).then(|| Arc::new(entry))
}

impl Core {
    /// A core that has read nothing yet.
    pub fn new(settings: Settings, ids: Box<dyn Ids>, rules: Rules, now: Now) -> Core {
        Core {
            prefix: settings.prefix,
            source: settings.source,
            rules,
            ids,
            copied: settings.copied,
            definitions: settings.definitions,
            groups: settings.groups.into_iter().map(|plan| (plan.group.clone(), Group::new(plan))).collect(),
            runs: BTreeMap::new(),
            lives: BTreeMap::new(),
            asked: BTreeMap::new(),
            queries: BTreeMap::new(),
            heard: BTreeMap::new(),
            observed: BTreeMap::new(),
            looked: BTreeMap::new(),
            blind: BTreeMap::new(),
            health: BTreeMap::new(),
            alive: BTreeMap::new(),
            down: BTreeMap::new(),
            checked: BTreeMap::new(),
            beating: BTreeMap::new(),
            preflight_every: settings.preflight_every,
            own_lines: Vec::new(),
            mute: BTreeSet::new(),
            began: now.boot,
            began_wall: now.wall,
            last_request: 0,
            last_query: 0,
            timers: BTreeSet::new(),
            waiting: BTreeMap::new(),
            changed: Vec::new(),
            out: Output::default(),
        }
    }

    /// Reads one entry of a group, in order, from its latest checkpoint on.
    ///
    /// # Errors
    ///
    /// The kind is not understood: this program must not run with the journal.
    pub fn replay_group(
        &mut self,
        group: &GroupId,
        seq: u64,
        at: chrono::DateTime<chrono::Utc>,
        kind: &str,
        body: Map<String, Value>,
    ) -> Result<(), UnknownEntry> {
        let entry: GroupEntry = join(&Stream::Group(group.clone()), seq, kind, body)?;
        if let Some(group) = self.groups.get_mut(group) {
            group.record.apply(at, &entry);
            group.seq = seq;
            if matches!(entry, GroupEntry::Checkpoint { .. }) {
                group.checkpoint = seq;
            }
        }
        Ok(())
    }

    /// Takes a run that has not ended, read with [`crate::read_run`].
    pub fn replay_run(&mut self, run: crate::ReadRun) {
        self.runs.insert(run.0.id, run.0);
    }

    /// The number of entries read of a group.
    pub fn group_seq(&self, group: &GroupId) -> u64 {
        self.groups.get(group).map_or(0, |g| g.seq)
    }

    /// The runs that have not ended.
    pub fn unended(&self) -> impl Iterator<Item = RunId> + '_ {
        self.runs.keys().copied()
    }

    /// After everything was read: claims again, settles what is in doubt, goes on.
    pub fn start(&mut self, now: Now) -> Output {
        (self.began, self.began_wall) = (now.boot, now.wall);
        self.resume_groups(now);
        self.resume_notices(now);
        self.begin_watch(now);
        self.plan_preflights(now);
        self.fence_copied(now);
        let unended = self.runs.iter().filter(|(_, run)| run.ended.is_none());
        let runs: Vec<RunId> = unended.map(|(id, _)| *id).collect();
        for run in runs {
            self.resume_run(now, run);
        }
        self.finish(now)
    }

    /// Takes one input.
    pub fn step(&mut self, now: Now, input: Input) -> Output {
        match input {
            Input::Op { person, request, reply_to } => self.on_op(now, &person, *request, reply_to),
            Input::Event { place, event } => self.on_event(now, &place, &event),
            Input::Beat(beat) => self.on_beat(now, beat),
            Input::Confirm { request, reply_to } => self.on_confirm(now, &request, reply_to),
            Input::Answered { request, answer } => self.on_answered(now, request, answer),
            Input::Evaluated { run, at, result } => self.on_evaluated(now, run, at, result),
            Input::ReadAgain { by, read, reply_to } => self.on_read_again(now, &by, read, reply_to),
            Input::Told { group, notice, failed } => self.on_told(now, &group, notice, failed),
            Input::OwnLines(lines) => self.own_lines = lines,
            Input::Connected => self.on_connected(now),
            Input::Tick => {}
        }
        self.finish(now)
    }

    /// When [`Input::Tick`] is next due, by the boot-time clock.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn finish(&mut self, now: Now) -> Output {
        loop {
            self.pump(now);
            let Some((at, _)) = self.timers.first() else { break };
            if *at > now.boot {
                break;
            }
            if let Some((_, timer)) = self.timers.pop_first() {
                self.on_timer(now, timer);
            }
        }
        self.checkpoint(now);
        self.forget();
        std::mem::take(&mut self.out)
    }

    /// Ended runs are kept a while for whoever asks next, then only in the journal.
    fn forget(&mut self) {
        let surplus = self.runs.len().saturating_sub(ENDED_KEPT);
        if surplus > 0 {
            let ended: Vec<RunId> = self
                .runs
                .iter()
                .filter(|(_, r)| r.ended.is_some())
                .map(|(id, _)| *id)
                .take(surplus)
                .collect();
            for run in ended {
                self.runs.remove(&run);
                self.waiting.remove(&run);
            }
        }
    }

    fn pump(&mut self, now: Now) {
        while !self.changed.is_empty() {
            for (run, changes) in std::mem::take(&mut self.changed) {
                for change in changes {
                    self.on_change(now, run, change);
                }
                self.after_changes(now, run);
            }
        }
    }

    fn on_timer(&mut self, now: Now, timer: Timer) {
        match timer {
            Timer::Live(key) => self.advance(now, &key),
            Timer::Wake(run, at) => self.engine_input(now, run, engine::Input::Woke { at }),
            Timer::Claims(group) => self.ask_claims(now, &group),
            Timer::Detection(group, site) => self.on_detection_due(now, &group, &site),
            Timer::Approval(group) => self.on_approval_due(now, &group),
            Timer::Preflight(group) => self.on_preflight_due(now, &group),
            Timer::Query(query) => self.on_query_due(now, query),
            Timer::Watch(group) => self.watch(now, &group),
            Timer::Notice(group, notice) => self.tell(now, &group, notice),
            Timer::Owed(group, debt) => self.on_owed_due(now, &group, debt),
        }
    }

    /// Sets a timer. An earlier one for the same purpose fires too, and finds nothing to do.
    pub(crate) fn timer(&mut self, at: Duration, timer: Timer) {
        self.timers.insert((at, timer));
    }

    /// Records an entry of a run and applies it.
    pub(crate) fn append_run(&mut self, now: Now, id: RunId, entry: RunEntry) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let seq = run.seq + 1;
        match run.apply(seq, now.wall, &entry) {
            Ok(changes) => {
                let ended = matches!(entry, RunEntry::Ended { .. });
                let (kind, body) = split(&entry);
                // The run's last entry names the head of its group's chain, so that one head proves both.
                let group = if ended { run.started.group.clone() } else { None };
                let link = group.map(Stream::Group);
                let told = told(AnyEntry::Run(entry));
                let append = Append { stream: Stream::Run(id), seq, at: now.wall, kind, body, link, told };
                self.push(id, append);
                if ended {
                    self.flush(id);
                    self.out.ended.push(Stream::Run(id));
                }
                if !changes.is_empty() {
                    self.changed.push((id, changes));
                }
            }
            Err(error) => self.broken(error),
        }
    }

    fn push(&mut self, id: RunId, append: Append) {
        match self.waiting.get_mut(&id) {
            Some((_, entries)) => entries.push(append),
            None => self.out.entries.push(append),
        }
    }

    /// The first entry of a run.
    pub(crate) fn append_started(&mut self, now: Now, run: Run) {
        let id = run.id;
        let entry = RunEntry::Started(Box::new(run.started.clone()));
        let (kind, body) = split(&entry);
        self.out.entries.push(Append {
            stream: Stream::Run(id),
            seq: 1,
            at: now.wall,
            kind,
            body,
            link: run.started.group.clone().map(Stream::Group),
            told: told(AnyEntry::Run(entry)),
        });
        self.runs.insert(id, run);
    }

    fn broken(&mut self, error: BadRun) {
        // The core made this entry itself: a defect. Nothing is recorded; the run stands still.
        let (BadRun::Engine { run, .. } | BadRun::NoIntent { run, .. }) = &error;
        if let Some(run) = self.runs.get_mut(run) {
            run.held = Some(format!("internal: {error}"));
        }
    }

    /// Records an entry of a group and applies it.
    pub(crate) fn append_group(&mut self, now: Now, id: &GroupId, entry: &GroupEntry) {
        let link = match entry {
            GroupEntry::RunStarted { run, .. } | GroupEntry::RunEnded { run, .. } => Some(*run),
            _ => None,
        };
        let Some(group) = self.groups.get_mut(id) else { return };
        group.seq += 1;
        group.record.apply(now.wall, entry);
        if matches!(entry, GroupEntry::Checkpoint { .. }) {
            group.checkpoint = group.seq;
        }
        let (kind, body) = split(entry);
        let append = Append {
            stream: Stream::Group(id.clone()),
            seq: group.seq,
            at: now.wall,
            kind,
            body,
            link: link.map(Stream::Run),
            told: told(AnyEntry::Group(entry.clone())),
        };
        if let Some(run) = link {
            self.flush(run);
        }
        self.out.entries.push(append);
        if let GroupEntry::Opening { address, .. } = entry {
            self.overtake(address);
        }
    }

    fn checkpoint(&mut self, now: Now) {
        let due: Vec<GroupId> = self
            .groups
            .iter()
            .filter(|(_, g)| g.seq >= g.checkpoint + CHECKPOINT_EVERY)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            if let Some(state) = self.groups.get(&id).map(|g| Box::new(g.record.clone())) {
                self.append_group(now, &id, &GroupEntry::Checkpoint { state });
            }
        }
    }

    /// From now on the run's entries wait for this evaluation, so that the outcome of one step and the
    /// intent of the next go in one batch.
    pub(crate) fn evaluate(&mut self, run: RunId, at: Position, job: engine::Job) {
        self.waiting.entry(run).or_default().0.insert(at.clone());
        self.out.local.push(Local::Evaluate { run, at, job });
    }

    /// Releases the run's entries if nothing is being evaluated any more, or at once.
    pub(crate) fn evaluated(&mut self, run: RunId, at: &Position) {
        if let Some((jobs, _)) = self.waiting.get_mut(&run) {
            jobs.remove(at);
            if jobs.is_empty() {
                self.flush(run);
            }
        }
    }

    /// Hands the run's waiting entries over: something follows from them.
    pub(crate) fn flush(&mut self, run: RunId) {
        if let Some((jobs, entries)) = self.waiting.get_mut(&run) {
            self.out.entries.append(entries);
            if jobs.is_empty() {
                self.waiting.remove(&run);
            }
        }
    }

    /// The same for every run.
    pub(crate) fn flush_all(&mut self) {
        let runs: Vec<RunId> = self.waiting.keys().copied().collect();
        for run in runs {
            self.flush(run);
        }
    }

    /// Sends a request once everything recorded so far is durable.
    pub(crate) fn ask(
        &mut self,
        why: Asked,
        subject: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        patience: Duration,
    ) -> RequestId {
        if let Asked::Act(key) | Asked::Outcome(key) = &why {
            self.flush(key.run);
        }
        self.last_request += 1;
        let id = RequestId(self.last_request);
        self.asked.insert(id, why);
        self.out.effects.push(Effect::Request(BusRequest { id, subject, headers, body, patience }));
        id
    }

    /// A new query's number.
    pub(crate) fn next_query(&mut self) -> u64 {
        self.last_query += 1;
        self.last_query
    }

    fn on_answered(&mut self, now: Now, request: RequestId, answer: Answered) {
        match self.asked.remove(&request) {
            Some(Asked::Act(key)) => self.on_act_answered(now, &key, answer, true),
            Some(Asked::Outcome(key)) => self.on_act_answered(now, &key, answer, false),
            Some(Asked::Claim(group, epoch, address)) => {
                self.on_claim_answered(now, &group, epoch, &address, answer);
            }
            Some(Asked::Observe { address, query, overtaken }) => {
                self.on_observed(now, address, query, answer, overtaken);
            }
            Some(Asked::Check { address, query }) => self.on_checked(now, address, query, answer),
            Some(Asked::Adopt(group, address, query)) => {
                self.on_adopt_answered(now, &group, &address, query, answer);
            }
            Some(Asked::ByHand { address, query }) => self.on_by_hand(now, &address, query, answer),
            None => {}
        }
    }

    fn on_evaluated(
        &mut self,
        now: Now,
        run: RunId,
        at: Position,
        result: Result<engine::Evaluation, engine::Error>,
    ) {
        if self.runs.get(&run).is_some_and(|r| r.ended.is_none()) {
            self.engine_input(now, run, engine::Input::Evaluated { at: at.clone(), result });
            self.pump(now);
        }
        self.evaluated(run, &at);
    }

    /// Lets the engine decide, and records what it says.
    pub(crate) fn engine_input(&mut self, now: Now, id: RunId, input: engine::Input) {
        let Some(run) = self.runs.get(&id) else { return };
        if run.ended.is_some() {
            return;
        }
        // An input that is no longer wanted (a late timer, an answer after a cancel) is passed over.
        if let Ok(entries) = run.machine.decide(input, now.wall) {
            self.append_engine(now, id, entries);
        }
    }

    /// Records what one decision of the engine gave, then asks for what is to be evaluated.
    pub(crate) fn append_engine(&mut self, now: Now, id: RunId, entries: Vec<engine::Entry>) {
        for entry in entries {
            self.append_run(now, id, RunEntry::Engine { entry: Box::new(entry) });
        }
        if let Some(run) = self.runs.get_mut(&id) {
            // Also if nothing is: the run may be at its end.
            let changes = run.evaluations();
            self.changed.push((id, changes));
        }
    }

    fn on_connected(&mut self, now: Now) {
        let groups: Vec<GroupId> = self.groups.keys().cloned().collect();
        for group in groups {
            self.ask_claims(now, &group);
        }
        let keys: Vec<Key> = self.lives.keys().cloned().collect();
        for key in keys {
            self.advance(now, &key);
        }
    }

    pub(crate) fn wants_of(&self, run: RunId) -> Vec<Want> {
        self.runs.get(&run).map(|r| r.machine.outstanding()).unwrap_or_default()
    }
}
