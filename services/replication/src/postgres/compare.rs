//! Both sides beside each other: rows and order-free checksums, one table after the other.
//!
//! Nobody stops writing for it. A table is looked at in parts, by the hash of its key: what is written while one looks
//! changes few of them, and each part is decided by itself, as soon as the receiver has it as the source had it before
//! or afterwards. What is left is looked at again, some times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postgres::{Lsn, PgError, Session, identifier};
use schemas::args::{CompareOutput, Sum, TableCompared};
use serde_json::{Value, json};

use super::seen::Receiver;
use super::{PostgresReplication, precondition};

/// A table that changes while it is looked at is looked at so often.
const TRIES: u32 = 5;
/// Parts of a table that has a key; a power of 2.
const PARTS: i32 = 4096;
/// Between two looks at what the receiver has applied.
const EVERY: Duration = Duration::from_millis(50);
/// Between two tables: the load of one full read at a time, and a breath.
const BREATH: Duration = Duration::from_millis(50);
/// So long is waited for the receiver to come to where the source was.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);

const TABLES: &str = "
SELECT coalesce(jsonb_agg(format('%I.%I', schemaname, tablename) ORDER BY 1), '[]')
  FROM pg_publication_tables WHERE pubname = $1 AND schemaname <> 'pointsman'";

const KEY: &str = "
SELECT coalesce(jsonb_agg(a.attname ORDER BY a.attnum), '[]')
  FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
 WHERE i.indrelid = to_regclass($1) AND i.indisprimary";

/// The parts of a table that have rows.
type Parts = BTreeMap<String, Sum>;

/// Compares every published table. A row that changes all the time may leave its table undecided, and that is said.
pub(super) async fn compare(
    driver: &PostgresReplication,
    session: &Session,
    subscription: &str,
) -> Result<Value, PgError> {
    let seen = Receiver::see(session, subscription).await?;
    let Some(server) = &driver.peer else { return Err(precondition("no `peer` in the host's file")) };
    let there = server.look(session.left()).await?;
    let names: Vec<String> = there.json(TABLES, &[&seen.publication]).await?;
    let mut tables = BTreeMap::new();
    for name in names {
        let found = table(session, &there, subscription, &name).await?;
        tables.insert(name, found);
        tokio::time::sleep(BREATH).await;
    }
    let equal = tables.values().map(|table| table.equal).try_fold(true, |all, one| one.map(|one| all && one));
    let different = tables.values().any(|table| table.equal == Some(false));
    let equal = if different { Some(false) } else { equal };
    Ok(json!(CompareOutput { equal, tables }))
}

async fn table(
    session: &Session,
    there: &Session,
    subscription: &str,
    name: &str,
) -> Result<TableCompared, PgError> {
    let key: Vec<String> = there.json(KEY, &[&name]).await?;
    let columns: Vec<String> = key.iter().map(|column| format!("x.{}", identifier(column))).collect();
    let part = match columns.as_slice() {
        [] => "0".to_owned(),
        columns => format!("hashtextextended(ROW({})::text, 1) & {}", columns.join(", "), PARTS - 1),
    };
    // As `pointsman.table_sums`, which the receiver's role needs. The name is quoted by the server that it comes from.
    let sql = format!(
        "SELECT coalesce(jsonb_object_agg(p.part, jsonb_build_object('rows', p.rows, 'sum', p.sum)), '{{}}') \
         FROM (SELECT {part} AS part, count(*) AS rows, sum(hashtextextended(x::text, 0)::numeric)::text AS sum \
         FROM {name} x GROUP BY 1) p"
    );
    let mut undecided = Undecided::default();
    let mut tries = 0;
    loop {
        tries += 1;
        let before: Parts = there.json(&sql, &[]).await?;
        let at: Lsn = there.json("SELECT to_jsonb(pg_current_wal_insert_lsn()::text)", &[]).await?;
        let came = caught_up(session, subscription, at).await?;
        let receiver: Parts =
            session.json("SELECT pointsman.table_sums($1, $2, $3)", &[&name, &json!(key), &PARTS]).await?;
        let after: Parts = there.json(&sql, &[]).await?;
        let equal = undecided.take(&before, &receiver, &after, came);
        if equal.is_some() || tries == TRIES {
            return Ok(TableCompared { source: whole(&after), receiver: whole(&receiver), equal });
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// What is not decided yet of a table.
#[derive(Default)]
struct Undecided {
    /// Its parts; none: nobody looked yet.
    parts: Option<BTreeSet<String>>,
    /// Those that differed although the source did not change: what each side had.
    unlike: BTreeMap<String, (Option<Sum>, Option<Sum>)>,
}

impl Undecided {
    /// Takes a look: the source, then the receiver, which `came` to where the source was, and the source again. Says
    /// whether the table is equal, once that is decided.
    ///
    /// A row that comes and goes between the two looks at the source is no difference. So one is told only where both
    /// sides are still as they were when it was first seen.
    fn take(&mut self, before: &Parts, receiver: &Parts, after: &Parts, came: bool) -> Option<bool> {
        let all = || before.keys().chain(receiver.keys()).chain(after.keys()).cloned().collect();
        let parts = self.parts.take().unwrap_or_else(all);
        let known = std::mem::take(&mut self.unlike);
        let mut left = BTreeSet::new();
        let mut different = false;
        for part in parts {
            let (was, has, is) = (before.get(&part), receiver.get(&part), after.get(&part));
            if has == was || has == is {
                continue;
            }
            if was == is && came {
                let unlike = (is.cloned(), has.cloned());
                different |= known.get(&part) == Some(&unlike);
                self.unlike.insert(part.clone(), unlike);
            }
            left.insert(part);
        }
        let equal = left.is_empty();
        self.parts = Some(left);
        if different { Some(false) } else { equal.then_some(true) }
    }
}

/// The sum of all parts.
fn whole(parts: &Parts) -> Sum {
    let sums = parts.values().filter_map(|part| part.sum.parse::<i128>().ok());
    Sum { rows: parts.values().map(|part| part.rows).sum(), sum: sums.sum::<i128>().to_string() }
}

/// Whether the receiver has applied up to there: an idle one that has heard of it has.
async fn caught_up(session: &Session, subscription: &str, at: Lsn) -> Result<bool, PgError> {
    let start = std::time::Instant::now();
    loop {
        let seen = Receiver::see(session, subscription).await?;
        let heard = seen.received.is_some_and(|received| received >= at);
        if seen.position.is_some_and(|applied| applied >= at) || (heard && seen.idle()) {
            return Ok(true);
        }
        if start.elapsed() > CAUGHT_UP_WITHIN || !seen.enabled {
            return Ok(false);
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<const N: usize>(all: [(&str, i64); N]) -> Parts {
        let part = |(name, sum): (&str, i64)| (name.to_owned(), Sum { rows: 1, sum: sum.to_string() });
        all.into_iter().map(part).collect()
    }

    #[test]
    fn each_part_is_decided_by_itself() {
        let mut all = Undecided::default();
        // One is written before the receiver was looked at, another one after that, a third one both times.
        let (before, after) = (parts([("0", 1), ("1", 1), ("2", 1)]), parts([("0", 2), ("1", 2), ("2", 3)]));
        assert_eq!(all.take(&before, &parts([("0", 2), ("1", 1), ("2", 2)]), &after, true), None);
        // Now only the third one is looked at.
        let (before, after) = (parts([("0", 5), ("2", 3)]), parts([("0", 7), ("2", 3)]));
        assert_eq!(all.take(&before, &parts([("0", 6), ("2", 3)]), &after, true), Some(true));
        assert_eq!(whole(&after), Sum { rows: 2, sum: "10".into() });
    }

    #[test]
    fn a_difference_is_one_that_stays() {
        let (source, other) = (parts([("0", 1)]), parts([("0", 2)]));
        let mut all = Undecided::default();
        assert_eq!(all.take(&source, &other, &source, true), None);
        assert_eq!(all.take(&source, &other, &source, true), Some(false));
        // A row that came and went between two looks.
        let mut all = Undecided::default();
        assert_eq!(all.take(&source, &other, &source, true), None);
        assert_eq!(all.take(&source, &source, &source, true), Some(true));
        // A receiver that is behind tells nothing.
        let mut all = Undecided::default();
        assert_eq!(all.take(&source, &parts([]), &source, false), None);
        assert_eq!(all.take(&source, &parts([]), &source, false), None);
    }
}
