//! The ledger's thread: writes what the core recorded, then lets out what follows from it (law 1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

use service_core::{Effect, Record};

use crate::ledger::{LedgerFile, WriteError};

/// What one step led to, or the whole ledger anew.
pub(crate) struct Work {
    pub(crate) records: Vec<Record>,
    pub(crate) sync: bool,
    /// Everything that is still worth keeping, after an epoch rose.
    pub(crate) anew: Option<Vec<Record>>,
    pub(crate) effects: Vec<Effect>,
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

/// Carries out what may leave. Called by the thread, and by whoever submits.
pub(crate) type Release = Arc<dyn Fn(Durable<Effect>) + Send + Sync>;

/// The way to the thread. One task submits, so that the order is the core's.
pub(crate) struct Queue {
    pub(crate) work: SyncSender<Work>,
    /// How many steps the thread has not let out yet.
    pub(crate) pending: Arc<AtomicUsize>,
    pub(crate) release: Release,
}

/// The thread is gone.
pub(crate) struct NoThread;

impl Queue {
    /// Hands a step over. One that wrote nothing, with nothing before it that waits, is let out here and now:
    /// all that it can follow from was let out before.
    pub(crate) async fn submit(&self, mut work: Work) -> Result<(), NoThread> {
        if work.records.is_empty() && work.anew.is_none() && self.pending.load(Ordering::Acquire) == 0 {
            work.effects.into_iter().for_each(|effect| (self.release)(Durable(effect)));
            return Ok(());
        }
        self.pending.fetch_add(1, Ordering::AcqRel);
        loop {
            match self.work.try_send(work) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => {
                    work = back;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(TrySendError::Disconnected(_)) => return Err(NoThread),
            }
        }
    }
}

/// Between two tries while the disk is full.
const AGAIN: Duration = Duration::from_millis(200);
/// How many steps share one sync at most.
const GROUP: usize = 256;
/// Lines that nobody asked to sync are synced after so long without others.
const IDLE: Duration = Duration::from_secs(1);

/// Writes until the channel closes. A failed sync ends the process: nobody knows what is on disk then.
pub(crate) fn write(
    mut ledger: LedgerFile,
    work: &Receiver<Work>,
    release: &Release,
    pending: &AtomicUsize,
    full: &AtomicBool,
) {
    loop {
        let first = match work.recv_timeout(IDLE) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                if ledger.is_dirty() {
                    ledger.sync().unwrap_or_else(|error| fail_stop(&error));
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => {
                ledger.sync().unwrap_or_else(|error| fail_stop(&error));
                return;
            }
        };
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = work.try_recv()
        {
            group.push(next);
        }
        let records: Vec<Record> = group.iter_mut().flat_map(|w| std::mem::take(&mut w.records)).collect();
        let sync = group.iter().any(|w| w.sync);
        while let Err(error) = ledger.append(&records, sync) {
            if matches!(error, WriteError::Unsynced(_)) {
                fail_stop(&error);
            }
            full.store(true, Ordering::Relaxed);
            tracing::error!(%error, "the ledger cannot be written; trying again");
            std::thread::sleep(AGAIN);
        }
        full.store(false, Ordering::Relaxed);
        // Only the last step's: an earlier one knows nothing of the records after it.
        if let Some(anew) = group.last_mut().and_then(|w| w.anew.take()) {
            match ledger.rewrite(&anew) {
                Ok(()) => {}
                Err(error @ WriteError::Unsynced(_)) => fail_stop(&error),
                // The old file says the same, in more lines.
                Err(error) => tracing::warn!(%error, "the ledger could not be shortened"),
            }
        }
        let steps = group.len();
        group.into_iter().flat_map(|w| w.effects).for_each(|effect| release(Durable(effect)));
        pending.fetch_sub(steps, Ordering::AcqRel);
    }
}

fn fail_stop(error: &WriteError) {
    tracing::error!(%error, "the service stops: what is on disk is not known");
    std::process::abort();
}
