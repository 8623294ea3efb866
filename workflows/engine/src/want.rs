//! What a run wants of the outside, and what the outside tells it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::{Effect, Position};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Evaluation, EventFilters, Job, Resolution};

/// Something that happened outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "kebab-case")]
pub enum Input {
    /// A wanted evaluation ended.
    Evaluated {
        /// Where it was wanted.
        at: Position,
        /// What [`Job::run`] returned.
        result: Result<Evaluation, Error>,
    },
    /// A wanted call ended, settled: what is in doubt is never reported as a mere failure.
    CallEnded {
        /// Where it was wanted.
        at: Position,
        /// Its output. An error of the type `in-doubt` says that nobody knows.
        result: Result<Value, Error>,
    },
    /// A wanted time came.
    Woke {
        /// Where it was wanted.
        at: Position,
    },
    /// An event fits the filters of a wanted listen.
    EventArrived {
        /// Where it was wanted.
        at: Position,
        /// The CloudEvent in its JSON format.
        event: Value,
    },
    /// Somebody decided about a failure.
    Resolve {
        /// Where it was wanted.
        at: Position,
        /// What.
        how: Resolution,
    },
    /// The run is to end early.
    Cancel {
        /// Whether what was done stays done; else it is undone before the end.
        leave: bool,
    },
}

/// What a run wants next. Each stays outstanding until it is answered or dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "want", rename_all = "kebab-case")]
pub enum Want {
    /// An evaluation. It may be repeated at will: it has no effect.
    Evaluate {
        /// The task.
        at: Position,
        /// What to evaluate.
        job: Job,
    },
    /// A call of a service, once for each position.
    Call {
        /// The task; with the run's id it is the key.
        at: Position,
        /// What to ask.
        call: Call,
    },
    /// A pending call is no longer wanted: end it if that can be done, and say how it ended.
    CancelCall {
        /// The call.
        at: Position,
    },
    /// To be woken.
    Wake {
        /// The task.
        at: Position,
        /// At or after this.
        when: DateTime<Utc>,
    },
    /// Events.
    Listen {
        /// The task.
        at: Position,
        /// Which.
        filters: EventFilters,
    },
    /// A decision about a failure that nothing caught.
    Decide {
        /// The failed task.
        at: Position,
        /// How it failed.
        error: Error,
    },
}

/// Which kind of want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantKind {
    /// [`Want::Evaluate`]
    Evaluate,
    /// [`Want::Call`]
    Call,
    /// [`Want::CancelCall`]
    CancelCall,
    /// [`Want::Wake`]
    Wake,
    /// [`Want::Listen`]
    Listen,
    /// [`Want::Decide`]
    Decide,
}

/// Names a want: at most one of a kind is outstanding at a position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WantId {
    /// The task.
    pub at: Position,
    /// The kind.
    pub kind: WantKind,
}

/// A difference between what was outstanding and what is.
#[expect(clippy::large_enum_variant, reason = "short-lived, and mostly the large one")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// This is wanted now.
    Wanted(Want),
    /// This is not wanted any longer (or was answered).
    Dropped(WantId),
}

/// What to ask of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The task's name.
    pub name: String,
    /// The service: the function's name up to the dot.
    pub service: String,
    /// The action: the function's name after the dot.
    pub action: String,
    /// The function's version.
    pub version: String,
    /// The arguments, the same for each attempt.
    pub args: Value,
    /// What it does to a site.
    pub effect: Effect,
    /// What to do when it cannot be settled.
    pub in_doubt: InDoubt,
    /// How long the task may take, settling not included.
    #[serde(default, with = "duration_ms", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The function that undoes it, as the definition spells it.
    pub undo: Option<String>,
    /// The task that this undoes.
    pub undoes: Option<Position>,
    /// The phase of the move.
    pub phase: Option<String>,
    /// How to do it by hand.
    pub manual: Option<String>,
}

/// What becomes of a call that cannot be settled within its bound (`metadata.dr.inDoubt`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InDoubt {
    /// A person is asked.
    #[default]
    Ask,
    /// The next attempt of the same key.
    Retry,
    /// The error `in-doubt`, which the definition catches.
    Pass,
}

impl Want {
    /// What names it.
    pub fn id(&self) -> WantId {
        let (at, kind) = match self {
            Want::Evaluate { at, .. } => (at, WantKind::Evaluate),
            Want::Call { at, .. } => (at, WantKind::Call),
            Want::CancelCall { at } => (at, WantKind::CancelCall),
            Want::Wake { at, .. } => (at, WantKind::Wake),
            Want::Listen { at, .. } => (at, WantKind::Listen),
            Want::Decide { at, .. } => (at, WantKind::Decide),
        };
        WantId { at: at.clone(), kind }
    }
}

mod duration_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(d) => s.serialize_u64(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(d)?.map(Duration::from_millis))
    }
}
