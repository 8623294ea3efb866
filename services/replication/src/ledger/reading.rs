//! Follows what a slot says, and tells what its receiver never applied: the orphans. The ledger lists them, and `observe`
//! has their number.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres::Lsn;

use super::LedgerError;
use super::pgoutput::{self, Cell, Message, Old, Relation};

/// A transaction under way.
pub(super) struct Transaction {
    pub(super) commit: Lsn,
    pub(super) at: DateTime<Utc>,
    pub(super) xid: u32,
    /// Not applied at the receiver.
    orphan: bool,
    pub(super) origin: Option<String>,
    rows: u64,
}

/// A row that was changed and never applied.
pub(super) struct Row<'a> {
    pub(super) transaction: &'a Transaction,
    pub(super) relation: &'a Relation,
    pub(super) what: &'static str,
    pub(super) old: Option<&'a Old>,
    pub(super) new: Option<&'a [Cell]>,
}

/// How many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Those with rows of the application.
    pub(crate) transactions: u64,
    pub(crate) rows: u64,
}

/// What was read so far.
pub(crate) struct Reading {
    applied: Lsn,
    count: Count,
    relations: BTreeMap<u32, Relation>,
    transaction: Option<Transaction>,
}

impl Reading {
    /// From the beginning of the slot; what is committed after `applied`, up to where the receiver has applied, counts.
    pub(crate) fn beyond(applied: Lsn) -> Self {
        let count = Count { transactions: 0, rows: 0 };
        Reading { applied, count, relations: BTreeMap::new(), transaction: None }
    }

    pub(super) fn applied(&self) -> Lsn {
        self.applied
    }

    /// Takes the next message of the slot, for the count alone.
    pub(crate) fn count(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        self.take(bytes, |_| Ok(()))
    }

    /// Takes the next message of the slot, and hands over the row that it brings, if that never came.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut keep: impl FnMut(&Row<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        match pgoutput::read(bytes)? {
            Message::Begin { commit, at, xid } => {
                if self.transaction.is_some() {
                    return Err(LedgerError::Order(format!("transaction {xid} begins within another")));
                }
                // `applied` is where a commit record ends: one that begins there or later is not applied.
                let orphan = commit >= self.applied;
                self.transaction = Some(Transaction { commit, at, xid, orphan, origin: None, rows: 0 });
            }
            Message::Commit { end } => {
                let ended = self.transaction.take();
                let ended =
                    ended.ok_or_else(|| LedgerError::Order("a commit without its beginning".into()))?;
                if ended.orphan != (end > self.applied) {
                    return Err(LedgerError::Order(format!(
                        "the commit from {} to {end} goes across {}: that is no end of a commit",
                        ended.commit, self.applied
                    )));
                }
                self.count.transactions += u64::from(ended.rows > 0);
            }
            Message::Origin(name) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.origin = Some(name);
                }
            }
            Message::Relation(relation) => drop(self.relations.insert(relation.id, relation)),
            Message::Insert { relation, new } => self.row(relation, "insert", None, Some(&new), &mut keep)?,
            Message::Update { relation, old, new } => {
                self.row(relation, "update", old.as_ref(), Some(&new), &mut keep)?
            }
            Message::Delete { relation, old } => {
                self.row(relation, "delete", Some(&old), None, &mut keep)?;
            }
            Message::Truncate { relations } => {
                for relation in relations {
                    self.row(relation, "truncate", None, None, &mut keep)?;
                }
            }
            Message::Other => {}
        }
        Ok(())
    }

    fn row(
        &mut self,
        id: u32,
        what: &'static str,
        old: Option<&Old>,
        new: Option<&[Cell]>,
        keep: &mut impl FnMut(&Row<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let Some(transaction) = &mut self.transaction else {
            return Err(LedgerError::Order("a row outside of a transaction".into()));
        };
        let Some(relation) = self.relations.get(&id) else {
            return Err(LedgerError::Order(format!("a row of relation {id}, which was not described")));
        };
        // Our own marks are no data of anybody's.
        if !transaction.orphan || relation.schema == "pointsman" {
            return Ok(());
        }
        transaction.rows += 1;
        self.count.rows += 1;
        keep(&Row { transaction, relation, what, old, new })
    }

    /// What was found, once all was taken.
    pub(crate) fn counted(&self) -> Result<Count, LedgerError> {
        match &self.transaction {
            Some(open) => Err(LedgerError::Order(format!("transaction {} has no end", open.xid))),
            None => Ok(self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use postgres::Lsn;

    use super::{Count, Reading};
    use crate::ledger::LedgerError;

    fn begin(commit: u64) -> Vec<u8> {
        [b"B".as_slice(), &commit.to_be_bytes(), &0_u64.to_be_bytes(), &7_u32.to_be_bytes()].concat()
    }

    fn commit(end: u64) -> Vec<u8> {
        let zero = 0_u64.to_be_bytes();
        [b"C\0".as_slice(), &zero, &end.to_be_bytes(), &zero].concat()
    }

    /// With one column, which is its key.
    fn table(id: u32, schema: &str) -> Vec<u8> {
        let name = format!("{schema}\0t\0");
        let column = b"d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff";
        [b"R".as_slice(), &id.to_be_bytes(), name.as_bytes(), column].concat()
    }

    fn insert(id: u32) -> Vec<u8> {
        [b"I".as_slice(), &id.to_be_bytes(), b"N\0\x01t\0\0\0\x011"].concat()
    }

    #[test]
    fn what_the_receiver_has_and_our_own_marks_do_not_count() {
        let mut reading = Reading::beyond(Lsn(200));
        let messages = [
            // Applied: its commit ends where the receiver is.
            begin(150),
            table(1, "public"),
            insert(1),
            commit(200),
            // Never came: two rows, a mark beside a row, and a mark alone.
            begin(300),
            insert(1),
            insert(1),
            commit(310),
            begin(320),
            table(2, "pointsman"),
            insert(2),
            insert(1),
            commit(330),
            begin(340),
            insert(2),
            commit(350),
        ];
        for message in &messages {
            reading.count(message).unwrap();
        }
        assert_eq!(reading.counted().unwrap(), Count { transactions: 2, rows: 3 });
        reading.count(&begin(360)).unwrap();
        assert!(matches!(reading.counted(), Err(LedgerError::Order(_))));
    }

    #[test]
    fn a_position_in_the_middle_of_a_commit_is_refused() {
        let mut reading = Reading::beyond(Lsn(200));
        reading.count(&begin(150)).unwrap();
        let across = reading.count(&commit(210));
        assert!(matches!(&across, Err(LedgerError::Order(why)) if why.contains("no end of a commit")));
    }
}
