//! A run as its stored entries tell it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use engine::Definition;
use journal::{Digest, Entry, Excerpt, Link, StreamId, StreamKind};
use runner_core::{GroupEntry, ReadRun, RunEntry, Started, Stored};
use schemas::{GroupId, RunId};
use thiserror::Error;

/// An entry that was read, and where it stands.
#[derive(Debug, Clone)]
pub struct Noted<T> {
    /// Its number in its chain.
    pub seq: u64,
    /// When, by the runner's clock.
    pub at: DateTime<Utc>,
    /// Over the stored bytes.
    pub hash: Digest,
    /// Of the entry before.
    pub prev: Digest,
    /// Where another chain stood.
    pub link: Option<Link>,
    /// It.
    pub entry: T,
}

/// One run, its definition, and the entries of its group that are at hand.
pub struct Evidence {
    /// The run.
    pub run: RunId,
    /// Its first entry.
    pub started: Started,
    /// Its entries, from the first.
    pub entries: Vec<Noted<RunEntry>>,
    /// Those of its group, by number; not all of them need be there.
    pub group: Vec<Noted<GroupEntry>>,
    /// The run as they tell it.
    pub read: ReadRun,
    /// What it runs.
    pub definition: Arc<Definition>,
}

/// The entries do not make a run.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// No run there is called so.
    #[error("there is no run `{0}` in it")]
    NoRun(String),
    /// Several are.
    #[error("`{0}` fits several runs in it")]
    Several(String),
    /// Entries are missing.
    #[error("entry {seq} of {stream} is missing")]
    Missing {
        /// The chain.
        stream: StreamId,
        /// The first one that is missing.
        seq: u64,
    },
    /// An entry is of a program that knows more.
    #[error(transparent)]
    Unknown(#[from] runner_core::UnknownEntry),
    /// The entries do not follow from each other.
    #[error(transparent)]
    Run(#[from] runner_core::ReadError),
    /// The first entry is none.
    #[error("{0} does not begin with `run.started`")]
    Beginning(StreamId),
    /// The definition is missing or cannot be loaded.
    #[error("the definition {digest} of the run: {why}")]
    Definition {
        /// Of its text.
        digest: String,
        /// Why.
        why: String,
    },
}

impl Evidence {
    /// The run that `name` names (its id, the shortest unique end of it, or nothing where there is one
    /// run only).
    ///
    /// # Errors
    ///
    /// See [`EvidenceError`].
    pub fn of(name: Option<&str>, excerpt: &Excerpt) -> Result<Evidence, EvidenceError> {
        let stream = find(name, excerpt)?;
        let missing = |seq| EvidenceError::Missing { stream: stream.clone(), seq };
        let run: RunId = stream.name().parse().map_err(|_| EvidenceError::NoRun(stream.to_string()))?;
        let stored = &excerpt.streams[&stream];
        let mut entries = Vec::with_capacity(stored.len());
        for (expected, (seq, entry)) in (1..).zip(stored) {
            if *seq != expected {
                return Err(missing(expected));
            }
            entries.push(noted(entry, RunEntry::read(run, *seq, &entry.kind, &entry.body)?));
        }
        let Some(RunEntry::Started(started)) = entries.first().map(|noted| &noted.entry) else {
            return Err(EvidenceError::Beginning(stream));
        };
        let started = (**started).clone();
        let definition = definition(&started, excerpt)?;
        let lines = stored.values().map(|entry| Stored {
            seq: entry.seq,
            at: entry.at,
            kind: entry.kind.clone(),
            body: entry.body.clone(),
        });
        let loaded = Arc::clone(&definition);
        let read = runner_core::read_run(run, lines, |_| Ok::<_, String>(loaded))?;
        let group = match &started.group {
            Some(group) => of_group(group, excerpt)?,
            None => Vec::new(),
        };
        Ok(Evidence { run, started, entries, group, read, definition })
    }

    /// The lines of `excerpt` that are about this run: its definition, its entries, and those of its group
    /// from what led to it on.
    pub fn lines(&self, excerpt: &Excerpt) -> Vec<String> {
        let digests = [&self.started.definition].into_iter().chain(self.started.functions.values());
        let contents = digests
            .filter_map(|digest| digest.to_string().parse().ok())
            .filter_map(|digest| excerpt.content_line(&digest));
        let mut lines: Vec<String> = contents.map(str::to_owned).collect();
        if let Ok(stream) = StreamId::run(self.run) {
            lines.extend(excerpt.entry_lines(&stream, 1).map(str::to_owned));
        }
        let group = self.started.group.as_ref().and_then(|group| StreamId::group(group).ok());
        if let Some(stream) = group {
            lines.extend(excerpt.entry_lines(&stream, self.led_from()).map(str::to_owned));
        }
        lines
    }

    /// The first entry of the group that led to the run: its detection, or where it was decided.
    fn led_from(&self) -> u64 {
        let decided = self.group.iter().find_map(|noted| match &noted.entry {
            GroupEntry::RunStarted { run, decision, .. } if *run == self.run => {
                Some((noted.seq, decision.as_ref()))
            }
            _ => None,
        });
        let Some((seq, decision)) = decided else { return 1 };
        let first = self.group.iter().find(|noted| match &noted.entry {
            GroupEntry::Decision { decision: id, .. } => Some(id) == decision,
            _ => false,
        });
        first.map_or(seq, |first| first.seq.min(seq))
    }

    /// Its last entry so far.
    pub fn head(&self) -> Option<&Noted<RunEntry>> {
        self.entries.last()
    }
}

fn noted<T>(entry: &Entry, read: T) -> Noted<T> {
    Noted {
        seq: entry.seq,
        at: entry.at,
        hash: entry.hash,
        prev: entry.prev,
        link: entry.link.clone(),
        entry: read,
    }
}

fn find(name: Option<&str>, excerpt: &Excerpt) -> Result<StreamId, EvidenceError> {
    let wanted = name.unwrap_or_default().replace('-', "").to_ascii_lowercase();
    let mut fitting = excerpt
        .streams
        .keys()
        .filter(|s| s.kind() == StreamKind::Run && s.name().replace('-', "").ends_with(&wanted));
    let said = || name.unwrap_or("any").to_owned();
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), Some(_)) => Err(EvidenceError::Several(said())),
        _ => Err(EvidenceError::NoRun(said())),
    }
}

fn definition(started: &Started, excerpt: &Excerpt) -> Result<Arc<Definition>, EvidenceError> {
    let text = |digest: &schemas::Digest| {
        let wanted: Digest = digest.to_string().parse().map_err(|e: journal::BadDigest| e.to_string())?;
        let text = excerpt.contents.get(&wanted).ok_or_else(|| format!("the text {digest} is not there"))?;
        String::from_utf8(text.clone()).map_err(|e| e.to_string())
    };
    let digest = started.definition.to_string();
    started.load(text).map_err(|why| EvidenceError::Definition { digest, why })
}

fn of_group(group: &GroupId, excerpt: &Excerpt) -> Result<Vec<Noted<GroupEntry>>, EvidenceError> {
    let none = BTreeMap::new();
    let stream = StreamId::group(group).ok();
    let stored = stream.and_then(|stream| excerpt.streams.get(&stream)).unwrap_or(&none);
    let mut entries = Vec::with_capacity(stored.len());
    for entry in stored.values() {
        entries.push(noted(entry, GroupEntry::read(group, entry.seq, &entry.kind, &entry.body)?));
    }
    Ok(entries)
}
