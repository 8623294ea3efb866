//! Write, read, reopen.

use std::sync::mpsc::channel;

use crate::common::{self, batch, entry, group, open_plain, options, run};
use journal::{CHECKPOINT, OpenError, ReadError, Which};

#[test]
fn entries_survive_a_reopen_with_their_chain_and_link() {
    let dir = tempfile::tempdir().unwrap();
    let (tx, rx) = channel();
    let (journal, opened) = journal::open(dir.path(), options(), move |e: journal::Durable<u32>| {
        tx.send(e.into_inner()).unwrap()
    })
    .unwrap();
    assert!(opened.unfinished.is_empty() && opened.groups.is_empty());
    let mut linked = entry(&group("cfg"), 1);
    linked.link = Some(run(1));
    journal.submit(batch(vec![entry(&run(1), 1), entry(&run(1), 2), linked], 7)).unwrap();
    journal.submit(batch(vec![], 8)).unwrap();
    assert_eq!((rx.recv().unwrap(), rx.recv().unwrap()), (7, 8));
    let head = journal.head(&run(1)).unwrap();
    assert_eq!(head.seq, 2);
    journal.close();

    let (journal, opened) = open_plain(dir.path()).unwrap();
    assert_eq!((opened.unfinished, opened.groups), (vec![run(1)], vec![group("cfg")]));
    let read: Vec<_> = journal.read(&run(1), 1).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(read[0].body, entry(&run(1), 1).body);
    assert_eq!((read[1].prev, read[1].hash), (read[0].hash, head.hash));
    let later: Vec<_> = journal.read(&run(1), 2).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(later, read[1..]);
    let link = journal.read(&group("cfg"), 1).unwrap().next().unwrap().unwrap().link.unwrap();
    assert_eq!((link.stream, link.seq, link.hash), (run(1), 2, head.hash));
    assert!(matches!(journal.read(&run(2), 1).err(), Some(ReadError::Unknown(_))));
}

#[test]
fn a_finished_run_is_listed_and_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_plain(dir.path()).unwrap();
    for n in 1..=5 {
        journal.submit(batch(vec![entry(&run(n), 1)], ())).unwrap();
    }
    let mut end = batch(vec![entry(&run(2), 2)], ());
    end.ended = vec![run(2), run(3)];
    journal.submit(end).unwrap();
    journal.close();

    let (journal, opened) = open_plain(dir.path()).unwrap();
    assert_eq!(opened.unfinished, vec![run(1), run(4), run(5)]);
    let names = |which, limit| -> Vec<_> {
        journal.streams(which, limit).unwrap().into_iter().map(|l| (l.stream, l.head.seq)).collect()
    };
    assert_eq!(names(Which::Finished, 9), vec![(run(3), 1), (run(2), 2)]);
    assert_eq!(names(Which::Unfinished, 2), vec![(run(5), 1), (run(4), 1)]);
    assert_eq!(names(Which::All, 3), vec![(run(5), 1), (run(4), 1), (run(3), 1)]);
    let listed = journal.streams(Which::Finished, 9).unwrap();
    assert_eq!(listed[1].ended, Some(entry(&run(2), 2).at));
    assert_eq!(listed[0].ended, Some(entry(&run(3), 1).at));
    assert_eq!(journal.read(&run(2), 1).unwrap().count(), 2);
    // A late entry is recorded; the run stays finished.
    journal.submit(batch(vec![entry(&run(2), 3)], ())).unwrap();
    journal.close();
    let (journal, opened) = open_plain(dir.path()).unwrap();
    assert_eq!(opened.unfinished.len(), 3);
    assert_eq!(journal.head(&run(2)).unwrap().seq, 3);
    assert!(journal.read(&run(2), 1).unwrap().all(|e| e.is_ok()));
}

#[test]
fn a_second_open_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_journal, _) = open_plain(dir.path()).unwrap();
    let error = open_plain(dir.path()).err().unwrap();
    assert!(
        matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    assert!(error.to_string().contains("stop that runner first"));
}

#[test]
fn a_group_is_verified_from_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_plain(dir.path()).unwrap();
    for seq in 1..=6 {
        let mut entry = entry(&group("cfg"), seq);
        if seq == 4 {
            entry.kind = CHECKPOINT.to_owned();
        }
        journal.submit(batch(vec![entry], ())).unwrap();
    }
    journal.close();
    common::flip_byte(dir.path(), &group("cfg"), 2);
    let (journal, _) = open_plain(dir.path()).unwrap();
    assert!(journal.read(&group("cfg"), 4).unwrap().all(|e| e.is_ok()));
    assert!(matches!(
        journal.read(&group("cfg"), 1).unwrap().last(),
        Some(Err(ReadError::Broken { seq: 2, .. }))
    ));
    journal.close();
    common::flip_byte(dir.path(), &group("cfg"), 5);
    let error = open_plain(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Broken { seq: 5, .. }), "{error}");
}

/// sled never syncs its blob files, so no value may become one; and a body of any length comes back.
#[test]
fn bodies_of_all_lengths_come_back_and_none_becomes_a_blob() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_plain(dir.path()).unwrap();
    let lengths: Vec<usize> = (3700..4100)
        .step_by(3)
        .chain([0, 1, 100_000, 2_000_000])
        .chain(std::iter::repeat_n(3700, 300))
        .collect();
    let long = |seq: usize| {
        let mut long = entry(&run(1), seq as u64);
        long.body.insert("long".into(), "z".repeat(lengths[seq - 1]).into());
        long
    };
    for seqs in (1..=lengths.len()).collect::<Vec<_>>().chunks(40) {
        journal.submit(batch(seqs.iter().map(|seq| long(*seq)).collect(), ())).unwrap();
    }
    journal.close();
    let (journal, _) = open_plain(dir.path()).unwrap();
    let found: Vec<_> = journal.read(&run(1), 1).unwrap().map(|entry| entry.unwrap().body).collect();
    assert_eq!(found, (1..=lengths.len()).map(|seq| long(seq).body).collect::<Vec<_>>());
    assert_eq!(std::fs::read_dir(dir.path().join("store/blobs")).map_or(0, |blobs| blobs.count()), 0);
    let beside: usize = std::fs::read_dir(dir.path().join("beside")).unwrap().count();
    assert!((40..130).contains(&beside), "{beside}");
}
