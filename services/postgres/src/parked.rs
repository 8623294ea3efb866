//! Connections that wait for their next use: a new one costs a process at the server, which has everything to
//! learn again, and that would be felt within the gap of a move.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::session::Connection;

/// So many wait at most.
const MAX: usize = 2;
/// One that waited longer is not trusted any more: something between us may have forgotten it.
const OLD: Duration = Duration::from_secs(60);

/// Those of one server, for one resource; and whether a session was given up in the middle, whose statement the
/// server may still be carrying out.
pub(crate) struct Parking {
    all: Mutex<Vec<(Instant, Connection)>>,
    given_up: AtomicBool,
}

impl Default for Parking {
    /// Of an earlier life nothing is known: the first act looks.
    fn default() -> Self {
        Parking { all: Mutex::default(), given_up: AtomicBool::new(true) }
    }
}

impl std::fmt::Debug for Parking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parking")
    }
}

impl Parking {
    /// The one that was used last, if it was opened with this connection string. Others are closed.
    pub(crate) fn take(&self, dsn: &str) -> Option<Connection> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(since, connection)| since.elapsed() < OLD && connection.dsn == dsn);
        all.pop().map(|(_, connection)| connection)
    }

    /// A session ended otherwise than well.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    /// Whether one was given up, and none was seen gone since.
    pub(crate) fn was_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// What was given up was seen gone.
    pub(crate) fn is_gone(&self) {
        self.given_up.store(false, Ordering::SeqCst);
    }

    /// Keeps one on which nothing is under way.
    pub(crate) fn park(&self, connection: Connection) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MAX {
            all.push((Instant::now(), connection));
        }
    }
}
