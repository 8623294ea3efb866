//! What survives a crash: a log of framed commits, and contents by digest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Digest, StreamId};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Medium(Arc<Mutex<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    log: Vec<u8>,
    /// How much of the log is synced.
    synced: usize,
    files: BTreeMap<Digest, Vec<u8>>,
    life: u64,
    writes: u64,
}

/// What a crash does to bytes that were written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them are lost, as when the power goes.
    Unsynced,
    /// All of them are kept, as when the process is killed.
    Nothing,
    /// The first so many bytes are kept.
    Torn(usize),
}

#[derive(Serialize, Deserialize)]
pub(super) struct Frame {
    pub(super) entries: Vec<Line>,
    #[serde(with = "names")]
    pub(super) ended: Vec<StreamId>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(with = "name")]
    pub(super) stream: StreamId,
    pub(super) at: DateTime<Utc>,
    pub(super) json: String,
}

/// Stream names are read through their check.
mod name {
    use super::StreamId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(stream: &StreamId, to: S) -> Result<S::Ok, S::Error> {
        stream.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StreamId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

mod names {
    use super::StreamId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(streams: &[StreamId], to: S) -> Result<S::Ok, S::Error> {
        streams.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StreamId>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        names.iter().map(|name| name.parse().map_err(D::Error::custom)).collect()
    }
}

impl Medium {
    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the present life. A later one finds what the loss leaves.
    pub fn crash(&self, loss: Loss) {
        let mut bytes = self.bytes();
        let keep = match loss {
            Loss::Unsynced => bytes.synced,
            Loss::Nothing => bytes.log.len(),
            Loss::Torn(kept) => bytes.synced.saturating_add(kept).min(bytes.log.len()),
        };
        bytes.log.truncate(keep);
        bytes.life += 1;
    }

    /// How many writes all lives have made.
    pub fn writes(&self) -> u64 {
        self.bytes().writes
    }

    /// Everything on the disk; equal bytes mean equal histories.
    pub fn log(&self) -> Vec<u8> {
        self.bytes().log.clone()
    }

    /// A copy of this disk as it is now.
    #[must_use]
    pub fn fork(&self) -> Medium {
        let bytes = self.bytes();
        let files = bytes.files.clone();
        let copy =
            Bytes { log: bytes.log.clone(), synced: bytes.synced, files, life: 0, writes: bytes.writes };
        Medium(Arc::new(Mutex::new(copy)))
    }

    /// Begins a life: drops a torn tail, and syncs the rest as an open does.
    pub(super) fn begin(&self) -> (u64, Vec<Frame>) {
        let mut bytes = self.bytes();
        let mut frames = Vec::new();
        let mut good = 0;
        while let Some((frame, next)) = frame_at(&bytes.log, good) {
            frames.push(frame);
            good = next;
        }
        bytes.log.truncate(good);
        bytes.synced = good;
        bytes.life += 1;
        (bytes.life, frames)
    }

    pub(super) fn is_current(&self, life: u64) -> bool {
        self.bytes().life == life
    }

    /// Appends a frame, or only half of it.
    pub(super) fn append(&self, life: u64, frame: &Frame, torn: bool) {
        let mut bytes = self.bytes();
        if bytes.life != life {
            return;
        }
        let payload = serde_json::to_vec(frame).unwrap_or_default();
        let length = (payload.len() as u64).to_be_bytes();
        let mut framed = [length.as_slice(), Digest::of(&payload).as_bytes(), &payload].concat();
        if torn {
            framed.truncate(framed.len() / 2);
        }
        bytes.log.append(&mut framed);
        bytes.writes += 1;
    }

    /// Whether what this life wrote is durable now.
    pub(super) fn sync(&self, life: u64) -> bool {
        let mut bytes = self.bytes();
        if bytes.life == life {
            bytes.synced = bytes.log.len();
        }
        bytes.life == life
    }

    pub(super) fn put(&self, digest: Digest, content: Vec<u8>) {
        self.bytes().files.insert(digest, content);
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.bytes().files.get(digest).cloned()
    }
}

fn frame_at(log: &[u8], at: usize) -> Option<(Frame, usize)> {
    let (length, rest) = log.get(at..)?.split_first_chunk::<8>()?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let payload = rest.get(..length)?;
    if Digest::of(payload).as_bytes() != digest {
        return None;
    }
    Some((serde_json::from_slice(payload).ok()?, at + 8 + 32 + length))
}
