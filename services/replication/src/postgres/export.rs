//! The source's half, returned and closed: what it had committed and the receiver never applied, as a ledger.

use postgres::{Claim, Lsn, PgError, Session};
use schemas::args::ExportOutput;
use serde_json::{Value, json};

use super::seen::Source;
use super::{PostgresReplication, is_open, precondition, server_error};
use crate::ledger::{Head, LedgerError};

const PEEK: &str = "SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, $2, \
                    'proto_version', '1', 'publication_names', $3)";

pub(super) fn told(error: &LedgerError) -> PgError {
    server_error("58030", format!("the ledger: {error}"))
}

/// Ends with a sealed ledger of what is beyond `applied`. Consumes nothing of the slot: asked again, it gives the
/// same. What makes it impossible is said, never passed over.
pub(super) async fn export(
    driver: &PostgresReplication,
    session: &Session,
    slot: &str,
    publication: &str,
    applied: Lsn,
    claim: &Claim,
) -> Result<Value, PgError> {
    session.run_again("SELECT pointsman.hold_epoch($1, $2, $3)", &claim.params()).await?;
    if let Some(done) = finished(driver, applied)? {
        return Ok(json!(done));
    }
    let seen = Source::see(session, slot, publication).await?;
    possible(&seen, slot, publication, applied)?;
    if is_open(session).await? {
        return Err(precondition("this database is open: what is lost is not known before it is closed"));
    }
    let source: String = session.json("SELECT to_jsonb(uuid::text) FROM pointsman.identity", &[]).await?;
    let head = Head {
        ledger: 1,
        resource: driver.resource.clone(),
        site: driver.here.clone(),
        source,
        slot: slot.into(),
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

/// The ledger of these orphans, if it was finished before.
pub(super) fn finished(driver: &PostgresReplication, applied: Lsn) -> Result<Option<ExportOutput>, PgError> {
    driver.ledgers.finished(&driver.resource, applied).map_err(|error| told(&error))
}

/// A slot that was lost, or a server that was rebuilt, has no orphans to give.
pub(super) fn possible(seen: &Source, slot: &str, publication: &str, applied: Lsn) -> Result<(), PgError> {
    let waive = "no ledger can be made: save what you need by hand, then waive it by name";
    let problems = seen.publication_problems(publication);
    let why = if !seen.exists {
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
    } else if seen.active {
        return Err(precondition(format!(
            "slot {slot} is read by session {:?}: stop that first",
            seen.active_pid
        )));
    } else {
        return Ok(());
    };
    Err(precondition(format!("{why}; {waive}")))
}
