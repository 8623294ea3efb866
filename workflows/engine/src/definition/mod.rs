//! A checked file of the language.

pub(crate) mod codes;
mod functions;
mod handed;
mod head;
mod kinds;
pub(crate) mod model;
mod reader;
mod tasks;
mod tries;

pub use codes::CODES;
pub use functions::FunctionFile;
pub use model::Definition;

use std::collections::BTreeMap;

use document::{Diagnostics, Document};

use crate::{Catalog, EventFilters, Info, StepInfo};
use reader::Reader;

impl Definition {
    /// Reads and checks a definition (YAML, or JSON if `path` ends so); `path` is for messages only.
    ///
    /// # Errors
    ///
    /// Everything that is wrong or not supported, each with line and column.
    pub fn load(text: &str, path: &str, catalog: &dyn Catalog) -> Result<Definition, Diagnostics> {
        let document = Document::parse(text, path)?;
        let mut reader = Reader::new(&document, catalog);
        let definition = reader.workflow();
        let mut problems = Diagnostics(reader.problems);
        problems.sort();
        match definition {
            Some(definition) => problems.or(definition),
            None => Err(problems),
        }
    }

    /// What it says about itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Which events it is for (`schedule.on`).
    pub fn schedule(&self) -> Option<&EventFilters> {
        self.schedule.as_ref()
    }

    /// The texts of the catalog's tasks that it is made of, by `name:version`. With its own text they are all
    /// that it means.
    pub fn functions(&self) -> &BTreeMap<String, String> {
        &self.functions
    }

    /// Its tasks, in the order of the file; those of a function follow on the call of it.
    pub fn steps(&self) -> Vec<StepInfo> {
        self.steps.clone()
    }
}
