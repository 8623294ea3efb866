//! A database in memory: `"open"`, `"closed"` or anything else (partly).

use responder::memory::Model;
use responder::{DriverError, Look};
use schemas::args::{AccessOutput, WriteOutput};
use schemas::{Access, Action, Code, DatabaseSeen, Epoch, Role, Seen};
use serde_json::{Value, json};

/// The model for [`responder::memory::MemoryDriver`]. A state of `null` is open, as a database is that
/// nobody closed.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryAccess;

fn access(state: &Value) -> Access {
    match state.as_str() {
        None if state.is_null() => Access::Open,
        Some("open") => Access::Open,
        Some("closed") => Access::Closed,
        _ => Access::Partly,
    }
}

impl Model for MemoryAccess {
    fn actions(&self) -> &[Action] {
        &[Action::DisableAccess, Action::EnableAccess, Action::VerifyWrite]
    }

    fn look(&self, action: Action, _args: &Value, state: &Value) -> Look {
        let (wanted, output) = match action {
            Action::DisableAccess => (Access::Closed, json!(AccessOutput::default())),
            // What is open takes writes: there is nothing else in memory.
            Action::VerifyWrite => {
                (Access::Open, json!(WriteOutput { by: "memory".into(), ..WriteOutput::default() }))
            }
            _ => (Access::Open, json!(AccessOutput::default())),
        };
        if access(state) == wanted { Look::InEffect(output) } else { Look::NotInEffect(state.clone()) }
    }

    fn after(&self, action: Action, _args: &Value, state: &Value) -> Result<Value, DriverError> {
        match action {
            Action::VerifyWrite if access(state) == Access::Open => Ok(state.clone()),
            Action::VerifyWrite => Err(DriverError::not_done(Code::Precondition, "it takes no writes")),
            Action::DisableAccess => Ok(json!("closed")),
            _ => Ok(json!("open")),
        }
    }

    fn seen(&self, state: &Value, epoch: Option<Epoch>) -> Seen {
        let access = access(state);
        let role = if access == Access::Closed { Role::Standby } else { Role::Live };
        Seen::Database(DatabaseSeen { access, role, sessions: 0, epoch, detail: Value::Null })
    }
}
