//! Whether a write arrives: a row of our own is committed, and each named role is let through to a table of the
//! application's.

use std::collections::BTreeMap;
use std::time::Duration;

use postgres::{PgError, identifier, sqlstate};
use schemas::Access;
use schemas::args::WriteOutput;
use serde::Deserialize;

use super::PostgresAccess;
use super::open::refusal;

/// A table for each role, and a write to it that changes no row: the server asks for the right, for a transaction that
/// may write, and for what the table itself forbids to a whole statement, before it finds that there is nothing to do.
const TRIES: &str = "
SELECT coalesce(jsonb_agg(jsonb_build_object('role', w.role, 'table', t.name, 'write', t.write) ORDER BY w.role), '[]')
  FROM pointsman.writer w LEFT JOIN LATERAL (
    SELECT format('%I.%I', n.nspname, c.relname) AS name,
      format(CASE WHEN has_table_privilege(w.role, c.oid, 'INSERT') THEN 'INSERT INTO %I.%I SELECT WHERE false'
        ELSE 'DELETE FROM %I.%I WHERE false' END, n.nspname, c.relname) AS write
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r','p') AND n.nspname = ANY (w.schemas)
       AND has_table_privilege(w.role, c.oid, 'INSERT,DELETE')
     ORDER BY c.oid LIMIT 1) t ON true";

#[derive(Debug, Deserialize)]
struct Try {
    role: String,
    table: Option<String>,
    write: Option<String>,
}

/// Ends when the row is durable here and every role was let through. It leaves nothing that anybody would have to undo:
/// the row is the heartbeat that an open database stamps anyway.
pub(super) async fn verify(driver: &PostgresAccess, within: Duration) -> Result<WriteOutput, PgError> {
    let session = driver.server.act(within).await?;
    let state = driver.state(&session).await?;
    if state.access() != Access::Open {
        let message = format!("its writers are not let in: {}", state.words());
        return Err(refusal(sqlstate::PRECONDITION, message));
    }
    if !session.json::<bool>("SELECT to_jsonb(pointsman.heartbeat())", &[]).await? {
        let message =
            "no row was written: it is a physical standby, or has no table to which a writer may write";
        return Err(refusal(sqlstate::PRECONDITION, message.into()));
    }
    let tries: Vec<Try> = session.json(TRIES, &[]).await?;
    let mut roles = BTreeMap::new();
    for Try { role, table, write } in tries {
        if let (Some(table), Some(write)) = (&table, &write) {
            let sql = format!("BEGIN; SET LOCAL ROLE {}; {write}; ROLLBACK", identifier(&role));
            session.simple(&sql).await.map_err(|error| named(error, &role, table))?;
        }
        roles.insert(role, table);
    }
    let lsn = driver.state(&session).await?.lsn;
    Ok(WriteOutput { by: "row".into(), roles, lsn })
}

/// What the server says to a role's write, with the role and the table. What may be another moment's answer (a lock, the
/// end of the bound, a shutdown) keeps its code, and is tried again.
fn named(error: PgError, role: &str, table: &str) -> PgError {
    let passes = |code: &str| {
        matches!(code, sqlstate::CANCELED | sqlstate::LOCK_NOT_AVAILABLE | sqlstate::DEADLOCK)
            || code.starts_with("57P0")
    };
    match error {
        PgError::Server { sqlstate, message, detail, hint } => {
            let code = if passes(sqlstate.as_str()) { sqlstate.as_str() } else { sqlstate::PRECONDITION };
            let message = format!("{role} cannot write to {table}: {message} ({sqlstate})");
            PgError::Server { sqlstate: code.to_owned(), message, detail, hint }
        }
        other => other,
    }
}
