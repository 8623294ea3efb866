//! A journal that is only looked at: a broken one, or one whose runner is gone.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::audit::{ExportError, Parts, Verified};
use crate::beside::{Beside, GetError};
use crate::disk::make_dir;
use crate::error::{OpenError, ReadError};
use crate::journal::{Lock, beside_dir, store_dir};
use crate::read::{self, Entries};
use crate::store::{self, Store};
use crate::{Digest, StreamId};

/// A journal opened with [`open_read_only`]: what is damaged is reported and the rest is read.
pub struct ReadOnly {
    store: Store,
    beside: Beside,
    _copy: Copy,
    _lock: Lock,
}

/// A copy of the store that is removed when it is no longer used.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %e, "a copy of the store is left behind");
        }
    }
}

/// Opens the journal in `dir` for reading, also a broken one. The store itself is not touched:
/// sled writes when it opens, so a copy inside `dir` is opened, and removed afterwards.
///
/// # Errors
///
/// It is in use, is not there, or its copy cannot be made or opened.
pub fn open_read_only(dir: &Path) -> Result<ReadOnly, OpenError> {
    open_read_only_in(dir, dir)
}

/// As [`open_read_only`], with the copy made inside `scratch`: for a disk that is full.
///
/// # Errors
///
/// It is in use, is not there, or its copy cannot be made or opened.
pub fn open_read_only_in(dir: &Path, scratch: &Path) -> Result<ReadOnly, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let from = store_dir(dir);
    fs::metadata(from.join("db")).map_err(at(&from.join("db")))?;
    let lock = Lock::take(dir)?;
    let to = scratch.join(format!("read-only-{}", std::process::id()));
    make_dir(&to).map_err(at(&to))?;
    let copy = Copy(to.clone());
    copy_store(&from, &to).map_err(at(&to))?;
    let (store, _) = store::open(&to).map_err(|source| OpenError::Store { path: from, source })?;
    let beside = Beside::open(beside_dir(dir)).map_err(at(&beside_dir(dir)))?;
    Ok(ReadOnly { store, beside, _copy: copy, _lock: lock })
}

/// Copies what sled needs: its log, its parameters, its blobs. Not its snapshots, which it rebuilds.
fn copy_store(from: &Path, to: &Path) -> io::Result<()> {
    for file in fs::read_dir(from)? {
        let file = file?;
        let name = file.file_name();
        let target = to.join(&name);
        match name.to_str() {
            Some("db" | "conf") => drop(fs::copy(file.path(), target)?),
            Some("blobs") => {
                fs::create_dir_all(&target)?;
                for blob in fs::read_dir(file.path())? {
                    let blob = blob?;
                    fs::copy(blob.path(), target.join(blob.file_name()))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl ReadOnly {
    fn parts(&self) -> Parts<'_> {
        Parts { store: &self.store, beside: &self.beside, shared: None }
    }

    /// The streams that have entries.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn streams(&self) -> Result<Vec<StreamId>, ReadError> {
        self.store.streams_with_entries().map_err(ReadError::Store)
    }

    /// See [`Journal::read`](crate::Journal::read).
    ///
    /// # Errors
    ///
    /// The stream is not known, its last entry is damaged, or the store cannot be read.
    pub fn read(&self, stream: &StreamId, from_seq: u64) -> Result<Entries<'_>, ReadError> {
        let head =
            read::stored_head(&self.store, stream)?.ok_or_else(|| ReadError::Unknown(stream.clone()))?;
        Ok(read::entries(&self.store, &self.beside, stream, from_seq, head, true))
    }

    /// See [`Journal::get`](crate::Journal::get).
    ///
    /// # Errors
    ///
    /// It was never stored, is damaged, or cannot be read.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, GetError> {
        self.beside.get(digest)
    }

    /// See [`Journal::verify`](crate::Journal::verify).
    ///
    /// # Errors
    ///
    /// The store cannot be read. A damage is not an error but a result.
    pub fn verify(&self) -> Result<Verified, ReadError> {
        self.parts().verify()
    }

    /// See [`Journal::export`](crate::Journal::export).
    ///
    /// # Errors
    ///
    /// What was written so far has no `end`.
    pub fn export(&self, out: impl Write) -> Result<(), ExportError> {
        self.parts().export(out)
    }
}
