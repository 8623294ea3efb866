//! Write, fdatasync, then the world: in this order, and one fdatasync a commit.

use std::path::Path;
use std::sync::{Arc, Mutex};

use journal::Durable;
use proptest::prelude::*;

use crate::child::{Appender, Mode};
use crate::common::{batch, copy, entry, group, open_plain, options, run};

/// What strace saw, from the child's `open` to its `done`.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Seen {
    /// A write to the store's log has returned.
    Write,
    /// fdatasync of the log has returned.
    Sync,
    /// The acknowledgement is about to be written.
    Ack,
}

fn traced(count: u64, mode: Mode) -> Vec<Seen> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("trace");
    let calls = "trace=write,pwrite64,fsync,fdatasync,sync_file_range,sync,syncfs,msync";
    let words = ["strace", "-f", "-qq", "-y", "-e", calls, "-o", out.to_str().unwrap()];
    Appender::start(&dir.path().join("journal"), count, mode, &words).finish();
    let trace = std::fs::read_to_string(&out).unwrap();
    let said =
        |text: &str| trace.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{trace}"));
    let span = trace.lines().take(said("\"done\\n\"")).skip(said("\"open\\n\"") + 1);
    span.filter_map(|line| {
        let returned = line.contains(" = ");
        if line.contains("\"ack ") {
            Some(Seen::Ack)
        } else if line.contains("fdatasync") && returned {
            assert!(line.contains("store/db>") || line.contains("resumed"), "{line}");
            assert!(line.ends_with("= 0"), "{line}");
            Some(Seen::Sync)
        } else if line.contains("pwrite64") && returned {
            Some(Seen::Write)
        } else {
            assert!(!line.contains("fsync("), "no other sync: {line}");
            None
        }
    })
    .collect()
}

#[test]
fn each_commit_is_written_synced_once_and_then_acknowledged() {
    let seen = traced(40, Mode::OneByOne);
    let commits: Vec<&[Seen]> = seen.split_inclusive(|seen| *seen == Seen::Ack).collect();
    assert_eq!(commits.len(), 40, "{seen:?}");
    for commit in commits {
        let Some((Seen::Ack, [writes @ .., Seen::Sync])) = commit.split_last() else {
            panic!("the acknowledgement does not follow the sync: {commit:?}");
        };
        assert!(!writes.is_empty() && writes.iter().all(|seen| *seen == Seen::Write), "{commit:?}");
    }
}

#[test]
fn what_waits_in_the_queue_shares_one_sync() {
    let seen = traced(100, Mode::Together);
    let count = |what| seen.iter().filter(|seen| **seen == what).count();
    assert_eq!((count(Seen::Sync), count(Seen::Ack)), (1, 100), "{seen:?}");
    let sync = seen.iter().position(|seen| *seen == Seen::Sync).unwrap();
    assert!(seen[..sync].iter().all(|seen| *seen == Seen::Write) && sync > 0, "{seen:?}");
}

/// Batches by how many entries each has for each of three streams, and at which effect to look.
fn batches() -> impl Strategy<Value = (Vec<[u8; 3]>, usize)> {
    let batch = prop_oneof![Just([0; 3]), [0..4_u8, 0..4_u8, 0..3_u8]];
    prop::collection::vec(batch, 1..25).prop_flat_map(|batches| {
        let count = batches.len();
        (Just(batches), 0..count)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn effects_come_in_order_and_after_their_entries((batches, look) in batches()) {
        let dir = tempfile::tempdir().unwrap();
        let (live, there) = (dir.path().join("live"), dir.path().join("copy"));
        let seen = Arc::<Mutex<Vec<usize>>>::default();
        let (see, from, to) = (seen.clone(), live.clone(), there.clone());
        let sink = move |effects: Durable<usize>| {
            see.lock().unwrap().push(*effects.get());
            if *effects.get() == look {
                copy(&from, &to);
            }
        };
        let (journal, _) = journal::open(&live, options(), sink).unwrap();
        let streams = [run(1), run(2), group("cfg")];
        let mut next = [1, 1, 1];
        let mut after = Vec::new();
        for (effects, counts) in batches.iter().enumerate() {
            let mut entries = Vec::new();
            for (place, count) in counts.iter().enumerate() {
                for _ in 0..*count {
                    entries.push(entry(&streams[place], next[place]));
                    next[place] += 1;
                }
            }
            journal.submit(batch(entries, effects)).unwrap();
            after.push(next);
        }
        journal.close();
        prop_assert_eq!(seen.lock().unwrap().clone(), (0..batches.len()).collect::<Vec<_>>());
        readable(&there, &streams, after[look]);
        readable(&live, &streams, next);
    }
}

/// At least the entries before `next` are there after a reopen.
fn readable(dir: &Path, streams: &[journal::StreamId; 3], next: [u64; 3]) {
    let (journal, _) = open_plain(dir).unwrap();
    for (stream, next) in streams.iter().zip(next) {
        let found = journal
            .read(stream, 1)
            .map_or(0, |entries| entries.collect::<Result<Vec<_>, _>>().unwrap().len());
        assert!(found as u64 >= next - 1, "{stream}: {found} of {}", next - 1);
    }
}
