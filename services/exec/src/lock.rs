//! The lock of one resource, held by whoever acts on it: a guard, or a service that looks.
//!
//! It is a file with an flock(2) on it, so it ends with its holder, and close-on-exec, so no script inherits
//! it. While a script runs the file has one line, the guard's mark; a guard that ends well empties it.
//! A line that is found under a free lock therefore says that a guard was killed, and what to look for.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::processes;

/// How long between two tries.
pub(crate) const TRY_EVERY: Duration = Duration::from_millis(20);

/// How long killed leftovers may take to vanish.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Holding this proves that no guard of the resource lives and that nothing is left of one that was killed.
/// Dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why the lock was not given. Nothing of the caller's was started.
#[derive(Debug, Error)]
pub enum LockError {
    /// The file cannot be opened or read.
    #[error("lock file {} cannot be used", path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody held it for the whole bound: an earlier script still runs.
    #[error("another script holds {} and did not end within {waited:?}", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// A guard was killed and what its script started cannot be ended: it may still act.
    #[error("processes {pids:?} of an earlier script under {} cannot be ended", path.display())]
    Left {
        /// The lock file.
        path: PathBuf,
        /// Who is left.
        pids: Vec<i32>,
    },
}

/// Takes the lock of a resource, within `bound` (and at most 5 s more to end leftovers).
///
/// Afterwards no guard of this resource lives, and what a killed guard's script had started is gone, as far
/// as it can be found (see the crate's page). The file is made if it is missing; its folder must exist.
///
/// # Errors
///
/// `Held` and `Left` mean that something of an earlier script may still act: in doubt.
pub async fn lock(path: &Path, bound: Duration) -> Result<Lock, LockError> {
    let deadline = Instant::now() + bound;
    loop {
        let at = path.to_owned();
        let tried = tokio::task::spawn_blocking(move || try_lock(&at))
            .await
            .map_err(|cause| LockError::File { path: path.to_owned(), source: io::Error::other(cause) })?;
        match tried? {
            Some(lock) => return Ok(lock),
            None if Instant::now() >= deadline => {
                return Err(LockError::Held { path: path.to_owned(), waited: bound });
            }
            None => tokio::time::sleep(TRY_EVERY).await,
        }
    }
}

/// What a guard leaves in the file while its script runs.
#[derive(Serialize, Deserialize)]
struct Note {
    boot: String,
    mark: String,
}

/// Takes the lock if it is free; ends what a killed guard left. `None`: somebody holds it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Lock>, LockError> {
    let failed = |source| LockError::File { path: path.to_owned(), source };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let mut lock = Lock { file };
    if let Some(note) = lock.note().map_err(failed)? {
        if note.boot == processes::boot_id() {
            let left = processes::end_marked(&note.mark, GONE_WITHIN);
            if !left.is_empty() {
                return Err(LockError::Left {
                    path: path.to_owned(),
                    pids: left.iter().map(|pid| pid.as_raw_nonzero().get()).collect(),
                });
            }
        }
        lock.clear().map_err(failed)?;
    }
    Ok(Some(lock))
}

impl Lock {
    /// The note of a guard that did not end well, if there is one. A torn note is none: its script had not
    /// been started yet.
    fn note(&mut self) -> io::Result<Option<Note>> {
        let mut text = String::new();
        self.file.rewind()?;
        (&self.file).take(4096).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text).ok())
    }

    /// Writes down whom to look for should this process be killed. Not synced: a boot ends every process.
    pub(crate) fn mark(&mut self, mark: &str) -> io::Result<()> {
        let note = Note { boot: processes::boot_id(), mark: mark.to_owned() };
        self.clear()?;
        self.file.write_all(&serde_json::to_vec(&note)?)
    }

    /// Nothing is left to look for.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.file.rewind()?;
        self.file.set_len(0)
    }
}
