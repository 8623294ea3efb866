//! Expressions are evaluated beside the core, in worker processes that a hostile one may take down with it.

use std::io;
use std::sync::Arc;

use expressions::{Evaluator, ExprError, Inline, Limits, Pool, WorkerCommand};
use runner_core::Input;
use schemas::{Position, RunId};
use serde_json::Value;
use tokio::sync::mpsc::Sender;

/// Workers kept; two cores evaluate no faster with more.
const WORKERS: usize = 2;

/// The pool as an evaluator of one evaluation.
struct Fenced(Arc<Pool>);

impl Evaluator for Fenced {
    fn eval(&mut self, source: &str, vars: &[(&str, &Value)], input: &Value) -> Result<Value, ExprError> {
        self.0.eval(source, vars, input)
    }
}

/// Evaluates jobs and hands the results back as inputs.
pub(crate) struct Evaluations {
    pool: Arc<Pool>,
    back: Sender<Input>,
}

impl Evaluations {
    pub(crate) fn new(command: Option<WorkerCommand>, back: Sender<Input>) -> io::Result<Evaluations> {
        let command = match command {
            Some(command) => command,
            None => WorkerCommand::own()?,
        };
        Ok(Evaluations { pool: Arc::new(Pool::new(WORKERS, &command, Limits::default())), back })
    }

    /// Starts one; its end comes as [`Input::Evaluated`]. What has no expression in it is done here.
    pub(crate) fn start(&self, run: RunId, at: Position, job: engine::Job) -> Option<Input> {
        if job.is_trivial() {
            let result = job.run(&mut Inline::new());
            return Some(Input::Evaluated { run, at, result });
        }
        let (pool, back) = (Arc::clone(&self.pool), self.back.clone());
        tokio::task::spawn_blocking(move || {
            let result = job.run(&mut Fenced(pool));
            // Fails only when the shell is gone.
            let _ = back.blocking_send(Input::Evaluated { run, at, result });
        });
        None
    }
}
