//! What the runner records: one kind of entry for runs, one for groups. Entries are stored, states are
//! computed from them; applying one reads no clock, evaluates nothing and draws nothing (law 3).
//!
//! Stored for ever: members may be added with a default, none may change its meaning.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use engine::Definition;
use schemas::duration::Iso;
use schemas::op::Who;
use schemas::view::RunState;
use schemas::{
    Action, Address, Answer, Attempt, Digest, Epoch, GroupId, Key, Position, Problem, RunId, SiteId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::left::Left;

/// Which chain an entry belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// A run's own.
    Run(RunId),
    /// A group's own.
    Group(GroupId),
}

/// One entry to be made durable, and the number it must get.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The chain.
    pub stream: Stream,
    /// Its number there, from 1.
    pub seq: u64,
    /// When, by the runner's wall clock.
    pub at: DateTime<Utc>,
    /// The kind, as stored.
    pub kind: String,
    /// The rest, as stored.
    pub body: Map<String, Value>,
    /// The chain whose head is to be noted beside it.
    pub link: Option<Stream>,
}

/// What is recorded of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum RunEntry {
    /// Decided. Always the first.
    #[serde(rename = "run.started")]
    Started(Box<Started>),
    /// The engine's own.
    #[serde(rename = "engine")]
    Engine {
        /// Its entry.
        entry: Box<engine::Entry>,
    },
    /// The intent of a call; from here on its effect may exist.
    #[serde(rename = "call.intended")]
    Intended(Intent),
    /// The next sending of the same key.
    #[serde(rename = "call.sent")]
    Sent {
        /// The call.
        step: Position,
        /// Which sending.
        attempt: Attempt,
    },
    /// No answer came: the step is in doubt.
    #[serde(rename = "call.doubted")]
    Doubted {
        /// The call.
        step: Position,
        /// What happened.
        why: String,
    },
    /// What became of the key is known.
    #[serde(rename = "call.settled")]
    Settled {
        /// The call.
        step: Position,
        /// How.
        settlement: Settlement,
    },
    /// A person, or the definition, goes on without knowing.
    #[serde(rename = "call.assumed")]
    Assumed {
        /// The call.
        step: Position,
        /// Who passed it.
        by: AssumedBy,
    },
    /// Stopped until a person decides.
    #[serde(rename = "run.held")]
    Held {
        /// Why, and which command ends it.
        why: String,
    },
    /// Goes on.
    #[serde(rename = "run.released")]
    Released {
        /// Who, if a person did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<ByPerson>,
    },
    /// A person stopped it.
    #[serde(rename = "run.paused")]
    Paused {
        /// Who and why.
        by: ByPerson,
    },
    /// A person decided about a step.
    #[serde(rename = "run.resolved")]
    Resolved {
        /// The step.
        step: Position,
        /// `retry`, `skip`, `done`.
        how: String,
        /// Who and why.
        by: ByPerson,
    },
    /// A person wants it to end.
    #[serde(rename = "run.cancelling")]
    Cancelling {
        /// Leaves the world as it is.
        leave: bool,
        /// Who and why.
        by: ByPerson,
    },
    /// Nothing follows.
    #[serde(rename = "run.ended")]
    Ended {
        /// How.
        state: RunState,
        /// The error that ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
    },
}

impl RunEntry {
    /// Reads a stored entry of a run.
    ///
    /// # Errors
    ///
    /// It is of a kind that this program does not know.
    pub fn read(run: RunId, seq: u64, kind: &str, body: &Map<String, Value>) -> Result<Self, UnknownEntry> {
        join(&Stream::Run(run), seq, kind, body)
    }
}

impl GroupEntry {
    /// Reads a stored entry of a group.
    ///
    /// # Errors
    ///
    /// It is of a kind that this program does not know.
    pub fn read(
        group: &GroupId,
        seq: u64,
        kind: &str,
        body: &Map<String, Value>,
    ) -> Result<Self, UnknownEntry> {
        join(&Stream::Group(group.clone()), seq, kind, body)
    }
}

/// The first entry of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// The group it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// `name:version`.
    pub workflow: String,
    /// The definition's text.
    pub definition: Digest,
    /// The texts of the catalog's tasks that it calls, by `name:version`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, Digest>,
    /// Its epoch.
    pub epoch: Epoch,
    /// The site left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SiteId>,
    /// The site opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SiteId>,
    /// Sites that the decision calls lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<SiteId>,
    /// Who decided.
    pub who: Who,
    /// Why.
    pub why: String,
    /// The input that the definition sees.
    pub input: Value,
}

impl Started {
    /// The definition as it was when the run started, from its kept texts: a changed file changes no run in flight.
    ///
    /// # Errors
    ///
    /// A text is missing, or does not load.
    pub fn load(
        &self,
        mut text: impl FnMut(&Digest) -> Result<String, String>,
    ) -> Result<Arc<Definition>, String> {
        let functions: Result<BTreeMap<String, String>, String> =
            self.functions.iter().map(|(name, digest)| Ok((name.clone(), text(digest)?))).collect();
        let catalog = engine::catalog::kept(functions?);
        let path = format!("definition {}", self.definition);
        Definition::load(&text(&self.definition)?, &path, &catalog).map(Arc::new).map_err(|e| e.to_string())
    }
}

/// What will be asked, and of whom. The arguments stand in the engine's entry or in the debt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The call.
    pub step: Position,
    /// The resource.
    pub address: Address,
    /// The act.
    pub action: Action,
    /// Of the arguments as they are sent.
    pub digest: Digest,
}

impl Intent {
    /// Whether the resource is open from this intent on, until its close is proved.
    pub fn opens(&self) -> bool {
        self.action.effect() == schemas::Effect::Opens
    }
}

/// How a key was settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settlement {
    /// The highest attempt sent.
    pub attempt: Attempt,
    /// What told: `reply`, `outcome`, `undelivered`, `person`.
    pub by: String,
    /// Done, or not.
    pub result: SettledAs,
}

/// Whether the effect is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum SettledAs {
    /// It is.
    Done {
        /// `applied` or `already-applied`; none if a person said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Answer>,
        /// The act's output.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        output: Value,
    },
    /// It is not, and never will be under this key's attempts so far.
    NotDone {
        /// Why.
        problem: Problem,
    },
    /// A newer epoch's claim was acknowledged: nothing of it can still act.
    EndedUnknown,
}

/// Who passed a doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum AssumedBy {
    /// The definition (`inDoubt: pass`).
    Definition,
    /// A person.
    Person(ByPerson),
}

/// A person's decision, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByPerson {
    /// Who.
    pub who: Who,
    /// Why.
    pub why: String,
}

/// What is recorded of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum GroupEntry {
    /// A person took the world as it is.
    #[serde(rename = "group.adopted")]
    Adopted {
        /// Under this epoch.
        epoch: Epoch,
        /// The act is a run of its own; it holds the epoch.
        run: RunId,
        /// The live site; none where every database was seen closed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        live: Option<SiteId>,
        /// Who and why.
        by: ByPerson,
    },
    /// A run was decided.
    #[serde(rename = "group.run-started")]
    RunStarted {
        /// It.
        run: RunId,
        /// Its epoch.
        epoch: Epoch,
        /// `name:version`.
        workflow: String,
        /// The site left.
        from: SiteId,
        /// The site opened.
        to: SiteId,
        /// The run that it takes over from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        supersedes: Option<RunId>,
        /// The decision that started it, if a trigger did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<String>,
    },
    /// A run ended.
    #[serde(rename = "group.run-ended")]
    RunEnded {
        /// It.
        run: RunId,
        /// How.
        state: RunState,
        /// The live site from now on, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        live: Option<SiteId>,
        /// How the other one was left, where the run tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<Left>,
    },
    /// An opening is intended: the site counts as open from here on.
    #[serde(rename = "group.opening")]
    Opening {
        /// The database.
        address: Address,
        /// The call.
        key: Key,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A site's database was proved closed.
    #[serde(rename = "group.closed")]
    Closed {
        /// The database.
        address: Address,
        /// In this epoch.
        epoch: Epoch,
        /// What proved it.
        by: String,
    },
    /// The risk that a site may still be open was taken.
    #[serde(rename = "group.accepted")]
    Accepted {
        /// The site.
        site: SiteId,
        /// Serves only openings of this epoch.
        epoch: Epoch,
        /// Standing in the group's file.
        standing: bool,
        /// Who and why.
        by: ByPerson,
    },
    /// The risk that something is lost was taken, up to a bound.
    #[serde(rename = "group.loss-accepted")]
    LossAccepted {
        /// Serves only openings of this epoch.
        epoch: Epoch,
        /// At most so much.
        bound: Iso,
        /// Who and why.
        by: ByPerson,
    },
    /// An unplanned opening was let through, and what is lost by it.
    #[serde(rename = "group.loss")]
    Loss {
        /// The run that opens.
        run: RunId,
        /// From the last heartbeat that was applied to the last sign of life; none: nobody can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimate: Option<Iso>,
        /// The last sign of life of the site that is left, by its own clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alive: Option<DateTime<Utc>>,
        /// The last heartbeat of it that was applied at the site that opens.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat: Option<DateTime<Utc>>,
        /// From what it was told.
        text: String,
        /// What let it through: `drained`, `within the limit`, `no limit`, or who accepted it.
        by: String,
    },
    /// A service of a site fell silent, or speaks again: until when it was seen alive.
    #[serde(rename = "group.last-seen")]
    LastSeen {
        /// The source's half of a replication.
        address: Address,
        /// By its own clock; none: it speaks again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alive: Option<DateTime<Utc>>,
    },
    /// Something could not be asked and is owed.
    #[serde(rename = "debt.owed")]
    Owed {
        /// The group's number for it.
        debt: u64,
        /// What.
        owed: Owed,
    },
    /// A debt's act is intended.
    #[serde(rename = "debt.intended")]
    DebtIntended {
        /// Which.
        debt: u64,
        /// The key's run: who holds the epoch.
        run: RunId,
        /// The intent.
        intent: Intent,
    },
    /// The next sending of a debt's key.
    #[serde(rename = "debt.sent")]
    DebtSent {
        /// Which.
        debt: u64,
        /// Which sending.
        attempt: Attempt,
    },
    /// What became of a debt's key.
    #[serde(rename = "debt.settled")]
    DebtSettled {
        /// Which.
        debt: u64,
        /// How.
        settlement: Settlement,
    },
    /// A debt is no more.
    #[serde(rename = "debt.ended")]
    DebtEnded {
        /// Which.
        debt: u64,
        /// `paid`, or what made it pointless.
        how: String,
    },
    /// A key was passed or left without knowing.
    #[serde(rename = "doubt.listed")]
    DoubtListed {
        /// The key.
        key: Key,
        /// What was asked, of whom, under which epoch.
        doubt: Doubt,
    },
    /// A doubt is no more.
    #[serde(rename = "doubt.ended")]
    DoubtEnded {
        /// The key.
        key: Key,
        /// What it turned out to be.
        how: String,
    },
    /// Monitoring said something about a site, and what came of it.
    #[serde(rename = "group.decision")]
    Decision {
        /// Its id.
        decision: String,
        /// The group.
        group: GroupId,
        /// The event: id and source.
        event: String,
        /// The site.
        site: SiteId,
        /// What came of it.
        verdict: String,
    },
    /// Automatic starts are armed again.
    #[serde(rename = "group.acknowledged")]
    Acknowledged {
        /// Who and why.
        by: ByPerson,
    },
    /// A person switched the triggers.
    #[serde(rename = "group.triggers")]
    Triggers {
        /// As the file says, or off.
        on: bool,
        /// Off until.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
        /// Who and why.
        by: ByPerson,
    },
    /// A person's request was answered; its second arrival is answered so again.
    #[serde(rename = "op.answered")]
    OpAnswered {
        /// The request.
        request: schemas::MessageId,
        /// The answer.
        reply: Box<schemas::op::OpReply>,
    },
    /// The whole state, so that reading starts here.
    #[serde(rename = "group.checkpoint")]
    Checkpoint {
        /// The state as of this entry.
        state: Box<crate::group::Record>,
    },
}

/// What is owed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// Of which resource.
    pub address: Address,
    /// The act; none where only the claim is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub args: Value,
    /// The run that left it.
    pub run: RunId,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why.
    pub why: String,
}

/// A key that was passed or left without knowing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// Of which resource.
    pub address: Address,
    /// The act.
    pub action: Action,
    /// Its epoch.
    pub epoch: Epoch,
    /// The highest attempt sent.
    pub attempt: Attempt,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A stored entry that this program does not understand: it must not go on with the stream.
#[derive(Debug, Error)]
#[error("entry {seq} of {stream:?} (kind `{kind}`) is not understood: {source}")]
pub struct UnknownEntry {
    /// The chain.
    pub stream: Stream,
    /// Its number.
    pub seq: u64,
    /// Its kind.
    pub kind: String,
    /// What is wrong.
    pub source: serde_json::Error,
}

/// Splits an entry into its kind and the rest, as the journal stores it.
pub(crate) fn split<T: Serialize>(entry: &T) -> (String, Map<String, Value>) {
    let Ok(Value::Object(mut body)) = serde_json::to_value(entry) else {
        return ("internal.unserialisable".into(), Map::new());
    };
    let kind = match body.remove("kind") {
        Some(Value::String(kind)) => kind,
        _ => "internal.unserialisable".into(),
    };
    (kind, body)
}

/// Puts it together again.
pub(crate) fn join<T: serde::de::DeserializeOwned>(
    stream: &Stream,
    seq: u64,
    kind: &str,
    body: &Map<String, Value>,
) -> Result<T, UnknownEntry> {
    let mut body = body.clone();
    body.insert("kind".into(), Value::String(kind.into()));
    serde_json::from_value(Value::Object(body)).map_err(|source| UnknownEntry {
        stream: stream.clone(),
        seq,
        kind: kind.into(),
        source,
    })
}
