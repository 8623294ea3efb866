//! The source's half: marks and the slot.

use std::time::{Duration, Instant};

use postgres::{Claim, PgError, Server, Session, sqlstate};
use responder::{Look, Pauses};
use schemas::Action;
use schemas::args::{MarkOutput, SlotOutput};
use serde_json::{Value, json};

use super::seen::{Purity, Source};
use super::{EVERY, is_open, precondition, too_slow};
use crate::settings::{Blockers, PostgresSettings};

/// One try to make a slot: an older transaction holds it up, and only a bound ends the wait.
const TRY: &str = "1500ms";
/// The longest pause between two commits beside it, so that what it waits for is flushed; the first is an eighth of it.
const FLUSH_EVERY: Duration = Duration::from_millis(40);
/// For so long commits beside it help: who blocks it then is blocked by something else.
const FLUSH_WITHIN: Duration = Duration::from_millis(1200);
/// A receiver that was heard within this is alive; an idle one reports every 10 s.
const ALIVE: f64 = 25.0;
/// How long a slot may stay in use after its receiver stopped.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn look(
    session: &Session,
    slot: &str,
    publication: &str,
    action: Action,
) -> Result<Look, PgError> {
    let seen = Source::see(session, slot, publication).await?;
    let output = |lsn: Option<String>| json!(SlotOutput { slot: slot.into(), lsn });
    let found = json!(seen.told(slot));
    Ok(match action {
        Action::Discard if seen.exists => Look::NotInEffect(found),
        Action::Discard => Look::InEffect(output(None)),
        _ if seen.exists && seen.usable() && seen.purity() == Purity::Own => {
            Look::InEffect(output(seen.confirmed.map(|lsn| lsn.to_string())))
        }
        _ => Look::NotInEffect(found),
    })
}

pub(super) async fn mark(session: &Session, claim: &Claim) -> Result<Value, PgError> {
    let mark: MarkOutput = session.json("SELECT pointsman.mark($1, $2, $3)", &claim.params()).await?;
    Ok(json!(mark))
}

/// Ends with a slot that keeps what is written here from now on, and nothing that came from the other site.
/// A slot that does so already is left as it is.
pub(super) async fn capture(
    server: &Server,
    session: &Session,
    slot: &str,
    publication: &str,
    settings: &PostgresSettings,
    claim: &Claim,
) -> Result<Value, PgError> {
    session.run_again("SELECT pointsman.hold_epoch($1, $2, $3)", &claim.params()).await?;
    let mut ended: Vec<Value> = Vec::new();
    let mut pauses = Pauses::up_to(EVERY);
    loop {
        let seen = Source::see(session, slot, publication).await?;
        // The publication must be older than the slot, or the receiver's first row blocks all.
        let problems = seen.publication_problems(publication);
        if !problems.is_empty() {
            return Err(precondition(problems.join("; ")));
        }
        if let Some(name) = seen.applying().filter(|_| seen.purity() != Purity::Own) {
            return Err(precondition(format!("subscription {name} still applies here: stop it first")));
        }
        if seen.exists {
            if seen.plugin.as_deref() != Some("pgoutput") {
                return Err(precondition(format!("slot {slot} exists with another plugin")));
            }
            if seen.usable() && seen.purity() == Purity::Own {
                let lsn = seen.confirmed.map(|lsn| lsn.to_string());
                let mut output = json!(SlotOutput { slot: slot.into(), lsn });
                if !ended.is_empty() {
                    output["ended"] = json!(ended);
                }
                return Ok(output);
            }
            if seen.confirmed.is_none() && seen.active && session.left() > EVERY * 4 {
                // Somebody else is just making it.
                pauses.wait().await;
                continue;
            }
            if seen.active {
                return Err(precondition(format!("slot {slot} is read by session {:?}", seen.active_pid)));
            }
            if seen.usable() && is_open(session).await? {
                return Err(precondition(format!(
                    "slot {slot} keeps, or may keep, rows of the other site, and the database is open: \
                     what was written since would be lost with it; discard it first"
                )));
            }
            // Both sites are closed, or it cannot be read any more: nothing is lost with it. Made anew rather
            // than moved forward: an advance is forgotten in a crash until the next checkpoint.
            drop_slot(session, slot).await?;
            continue;
        }
        match make_slot(server, session, slot).await {
            Ok(()) => {}
            Err(error) if error.sqlstate() == Some(sqlstate::DUPLICATE) => {}
            Err(error) if error.sqlstate() == Some(sqlstate::CANCELED) => {
                let blockers: Value = session.json("SELECT pointsman.blockers()", &[]).await?;
                if session.left() < Duration::from_millis(1700) {
                    return Err(too_slow(format!("slot {slot} waits for older transactions: {blockers}")));
                }
                if settings.blockers == Blockers::End {
                    let age = settings.blockers_older_than.duration().as_secs_f64();
                    let sql = "SELECT pointsman.end_blockers(make_interval(secs => $1))";
                    ended.extend(session.json::<Vec<Value>>(sql, &[&age]).await?);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

async fn make_slot(server: &Server, session: &Session, slot: &str) -> Result<(), PgError> {
    // A cancelled try leaves no slot: until it is consistent it belongs to its session.
    let left = session.left();
    session.set(&format!("SET statement_timeout = '{TRY}'"));
    let sql = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')";
    let mut made = std::pin::pin!(async { session.run(sql, &[&slot]).await });
    let made = tokio::select! {
        made = &mut made => made,
        () = flush(server) => made.await,
    };
    session.set(&format!("SET statement_timeout = {}", left.as_millis().max(1)));
    made
}

/// A slot that is made while somebody writes waits for records that say who is writing, and nothing flushes those but
/// the server's log writer, every 200 ms by default: a commit beside it does at once. Ends where the server does not let
/// us, which only makes it slower.
async fn flush(server: &Server) {
    let mut pauses = Pauses::up_to(FLUSH_EVERY);
    pauses.wait().await;
    let Ok(session) = server.look(FLUSH_WITHIN).await else { return };
    while session.run("SELECT pg_logical_emit_message(true, 'pointsman', '')", &[]).await.is_ok() {
        pauses.wait().await;
    }
}

async fn drop_slot(session: &Session, slot: &str) -> Result<(), PgError> {
    match session.run("SELECT pg_drop_replication_slot($1)", &[&slot]).await {
        Err(error) if error.sqlstate() == Some(sqlstate::UNDEFINED) => Ok(()),
        other => other,
    }
}

/// Ends without the slot. One that a live receiver reads is not taken from it.
pub(super) async fn discard(
    session: &Session,
    slot: &str,
    publication: &str,
    claim: &Claim,
) -> Result<Value, PgError> {
    session.run_again("SELECT pointsman.hold_epoch($1, $2, $3)", &claim.params()).await?;
    let start = Instant::now();
    let mut pauses = Pauses::up_to(EVERY);
    loop {
        let seen = Source::see(session, slot, publication).await?;
        if !seen.exists {
            return Ok(json!(SlotOutput { slot: slot.into(), lsn: None }));
        }
        if !seen.active {
            match drop_slot(session, slot).await {
                Err(error) if error.sqlstate() == Some(sqlstate::IN_USE) => {}
                other => other?,
            }
        } else if start.elapsed() > RELEASED_WITHIN {
            let alive = seen.receiver.as_ref().and_then(|r| r.heard_ago).is_some_and(|ago| ago < ALIVE);
            if alive {
                return Err(precondition(format!("slot {slot} is read by a live receiver: stop that first")));
            }
            // A receiver whose host is gone holds the slot until a timeout: its session is ended.
            session.run("SELECT pg_terminate_backend($1)", &[&seen.active_pid]).await?;
        }
        if session.left() < EVERY * 4 {
            return Err(too_slow(format!("slot {slot} stays in use by session {:?}", seen.active_pid)));
        }
        pauses.wait().await;
    }
}
