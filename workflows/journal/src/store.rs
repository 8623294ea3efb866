//! The only file that knows sled: keys, opening, the cure of a damaged snapshot.
//!
//! One tree, so that one sled batch covers entries and index:
//!
//! | key | value |
//! |---|---|
//! | `e/` stream `\0` big-endian number | hash (32 bytes), then the entry's JSON |
//! | `s/` stream | [`Summary`] as JSON |
//! | `o/` stream | empty; the run is not finished |
//! | `g/` stream | empty; a group |
//! | `l/` big-endian start (microseconds) stream | empty; runs by age |
//! | `c/` stream | big-endian number of the group's latest checkpoint |
//! | `p/` stream | big-endian number up to which it was published; none: all of it was, and it is finished |
//! | `m/imported` | when this journal was imported, RFC 3339 |

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::disk::{make_dir, sync_dir};
use crate::entry::{Damage, Head};
use crate::{Digest, StreamId};

/// Bytes of sled's page cache; it stays resident.
const CACHE: u64 = 8 << 20;
/// How long to wait for the lock of a store that this process has just closed.
const LOCK_TRIES: u32 = 500;

/// What the index says about a stream. Written with its first entry and with its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) started: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) at: DateTime<Utc>,
    #[serde(flatten)]
    pub(crate) head: Head,
}

/// The store, open.
#[derive(Clone)]
pub(crate) struct Store {
    db: sled::Db,
}

/// How the store was opened.
pub(crate) struct Recovery {
    /// Why the first attempt failed.
    pub(crate) why: String,
    /// Where the snapshot files are now.
    pub(crate) moved: Vec<PathBuf>,
}

/// Opens the store in `dir`. A damaged snapshot is moved aside: sled rebuilds it from its log.
pub(crate) fn open(dir: &Path) -> Result<(Store, Option<Recovery>), sled::Error> {
    make_dir(dir)?;
    let db_file = dir.join("db");
    if db_file.exists() {
        // The snapshot that sled is about to write must not know more than the disk does.
        File::open(&db_file)?.sync_data()?;
    }
    let (db, recovery) = match open_sled(dir) {
        Ok(db) => (db, None),
        Err(error) => {
            let moved = move_snapshots(dir)?;
            if moved.is_empty() {
                return Err(error);
            }
            (open_sled(dir)?, Some(Recovery { why: error.to_string(), moved }))
        }
    };
    for name in ["conf", "db"] {
        File::open(dir.join(name))?.sync_all()?;
    }
    sync_dir(dir)?;
    Ok((Store { db }, recovery))
}

fn open_sled(dir: &Path) -> Result<sled::Db, sled::Error> {
    let mut tries = 0;
    loop {
        let config = sled::Config::default().path(dir).cache_capacity(CACHE).flush_every_ms(None);
        let opened =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open())).unwrap_or_else(|_| {
                Err(sled::Error::ReportableBug("the store panicked while it was opened".into()))
            });
        match opened {
            // Our own lock is held, so only threads of a store closed a moment ago can have it.
            Err(sled::Error::Io(e)) if e.to_string().contains("lock") && tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

fn move_snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !name.starts_with("snap.") {
            continue;
        }
        let aside = (0..1000).map(|n| dir.join(format!("damaged-{n}.{name}"))).find(|path| !path.exists());
        if let Some(aside) = aside {
            fs::rename(&path, &aside)?;
            moved.push(aside);
        }
    }
    sync_dir(dir)?;
    Ok(moved)
}

/// What one commit writes.
#[derive(Default)]
pub(crate) struct Writes(sled::Batch);

impl Writes {
    pub(crate) fn entry(&mut self, stream: &StreamId, seq: u64, hash: &Digest, json: &[u8]) {
        let value: Vec<u8> = [hash.as_bytes().as_slice(), json].concat();
        self.0.insert(entry_key(stream, seq), value);
    }

    pub(crate) fn summary(&mut self, stream: &StreamId, summary: &Summary) {
        self.0.insert(key("s/", stream), serde_json::to_vec(summary).unwrap_or_default());
    }

    pub(crate) fn first_of_run(&mut self, stream: &StreamId, started: DateTime<Utc>) {
        self.0.insert(key("o/", stream), &[]);
        let micros = started.timestamp_micros().cast_unsigned() ^ (1 << 63);
        self.0.insert([b"l/".as_slice(), &micros.to_be_bytes(), stream.as_str().as_bytes()].concat(), &[]);
    }

    pub(crate) fn first_of_group(&mut self, stream: &StreamId) {
        self.0.insert(key("g/", stream), &[]);
    }

    pub(crate) fn finished(&mut self, stream: &StreamId) {
        self.0.remove(key("o/", stream));
    }

    pub(crate) fn checkpoint(&mut self, stream: &StreamId, seq: u64) {
        self.0.insert(key("c/", stream), seq.to_be_bytes().as_slice());
    }

    pub(crate) fn published(&mut self, stream: &StreamId, seq: u64) {
        self.0.insert(key("p/", stream), seq.to_be_bytes().as_slice());
    }

    pub(crate) fn all_published(&mut self, stream: &StreamId) {
        self.0.remove(key("p/", stream));
    }

    pub(crate) fn imported(&mut self, at: DateTime<Utc>) {
        self.0.insert(b"m/imported", at.to_rfc3339().as_bytes());
    }
}

fn key(prefix: &str, stream: &StreamId) -> Vec<u8> {
    [prefix.as_bytes(), stream.as_str().as_bytes()].concat()
}

fn entry_prefix(stream: &StreamId) -> Vec<u8> {
    [b"e/".as_slice(), stream.as_str().as_bytes(), b"\0"].concat()
}

/// The key of an entry.
pub(crate) fn entry_key(stream: &StreamId, seq: u64) -> Vec<u8> {
    let mut key = entry_prefix(stream);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

fn malformed(what: &str) -> sled::Error {
    sled::Error::Io(io::Error::new(io::ErrorKind::InvalidData, format!("the index has a malformed {what}")))
}

impl Store {
    /// Applies one commit in memory and writes it to the file; not durable yet.
    pub(crate) fn write(&self, writes: Writes) -> Result<(), sled::Error> {
        self.db.apply_batch(writes.0)?;
        self.db.flush().map(drop)
    }

    /// The stored bytes of an entry, checked against their hash.
    pub(crate) fn entry(
        &self,
        stream: &StreamId,
        seq: u64,
    ) -> Result<Result<(Digest, sled::IVec), Damage>, sled::Error> {
        let Some(value) = self.db.get(entry_key(stream, seq))? else { return Ok(Err(Damage::Missing)) };
        let Some((hash, json)) = value.split_first_chunk::<32>() else { return Ok(Err(Damage::Checksum)) };
        let hash = Digest::from_bytes(*hash);
        if Digest::of(json) != hash {
            return Ok(Err(Damage::Checksum));
        }
        Ok(Ok((hash, value.subslice(32, value.len() - 32))))
    }

    /// The number of the last entry stored for a stream.
    pub(crate) fn last_seq(&self, stream: &StreamId) -> Result<Option<u64>, sled::Error> {
        let Some(last) = self.db.scan_prefix(entry_prefix(stream)).keys().next_back() else {
            return Ok(None);
        };
        let seq = last?.last_chunk::<8>().copied().ok_or_else(|| malformed("entry key"))?;
        Ok(Some(u64::from_be_bytes(seq)))
    }

    pub(crate) fn summary(&self, stream: &StreamId) -> Result<Option<Summary>, sled::Error> {
        let value = self.db.get(key("s/", stream))?;
        value.map(|value| serde_json::from_slice(&value).map_err(|_| malformed("summary"))).transpose()
    }

    /// The number of the group's latest checkpoint.
    pub(crate) fn checkpoint(&self, stream: &StreamId) -> Result<Option<u64>, sled::Error> {
        let Some(value) = self.db.get(key("c/", stream))? else { return Ok(None) };
        let seq = value.as_ref().try_into().map_err(|_| malformed("checkpoint"))?;
        Ok(Some(u64::from_be_bytes(seq)))
    }

    /// How far streams were published, the finished and wholly published ones not among them.
    pub(crate) fn cursors(&self) -> Result<Vec<(StreamId, u64)>, sled::Error> {
        let cursor = |item: Result<(sled::IVec, sled::IVec), sled::Error>| {
            let (key, value) = item?;
            let seq = value.as_ref().try_into().map_err(|_| malformed("cursor"))?;
            Ok((name_in(&key, 2)?, u64::from_be_bytes(seq)))
        };
        self.db.scan_prefix("p/").map(cursor).collect()
    }

    /// When this journal was imported from another.
    pub(crate) fn imported(&self) -> Result<Option<DateTime<Utc>>, sled::Error> {
        let Some(value) = self.db.get(b"m/imported")? else { return Ok(None) };
        let text = str::from_utf8(&value).map_err(|_| malformed("mark"))?;
        Ok(Some(DateTime::parse_from_rfc3339(text).map_err(|_| malformed("mark"))?.with_timezone(&Utc)))
    }

    /// The runs that are not finished.
    pub(crate) fn unfinished(&self) -> Result<Vec<StreamId>, sled::Error> {
        self.names("o/")
    }

    /// The groups.
    pub(crate) fn groups(&self) -> Result<Vec<StreamId>, sled::Error> {
        self.names("g/")
    }

    /// Every stream of the index.
    pub(crate) fn all(&self) -> Result<Vec<StreamId>, sled::Error> {
        self.names("s/")
    }

    fn names(&self, prefix: &str) -> Result<Vec<StreamId>, sled::Error> {
        self.db.scan_prefix(prefix).keys().map(|key| name_in(&key?, prefix.len())).collect()
    }

    /// The runs by the time of their start, newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = Result<StreamId, sled::Error>> + use<> {
        self.db.scan_prefix("l/").keys().rev().map(|key| name_in(&key?, 10))
    }

    /// Every stream that has an entry, whatever the index says.
    pub(crate) fn streams_with_entries(&self) -> Result<Vec<StreamId>, sled::Error> {
        let mut found: Vec<StreamId> = Vec::new();
        for key in self.db.scan_prefix("e/").keys() {
            let key = key?;
            let name = key.get(2..key.len().saturating_sub(9)).unwrap_or_default();
            if found.last().is_none_or(|last| last.as_str().as_bytes() != name) {
                found.push(name_in(name, 0)?);
            }
        }
        Ok(found)
    }

    /// The bytes that the store takes on disk.
    pub(crate) fn bytes(&self) -> Result<u64, sled::Error> {
        self.db.size_on_disk()
    }
}

fn name_in(key: &[u8], from: usize) -> Result<StreamId, sled::Error> {
    let name = key.get(from..).and_then(|name| str::from_utf8(name).ok());
    name.and_then(|name| name.parse().ok()).ok_or_else(|| malformed("stream name"))
}
