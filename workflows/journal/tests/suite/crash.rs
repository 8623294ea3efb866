//! kill -9, and a log that was cut: nothing acknowledged is lost, nothing is half there.

use std::fs;
use std::path::Path;

use journal::{Journal, StreamId};

use crate::child::{Appender, Mode};
use crate::common::{batch, copy, entry, group, open_plain, options, run};

fn bodies(journal: &Journal<()>, stream: &StreamId) -> u64 {
    let Ok(entries) = journal.read(stream, 1) else { return 0 };
    let mut count = 0;
    for (found, seq) in entries.zip(1..) {
        let found = found.unwrap();
        let mut expected = entry(stream, seq);
        if let Some(long) = found.body.get("long") {
            expected.body.insert("long".into(), long.clone());
        }
        assert_eq!((found.seq, found.at, found.body), (seq, expected.at, expected.body));
        count = seq;
    }
    count
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..12_u64 {
        let mut child = Appender::start(dir.path(), 1_000_000, Mode::OneByOne, &[]);
        let enough = last + 1 + round * 7;
        while last < enough {
            last = child.ack().expect("it goes on until it is killed");
        }
        child.kill();
        // What it said between our look and its end.
        last = std::iter::from_fn(|| child.ack()).last().unwrap_or(last);
        let (journal, opened) = open_plain(dir.path()).unwrap();
        assert_eq!(opened.unfinished, vec![run(1)]);
        let found = bodies(&journal, &run(1));
        assert!(found == last || found == last + 1, "acknowledged {last}, found {found}");
        assert_eq!(bodies(&journal, &group("cfg")), found, "a batch is there wholly or not at all");
        assert!(journal.verify().unwrap().damages.is_empty());
        journal.close();
        last = found;
    }
}

/// What the disk held after each write is a journal with exactly the batches so far; and so is
/// the same with the tail of the log torn off at some byte, up to a batch that is whole.
#[test]
fn it_reopens_after_a_cut_at_each_write() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let (done, wait) = std::sync::mpsc::channel();
    let (journal, _) = journal::open(&live, options(), move |seq: journal::Durable<u64>| {
        done.send(seq.into_inner()).unwrap()
    })
    .unwrap();
    let mut sizes = Vec::new();
    for seq in 1..=12 {
        journal.submit(batch(vec![entry(&run(1), seq), entry(&group("cfg"), seq)], seq)).unwrap();
        assert_eq!(wait.recv().unwrap(), seq);
        let cut = dir.path().join(format!("cut-{seq}"));
        copy(&live, &cut);
        sizes.push(used(&cut));
    }
    for seq in 1..=12_u64 {
        let cut = dir.path().join(format!("cut-{seq}"));
        let (whole, before) = (sizes[seq as usize - 1], if seq > 1 { sizes[seq as usize - 2] } else { 0 });
        for torn in [0, 1, 7, (whole - before) / 2] {
            let torn_dir = dir.path().join(format!("torn-{seq}-{torn}"));
            copy(&cut, &torn_dir);
            tear(&torn_dir, whole - torn);
            let (journal, _) = open_plain(&torn_dir).unwrap();
            let found = (bodies(&journal, &run(1)), bodies(&journal, &group("cfg")));
            let expected = if torn == 0 { seq } else { seq - 1 };
            assert_eq!(found, (expected, expected), "write {seq}, {torn} bytes torn off");
            assert!(journal.verify().unwrap().damages.is_empty());
            journal.submit(batch(vec![entry(&run(1), expected + 1)], ())).unwrap();
            journal.close();
            assert_eq!(bodies(&open_plain(&torn_dir).unwrap().0, &run(1)), expected + 1);
        }
    }
}

/// The bytes of the log up to its last one that is not zero.
fn used(dir: &Path) -> u64 {
    let log = fs::read(dir.join("store/db")).unwrap();
    log.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}

/// Makes everything from `at` on as if it had never been written.
fn tear(dir: &Path, at: u64) {
    let file = fs::OpenOptions::new().write(true).open(dir.join("store/db")).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(at).unwrap();
    file.set_len(length).unwrap();
}
