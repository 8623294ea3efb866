//! What the writer and the readers share: the store, and what of it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use crate::beside::Beside;
use crate::entry::Head;
use crate::error::ReadError;
use crate::reserve::Reserve;
use crate::store::Store;
use crate::{StreamId, StreamKind};

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) beside: Beside,
    pub(crate) reserve: Reserve,
    heads: Mutex<Heads>,
    cursors: Mutex<BTreeMap<StreamId, u64>>,
}

/// The durable heads. The store shows more: what the writer has applied and not synced yet.
#[derive(Default)]
pub(crate) struct Heads {
    /// Unfinished runs, groups, and finished runs that the writer is appending to.
    pub(crate) live: BTreeMap<StreamId, Live>,
    /// Streams of which the store shows something and nothing is durable.
    pub(crate) pending: BTreeSet<StreamId>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) head: Head,
    pub(crate) started: DateTime<Utc>,
    pub(crate) ended: Option<DateTime<Utc>>,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The run.
    pub stream: StreamId,
    /// When its first entry was made.
    pub started: DateTime<Utc>,
    /// When its last entry was made, if it is finished.
    pub ended: Option<DateTime<Utc>>,
    /// Its last durable entry.
    pub head: Head,
}

/// Which runs to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that go on.
    Unfinished,
    /// Those that ended.
    Finished,
    /// Both.
    All,
}

impl Which {
    pub(crate) fn takes(self, ended: Option<DateTime<Utc>>) -> bool {
        match self {
            Which::All => true,
            Which::Finished => ended.is_some(),
            Which::Unfinished => ended.is_none(),
        }
    }
}

impl Shared {
    pub(crate) fn new(store: Store, beside: Beside, reserve: Reserve, heads: Heads) -> Self {
        Self { store, beside, reserve, heads: Mutex::new(heads), cursors: Mutex::default() }
    }

    /// What was published and is not written down yet.
    pub(crate) fn cursors(&self) -> MutexGuard<'_, BTreeMap<StreamId, u64>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The durable state of a stream.
    pub(crate) fn live(&self, stream: &StreamId) -> Result<Option<Live>, ReadError> {
        {
            let heads = self.heads();
            if let Some(live) = heads.live.get(stream) {
                return Ok(Some(*live));
            }
            if heads.pending.contains(stream) {
                return Ok(None);
            }
        }
        // Neither: the store knows of it only what was durable when we looked.
        let Some(summary) = self.store.summary(stream).map_err(ReadError::Store)? else { return Ok(None) };
        Ok(summary.ended.map(|end| Live { head: end.head, started: summary.started, ended: Some(end.at) }))
    }

    /// Runs, newest first.
    pub(crate) fn list(&self, which: Which, limit: usize) -> Result<Vec<Listed>, ReadError> {
        let mut found: Vec<Listed> = Vec::new();
        let listed =
            |stream, live: Live| Listed { stream, started: live.started, ended: live.ended, head: live.head };
        if which == Which::Unfinished {
            let heads = self.heads();
            let live = heads.live.iter().filter(|(_, live)| live.ended.is_none());
            let runs = live.filter(|(stream, _)| stream.kind() == StreamKind::Run);
            found.extend(runs.map(|(stream, live)| listed(stream.clone(), *live)));
            found.sort_by(|a, b| (b.started, &b.stream).cmp(&(a.started, &a.stream)));
            found.truncate(limit);
            return Ok(found);
        }
        for stream in self.store.newest() {
            if found.len() >= limit {
                break;
            }
            let stream = stream.map_err(ReadError::Store)?;
            if let Some(live) = self.live(&stream)?.filter(|live| which.takes(live.ended)) {
                found.push(listed(stream, live));
            }
        }
        Ok(found)
    }
}
