//! The core's orders to the drivers; what comes back is an input. What a driver does at once is done at once; from
//! where it first waits it goes on in a task of its own.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use schemas::{Address, Problem, Seen};
use service_core::{Acted, Effect, Input, Looked, Order};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

use crate::writer::Durable;
use crate::{Act, Driver, DriverError, Look, once};

/// How long a look or a check may take before it counts as failed.
const LOOK_WITHIN: Duration = Duration::from_secs(10);
/// A driver keeps its own bound; this much later it is dropped.
const GRACE: Duration = Duration::from_secs(5);

/// The drivers of this process, by resource.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) drivers: Arc<BTreeMap<Address, Arc<dyn Driver>>>,
    pub(crate) back: Sender<Input>,
    pub(crate) runtime: Handle,
}

impl Hands {
    /// Carries out an effect that is a driver's; gives back any other.
    pub(crate) fn take(&self, effect: Durable<Effect>) -> Taken {
        let effect = effect.into_inner();
        let address = match &effect {
            Effect::Check { address, .. }
            | Effect::Look { address, .. }
            | Effect::End { address, .. }
            | Effect::Raise { address, .. }
            | Effect::Act { address, .. }
            | Effect::See { address, .. } => address,
            Effect::Confirm { .. } | Effect::Answer { .. } => return Taken::NotMine(effect),
        };
        // The core only names resources that were registered.
        let Some(driver) = self.drivers.get(address).map(Arc::clone) else { return Taken::Later };
        let broken = broken(&effect);
        let mut carried = Box::pin(async move {
            let carried = AssertUnwindSafe(carry_out(&*driver, effect)).catch_unwind().await;
            if carried.is_err() {
                tracing::error!("a driver panicked");
            }
            carried.unwrap_or(broken)
        });
        if let Some(ended) = once::now(&mut carried) {
            return ended.map_or(Taken::Later, Taken::Ended);
        }
        let back = self.back.clone();
        self.runtime.spawn(async move {
            if let Some(input) = carried.await {
                // Fails only when the service is gone.
                let _ = back.send(input).await;
            }
        });
        Taken::Later
    }
}

/// What became of an effect.
pub(crate) enum Taken {
    /// The driver has answered.
    Ended(Input),
    /// It will.
    Later,
    /// It is no driver's.
    NotMine(Effect),
}

/// What a driver says that broke in the middle: it cannot tell.
fn broken(effect: &Effect) -> Option<Input> {
    let problem = Problem::new(schemas::Code::Internal, "the driver broke; see the service's log");
    match effect {
        Effect::Check { op, .. } => Some(Input::Checked { op: *op, result: Err(problem) }),
        Effect::Look { op, .. } => {
            Some(Input::Looked { op: *op, looked: Looked::CannotTell(problem.to_string()) })
        }
        Effect::End { op, .. } => Some(Input::Ended { op: *op, result: Err(problem) }),
        Effect::Raise { op, .. } => Some(Input::Raised { op: *op, result: Err(problem) }),
        Effect::Act { op, .. } => Some(Input::Acted { op: *op, acted: Acted::Unknown(problem) }),
        Effect::See { op, .. } => Some(Input::Seen { op: *op, seen: Seen::Nothing(problem) }),
        Effect::Confirm { .. } | Effect::Answer { .. } => None,
    }
}

pub(crate) async fn carry_out(driver: &dyn Driver, effect: Effect) -> Option<Input> {
    let slow = || Problem::new(schemas::Code::TimedOut, "the driver did not answer within its bound");
    Some(match effect {
        Effect::Check { op, action, args, .. } => {
            let result = tokio::time::timeout(LOOK_WITHIN, driver.check(action, &args)).await;
            Input::Checked { op, result: result.unwrap_or_else(|_| Err(slow())) }
        }
        Effect::Look { op, action, args, .. } => {
            let looked = match tokio::time::timeout(LOOK_WITHIN, driver.look(action, &args)).await {
                Ok(Look::InEffect(output)) => Looked::InEffect(output),
                Ok(Look::NotInEffect(found)) => Looked::NotInEffect(found),
                Ok(Look::CannotTell(why)) => Looked::CannotTell(why),
                Err(_) => Looked::CannotTell("the look did not end within its bound".into()),
            };
            Input::Looked { op, looked }
        }
        Effect::End { op, within, .. } => {
            let ended = tokio::time::timeout(within + GRACE, driver.end_earlier(within)).await;
            let result = match ended {
                Ok(result) => result.map_err(|error| error.problem()),
                Err(_) => Err(slow()),
            };
            Input::Ended { op, result }
        }
        Effect::Raise { op, group, epoch, run, .. } => {
            let raised = tokio::time::timeout(LOOK_WITHIN, driver.raise_epoch(&group, epoch, run)).await;
            let result = match raised {
                Ok(result) => result.map_err(|error| error.problem()),
                Err(_) => Err(slow()),
            };
            Input::Raised { op, result }
        }
        Effect::Act { op, order, .. } => Input::Acted { op, acted: act(driver, order).await },
        Effect::See { op, .. } => {
            let seen = match tokio::time::timeout(LOOK_WITHIN, driver.observe()).await {
                Ok(Ok(seen)) => seen,
                Ok(Err(error)) => Seen::Nothing(error.problem()),
                Err(_) => Seen::Nothing(slow()),
            };
            Input::Seen { op, seen }
        }
        Effect::Confirm { .. } | Effect::Answer { .. } => return None,
    })
}

async fn act(driver: &dyn Driver, order: Order) -> Acted {
    let not_after = order.not_after.map(|at| {
        // The yes counts by the boot-time clock; the driver's instant is taken from what is left of it.
        Instant::now() + at.saturating_sub(crate::clock::boot())
    });
    let within = order.within;
    let act = Act {
        action: order.action,
        args: order.args,
        group: order.group,
        epoch: order.epoch,
        run: order.run,
        key: order.key,
        attempt: order.attempt,
        within,
        not_after,
    };
    match tokio::time::timeout(within + GRACE, driver.act(&act)).await {
        Ok(Ok(output)) => Acted::Done(output),
        Ok(Err(error @ DriverError::NotDone { .. })) => Acted::NotDone(error.problem()),
        Ok(Err(error @ DriverError::Unknown { .. })) => Acted::Unknown(error.problem()),
        Err(_) => Acted::Unknown(Problem::new(
            schemas::Code::TimedOut,
            format!("the act did not end within {} s", within.as_secs()),
        )),
    }
}
