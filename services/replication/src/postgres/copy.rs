//! The way home by copy, at the receiver: what was there is kept aside, then everything comes anew from the slot that
//! was captured before the other site was opened.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postgres::{Claim, PgError, Session};
use schemas::args::{CleanupOutput, CopyArgs, CopyOutput};
use schemas::duration::Iso;
use schemas::{Aside, AsideTable, CopyProgress};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::receiver::halt;
use super::seen::Receiver;
use super::start::look_at_peer;
use super::{PostgresReplication, precondition, server_error, too_slow};

/// A live source stamps a heartbeat every 5 s.
const HEARTBEAT_WITHIN: f64 = 20.0;
/// Between two looks at a copy.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So many new errors of its workers, and nothing more for so long: it is stuck, not slow.
const STUCK: i64 = 5;
const STUCK_FOR: Duration = Duration::from_secs(60);
/// Before the words of whoever waived a ledger.
const WAIVED: &str = "waived: ";
/// So much of them is told with each look.
const WHY_MAX: usize = 300;

/// A table of the source.
#[derive(Debug, Deserialize, Serialize)]
struct Table {
    bytes: i64,
    rows: i64,
    #[serde(skip_serializing)]
    columns: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Source {
    heartbeat_ago: Option<f64>,
    tables: BTreeMap<String, Table>,
}

const ASK: &str = "
SELECT jsonb_build_object(
  'heartbeat_ago', (SELECT extract(epoch FROM clock_timestamp() - max(at)) FROM pointsman.sentinel
     WHERE site = (SELECT site FROM pointsman.identity)),
  'tables', (SELECT coalesce(jsonb_object_agg(t.name, jsonb_build_object(
       'bytes', pg_table_size(c.oid), 'rows', greatest(c.reltuples, 0)::bigint, 'columns', t.columns)), '{}')
     FROM (SELECT format('%I.%I', p.schemaname, p.tablename) AS name, (SELECT coalesce(jsonb_object_agg(a.attname,
            format_type(a.atttypid, a.atttypmod)), '{}') FROM pg_attribute a
            WHERE a.attrelid = format('%I.%I', p.schemaname, p.tablename)::regclass AND a.attnum > 0
              AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname = ANY (p.attnames)) AS columns
        FROM pg_publication_tables p WHERE p.pubname = $1) t JOIN pg_class c ON c.oid = t.name::regclass))";

const COLUMNS: &str = "
SELECT coalesce(jsonb_object_agg(t.name, (SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod))
    FROM pg_attribute a WHERE a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped)), '{}')
  FROM jsonb_array_elements_text($1) AS t(name)";

/// The latest copy, with number and size of the tables that it kept, and the names of the 20 largest. Nobody waits for
/// a table that somebody else has locked against everything: its size is not counted then.
const WITH_ASIDE: &str = "
WITH s AS MATERIALIZED (SELECT pointsman.copy_seen($1) AS seen),
k AS MATERIALIZED (SELECT m.key AS name, m.value AS kept,
    CASE WHEN c.oid IN
        (SELECT l.relation FROM pg_locks l WHERE l.mode = 'AccessExclusiveLock' AND l.relation IS NOT NULL)
      THEN 0 ELSE coalesce(pg_total_relation_size(c.oid), 0) END AS bytes
  FROM s, jsonb_each_text(coalesce(nullif(s.seen -> 'kept', 'null'), '{}')) m
  JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'pointsman_kept')
    ON format('%I.%I', n.nspname, c.relname) = m.value AND c.relkind = 'r')
SELECT s.seen || jsonb_build_object('apart', jsonb_build_object(
    'tables', (SELECT count(*) FROM k), 'bytes', (SELECT coalesce(sum(bytes), 0) FROM k),
    'largest', (SELECT coalesce(jsonb_agg(jsonb_build_object('table', f.name, 'kept', f.kept, 'bytes', f.bytes)
       ORDER BY f.bytes DESC, f.name), '[]') FROM (SELECT * FROM k ORDER BY bytes DESC, name LIMIT 20) f)))
  FROM s";

/// The tables that were kept aside and are there.
#[derive(Debug, Deserialize)]
struct Apart {
    tables: u64,
    bytes: u64,
    largest: Vec<AsideTable>,
}

/// What the database says of its latest copy.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    source: String,
    ledger: String,
    #[serde(default)]
    began: Option<DateTime<Utc>>,
    ended: Option<DateTime<Utc>>,
    cleaned: Option<DateTime<Utc>>,
    seconds: f64,
    tables: u64,
    ready: u64,
    bytes: u64,
    bytes_done: u64,
    rows_done: u64,
    kept: Option<BTreeMap<String, String>>,
    /// Some of that is there.
    #[serde(default, rename = "aside")]
    is_there: bool,
    /// It was made for the run that holds this database now.
    #[serde(default)]
    held: bool,
    /// Only where it was asked for.
    #[serde(default)]
    apart: Option<Apart>,
}

impl Seen {
    pub(super) async fn see(session: &Session, subscription: &str) -> Result<Option<Seen>, PgError> {
        Self::read(session, "SELECT pointsman.copy_seen($1)", subscription).await
    }

    /// The same, with the tables that it kept aside.
    pub(super) async fn see_aside(session: &Session, subscription: &str) -> Result<Option<Seen>, PgError> {
        Self::read(session, WITH_ASIDE, subscription).await
    }

    async fn read(session: &Session, sql: &str, subscription: &str) -> Result<Option<Seen>, PgError> {
        let rows = session.rows(sql, &[&subscription]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let value: Option<Value> = row.try_get(0)?;
        let read = |value| serde_json::from_value(value).map_err(|e| PgError::Shape(e.to_string()));
        value.map(read).transpose()
    }

    /// While it goes on.
    pub(super) fn progress(&self) -> Option<CopyProgress> {
        if self.ended.is_some() {
            return None;
        }
        let left = self.bytes.saturating_sub(self.bytes_done);
        let rate = self.bytes_done as f64 / self.seconds.max(0.001);
        // Nothing has come yet: nobody can tell.
        let left = (self.bytes_done > 0).then(|| Duration::from_secs_f64((left as f64 / rate).min(8.64e7)));
        Some(CopyProgress {
            tables: self.tables,
            tables_ready: self.ready,
            rows: self.rows_done,
            bytes: self.bytes_done,
            bytes_total: self.bytes,
            left: left.map(Iso),
        })
    }

    /// What is kept aside now, and would be dropped.
    pub(super) fn aside(&self) -> Aside {
        let there = |apart: &&Apart| apart.tables > 0 && self.cleaned.is_none();
        let Some(apart) = self.apart.as_ref().filter(there) else { return Aside::default() };
        // As `reason` has written it.
        let waived = self.ledger.strip_prefix(WAIVED);
        Aside {
            tables: apart.tables,
            bytes: apart.bytes,
            largest: apart.largest.clone(),
            since: self.began,
            ledger: waived.is_none().then(|| self.ledger.clone()),
            waived: waived.map(|why| why.chars().take(WHY_MAX).collect()),
            unfinished: self.ended.is_none(),
        }
    }

    fn output(&self, seen: &Receiver) -> Value {
        json!(CopyOutput {
            tables: self.tables,
            rows: self.rows_done,
            bytes: self.bytes,
            applied: seen.position.map(|lsn| lsn.to_string()),
            kept: self.kept.clone().filter(|_| self.cleaned.is_none()).unwrap_or_default(),
        })
    }

    /// All is there, from the source that is followed now, for the run that holds this database: what an earlier one
    /// copied may have turned out to differ, or may have been written to since.
    pub(super) fn complete(&self, seen: &Receiver) -> Option<Value> {
        let same = seen.peer.as_deref() == Some(self.source.as_str());
        (same && self.held && self.ended.is_some() && seen.applies()).then(|| self.output(seen))
    }
}

/// Ends when every table of the source is here, and what is written there since is applied. Killed in the middle, it
/// goes on where the tables are: what was kept aside and emptied once is not touched again.
pub(super) async fn copy(
    driver: &PostgresReplication,
    session: &Session,
    subscription: &str,
    args: &CopyArgs,
    claim: &Claim,
) -> Result<Value, PgError> {
    let [group, epoch, run] = claim.params();
    let seen = Receiver::see(session, subscription).await?;
    let known = Seen::see(session, subscription).await?;
    if let Some(output) = known.as_ref().and_then(|known| known.complete(&seen)) {
        return Ok(output);
    }
    let same = |known: &Seen| seen.exists && seen.peer.as_deref() == Some(known.source.as_str());
    let under_way = known.as_ref().is_some_and(|known| known.ended.is_none() && same(known));
    if !under_way {
        // Said before anything is stopped for it.
        let kept = |known: &Seen| known.ended.is_some() && known.cleaned.is_none() && known.is_there;
        if known.as_ref().is_some_and(kept) {
            return Err(precondition(
                "the tables of an earlier copy are still kept aside in schema pointsman_kept: look at them, cancel this \
                 run, pointsman cleanup, and start it again",
            ));
        }
        let because = reason(driver, args).await?;
        let Some(server) = &driver.peer else { return Err(PgError::NotNamed("peer")) };
        let conninfo = server.connection_string()?;
        let peer = look_at_peer(driver, server, &seen, session).await?;
        let wanted = ready(driver, server, &seen, session).await?;
        if seen.exists {
            halt(session, subscription, "stopped", None, claim).await?;
        }
        session
            .run_again(
                "SELECT pointsman.copy_begin($1, $2, $3, $4, $5, $6, $7, $8)",
                &[group, epoch, run, &subscription, &conninfo, &peer.uuid, &json!(wanted), &because],
            )
            .await?;
    } else if !seen.enabled {
        return Err(precondition(format!(
            "subscription {subscription} was stopped in the middle of its copy"
        )));
    }
    wait(driver, session, subscription).await?;
    session
        .run_again("SELECT pointsman.copy_ended($1, $2, $3, $4)", &[group, epoch, run, &subscription])
        .await?;
    let seen = Receiver::see(session, subscription).await?;
    let known = Seen::see(session, subscription).await?;
    let output = known.as_ref().and_then(|known| known.complete(&seen));
    output.ok_or_else(|| precondition(format!("subscription {subscription} has no worker after its copy")))
}

/// Why the rows that are here may be overwritten: their ledger, looked at, or somebody's word.
async fn reason(driver: &PostgresReplication, args: &CopyArgs) -> Result<String, PgError> {
    match (&args.ledger, &args.waived) {
        (Some(ledger), None) => {
            let (ledgers, wanted) = (driver.ledgers.clone(), ledger.clone());
            let looked = tokio::task::spawn_blocking(move || ledgers.holds(&wanted)).await;
            looked.map_err(|error| server_error("58030", error.to_string()))?.map_err(precondition)?;
            Ok(format!("{} {}", ledger.file, ledger.digest))
        }
        (None, Some(why)) => Ok(format!("{WAIVED}{why}")),
        _ => Err(precondition("either `ledger` or `waived` is needed")),
    }
}

/// The source is live and has something to give, and each of its tables is here in the same form.
async fn ready(
    driver: &PostgresReplication,
    server: &postgres::Server,
    seen: &Receiver,
    session: &Session,
) -> Result<BTreeMap<String, Table>, PgError> {
    let there = server.look(driver.look_within().min(session.left())).await?;
    let source: Source = there.json(ASK, &[&seen.publication]).await?;
    let at = there.server();
    match source.heartbeat_ago {
        Some(ago) if ago <= HEARTBEAT_WITHIN => {}
        Some(ago) => {
            return Err(precondition(format!(
                "{at} stamped its last heartbeat {ago:.0} s ago: it is not live"
            )));
        }
        None => return Err(precondition(format!("{at} has no heartbeat of its own: it is not live"))),
    }
    let data: Vec<&String> = source.tables.keys().filter(|name| *name != "pointsman.sentinel").collect();
    if data.is_empty() {
        return Err(precondition(format!("publication {} of {at} has no table", seen.publication)));
    }
    let any = data.iter().map(|name| format!("EXISTS (SELECT FROM {name})")).collect::<Vec<_>>().join(" OR ");
    if !there.json::<bool>(&format!("SELECT to_jsonb({any})"), &[]).await? {
        return Err(precondition(format!(
            "every table of {at} is empty: nothing is overwritten with nothing"
        )));
    }
    let here: BTreeMap<String, Option<BTreeMap<String, String>>> =
        session.json(COLUMNS, &[&json!(data)]).await?;
    let mut wrong = Vec::new();
    for (name, table) in source.tables.iter().filter(|(name, _)| *name != "pointsman.sentinel") {
        let Some(Some(columns)) = here.get(name) else {
            wrong.push(format!("table {name} is missing"));
            continue;
        };
        for (column, kind) in &table.columns {
            match columns.get(column) {
                None => wrong.push(format!("{name}.{column} is missing")),
                Some(own) if own != kind => {
                    wrong.push(format!("{name}.{column} is {own} here, {kind} there"))
                }
                Some(_) => {}
            }
        }
    }
    wrong.truncate(20);
    match wrong.is_empty() {
        true => Ok(source.tables),
        false => Err(precondition(format!("the schemas differ: {}", wrong.join("; ")))),
    }
}

async fn wait(driver: &PostgresReplication, session: &Session, subscription: &str) -> Result<(), PgError> {
    let mut first: Option<(i64, u64, u64, Instant)> = None;
    loop {
        let seen = Receiver::see(session, subscription).await?;
        if !seen.exists || !seen.enabled {
            return Err(precondition(format!(
                "subscription {subscription} was stopped in the middle of its copy"
            )));
        }
        let (ready, all) = seen.tables();
        if all > 0 && ready == all && seen.applies() {
            return Ok(());
        }
        let known = Seen::see(session, subscription).await?;
        let bytes = known.as_ref().map_or(0, |known| known.bytes_done);
        let errors = seen.errors();
        first = match first {
            Some((since, at, read, when)) if at == ready && bytes <= read => {
                if errors >= since + STUCK && when.elapsed() >= STUCK_FOR {
                    let new = errors - since;
                    let why = driver.why.reason(session, subscription).await;
                    return Err(server_error(
                        "XX000",
                        format!("the copy is stuck at {ready} of {all} tables: {new} new errors; {why}"),
                    ));
                }
                Some((since, at, read, when))
            }
            _ => Some((errors, ready, bytes, Instant::now())),
        };
        if session.left() < LOOK_EVERY * 4 {
            let progress = known.and_then(|known| known.progress());
            let left =
                progress.and_then(|p| p.left).map(|left| format!(", about {left} left")).unwrap_or_default();
            return Err(too_slow(format!(
                "{ready} of {all} tables are copied{left}; it goes on by itself: ask again"
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends without what was kept aside.
pub(super) async fn cleanup(session: &Session, subscription: &str, claim: &Claim) -> Result<Value, PgError> {
    let [group, epoch, run] = claim.params();
    let sql = "SELECT pointsman.copy_cleanup($1, $2, $3, $4)";
    let dropped: Vec<String> = session.json(sql, &[group, epoch, run, &subscription]).await?;
    Ok(json!(CleanupOutput { dropped }))
}

/// Whether nothing is kept aside.
pub(super) async fn is_clean(session: &Session, subscription: &str) -> Result<bool, PgError> {
    Ok(Seen::see(session, subscription).await?.is_none_or(|known| known.cleaned.is_some()))
}

impl Seen {
    /// In words, for a look.
    pub(super) fn words(&self) -> Value {
        json!({ "tables": self.tables, "tablesReady": self.ready, "ledger": self.ledger, "ended": self.ended })
    }
}
