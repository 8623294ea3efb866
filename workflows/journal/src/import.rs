//! A new journal from an export.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::beside::{Beside, PutError};
use crate::digest::from_hex;
use crate::disk::{make_dir, sync_dir};
use crate::entry::{self, CHECKPOINT, Damage, Head};
use crate::error::OpenError;
use crate::journal::{Lock, beside_dir, store_dir};
use crate::store::{self, Ended, Store, Summary, Writes};
use crate::{Digest, StreamId, StreamKind};

/// Entries that one batch of an import writes.
const BATCH: usize = 256;
/// The longest line that is taken, in bytes: a content of the greatest size, escaped.
pub(crate) const LINE_MAX: u64 = 512 << 20;

/// An export could not be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The folder has something in it.
    #[error("{0} is not empty: an import makes a new journal")]
    NotEmpty(std::path::PathBuf),
    /// The new journal could not be made.
    #[error("the new journal could not be made")]
    Open(#[source] OpenError),
    /// The export could not be read.
    #[error("the export could not be read")]
    Read(#[source] io::Error),
    /// A line is not one of an export.
    #[error("line {line} is not one of an export: {why}")]
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
    /// The export has no `end`, or another count than its `end` says.
    #[error("the export is not complete")]
    Incomplete,
    /// A content could not be stored.
    #[error("a content could not be stored")]
    Put(#[source] PutError),
    /// The store refused a write.
    #[error("the store failed")]
    Store(#[source] sled::Error),
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entries.
    pub entries: u64,
    /// Contents beside the store.
    pub contents: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Line<'a> {
    Journal {
        v: u64,
    },
    Entry {
        hash: Digest,
        #[serde(borrow)]
        stored: &'a RawValue,
    },
    Damaged {
        stream: String,
        seq: u64,
    },
    Finished {
        stream: String,
    },
    Content {
        digest: Digest,
        text: String,
    },
    Binary {
        digest: Digest,
        hex: String,
    },
    End {
        entries: u64,
        contents: u64,
        #[serde(rename = "damaged")]
        _damaged: u64,
    },
}

/// Where a stream stands in the import.
struct State {
    head: Head,
    summary: Summary,
    last: DateTime<Utc>,
}

struct Import {
    store: Store,
    beside: Beside,
    writes: Writes,
    waiting: usize,
    streams: BTreeMap<StreamId, State>,
    done: Imported,
}

/// Makes a new journal in `dir` from an export, with the same bytes, hashes and chains. It is
/// marked: [`Opened::imported`](crate::Opened) says so at every open, because a journal that was
/// imported never resumes in its old epoch.
///
/// An export that has damaged entries is taken up to them: entries after a damaged one in the
/// same stream are refused, so cut the export there if that is what you want.
///
/// It is made beside `dir` as `<dir>.importing` and renamed when it is whole and durable.
///
/// # Errors
///
/// See [`ImportError`]; `dir` is as it was.
pub fn import(dir: &Path, at: DateTime<Utc>, from: impl BufRead) -> Result<Imported, ImportError> {
    if dir.exists() && !fs::read_dir(dir).is_ok_and(|mut files| files.next().is_none()) {
        return Err(ImportError::NotEmpty(dir.to_owned()));
    }
    let io_at = |source| ImportError::Open(OpenError::Io { path: dir.to_owned(), source });
    let no_name = || io_at(io::Error::new(io::ErrorKind::InvalidInput, "the folder needs a name"));
    let mut name = dir.file_name().ok_or_else(no_name)?.to_owned();
    name.push(".importing");
    let new = dir.with_file_name(name);
    if new.exists() {
        // Left by an import that failed or was killed; one that lives holds the lock.
        drop(Lock::take(&new).map_err(ImportError::Open)?);
        fs::remove_dir_all(&new).map_err(io_at)?;
    }
    make_dir(&new).map_err(io_at)?;
    let lock = Lock::take(&new).map_err(ImportError::Open)?;
    let done = fill(&new, at, from)?;
    fs::rename(&new, dir).map_err(io_at)?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new("."))).map_err(io_at)?;
    drop(lock);
    Ok(done)
}

fn fill(dir: &Path, at: DateTime<Utc>, from: impl BufRead) -> Result<Imported, ImportError> {
    let io_at = |source| ImportError::Open(OpenError::Io { path: dir.to_owned(), source });
    let (store, _) = store::open(&store_dir(dir)).map_err(ImportError::Store)?;
    let beside = Beside::open(beside_dir(dir)).map_err(io_at)?;
    let (writes, streams) = (Writes::default(), BTreeMap::new());
    let mut import = Import { store, beside, writes, waiting: 0, streams, done: Imported::default() };
    import.lines(from)?;
    import.finish(at)?;
    File::open(store_dir(dir).join("db")).and_then(|file| file.sync_all()).map_err(io_at)?;
    Ok(import.done)
}

impl Import {
    fn lines(&mut self, mut from: impl BufRead) -> Result<(), ImportError> {
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            let length =
                io::Read::take(&mut from, LINE_MAX).read_line(&mut text).map_err(ImportError::Read)?;
            if length == 0 {
                break;
            }
            let bad = |why: &str| ImportError::Line { line: number, why: why.to_owned() };
            match serde_json::from_str(&text).map_err(|e| bad(&e.to_string()))? {
                Line::Journal { v } if v == entry::VERSION => {}
                Line::Journal { .. } => return Err(bad("a version that this program does not know")),
                Line::Entry { hash, stored } => self.entry(number, hash, stored.get())?,
                Line::Damaged { stream, seq } => {
                    tracing::warn!(stream, seq, "the export lacks a damaged entry");
                }
                Line::Finished { stream } => {
                    let stream: StreamId = stream.parse().map_err(|_| bad("no stream"))?;
                    let state =
                        self.streams.get_mut(&stream).ok_or_else(|| bad("a stream without entries"))?;
                    state.summary.ended = Some(Ended { at: state.last, head: state.head });
                }
                Line::Content { digest, text } => self.content(number, digest, text.as_bytes())?,
                Line::Binary { digest, hex } => {
                    let bytes = from_hex(&hex).ok_or_else(|| bad("no hexadecimal digits"))?;
                    self.content(number, digest, &bytes)?;
                }
                Line::End { entries, contents, .. } => {
                    let whole = entries == self.done.entries && contents == self.done.contents;
                    return if whole { Ok(()) } else { Err(ImportError::Incomplete) };
                }
            }
        }
        Err(ImportError::Incomplete)
    }

    fn content(&mut self, line: u64, digest: Digest, bytes: &[u8]) -> Result<(), ImportError> {
        if self.beside.put(bytes).map_err(ImportError::Put)? != digest {
            return Err(ImportError::Line { line, why: "the content has another digest".to_owned() });
        }
        self.done.contents += 1;
        Ok(())
    }

    fn entry(&mut self, line: u64, hash: Digest, json: &str) -> Result<(), ImportError> {
        #[derive(Deserialize)]
        struct Place {
            stream: String,
            seq: u64,
        }
        let bad = |why: String| ImportError::Line { line, why };
        let place: Place = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        let (stream, seq): (StreamId, _) =
            (place.stream.parse().map_err(|_| bad("no stream".to_owned()))?, place.seq);
        let broken = |why| ImportError::Entry { line, stream: stream.clone(), seq, why };
        if Digest::of(json.as_bytes()) != hash {
            return Err(broken(Damage::Checksum));
        }
        let fetch =
            |digest| self.beside.get(&digest).map_err(|e| Damage::Beside { digest, why: e.to_string() });
        let entry = entry::decode(json.as_bytes(), hash, &stream, seq, fetch).map_err(broken)?;
        let before = self.streams.get(&stream).map(|state| state.head);
        let (next, prev) = before.map_or((1, Digest::ZERO), |head| (head.seq + 1, head.hash));
        if seq != next {
            return Err(broken(Damage::Missing));
        }
        if entry.prev != prev {
            return Err(broken(Damage::Chain));
        }
        self.writes.entry(&stream, seq, &hash, json.as_bytes());
        if entry.kind == CHECKPOINT && stream.kind() == StreamKind::Group {
            self.writes.checkpoint(&stream, seq);
        }
        let first = State {
            head: Head { seq, hash },
            summary: Summary { started: entry.at, ended: None },
            last: entry.at,
        };
        let state = self.streams.entry(stream).or_insert(first);
        state.head = Head { seq, hash };
        state.last = entry.at;
        self.done.entries += 1;
        self.waiting += 1;
        if self.waiting >= BATCH {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ImportError> {
        self.waiting = 0;
        self.store.write(std::mem::take(&mut self.writes)).map_err(ImportError::Store)
    }

    /// The index and the mark come last, in one batch: without them there are no streams.
    fn finish(&mut self, at: DateTime<Utc>) -> Result<(), ImportError> {
        for (stream, State { summary, .. }) in &self.streams {
            self.writes.summary(stream, summary);
            match stream.kind() {
                StreamKind::Run => self.writes.first_of_run(stream, summary.started),
                StreamKind::Group => self.writes.first_of_group(stream),
            }
            if summary.ended.is_some() {
                self.writes.finished(stream);
            }
        }
        self.writes.imported(at);
        self.write()
    }
}
