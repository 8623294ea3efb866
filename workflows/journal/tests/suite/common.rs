//! What the tests share.

use std::path::Path;

use chrono::{TimeZone, Utc};
use journal::{Batch, Journal, NewEntry, OpenError, Opened, Options, StreamId};
use serde_json::json;

pub(crate) fn run(n: u64) -> StreamId {
    StreamId::run(format!("{n:08}-0000-7000-8000-000000000000")).unwrap()
}

pub(crate) fn group(name: &str) -> StreamId {
    StreamId::group(name).unwrap()
}

/// An entry whose content and time follow from its place.
pub(crate) fn entry(stream: &StreamId, seq: u64) -> NewEntry {
    let number: i64 = stream.name().get(..8).and_then(|n| n.parse().ok()).unwrap_or(0);
    NewEntry {
        stream: stream.clone(),
        seq,
        at: Utc.timestamp_opt(1_800_000_000 + number * 1000 + seq.cast_signed(), 123_456_789).unwrap(),
        kind: "step.intent".to_owned(),
        body: json!({ "position": format!("/do/{seq}"), "attempt": 1, "text": "äöü \"x\"\n" })
            .as_object()
            .unwrap()
            .clone(),
        link: None,
    }
}

pub(crate) fn batch<E>(entries: Vec<NewEntry>, effects: E) -> Batch<E> {
    Batch { entries, effects, ended: Vec::new() }
}

pub(crate) fn options() -> Options {
    Options { reserve_bytes: 0, ..Options::default() }
}

pub(crate) fn open_plain(dir: &Path) -> Result<(Journal<()>, Opened), OpenError> {
    journal::open(dir, options(), |_| ())
}

/// Opens the store under the journal, while the journal is closed.
pub(crate) fn with_store<T>(dir: &Path, act: impl FnOnce(&sled::Db) -> T) -> T {
    for _ in 0..500 {
        match sled::Config::default().path(dir.join("store")).flush_every_ms(None).open() {
            Ok(db) => {
                let result = act(&db);
                db.flush().unwrap();
                return result;
            }
            Err(e) if e.to_string().contains("lock") => {
                std::thread::sleep(std::time::Duration::from_millis(10))
            }
            Err(e) => panic!("{e}"),
        }
    }
    panic!("the store stays locked");
}

pub(crate) fn key(stream: &StreamId, seq: u64) -> Vec<u8> {
    [b"e/", stream.as_str().as_bytes(), b"\0", &seq.to_be_bytes()].concat()
}

/// Changes one byte in the JSON of an entry.
pub(crate) fn flip_byte(dir: &Path, stream: &StreamId, seq: u64) {
    with_store(dir, |db| {
        let key = key(stream, seq);
        let mut value = db.get(&key).unwrap().unwrap().to_vec();
        let last = value.len() - 5;
        value[last] ^= 1;
        db.insert(key, value).unwrap();
    });
}

/// Waits until something holds, for at most ten seconds.
pub(crate) fn wait(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it never came to hold");
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}
