//! The functions that a definition may call.

use schemas::{Action, Effect};

/// One function of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// What it does to a site.
    pub effect: Effect,
    /// What it does, in words.
    pub summary: String,
}

/// Knows functions by name and version.
pub trait Catalog {
    /// `service.action` in this version, if there is one.
    fn function(&self, name: &str, version: &str) -> Option<Function>;

    /// The names that there are, for help when one is misspelt.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The functions of the services and of the runner itself, all in version 1.0.0.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultCatalog;

/// The version of each function of the [`DefaultCatalog`].
pub const VERSION: &str = "1.0.0";

/// What `group.await-closed` is called: the runner itself answers it.
pub const AWAIT_CLOSED: &str = "group.await-closed";

impl Catalog for DefaultCatalog {
    fn function(&self, name: &str, version: &str) -> Option<Function> {
        if version != VERSION {
            return None;
        }
        if name == AWAIT_CLOSED {
            let summary = "Waits until a site is closed: by proof, by its fence path, or by acceptance.";
            return Some(Function { effect: Effect::Observes, summary: summary.into() });
        }
        let action = Action::ALL.iter().find(|a| a.to_string() == name)?;
        Some(Function { effect: action.effect(), summary: action.summary().into() })
    }

    fn names(&self) -> Vec<String> {
        let actions = Action::ALL.iter().map(ToString::to_string);
        actions.chain([AWAIT_CLOSED.to_owned()]).collect()
    }
}

/// The catalog `default` of the language.
pub fn default() -> DefaultCatalog {
    DefaultCatalog
}
