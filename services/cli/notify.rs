//! The commands of a group's `notify`, run by the runner under a guard.

use std::sync::Arc;
use std::time::Duration;

use exec::{Guard, Script};
use runner::{Teller, Telling};
use serde_json::Value;

/// How long one try may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Runs a command with the facts as JSON on its standard input, and each of them in its environment. It has
/// told people when it ends with code 0.
pub(crate) fn teller() -> Teller {
    Arc::new(|telling| {
        Box::pin(async move {
            match script(&telling).run(&Guard::this_program()).await {
                Ok(ended) if ended.succeeded() => Ok(()),
                Ok(ended) => Err(ended.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
    })
}

fn script(telling: &Telling) -> Script {
    let mut script = Script::new(&telling.program, WITHIN).stdin(format!("{}\n", telling.facts));
    for (name, value) in telling.facts.as_object().into_iter().flatten() {
        let value = match value {
            Value::Null => String::new(),
            Value::String(text) => text.replace('\0', " "),
            other => other.to_string(),
        };
        script = script.env(format!("POINTSMAN_{}", name.to_ascii_uppercase()), value);
    }
    script
}
