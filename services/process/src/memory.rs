//! Services of a rehearsal: a state that is `running`, `unhealthy`, or anything else for stopped.

use responder::memory::{MemoryDriver, Model, World};
use responder::{DriverError, Look};
use schemas::{Action, Epoch, ProcessSeen, Running, Seen, SiteId};
use serde_json::{Value, json};

/// The model of a service.
#[derive(Debug)]
pub struct MemoryProcess {
    closes: Option<SiteId>,
}

impl MemoryProcess {
    /// A service in `world`; with a site it is a switch of that site's power or network.
    pub fn service(
        world: World,
        resource: impl Into<String>,
        closes: Option<SiteId>,
    ) -> MemoryDriver<MemoryProcess> {
        MemoryDriver::new(world, resource, MemoryProcess { closes })
    }
}

fn running(state: &Value) -> Running {
    match state.as_str() {
        Some("running") => Running::Healthy,
        Some("unhealthy") => Running::Unhealthy,
        _ => Running::Stopped,
    }
}

impl Model for MemoryProcess {
    fn actions(&self) -> &[Action] {
        &[Action::StartProcess, Action::StopProcess, Action::RefreshProcess]
    }

    fn look(&self, action: Action, _args: &Value, state: &Value) -> Look {
        match (action, running(state)) {
            (Action::StartProcess | Action::RefreshProcess, Running::Healthy) => {
                Look::InEffect(json!({ "running": "healthy" }))
            }
            (Action::StopProcess, Running::Stopped) => Look::InEffect(json!({ "running": "stopped" })),
            (Action::StartProcess | Action::StopProcess | Action::RefreshProcess, other) => {
                Look::NotInEffect(json!({ "running": other }))
            }
            (other, _) => Look::CannotTell(format!("{other} is no action of a process")),
        }
    }

    fn after(&self, action: Action, _args: &Value, _state: &Value) -> Result<Value, DriverError> {
        Ok(json!(if action == Action::StopProcess { "stopped" } else { "running" }))
    }

    fn seen(&self, state: &Value, _epoch: Option<Epoch>) -> Seen {
        let (running, closes) = (running(state), self.closes.clone());
        Seen::Process(ProcessSeen { running, closes, detail: Value::Null })
    }
}
