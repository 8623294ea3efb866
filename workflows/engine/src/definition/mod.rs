//! A checked file of the language.

use crate::{Catalog, EventFilters, Info, StepInfo};

/// A workflow definition: immutable, checked, ready to run.
#[derive(Debug, Clone)]
pub struct Definition {
    info: Info,
    schedule: Option<EventFilters>,
    steps: Vec<StepInfo>,
}

impl Definition {
    /// Reads and checks a definition (YAML, or JSON if `path` ends so); `path` is for messages only.
    ///
    /// # Errors
    ///
    /// Everything that is wrong or not supported, each with line and column.
    pub fn load(text: &str, path: &str, _catalog: &dyn Catalog) -> Result<Definition, document::Diagnostics> {
        let document = document::Document::parse(text, path)?;
        Err(document::Diagnostics(vec![document.error("", "definition-unsupported", "not built yet")]))
    }

    /// What it says about itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Which events it is for (`schedule.on`).
    pub fn schedule(&self) -> Option<&EventFilters> {
        self.schedule.as_ref()
    }

    /// Its tasks, in the order of the file.
    pub fn steps(&self) -> Vec<StepInfo> {
        self.steps.clone()
    }
}
