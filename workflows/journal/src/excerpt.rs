//! Parts of a journal as the lines of an export, and the reading of such lines without a store: for
//! evidence that leaves the host of the journal.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::audit::{Line as Out, hex};
use crate::digest::from_hex;
use crate::entry::{self, Damage, Entry, VERSION};
use crate::error::ReadError;
use crate::import::{LINE_MAX, Line};
use crate::{Digest, GetError, Journal, StreamId, read};

/// Lines of a stream, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// As an export has them, without line breaks.
    pub lines: Vec<String>,
    /// The first entry that is not among them; none where the stream's durable end was reached.
    pub next: Option<u64>,
}

impl<E> Journal<E> {
    /// The durable entries of a stream from `from` on, at most up to `upto`, as lines of an export. A body
    /// that lies beside the store comes as a `content` line before its entry. Ends after about `bytes`, but
    /// not before one entry.
    ///
    /// # Errors
    ///
    /// The stream is not known, or an entry of it is damaged.
    pub fn lines(&self, stream: &StreamId, from: u64, upto: u64, bytes: usize) -> Result<Lines, ReadError> {
        let head = self.head(stream).ok_or_else(|| ReadError::Unknown(stream.clone()))?;
        let upto = upto.min(head.seq);
        let mut found = Lines::default();
        let mut length = 0;
        for seq in from.max(1)..=upto {
            if length >= bytes {
                found.next = Some(seq);
                break;
            }
            let (hash, json) = read::raw(&self.shared.store, stream, seq)?;
            let broken = |why| ReadError::Broken { stream: stream.clone(), seq, why };
            let malformed = |e: serde_json::Error| broken(Damage::Malformed(e.to_string()));
            let beside: Beside = serde_json::from_slice(&json).map_err(malformed)?;
            if let Some(digest) = beside.beside {
                let missing = |e: GetError| broken(Damage::Beside { digest, why: e.to_string() });
                found.lines.push(self.content_line(&digest).map_err(missing)?);
            }
            let stored = serde_json::from_slice::<&RawValue>(&json).map_err(malformed)?;
            let line = Out::Entry { hash, stored };
            found.lines.push(serde_json::to_string(&line).map_err(malformed)?);
            length = found.lines.iter().map(String::len).sum();
        }
        Ok(found)
    }

    /// Content by its digest, as a line of an export.
    ///
    /// # Errors
    ///
    /// It was never stored, is damaged, or cannot be read.
    pub fn content_line(&self, digest: &Digest) -> Result<String, GetError> {
        let bytes = self.get(digest)?;
        let line = match str::from_utf8(&bytes) {
            Ok(text) => Out::Content { digest: *digest, text },
            Err(_) => Out::Binary { digest: *digest, hex: hex(&bytes) },
        };
        // Text and digests can always be written.
        Ok(serde_json::to_string(&line).unwrap_or_default())
    }
}

#[derive(Deserialize)]
struct Beside {
    #[serde(default)]
    beside: Option<Digest>,
}

/// Entries and contents of a journal, or of a part of one, each verified against its own digest, and each
/// chained to the entry before it where that one is there.
#[derive(Clone, Debug, Default)]
pub struct Excerpt {
    /// The entries of each stream, by number.
    pub streams: BTreeMap<StreamId, BTreeMap<u64, Entry>>,
    /// What lies beside.
    pub contents: BTreeMap<Digest, Vec<u8>>,
    /// The lines as they were read: of contents, and of entries.
    content_lines: BTreeMap<Digest, String>,
    entry_lines: BTreeMap<(StreamId, u64), (String, Option<Digest>)>,
}

/// Lines are not those of a journal, or somebody changed them.
#[derive(Debug, Error)]
pub enum ExcerptError {
    /// They could not be read.
    #[error("it could not be read")]
    Read(#[source] io::Error),
    /// A line is not one of an export.
    #[error("line {line} is not one of a journal's export: {why}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// An entry is damaged, or does not follow the one before it.
    #[error("line {line}: entry {seq} of {stream} is damaged: {why}")]
    Entry {
        /// Its number, from 1.
        line: u64,
        /// The stream.
        stream: StreamId,
        /// The entry.
        seq: u64,
        /// What is wrong with it.
        why: Damage,
    },
}

impl Excerpt {
    /// Reads the lines of an export, whole or in part.
    ///
    /// # Errors
    ///
    /// The first line that is none, or that was changed.
    pub fn read(mut from: impl BufRead) -> Result<Excerpt, ExcerptError> {
        let mut excerpt = Excerpt::default();
        let mut places = BTreeMap::new();
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            let length =
                io::Read::take(&mut from, LINE_MAX).read_line(&mut text).map_err(ExcerptError::Read)?;
            if length == 0 {
                break;
            }
            if let Some((stream, seq)) = excerpt.line(number, text.trim_end())? {
                places.insert((stream, seq), number);
            }
        }
        excerpt.chained(&places)?;
        Ok(excerpt)
    }

    /// Content as its line was read.
    pub fn content_line(&self, digest: &Digest) -> Option<&str> {
        self.content_lines.get(digest).map(String::as_str)
    }

    /// The entries of a stream from `from` on, as their lines were read, each after the content that it
    /// needs.
    pub fn entry_lines(&self, stream: &StreamId, from: u64) -> impl Iterator<Item = &str> {
        let of = (stream.clone(), from)..=(stream.clone(), u64::MAX);
        self.entry_lines.range(of).flat_map(|(_, (line, beside))| {
            let content = beside.as_ref().and_then(|digest| self.content_lines.get(digest));
            content.into_iter().chain([line]).map(String::as_str)
        })
    }

    fn line(&mut self, line: u64, text: &str) -> Result<Option<(StreamId, u64)>, ExcerptError> {
        let bad = |why: String| ExcerptError::Line { line, why };
        match serde_json::from_str(text).map_err(|e| bad(e.to_string()))? {
            Line::Journal { v } if v != VERSION => {
                return Err(bad("a version that this program does not know".into()));
            }
            Line::Journal { .. } | Line::Finished { .. } | Line::End { .. } | Line::Damaged { .. } => {}
            Line::Content { digest, text: of } => {
                self.content(line, digest, of.into_bytes())?;
                self.content_lines.insert(digest, text.to_owned());
            }
            Line::Binary { digest, hex } => {
                let bytes = from_hex(&hex).ok_or_else(|| bad("no hexadecimal digits".into()))?;
                self.content(line, digest, bytes)?;
                self.content_lines.insert(digest, text.to_owned());
            }
            Line::Entry { hash, stored } => {
                let place = self.entry(line, hash, stored.get())?;
                let beside: Beside = serde_json::from_str(stored.get()).map_err(|e| bad(e.to_string()))?;
                self.entry_lines.insert(place.clone(), (text.to_owned(), beside.beside));
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn content(&mut self, line: u64, digest: Digest, bytes: Vec<u8>) -> Result<(), ExcerptError> {
        if Digest::of(&bytes) != digest {
            return Err(ExcerptError::Line { line, why: "the content has another digest".into() });
        }
        self.contents.insert(digest, bytes);
        Ok(())
    }

    fn entry(&mut self, line: u64, hash: Digest, json: &str) -> Result<(StreamId, u64), ExcerptError> {
        #[derive(Deserialize)]
        struct Place {
            stream: String,
            seq: u64,
        }
        let bad = |why: String| ExcerptError::Line { line, why };
        let place: Place = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        let stream: StreamId = place.stream.parse().map_err(|_| bad("no stream".into()))?;
        let seq = place.seq;
        let broken = |why| ExcerptError::Entry { line, stream: stream.clone(), seq, why };
        if Digest::of(json.as_bytes()) != hash {
            return Err(broken(Damage::Checksum));
        }
        let contents = &self.contents;
        let fetch = |digest| {
            let why = "it does not stand before its entry".to_owned();
            contents.get(&digest).cloned().ok_or(Damage::Beside { digest, why })
        };
        let entry = entry::decode(json.as_bytes(), hash, &stream, seq, fetch).map_err(broken)?;
        if self.streams.entry(stream.clone()).or_default().insert(seq, entry).is_some() {
            return Err(bad(format!("entry {seq} of {stream} stands there twice")));
        }
        Ok((stream, seq))
    }

    fn chained(&self, places: &BTreeMap<(StreamId, u64), u64>) -> Result<(), ExcerptError> {
        for (stream, entries) in &self.streams {
            for (seq, entry) in entries {
                let before = match seq {
                    1 => Some(Digest::ZERO),
                    _ => entries.get(&(seq - 1)).map(|entry| entry.hash),
                };
                if before.is_some_and(|before| before != entry.prev) {
                    let line = places.get(&(stream.clone(), *seq)).copied().unwrap_or_default();
                    return Err(ExcerptError::Entry {
                        line,
                        stream: stream.clone(),
                        seq: *seq,
                        why: Damage::Chain,
                    });
                }
            }
        }
        Ok(())
    }
}
