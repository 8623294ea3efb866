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
}

fn line(json: &str) -> String {
    let sum = Digest::of(json.as_bytes()).to_string();
    format!("{} {json}\n", &sum[..SUM])
}

fn parse(line: &str) -> Result<&str, String> {
    let (sum, json) = line.split_at_checked(SUM).ok_or("it is too short")?;
    let json = json.strip_prefix(' ').ok_or("it has no checksum")?;
    match Digest::of(json.as_bytes()).to_string().starts_with(sum) {
        true => Ok(json),
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
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let damaged = |line: usize, why: String| LedgerError::Damaged { path: path.clone(), line, why };
        let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
        let Some((_, first)) = lines.next() else {
            let mut fresh = LedgerFile { path, file, id: LedgerId(Uuid::new_v4()), end: 0 };
            fresh.rewrite(&[])?;
            return Ok((fresh, Vec::new()));
        };
        let head =
            parse(first).and_then(|json| serde_json::from_str::<Head>(json).map_err(|e| e.to_string()));
        let head = head.map_err(|why| damaged(1, why))?;
        if head.version != 1 {
            return Err(damaged(1, format!("version {} is not known to this program", head.version)));
        }
        let mut records = Vec::new();
        let last = text.lines().count();
        let mut end = whole;
        for (number, line) in lines {
            let read = parse(line).and_then(|json| serde_json::from_str(json).map_err(|e| e.to_string()));
            match read {
                Ok(record) => records.push(record),
                // A write of several lines may be torn inside: nothing followed from any of it.
                Err(_) if number == last => end = whole - line.len() - 1,
                Err(why) => return Err(damaged(number, why)),
            }
        }
        let end = end as u64;
        if end < size {
            file.set_len(end).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(end)).map_err(failed)?;
        Ok((LedgerFile { path, file, id: head.ledger, end }, records))
    }

    /// The ledger's id.
    pub(crate) fn id(&self) -> LedgerId {
        self.id
    }

    /// Appends; with `sync` it is on disk when this returns. After an error nothing of it is in the file, so
    /// it may be tried again; an error of the sync itself is final ([`Unsynced`](WriteError::Unsynced)).
    pub(crate) fn append(&mut self, records: &[Record], sync: bool) -> Result<(), WriteError> {
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
        }
        match sync {
            true => self.file.sync_data().map_err(WriteError::Unsynced),
            false => Ok(()),
        }
    }

    /// Replaces everything by `records`, at once: a crash leaves the old file or the new one.
    ///
    /// # Errors
    ///
    /// The old file is still in place.
    pub(crate) fn rewrite(&mut self, records: &[Record]) -> Result<(), LedgerError> {
        let failed = |path: &Path, source| LedgerError::Io { path: path.to_owned(), source };
        let head = serde_json::to_string(&Head { version: 1, ledger: self.id })
            .map_err(|e| failed(&self.path, e.into()))?;
        let mut text = line(&head);
        for record in records {
            let json = serde_json::to_string(record).map_err(|e| failed(&self.path, e.into()))?;
            text.push_str(&line(&json));
        }
        let beside = self.path.with_extension("ledger.new");
        let write = || -> io::Result<File> {
            let mut file =
                OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Whoever opens the new file next must find it locked from the first moment on.
            file.try_lock().map_err(io::Error::from)?;
            std::fs::rename(&beside, &self.path)?;
            let dir = self.path.parent().unwrap_or(Path::new("."));
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        self.file = write().map_err(|source| failed(&beside, source))?;
        self.end = text.len() as u64;
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{LedgerError, LedgerFile};
    use schemas::{Epoch, RunId};
    use service_core::Record;
    use uuid::Uuid;

    fn record(n: u128) -> Record {
        let (group, run) = ("cfg".parse().unwrap(), RunId(Uuid::from_u128(n)));
        Record::Adopted { group, epoch: Epoch(1), run }
    }

    #[test]
    fn what_was_written_is_read_and_a_torn_line_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, none) = LedgerFile::open(dir.path(), "a").unwrap();
        assert!(none.is_empty());
        let id = ledger.id();
        ledger.append(&[record(1), record(2)], true).unwrap();
        assert!(matches!(LedgerFile::open(dir.path(), "a"), Err(LedgerError::Locked(_))));
        drop(ledger);
        let path = dir.path().join("a.ledger");
        let whole = std::fs::read(&path).unwrap();
        let second = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for cut in second..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (ledger, read) = LedgerFile::open(dir.path(), "a").unwrap();
            assert_eq!(ledger.id(), id);
            assert!(read.len() < 2, "cut at {cut}");
            assert_eq!(read.as_slice(), &[record(1), record(2)][..read.len()]);
        }
        std::fs::write(&path, &whole).unwrap();
        let (mut ledger, read) = LedgerFile::open(dir.path(), "a").unwrap();
        assert_eq!(read, [record(1), record(2)]);
        ledger.rewrite(&[record(3)]).unwrap();
        ledger.append(&[record(4)], true).unwrap();
        drop(ledger);
        let (ledger, read) = LedgerFile::open(dir.path(), "a").unwrap();
        assert_eq!((ledger.id(), read), (id, vec![record(3), record(4)]));
    }

    #[test]
    fn a_changed_line_stops_the_open() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = LedgerFile::open(dir.path(), "a").unwrap();
        ledger.append(&[record(1), record(2)], true).unwrap();
        drop(ledger);
        let path = dir.path().join("a.ledger");
        let mut bytes = std::fs::read(&path).unwrap();
        let second = bytes.iter().position(|b| *b == b'\n').unwrap() + 30;
        bytes[second] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let Err(LedgerError::Damaged { line: 2, .. }) = LedgerFile::open(dir.path(), "a") else {
            panic!("a changed line was read");
        };
    }

    #[test]
    fn a_lost_ledger_has_a_new_id() {
        let dir = tempfile::tempdir().unwrap();
        let first = LedgerFile::open(dir.path(), "a").unwrap().0.id();
        std::fs::remove_file(dir.path().join("a.ledger")).unwrap();
        assert_ne!(LedgerFile::open(dir.path(), "a").unwrap().0.id(), first);
    }
}
