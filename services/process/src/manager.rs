//! What a driver needs from whatever runs services on a host.

use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use responder::{Act, DriverError};
use schemas::{CheckLine, Problem};
use serde_json::Value;

/// Whether anything of a service runs, forked children included.
#[derive(Debug, Clone, PartialEq)]
pub enum Presence {
    /// It does, and its start is over; with the manager's own words.
    Running(Value),
    /// It is being started or stopped, by whomever.
    Changing(Value),
    /// It is stopped as far as its manager is concerned, and something of it was left behind.
    Remains(Value),
    /// Nothing of it does, and nothing is about to.
    Stopped(Value),
    /// It cannot be seen, in a sentence.
    CannotTell(String),
}

/// Runs one service. Both acts may come twice, the second time after a crash in the middle of the first.
#[async_trait]
pub trait Manager: Send + Sync + 'static {
    /// Whether an act can be carried out at all; changes nothing.
    ///
    /// # Errors
    ///
    /// The problem with which the request is refused.
    async fn check(&self) -> Result<(), Problem>;

    /// What would stand in the way of a start or a stop, and who else can start it.
    async fn preflight(&self) -> Vec<CheckLine>;

    /// How a person starts or stops it without this program: lines for a shell.
    fn by_hand(&self, start: bool) -> Vec<String>;

    /// Whether anything of it runs; changes nothing.
    async fn presence(&self) -> Presence;

    /// Whether [`Manager::presence`] can ever tell. If not, an act is never repeated.
    fn can_look(&self) -> bool;

    /// Whether [`Presence::Stopped`] proves that nothing of it runs. If not, a stop is carried out whatever is seen: it
    /// may be repeated.
    fn proves_stopped(&self) -> bool {
        true
    }

    /// Starts it; returns once the manager says that it has been started. Health is looked at afterwards.
    ///
    /// # Errors
    ///
    /// [`DriverError::NotDone`] only if nothing was started or nothing of it runs.
    async fn start(&self, act: &Act, deadline: Instant) -> Result<(), DriverError>;

    /// Stops it; returns once the manager has done what it does. That nothing is left is looked at afterwards.
    ///
    /// # Errors
    ///
    /// [`DriverError::NotDone`] only if the stop itself has ended.
    async fn stop(&self, act: &Act, deadline: Instant) -> Result<(), DriverError>;

    /// Returns once no act of an earlier life can take effect any more.
    ///
    /// # Errors
    ///
    /// What could not be seen ended.
    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError>;
}
