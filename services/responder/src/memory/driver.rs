//! A driver on a world.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemas::{Action, Code, Epoch, GroupId, Problem, RunId, Seen};
use serde_json::Value;

use super::world::{Order, Point, Statement, World};
use crate::{Act, Driver, DriverError, Look};

/// What one kind of resource is in a [`World`].
pub trait Model: Send + Sync + 'static {
    /// The actions that it knows.
    fn actions(&self) -> &[Action];

    /// Whether the arguments can be carried out at all.
    ///
    /// # Errors
    ///
    /// The problem with which the request is refused.
    fn check(&self, action: Action, args: &Value) -> Result<(), Problem> {
        let _ = (action, args);
        Ok(())
    }

    /// Whether `action` is in effect in `state`; `InEffect` holds what the act would return.
    fn look(&self, action: Action, args: &Value, state: &Value) -> Look;

    /// The state after `action`.
    ///
    /// # Errors
    ///
    /// The state does not allow it; nothing is changed.
    fn after(&self, action: Action, args: &Value, state: &Value) -> Result<Value, DriverError>;

    /// What is seen of `state`; `epoch` is the one that the resource itself holds.
    fn seen(&self, state: &Value, epoch: Option<Epoch>) -> Seen;
}

/// The memory driver of one resource.
pub struct MemoryDriver<M> {
    world: World,
    resource: String,
    model: Arc<M>,
}

impl<M: Model> MemoryDriver<M> {
    /// The resource of that name in `world`; its state is `null` until it is set.
    pub fn new(world: World, resource: impl Into<String>, model: M) -> Self {
        MemoryDriver { world, resource: resource.into(), model: Arc::new(model) }
    }

    fn down(&self) -> DriverError {
        DriverError::not_done(Code::Unreachable, format!("{} does not answer", self.resource))
    }
}

/// Leaves the statement behind as an orphan when the act is dropped in the middle.
struct Author<'a> {
    world: &'a World,
    statement: Statement,
    done: bool,
}

impl Drop for Author<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.world.orphan(self.statement);
        }
    }
}

#[async_trait]
impl<M: Model> Driver for MemoryDriver<M> {
    fn actions(&self) -> &[Action] {
        self.model.actions()
    }

    fn by_hand(&self, _group: &GroupId, action: Action, _args: &Value) -> Vec<String> {
        vec![format!("# a rehearsal: {} {} in memory", self.resource, action.as_str())]
    }

    async fn check(&self, action: Action, args: &Value) -> Result<(), Problem> {
        self.model.check(action, args)
    }

    async fn observe(&self) -> Result<Seen, DriverError> {
        if self.world.is_down(&self.resource) {
            return Err(self.down());
        }
        let epoch = self.world.epoch(&self.resource).map(|(epoch, _)| epoch);
        Ok(self.model.seen(&self.world.state(&self.resource), epoch))
    }

    async fn look(&self, action: Action, args: &Value) -> Look {
        if self.world.is_down(&self.resource) {
            return Look::CannotTell(format!("{} does not answer", self.resource));
        }
        self.model.look(action, args, &self.world.state(&self.resource))
    }

    async fn act(&self, act: &Act) -> Result<Value, DriverError> {
        let (model, action, args) = (self.model.clone(), act.action, act.args.clone());
        let not_after = act.not_after;
        let make = move |state: &Value| {
            if not_after.is_some_and(|end| Instant::now() > end) {
                return Err(DriverError::not_done(Code::NotConfirmed, "the yes is too old"));
            }
            model.after(action, &args, state)
        };
        let statement = self.world.begin(Order {
            resource: self.resource.clone(),
            key: act.key.clone(),
            attempt: act.attempt,
            epoch: act.epoch,
            run: act.run,
            action: act.action,
            make: Arc::new(make),
        })?;
        let mut author = Author { world: &self.world, statement, done: false };
        let ended = async {
            loop {
                let pass = self.world.pass(statement).await;
                pass.map_err(|_| DriverError::not_done(Code::Failed, "the statement was ended"))?;
                if self.world.advance(statement)? == Point::Ended {
                    return Ok(());
                }
            }
        };
        let ended: Result<(), DriverError> = ended.await;
        author.done = true;
        ended?;
        match self.look(act.action, &act.args).await {
            Look::InEffect(output) => Ok(output),
            Look::NotInEffect(found) => {
                Err(DriverError::not_done(Code::Failed, format!("it is not in effect afterwards: {found}")))
            }
            Look::CannotTell(why) => Err(DriverError::unknown(Code::Unreachable, why)),
        }
    }

    async fn end_earlier(&self, _within: Duration) -> Result<(), DriverError> {
        self.world.end_orphans(&self.resource)
    }

    async fn raise_epoch(&self, _group: &GroupId, epoch: Epoch, run: RunId) -> Result<(), DriverError> {
        self.world.raise_epoch(&self.resource, epoch, run)
    }
}
