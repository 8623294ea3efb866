//! What goes into the core and what comes out; the shell moves these values and decides nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::op::{OpReply, OpRequest};
use schemas::{Beat, CloudEvent, ConfirmReply, ConfirmRequest, MessageId, PersonId, Position, RunId, SiteId};
use serde_json::Value;

use crate::entry::Append;

/// Both clocks, read once for each input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For people and other hosts.
    pub wall: DateTime<Utc>,
    /// Counts on while the host sleeps, and is never set; for bounds.
    pub boot: Duration,
}

/// Randomness, handed in.
pub trait Ids: Send {
    /// A new run's id, ordered by time.
    fn run(&mut self, now: Now) -> RunId;
    /// A new message's id.
    fn message(&mut self) -> MessageId;
}

/// Whom a reply goes to; the shell keeps the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplyTo(pub u64);

/// A request that is under way on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A person asks.
    Op {
        /// Who, as the bus knows him.
        person: PersonId,
        /// What.
        request: Box<OpRequest>,
        /// Whom to answer.
        reply_to: ReplyTo,
    },
    /// Monitoring says something.
    Event {
        /// Where it was seen from.
        place: SiteId,
        /// The event.
        event: Box<CloudEvent>,
    },
    /// A service lives.
    Beat(Beat),
    /// A service asks whether it may open now.
    Confirm {
        /// Its question.
        request: ConfirmRequest,
        /// Whom to answer.
        reply_to: ReplyTo,
    },
    /// A request ended.
    Answered {
        /// Which.
        request: RequestId,
        /// How.
        answer: Answered,
    },
    /// An evaluation ended.
    Evaluated {
        /// The run.
        run: RunId,
        /// The task.
        at: Position,
        /// What came of it.
        result: Result<engine::Evaluation, engine::Error>,
    },
    /// The groups' files were read; asked by [`Local::ReadFiles`].
    ReadAgain {
        /// Who wanted it.
        by: crate::entry::ByPerson,
        /// The groups, or what is wrong with which file, line and column.
        read: Result<Vec<crate::reload::ReadGroup>, String>,
        /// Whom to answer.
        reply_to: ReplyTo,
    },
    /// A command of [`Effect::Tell`] ended.
    Told {
        /// Whose.
        group: schemas::GroupId,
        /// What was to be told.
        notice: u64,
        /// Why it was not; none: it was.
        failed: Option<String>,
    },
    /// What the runner itself says of its preconditions: the lines of before no longer count.
    OwnLines(Vec<schemas::CheckLine>),
    /// The bus is there again.
    Connected,
    /// Some time passed; sent at or after [`crate::Core::deadline`].
    Tick,
}

/// How a request on the bus ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Answered {
    /// With this body.
    Reply(Vec<u8>),
    /// Nobody listens: proof that it was not delivered.
    NoResponders,
    /// Proves nothing.
    Silence,
}

/// A request on the bus.
#[derive(Debug, Clone, PartialEq)]
pub struct BusRequest {
    /// Names it in [`Input::Answered`].
    pub id: RequestId,
    /// Where it is asked.
    pub subject: String,
    /// The frame of an act; none for other questions.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long to wait for an answer.
    pub patience: Duration,
}

/// Something that leaves the process, and so waits until everything before it is durable (law 1).
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A request to a service.
    Request(BusRequest),
    /// The answer to a person.
    Answer(ReplyTo, Box<OpReply>),
    /// The answer to a service that would open.
    Confirm(ReplyTo, ConfirmReply),
    /// A command that tells people; answered by [`Input::Told`].
    Tell(Box<crate::notify::Telling>),
}

/// Something that stays in the process.
#[derive(Debug, Clone, PartialEq)]
pub enum Local {
    /// Evaluate; answered by [`Input::Evaluated`].
    Evaluate {
        /// The run.
        run: RunId,
        /// The task.
        at: Position,
        /// What.
        job: engine::Job,
    },
    /// A run that is no longer in memory is to be shown: read its stream, use [`crate::show`].
    Show {
        /// The run, or the end of its id.
        run: String,
        /// Whom to answer.
        reply_to: ReplyTo,
    },
    /// A page of a run's evidence is to be read from the journal.
    Evidence {
        /// The run, or the end of its id.
        run: String,
        /// Where the page begins.
        after: Option<String>,
        /// Whom to answer.
        reply_to: ReplyTo,
    },
    /// A definition's text is to be read from the journal.
    Definition {
        /// `name:version`.
        workflow: String,
        /// Of its text.
        digest: schemas::Digest,
        /// The tasks of the catalog that it calls, by `name:version`.
        functions: std::collections::BTreeMap<String, String>,
        /// Whom to answer.
        reply_to: ReplyTo,
    },
    /// The groups' files are to be read; answered by [`Input::ReadAgain`].
    ReadFiles {
        /// Who wants it.
        by: crate::entry::ByPerson,
        /// Whom to answer then.
        reply_to: ReplyTo,
    },
    /// Ended runs are to be listed, newest first, before those that are given.
    List {
        /// One group's, or all.
        group: Option<schemas::GroupId>,
        /// At most so many in all.
        limit: usize,
        /// Those in memory.
        first: Vec<schemas::view::RunView>,
        /// Whom to answer.
        reply_to: ReplyTo,
    },
}

/// What follows from one input. `entries` and `effects` go to the journal as one batch.
#[derive(Debug, Default)]
pub struct Output {
    /// To be made durable, in this order.
    pub entries: Vec<Append>,
    /// To be released after them.
    pub effects: Vec<Effect>,
    /// To be done at once.
    pub local: Vec<Local>,
    /// Streams that are finished with this batch.
    pub ended: Vec<crate::Stream>,
}

impl Output {
    /// Whether nothing follows.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.effects.is_empty() && self.local.is_empty()
    }
}

/// A group as its file says it, reduced to what the core decides by.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPlan {
    /// Which.
    pub group: schemas::GroupId,
    /// Where it stands when several groups move: lower first.
    pub order: u32,
    /// Its two sites; the first is home.
    pub sites: Vec<SiteId>,
    /// Every resource that a move claims.
    pub resources: Vec<schemas::Address>,
    /// Client hosts and caches: neither claimed nor fenced by epochs.
    pub clients: Vec<schemas::Address>,
    /// Databases that may be open at one site only.
    pub one_live: Vec<schemas::ResourceId>,
    /// Processes that run at the live site only, in the order of starting.
    pub live_only: Vec<schemas::ResourceId>,
    /// Bounds claim, close and settling of a lost site together.
    pub fence_within: Duration,
    /// Process resources whose being stopped proves their site closed.
    pub fence_paths: Vec<schemas::Address>,
    /// An acceptance that stands in the file.
    pub standing: Option<Standing>,
    /// How much an unplanned move may lose before a person is asked; none: no move waits for that.
    pub loss: Option<LossLimit>,
    /// What starts it.
    pub trigger: Trigger,
    /// A run idle for longer is held when the runner starts.
    pub alone_within: Duration,
    /// Commands that tell people.
    pub notify: crate::notify::Commands,
    /// How long a decision waits to be approved; afterwards it is held, and never starts by itself.
    pub approval_within: Duration,
    /// The group's file over its defaults, as definitions see it.
    pub input: Value,
}

/// How much an unplanned move may lose before a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossLimit {
    /// At most so much, as time.
    pub max: Duration,
    /// Who goes on where it cannot be told.
    pub unknown: Option<Standing>,
}

/// A standing acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who took it.
    pub who: String,
    /// Why.
    pub why: String,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// When events start a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// What a detection may do.
    pub mode: TriggerMode,
    /// The definition it starts.
    pub run: String,
    /// A report that says how many probes failed in a row counts from so many on.
    pub misses: u64,
    /// How long the site must be reported lost, without a word of life, before a decision.
    pub hold_down: Duration,
    /// Older events are recorded and start nothing.
    pub max_age: Duration,
    /// Whether one prober's word is accepted for automatic starts (`accepted_by` until `until`).
    pub one_prober: Option<Standing>,
}

/// The four trigger modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TriggerMode {
    /// Events are not looked at.
    Off,
    /// Recorded with what would have happened.
    Observe,
    /// A decision waits for `approve`.
    Ask,
    /// A decision starts the run.
    Auto,
}
