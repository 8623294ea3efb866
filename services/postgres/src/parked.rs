//! Connections that wait for their next use: a new one costs a process at the server, which has everything to
//! learn again, and that would be felt within the gap of a move. The resources of one start of a service share
//! them; each takes the one that it used itself before, whose server process knows its statements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::server::Identity;
use crate::session::Connection;

/// So many wait at most, of those to one database.
const MAX: usize = 6;
/// One that waited longer is not trusted any more: something between us may have forgotten it.
const OLD: Duration = Duration::from_secs(60);

/// One start of a service: its number, and the connections that wait. Clones share them.
#[derive(Clone, Default)]
pub struct Life {
    id: Uuid,
    parked: Arc<Mutex<Parked>>,
}

/// Those that wait; the one that was used last is the last one.
type Parked = HashMap<To, Vec<Waiting>>;

struct Waiting {
    since: Instant,
    /// Who used it.
    by: String,
    connection: Connection,
}

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

    /// The one that `by` used last, or else anybody; and when. Those that waited too long, to wherever, are closed.
    pub(crate) fn take(&self, to: &To, by: &str) -> Option<(Instant, Connection)> {
        let mut parked = self.parked();
        parked.retain(|_, all| {
            all.retain(|waiting| waiting.since.elapsed() < OLD);
            !all.is_empty()
        });
        let all = parked.get_mut(to)?;
        let own = all.iter().rposition(|waiting| waiting.by == by);
        let Waiting { since, connection, .. } = match own {
            Some(own) => all.remove(own),
            None => all.pop()?,
        };
        Some((since, connection))
    }

    /// Keeps one on which nothing is under way.
    pub(crate) fn park(&self, to: To, by: String, connection: Connection) {
        let mut parked = self.parked();
        let all = parked.entry(to).or_default();
        if all.len() < MAX {
            all.push(Waiting { since: Instant::now(), by, connection });
        }
    }
}
