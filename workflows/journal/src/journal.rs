//! The journal on disk.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use chrono::{DateTime, Utc};

use crate::beside::{Beside, GetError, PutError};
use crate::disk::make_dir;
use crate::durable::Durable;
use crate::entry::{Batch, Damage, Entry, Head};
use crate::error::{Closed, OpenError, ReadError};
use crate::options::Options;
use crate::read::{self, Entries};
use crate::record::Record;
use crate::reserve::{Reserve, Space};
use crate::shared::{Heads, Listed, Live, Shared, Which};
use crate::store::{self, Store};
use crate::writer::{Writer, watch};
use crate::{Digest, StreamId};

/// The durable record, open for writing. One process has it at a time.
///
/// All methods may be called from any thread. `submit`, `put` and the reading ones may wait for
/// the disk: an async caller wraps all but `submit` and `head` in a blocking task.
pub struct Journal<E> {
    pub(crate) shared: Arc<Shared>,
    queue: Option<SyncSender<Batch<E>>>,
    writer: Option<JoinHandle<()>>,
    watch: Option<(SyncSender<()>, JoinHandle<()>)>,
    // Last, so that the lock outlives the store.
    _lock: Lock,
}

/// What was found at open.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Runs that are not finished, verified from their first entry.
    pub unfinished: Vec<StreamId>,
    /// Groups, verified from their latest checkpoint.
    pub groups: Vec<StreamId>,
    /// Their entries as they were verified, a group's from its latest checkpoint on: nobody has to read them
    /// again. The journal on disk fills it; its twin in memory leaves it empty.
    pub verified: BTreeMap<StreamId, Vec<Entry>>,
    /// Set if the store's snapshot was damaged and was rebuilt from its log.
    pub recovered: Option<Recovered>,
    /// When this journal was imported from another; such a one never resumes in its old epoch.
    pub imported: Option<DateTime<Utc>>,
}

/// A damaged snapshot was moved aside. Nothing is lost: it is rebuilt from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// What the store said about it.
    pub why: String,
    /// Where the damaged files are now. They may be deleted.
    pub moved: Vec<PathBuf>,
}

/// Holds the folder's lock file.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that was just forked has the file until it runs exec.
        drop(self.0.unlock());
    }
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                // The number is a courtesy for whoever comes second; a full disk may refuse it.
                let cleared = file.set_len(0).and_then(|()| file.rewind());
                drop(cleared.and_then(|()| write!(file, "{}", std::process::id())));
                Ok(Self(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                Err(OpenError::Locked { dir: dir.to_owned(), pid })
            }
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }
}

/// The store's folder inside the journal's.
pub(crate) fn store_dir(dir: &Path) -> PathBuf {
    dir.join("store")
}

/// The folder of the long contents inside the journal's.
pub(crate) fn beside_dir(dir: &Path) -> PathBuf {
    dir.join("beside")
}

/// Opens the journal in `dir`; makes it if it is not there.
///
/// Afterwards every unfinished run and every group is verified, what a crash left half written is
/// gone, and `sink` gets the effects of each batch, in order, after its entries are durable. It is
/// called on the writer's thread: it should pass the effects on and return.
///
/// # Errors
///
/// See [`OpenError`]. After [`OpenError::Broken`] the journal can still be read with
/// [`open_read_only`](crate::open_read_only).
pub fn open<E: Send + 'static>(
    dir: &Path,
    options: Options,
    sink: impl FnMut(Durable<E>) + Send + 'static,
) -> Result<(Journal<E>, Opened), OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    make_dir(dir).map_err(at(dir))?;
    let lock = Lock::take(dir)?;
    let path = store_dir(dir);
    let (store, recovery) =
        store::open(&path).map_err(|source| OpenError::Store { path: path.clone(), source })?;
    let beside = Beside::open(beside_dir(dir)).map_err(at(&beside_dir(dir)))?;
    let (heads, mut opened) = look(&store, &beside).map_err(|e| open_error(e, &path))?;
    opened.recovered = recovery.map(|found| Recovered { why: found.why, moved: found.moved });
    let file = File::open(path.join("db")).map_err(at(&path.join("db")))?;
    let reserve = Reserve::open(dir, options.reserve_bytes, options.disk.clone());
    let shared = Arc::new(Shared::new(store, beside, reserve, heads));

    let (queue, waiting) = sync_channel(options.queue.max(1));
    let (stop, stopped) = sync_channel(0);
    let beat = Arc::new(AtomicU64::new(0));
    let (hook, seen) = (options.fail_stop.clone(), beat.clone());
    let watch = spawn("journal-watch", move || watch(&seen, options.commit_within, &stopped, &hook));
    let watch = watch.map_err(at(dir))?;
    let writer = Writer {
        shared: shared.clone(),
        file,
        disk: options.disk,
        group: options.group.max(1),
        beat,
        noted: Cell::new(None),
    };
    let hook = options.fail_stop;
    let writer = spawn("journal-writer", move || writer.run(waiting, sink, &hook)).map_err(at(dir))?;
    let journal =
        Journal { shared, queue: Some(queue), writer: Some(writer), watch: Some((stop, watch)), _lock: lock };
    Ok((journal, opened))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

/// Verifies what a resume depends on.
fn look(store: &Store, beside: &Beside) -> Result<(Heads, Opened), ReadError> {
    let unfinished = store.unfinished().map_err(ReadError::Store)?;
    let groups = store.groups().map_err(ReadError::Store)?;
    let (mut heads, mut verified) = (Heads::default(), BTreeMap::new());
    for stream in unfinished.iter().chain(&groups) {
        let from = store.checkpoint(stream).map_err(ReadError::Store)?.unwrap_or(1);
        let missing = |seq| ReadError::Broken { stream: stream.clone(), seq, why: Damage::Missing };
        let head = read::stored_head(store, stream)?.ok_or_else(|| missing(1))?;
        if head.seq < from {
            return Err(missing(from));
        }
        let entries = read::entries(store, beside, stream, from, head, false);
        verified.insert(stream.clone(), entries.collect::<Result<Vec<_>, _>>()?);
        let summary = store.summary(stream).map_err(ReadError::Store)?.ok_or_else(|| missing(1))?;
        heads.live.insert(stream.clone(), Live { head, started: summary.started, ended: None });
    }
    let imported = store.imported().map_err(ReadError::Store)?;
    Ok((heads, Opened { unfinished, groups, verified, recovered: None, imported }))
}

fn open_error(error: ReadError, path: &Path) -> OpenError {
    match error {
        ReadError::Broken { stream, seq, why } => OpenError::Broken { stream, seq, why },
        ReadError::Store(source) => OpenError::Store { path: path.to_owned(), source },
        other => OpenError::Io { path: path.to_owned(), source: io::Error::other(other) },
    }
}

impl<E> Journal<E> {
    /// Puts a batch into the writer's queue; order is kept. Waits only while the queue is full.
    ///
    /// An empty batch passes through the queue too, so its effects never overtake earlier
    /// entries, and costs no sync of its own.
    ///
    /// # Errors
    ///
    /// The journal takes nothing any more. The batch is lost, and so are its effects.
    pub fn submit(&self, batch: Batch<E>) -> Result<(), Closed> {
        self.queue.as_ref().ok_or(Closed)?.send(batch).map_err(|_| Closed)
    }

    /// Reads the durable entries of a stream from `from_seq` (1 is the first) to its head as it
    /// is now. Checksum and chain are verified as it goes; it ends after the first error.
    ///
    /// # Errors
    ///
    /// The stream is not known, or the store cannot be read.
    pub fn read(&self, stream: &StreamId, from_seq: u64) -> Result<Entries<'_>, ReadError> {
        let live = self.shared.live(stream)?.ok_or_else(|| ReadError::Unknown(stream.clone()))?;
        Ok(read::entries(&self.shared.store, &self.shared.beside, stream, from_seq, live.head, true))
    }

    /// The last durable entry of a stream.
    pub fn head(&self, stream: &StreamId) -> Option<Head> {
        self.shared.live(stream).ok().flatten().map(|live| live.head)
    }

    /// At most `limit` runs, newest first, without reading their entries.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn streams(&self, which: Which, limit: usize) -> Result<Vec<Listed>, ReadError> {
        self.shared.list(which, limit)
    }

    /// Stores content under its digest; durable when this returns, and never changed again. May
    /// be repeated.
    ///
    /// # Errors
    ///
    /// Nothing names the content, so nothing is half done.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, PutError> {
        self.shared.beside.put(bytes)
    }

    /// Content by its digest, verified.
    ///
    /// # Errors
    ///
    /// It was never stored, is damaged, or cannot be read.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, GetError> {
        self.shared.beside.get(digest)
    }

    /// How much room there is; to be asked before a run starts.
    ///
    /// # Errors
    ///
    /// The file system does not say.
    pub fn space(&self) -> io::Result<Space> {
        self.shared.reserve.space()
    }

    /// The bytes that the store takes on disk. It never shrinks.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn store_bytes(&self) -> Result<u64, ReadError> {
        self.shared.store.bytes().map_err(ReadError::Store)
    }

    /// Writes what waits, hands out its effects, and lets go of the journal.
    pub fn close(self) {
        drop(self);
    }
}

impl<E> Drop for Journal<E> {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has gone to the fail-stop hook already.
            drop(writer.join());
        }
        if let Some((stop, watch)) = self.watch.take() {
            drop(stop);
            drop(watch.join());
        }
    }
}

impl<E: Send> Record<E> for Journal<E> {
    fn submit(&self, batch: Batch<E>) -> Result<(), Closed> {
        self.submit(batch)
    }

    fn read(&self, stream: &StreamId, from_seq: u64) -> Result<Entries<'_>, ReadError> {
        self.read(stream, from_seq)
    }

    fn head(&self, stream: &StreamId) -> Option<Head> {
        self.head(stream)
    }

    fn streams(&self, which: Which, limit: usize) -> Result<Vec<Listed>, ReadError> {
        self.streams(which, limit)
    }

    fn put(&self, bytes: &[u8]) -> Result<Digest, PutError> {
        self.put(bytes)
    }

    fn get(&self, digest: &Digest) -> Result<Vec<u8>, GetError> {
        self.get(digest)
    }
}
