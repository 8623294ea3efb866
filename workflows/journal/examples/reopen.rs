//! How long an open takes with many finished runs kept, and what it costs in memory.
//!
//!     cargo run --release -p journal --example reopen -- [folder] [runs] [entries each]
//!
//! Fills a journal with finished runs and two unfinished ones, is ended by SIGABRT, and measures
//! the opens that follow: the first reads the log, the second a snapshot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Instant;

use journal::{Batch, Durable, NewEntry, Options, StreamId, Which};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let dir = PathBuf::from(words.first().cloned().unwrap_or_else(|| "target/reopen".to_owned()));
    let number = |at: usize, default| words.get(at).map_or(Ok(default), |word| word.parse::<u64>());
    let (runs, entries) = (number(1, 10_000)?, number(2, 20)?);
    match words.get(3).map(String::as_str) {
        Some("fill") => return fill(&dir, runs, entries),
        Some("open") => return open(&dir),
        _ => {}
    }
    let dir = dir.join(format!("reopen-{}", std::process::id()));
    let again = |what: &str| -> Result<(), Failure> {
        let mut me = Command::new(std::env::current_exe()?);
        me.arg(&dir).arg(runs.to_string()).arg(entries.to_string()).arg(what).status()?;
        Ok(())
    };
    println!("{runs} finished runs of {entries} entries");
    again("fill")?;
    for _ in 0..3 {
        again("open")?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn fill(dir: &Path, runs: u64, entries: u64) -> Result<(), Failure> {
    let (tx, rx) = channel();
    let sink = move |last: Durable<bool>| {
        if last.into_inner() {
            tx.send(()).expect("the filler waits for it");
        }
    };
    let (journal, _) = journal::open(dir, Options::default(), sink)?;
    for run in 0..runs + 2 {
        let stream = StreamId::run(format!("{run:08}-0000-7000-8000-000000000000"))?;
        let entry = |seq| {
            let mut body = serde_json::Map::new();
            body.insert("position".into(), "/do/2/each[4]/do/0/act#1".into());
            body.insert("arguments".into(), "x".repeat(300).into());
            NewEntry {
                stream: stream.clone(),
                seq,
                at: chrono::Utc::now(),
                kind: "step".into(),
                body,
                link: None,
            }
        };
        let ended = if run < runs { vec![stream.clone()] } else { vec![] };
        journal.submit(Batch { entries: (1..=entries).map(entry).collect(), effects: run > runs, ended })?;
    }
    rx.recv()?;
    println!("{:.1} MB on disk", journal.store_bytes()? as f64 / 1e6);
    std::process::abort();
}

fn open(dir: &Path) -> Result<(), Failure> {
    let start = Instant::now();
    let (journal, opened) = journal::open::<()>(dir, Options::default(), |_| ())?;
    let took = start.elapsed();
    assert_eq!(opened.unfinished.len(), 2);
    let start = Instant::now();
    let listed = journal.streams(Which::Finished, 20)?.len();
    let list = start.elapsed();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    println!("open {took:.1?}, list of {listed} {list:.1?}, {resident}");
    let start = Instant::now();
    journal.close();
    println!("close {:.1?}", start.elapsed());
    Ok(())
}
