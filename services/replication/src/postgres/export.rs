//! The source's half, returned and closed: what it had committed and the receiver never applied, as a ledger.

use postgres::{Claim, Lsn, PgError, Session};
use serde_json::{Value, json};

use super::{PostgresReplication, is_open, precondition, seen, server_error};
use crate::ledger::{Head, LedgerError, Source};

const PEEK: &str = "SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, $2, \
                    'proto_version', '1', 'publication_names', $3)";

/// Asked before the slot is read, so that what is committed up to here is in it.
const SOURCE: &str = "
SELECT jsonb_build_object('source', i.uuid, 'slot', $1::text, 'upto', pg_current_wal_flush_lsn()::text,
  'mark', (SELECT coalesce(max(m.mark), 0) FROM pointsman.sentinel m WHERE m.site = i.site))
  FROM pointsman.identity i";

pub(super) fn told(error: &LedgerError) -> PgError {
    server_error("58030", format!("the ledger: {error}"))
}

/// Ends with a sealed ledger of what is beyond `applied`. Consumes nothing of the slot, and reads it each time: asked
/// again it gives the same file, unless something was committed since. Where the slot cannot be read any more, the file
/// of before counts as long as this database shows no sign of having been open since. What makes it impossible is said,
/// never passed over.
pub(super) async fn export(
    driver: &PostgresReplication,
    session: &Session,
    slot: &str,
    publication: &str,
    applied: Lsn,
    claim: &Claim,
) -> Result<Value, PgError> {
    // Its commit also flushes those that the application did not wait for: what is read ends with what is flushed.
    session.run_again("SELECT pointsman.hold_epoch($1, $2, $3)", &claim.params()).await?;
    if is_open(session).await? {
        return Err(precondition("this database is open: what is lost is not known before it is closed"));
    }
    let source: Source = session.json(SOURCE, &[&slot]).await?;
    let seen = seen::Source::see(session, slot, publication).await?;
    if let Err(why) = possible(&seen, slot, publication, applied) {
        let known = driver.ledgers.finished(&driver.resource, applied).map_err(|error| told(&error))?;
        let waive = "no ledger can be made: save what you need by hand, then waive it by name";
        return match known {
            Some(known) if known.holds_for(&source) => Ok(json!(driver.ledgers.output(&known))),
            Some(known) => {
                let file = driver.ledgers.output(&known).ledger.file;
                let since = "does not have what was written here since: this database was open again, or is another one";
                Err(precondition(format!("{why}, and the ledger {file} {since}; {waive}")))
            }
            None => Err(precondition(format!("{why}; {waive}"))),
        };
    }
    if seen.active {
        let why = format!("slot {slot} is read by session {:?}: stop that first", seen.active_pid);
        return Err(precondition(why));
    }
    let head = Head {
        ledger: 1,
        resource: driver.resource.clone(),
        site: driver.here.clone(),
        source,
        publication: publication.into(),
        applied,
        begun: chrono::Utc::now(),
    };
    let mut writer = driver.ledgers.begin(&head).map_err(|error| told(&error))?;
    peek(session, slot, publication, None, |bytes| writer.take(bytes)).await?;
    let done = tokio::task::spawn_blocking(move || writer.finish()).await;
    let done = done.map_err(|error| server_error("58030", format!("the ledger: {error}")))?;
    done.map(|done| json!(done)).map_err(|error| told(&error))
}

/// Hands over what the slot says, message by message, and consumes nothing: all of it, or up to the end of the transaction
/// with which so many were handed over.
pub(super) async fn peek(
    session: &Session,
    slot: &str,
    publication: &str,
    at_most: Option<i32>,
    mut take: impl FnMut(&[u8]) -> Result<(), LedgerError> + Send,
) -> Result<(), PgError> {
    // Its names are a list: each is quoted.
    let names = postgres::identifier(publication);
    let take = |row: &postgres::Row| {
        let data: &[u8] = row.try_get(0)?;
        take(data).map_err(|error| told(&error))
    };
    session.each(PEEK, &[&slot, &at_most, &names], take).await
}

/// A slot that was lost, or a server that was rebuilt, has no orphans to give.
pub(super) fn possible(
    seen: &seen::Source,
    slot: &str,
    publication: &str,
    applied: Lsn,
) -> Result<(), String> {
    let problems = seen.publication_problems(publication);
    Err(if !seen.exists {
        format!("slot {slot} is gone")
    } else if seen.wal_status.as_deref() == Some("lost") {
        format!("slot {slot} is lost: its log was removed")
    } else if seen.ahead {
        format!("slot {slot} is beyond the end of the log: the server was rebuilt")
    } else if seen.at.is_some_and(|at| applied > at) {
        format!("{applied} is beyond the end of the log here: the server was rebuilt, or another is meant")
    } else if !seen.usable() {
        format!("slot {slot} was never made to its end")
    } else if !problems.is_empty() {
        problems.join("; ")
    } else {
        return Ok(());
    })
}
