//! What is read when the runner starts: the journal's unfinished runs and groups, and the definitions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Definition;
use journal::{Entry, Journal, StreamId, StreamKind};
use runner_core::{Core, ReadRun, Started, Stored};
use schemas::view::RunView;
use schemas::{Digest, GroupId, RunId};
use thiserror::Error;

use crate::shell::DefinitionText;

/// Why the runner cannot go on with its journal or its definitions.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A definition does not validate.
    #[error("{0}")]
    Definition(document::Diagnostics),
    /// Its text cannot be kept.
    #[error("could not keep the definition `{name}`: {source}")]
    Keep {
        /// Which.
        name: String,
        /// Why.
        source: journal::PutError,
    },
    /// A stream cannot be read.
    #[error("could not read {stream}: {why}")]
    Stream {
        /// Which.
        stream: String,
        /// Why.
        why: String,
    },
}

/// So many definitions are kept loaded for runs that are read; beyond it they are loaded anew.
const LOADED_MAX: usize = 32;

/// Definitions of runs that were read, by the digests of their texts: most runs share one, and it takes longer to load than
/// the run to read.
#[derive(Default)]
pub(crate) struct Loaded(Mutex<BTreeMap<Texts, Arc<Definition>>>);

/// A definition's text, and those of its functions.
type Texts = (Digest, BTreeMap<String, Digest>);

impl Loaded {
    fn get(
        &self,
        started: &Started,
        text: impl FnMut(&Digest) -> Result<String, String>,
    ) -> Result<Arc<Definition>, String> {
        let texts = (started.definition, started.functions.clone());
        if let Some(known) = self.lock().get(&texts) {
            return Ok(Arc::clone(known));
        }
        let definition = started.load(text)?;
        let mut all = self.lock();
        if all.len() >= LOADED_MAX {
            all.clear();
        }
        all.insert(texts, Arc::clone(&definition));
        Ok(definition)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Texts, Arc<Definition>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The definitions by name, their texts kept under their digests.
pub(crate) fn definitions<E>(
    journal: &Journal<E>,
    texts: &[DefinitionText],
) -> Result<BTreeMap<String, (Digest, Arc<Definition>)>, LoadError> {
    let mut found = BTreeMap::new();
    for text in texts {
        let definition = Definition::load(&text.text, &text.path, &engine::catalog::default())
            .map_err(LoadError::Definition)?;
        let name = definition.info().name.clone();
        let keep = |text: &str| {
            journal.put(text.as_bytes()).map_err(|source| LoadError::Keep { name: name.clone(), source })
        };
        let kept = keep(&text.text)?;
        for function in definition.functions().values() {
            keep(function)?;
        }
        found.insert(name, (Digest(*kept.as_bytes()), Arc::new(definition)));
    }
    Ok(found)
}

fn stored(entry: Entry) -> Stored {
    Stored { seq: entry.seq, at: entry.at, kind: entry.kind, body: entry.body }
}

fn bad(stream: &StreamId, why: impl ToString) -> LoadError {
    LoadError::Stream { stream: stream.to_string(), why: why.to_string() }
}

/// Reads one run.
pub(crate) fn read_run<E>(
    journal: &Journal<E>,
    loaded: &Loaded,
    stream: &StreamId,
) -> Result<ReadRun, LoadError> {
    let id: RunId = stream.name().parse().map_err(|e| bad(stream, e))?;
    let entries = journal.read(stream, 1).map_err(|e| bad(stream, e))?;
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>().map_err(|e| bad(stream, e))?;
    fold_run(journal, loaded, stream, id, entries)
}

fn fold_run<E>(
    journal: &Journal<E>,
    loaded: &Loaded,
    stream: &StreamId,
    id: RunId,
    entries: Vec<Entry>,
) -> Result<ReadRun, LoadError> {
    let entries = entries.into_iter().map(stored);
    let text = |digest: &Digest| -> Result<String, String> {
        let kept: journal::Digest =
            digest.to_string().parse().map_err(|e: journal::BadDigest| e.to_string())?;
        let text = journal.get(&kept).map_err(|e| e.to_string())?;
        String::from_utf8(text).map_err(|e| e.to_string())
    };
    runner_core::read_run(id, entries, |started| loaded.get(started, text)).map_err(|e| bad(stream, e))
}

/// Takes groups and unfinished runs into the core, as they were read when the journal was opened.
pub(crate) fn replay<E>(
    journal: &Journal<E>,
    loaded: &Loaded,
    opened: &mut journal::Opened,
    core: &mut Core,
) -> Result<(), LoadError> {
    for stream in &opened.groups {
        let group: GroupId = stream.name().parse().map_err(|e| bad(stream, e))?;
        for entry in opened.verified.remove(stream).unwrap_or_default() {
            core.replay_group(&group, entry.seq, entry.at, &entry.kind, entry.body)
                .map_err(|e| bad(stream, e))?;
        }
    }
    for stream in &opened.unfinished {
        let id: RunId = stream.name().parse().map_err(|e| bad(stream, e))?;
        let entries = opened.verified.remove(stream).unwrap_or_default();
        core.replay_run(fold_run(journal, loaded, stream, id, entries)?);
    }
    Ok(())
}

/// The stream of the run that `text` names: its id or the shortest unique end of it.
pub(crate) fn find<E>(journal: &Journal<E>, text: &str) -> Result<StreamId, schemas::Problem> {
    let unknown = |detail: String| schemas::Problem::new(schemas::Code::UnknownRun, detail);
    let wanted = text.replace('-', "").to_ascii_lowercase();
    let listed = journal.streams(journal::Which::All, usize::MAX).map_err(|e| unknown(e.to_string()))?;
    let mut fitting = listed.iter().filter(|l| {
        l.stream.kind() == StreamKind::Run
            && !wanted.is_empty()
            && l.stream.name().replace('-', "").ends_with(&wanted)
    });
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.stream.clone()),
        (Some(_), Some(_)) => Err(unknown(format!("`{text}` fits several runs"))),
        _ => Err(unknown(format!("`{text}`"))),
    }
}

/// The run that `text` names, among those that ended.
pub(crate) fn find_ended<E>(
    journal: &Journal<E>,
    loaded: &Loaded,
    text: &str,
) -> Result<RunView, schemas::Problem> {
    let stream = find(journal, text)?;
    let unknown = |e: LoadError| schemas::Problem::new(schemas::Code::UnknownRun, e.to_string());
    Ok(runner_core::show(&read_run(journal, loaded, &stream).map_err(unknown)?, true))
}

/// The runs of a group, newest first; those in memory come first.
pub(crate) fn list<E>(
    journal: &Journal<E>,
    loaded: &Loaded,
    group: Option<&GroupId>,
    limit: usize,
    mut first: Vec<RunView>,
) -> Vec<RunView> {
    let listed = journal.streams(journal::Which::Finished, limit.saturating_mul(4)).unwrap_or_default();
    for line in listed {
        if first.len() >= limit {
            break;
        }
        if first.iter().any(|run| line.stream.name() == run.id.to_string()) {
            continue;
        }
        let Ok(run) = read_run(journal, loaded, &line.stream) else { continue };
        let view = runner_core::show(&run, false);
        if group.is_none() || view.group.as_ref() == group {
            first.push(view);
        }
    }
    first.sort_by_key(|run| std::cmp::Reverse(run.id));
    first.truncate(limit);
    first
}
