//! One run's place.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Change, Definition, Entry, Error, Input, RunFacts, Want};

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
}

impl Machine {
    /// Before the first entry.
    pub fn new(definition: Arc<Definition>) -> Machine {
        Machine { definition }
    }

    /// The first entries of a run.
    pub fn begin(&self, facts: RunFacts) -> Vec<Entry> {
        vec![Entry::Begun { facts }]
    }

    /// Applies one entry, the same in a replay as in a live run. On an error nothing has changed.
    ///
    /// # Errors
    ///
    /// The entry cannot follow here.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), BadEntry> {
        Err(BadEntry { entry: format!("{entry:?}"), why: "not built yet".into() })
    }

    /// What follows from an input. Changes nothing: the caller records and applies each entry.
    ///
    /// # Errors
    ///
    /// The input answers nothing that is wanted.
    pub fn decide(&self, _input: Input, _now: DateTime<Utc>) -> Result<Vec<Entry>, Unexpected> {
        Err(Unexpected("not built yet".into()))
    }

    /// What came to be wanted, and what ceased to be, since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        Vec::new()
    }

    /// All that is wanted, in the order of positions.
    pub fn outstanding(&self) -> Vec<Want> {
        Vec::new()
    }

    /// How the run ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        None
    }

    /// What it runs.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }
}
