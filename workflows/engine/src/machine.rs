//! One run's place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemas::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decide::Decision;
use crate::state::{After, Frame, Mark, Place, State, Work, marks, want};
use crate::{Change, Definition, Entry, Error, Input, RunFacts, Want, WantId, WantKind};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// With this output.
    Completed {
        /// The workflow's transformed output.
        output: Value,
    },
    /// With this error.
    Faulted {
        /// The error.
        error: Error,
    },
    /// Early, by request.
    Cancelled,
    /// What was done was undone.
    BackedOut,
}

/// An entry that cannot follow on what was applied: the journal is damaged, or of another definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry `{entry}` cannot follow here: {why}")]
pub struct BadEntry {
    /// Its kind and position.
    pub entry: String,
    /// What is the matter.
    pub why: String,
}

/// An input that answers nothing that is wanted: late, doubled, or of another run. Nothing follows
/// from it, and it may be passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing here waits for this: {0}")]
pub struct Unexpected(pub String);

/// One run's place in its definition: the fold of its entries.
#[derive(Debug, Clone)]
pub struct Machine {
    definition: Arc<Definition>,
    state: State,
    /// Positions that were touched since the changes were last taken.
    touched: BTreeSet<Position>,
    /// What the caller was told is wanted.
    told: BTreeMap<Position, Vec<(WantKind, Mark)>>,
}

impl PartialEq for Machine {
    /// Whether two runs of one definition stand at the same place.
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state
    }
}

impl Machine {
    /// Before the first entry.
    pub fn new(definition: Arc<Definition>) -> Machine {
        Machine { definition, state: State::new(), touched: BTreeSet::new(), told: BTreeMap::new() }
    }

    /// The first entries of a run: it begins at `facts.started_at`. Nothing where it has begun.
    pub fn begin(&self, facts: RunFacts) -> Vec<Entry> {
        let now = facts.started_at;
        Decision::new(&self.definition, &self.state, now).begin(facts).unwrap_or_default()
    }

    /// Applies one entry, the same in a replay as in a live run. On an error nothing has changed.
    ///
    /// # Errors
    ///
    /// The entry cannot follow here: the journal is damaged, or the definition is another one.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), BadEntry> {
        let mut work = Work::new(&self.definition, &self.state);
        work.apply(entry)?;
        let delta = work.into_delta();
        self.touched.extend(self.state.merge(delta));
        Ok(())
    }

    /// What follows from an input. Changes nothing: the caller records and applies each entry.
    ///
    /// An event that a listen waits for no longer gives no entries.
    ///
    /// # Errors
    ///
    /// The input answers nothing that is wanted; it may be passed over.
    pub fn decide(&self, input: Input, now: DateTime<Utc>) -> Result<Vec<Entry>, Unexpected> {
        let now = now.max(self.state.head.clock);
        Decision::new(&self.definition, &self.state, now).decide(input)
    }

    /// What came to be wanted, and what ceased to be, since the last call; first what ceased.
    ///
    /// After a replay the first call gives all that is outstanding. A call that is pending when its
    /// end is wanted changes from [`Want::Call`] to [`Want::CancelCall`]: the one is dropped and the
    /// other wanted, and its [`Input::CallEnded`] is still awaited.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.changes(true)
    }

    /// The same without new evaluations, which the next [`Machine::take_changes`] tells if they are still
    /// wanted then: between the entries of one decision most come and go, and each would copy what it needs.
    pub fn take_other_changes(&mut self) -> Vec<Change> {
        self.changes(false)
    }

    fn changes(&mut self, evaluations: bool) -> Vec<Change> {
        let (mut dropped, mut wanted) = (Vec::new(), Vec::new());
        let mut later = BTreeSet::new();
        for at in std::mem::take(&mut self.touched) {
            let frame = self.state.frames.get(&at);
            let mut now = frame.map(marks).unwrap_or_default();
            let before = self.told.remove(&at).unwrap_or_default();
            if !evaluations {
                let all = now.len();
                now.retain(|mark| mark.0 != WantKind::Evaluate || before.contains(mark));
                if now.len() < all {
                    later.insert(at.clone());
                }
            }
            for (kind, mark) in &before {
                if !now.contains(&(*kind, *mark)) {
                    dropped.push(Change::Dropped(WantId { at: at.clone(), kind: *kind }));
                }
            }
            for (kind, mark) in &now {
                if !before.contains(&(*kind, *mark))
                    && let Some(frame) = frame
                {
                    wanted.extend(self.want(&at, frame, *kind).map(Change::Wanted));
                }
            }
            if !now.is_empty() {
                self.told.insert(at, now);
            }
        }
        self.touched = later;
        dropped.extend(wanted);
        dropped
    }

    /// All that is wanted, in the order of positions.
    pub fn outstanding(&self) -> Vec<Want> {
        let of =
            |(at, frame)| marks(frame).into_iter().filter_map(move |(kind, _)| self.want(at, frame, kind));
        self.state.frames.iter().flat_map(of).collect()
    }

    fn want(&self, at: &Position, frame: &Frame, kind: WantKind) -> Option<Want> {
        let done = |number| self.state.done.get(&number).cloned();
        let context = self.state.context(frame);
        want(&self.definition, &self.state.head, &context, done, at, frame, kind)
    }

    /// How the run ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.state.head.outcome.as_ref()
    }

    /// Where each task stands that was entered and not left: its position and the name of its place.
    pub fn places(&self) -> Vec<(&Position, &'static str)> {
        self.state.frames.iter().map(|(at, frame)| (at, frame.place.as_str())).collect()
    }

    /// Whether the run is undoing what it did.
    pub fn is_backing_out(&self) -> bool {
        let undoing = |frame: &Frame| {
            matches!(frame.place, Place::Undoing | Place::Unwinding { after: After::BackOut, .. })
        };
        self.state.frames.values().next().is_some_and(undoing)
    }

    /// What it runs.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }
}
