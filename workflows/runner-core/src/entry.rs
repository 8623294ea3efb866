//! What the runner records: one kind of entry for runs, one for groups. Entries are stored, states are
//! computed from them; applying one reads no clock, evaluates nothing and draws nothing (law 3).
//!
//! Stored for ever: members may be added with a default, none may change its meaning.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use engine::Definition;
use schemas::op::Who;
use schemas::view::RunState;
use schemas::{Action, Address, Answer, Attempt, Digest, Epoch, GroupId, Position, Problem, RunId, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

mod group;

pub use group::GroupEntry;

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
    /// The entry itself, where the world hears of it: whoever tells it need not read `body` again.
    pub told: Option<Arc<AnyEntry>>,
}

/// An entry of either kind of chain.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyEntry {
    /// Of a run.
    Run(RunEntry),
    /// Of a group.
    Group(GroupEntry),
}

impl AnyEntry {
    /// Reads a stored entry.
    ///
    /// # Errors
    ///
    /// This program does not understand it.
    pub fn read(
        stream: &Stream,
        seq: u64,
        kind: &str,
        body: Map<String, Value>,
    ) -> Result<AnyEntry, UnknownEntry> {
        match stream {
            Stream::Run(_) => join(stream, seq, kind, body).map(AnyEntry::Run),
            Stream::Group(_) => join(stream, seq, kind, body).map(AnyEntry::Group),
        }
    }
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
        /// `retry`, `skip`, `done`, `push`.
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
    /// Whether nothing follows.
    pub fn is_end(&self) -> bool {
        matches!(self, RunEntry::Ended { .. })
    }

    /// Reads a stored entry of a run.
    ///
    /// # Errors
    ///
    /// It is of a kind that this program does not know.
    pub fn read(run: RunId, seq: u64, kind: &str, body: &Map<String, Value>) -> Result<Self, UnknownEntry> {
        join(&Stream::Run(run), seq, kind, body.clone())
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
    /// Since when users could only read as it was decided; none: they could write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<DateTime<Utc>>,
    /// What a person had declared of the group as it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<crate::Declared>,
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
    mut body: Map<String, Value>,
) -> Result<T, UnknownEntry> {
    body.insert("kind".into(), Value::String(kind.into()));
    serde_json::from_value(Value::Object(body)).map_err(|source| UnknownEntry {
        stream: stream.clone(),
        seq,
        kind: kind.into(),
        source,
    })
}
