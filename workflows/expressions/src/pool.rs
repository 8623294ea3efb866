//! A few workers for many threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::error::ExprError;
use crate::evaluator::Evaluator;
use crate::fence::{Limits, Worker, WorkerCommand};

/// Workers that are lent out one evaluation at a time; who finds none free waits.
///
/// The wait is bounded: each evaluation is.
pub struct Pool {
    free: Mutex<Vec<Worker>>,
    back: Condvar,
}

impl Pool {
    /// A pool of `size` workers (at least one); none is started before it is needed.
    pub fn new(size: usize, command: &WorkerCommand, limits: Limits) -> Self {
        let workers = (0..size.max(1)).map(|_| Worker::new(command.clone(), limits)).collect();
        Self { free: Mutex::new(workers), back: Condvar::new() }
    }

    /// As [`Evaluator::eval`], from any thread. It blocks: not for an async thread.
    ///
    /// # Errors
    ///
    /// As [`Evaluator::eval`].
    pub fn eval(&self, source: &str, vars: &[(&str, &Value)], input: &Value) -> Result<Value, ExprError> {
        let mut worker = self.take();
        let result = worker.eval(source, vars, input);
        self.lock().push(worker);
        self.back.notify_one();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Worker {
        let mut free = self.lock();
        loop {
            match free.pop() {
                Some(worker) => return worker,
                None => free = self.back.wait(free).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Evaluator for &Pool {
    fn eval(&mut self, source: &str, vars: &[(&str, &Value)], input: &Value) -> Result<Value, ExprError> {
        Pool::eval(self, source, vars, input)
    }
}
