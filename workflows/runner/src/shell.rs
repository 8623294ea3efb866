//! The loop: one input at a time into the core, its entries and effects through the journal, its local work
//! beside it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use expressions::WorkerCommand;
use futures_util::future::BoxFuture;
use journal::{Batch, Durable, Journal, StreamId};
use runner_core::{
    ByPerson, Core, Effect, Input, Local, Output, ReadGroup, ReplyTo, Rules, Settings, Telling,
};
use schemas::op::OpReply;
use schemas::{Code, Prefix, Problem};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedSender};
use tokio_util::sync::CancellationToken;

use crate::bus::{self, Incoming, Replies};
use crate::evaluate::Evaluations;
use crate::load::{self, LoadError, Loaded};
use crate::oneself::OwnLines;
use crate::outbox::{Outbox, Recorded};
use crate::{clock, evidence, oneself, seams};

/// One definition's text and where it comes from.
#[derive(Debug, Clone)]
pub struct DefinitionText {
    /// For errors.
    pub path: String,
    /// YAML or JSON.
    pub text: String,
}

/// What a runner needs.
pub struct Options {
    /// Connected, or still connecting.
    pub client: Client,
    /// The subjects' prefix.
    pub prefix: Prefix,
    /// The journal's folder.
    pub journal: PathBuf,
    /// How the journal is opened.
    pub journal_options: journal::Options,
    /// The groups.
    pub groups: Vec<config::Group>,
    /// Reads their files again.
    pub read_groups: ReadGroups,
    /// The definitions that can be started.
    pub definitions: Vec<DefinitionText>,
    /// How often each group's preconditions are looked at; never if left out.
    pub preflight_every: Option<Duration>,
    /// What the runner says of its own preconditions, looked at as often.
    pub own_lines: OwnLines,
    /// Whether a person says that this journal, a copy, is to be gone on with.
    pub take_over: bool,
    /// This host's name, for `source`.
    pub host: String,
    /// The program that evaluates expressions; this one, if not said.
    pub worker: Option<WorkerCommand>,
    /// Runs the commands that tell people.
    pub teller: Teller,
}

/// Reads the groups' files; the error has file, line and column of everything that is wrong.
pub type ReadGroups = Arc<dyn Fn() -> Result<Vec<config::Group>, document::Diagnostics> + Send + Sync>;

/// Runs one command that tells people, within a bound of its own; the error says why they were not told.
pub type Teller = Arc<dyn Fn(Telling) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Why a runner ended, or did not start.
#[derive(Debug, Error)]
pub enum RunError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// What it holds cannot be gone on with.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The bus client is closed.
    #[error("could not subscribe: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// The worker program cannot be found.
    #[error("could not find the expression worker: {0}")]
    Worker(#[from] std::io::Error),
    /// It was imported, and nobody said that it is to be gone on with.
    #[error("this journal was imported from another: start the runner with `--take-over`")]
    Copied,
    /// The journal takes nothing any more.
    #[error("the journal is closed")]
    Closed,
}

/// What a batch releases.
pub(crate) struct Released {
    effects: Vec<Effect>,
    recorded: Vec<Recorded>,
}

const INPUTS_MAX: usize = 16 * 1024;
/// So many commands that tell people run at once.
const TELLING_MAX: usize = 4;

/// Runs until `stop`; then takes no more requests, writes what waits, and returns.
///
/// A journal that was left by a killed runner is gone on with: nothing that was done once is done twice.
///
/// # Errors
///
/// See [`RunError`].
pub async fn run(options: Options, stop: CancellationToken) -> Result<(), RunError> {
    let (release, released) = mpsc::unbounded_channel();
    let sink = move |durable: Durable<Released>| {
        // Fails only when the shell is gone.
        let _: Result<(), _> = release.send(durable);
    };
    let (journal, mut opened) = journal::open(&options.journal, options.journal_options.clone(), sink)?;
    let journal = Arc::new(journal);
    if let Some(recovered) = &opened.recovered {
        tracing::warn!(why = recovered.why, "the journal was recovered");
    }
    let source = format!("/runner/{}", options.host);
    let copied = match (opened.imported, options.take_over) {
        (None, true) => Some(clock::now().wall),
        (imported, _) => imported,
    };
    let settings = Settings {
        copied,
        prefix: options.prefix.clone(),
        source: source.clone(),
        groups: options.groups.iter().map(Into::into).collect(),
        definitions: load::definitions(&journal, &options.definitions)?,
        preflight_every: options.preflight_every,
    };
    let mut core = Core::new(settings, Box::new(seams::RandomIds), Rules::all(), clock::now());
    let loaded = Arc::new(Loaded::default());
    load::replay(&journal, &loaded, &mut opened, &mut core)?;
    drop(opened);
    let waiting = core.copied_groups();
    if !waiting.is_empty() {
        if !options.take_over {
            return Err(RunError::Copied);
        }
        for group in waiting {
            tracing::warn!(%group, "the journal is a copy: nothing is done before pointsman adopt {group}");
        }
    }

    let (inputs, more) = mpsc::channel(INPUTS_MAX);
    let (incoming, came) = mpsc::channel(INPUTS_MAX);
    let evaluations = Evaluations::new(options.worker, inputs.clone())?;
    let outbox = Outbox::start(
        options.client.clone(),
        options.prefix.clone(),
        source,
        Arc::clone(&journal),
        stop.clone(),
    );
    bus::subscribe(&options.client, &options.prefix, incoming, stop.clone()).await?;
    if let Some(every) = options.preflight_every {
        tokio::spawn(oneself::look(options.own_lines, every, inputs.clone(), stop.clone()));
    }
    let replies = Arc::new(Mutex::new(Replies::default()));
    let out = Out {
        client: options.client,
        replies: Arc::clone(&replies),
        inputs: inputs.clone(),
        teller: options.teller,
        telling: Arc::new(Semaphore::new(TELLING_MAX)),
    };
    let carrier = tokio::spawn(carry(out, released, outbox));

    let read_groups = options.read_groups;
    let shell = Shell { core, journal, loaded, evaluations, replies, inputs, read_groups };
    // Beside the bus's own tasks: the thread that started the runner would have to be woken for each answer.
    let result = tokio::spawn(shell.run(more, came, stop)).await.unwrap_or(Err(RunError::Closed));
    // The journal's writer hands out what waits and lets go; then the carrier has nothing more to come.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), carrier).await;
    result
}

struct Shell {
    core: Core,
    journal: Arc<Journal<Released>>,
    loaded: Arc<Loaded>,
    evaluations: Evaluations,
    replies: Arc<Mutex<Replies>>,
    inputs: Sender<Input>,
    read_groups: ReadGroups,
}

impl Shell {
    async fn run(
        mut self,
        mut more: Receiver<Input>,
        mut came: Receiver<Incoming>,
        stop: CancellationToken,
    ) -> Result<(), RunError> {
        let first = self.core.start(clock::now());
        self.take(first)?;
        loop {
            let due = self.core.deadline().map(|at| at.saturating_sub(clock::boot()));
            let due = due.unwrap_or(std::time::Duration::from_secs(3600));
            let input = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                input = more.recv() => input,
                incoming = came.recv() => incoming.map(|incoming| self.place(incoming)),
                () = tokio::time::sleep(due) => Some(Input::Tick),
            };
            let Some(input) = input else { return Ok(()) };
            let output = self.core.step(clock::now(), input);
            self.take(output)?;
        }
    }

    fn place(&self, incoming: Incoming) -> Input {
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        match incoming {
            Incoming::Op(person, request, reply) => {
                Input::Op { person, request, reply_to: replies.keep(reply) }
            }
            Incoming::Confirm(request, reply) => Input::Confirm { request, reply_to: replies.keep(reply) },
            Incoming::Plain(input) => input,
        }
    }

    /// Hands entries and effects to the journal as one batch, and does the local work.
    fn take(&mut self, output: Output) -> Result<(), RunError> {
        // First come, first written: the core numbers its entries in the order in which it is asked.
        let mut outputs = VecDeque::from([output]);
        while let Some(output) = outputs.pop_front() {
            if output.is_empty() {
                continue;
            }
            let recorded = output.entries.iter().filter_map(Recorded::of).collect();
            let batch = Batch {
                entries: output.entries.into_iter().filter_map(|e| seams::new_entry(e).ok()).collect(),
                effects: Released { effects: output.effects, recorded },
                ended: output.ended.iter().filter_map(|s| seams::stream_id(s).ok()).collect(),
            };
            self.journal.submit(batch).map_err(|_| RunError::Closed)?;
            for local in output.local {
                if let Some(input) = self.local(local) {
                    outputs.push_back(self.core.step(clock::now(), input));
                }
            }
        }
        Ok(())
    }

    fn local(&self, local: Local) -> Option<Input> {
        match local {
            Local::Evaluate { run, at, job } => return self.evaluations.start(run, at, job),
            Local::ReadFiles { by, reply_to } => self.read_files(by, reply_to),
            Local::Show { run, reply_to } => {
                let loaded = Arc::clone(&self.loaded);
                self.read_aside(reply_to, move |journal| match load::find_ended(journal, &loaded, &run) {
                    Ok(view) => OpReply::Run(Box::new(view)),
                    Err(problem) => OpReply::Problem(problem),
                });
            }
            Local::Evidence { run, after, reply_to } => {
                self.read_aside(reply_to, move |journal| {
                    evidence::page(journal, &run, after.as_deref())
                        .map_or_else(OpReply::Problem, OpReply::Evidence)
                });
            }
            Local::Definition { workflow, digest, functions, reply_to } => {
                self.read_aside(reply_to, move |journal| {
                    evidence::definition(journal, workflow, digest, functions)
                        .map_or_else(OpReply::Problem, OpReply::Definition)
                });
            }
            Local::List { group, limit, first, reply_to } => {
                let loaded = Arc::clone(&self.loaded);
                self.read_aside(reply_to, move |journal| {
                    OpReply::Runs(load::list(journal, &loaded, group.as_ref(), limit, first))
                });
            }
        }
        None
    }

    /// Beside the loop: the folder may be slow.
    fn read_files(&self, by: ByPerson, reply_to: ReplyTo) {
        let (read, inputs) = (Arc::clone(&self.read_groups), self.inputs.clone());
        let journal = Arc::clone(&self.journal);
        tokio::task::spawn_blocking(move || {
            let known = |group: &config::Group| {
                StreamId::group(&group.name).is_ok_and(|stream| journal.head(&stream).is_some())
            };
            let read_group = |group: &config::Group| ReadGroup { plan: group.into(), known: known(group) };
            let read = match read() {
                Ok(groups) => Ok(groups.iter().map(read_group).collect()),
                Err(wrong) => Err(wrong.to_string()),
            };
            // Fails only when the shell is gone.
            let _ = inputs.blocking_send(Input::ReadAgain { by, read, reply_to });
        });
    }

    /// Reads the journal beside the loop; the answer passes through the journal's queue like any other.
    fn read_aside(
        &self,
        reply_to: ReplyTo,
        read: impl FnOnce(&Journal<Released>) -> OpReply + Send + 'static,
    ) {
        let journal = Arc::clone(&self.journal);
        tokio::task::spawn_blocking(move || {
            let reply = read(&journal);
            let effects =
                Released { effects: vec![Effect::Answer(reply_to, Box::new(reply))], recorded: Vec::new() };
            // Fails only when the journal is closed, and the process ends.
            let _ = journal.submit(Batch { entries: Vec::new(), effects, ended: Vec::new() });
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        tracing::debug!(waiting = self.inputs.max_capacity() - self.inputs.capacity(), "the shell ends");
    }
}

/// Where effects go.
struct Out {
    client: Client,
    replies: Arc<Mutex<Replies>>,
    inputs: Sender<Input>,
    teller: Teller,
    telling: Arc<Semaphore>,
}

/// Carries out what the journal released, in order.
async fn carry(
    out: Out,
    mut released: mpsc::UnboundedReceiver<Durable<Released>>,
    outbox: UnboundedSender<Durable<Vec<Recorded>>>,
) {
    while let Some(durable) = released.recv().await {
        let (effects, recorded) = durable.split(|released| (released.effects, released.recorded));
        if !recorded.get().is_empty() {
            let _: Result<(), _> = outbox.send(recorded);
        }
        for effect in effects.each() {
            out.perform(effect).await;
        }
    }
}

impl Out {
    /// One effect. Taking it as [`Durable`] is what keeps law 1.
    async fn perform(&self, effect: Durable<Effect>) {
        let take = |to| self.replies.lock().unwrap_or_else(PoisonError::into_inner).take(to);
        let (subject, body) = match effect.into_inner() {
            Effect::Request(request) => {
                let (client, inputs) = (self.client.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    let (request, answer) = bus::ask(client, request).await;
                    // Fails only when the shell is gone.
                    let _ = inputs.send(Input::Answered { request, answer }).await;
                });
                return;
            }
            Effect::Tell(telling) => return self.tell(*telling),
            Effect::Answer(to, reply) => {
                (take(to), serde_json::to_vec(&*reply).map(|body| self.fitting(body)))
            }
            Effect::Confirm(to, reply) => (take(to), serde_json::to_vec(&reply)),
        };
        if let (Some(subject), Ok(body)) = (subject, body)
            && let Err(error) = self.client.publish(subject, body.into()).await
        {
            tracing::warn!(%error, "an answer could not be sent");
        }
    }

    /// The answer, or that it is too large: whoever asks would wait for it in vain.
    fn fitting(&self, body: Vec<u8>) -> Vec<u8> {
        let (bytes, most) = (body.len(), self.client.max_payload());
        if bytes <= most {
            return body;
        }
        let detail = format!("the answer has {bytes} bytes and the bus takes {most}: ask about one group");
        serde_json::to_vec(&OpReply::Problem(Problem::new(Code::TooLarge, detail))).unwrap_or_default()
    }

    /// Beside everything else: a command that hangs delays other commands, and no run.
    fn tell(&self, telling: Telling) {
        let (teller, inputs, telling_at_once) =
            (Arc::clone(&self.teller), self.inputs.clone(), Arc::clone(&self.telling));
        tokio::spawn(async move {
            let Ok(_one) = telling_at_once.acquire().await else { return };
            let (group, notice) = (telling.group.clone(), telling.notice);
            let program = telling.program.display().to_string();
            let failed = teller(telling).await.err();
            if let Some(why) = &failed {
                tracing::warn!(%group, program, why, "a command that tells people failed");
            }
            // Fails only when the shell is gone; what is owed is then told by the next life.
            let _ = inputs.send(Input::Told { group, notice, failed }).await;
        });
    }
}
