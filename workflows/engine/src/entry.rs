//! What is recorded of a run: results only, so that a resume reads and never recalculates.

use chrono::{DateTime, Utc};
use schemas::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, EventFilters};

/// What is known when a run begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The run's id: `$workflow.id`.
    pub id: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The raw input: `$workflow.input`.
    pub input: Value,
}

/// One record of a run. A run's state is the fold of its entries ([`crate::Machine::apply`]).
///
/// Stored for ever: members may be added with a default, none may change its meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// The run began.
    Begun {
        /// With this.
        facts: RunFacts,
    },
    /// A task was passed by: its `if` said no.
    Skipped {
        /// The task.
        at: Position,
        /// When.
        time: DateTime<Utc>,
    },
    /// A task that needs nobody (set, switch, emit) was entered and left.
    Ran {
        /// The task.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// Its transformed output.
        output: Value,
        /// The new `$context`, where it exported one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Value>,
        /// The number of the case that a switch took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        case: Option<usize>,
        /// The CloudEvent that it emits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<Value>,
    },
    /// A task (or the workflow itself, at `/`) was entered; what follows from `body` is now wanted.
    Entered {
        /// The task.
        at: Position,
        /// When: `$task.startedAt`.
        time: DateTime<Utc>,
        /// Its transformed input, where it is not the raw one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Value>,
        /// When its time is up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<DateTime<Utc>>,
        /// What was evaluated.
        body: Body,
    },
    /// A call, an event or a wait ended well; what the task makes of it is not evaluated yet.
    Ended {
        /// The task.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// Its raw output.
        output: Value,
    },
    /// A task (or the workflow, at `/`) was left. For a call that was still pending: it ended well.
    Left {
        /// The task.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// Its transformed output.
        output: Value,
        /// The new `$context`, where it exported one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Value>,
    },
    /// One of the events that a listen waits for arrived, and it waits for more.
    Heard {
        /// The task.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// Which filter it fits.
        filter: usize,
        /// The event as it is read (`data` or the envelope).
        event: Value,
    },
    /// Whether a loop goes on: its `while`, at the iteration's position.
    Looped {
        /// The iteration.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// Whether the iteration takes place.
        go: bool,
    },
    /// A task failed. For a call that was still pending: this is how it ended.
    Failed {
        /// The task.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// With this.
        error: Error,
    },
    /// The bound of a composite task passed: what it still does is ended first, then it fails.
    TimedOut {
        /// The task.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// As this.
        error: Error,
    },
    /// A `try` decided about an error that reached it.
    Caught {
        /// The `try`.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// What it does.
        how: Catching,
    },
    /// The delay before a retry passed.
    Woke {
        /// The `try`.
        at: Position,
        /// When.
        time: DateTime<Utc>,
    },
    /// A call that was no longer wanted ended.
    Settled {
        /// The call.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// Whether it had its effect.
        applied: Applied,
    },
    /// Somebody decided about a failure that nothing caught.
    Resolved {
        /// The failed task.
        at: Position,
        /// When.
        time: DateTime<Utc>,
        /// What.
        how: Resolution,
    },
    /// The run is to end early.
    Cancelled {
        /// When.
        time: DateTime<Utc>,
        /// Whether what was done stays done; else it is undone first.
        leave: bool,
    },
    /// An undo ended well.
    Undone {
        /// The undo.
        at: Position,
        /// When.
        time: DateTime<Utc>,
    },
}

/// What was evaluated when a task was entered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Body {
    /// The workflow, a `do`, a `fork` or a `try`: nothing of its own.
    Block,
    /// A call with its arguments, as they are sent, also when they are sent again.
    Call {
        /// The arguments.
        args: Value,
        /// The task's timeout in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// A call of a function that is a task, with its arguments.
    Function {
        /// What it sees as `.` and, at first, as `$context`.
        args: Value,
    },
    /// A loop and its collection.
    For {
        /// The items.
        items: Vec<Value>,
    },
    /// A pause.
    Wait {
        /// Until then.
        until: DateTime<Utc>,
    },
    /// Events are awaited.
    Listen {
        /// These.
        filters: EventFilters,
    },
}

/// What a `try` does about an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Catching {
    /// It does not catch it: the error goes on.
    Pass,
    /// It runs the block again, a new visit of each task, at or after `due`.
    Retry {
        /// Not before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<DateTime<Utc>>,
    },
    /// It handles it: `catch.do`, or nothing at all.
    Handle,
}

/// Whether a call that nobody waits for any longer had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Applied {
    /// It did.
    Yes,
    /// It did not.
    No,
    /// Not known; an undo includes it.
    Maybe,
}

/// What becomes of a failure that nothing caught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Resolution {
    /// The run ends as faulted.
    Fault,
    /// What was done is undone, newest first; the run ends as backed out.
    BackOut,
    /// The task again, as a new visit.
    Retry {
        /// Evaluated anew; else a call is sent with the arguments that were recorded.
        fresh: bool,
    },
    /// The task counts as done, with this output.
    Skip {
        /// Its transformed output.
        output: Value,
    },
}

impl Entry {
    /// When it was made.
    pub fn time(&self) -> DateTime<Utc> {
        match self {
            Entry::Begun { facts } => facts.started_at,
            Entry::Skipped { time, .. }
            | Entry::Ran { time, .. }
            | Entry::Entered { time, .. }
            | Entry::Ended { time, .. }
            | Entry::Left { time, .. }
            | Entry::Heard { time, .. }
            | Entry::Looped { time, .. }
            | Entry::Failed { time, .. }
            | Entry::TimedOut { time, .. }
            | Entry::Caught { time, .. }
            | Entry::Woke { time, .. }
            | Entry::Settled { time, .. }
            | Entry::Resolved { time, .. }
            | Entry::Cancelled { time, .. }
            | Entry::Undone { time, .. } => *time,
        }
    }

    /// The task that it is about; of those about the whole run: none.
    pub fn at(&self) -> Option<&Position> {
        match self {
            Entry::Begun { .. } | Entry::Cancelled { .. } => None,
            Entry::Skipped { at, .. }
            | Entry::Ran { at, .. }
            | Entry::Entered { at, .. }
            | Entry::Ended { at, .. }
            | Entry::Left { at, .. }
            | Entry::Heard { at, .. }
            | Entry::Looped { at, .. }
            | Entry::Failed { at, .. }
            | Entry::TimedOut { at, .. }
            | Entry::Caught { at, .. }
            | Entry::Woke { at, .. }
            | Entry::Settled { at, .. }
            | Entry::Resolved { at, .. }
            | Entry::Undone { at, .. } => Some(at),
        }
    }

    /// Its kind, as it is stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Entry::Begun { .. } => "begun",
            Entry::Skipped { .. } => "skipped",
            Entry::Ran { .. } => "ran",
            Entry::Entered { .. } => "entered",
            Entry::Ended { .. } => "ended",
            Entry::Left { .. } => "left",
            Entry::Heard { .. } => "heard",
            Entry::Looped { .. } => "looped",
            Entry::Failed { .. } => "failed",
            Entry::TimedOut { .. } => "timed-out",
            Entry::Caught { .. } => "caught",
            Entry::Woke { .. } => "woke",
            Entry::Settled { .. } => "settled",
            Entry::Resolved { .. } => "resolved",
            Entry::Cancelled { .. } => "cancelled",
            Entry::Undone { .. } => "undone",
        }
    }

    pub(crate) fn label(&self) -> String {
        match self.at() {
            Some(at) => format!("{} {at}", self.kind()),
            None => self.kind().to_owned(),
        }
    }
}
