//! One task that was entered and not left.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemas::Position;
use serde_json::Value;

use crate::definition::model::TaskId;
use crate::machine::Outcome;
use crate::template::Vars;
use crate::{Error, EventFilters};

/// A frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) what: What,
    pub(crate) parent: Option<Position>,
    pub(crate) raw: Arc<Value>,
    pub(crate) input: Arc<Value>,
    pub(crate) started: DateTime<Utc>,
    pub(crate) deadline: Option<DateTime<Utc>>,
    /// Loop and error variables.
    pub(crate) locals: Arc<Vars>,
    /// The call of a function that it stands in: whose `$context` it sees.
    pub(crate) scope: Option<Position>,
    /// Of a call of a function that is a task: the `$context` within.
    pub(crate) context: Option<Arc<Value>>,
    /// How often each task of this frame's lists was entered.
    pub(crate) visits: Visits,
    /// Retries that a `try` has made.
    pub(crate) tries: u32,
    /// Whether a `try` is past its block: it handles, or has handled, an error.
    pub(crate) handled: bool,
    pub(crate) place: Place,
    /// When the place last changed ([`super::Head::stamp`]).
    pub(crate) stamp: u64,
}

/// Numbers of entries by task, in order of tasks. Frames are copied with each change: this copies flat, and
/// not at all where no task is entered.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Visits(Arc<Vec<(TaskId, u32)>>);

impl Visits {
    /// How often the task was entered so far; this entering counts from now on.
    pub(crate) fn enter(&mut self, id: TaskId) -> u32 {
        let all = Arc::make_mut(&mut self.0);
        match all.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(i) => {
                let count = &mut all[i].1;
                *count += 1;
                *count - 1
            }
            Err(i) => {
                all.insert(i, (id, 1));
                0
            }
        }
    }
}

/// What a frame is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The workflow.
    Root,
    /// A task.
    Task(TaskId),
    /// An iteration of a loop.
    Iteration(TaskId, usize),
    /// The undo of a call, by the number of its record.
    Undo(u64),
}

/// Where a frame stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// Its entry is to be evaluated.
    Arriving,
    /// A call is pending.
    Calling { args: Arc<Value>, timeout_ms: Option<u64> },
    /// A call is pending that nobody wants any longer; `owner` waits for its end.
    Cancelling { args: Arc<Value>, owner: Position },
    /// A list of tasks is under way: workflow, `do`, iteration, block of a `try`.
    Running,
    /// Iterations are under way.
    Looping { items: Arc<Vec<Value>>, running: usize },
    /// Branches are under way.
    Forking { running: usize },
    /// An error reached a `try`, which decides about it.
    Catching { error: Error, failed: Position },
    /// What is pending below is being ended.
    Unwinding { pending: usize, after: After },
    /// The block is to be tried again at `due`.
    Delaying { due: DateTime<Utc> },
    /// `catch.do` is under way.
    Handling { error: Error },
    /// Until then.
    Waiting { until: DateTime<Utc> },
    /// Events are awaited; of each filter, what was heard.
    Listening { filters: Arc<EventFilters>, heard: Vec<Option<Value>> },
    /// Its exit is to be evaluated.
    Exiting { output: Arc<Value> },
    /// A branch or iteration that is over, beside others that are not.
    Ended { output: Arc<Value> },
    /// It failed. The `try` that it was offered to decides; where there is none, somebody does.
    Failed { error: Error, offered: Option<Position>, args: Option<(Arc<Value>, Option<u64>)> },
    /// The workflow's calls are being undone.
    Undoing,
}

/// What follows when all below is ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum After {
    /// It is left with this raw output.
    Exit(Arc<Value>),
    /// It fails.
    Fail(Error),
    /// The block again.
    Retry(Option<DateTime<Utc>>),
    /// `catch.do`.
    Handle(Error),
    /// The run ends.
    Finish(Outcome),
    /// What was done is undone.
    BackOut,
}

impl Place {
    /// As the transition table calls it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Place::Arriving => "arriving",
            Place::Calling { .. } => "calling",
            Place::Cancelling { .. } => "cancelling",
            Place::Running => "running",
            Place::Looping { .. } => "looping",
            Place::Forking { .. } => "forking",
            Place::Catching { .. } => "catching",
            Place::Unwinding { .. } => "unwinding",
            Place::Delaying { .. } => "delaying",
            Place::Handling { .. } => "handling",
            Place::Waiting { .. } => "waiting",
            Place::Listening { .. } => "listening",
            Place::Exiting { .. } => "exiting",
            Place::Ended { .. } => "ended",
            Place::Failed { .. } => "failed",
            Place::Undoing => "undoing",
        }
    }
}
