//! The ledger's file: one JSON line a record with its checksum, appended, fdatasynced where the core says so,
//! and rewritten when an epoch rose.
//!
//! `<state>/<name>.ledger` begins with a line that holds the ledger's id. A torn last line is what a crash left
//! of a write that nothing followed from, and is cut. A line that is wrong anywhere else stops the open: the
//! disk lost or changed what had been written, and a ledger that forgets is worse than none.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use schemas::{Digest, LedgerId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service_core::Record;
use thiserror::Error;
use uuid::Uuid;

/// The checksum's length: the head of a SHA-256, in hexadecimal.
const SUM: usize = 16;
/// A ledger larger than this is not read; it holds one epoch's keys and stays far below.
const FILE_MAX: u64 = 256 << 20;

/// Why a ledger cannot be opened.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another service of this host has it.
    #[error("{} is held by another service: is `pointsman serve` running twice on this host?", .0.display())]
    Locked(PathBuf),
    /// A line is wrong that was whole once.
    #[error(
        "{} line {line}: {why}. The disk lost or changed it. Move the file aside and adopt anew: a new ledger acts on nothing before",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    ledger: LedgerId,
}

/// The file, open and locked.
#[derive(Debug)]
pub(crate) struct LedgerFile {
    path: PathBuf,
    file: File,
    id: LedgerId,
    /// Up to here everything is whole; a write that failed half way is cut back to it.
    end: u64,
    /// Whether something was written and not synced.
    dirty: bool,
}

fn line(json: &str) -> String {
    let sum = Digest::of(json.as_bytes()).to_string();
    format!("{} {json}\n", &sum[..SUM])
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let (sum, json) = line.split_at_checked(SUM).ok_or("it is too short")?;
    let json = json.strip_prefix(b" ").ok_or("it has no checksum")?;
    match Digest::of(json).to_string().as_bytes().starts_with(sum) {
        true => serde_json::from_slice(json).map_err(|error| error.to_string()),
        false => Err("its checksum is wrong".into()),
    }
}

impl LedgerFile {
    /// Opens the ledger in `dir`, or makes a new one, which has a new id and is adopted by nobody.
    ///
    /// # Errors
    ///
    /// See [`LedgerError`]; nothing was changed, but for a torn last line that is cut.
    pub(crate) fn open(dir: &Path, name: &str) -> Result<(LedgerFile, Vec<Record>), LedgerError> {
        let path = dir.join(format!("{name}.ledger"));
        let failed = |source| LedgerError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Locked(path)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let size = file.metadata().map_err(failed)?.len();
        if size > FILE_MAX {
            return Err(failed(io::Error::other(format!("{size} bytes, more than {FILE_MAX}"))));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let damaged = |line: usize, why: String| LedgerError::Damaged { path: path.clone(), line, why };
        // What stands after the last line's end was torn.
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
        lines.pop_if(|line| !line.ends_with(b"\n"));
        let Some(first) = lines.first() else {
            let mut fresh = LedgerFile { path, file, id: LedgerId(Uuid::new_v4()), end: 0, dirty: false };
            fresh.rewrite(&[]).map_err(|error| LedgerError::Io {
                path: fresh.path.clone(),
                source: io::Error::other(error),
            })?;
            return Ok((fresh, Vec::new()));
        };
        let head: Head = parse(first.trim_ascii_end()).map_err(|why| damaged(1, why))?;
        if head.version != 1 {
            return Err(damaged(1, format!("version {} is not known to this program", head.version)));
        }
        let mut records = Vec::new();
        let mut end = first.len();
        for (number, line) in lines.iter().enumerate().skip(1) {
            match parse(line.trim_ascii_end()) {
                Ok(record) => records.push(record),
                Err(_) if number + 1 == lines.len() => break,
                Err(why) => return Err(damaged(number + 1, why)),
            }
            end += line.len();
        }
        let end = end as u64;
        if end < size {
            file.set_len(end).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(end)).map_err(failed)?;
        Ok((LedgerFile { path, file, id: head.ledger, end, dirty: false }, records))
    }

    /// The ledger's id.
    pub(crate) fn id(&self) -> LedgerId {
        self.id
    }

    /// Appends; with `sync` it is on disk when this returns. After an error nothing of it is in the file, so
    /// it may be tried again; an error of the sync itself is final ([`Unsynced`](WriteError::Unsynced)).
    pub(crate) fn append(&mut self, records: &[&Record], sync: bool) -> Result<(), WriteError> {
        if !records.is_empty() {
            let mut text = String::new();
            for record in records {
                text.push_str(&line(
                    &serde_json::to_string(record).map_err(|e| WriteError::Refused(e.into()))?,
                ));
            }
            if let Err(error) = self.file.write_all(text.as_bytes()) {
                let cut =
                    self.file.set_len(self.end).and_then(|()| self.file.seek(SeekFrom::Start(self.end)));
                return Err(match cut {
                    Ok(_) => WriteError::Refused(error),
                    Err(worse) => WriteError::Unsynced(worse),
                });
            }
            self.end += text.len() as u64;
            self.dirty = true;
        }
        match sync {
            true => self.sync(),
            false => Ok(()),
        }
    }

    /// Whether lines were written that a loss of power would take.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Everything written is on disk afterwards.
    ///
    /// # Errors
    ///
    /// Final: [`Unsynced`](WriteError::Unsynced).
    pub(crate) fn sync(&mut self) -> Result<(), WriteError> {
        self.file.sync_data().map_err(WriteError::Unsynced)?;
        self.dirty = false;
        Ok(())
    }

    /// Replaces everything by `records`, at once: a crash leaves the old file or the new one.
    ///
    /// # Errors
    ///
    /// `Refused`: the old file is still in place. `Unsynced`: nobody knows which one is.
    pub(crate) fn rewrite(&mut self, records: &[Record]) -> Result<(), WriteError> {
        let json = |error: serde_json::Error| WriteError::Refused(error.into());
        let head = Head { version: 1, ledger: self.id };
        let mut text = line(&serde_json::to_string(&head).map_err(json)?);
        for record in records {
            text.push_str(&line(&serde_json::to_string(record).map_err(json)?));
        }
        let beside = self.path.with_extension("ledger.new");
        let write = || -> io::Result<File> {
            let mut file =
                OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Whoever opens the new file next must find it locked from the first moment on.
            file.try_lock().map_err(io::Error::from)?;
            Ok(file)
        };
        let file = write().map_err(WriteError::Refused)?;
        std::fs::rename(&beside, &self.path).map_err(WriteError::Refused)?;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(WriteError::Unsynced)?;
        self.file = file;
        self.end = text.len() as u64;
        self.dirty = false;
        Ok(())
    }
}

/// Why records are not on disk.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    /// Nothing was written; it may be tried again (a full disk).
    #[error("the ledger cannot be written: {0}")]
    Refused(io::Error),
    /// Nobody knows what is on disk. The process must end (a failed fsync is never tried again).
    #[error("the ledger cannot be synced: {0}")]
    Unsynced(io::Error),
}

#[cfg(test)]
mod tests;
