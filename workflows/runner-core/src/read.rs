//! Reading a run back from its stored entries.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use engine::Definition;
use schemas::view::RunView;
use schemas::{Digest, RunId};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::entry::{RunEntry, Started, Stream, UnknownEntry, join};
use crate::run::{BadRun, Run};

/// One stored entry.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// Its kind.
    pub kind: String,
    /// The rest.
    pub body: Map<String, Value>,
}

/// A run that was read.
pub struct ReadRun(pub(crate) Run);

impl ReadRun {
    /// Where the engine stands in it.
    pub fn machine(&self) -> &engine::Machine {
        &self.0.machine
    }
}

/// The run cannot be read by this program.
#[derive(Debug, Error)]
pub enum ReadError {
    /// An entry is not understood.
    #[error(transparent)]
    Unknown(#[from] UnknownEntry),
    /// An entry does not fit.
    #[error(transparent)]
    Bad(#[from] BadRun),
    /// The stream does not begin with `run.started`.
    #[error("run {0} does not begin with `run.started`")]
    Beginning(RunId),
    /// The definition's text is missing or does not load.
    #[error("run {run}: its definition {digest} cannot be loaded: {why}")]
    Definition {
        /// Which run.
        run: RunId,
        /// Which text.
        digest: Digest,
        /// Why.
        why: String,
    },
}

/// Folds a run's entries. `definition` finds the definition that it was started with ([`Started::load`]).
///
/// # Errors
///
/// The first entry that is not understood or does not fit, or a missing definition.
pub fn read_run<E>(
    id: RunId,
    entries: impl IntoIterator<Item = Stored>,
    definition: impl FnOnce(&Started) -> Result<Arc<Definition>, E>,
) -> Result<ReadRun, ReadError>
where
    E: std::fmt::Display,
{
    let stream = Stream::Run(id);
    let mut entries = entries.into_iter();
    let first = entries.next().ok_or(ReadError::Beginning(id))?;
    let RunEntry::Started(started) = join(&stream, first.seq, &first.kind, first.body)? else {
        return Err(ReadError::Beginning(id));
    };
    let digest = started.definition;
    let definition = definition(&started).map_err(|why| ReadError::Definition {
        run: id,
        digest,
        why: why.to_string(),
    })?;
    let mut run = Run::new(id, first.at, *started, definition);
    for stored in entries {
        let entry: RunEntry = join(&stream, stored.seq, &stored.kind, stored.body)?;
        run.apply(stored.seq, stored.at, &entry)?;
    }
    // Whoever goes on with it asks for all that is outstanding.
    run.evaluations();
    Ok(ReadRun(run))
}

/// The run as it stands, for people; what it waits for is known only to a runner.
pub fn show(run: &ReadRun, with_steps: bool) -> RunView {
    crate::views::run_view(&run.0, &std::collections::BTreeMap::new(), with_steps)
}
