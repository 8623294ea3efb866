//! Both sides beside each other: rows and order-free checksums, one table after the other.
//!
//! Nobody stops writing for it. A table is looked at in parts, by the hash of its key: what is written while one looks
//! changes few of them, and each part is decided by itself, as soon as the receiver has it as the source had it before
//! or afterwards. What is left is looked at again, some times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postgres::{Lsn, PgError, Session, identifier};
use schemas::args::{CompareOutput, Sum, TableCompared};
use serde::Deserialize;
use serde_json::{Value, json};

use super::PostgresReplication;
use super::seen::Receiver;

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

/// As `pointsman.table_sums` sets it for itself: values as texts are then the same at both sites, whatever database and role
/// are set to. Only for sessions that are a peer's: they are kept, and others read times as the server writes them.
pub(super) const FORMS: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; \
                                SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; \
                                SET search_path = pg_catalog";

const TABLES: &str = "
SELECT coalesce(jsonb_agg(jsonb_build_object(
    'name', t.name, 'filter', t.rowfilter,
    'columns', (SELECT coalesce(jsonb_agg(a.attname ORDER BY a.attname), '[]') FROM pg_attribute a
      WHERE a.attrelid = t.name::regclass AND a.attnum > 0 AND a.attgenerated = '' AND a.attname = ANY (t.attnames)),
    'key', (SELECT coalesce(jsonb_agg(a.attname ORDER BY a.attnum), '[]')
      FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
      WHERE i.indrelid = t.name::regclass AND i.indisprimary)) ORDER BY t.name), '[]')
  FROM (SELECT format('%I.%I', p.schemaname, p.tablename) AS name, p.attnames, p.rowfilter
          FROM pg_publication_tables p WHERE p.pubname = $1 AND p.schemaname <> 'pointsman') t";

/// A table, as its source publishes it.
#[derive(Debug, Deserialize)]
struct Table {
    /// Quoted by the server that it comes from.
    name: String,
    /// Which of its rows are sent; all, if this says nothing.
    filter: Option<String>,
    /// What is sent of a row, by the columns' names: either side may have them in another order, and more of them.
    columns: Vec<String>,
    /// Its primary key.
    key: Vec<String>,
}

/// The parts of a table that have rows.
type Parts = BTreeMap<String, Sum>;

/// Compares every published table. A row that changes all the time may leave its table undecided, and that is said.
pub(super) async fn compare(
    driver: &PostgresReplication,
    session: &Session,
    subscription: &str,
) -> Result<Value, PgError> {
    let seen = Receiver::see(session, subscription).await?;
    let Some(server) = &driver.peer else { return Err(PgError::NotNamed("peer")) };
    let there = server.look(session.left()).await?;
    there.set(FORMS);
    let published: Vec<Table> = there.json(TABLES, &[&seen.publication]).await?;
    let mut tables = BTreeMap::new();
    for table in published {
        let found = both(session, &there, subscription, &table).await?;
        tables.insert(table.name, found);
        tokio::time::sleep(BREATH).await;
    }
    let equal = tables.values().map(|table| table.equal).try_fold(true, |all, one| one.map(|one| all && one));
    let different = tables.values().any(|table| table.equal == Some(false));
    let equal = if different { Some(false) } else { equal };
    Ok(json!(CompareOutput { equal, tables }))
}

async fn both(
    session: &Session,
    there: &Session,
    subscription: &str,
    table: &Table,
) -> Result<TableCompared, PgError> {
    let Table { name, filter, columns, key } = table;
    let row = |columns: &[String]| {
        let columns: Vec<String> = columns.iter().map(|column| format!("x.{}", identifier(column))).collect();
        format!("ROW({})::text", columns.join(", "))
    };
    let part = match key.as_slice() {
        [] => "0".to_owned(),
        key => format!("hashtextextended({}, 1) & {}", row(key), PARTS - 1),
    };
    let filter = filter.as_ref().map(|filter| format!("WHERE {filter}")).unwrap_or_default();
    // As `pointsman.table_sums`, which the receiver's role needs.
    let sql = format!(
        "SELECT coalesce(jsonb_object_agg(p.part, jsonb_build_object('rows', p.rows, 'sum', p.sum)), '{{}}') \
         FROM (SELECT {part} AS part, count(*) AS rows, sum(hashtextextended({}, 0)::numeric)::text AS sum \
         FROM {name} x {filter} GROUP BY 1) p",
        row(columns)
    );
    let here = "SELECT pointsman.table_sums($1, $2, $3, $4)";
    let (key, columns) = (json!(key), json!(columns));
    let mut undecided = Undecided::default();
    let mut tries = 0;
    loop {
        tries += 1;
        let before: Parts = there.json(&sql, &[]).await?;
        let at: Lsn = there.json("SELECT to_jsonb(pg_current_wal_insert_lsn()::text)", &[]).await?;
        let came = caught_up(session, subscription, at).await?;
        let receiver: Parts = session.json(here, &[name, &key, &columns, &PARTS]).await?;
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
