//! Who evaluates.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::ExprError;
use crate::path::plain;
use crate::program::Program;

/// Evaluates expressions. The same arguments give the same answer.
pub trait Evaluator {
    /// The value of `source` (without `${ }`) for an input, with variables (without dollar sign).
    ///
    /// # Errors
    ///
    /// As [`crate::check`], and whatever goes wrong on this input.
    fn eval(&mut self, source: &str, vars: &[(&str, &Value)], input: &Value) -> Result<Value, ExprError>;
}

/// Evaluates in this process, without a fence: for tests, and inside the worker.
#[derive(Default)]
pub struct Inline {
    cache: BTreeMap<(String, Vec<String>), (u64, Program)>,
    tick: u64,
    whole: bool,
}

/// Programs that are kept compiled.
const CACHE_MAX: usize = 512;

impl Inline {
    /// With an empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without the short cut for plain paths: everything by jq.
    pub fn without_short_cut() -> Self {
        Self { whole: true, ..Self::default() }
    }
}

impl Evaluator for Inline {
    fn eval(&mut self, source: &str, vars: &[(&str, &Value)], input: &Value) -> Result<Value, ExprError> {
        if !self.whole
            && let Some(value) = plain(source, vars, input)
        {
            return Ok(value);
        }
        let names: Vec<String> = vars.iter().map(|(name, _)| (*name).to_owned()).collect();
        let key = (source.to_owned(), names);
        self.tick += 1;
        if !self.cache.contains_key(&key) {
            let names: Vec<&str> = key.1.iter().map(String::as_str).collect();
            let program = Program::compile(source, &names)?;
            if self.cache.len() >= CACHE_MAX {
                let oldest = self.cache.iter().min_by_key(|(_, (used, _))| *used).map(|(k, _)| k.clone());
                oldest.into_iter().for_each(|k| drop(self.cache.remove(&k)));
            }
            self.cache.insert(key.clone(), (0, program));
        }
        let values: Vec<&Value> = vars.iter().map(|(_, value)| *value).collect();
        match self.cache.get_mut(&key) {
            Some((used, program)) => {
                *used = self.tick;
                program.run(&values, input)
            }
            None => Program::compile(source, &[])?.run(&values, input),
        }
    }
}
