//! Services of a rehearsal: a state that is `running`, `unhealthy`, or anything else for stopped; of one that works on a
//! site's database an object with that as `running`, and the site as `pointsAt`.

use std::collections::BTreeSet;

use responder::memory::{MemoryDriver, Model, World};
use responder::{DriverError, Look};
use schemas::{Action, Code, Epoch, Problem, ProcessSeen, Running, Seen, SiteId};
use serde_json::{Value, json};

/// The model of a service.
#[derive(Debug)]
pub struct MemoryProcess {
    closes: Option<SiteId>,
    repoint: BTreeSet<SiteId>,
}

impl MemoryProcess {
    /// A service in `world`; with `closes` it is a switch of that site's power or network, with `repoint` it can be made to
    /// work on these sites' databases.
    pub fn service(
        world: World,
        resource: impl Into<String>,
        closes: Option<SiteId>,
        repoint: BTreeSet<SiteId>,
    ) -> MemoryDriver<MemoryProcess> {
        MemoryDriver::new(world, resource, MemoryProcess { closes, repoint })
    }

    fn to(&self, args: &Value) -> Result<SiteId, String> {
        let to = args.get("to").and_then(Value::as_str).ok_or("the argument `to` is missing")?;
        let to = SiteId::new(to).map_err(|cause| cause.to_string())?;
        if self.repoint.contains(&to) { Ok(to) } else { Err(format!("`repoint` has no site `{to}`")) }
    }
}

/// What of a state says whether it runs.
fn word(state: &Value) -> &Value {
    state.get("running").unwrap_or(state)
}

fn running(state: &Value) -> Running {
    match word(state).as_str() {
        Some("running") => Running::Healthy,
        Some("unhealthy") => Running::Unhealthy,
        _ => Running::Stopped,
    }
}

fn points_at(state: &Value) -> Option<SiteId> {
    state.get("pointsAt")?.as_str()?.parse().ok()
}

impl Model for MemoryProcess {
    fn actions(&self) -> &[Action] {
        &[Action::StartProcess, Action::StopProcess, Action::RefreshProcess, Action::PointProcess]
    }

    fn check(&self, action: Action, args: &Value) -> Result<(), Problem> {
        match action {
            Action::PointProcess => {
                self.to(args).map(drop).map_err(|why| Problem::new(Code::BadConfiguration, why))
            }
            _ => Ok(()),
        }
    }

    fn look(&self, action: Action, args: &Value, state: &Value) -> Look {
        match (action, running(state)) {
            (Action::StartProcess | Action::RefreshProcess, Running::Healthy) => {
                Look::InEffect(json!({ "running": "healthy" }))
            }
            (Action::StopProcess, Running::Stopped) => Look::InEffect(json!({ "running": "stopped" })),
            (Action::StartProcess | Action::StopProcess | Action::RefreshProcess, other) => {
                Look::NotInEffect(json!({ "running": other }))
            }
            (Action::PointProcess, _) => match self.to(args) {
                Ok(to) if points_at(state).as_ref() == Some(&to) => Look::InEffect(json!({ "to": to })),
                Ok(_) => Look::NotInEffect(json!({ "pointsAt": points_at(state) })),
                Err(why) => Look::CannotTell(why),
            },
            (other, _) => Look::CannotTell(format!("{other} is no action of a process")),
        }
    }

    fn after(&self, action: Action, args: &Value, state: &Value) -> Result<Value, DriverError> {
        let running = match action {
            Action::PointProcess => {
                let to = self.to(args).map_err(|why| DriverError::not_done(Code::BadConfiguration, why))?;
                return Ok(json!({ "running": word(state), "pointsAt": to }));
            }
            Action::StopProcess => "stopped",
            _ => "running",
        };
        Ok(match state.get("pointsAt") {
            Some(at) => json!({ "running": running, "pointsAt": at }),
            None => json!(running),
        })
    }

    fn seen(&self, state: &Value, _epoch: Option<Epoch>) -> Seen {
        Seen::Process(ProcessSeen {
            running: running(state),
            closes: self.closes.clone(),
            repoints: self.repoint.iter().cloned().collect(),
            points_at: points_at(state),
            detail: Value::Null,
        })
    }
}
