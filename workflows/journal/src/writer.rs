//! The one thread that writes.
//!
//! It takes what waits in the queue, up to a bound, as one commit: one sled batch, one flush, one
//! fdatasync; then the effects, in the order of submission. Whatever goes wrong stops the process.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::beside::PutError;
use crate::durable::Durable;
use crate::entry::{self, Batch, CHECKPOINT, Encoded, Head, Link, NewEntry};
use crate::options::{FailStop, FailStopHook};
use crate::shared::{Live, Shared};
use crate::store::{Ended, Summary, Writes};
use crate::{StreamId, StreamKind, disk::Disk};

/// Rough cost of an entry in the store's file beyond its own bytes.
const OVERHEAD: u64 = 16 << 10;

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    /// Our own handle on the store's file: sled's flush does not sync.
    pub(crate) file: File,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) group: usize,
    /// Odd while a commit is under way.
    pub(crate) beat: Arc<AtomicU64>,
    /// When cursors were last written.
    pub(crate) noted: Cell<Option<Instant>>,
}

/// Between two commits that note what was published.
const CURSORS_EVERY: Duration = Duration::from_millis(200);

/// A stream that this commit touches.
struct Staged {
    head: Option<Head>,
    started: DateTime<Utc>,
    /// When the last entry was made, if that is known without reading it.
    last: Option<DateTime<Utc>>,
    new: bool,
    was_ended: bool,
    ended: bool,
}

impl Writer {
    /// Writes until the queue's other end is gone, or until it must stop the process.
    pub(crate) fn run<E>(
        self,
        queue: Receiver<Batch<E>>,
        sink: impl FnMut(Durable<E>),
        fail_stop: &FailStopHook,
    ) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.serve(&queue, sink)));
        let why = match ended {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(panic) => FailStop::Panic(panic_text(panic.as_ref())),
        };
        fail_stop(&why);
        // Only a test's hook returns. The queue is dropped with everything that waits in it.
    }

    fn serve<E>(&self, queue: &Receiver<Batch<E>>, mut sink: impl FnMut(Durable<E>)) -> Result<(), FailStop> {
        while let Ok(first) = queue.recv() {
            let mut entries = first.entries;
            let mut ended = first.ended;
            let mut effects = vec![first.effects];
            while entries.len() < self.group
                && effects.len() < self.group
                && let Ok(next) = queue.try_recv()
            {
                entries.extend(next.entries);
                ended.extend(next.ended);
                effects.push(next.effects);
            }
            if !entries.is_empty() || !ended.is_empty() {
                self.beat.fetch_add(1, Ordering::Release);
                self.commit(&entries, &ended)?;
                self.beat.fetch_add(1, Ordering::Release);
            }
            effects.into_iter().for_each(|effects| sink(Durable::new(effects)));
        }
        self.noted.set(None);
        if !self.shared.cursors().is_empty() {
            self.commit(&[], &[])?;
        }
        Ok(())
    }

    /// Returns once all of it is durable.
    fn commit(&self, entries: &[NewEntry], ended: &[StreamId]) -> Result<(), FailStop> {
        let mut writes = Writes::default();
        let mut staged = BTreeMap::new();
        let mut encoded = Vec::with_capacity(entries.len());
        for entry in entries {
            encoded.push(self.stage(&mut staged, entry, &mut writes)?);
        }
        let bytes: usize =
            encoded.iter().map(|e| e.json.len() + e.beside.as_ref().map_or(0, |(_, body)| body.len())).sum();
        let cost = (encoded.len() as u64).saturating_mul(OVERHEAD).saturating_add(bytes as u64);
        self.shared.reserve.ensure(cost)?;
        for body in encoded.iter().filter_map(|e| e.beside.as_ref()) {
            self.shared.beside.put(&body.1).map_err(put_failed)?;
        }
        for stream in ended.iter().filter(|stream| stream.kind() == StreamKind::Run) {
            if let Some(staged) = self.touch(&mut staged, stream)? {
                staged.ended = true;
            }
        }
        self.index(&staged, &mut writes)?;
        self.cursors(&staged, &mut writes)?;
        self.announce(&staged);
        self.shared.store.write(writes).map_err(FailStop::Store)?;
        self.disk.sync_data(&self.file).map_err(FailStop::Sync)?;
        self.publish(&staged);
        Ok(())
    }

    /// Puts one entry into the commit, after what is staged already.
    fn stage(
        &self,
        staged: &mut BTreeMap<StreamId, Staged>,
        entry: &NewEntry,
        writes: &mut Writes,
    ) -> Result<Encoded, FailStop> {
        let link = match &entry.link {
            None => None,
            Some(other) => {
                let head = match staged.get(other) {
                    Some(staged) => staged.head,
                    None => self.known(other)?.map(|live| live.head),
                };
                head.map(|head| Link { stream: other.clone(), seq: head.seq, hash: head.hash })
            }
        };
        let head = self.touch(staged, &entry.stream)?.and_then(|staged| staged.head);
        let encoded = entry::encode(entry, head, link).map_err(FailStop::BadEntry)?;
        writes.entry(&entry.stream, entry.seq, &encoded.hash, &encoded.json);
        if entry.kind == CHECKPOINT && entry.stream.kind() == StreamKind::Group {
            writes.checkpoint(&entry.stream, entry.seq);
        }
        let staged = staged.entry(entry.stream.clone()).or_insert(Staged {
            head: None,
            started: entry.at,
            last: None,
            new: true,
            was_ended: false,
            ended: false,
        });
        staged.head = Some(Head { seq: entry.seq, hash: encoded.hash });
        staged.last = Some(entry.at);
        Ok(encoded)
    }

    fn known(&self, stream: &StreamId) -> Result<Option<Live>, FailStop> {
        self.shared.live(stream).map_err(FailStop::Read)
    }

    /// The staged state of a stream that exists.
    fn touch<'a>(
        &self,
        staged: &'a mut BTreeMap<StreamId, Staged>,
        stream: &StreamId,
    ) -> Result<Option<&'a mut Staged>, FailStop> {
        if !staged.contains_key(stream) {
            let Some(live) = self.known(stream)? else { return Ok(None) };
            let ended = live.ended.is_some();
            let state = Staged {
                head: Some(live.head),
                started: live.started,
                last: live.ended,
                new: false,
                was_ended: ended,
                ended,
            };
            staged.insert(stream.clone(), state);
        }
        Ok(staged.get_mut(stream))
    }

    /// When the last entry was made. Only an end that comes without an entry needs it.
    fn last_at(&self, stream: &StreamId, head: Head) -> Result<DateTime<Utc>, FailStop> {
        let entry = crate::read::one(&self.shared.store, &self.shared.beside, stream, head.seq);
        entry.map(|entry| entry.at).map_err(FailStop::Read)
    }

    /// What was published since it was last written; not with each commit, since what is published again keeps
    /// its id.
    fn cursors(&self, staged: &BTreeMap<StreamId, Staged>, writes: &mut Writes) -> Result<(), FailStop> {
        if self.noted.get().is_some_and(|at| at.elapsed() < CURSORS_EVERY) {
            return Ok(());
        }
        self.noted.set(Some(Instant::now()));
        let published = std::mem::take(&mut *self.shared.cursors());
        for (stream, seq) in published {
            let over = match staged.get(&stream) {
                Some(_) => false,
                None => self.known(&stream)?.is_some_and(|live| live.ended.is_some() && live.head.seq <= seq),
            };
            match over {
                true => writes.all_published(&stream),
                false => writes.published(&stream, seq),
            }
        }
        Ok(())
    }

    fn index(&self, staged: &BTreeMap<StreamId, Staged>, writes: &mut Writes) -> Result<(), FailStop> {
        for (stream, state) in staged {
            let Some(head) = state.head else { continue };
            if state.new {
                writes.published(stream, 0);
                match stream.kind() {
                    StreamKind::Run => writes.first_of_run(stream, state.started),
                    StreamKind::Group => writes.first_of_group(stream),
                }
            }
            if state.new || state.ended {
                let ended = match state.ended {
                    false => None,
                    true => {
                        let at = state.last.map_or_else(|| self.last_at(stream, head), Ok)?;
                        Some(Ended { at, head })
                    }
                };
                writes.summary(stream, &Summary { started: state.started, ended });
            }
            if state.ended && !state.was_ended {
                writes.finished(stream);
            }
        }
        Ok(())
    }

    /// Before the store shows it: readers go by what was durable until now.
    fn announce(&self, staged: &BTreeMap<StreamId, Staged>) {
        let mut new = Vec::new();
        let mut finished = Vec::new();
        for (stream, state) in staged {
            if state.new {
                new.push(stream.clone());
            } else if state.was_ended
                && let Ok(Some(live)) = self.shared.live(stream)
            {
                finished.push((stream.clone(), live));
            }
        }
        let mut heads = self.shared.heads();
        heads.pending.extend(new);
        heads.live.extend(finished);
    }

    /// After the sync: it is durable.
    fn publish(&self, staged: &BTreeMap<StreamId, Staged>) {
        let mut heads = self.shared.heads();
        for (stream, state) in staged {
            heads.pending.remove(stream);
            if state.ended {
                heads.live.remove(stream);
            } else if let Some(head) = state.head {
                heads.live.insert(stream.clone(), Live { head, started: state.started, ended: None });
            }
        }
    }
}

fn put_failed(error: PutError) -> FailStop {
    match error {
        PutError::Io { source, .. } => FailStop::Beside(source),
        PutError::TooLong(bytes) => FailStop::Panic(format!("a body of {bytes} bytes")),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Ends the process when one commit takes longer than `bound`; returns when `stop` is dropped.
pub(crate) fn watch(beat: &AtomicU64, bound: Duration, stop: &Receiver<()>, fail_stop: &FailStopHook) {
    let mut last = beat.load(Ordering::Acquire);
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(bound) {
        let now = beat.load(Ordering::Acquire);
        if now == last && now % 2 == 1 {
            fail_stop(&FailStop::Stuck(bound));
            return;
        }
        last = now;
    }
}
