//! Content-addressed files beside the store: what is too long for it.
//!
//! A file is written under another name, fsynced, renamed to its digest, and its directory is
//! fsynced. It never changes afterwards. A crash can leave a file that nothing names; that is
//! waste, not damage.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::Digest;
use crate::disk::{make_dir, sync_dir};

/// The longest content, in bytes.
pub const PUT_MAX: usize = 64 << 20;

/// Content could not be stored. Nothing names it, so nothing is half done.
#[derive(Debug, Error)]
pub enum PutError {
    /// Longer than [`PUT_MAX`].
    #[error("{0} bytes are too many")]
    TooLong(usize),
    /// The file could not be written or made durable.
    #[error("content could not be written to {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Content could not be read.
#[derive(Debug, Error)]
pub enum GetError {
    /// Nothing with this digest was stored.
    #[error("there is no content {0}")]
    Unknown(Digest),
    /// The file has other bytes than were stored.
    #[error("the content in {path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("{path} could not be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder with the files.
#[derive(Debug)]
pub(crate) struct Beside {
    dir: PathBuf,
    next: AtomicU64,
}

impl Beside {
    /// Opens the folder; makes it if needed, and clears what a crash left half written.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        make_dir(&dir)?;
        for file in fs::read_dir(&dir)? {
            let path = file?.path();
            if path.extension().is_some_and(|ext| ext == "new") {
                fs::remove_file(&path)?;
            }
        }
        Ok(Self { dir, next: AtomicU64::new(0) })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    /// Returns once the content is durable. May be repeated.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, PutError> {
        if bytes.len() > PUT_MAX {
            return Err(PutError::TooLong(bytes.len()));
        }
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        self.write(&path, bytes).map_err(|source| PutError::Io { path, source })?;
        Ok(digest)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.dir);
        if fs::read(path).is_ok_and(|there| there == bytes) {
            // Another thread may have renamed it and not synced yet.
            File::open(path)?.sync_all()?;
            return sync_dir(folder);
        }
        make_dir(folder)?;
        let new = self.dir.join(format!("{}.new", self.next.fetch_add(1, Ordering::Relaxed)));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, path)
        });
        if let Err(e) = written {
            // Best effort: the next open clears it too.
            drop(fs::remove_file(&new));
            return Err(e);
        }
        sync_dir(folder)
    }

    /// The content, checked against its digest.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Vec<u8>, GetError> {
        let path = self.path(digest);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            Ok(_) => Err(GetError::Damaged { path }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(GetError::Unknown(*digest)),
            Err(source) => Err(GetError::Io { path, source }),
        }
    }

    /// The digests of all content, in order.
    pub(crate) fn all(&self) -> io::Result<Vec<Digest>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.dir)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                found.extend(file?.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()));
            }
        }
        found.sort();
        Ok(found)
    }
}
