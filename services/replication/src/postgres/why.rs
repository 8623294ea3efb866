//! Why a receiver fails. PostgreSQL counts a worker's errors, and tells their reason in its own log alone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postgres::{Lsn, Session};

use super::seen::Receiver;
use crate::server_log;

/// A receiver whose errors rose fails until it got on, or none came for so long.
const CALM: Duration = Duration::from_secs(20);
/// The log is read again after this.
const READ_EVERY: Duration = Duration::from_secs(3);
/// One that takes longer lies on something that hangs.
const READ_WITHIN: Duration = Duration::from_millis(500);
const NO_KEY: &str =
    "why, its server's log alone says: `server_log` of this resource in the host's file shows it here";

/// What one life of a service knows of a receiver's errors.
#[derive(Debug)]
pub(super) struct Why {
    log: Option<PathBuf>,
    /// Somebody reads it, or waits for its disk.
    reading: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Errors of apply and of copies, when it was looked last.
    counted: Option<(i64, i64)>,
    /// When errors of apply rose last, and what was applied then.
    apply: Option<(Instant, Option<Lsn>)>,
    /// When errors of copies rose last, and how many tables were there.
    copies: Option<(Instant, u64)>,
    /// When the log was read last, and what it said.
    read: Option<(Instant, String)>,
}

impl Why {
    /// `log`: the server's log, where the operator names it.
    pub(super) fn new(log: Option<PathBuf>) -> Self {
        Self { log, reading: Arc::default(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with a receiver that should apply, with the reason where the server's log has it. A worker that was
    /// just started again after an error is no better than none: one look in ten seconds would meet either.
    pub(super) async fn trouble(
        &self,
        session: &Session,
        subscription: &str,
        seen: &Receiver,
    ) -> Option<String> {
        let fails = self.state().fails(seen, Instant::now());
        let found = seen.trouble();
        let text = match found {
            // Of these the log knows nothing more.
            Some(found) if seen.pid.is_some() || !seen.sentinel => return Some(found),
            Some(found) => found,
            None if fails => format!("its worker failed, {} errors so far", seen.errors()),
            None => return None,
        };
        let reason = self.reason(session, subscription).await;
        Some(format!("{text}; {reason}"))
    }

    /// The reason of the last error in the words of the server's log, or where it stands.
    pub(super) async fn reason(&self, session: &Session, subscription: &str) -> String {
        let Some(log) = &self.log else { return NO_KEY.into() };
        let known = self.state().read.clone();
        if let Some((_, said)) = known.filter(|(at, _)| at.elapsed() < READ_EVERY) {
            return said;
        }
        // Without its number, a worker is known by its start only.
        let sql = "SELECT coalesce(to_jsonb(pointsman.subscription($1)::bigint), 'null')";
        let number: Option<i64> = session.json(sql, &[&subscription]).await.unwrap_or_default();
        let said = match self.tail(log.clone()).await {
            Ok(text) => match server_log::reason(&text, subscription, number) {
                Some(reason) => format!("its server's log says: {reason}"),
                None => format!(
                    "{} has no error of it within its last {} KiB",
                    log.display(),
                    server_log::TAIL / 1024
                ),
            },
            Err(why) => format!(
                "why, its server's log says, and `server_log` {} cannot be read: {why}",
                log.display()
            ),
        };
        self.state().read = Some((Instant::now(), said.clone()));
        said
    }

    async fn tail(&self, log: PathBuf) -> Result<String, String> {
        if self.reading.swap(true, Ordering::SeqCst) {
            return Err("an earlier read has not ended".into());
        }
        let reading = Arc::clone(&self.reading);
        let read = tokio::task::spawn_blocking(move || {
            let read = server_log::tail(&log);
            reading.store(false, Ordering::SeqCst);
            read
        });
        match tokio::time::timeout(READ_WITHIN, read).await {
            Ok(Ok(read)) => read.map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it took longer than {} ms", READ_WITHIN.as_millis())),
        }
    }
}

impl State {
    /// Whether errors rose, and it has not got on since.
    fn fails(&mut self, seen: &Receiver, now: Instant) -> bool {
        if !seen.exists || !seen.enabled {
            *self = State::default();
            return false;
        }
        let counts = (seen.apply_errors.unwrap_or(0), seen.sync_errors.unwrap_or(0));
        let before = self.counted.replace(counts).unwrap_or(counts);
        let calm = |at: Instant| now.duration_since(at) >= CALM;
        if counts.0 > before.0 {
            self.apply = Some((now, seen.position));
        } else {
            self.apply = self.apply.filter(|(at, applied)| seen.position <= *applied && !calm(*at));
        }
        let (ready, _) = seen.tables();
        if counts.1 > before.1 {
            self.copies = Some((now, ready));
        } else {
            self.copies = self.copies.filter(|(at, there)| ready <= *there && !calm(*at));
        }
        self.apply.is_some() || self.copies.is_some()
    }
}
