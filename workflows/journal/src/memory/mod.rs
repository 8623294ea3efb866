//! The twin in memory: the same record without a disk, for tests and simulations.
//!
//! A [`Medium`] is what survives a crash; a [`Memory`] is one life of a process on it. Nothing
//! here has a thread or a clock: the same calls in the same order give the same bytes.
//!
//! ```
//! use journal::memory::{Medium, Memory, Moment, Pace};
//!
//! let medium = Medium::default();
//! let (journal, opened) = Memory::<()>::open(&medium, Pace::Now, |_effects| ()).expect("a new one");
//! assert!(opened.unfinished.is_empty());
//! journal.die_at(1, Moment::Before); // The first write never reaches the disk.
//! ```

mod medium;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::beside::{GetError, PutError};
use crate::durable::Durable;
use crate::entry::{self, Batch, Damage, Entry, Head, Link};
use crate::error::{Closed, OpenError, ReadError};
use crate::journal::Opened;
use crate::options::{FailStop, FailStopHook};
use crate::read::Entries;
use crate::record::Record;
use crate::shared::{Listed, Which};
use crate::{Digest, StreamId, StreamKind};

use medium::{Frame, Line};
pub use medium::{Loss, Medium};
use stream::{Stream, end, replay};

/// When a submitted batch is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Within `submit`: each batch is a commit of its own, and the sink is called before it returns.
    Now,
    /// When the test calls [`Memory::write`] and [`Memory::sync`].
    Manual,
}

/// On which side of a write the process dies. In each case no effect of it is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of the write reaches the disk.
    Before,
    /// Half of its bytes reach the disk.
    Torn,
    /// The write is on the disk.
    After,
}

type Sink<E> = Box<dyn FnMut(Durable<E>) + Send>;

/// One life of a process on a [`Medium`].
pub struct Memory<E> {
    medium: Medium,
    pace: Pace,
    life: u64,
    state: Mutex<State<E>>,
    sink: Mutex<Sink<E>>,
}

struct State<E> {
    streams: BTreeMap<StreamId, Stream>,
    queue: VecDeque<Batch<E>>,
    /// Written and not synced.
    unsynced: Vec<E>,
    draining: bool,
    dead: bool,
    writes: u64,
    die_at: Option<(u64, Moment)>,
    on_death: Option<FailStopHook>,
}

impl<E: Send> Memory<E> {
    /// Begins a life: reads what the medium has, and drops a torn tail.
    ///
    /// # Errors
    ///
    /// An entry on the medium is damaged.
    pub fn open(
        medium: &Medium,
        pace: Pace,
        sink: impl FnMut(Durable<E>) + Send + 'static,
    ) -> Result<(Self, Opened), OpenError> {
        let (life, frames) = medium.begin();
        let mut streams = BTreeMap::new();
        for frame in &frames {
            replay(&mut streams, frame);
        }
        let state = State {
            streams,
            queue: VecDeque::new(),
            unsynced: Vec::new(),
            draining: false,
            dead: false,
            writes: 0,
            die_at: None,
            on_death: None,
        };
        let memory = Self {
            medium: medium.clone(),
            pace,
            life,
            state: Mutex::new(state),
            sink: Mutex::new(Box::new(sink)),
        };
        let mut opened = Opened {
            unfinished: Vec::new(),
            groups: Vec::new(),
            verified: BTreeMap::new(),
            recovered: None,
            imported: None,
        };
        let names: Vec<_> = memory.state().streams.iter().map(|(name, s)| (name.clone(), s.ended)).collect();
        for (stream, ended) in names {
            if ended {
                continue;
            }
            for entry in memory.read(&stream, 1).map_err(broken)? {
                entry.map_err(broken)?;
            }
            match stream.kind() {
                StreamKind::Run => opened.unfinished.push(stream),
                StreamKind::Group => opened.groups.push(stream),
            }
        }
        Ok((memory, opened))
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends this life at its `write`-th write (1 is the next one of a new life). Empty batches are
    /// no writes.
    pub fn die_at(&self, write: u64, moment: Moment) {
        self.state().die_at = Some((write, moment));
    }

    /// Called once when this life ends by [`Memory::die_at`] or by a bad entry.
    pub fn on_death(&self, hook: FailStopHook) {
        self.state().on_death = Some(hook);
    }

    /// How many writes this life has made.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// Whether this life is over: nothing is taken any more and no effect is handed out.
    pub fn is_dead(&self) -> bool {
        self.state().dead || !self.medium.is_current(self.life)
    }

    /// Writes everything that was submitted, without a sync. For [`Pace::Manual`].
    pub fn write(&self) {
        loop {
            let mut state = self.state();
            let Some(batch) = state.queue.pop_front() else { return };
            if let Err(why) = self.write_one(&mut state, batch) {
                self.die(state, &why);
                return;
            }
        }
    }

    /// Makes what was written durable, and hands out its effects.
    pub fn sync(&self) {
        let effects = {
            let mut state = self.state();
            if state.dead || !self.medium.sync(self.life) {
                return;
            }
            for stream in state.streams.values_mut() {
                stream.durable = stream.entries.len();
            }
            std::mem::take(&mut state.unsynced)
        };
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        effects.into_iter().for_each(|effects| sink(Durable::new(effects)));
    }

    fn drain(&self) {
        loop {
            {
                let mut state = self.state();
                if state.queue.is_empty() || state.dead {
                    state.draining = false;
                    return;
                }
            }
            self.write();
            self.sync();
        }
    }

    fn die(&self, mut state: MutexGuard<'_, State<E>>, why: &FailStop) {
        state.dead = true;
        state.queue.clear();
        state.unsynced.clear();
        let hook = state.on_death.take();
        drop(state);
        match (hook, why) {
            (Some(hook), _) => hook(why),
            (None, FailStop::Died { .. }) => {}
            // A bug of the caller; only tests come here.
            (None, why) => panic!("{}", crate::options::chain(why)),
        }
    }

    fn write_one(&self, state: &mut State<E>, batch: Batch<E>) -> Result<(), FailStop> {
        if batch.entries.is_empty() && batch.ended.is_empty() {
            state.unsynced.push(batch.effects);
            return Ok(());
        }
        let write = state.writes + 1;
        let dies = state.die_at.filter(|(at, _)| *at == write).map(|(_, moment)| moment);
        if dies == Some(Moment::Before) {
            return Err(FailStop::Died { write });
        }
        let mut frame = Frame { entries: Vec::new(), ended: Vec::new() };
        let mut heads: BTreeMap<&StreamId, Head> = BTreeMap::new();
        for entry in &batch.entries {
            let head = |stream| heads.get(stream).copied().or_else(|| state.streams.get(stream)?.written());
            let link = entry.link.as_ref().and_then(|other| {
                head(other).map(|head| Link { stream: other.clone(), seq: head.seq, hash: head.hash })
            });
            let encoded = entry::encode(entry, head(&entry.stream), link).map_err(FailStop::BadEntry)?;
            heads.insert(&entry.stream, Head { seq: entry.seq, hash: encoded.hash });
            if let Some((digest, body)) = encoded.beside {
                self.medium.put(digest, body);
            }
            let json = String::from_utf8_lossy(&encoded.json).into_owned();
            frame.entries.push(Line { stream: entry.stream.clone(), at: entry.at, json });
        }
        frame.ended.extend(batch.ended.into_iter().filter(|stream| stream.kind() == StreamKind::Run));
        self.medium.append(self.life, &frame, dies == Some(Moment::Torn));
        if dies.is_some() {
            return Err(FailStop::Died { write });
        }
        state.writes = write;
        for line in &frame.entries {
            state.streams.entry(line.stream.clone()).or_default().push(line);
        }
        end(&mut state.streams, &frame);
        state.unsynced.push(batch.effects);
        Ok(())
    }
}

fn broken(error: ReadError) -> OpenError {
    match error {
        ReadError::Broken { stream, seq, why } => OpenError::Broken { stream, seq, why },
        other => OpenError::Io { path: "memory".into(), source: std::io::Error::other(other) },
    }
}

impl<E: Send> Record<E> for Memory<E> {
    fn submit(&self, batch: Batch<E>) -> Result<(), Closed> {
        {
            let mut state = self.state();
            if state.dead || !self.medium.is_current(self.life) {
                return Err(Closed);
            }
            state.queue.push_back(batch);
            // A sink that submits adds to the queue of the call that it stands in.
            if self.pace == Pace::Manual || std::mem::replace(&mut state.draining, true) {
                return Ok(());
            }
        }
        self.drain();
        Ok(())
    }

    fn read(&self, stream: &StreamId, from_seq: u64) -> Result<Entries<'_>, ReadError> {
        let from = from_seq.max(1);
        let state = self.state();
        let unknown = || ReadError::Unknown(stream.clone());
        let found = state.streams.get(stream).filter(|found| found.durable > 0).ok_or_else(unknown)?;
        let skip = usize::try_from(from - 1).unwrap_or(usize::MAX);
        let mut prev = found.head(skip).map_or(Digest::ZERO, |head| head.hash);
        let mut entries = Vec::new();
        for (seq, (hash, json)) in (from..).zip(found.entries.iter().take(found.durable).skip(skip)) {
            let fetch = |digest: Digest| {
                let unknown = || Damage::Beside { digest, why: "there is no such content".to_owned() };
                self.medium.get(&digest).ok_or_else(unknown)
            };
            let entry = entry::decode(json.as_bytes(), *hash, stream, seq, fetch);
            let chained = |entry: Entry| if entry.prev == prev { Ok(entry) } else { Err(Damage::Chain) };
            let entry =
                entry.and_then(chained).map_err(|why| ReadError::Broken { stream: stream.clone(), seq, why });
            let failed = entry.is_err();
            entries.push(entry);
            if failed {
                break;
            }
            prev = *hash;
        }
        Ok(Box::new(entries.into_iter()))
    }

    fn head(&self, stream: &StreamId) -> Option<Head> {
        let state = self.state();
        let stream = state.streams.get(stream)?;
        stream.head(stream.durable)
    }

    fn streams(&self, which: Which, limit: usize) -> Result<Vec<Listed>, ReadError> {
        let state = self.state();
        let runs = state.streams.iter().filter(|(name, _)| name.kind() == StreamKind::Run);
        let mut found: Vec<Listed> = runs
            .filter_map(|(name, stream)| {
                // An end that is not synced with its entry is not shown.
                let ended = (stream.ended && stream.durable == stream.entries.len()).then_some(stream.last);
                let head = stream.head(stream.durable)?;
                which.takes(ended).then(|| Listed {
                    stream: name.clone(),
                    started: stream.started,
                    ended,
                    head,
                })
            })
            .collect();
        found.sort_by(|a, b| (b.started, &b.stream).cmp(&(a.started, &a.stream)));
        found.truncate(limit);
        Ok(found)
    }

    fn put(&self, bytes: &[u8]) -> Result<Digest, PutError> {
        if bytes.len() > crate::PUT_MAX {
            return Err(PutError::TooLong(bytes.len()));
        }
        let digest = Digest::of(bytes);
        self.medium.put(digest, bytes.to_vec());
        Ok(digest)
    }

    fn get(&self, digest: &Digest) -> Result<Vec<u8>, GetError> {
        self.medium.get(digest).ok_or(GetError::Unknown(*digest))
    }
}

impl<E> std::fmt::Debug for Memory<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("pace", &self.pace).field("life", &self.life).finish_non_exhaustive()
    }
}

/// Effects that a sink has kept, in order.
pub type Kept<E> = Arc<Mutex<Vec<Durable<E>>>>;

/// A sink that keeps the effects, for tests that look at them.
pub fn collect<E: Send + 'static>() -> (impl FnMut(Durable<E>) + Send + 'static, Kept<E>) {
    let kept = Kept::default();
    let into = kept.clone();
    (move |effects| into.lock().unwrap_or_else(PoisonError::into_inner).push(effects), kept)
}
