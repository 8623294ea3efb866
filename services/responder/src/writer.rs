//! The ledger's thread: writes what the core recorded, then lets out what follows from it (law 1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use service_core::{Effect, Record};
use tokio::sync::mpsc::UnboundedSender;

use crate::ledger::{LedgerFile, WriteError};

/// What one step led to, or the whole ledger anew.
pub(crate) struct Work {
    pub(crate) records: Vec<Record>,
    pub(crate) sync: bool,
    /// Everything that is still worth keeping, after an epoch rose.
    pub(crate) anew: Option<Vec<Record>>,
    pub(crate) effects: Vec<Effect>,
}

/// Effects whose records are on disk. Only this module makes one.
pub(crate) struct Written(Vec<Effect>);

impl Written {
    pub(crate) fn into_inner(self) -> Vec<Effect> {
        self.0
    }
}

/// Between two tries while the disk is full.
const AGAIN: Duration = Duration::from_millis(200);
/// How many steps share one sync at most.
const GROUP: usize = 256;

/// Writes until the channel closes. A failed sync ends the process: nobody knows what is on disk then.
pub(crate) fn write(
    mut ledger: LedgerFile,
    work: &Receiver<Work>,
    out: &UnboundedSender<Written>,
    full: &Arc<AtomicBool>,
) {
    while let Ok(first) = work.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = work.try_recv()
        {
            group.push(next);
        }
        let records: Vec<Record> = group.iter().flat_map(|w| w.records.iter().cloned()).collect();
        let sync = group.iter().any(|w| w.sync);
        loop {
            match ledger.append(&records, sync) {
                Ok(()) => break,
                Err(WriteError::Refused(error)) => {
                    full.store(true, Ordering::Relaxed);
                    tracing::error!(%error, "the ledger cannot be written; trying again");
                    std::thread::sleep(AGAIN);
                }
                Err(error @ WriteError::Unsynced(_)) => {
                    tracing::error!(%error, "the service stops: what is on disk is not known");
                    std::process::abort();
                }
            }
        }
        full.store(false, Ordering::Relaxed);
        // Only the last step's: records of later steps are not in it.
        let anew = group.last_mut().and_then(|w| w.anew.take());
        if let Some(anew) = anew
            && let Err(error) = ledger.rewrite(&anew)
        {
            // The old file says the same, in more lines.
            tracing::warn!(%error, "the ledger could not be shortened");
        }
        for work in group {
            if !work.effects.is_empty() && out.send(Written(work.effects)).is_err() {
                return;
            }
        }
    }
}
