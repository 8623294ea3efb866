//! A database in memory: `"open"`, `"closed"` or anything else (partly).

use responder::memory::Model;
use responder::{DriverError, Look};
use schemas::args::AccessOutput;
use schemas::{Access, Action, DatabaseSeen, Epoch, Role, Seen};
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
        &[Action::DisableAccess, Action::EnableAccess]
    }

    fn look(&self, action: Action, _args: &Value, state: &Value) -> Look {
        let wanted = if action == Action::DisableAccess { Access::Closed } else { Access::Open };
        if access(state) == wanted {
            Look::InEffect(json!(AccessOutput::default()))
        } else {
            Look::NotInEffect(state.clone())
        }
    }

    fn after(&self, action: Action, _args: &Value, _state: &Value) -> Result<Value, DriverError> {
        Ok(json!(if action == Action::DisableAccess { "closed" } else { "open" }))
    }

    fn seen(&self, state: &Value, epoch: Option<Epoch>) -> Seen {
        let access = access(state);
        let role = if access == Access::Closed { Role::Standby } else { Role::Live };
        Seen::Database(DatabaseSeen { access, role, sessions: 0, epoch, detail: Value::Null })
    }
}
