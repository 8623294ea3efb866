//! Connections that wait for their next use: a new one costs a process at the server, which has everything to
//! learn again, and that would be felt within the gap of a move. The resources of one start of a service share
//! them, so that the one that was used last, whose server process knows most, is used next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::server::Identity;
use crate::session::Connection;

/// So many wait at most, of those to one database.
const MAX: usize = 4;
/// One that waited longer is not trusted any more: something between us may have forgotten it.
const OLD: Duration = Duration::from_secs(60);

/// One start of a service: its number, and the connections that wait. Clones share them.
#[derive(Clone, Default)]
pub struct Life {
    id: Uuid,
    parked: Arc<Mutex<Parked>>,
}

/// Those that wait, each since when; the one that was used last is the last one.
type Parked = HashMap<To, Vec<(Instant, Connection)>>;

/// Where a connection goes and as what it was seen there.
pub(crate) type To = (String, Option<Identity>);

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Life").field(&self.id).finish()
    }
}

impl Life {
    /// The start that is called `id`, new for each; nothing waits yet.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Life { id, ..Self::default() }
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    fn parked(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, and when. Those that waited too long, to wherever, are closed.
    pub(crate) fn take(&self, to: &To) -> Option<(Instant, Connection)> {
        let mut parked = self.parked();
        parked.retain(|_, all| {
            all.retain(|(since, _)| since.elapsed() < OLD);
            !all.is_empty()
        });
        parked.get_mut(to)?.pop()
    }

    /// Keeps one on which nothing is under way.
    pub(crate) fn park(&self, to: To, connection: Connection) {
        let mut parked = self.parked();
        let all = parked.entry(to).or_default();
        if all.len() < MAX {
            all.push((Instant::now(), connection));
        }
    }
}
