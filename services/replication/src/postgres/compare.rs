//! Both sides beside each other: rows and order-free checksums, one table after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use postgres::{Lsn, PgError, Session};
use schemas::args::{CompareOutput, Sum, TableCompared};
use serde_json::{Value, json};

use super::seen::Receiver;
use super::{PostgresReplication, precondition};

/// A table that changes while it is looked at is looked at so often.
const TRIES: u32 = 3;
/// Between two looks at what the receiver has applied.
const EVERY: Duration = Duration::from_millis(50);
/// Between two tables: the load of one full read at a time, and a breath.
const BREATH: Duration = Duration::from_millis(50);
/// So long is waited for the receiver to come to where the source was.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);

const TABLES: &str = "
SELECT coalesce(jsonb_agg(format('%I.%I', schemaname, tablename) ORDER BY 1), '[]')
  FROM pg_publication_tables WHERE pubname = $1 AND schemaname <> 'pointsman'";

/// Compares every published table. A table that changes all the time may stay undecided, and is said to be.
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
    // Quoted by the server that it comes from.
    let sql = format!(
        "SELECT jsonb_build_object('rows', count(*), 'sum', \
         coalesce(sum(hashtextextended(x::text, 0)::numeric), 0)::text) FROM {name} x"
    );
    let mut tries = 0;
    loop {
        tries += 1;
        let before: Sum = there.json(&sql, &[]).await?;
        let at: Lsn = there.json("SELECT to_jsonb(pg_current_wal_insert_lsn()::text)", &[]).await?;
        let came = caught_up(session, subscription, at).await?;
        let receiver: Sum = session.json("SELECT pointsman.table_sum($1)", &[&name]).await?;
        let after: Sum = there.json(&sql, &[]).await?;
        let equal = if receiver == before || receiver == after {
            Some(true)
        } else if before == after && came {
            Some(false)
        } else {
            None
        };
        if equal.is_some() || tries == TRIES {
            return Ok(TableCompared { source: after, receiver, equal });
        }
    }
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
