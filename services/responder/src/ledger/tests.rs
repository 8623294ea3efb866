#![expect(clippy::unwrap_used, reason = "tests")]

use super::{LedgerError, LedgerFile};
use schemas::{Epoch, RunId};
use service_core::Record;
use uuid::Uuid;

fn record(n: u128) -> Record {
    let (group, run) = ("cfg".parse().unwrap(), RunId(Uuid::from_u128(n)));
    Record::Adopted { group, epoch: Epoch(1), run }
}

#[test]
fn what_was_written_is_read_and_a_torn_line_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, none) = LedgerFile::open(dir.path(), "a").unwrap();
    assert!(none.is_empty());
    let id = ledger.id();
    ledger.append(&[&record(1), &record(2)], true).unwrap();
    assert!(matches!(LedgerFile::open(dir.path(), "a"), Err(LedgerError::Locked(_))));
    drop(ledger);
    let path = dir.path().join("a.ledger");
    let whole = std::fs::read(&path).unwrap();
    let second = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    for cut in second..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (ledger, read) = LedgerFile::open(dir.path(), "a").unwrap();
        assert_eq!(ledger.id(), id);
        assert!(read.len() < 2, "cut at {cut}");
        assert_eq!(read.as_slice(), &[record(1), record(2)][..read.len()]);
    }
    std::fs::write(&path, &whole).unwrap();
    let (mut ledger, read) = LedgerFile::open(dir.path(), "a").unwrap();
    assert_eq!(read, [record(1), record(2)]);
    ledger.rewrite(&[record(3)]).unwrap();
    ledger.append(&[&record(4)], true).unwrap();
    drop(ledger);
    let (ledger, read) = LedgerFile::open(dir.path(), "a").unwrap();
    assert_eq!((ledger.id(), read), (id, vec![record(3), record(4)]));
}

#[test]
fn a_changed_line_stops_the_open() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = LedgerFile::open(dir.path(), "a").unwrap();
    ledger.append(&[&record(1), &record(2)], true).unwrap();
    drop(ledger);
    let path = dir.path().join("a.ledger");
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.iter().position(|b| *b == b'\n').unwrap() + 30;
    bytes[second] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let Err(LedgerError::Damaged { line: 2, .. }) = LedgerFile::open(dir.path(), "a") else {
        panic!("a changed line was read");
    };
}

#[test]
fn a_lost_ledger_has_a_new_id() {
    let dir = tempfile::tempdir().unwrap();
    let first = LedgerFile::open(dir.path(), "a").unwrap().0.id();
    std::fs::remove_file(dir.path().join("a.ledger")).unwrap();
    assert_ne!(LedgerFile::open(dir.path(), "a").unwrap().0.id(), first);
}
