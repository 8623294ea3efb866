//! What was on disk, and since when: a written thing counts from the return of the first sync of its file that
//! was entered after the write had returned.

use std::collections::BTreeMap;

use schemas::{Attempt, Key, RunId};
use serde_json::Value;

use super::strace::Call;

/// Since when a line or entry was written, and since when it was on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) written: usize,
    pub(crate) durable: Option<usize>,
}

/// The syncs of one file, in order.
struct Syncs<'a>(Vec<&'a Call>);

impl Syncs<'_> {
    fn of<'a>(calls: &'a [Call], file: &str) -> Syncs<'a> {
        Syncs(calls.iter().filter(|call| call.is_sync() && same(&call.file, file)).collect())
    }

    fn since(&self, write: &Call) -> Since {
        let durable = self.0.iter().find(|sync| sync.begin > write.end).map(|sync| sync.end);
        Since { written: write.end, durable }
    }
}

/// A ledger that is written anew has another name until it is in place.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches(".new") == other.trim_end_matches(".new")
}

/// Of what stands somewhere several times, the first time counts.
fn note<K: Ord>(found: &mut BTreeMap<K, Since>, key: K, since: Since) {
    let earlier = found.entry(key).or_insert(since);
    earlier.written = earlier.written.min(since.written);
    earlier.durable = match (earlier.durable, since.durable) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}

/// The runner's journal, as the kernel saw it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// By stream and number.
    pub(crate) entries: BTreeMap<(String, u64), Since>,
    /// The intent of each sending.
    pub(crate) sendings: BTreeMap<(Key, Attempt), Since>,
    /// What began an epoch: a run or an adoption, in the group's stream.
    pub(crate) epochs: BTreeMap<RunId, Since>,
    /// Answers to persons, as they were recorded.
    pub(crate) answers: Vec<(Value, Since)>,
}

impl Journal {
    pub(crate) fn of(calls: &[Call]) -> Journal {
        let mut journal = Journal::default();
        let writes: Vec<&Call> =
            calls.iter().filter(|c| c.file.ends_with("/store/db") && !c.is_sync()).collect();
        let Some(file) = writes.first().map(|call| call.file.clone()) else { return journal };
        let syncs = Syncs::of(calls, &file);
        for write in writes {
            let since = syncs.since(write);
            values(&write.bytes, b"{\"v\":1,\"stream\":\"").for_each(|entry| journal.entry(&entry, since));
        }
        journal
    }

    fn entry(&mut self, entry: &Value, since: Since) {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let (stream, kind) = (text("stream"), text("kind"));
        let Some(seq) = entry["seq"].as_u64() else { return };
        note(&mut self.entries, (stream.to_owned(), seq), since);
        let run: Option<RunId> = stream.strip_prefix("run/").and_then(|id| id.parse().ok());
        match (kind, run) {
            ("call.intended" | "call.sent", Some(run)) => {
                let Ok(position) = text("step").parse() else { return };
                let attempt = entry["attempt"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
                note(&mut self.sendings, (Key { run, position }, Attempt(attempt)), since);
            }
            ("group.run-started" | "group.adopted", None) => {
                let Ok(run) = text("run").parse() else { return };
                note(&mut self.epochs, run, since);
            }
            ("op.answered", None) => self.answers.push((entry["reply"].clone(), since)),
            _ => {}
        }
    }
}

/// A service's ledger, and the world that its memory drivers act on.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) started: BTreeMap<(Key, Attempt), Since>,
    pub(crate) ended: BTreeMap<(Key, Attempt), Since>,
    pub(crate) void: BTreeMap<(Key, Attempt), Since>,
    /// By address, run and epoch. A line counts once: a repeated claim follows from the first.
    pub(crate) claimed: BTreeMap<(String, RunId, u64), Since>,
    /// By run and epoch.
    pub(crate) adopted: BTreeMap<(RunId, u64), Since>,
    /// Effects, and where the write began that shows each first.
    pub(crate) effects: BTreeMap<(Key, Attempt), usize>,
}

impl Ledger {
    pub(crate) fn of(calls: &[Call]) -> Ledger {
        let mut ledger = Ledger::default();
        let writes = calls.iter().filter(|call| !call.is_sync() && !call.is_socket());
        for write in writes {
            if write.file.trim_end_matches(".new").ends_with(".ledger") {
                let since = Syncs::of(calls, &write.file).since(write);
                values(&write.bytes, b"{\"kind\":\"").for_each(|line| ledger.line(&line, since));
            } else if write.file.contains("/rehearsal") {
                let world = serde_json::from_slice(&write.bytes).unwrap_or(Value::Null);
                for effect in world["effects"].as_array().into_iter().flatten() {
                    if let Some(key) = key(effect) {
                        ledger.effects.entry(key).or_insert(write.begin);
                    }
                }
            }
        }
        ledger
    }

    fn line(&mut self, line: &Value, since: Since) {
        let run = || line["run"].as_str()?.parse::<RunId>().ok();
        let epoch = line["epoch"].as_u64().unwrap_or_default();
        match line["kind"].as_str().unwrap_or_default() {
            "claimed" => {
                let address: Option<schemas::Address> = serde_json::from_value(line["address"].clone()).ok();
                let (Some(address), Some(run)) = (address, run()) else { return };
                note(&mut self.claimed, (address.to_string(), run, epoch), since);
            }
            "adopted" => {
                let Some(run) = run() else { return };
                note(&mut self.adopted, (run, epoch), since);
            }
            kind => {
                let lines = match kind {
                    "started" => &mut self.started,
                    "ended" => &mut self.ended,
                    "void" => &mut self.void,
                    _ => return,
                };
                if let Some(key) = key(line) {
                    note(lines, key, since);
                }
            }
        }
    }
}

fn key(value: &Value) -> Option<(Key, Attempt)> {
    let attempt = value["attempt"].as_u64().and_then(|n| u32::try_from(n).ok())?;
    Some((value["key"].as_str()?.parse().ok()?, Attempt(attempt)))
}

/// Every whole JSON value in `bytes` that begins so.
fn values<'a>(bytes: &'a [u8], start: &'a [u8]) -> impl Iterator<Item = Value> + 'a {
    let at = bytes.windows(start.len()).enumerate().filter(move |(_, part)| *part == start).map(|(at, _)| at);
    at.filter_map(|at| serde_json::Deserializer::from_slice(&bytes[at..]).into_iter().next()?.ok())
}
