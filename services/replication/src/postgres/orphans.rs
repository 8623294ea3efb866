//! What a source that was left has committed and its receiver never applied: counted now and then while it is closed, by
//! the ledger's own reader, so that `status` tells it before anybody decides how that site comes home.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postgres::{Lsn, PgError, Session, sqlstate};
use serde::Deserialize;

use super::export;
use super::seen::Source;
use super::{Half, PostgresReplication, precondition};
use crate::ledger::Reading;

/// So long after it was seen open, and after the last act or claim here: nothing is read in the gap of a move, nor while a
/// run works on the slot.
const QUIET: Duration = Duration::from_secs(10);
/// Nothing is committed any more, so what was counted stays; once in so long it is looked at all the same.
const AGAIN: Duration = Duration::from_secs(600);
/// Where it could not be counted.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// All that is asked here.
const WITHIN: Duration = Duration::from_secs(2);
/// How long the other site may take.
const PEER_WITHIN: Duration = Duration::from_secs(1);
/// Changes, with beginnings and ends of transactions, that are looked through.
const CHANGES_MAX: i32 = 100_000;

/// Whether this is a source where nobody writes or can, with a slot that nobody reads.
const LEFT: &str = "
SELECT coalesce((SELECT jsonb_build_object('changes', coalesce((SELECT changes FROM pointsman.access), 0),
    'confirmed', s.confirmed_flush_lsn::text)
  FROM pg_replication_slots s
 WHERE s.slot_name = $1 AND NOT s.active AND s.database = current_database() AND s.confirmed_flush_lsn IS NOT NULL
   AND NOT EXISTS (SELECT FROM pointsman.seen_access() a
      WHERE (a.enters AND a.writable > 0) OR a.writing > 0 OR a.prepared > 0)), 'null')";

/// At the other site: up to where a stopped subscription on this slot has applied.
const APPLIED: &str = "
SELECT coalesce((SELECT to_jsonb(r.position::text) FROM pointsman.receiver r, pointsman.identity i
  WHERE r.slot = $1 AND r.stopped IS NOT NULL AND r.position IS NOT NULL
    AND i.resource = $2 AND i.site <> $3), 'null')";

/// What one life of a service knows of them.
#[derive(Debug)]
pub(super) struct Orphans {
    /// Held by whoever works on the slot: an act, or a count.
    slot: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last act or claim, or when it was seen open.
    touched: Instant,
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    of: Left,
    at: Instant,
    found: schemas::Orphans,
}

/// What has to stay for a count to hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Left {
    /// How often Pointsman has changed its access.
    changes: i64,
    confirmed: Lsn,
}

impl Orphans {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        let state = State { touched: Instant::now(), counted: None };
        Self { slot: tokio::sync::Mutex::new(()), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run works here.
    pub(super) fn touched(&self) {
        self.state().touched = Instant::now();
    }

    /// The slot is the caller's until this is dropped. A count that is under way ends first.
    pub(super) async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.slot.lock().await
    }

    /// What was counted last, if it still holds.
    pub(super) fn known(&self) -> Option<schemas::Orphans> {
        self.state().counted.as_ref().map(|counted| counted.found.clone())
    }

    /// It is open: whatever was counted, users write.
    pub(super) fn open(&self) {
        *self.state() = State { touched: Instant::now(), counted: None };
    }

    /// Counts, where that is due.
    pub(super) async fn tend(&self, driver: &PostgresReplication) -> Result<(), PgError> {
        let Half::Source { slot, publication, .. } = &driver.settings.half else { return Ok(()) };
        if self.state().touched.elapsed() < QUIET {
            return Ok(());
        }
        // While an act works on the slot, there is nothing to see.
        let Ok(_alone) = self.slot.try_lock() else { return Ok(()) };
        let session = driver.server.look(WITHIN).await?;
        let Some(left) = session.json::<Option<Left>>(LEFT, &[slot]).await? else {
            self.state().counted = None;
            return Ok(());
        };
        if !self.state().is_due(&left) {
            return Ok(());
        }
        let found = match count(driver, &session, slot, publication).await {
            Ok(found) => found,
            Err(error) => unknown(error.to_string()),
        };
        self.state().counted = Some(Counted { of: left, at: Instant::now(), found });
        Ok(())
    }
}

impl State {
    fn is_due(&self, left: &Left) -> bool {
        self.counted.as_ref().is_none_or(|counted| {
            let holds = if counted.found.unknown.is_some() { TRY_AGAIN } else { AGAIN };
            counted.of != *left || counted.at.elapsed() >= holds
        })
    }
}

fn unknown(why: String) -> schemas::Orphans {
    schemas::Orphans { transactions: 0, rows: 0, more: false, unknown: Some(why), at: chrono::Utc::now() }
}

async fn count(
    driver: &PostgresReplication,
    session: &Session,
    slot: &str,
    publication: &str,
) -> Result<schemas::Orphans, PgError> {
    let Some(applied) = applied(driver, slot).await? else {
        return Ok(unknown("nobody noted up to where the other site has applied".into()));
    };
    let seen = Source::see(session, slot, publication).await?;
    export::possible(&seen, slot, publication, applied).map_err(precondition)?;
    let mut reading = Reading::beyond(applied);
    let mut changes = 0_i32;
    let take = |bytes: &[u8]| {
        changes = changes.saturating_add(1);
        reading.count(bytes)
    };
    export::peek(session, slot, publication, Some(CHANGES_MAX), take).await?;
    let found = reading.counted().map_err(|error| export::told(&error))?;
    let more = changes >= CHANGES_MAX;
    if more && found.rows == 0 {
        return Ok(unknown(format!("it is beyond the first {CHANGES_MAX} changes of slot {slot}")));
    }
    let (transactions, rows) = (found.transactions, found.rows);
    Ok(schemas::Orphans { transactions, rows, more, unknown: None, at: chrono::Utc::now() })
}

/// As the export is told it later by the run.
async fn applied(driver: &PostgresReplication, slot: &str) -> Result<Option<Lsn>, PgError> {
    let Some(peer) = &driver.peer else { return Err(PgError::NotNamed("peer")) };
    let there = peer.look(PEER_WITHIN).await?;
    let database = driver.settings.database.as_str();
    match there.json(APPLIED, &[&slot, &database, &driver.site]).await {
        // An older set-up lets the peer's role see nothing of a receiver.
        Err(error) if error.sqlstate() == Some(sqlstate::FORBIDDEN) => Err(precondition(format!(
            "the set-up of the other site is older: pointsman setup postgres --print there ({error})"
        ))),
        other => other,
    }
}
