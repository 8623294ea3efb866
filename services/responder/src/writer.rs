//! What the core recorded is written, then what follows from it is let out (law 1).
//!
//! The service's own thread writes: between two syncs it takes all that waits, so that acts on several resources
//! share one sync, and nobody is woken to write or to be told of it.

use std::time::{Duration, Instant};

use service_core::{Effect, Record, Step};

use crate::ledger::{LedgerFile, WriteError};

/// What one step led to.
struct Work {
    records: Vec<Record>,
    sync: bool,
    effects: Vec<Effect>,
}

/// A value that may leave: the lines that it follows from were written, and synced where the core asked for
/// it. Only this module makes one, so whoever acts or sends takes one and cannot be early.
#[derive(Debug)]
#[must_use = "an effect that is dropped never happens"]
pub(crate) struct Durable<T>(T);

impl<T> Durable<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

/// Between two tries while the disk is full.
const AGAIN: Duration = Duration::from_millis(200);
/// How many steps share one sync at most.
const GROUP: usize = 256;
/// The ledger is shortened when an epoch rose and it holds more lines than this, and twice as many as after
/// it was last shortened.
const LONG: usize = 2000;

/// The ledger, and the steps that are not written yet.
pub(crate) struct Writer {
    ledger: LedgerFile,
    /// In the core's order.
    waiting: Vec<Work>,
    /// The disk was full; it is tried again then.
    again: Option<Instant>,
    /// Lines of the file, and how many it had when it was shortened.
    lines: usize,
    kept: usize,
    /// Whether an epoch rose since the file was last shortened.
    rose: bool,
}

impl Writer {
    pub(crate) fn new(ledger: LedgerFile, lines: usize) -> Writer {
        Writer { ledger, waiting: Vec::new(), again: None, lines, kept: 0, rose: false }
    }

    /// Takes a step; gives what of it may leave at once. That is all of one that wrote nothing, with nothing
    /// before it that waits: all that it can follow from was let out before. A driver's check follows from no
    /// line and changes nothing, so it never waits.
    pub(crate) fn take(&mut self, step: Step) -> Vec<Durable<Effect>> {
        let Step { records, sync, rose, effects } = step;
        self.rose |= rose;
        let checks = || effects.iter().all(|effect| matches!(effect, Effect::Check { .. }));
        if records.is_empty() && (self.waiting.is_empty() || checks()) {
            return effects.into_iter().map(Durable).collect();
        }
        self.waiting.push(Work { records, sync, effects });
        Vec::new()
    }

    /// Whether more may be taken before the next write: a sync is wanted, and it costs the same for more.
    pub(crate) fn gathers(&self) -> bool {
        self.waiting.len() < GROUP && self.again.is_none() && self.waiting.iter().any(|work| work.sync)
    }

    /// Whether something is to be written now.
    pub(crate) fn is_due(&self) -> bool {
        !self.waiting.is_empty() && self.again.is_none_or(|at| Instant::now() >= at)
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        self.again.is_some()
    }

    /// How long until a write is tried again.
    pub(crate) fn tries_in(&self) -> Option<Duration> {
        self.again.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Writes what waits, syncs if any of it asks for it, and gives what may leave then. `all` is the whole
    /// ledger as it stands after the last step. A failed sync ends the process: nobody knows what is on disk.
    pub(crate) fn write(&mut self, all: impl FnOnce() -> Vec<Record>) -> Vec<Durable<Effect>> {
        let records: Vec<&Record> = self.waiting.iter().flat_map(|work| &work.records).collect();
        let sync = self.waiting.iter().any(|work| work.sync);
        match self.ledger.append(&records, sync) {
            Ok(()) => self.again = None,
            Err(error @ WriteError::Unsynced(_)) => fail_stop(&error),
            Err(error) => {
                self.again = Some(Instant::now() + AGAIN);
                tracing::error!(%error, "the ledger cannot be written; trying again");
                return Vec::new();
            }
        }
        self.lines += records.len();
        if self.rose && self.lines > LONG.max(2 * self.kept) {
            self.shorten(&all());
        }
        self.rose = false;
        std::mem::take(&mut self.waiting).into_iter().flat_map(|work| work.effects).map(Durable).collect()
    }

    fn shorten(&mut self, all: &[Record]) {
        match self.ledger.rewrite(all) {
            Ok(()) => (self.lines, self.kept) = (all.len(), all.len()),
            Err(error @ WriteError::Unsynced(_)) => fail_stop(&error),
            // The old file says the same, in more lines.
            Err(error) => tracing::warn!(%error, "the ledger could not be shortened"),
        }
    }

    /// Whether lines were written that a loss of power would take.
    pub(crate) fn is_dirty(&self) -> bool {
        self.ledger.is_dirty()
    }

    /// Everything written is on disk afterwards.
    pub(crate) fn sync(&mut self) {
        self.ledger.sync().unwrap_or_else(|error| fail_stop(&error));
    }
}

fn fail_stop(error: &WriteError) -> ! {
    tracing::error!(%error, "the service stops: what is on disk is not known");
    std::process::abort();
}
