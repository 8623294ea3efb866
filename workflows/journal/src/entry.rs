//! Entries: what is submitted, what is stored, what is read back.
//!
//! Stored are the JSON bytes `{v, stream, seq, at, prev, kind, link?, beside? | …body}` on one
//! line. The hash is taken over exactly these bytes; they are never serialised again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{Digest, StreamId};

/// The version of the stored form.
pub const VERSION: u64 = 1;
/// The longest stored entry, in bytes; a longer one has its body beside the store.
pub const STORED_MAX: usize = 4096;
/// The longest body, in bytes of JSON.
pub const BODY_MAX: usize = 64 << 20;
/// The longest kind, in bytes.
pub const KIND_MAX: usize = 128;
/// The deepest nesting of a body: a JSON reader refuses more than 127 levels, and what is written
/// must be readable.
pub const DEPTH_MAX: usize = 120;
/// The names that a body may not use at its top level.
pub const RESERVED: [&str; 8] = ["v", "stream", "seq", "at", "prev", "kind", "link", "beside"];
/// An entry of this kind in a group's stream is the point from which its chain is verified at open.
pub const CHECKPOINT: &str = "group.checkpoint";

/// An entry that is not written yet.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// The chain it belongs to.
    pub stream: StreamId,
    /// The caller's idea of the next number, from 1. The writer checks it; another one is a bug
    /// and ends the process before anything is written.
    pub seq: u64,
    /// When, by the caller's clock.
    pub at: DateTime<Utc>,
    /// What happened.
    pub kind: String,
    /// The rest, without the names of [`RESERVED`].
    pub body: Map<String, Value>,
    /// The stream whose head, as it stands when this entry is written, is recorded in this entry
    /// as `link`. A stream with no entry gives no link.
    pub link: Option<StreamId>,
}

/// What goes to disk together, and what may happen once it is there.
#[derive(Clone, Debug)]
pub struct Batch<E> {
    /// In order; all or none of them survive a crash. May be empty.
    pub entries: Vec<NewEntry>,
    /// Handed to the sink after the entries are durable.
    pub effects: E,
    /// Runs that are finished with this batch. Nothing verifies or reads them at the next open.
    pub ended: Vec<StreamId>,
}

/// The number and hash of a stream's last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// From 1.
    pub seq: u64,
    /// Over the stored bytes.
    pub hash: Digest,
}

/// Where another stream stood when an entry was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The other stream.
    pub stream: StreamId,
    /// Its last number then.
    pub seq: u64,
    /// The hash of that entry.
    pub hash: Digest,
}

/// An entry as it was read back and verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The chain it belongs to.
    pub stream: StreamId,
    /// Its number, from 1.
    pub seq: u64,
    /// When, by the writer's clock.
    pub at: DateTime<Utc>,
    /// What happened. An unknown one is the reader's business.
    pub kind: String,
    /// The rest, resolved if it lies beside the store.
    pub body: Map<String, Value>,
    /// Where another stream stood.
    pub link: Option<Link>,
    /// Over the stored bytes.
    pub hash: Digest,
    /// The hash of the entry before, [`Digest::ZERO`] for the first.
    pub prev: Digest,
}

/// Why stored bytes are not an entry, or not the expected one.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum Damage {
    /// No entry is stored under this number although later ones are.
    #[error("the entry is missing")]
    Missing,
    /// The bytes do not have the hash that is stored with them.
    #[error("the bytes do not match their checksum")]
    Checksum,
    /// The hash of the entry before is not the one that this entry names.
    #[error("the chain is broken: the entry before has another hash")]
    Chain,
    /// The bytes are not an entry of a version that this program knows.
    #[error("not an entry: {0}")]
    Malformed(String),
    /// The entry belongs under another key.
    #[error("the entry says that it is {stream} {seq}")]
    Misplaced {
        /// As the entry says.
        stream: String,
        /// As the entry says.
        seq: u64,
    },
    /// The file with the body is missing or damaged.
    #[error("the body {digest} beside the store: {why}")]
    Beside {
        /// The digest that the entry names.
        digest: Digest,
        /// What is wrong with the file.
        why: String,
    },
}

/// Why an entry cannot be written at all; a bug of the caller.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum BadEntry {
    /// Another number would have been the next.
    #[error("{stream}: entry {given} was submitted, {next} is the next")]
    OutOfOrder {
        /// The stream.
        stream: StreamId,
        /// The number that the caller gave.
        given: u64,
        /// The number that would have been right.
        next: u64,
    },
    /// The body uses a name of [`RESERVED`].
    #[error("{stream}: the body of entry {seq} uses the reserved name `{name}`")]
    Reserved {
        /// The stream.
        stream: StreamId,
        /// The entry.
        seq: u64,
        /// The name.
        name: String,
    },
    /// The body or the kind is longer than its bound.
    #[error("{stream}: entry {seq} has {bytes} bytes, too many")]
    TooLong {
        /// The stream.
        stream: StreamId,
        /// The entry.
        seq: u64,
        /// The length that was found.
        bytes: usize,
    },
    /// The body is nested deeper than [`DEPTH_MAX`].
    #[error("{stream}: the body of entry {seq} is nested too deeply")]
    TooDeep {
        /// The stream.
        stream: StreamId,
        /// The entry.
        seq: u64,
    },
}

impl NewEntry {
    /// Whether the writer would take this entry, its number apart. For bodies that come from
    /// outside: a bad entry that is submitted ends the process.
    ///
    /// # Errors
    ///
    /// What the writer would say.
    pub fn check(&self) -> Result<(), BadEntry> {
        let Self { stream, seq, kind, body, .. } = self;
        if let Some(name) = RESERVED.iter().find(|name| body.contains_key(**name)) {
            return Err(BadEntry::Reserved { stream: stream.clone(), seq: *seq, name: (*name).to_owned() });
        }
        if kind.len() > KIND_MAX {
            return Err(BadEntry::TooLong { stream: stream.clone(), seq: *seq, bytes: kind.len() });
        }
        if !body.values().all(|value| shallow(value, DEPTH_MAX)) {
            return Err(BadEntry::TooDeep { stream: stream.clone(), seq: *seq });
        }
        Ok(())
    }
}

fn shallow(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left > 0 && items.iter().all(|item| shallow(item, left - 1)),
        Value::Object(fields) => left > 0 && fields.values().all(|field| shallow(field, left - 1)),
        _ => true,
    }
}

/// An entry in its stored form.
pub(crate) struct Encoded {
    /// What is stored and hashed.
    pub(crate) json: Vec<u8>,
    /// Over `json`.
    pub(crate) hash: Digest,
    /// The body, where it has to lie beside the store.
    pub(crate) beside: Option<(Digest, Vec<u8>)>,
}

#[derive(Serialize)]
struct Stored<'a> {
    v: u64,
    stream: &'a StreamId,
    seq: u64,
    at: &'a DateTime<Utc>,
    prev: &'a Digest,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<&'a Digest>,
    #[serde(flatten)]
    body: Option<&'a Map<String, Value>>,
}

/// Puts an entry into its stored form, after checking it against `head`.
pub(crate) fn encode(entry: &NewEntry, head: Option<Head>, link: Option<Link>) -> Result<Encoded, BadEntry> {
    let NewEntry { stream, seq, at, kind, body, .. } = entry;
    let next = head.map_or(1, |head| head.seq.saturating_add(1));
    if *seq != next {
        return Err(BadEntry::OutOfOrder { stream: stream.clone(), given: *seq, next });
    }
    entry.check()?;
    let prev = head.map_or(Digest::ZERO, |head| head.hash);
    let mut stored = Stored {
        v: VERSION,
        stream,
        seq: *seq,
        at,
        prev: &prev,
        kind,
        link: link.as_ref(),
        beside: None,
        body: Some(body),
    };
    let json = to_json(&stored);
    if json.len() <= STORED_MAX {
        return Ok(Encoded { hash: Digest::of(&json), json, beside: None });
    }
    let bytes = to_json(body);
    if bytes.len() > BODY_MAX {
        return Err(BadEntry::TooLong { stream: stream.clone(), seq: *seq, bytes: bytes.len() });
    }
    let digest = Digest::of(&bytes);
    stored.body = None;
    stored.beside = Some(&digest);
    let json = to_json(&stored);
    Ok(Encoded { hash: Digest::of(&json), json, beside: Some((digest, bytes)) })
}

/// Serialising maps with text keys into memory cannot fail.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads stored bytes; the hash over them is `hash` and was checked by the caller.
/// `beside` fetches a body by its digest.
pub(crate) fn decode(
    json: &[u8],
    hash: Digest,
    stream: &StreamId,
    seq: u64,
    beside: impl FnOnce(Digest) -> Result<Vec<u8>, Damage>,
) -> Result<Entry, Damage> {
    let mut body: Map<String, Value> = serde_json::from_slice(json).map_err(malformed)?;
    let version: u64 = take(&mut body, "v")?;
    if version != VERSION {
        return Err(Damage::Malformed(format!("version {version} is not known")));
    }
    let said: (String, u64) = (take(&mut body, "stream")?, take(&mut body, "seq")?);
    if said.0 != stream.as_str() || said.1 != seq {
        return Err(Damage::Misplaced { stream: said.0, seq: said.1 });
    }
    let at = take(&mut body, "at")?;
    let prev = take(&mut body, "prev")?;
    let kind = take(&mut body, "kind")?;
    let link = match body.remove("link") {
        None => None,
        Some(mut link) => {
            let fields = link.as_object_mut().ok_or_else(|| Damage::Malformed("link".into()))?;
            let other: String = take(fields, "stream")?;
            Some(Link {
                stream: other.parse().map_err(malformed)?,
                seq: take(fields, "seq")?,
                hash: take(fields, "hash")?,
            })
        }
    };
    if let Some(digest) = body.remove("beside") {
        let digest: Digest = serde_json::from_value(digest).map_err(malformed)?;
        body = serde_json::from_slice(&beside(digest)?).map_err(malformed)?;
    }
    Ok(Entry { stream: stream.clone(), seq, at, kind, body, link, hash, prev })
}

fn take<T: serde::de::DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<T, Damage> {
    let value = fields.remove(name).ok_or_else(|| Damage::Malformed(format!("`{name}` is missing")))?;
    serde_json::from_value(value).map_err(|e| Damage::Malformed(format!("`{name}`: {e}")))
}

fn malformed(e: impl std::fmt::Display) -> Damage {
    Damage::Malformed(e.to_string())
}
