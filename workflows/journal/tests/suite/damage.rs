//! Damage is found, the rest is read, and there is a way out.

use std::fs;
use std::path::Path;

use chrono::{TimeZone, Utc};
use journal::{Damage, Found, OpenError, ReadError, StreamId, open_read_only};

use crate::common::{self, batch, entry, flip_byte, group, open_plain, options, run};

/// A finished run, an unfinished one with a long body, and a group that links to both.
fn fill(dir: &Path) {
    let (journal, _) = open_plain(dir).unwrap();
    for seq in 1..=4 {
        let mut long = entry(&run(2), seq);
        if seq == 3 {
            long.kind = "a.kind.that.nobody.knows".to_owned();
            long.body.insert("long".into(), "é".repeat(50_000).into());
        }
        let mut linked = entry(&group("cfg"), seq);
        linked.link = Some(run(if seq % 2 == 0 { 1 } else { 2 }));
        journal.submit(batch(vec![entry(&run(1), seq), long, linked], ())).unwrap();
    }
    let mut end = batch(vec![], ());
    end.ended = vec![run(1)];
    journal.submit(end).unwrap();
    journal.put(&[0xff, 0, 1]).unwrap();
    journal.close();
}

fn exported(dir: &Path) -> String {
    let mut out = Vec::new();
    open_read_only(dir).unwrap().export(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_flipped_byte_stops_the_open_and_the_rest_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let whole = exported(dir.path());
    flip_byte(dir.path(), &run(2), 2);
    let error = open_plain(dir.path()).err().unwrap();
    let OpenError::Broken { stream, seq, why } = &error else { panic!("{error}") };
    assert_eq!((stream, *seq, why), (&run(2), 2, &Damage::Checksum));
    assert!(error.to_string().contains("export what is readable"));

    let journal = open_read_only(dir.path()).unwrap();
    let verified = journal.verify().unwrap();
    assert_eq!(verified.damages, vec![Found::Entry { stream: run(2), seq: 2, why: Damage::Checksum }]);
    assert_eq!((verified.streams, verified.entries, verified.contents), (3, 11, 2));
    let read: Vec<_> = journal.read(&run(2), 1).unwrap().collect();
    assert!(matches!(read[..], [Ok(_), Err(ReadError::Broken { seq: 2, .. })]));
    drop(journal);
    let partial = exported(dir.path());
    assert_eq!(partial.lines().count(), whole.lines().count());
    assert!(partial.contains(r#"{"damaged":{"stream":"run/00000002-"#), "{partial}");
    assert!(partial.ends_with("{\"end\":{\"entries\":11,\"contents\":2,\"damaged\":1}}\n"), "{partial}");
    // The copy is gone, and the store was not changed.
    assert!(
        fs::read_dir(dir.path()).unwrap().all(|f| !f
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("read-only"))
    );
    assert!(matches!(open_plain(dir.path()).err(), Some(OpenError::Broken { .. })));
}

#[test]
fn damage_of_a_finished_run_is_found_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    flip_byte(dir.path(), &run(1), 4);
    let (journal, _) = open_plain(dir.path()).unwrap();
    assert!(matches!(journal.read(&run(1), 1).unwrap().last(), Some(Err(ReadError::Broken { seq: 4, .. }))));
    assert!(journal.verify().unwrap().damages.contains(&Found::Entry {
        stream: run(1),
        seq: 4,
        why: Damage::Checksum
    }));
}

/// Rewrites an entry with a right checksum and other content: only the chain can tell.
fn forge(dir: &Path, stream: &StreamId, seq: u64) {
    common::with_store(dir, |db| {
        let key = common::key(stream, seq);
        let value = db.get(&key).unwrap().unwrap();
        let text = String::from_utf8(value[32..].to_vec()).unwrap().replace("\"attempt\":1", "\"attempt\":2");
        let forged = [journal::Digest::of(text.as_bytes()).as_bytes().as_slice(), text.as_bytes()].concat();
        assert_ne!(forged, value.to_vec());
        db.insert(key, forged).unwrap();
    });
}

#[test]
fn a_forged_entry_breaks_the_chain_after_it() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    forge(dir.path(), &run(2), 2);
    let error = open_plain(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Broken { seq: 3, why: Damage::Chain, .. }), "{error}");
}

#[test]
fn a_read_from_the_middle_is_chained_to_the_entry_before() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    forge(dir.path(), &run(1), 2);
    let (journal, _) = open_plain(dir.path()).unwrap();
    let read = |from| journal.read(&run(1), from).unwrap().collect::<Vec<_>>();
    assert!(matches!(read(3)[..], [Err(ReadError::Broken { seq: 3, why: Damage::Chain, .. })]));
    assert!(matches!(read(4)[..], [Ok(_)]));
    assert!(read(5).is_empty());
}

#[test]
fn a_forged_last_entry_is_known_by_the_links_to_it() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    forge(dir.path(), &run(1), 4);
    let verified = open_read_only(dir.path()).unwrap().verify().unwrap();
    let link = Found::Link { stream: group("cfg"), seq: 4, other: run(1) };
    assert_eq!(verified.damages, vec![link, Found::Index { stream: run(1) }]);
}

#[test]
fn a_missing_or_misplaced_entry_is_found() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    common::with_store(dir.path(), |db| {
        let other = db.get(common::key(&run(1), 2)).unwrap().unwrap();
        db.insert(common::key(&run(2), 2), other).unwrap();
    });
    let error = open_plain(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Broken { seq: 2, why: Damage::Misplaced { .. }, .. }), "{error}");
    common::with_store(dir.path(), |db| db.remove(common::key(&run(2), 1)).unwrap());
    let error = open_plain(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Broken { seq: 1, why: Damage::Missing, .. }), "{error}");
}

#[test]
fn a_lost_body_is_found() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    fs::remove_dir_all(dir.path().join("beside")).unwrap();
    let error = open_plain(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Broken { seq: 3, why: Damage::Beside { .. }, .. }), "{error}");
}

#[test]
fn a_damaged_snapshot_is_rebuilt_and_noted() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    drop(open_plain(dir.path()).unwrap());
    let before = exported(dir.path());
    let mut damaged = 0;
    for file in fs::read_dir(dir.path().join("store")).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    let (journal, opened) = open_plain(dir.path()).unwrap();
    let recovered = opened.recovered.unwrap();
    assert_eq!(recovered.moved.len(), damaged);
    assert!(recovered.moved.iter().all(|path| path.exists()));
    assert!(journal.verify().unwrap().damages.is_empty());
    journal.close();
    assert_eq!(exported(dir.path()), before);
}

#[test]
fn an_export_makes_the_same_journal_again() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("a"));
    let text = exported(&dir.path().join("a"));
    assert!(text.contains("a.kind.that.nobody.knows") && text.contains("\"hex\":\"ff0001\""));
    let at = Utc.timestamp_opt(1_900_000_000, 0).unwrap();
    let there = dir.path().join("b");
    let done = journal::import(&there, at, text.as_bytes()).unwrap();
    assert_eq!((done.entries, done.contents), (12, 2));
    assert_eq!(exported(&there), text);
    let (journal, opened) = open_plain(&there).unwrap();
    assert_eq!((opened.imported, opened.unfinished), (Some(at), vec![run(2)]));
    assert!(journal.verify().unwrap().damages.is_empty());
    journal.submit(batch(vec![entry(&run(2), 5)], ())).unwrap();
    journal.close();
    assert!(matches!(journal::import(&there, at, text.as_bytes()), Err(journal::ImportError::NotEmpty(_))));
    // Cut short, tampered with, or out of order: nothing is made.
    let cut = text.rsplit_once("{\"end\"").unwrap().0.to_owned();
    let tampered = text.replacen("\"attempt\":1", "\"attempt\":9", 1);
    let mut lines: Vec<_> = text.lines().collect();
    let last = lines.len();
    lines.swap(last - 3, last - 4);
    for bad in [cut, tampered, lines.join("\n")] {
        assert_ne!(bad, text);
        let nowhere = dir.path().join("c");
        journal::import(&nowhere, at, bad.as_bytes()).unwrap_err();
        assert!(!nowhere.exists());
    }
}

#[test]
fn read_only_needs_a_journal_that_is_there_and_free() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(open_read_only(dir.path()).err(), Some(OpenError::Io { .. })));
    let (_journal, _) = journal::open::<()>(dir.path(), options(), |_| ()).unwrap();
    assert!(matches!(open_read_only(dir.path()).err(), Some(OpenError::Locked { .. })));
}
