//! Resources, their states, and the statements on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::{Action, Attempt, Code, Epoch, Key, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use crate::DriverError;

/// Where a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// It is at the resource; nothing was looked at yet.
    Begun,
    /// The resource compared its epoch; the effect comes next.
    Checked,
    /// It took effect; its author does not know yet.
    Effect,
    /// Its author knows.
    Ended,
}

/// The name of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statement(u64);

/// The statement was ended before it took effect, and never will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// One effect that a resource has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effected {
    /// On which resource.
    pub resource: String,
    /// For which key.
    pub key: Key,
    /// Of which attempt.
    pub attempt: Attempt,
    /// In which epoch.
    pub epoch: Epoch,
    /// What was done.
    pub action: Action,
    /// The state afterwards.
    pub after: Value,
}

/// What a statement makes of a state. Asked when it takes effect, not before.
pub(crate) type Make = Arc<dyn Fn(&Value) -> Result<Value, DriverError> + Send + Sync>;

/// What is done, for whom.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) resource: String,
    pub(crate) key: Key,
    pub(crate) attempt: Attempt,
    pub(crate) epoch: Epoch,
    pub(crate) run: RunId,
    pub(crate) action: Action,
    pub(crate) make: Make,
}

struct Running {
    order: Order,
    at: Point,
    orphan: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    states: BTreeMap<String, Value>,
    epochs: BTreeMap<String, (Epoch, RunId)>,
    effects: Vec<Effected>,
}

#[derive(Default)]
struct Inner {
    stored: Stored,
    file: Option<PathBuf>,
    statements: BTreeMap<Statement, Running>,
    next: u64,
    held: BTreeSet<(String, Point)>,
    unendable: BTreeSet<String>,
    down: BTreeSet<String>,
}

/// Resources by name, their states, and every effect that they saw. Clones share it.
#[derive(Clone, Default)]
pub struct World {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("World").field("states", &inner.stored.states).finish_non_exhaustive()
    }
}

impl World {
    /// A world in which every state is `null`.
    pub fn new() -> World {
        World::default()
    }

    /// A world that outlives the process in a file, so that a service can be killed and another
    /// process can look. Orphans do not outlive it.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub fn in_file(path: PathBuf) -> std::io::Result<World> {
        let stored = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Stored::default(),
            Err(error) => return Err(error),
        };
        let inner = Inner { stored, file: Some(path), ..Inner::default() };
        Ok(World { inner: Arc::new(Mutex::new(inner)), changed: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, inner: MutexGuard<'_, Inner>) {
        drop(inner);
        self.changed.notify_waiters();
    }

    /// The state of a resource.
    pub fn state(&self, resource: &str) -> Value {
        self.lock().stored.states.get(resource).cloned().unwrap_or_default()
    }

    /// Somebody changes it by hand; not counted as an effect.
    pub fn set(&self, resource: &str, state: Value) {
        let mut inner = self.lock();
        inner.stored.states.insert(resource.into(), state);
        inner.save();
        self.changed(inner);
    }

    /// Every effect on a resource so far, in order.
    pub fn effects(&self, resource: &str) -> Vec<Effected> {
        self.lock().stored.effects.iter().filter(|e| e.resource == resource).cloned().collect()
    }

    /// Every effect so far, in order.
    pub fn all_effects(&self) -> Vec<Effected> {
        self.lock().stored.effects.clone()
    }

    /// The epoch that the resource itself holds, and its run.
    pub fn epoch(&self, resource: &str) -> Option<(Epoch, RunId)> {
        self.lock().stored.epochs.get(resource).copied()
    }

    /// From now on statements on `resource` stop at `point` until [`World::release`].
    pub fn hold(&self, resource: &str, point: Point) {
        self.lock().held.insert((resource.into(), point));
    }

    /// Statements on `resource` stop at `point` no longer.
    pub fn release(&self, resource: &str, point: Point) {
        let mut inner = self.lock();
        inner.held.remove(&(resource.to_owned(), point));
        self.changed(inner);
    }

    /// The resource does not answer: looks cannot tell, statements are not taken.
    pub fn set_down(&self, resource: &str, down: bool) {
        let mut inner = self.lock();
        match down {
            true => inner.down.insert(resource.into()),
            false => inner.down.remove(resource),
        };
        self.changed(inner);
    }

    /// Whether it does not answer.
    pub fn is_down(&self, resource: &str) -> bool {
        self.lock().down.contains(resource)
    }

    /// Whether orphans of `resource` can be seen gone; by default they can.
    pub fn set_endable(&self, resource: &str, endable: bool) {
        let mut inner = self.lock();
        match endable {
            true => inner.unendable.remove(resource),
            false => inner.unendable.insert(resource.into()),
        };
    }

    /// Statements on `resource` that have not ended, with where they stand.
    pub fn statements(&self, resource: &str) -> Vec<(Statement, Point)> {
        let inner = self.lock();
        inner
            .statements
            .iter()
            .filter(|(_, s)| s.order.resource == resource)
            .map(|(n, s)| (*n, s.at))
            .collect()
    }

    /// Statements on `resource` whose service is gone and that may still take effect.
    pub fn orphans(&self, resource: &str) -> Vec<Statement> {
        let inner = self.lock();
        let on = |s: &Running| s.orphan && s.order.resource == resource;
        inner.statements.iter().filter(|(_, s)| on(s)).map(|(n, _)| *n).collect()
    }

    /// Waits until a statement on `resource` stands at `point`. The caller bounds it.
    pub async fn reached(&self, resource: &str, point: Point) -> Statement {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some((found, _)) = self.statements(resource).into_iter().find(|(_, at)| *at == point) {
                return found;
            }
            changed.await;
        }
    }

    /// A statement arrives at its resource.
    ///
    /// # Errors
    ///
    /// The resource does not answer.
    pub(crate) fn begin(&self, order: Order) -> Result<Statement, DriverError> {
        let mut inner = self.lock();
        if inner.down.contains(&order.resource) {
            return Err(DriverError::not_done(
                Code::Unreachable,
                format!("{} does not answer", order.resource),
            ));
        }
        inner.next += 1;
        let statement = Statement(inner.next);
        inner.statements.insert(statement, Running { order, at: Point::Begun, orphan: false });
        self.changed(inner);
        Ok(statement)
    }

    /// Moves a statement to its next point; an orphan too.
    ///
    /// # Errors
    ///
    /// Its resource refused it (an older epoch, a state that does not fit); it is gone then.
    pub fn advance(&self, statement: Statement) -> Result<Point, DriverError> {
        let mut inner = self.lock();
        let result = inner.advance(statement);
        self.changed(inner);
        result
    }

    /// Waits while statements are held where this one stands.
    pub(crate) async fn pass(&self, statement: Statement) -> Result<(), Gone> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let inner = self.lock();
                let Some(running) = inner.statements.get(&statement) else { return Err(Gone) };
                if !inner.held.contains(&(running.order.resource.clone(), running.at)) {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// The service that made the statement is gone; the statement is not.
    pub fn orphan(&self, statement: Statement) {
        let mut inner = self.lock();
        match inner.statements.get_mut(&statement) {
            Some(running) if running.at < Point::Effect => running.orphan = true,
            _ => drop(inner.statements.remove(&statement)),
        }
        self.changed(inner);
    }

    /// Ends what services left behind on `resource`; returns once none can take effect.
    ///
    /// # Errors
    ///
    /// They cannot be seen gone ([`World::set_endable`]), or the resource does not answer.
    pub fn end_orphans(&self, resource: &str) -> Result<(), DriverError> {
        let mut inner = self.lock();
        if inner.down.contains(resource) || inner.unendable.contains(resource) {
            return Err(DriverError::not_done(Code::EarlierUnended, format!("{resource} cannot be seen")));
        }
        inner.statements.retain(|_, s| !(s.orphan && s.order.resource == resource));
        self.changed(inner);
        Ok(())
    }

    /// Raises the epoch that the resource itself holds.
    ///
    /// # Errors
    ///
    /// It holds a higher one, or this one for another run.
    pub fn raise_epoch(&self, resource: &str, epoch: Epoch, run: RunId) -> Result<(), DriverError> {
        let mut inner = self.lock();
        let result = inner.raise(resource, epoch, run);
        inner.save();
        self.changed(inner);
        result
    }
}

impl Inner {
    fn raise(&mut self, resource: &str, epoch: Epoch, run: RunId) -> Result<(), DriverError> {
        match self.stored.epochs.get(resource) {
            Some((held, _)) if *held > epoch => {
                Err(DriverError::not_done(Code::StaleEpoch, format!("{resource} holds epoch {held}")))
            }
            Some((held, other)) if *held == epoch && *other != run => {
                Err(DriverError::not_done(Code::EpochTaken, format!("{resource} holds it for run {other}")))
            }
            _ => {
                self.stored.epochs.insert(resource.into(), (epoch, run));
                Ok(())
            }
        }
    }

    fn advance(&mut self, statement: Statement) -> Result<Point, DriverError> {
        let gone = || DriverError::not_done(Code::Failed, "the statement was ended");
        let Some(running) = self.statements.get(&statement) else { return Err(gone()) };
        let order = running.order.clone();
        let next = match running.at {
            Point::Begun => self.raise(&order.resource, order.epoch, order.run).map(|()| Point::Checked),
            Point::Checked => self.take_effect(&order).map(|()| Point::Effect),
            Point::Effect | Point::Ended => Ok(Point::Ended),
        };
        match (next, self.statements.get_mut(&statement)) {
            (Ok(Point::Ended), _) => {
                self.statements.remove(&statement);
                Ok(Point::Ended)
            }
            (Ok(point), Some(running)) => {
                running.at = point;
                if running.orphan && point == Point::Effect {
                    self.statements.remove(&statement);
                }
                Ok(point)
            }
            (Ok(_), None) => Err(gone()),
            (Err(error), _) => {
                self.statements.remove(&statement);
                Err(error)
            }
        }
    }

    fn take_effect(&mut self, order: &Order) -> Result<(), DriverError> {
        let before = self.stored.states.get(&order.resource).cloned().unwrap_or_default();
        let after = (order.make)(&before)?;
        self.stored.states.insert(order.resource.clone(), after.clone());
        self.stored.effects.push(Effected {
            resource: order.resource.clone(),
            key: order.key.clone(),
            attempt: order.attempt,
            epoch: order.epoch,
            action: order.action,
            after,
        });
        self.save();
        Ok(())
    }

    /// A rehearsal's file: written whole, not synced. What cannot be written is only said.
    fn save(&self) {
        let Some(path) = &self.file else { return };
        let part = path.with_extension("part");
        let saved = serde_json::to_vec(&self.stored)
            .map_err(std::io::Error::from)
            .and_then(|bytes| std::fs::write(&part, bytes))
            .and_then(|()| std::fs::rename(&part, path));
        if let Err(error) = saved {
            tracing::warn!(file = %path.display(), %error, "the memory world could not be saved");
        }
    }
}
