//! Verifying and exporting everything: of an open journal, or read only of a broken one.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::beside::Beside;
use crate::entry::{self, Damage, Head};
use crate::error::ReadError;
use crate::read;
use crate::shared::Shared;
use crate::store::{Ended, Store};
use crate::{Digest, Journal, StreamId};

/// What a whole verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Streams that were read.
    pub streams: u64,
    /// Entries that are sound.
    pub entries: u64,
    /// Contents beside the store that are sound.
    pub contents: u64,
    /// What is not. Empty: the record is whole.
    pub damages: Vec<Found>,
}

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An entry; those after it in its stream were looked at too.
    Entry {
        /// Its stream.
        stream: StreamId,
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        why: Damage,
    },
    /// An entry's link to another stream does not fit what that stream holds.
    Link {
        /// The stream of the entry with the link.
        stream: StreamId,
        /// The number of that entry.
        seq: u64,
        /// The stream that it names.
        other: StreamId,
    },
    /// The index and the entries differ.
    Index {
        /// The stream.
        stream: StreamId,
    },
    /// A file beside the store has other bytes than its name says.
    Content {
        /// The digest that the file is named after.
        digest: Digest,
    },
}

/// An export could not be written to its end.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The journal could not be read.
    #[error("the journal could not be read")]
    Read(#[source] ReadError),
    /// The export could not be written.
    #[error("the export could not be written")]
    Write(#[source] io::Error),
}

/// One line of an export. A stored entry stands in it byte for byte, so that its hash can be
/// checked by whoever reads it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line<'a> {
    Journal { v: u64 },
    Entry { hash: Digest, stored: &'a RawValue },
    Damaged { stream: &'a StreamId, seq: u64, why: String },
    Finished { stream: &'a StreamId },
    Content { digest: Digest, text: &'a str },
    Binary { digest: Digest, hex: String },
    End { entries: u64, contents: u64, damaged: u64 },
}

/// The parts of a journal that an audit reads.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) store: &'a Store,
    pub(crate) beside: &'a Beside,
    /// The durable heads, if a writer is at work.
    pub(crate) shared: Option<&'a Shared>,
}

impl Parts<'_> {
    fn streams(&self) -> Result<Vec<StreamId>, ReadError> {
        self.store.streams_with_entries().map_err(ReadError::Store)
    }

    /// The last number to read: the durable head, else the last one stored.
    fn upto(&self, stream: &StreamId) -> Result<u64, ReadError> {
        if let Some(shared) = self.shared {
            return Ok(shared.live(stream)?.map_or(0, |live| live.head.seq));
        }
        Ok(self.store.last_seq(stream).map_err(ReadError::Store)?.unwrap_or(0))
    }

    pub(crate) fn verify(&self) -> Result<Verified, ReadError> {
        let mut found = Verified::default();
        let mut indexed = self.store.all().map_err(ReadError::Store)?;
        for stream in self.streams()? {
            indexed.retain(|name| *name != stream);
            self.verify_stream(&stream, &mut found)?;
        }
        // Named by the index, without any entry; not one that the writer is just adding.
        for stream in indexed {
            if self.shared.is_none() || self.upto(&stream)? > 0 {
                found.damages.push(Found::Index { stream });
            }
        }
        for digest in self.beside.all().map_err(ReadError::Beside)? {
            match self.beside.get(&digest) {
                Ok(_) => found.contents += 1,
                Err(_) => found.damages.push(Found::Content { digest }),
            }
        }
        Ok(found)
    }

    fn verify_stream(&self, stream: &StreamId, found: &mut Verified) -> Result<(), ReadError> {
        let upto = self.upto(stream)?;
        found.streams += u64::from(upto > 0);
        let mut prev = Some(Digest::ZERO);
        for seq in 1..=upto {
            let damage = |why| Found::Entry { stream: stream.clone(), seq, why };
            let entry = match read::one(self.store, self.beside, stream, seq) {
                Ok(entry) => entry,
                Err(ReadError::Broken { why, .. }) => {
                    found.damages.push(damage(why));
                    prev = None;
                    continue;
                }
                Err(other) => return Err(other),
            };
            if prev.is_some_and(|prev| prev != entry.prev) {
                found.damages.push(damage(Damage::Chain));
            } else {
                found.entries += 1;
            }
            prev = Some(entry.hash);
            if let Some(link) = &entry.link {
                let there = self.store.entry(&link.stream, link.seq).map_err(ReadError::Store)?;
                if there.is_ok_and(|(hash, _)| hash != link.hash) {
                    let (stream, other) = (stream.clone(), link.stream.clone());
                    found.damages.push(Found::Link { stream, seq, other });
                }
            }
        }
        let summary = self.store.summary(stream).map_err(ReadError::Store)?;
        let last = prev.map(|hash| Head { seq: upto, hash });
        // While a writer is at work the index may know of entries that were not durable when we looked.
        let later = |end: &Ended| self.shared.is_some() && end.head.seq > upto;
        let sound = |end: Ended| later(&end) || last.is_none_or(|last| last == end.head);
        let fits = summary.is_some_and(|summary| summary.ended.is_none_or(sound));
        if upto > 0 && !fits {
            found.damages.push(Found::Index { stream: stream.clone() });
        }
        Ok(())
    }

    pub(crate) fn export(&self, mut out: impl Write) -> Result<(), ExportError> {
        let mut counts = (0, 0, 0);
        line(&mut out, &Line::Journal { v: entry::VERSION })?;
        // Contents first, so that whoever reads the entries has them.
        for digest in self.beside.all().map_err(|e| ExportError::Read(ReadError::Beside(e)))? {
            let Ok(bytes) = self.beside.get(&digest) else {
                counts.2 += 1;
                continue;
            };
            counts.1 += 1;
            match str::from_utf8(&bytes) {
                Ok(text) => line(&mut out, &Line::Content { digest, text })?,
                Err(_) => line(&mut out, &Line::Binary { digest, hex: hex(&bytes) })?,
            }
        }
        for stream in self.streams().map_err(ExportError::Read)? {
            let upto = self.upto(&stream).map_err(ExportError::Read)?;
            for seq in 1..=upto {
                match self.stored(&stream, seq)? {
                    Ok((hash, json)) => match serde_json::from_slice::<&RawValue>(&json) {
                        Ok(stored) => {
                            counts.0 += 1;
                            line(&mut out, &Line::Entry { hash, stored })?;
                        }
                        Err(e) => {
                            counts.2 += 1;
                            line(&mut out, &Line::Damaged { stream: &stream, seq, why: e.to_string() })?;
                        }
                    },
                    Err(why) => {
                        counts.2 += 1;
                        line(&mut out, &Line::Damaged { stream: &stream, seq, why: why.to_string() })?;
                    }
                }
            }
            let summary = self.store.summary(&stream).map_err(|e| ExportError::Read(ReadError::Store(e)))?;
            if upto > 0 && summary.is_some_and(|summary| summary.ended.is_some()) {
                line(&mut out, &Line::Finished { stream: &stream })?;
            }
        }
        line(&mut out, &Line::End { entries: counts.0, contents: counts.1, damaged: counts.2 })?;
        out.flush().map_err(ExportError::Write)
    }

    fn stored(
        &self,
        stream: &StreamId,
        seq: u64,
    ) -> Result<Result<(Digest, sled::IVec), Damage>, ExportError> {
        self.store.entry(stream, seq).map_err(|e| ExportError::Read(ReadError::Store(e)))
    }
}

fn line(out: &mut impl Write, line: &Line<'_>) -> Result<(), ExportError> {
    serde_json::to_writer(&mut *out, line).map_err(|e| ExportError::Write(e.into()))?;
    out.write_all(b"\n").map_err(ExportError::Write)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|n| char::from_digit(n.into(), 16))
        .collect()
}

impl<E> Journal<E> {
    fn parts(&self) -> Parts<'_> {
        Parts { store: &self.shared.store, beside: &self.shared.beside, shared: Some(&self.shared) }
    }

    /// Reads everything that is durable, finished runs too: checksums, chains, links, index and
    /// contents. Takes as long as reading it all.
    ///
    /// # Errors
    ///
    /// The store cannot be read. A damage is not an error but a result.
    pub fn verify(&self) -> Result<Verified, ReadError> {
        self.parts().verify()
    }

    /// Writes everything that is durable as JSON Lines: `journal`, then each `content` (or
    /// `binary`), each `entry` as it is stored, kinds that nobody knows included, `finished`
    /// after a finished run, `damaged` for what cannot be read, and `end` with the counts: an
    /// export without it is not complete.
    ///
    /// # Errors
    ///
    /// What was written so far has no `end`.
    pub fn export(&self, out: impl Write) -> Result<(), ExportError> {
        self.parts().export(out)
    }
}
