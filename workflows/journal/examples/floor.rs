//! How fast the disk is, and how fast the journal is on it, in the same run.
//!
//!     cargo run --release -p journal --example floor -- [folder] [count]
//!
//! The floor is one append of as many bytes as an entry has, and fdatasync. The figures are noisy:
//! compare only those of one run.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use journal::{Batch, Durable, NewEntry, Options, StreamId};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().unwrap_or_else(|| "target/floor".to_owned()));
    let count: u64 = words.next().map_or(Ok(1000), |word| word.parse())?;
    let dir = dir.join(format!("floor-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = measure(&dir, count);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &Path, count: u64) -> Result<(), Failure> {
    let before = floor(dir, count)?;
    let one = one_by_one(&dir.join("one"), count)?;
    let (floor_after, mut both) = (floor(dir, count)?, before);
    both.extend(floor_after);
    print("append + fdatasync, before and after", &mut both.clone());
    print("journal, one entry a commit", &mut one.clone());
    println!("ratio of the medians {:.2}", median(&mut one.clone()) / median(&mut both));
    for writers in [16, 64] {
        let took = group_commit(&dir.join(format!("group-{writers}")), count, writers)?;
        let rate = count as f64 / took.as_secs_f64();
        println!("journal, {writers} batches outstanding     {rate:>9.0} durable entries a second");
    }
    Ok(())
}

fn entry(stream: &StreamId, seq: u64) -> NewEntry {
    let mut body = serde_json::Map::new();
    body.insert("position".into(), "/do/2/each[4]/do/0/act#1".into());
    body.insert("arguments".into(), "x".repeat(300).into());
    NewEntry {
        stream: stream.clone(),
        seq,
        at: chrono::Utc::now(),
        kind: "step.intent".into(),
        body,
        link: None,
    }
}

fn floor(dir: &Path, count: u64) -> Result<Vec<Duration>, Failure> {
    let mut file = File::create(dir.join("floor"))?;
    let bytes = [b'x'; 600];
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn one_by_one(dir: &Path, count: u64) -> Result<Vec<Duration>, Failure> {
    let (tx, rx) = sync_channel(1);
    let sink = move |done: Durable<()>| drop(tx.send(done));
    let (journal, _) = journal::open(dir, Options::default(), sink)?;
    let stream = StreamId::run("floor")?;
    let mut times = Vec::new();
    for seq in 1..=count {
        let entries = vec![entry(&stream, seq)];
        let start = Instant::now();
        journal.submit(Batch { entries, effects: (), ended: vec![] })?;
        rx.recv()?.into_inner();
        times.push(start.elapsed());
    }
    journal.close();
    Ok(times)
}

fn group_commit(dir: &Path, count: u64, outstanding: u64) -> Result<Duration, Failure> {
    let (tx, rx) = sync_channel(count as usize + 1);
    let sink = move |done: Durable<()>| drop(tx.send(done));
    let (journal, _) = journal::open(dir, Options::default(), sink)?;
    let streams: Vec<StreamId> =
        (0..outstanding).map(|n| StreamId::run(format!("floor-{n}"))).collect::<Result<_, _>>()?;
    let start = Instant::now();
    for n in 0..count {
        if n >= outstanding {
            rx.recv()?.into_inner();
        }
        let stream = &streams[(n % outstanding) as usize];
        journal.submit(Batch {
            entries: vec![entry(stream, n / outstanding + 1)],
            effects: (),
            ended: vec![],
        })?;
    }
    for _ in 0..outstanding.min(count) {
        rx.recv()?.into_inner();
    }
    let took = start.elapsed();
    journal.close();
    Ok(took)
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what:<40} p50 {:.3} ms  p95 {:.3} ms  p99 {:.3} ms", at(0.5), at(0.95), at(0.99));
}
