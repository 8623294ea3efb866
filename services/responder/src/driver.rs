//! What a service needs from the world: one look, one act at a time, and an end to earlier acts.
//!
//! Drivers know nothing of claims, epochs of other runs, ledgers, attempts or the bus: those are the
//! responder's. A driver is asked one thing at a time for its resource, except `observe` and `look`,
//! which may come beside an act.
//!
//! What a driver does up to its first wait runs on the service's own thread, the rest in a task of its own: what
//! blocks belongs into `spawn_blocking`.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemas::{Action, Attempt, CheckLine, Code, Epoch, GroupId, Key, Problem, RunId, Seen};
use serde_json::Value;
use thiserror::Error;

/// Whether the state that an action reaches is in effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// It is; with what the act would have returned.
    InEffect(Value),
    /// It is not; with what was found instead.
    NotInEffect(Value),
    /// The look itself failed, in a sentence.
    CannotTell(String),
}

/// One act, as the responder hands it down after everything was checked and `started` is durable.
#[derive(Debug, Clone)]
pub struct Act {
    /// What to reach.
    pub action: Action,
    /// The request's body, unchanged.
    pub args: Value,
    /// The group on whose behalf.
    pub group: GroupId,
    /// The epoch to compare and write where the resource itself can hold one.
    pub epoch: Epoch,
    /// The run, likewise.
    pub run: RunId,
    /// For logs and scripts.
    pub key: Key,
    /// For logs and scripts.
    pub attempt: Attempt,
    /// The act ends within this, from now.
    pub within: Duration,
    /// Openings only: it must never take effect later than this (the runner's yes counts so long).
    pub not_after: Option<Instant>,
}

/// How an act ended without reaching its state.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DriverError {
    /// Nothing was started, or it ended, was looked at and is not in effect; nothing of it runs.
    #[error("{code}: {detail}")]
    NotDone {
        /// A stable code.
        code: Code,
        /// What happened, in the driver's words.
        detail: String,
    },
    /// It may be in effect, or may come into effect later.
    #[error("in doubt ({code}): {detail}")]
    Unknown {
        /// A stable code.
        code: Code,
        /// What happened, in the driver's words.
        detail: String,
    },
}

impl DriverError {
    /// Nothing was done.
    pub fn not_done(code: Code, detail: impl Into<String>) -> Self {
        DriverError::NotDone { code, detail: detail.into() }
    }

    /// It may have been done.
    pub fn unknown(code: Code, detail: impl Into<String>) -> Self {
        DriverError::Unknown { code, detail: detail.into() }
    }

    /// As it is told to the runner.
    pub fn problem(&self) -> Problem {
        match self {
            DriverError::NotDone { code, detail } => Problem::new(*code, detail.clone()),
            DriverError::Unknown { code, detail } => Problem::new(Code::InDoubt, format!("{code}: {detail}")),
        }
    }
}

/// The hands of one resource.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// The actions that it can do; others are refused before anything is written.
    fn actions(&self) -> &[Action];

    /// Whether the arguments of an action can be carried out at all (a role that cannot be closed, a
    /// site without address). Changes nothing; asked before `started` is written.
    ///
    /// # Errors
    ///
    /// The problem with which the request is refused.
    async fn check(&self, action: Action, args: &Value) -> Result<(), Problem>;

    /// How a person reaches the state of an action without this program: lines for a shell, with the real
    /// names and paths and without a secret. None where there is no other way than this program.
    fn by_hand(&self, group: &GroupId, action: Action, args: &Value) -> Vec<String> {
        let _ = (group, action, args);
        Vec::new()
    }

    /// What would stand in the way of this resource's acts, by day, before they are needed; changes nothing,
    /// and never takes longer than a few seconds. Each line that is not green names its remedy.
    async fn preflight(&self) -> Vec<CheckLine> {
        Vec::new()
    }

    /// What is true now; changes nothing.
    ///
    /// # Errors
    ///
    /// Why it could not be seen.
    async fn observe(&self) -> Result<Seen, DriverError>;

    /// Whether the state that `action` reaches is in effect; changes nothing.
    async fn look(&self, action: Action, args: &Value) -> Look;

    /// Reaches the state of `act.action`, verifies it, returns the act's output. May come twice, the
    /// second time after a crash in the middle of the first.
    ///
    /// # Errors
    ///
    /// [`DriverError::NotDone`] only if nothing of it can take effect any more.
    async fn act(&self, act: &Act) -> Result<Value, DriverError>;

    /// Returns once nothing that an earlier life of this service started on this resource can take
    /// effect any more: sessions terminated or awaited, scripts' locks taken, until seen gone.
    ///
    /// # Errors
    ///
    /// What could not be seen gone.
    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError>;

    /// How often [`Driver::tend`] is called while the host is armed; never, if this says nothing.
    fn tends(&self) -> Option<Duration> {
        None
    }

    /// What the resource needs now and then, such as the heartbeat of a live database. It is no act: it belongs
    /// to no run, moves nothing, may come beside an act and at any time, and may be dropped in the middle.
    ///
    /// # Errors
    ///
    /// Why it could not be done; it is told, and tried again.
    async fn tend(&self) -> Result<(), DriverError> {
        Ok(())
    }

    /// Whether the resource is closed when it is found open after a boot, unless somebody confirms that its epoch
    /// is still the latest.
    fn closes_on_sight(&self) -> bool {
        false
    }

    /// Whether its server is started by [`Driver::start_closed`] after a boot of the host, and by nothing else.
    fn starts_closed(&self) -> bool {
        false
    }

    /// Starts the server behind the resource with its writers shut out. Asked once a boot of the host, where it does not
    /// run. Afterwards it runs, or the error says why not.
    ///
    /// # Errors
    ///
    /// It is not known to run, or nothing here starts it.
    async fn start_closed(&self) -> Result<(), DriverError> {
        Err(DriverError::not_done(Code::Refused, "its server is not started by its service"))
    }

    /// What names this life of the server behind the resource; another one after each of its starts.
    ///
    /// # Errors
    ///
    /// It cannot be seen, or it has no lives to tell apart.
    async fn life(&self) -> Result<String, DriverError> {
        Err(DriverError::not_done(Code::Refused, "it has no lives to tell apart"))
    }

    /// Raises the epoch that the resource itself holds, where it can hold one (a database's row).
    /// Refuses a lower one and an equal one of another run.
    ///
    /// # Errors
    ///
    /// The claim is then refused with it.
    async fn raise_epoch(&self, group: &GroupId, epoch: Epoch, run: RunId) -> Result<(), DriverError>;
}
