//! A run's entries, and those of its group that belong to it, page by page, as lines of an export: what a
//! report is made of, and what proves it.

use std::collections::BTreeMap;

use journal::{Entry, Journal, StreamId};
use schemas::op::{DefinitionText, EvidencePage};
use schemas::{Code, Digest, Problem};
use serde_json::Value;

use crate::load;

/// A page's size: a message has at most 64 KiB, and lines grow a little on the way.
const PAGE: usize = 32 * 1024;
/// Content that does not fit into a message.
const CONTENT_MAX: usize = 56 * 1024;
/// How far before a run's first entry the detection is sought that led to it.
const BEFORE: u64 = 1000;
/// How many entries after a run's end are looked through for what it left owed or in doubt.
const AFTER: u64 = 20_000;

fn broken(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Internal, format!("the journal could not be read: {error}"))
}

/// Which entries of the group belong to a run: one unbroken part of its chain, from what led to the run to
/// its end.
struct Part {
    stream: StreamId,
    from: u64,
    upto: u64,
}

/// The page that begins at `after`, or the first. Pages: the definition and the run's entries, then the
/// group's, then what came later of the debts and doubts that the run left, and the runs that followed.
///
/// # Errors
///
/// The run is not known, the place is none, or the journal is damaged.
pub(crate) fn page<E>(journal: &Journal<E>, run: &str, after: Option<&str>) -> Result<EvidencePage, Problem> {
    let stream = load::find(journal, run)?;
    let mut words = after.unwrap_or("content 0").split(' ');
    let (what, seq) = (words.next().unwrap_or_default(), words.next().and_then(|n| n.parse::<u64>().ok()));
    match (what, seq) {
        ("content", Some(from)) => contents(journal, &stream, from),
        ("run", Some(from)) => {
            let found = journal.lines(&stream, from, u64::MAX, PAGE).map_err(broken)?;
            let next = found.next.map_or_else(|| "group 0".to_owned(), |next| format!("run {next}"));
            Ok(EvidencePage { lines: found.lines, next: Some(next) })
        }
        ("group", Some(from)) => {
            let Some(part) = part(journal, &stream)? else {
                return Ok(EvidencePage { lines: Vec::new(), next: None });
            };
            let from = from.max(part.from);
            let found = journal.lines(&part.stream, from, part.upto, PAGE).map_err(broken)?;
            let next = match found.next {
                Some(next) => Some(format!("group {next}")),
                None => Some(format!("later {}", part.upto + 1)),
            };
            Ok(EvidencePage { lines: found.lines, next })
        }
        ("later", Some(from)) => later(journal, &stream, from),
        _ => Err(Problem::new(Code::Malformed, format!("`{}` is no page", after.unwrap_or_default()))),
    }
}

/// The text of a definition.
///
/// # Errors
///
/// The journal does not have it.
pub(crate) fn definition<E>(
    journal: &Journal<E>,
    workflow: String,
    digest: Digest,
    functions: BTreeMap<String, String>,
) -> Result<DefinitionText, Problem> {
    let kept: journal::Digest = digest.to_string().parse().map_err(broken)?;
    let text = String::from_utf8(journal.get(&kept).map_err(broken)?).map_err(broken)?;
    let size = text.len() + functions.values().map(String::len).sum::<usize>();
    if size > CONTENT_MAX {
        let detail = format!("the definition has {size} bytes, a message takes {CONTENT_MAX}");
        return Err(Problem::new(Code::TooLarge, detail));
    }
    Ok(DefinitionText { workflow, digest, text, functions })
}

/// The texts that the run was started with, from the `from`th on.
fn contents<E>(journal: &Journal<E>, stream: &StreamId, from: u64) -> Result<EvidencePage, Problem> {
    let first = entry(journal, stream, 1)?.ok_or_else(|| broken("a run without entries"))?;
    let functions = first.body.get("functions").and_then(Value::as_object);
    let all = first.body.get("definition").into_iter().chain(functions.iter().flat_map(|map| map.values()));
    let mut page = EvidencePage { lines: Vec::new(), next: Some("run 1".to_owned()) };
    let mut bytes = 0;
    for (number, digest) in (0..).zip(all).skip_while(|(number, _)| *number < from) {
        if bytes >= PAGE {
            page.next = Some(format!("content {number}"));
            break;
        }
        let digest: journal::Digest = digest.as_str().unwrap_or_default().parse().map_err(broken)?;
        let line = journal.content_line(&digest).map_err(broken)?;
        if line.len() > CONTENT_MAX {
            let detail = format!("a definition of {} bytes: use `pointsman journal export`", line.len());
            return Err(Problem::new(Code::TooLarge, detail));
        }
        bytes += line.len();
        page.lines.push(line);
    }
    Ok(page)
}

fn entry<E>(journal: &Journal<E>, stream: &StreamId, seq: u64) -> Result<Option<Entry>, Problem> {
    journal.read(stream, seq).map_err(broken)?.next().transpose().map_err(broken)
}

fn part<E>(journal: &Journal<E>, run: &StreamId) -> Result<Option<Part>, Problem> {
    let Some(first) = entry(journal, run, 1)? else { return Ok(None) };
    let Some(group) = first.body.get("group").and_then(Value::as_str) else { return Ok(None) };
    let stream = StreamId::group(group).map_err(broken)?;
    let Some(head) = journal.head(&stream) else { return Ok(None) };
    // Runs of an earlier version do not say where the group stood when they began.
    let known = first.link.as_ref().filter(|link| link.stream == stream).map(|link| link.seq);
    let (mut began, mut ended, mut decision) = (None, None, None);
    for entry in journal.read(&stream, known.map_or(1, |seq| seq + 1)).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if entry.body.get("run").and_then(Value::as_str) != Some(run.name()) {
            continue;
        }
        match entry.kind.as_str() {
            "group.run-started" => {
                began = Some(entry.seq);
                decision = entry.body.get("decision").and_then(Value::as_str).map(str::to_owned);
            }
            "group.run-ended" => {
                ended = Some(entry.seq);
                break;
            }
            _ => {}
        }
    }
    let Some(began) = began else { return Ok(None) };
    let mut from = began;
    if let Some(decision) = decision {
        let start = began.saturating_sub(BEFORE).max(1);
        for entry in journal.read(&stream, start).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            if entry.seq >= began {
                break;
            }
            let same = entry.body.get("decision").and_then(Value::as_str) == Some(&decision);
            if entry.kind == "group.decision" && same {
                from = entry.seq;
                break;
            }
        }
    }
    Ok(Some(Part { stream, from, upto: ended.unwrap_or(head.seq) }))
}

/// What became later of debts and doubts, and which runs followed; whose they are is the reader's business.
fn later<E>(journal: &Journal<E>, run: &StreamId, from: u64) -> Result<EvidencePage, Problem> {
    let none = EvidencePage { lines: Vec::new(), next: None };
    let Some(part) = part(journal, run)? else { return Ok(none) };
    let from = from.max(part.upto + 1);
    let mut page = none;
    let mut bytes = 0;
    for entry in journal.read(&part.stream, from).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if entry.seq > part.upto + AFTER {
            break;
        }
        if bytes >= PAGE {
            page.next = Some(format!("later {}", entry.seq));
            break;
        }
        let told = entry.kind == "group.run-started" || entry.kind.starts_with("debt.");
        if told || entry.kind.starts_with("doubt.") {
            let found = journal.lines(&part.stream, entry.seq, entry.seq, PAGE).map_err(broken)?;
            bytes += found.lines.iter().map(String::len).sum::<usize>();
            page.lines.extend(found.lines);
        }
    }
    Ok(page)
}
