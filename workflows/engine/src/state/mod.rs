//! Where a run stands: frames by position, and nothing that cannot be computed from entries.

mod apply;
mod fail;
mod flow;
mod frame;
mod undo;
mod wants;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemas::Position;
use serde_json::Value;

use crate::definition::model::TaskId;
use crate::machine::Outcome;

pub(crate) use frame::{After, Frame, Place, Visits, What};
pub(crate) use wants::{Mark, marks, want};
pub(crate) use work::Work;

/// The position of the workflow itself.
pub(crate) const ROOT: &str = "/";

/// Everything but the frames; cheap to copy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    /// The run's id, when it began, and its raw input; before the first entry: nothing.
    pub(crate) facts: Option<Arc<crate::RunFacts>>,
    /// The time of the newest entry.
    pub(crate) clock: DateTime<Utc>,
    pub(crate) context: Arc<Value>,
    pub(crate) outcome: Option<Outcome>,
    /// Counts changes of places, so that two wants of one kind at one position can be told apart.
    pub(crate) stamp: u64,
    /// The number of the next record of a call that can be undone.
    pub(crate) next_done: u64,
}

/// A call that ended well, or may have, and can be undone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    pub(crate) at: Position,
    pub(crate) task: TaskId,
    pub(crate) args: Arc<Value>,
}

/// The whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) head: Head,
    pub(crate) frames: BTreeMap<Position, Frame>,
    pub(crate) done: BTreeMap<u64, Done>,
}

impl State {
    /// The `$context` that a frame sees.
    pub(crate) fn context(&self, frame: &Frame) -> Arc<Value> {
        let own = frame.scope.as_ref().and_then(|at| self.frames.get(at)?.context.clone());
        own.unwrap_or_else(|| Arc::clone(&self.head.context))
    }

    pub(crate) fn new() -> State {
        State {
            head: Head {
                facts: None,
                clock: DateTime::UNIX_EPOCH,
                context: Arc::new(Value::Null),
                outcome: None,
                stamp: 0,
                next_done: 0,
            },
            frames: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }
}
