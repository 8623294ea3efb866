//! The functions that a definition may call.

use std::collections::BTreeMap;

use schemas::{Action, Effect};

/// One function of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Function {
    /// An action of a service, or of the runner itself.
    Action {
        /// What it does to a site.
        effect: Effect,
        /// What it does, in words.
        summary: String,
    },
    /// A task, written in the language. Its effect is the worst of its parts.
    Task {
        /// Where the text comes from; for messages.
        path: String,
        /// The text.
        text: String,
    },
}

/// Knows functions by name and version.
pub trait Catalog {
    /// `service.action` in this version, if there is one.
    fn function(&self, name: &str, version: &str) -> Option<Function>;

    /// The names that there are, for help when one is misspelt.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether these are the functions that a run was started with. What it hands to them is not compared again: a newer
    /// program goes on with an older run.
    fn is_kept(&self) -> bool {
        false
    }
}

/// The functions of the services and of the runner itself, and tasks made of them, all in version 1.0.0.
#[derive(Debug, Clone, Default)]
pub struct DefaultCatalog {
    /// Texts of tasks by `name:version`; nothing: those that come with the program.
    kept: Option<BTreeMap<String, String>>,
}

/// The version of each function of the [`DefaultCatalog`].
pub const VERSION: &str = "1.0.0";

/// What `group.await-closed` is called: the runner itself answers it.
pub const AWAIT_CLOSED: &str = "group.await-closed";

/// What `group.await-followed` is called: the runner itself answers this one too.
pub const AWAIT_FOLLOWED: &str = "group.await-followed";

/// What `group.expect-writes` is called: the runner answers it at once, and what undoes it is what counts.
pub const EXPECT_WRITES: &str = "group.expect-writes";

macro_rules! shipped {
    ($($name:literal)*) => {
        /// The tasks that come with the program: name, path, text.
        pub const SHIPPED: &[(&str, &str, &str)] = &[$((
            $name,
            concat!("workflows/definitions/functions/", $name, ".yaml"),
            include_str!(concat!("../../definitions/functions/", $name, ".yaml")),
        ),)*];
    };
}

shipped! {
    "move.planned"
    "names.follow"
    "names.push"
    "process.pointed"
    "process.refreshed"
    "site.close"
    "site.open"
    "site.serve"
    "stream.copy"
    "stream.current"
    "stream.drain"
    "stream.logs"
    "stream.protect"
}

impl Catalog for DefaultCatalog {
    fn function(&self, name: &str, version: &str) -> Option<Function> {
        if let Some(kept) = &self.kept
            && let Some(text) = kept.get(&format!("{name}:{version}"))
        {
            return Some(Function::Task { path: format!("{name}:{version}"), text: text.clone() });
        }
        if version != VERSION {
            return None;
        }
        let own = match name {
            AWAIT_CLOSED => {
                Some("Waits until a site is closed: by proof, by its fence path, or by acceptance.")
            }
            AWAIT_FOLLOWED => {
                Some("Waits until `share` per cent of the clients outside lost sites follow the names.")
            }
            EXPECT_WRITES => Some("Notes a database that is to take writes again if the move is backed out."),
            _ => None,
        };
        if let Some(summary) = own {
            return Some(Function::Action { effect: Effect::Observes, summary: summary.into() });
        }
        if let Some(action) = Action::ALL.iter().find(|a| a.to_string() == name) {
            return Some(Function::Action { effect: action.effect(), summary: action.summary().into() });
        }
        let (_, path, text) = SHIPPED.iter().find(|(own, ..)| *own == name && self.kept.is_none())?;
        Some(Function::Task { path: (*path).into(), text: (*text).into() })
    }

    fn names(&self) -> Vec<String> {
        let actions = Action::ALL.iter().map(ToString::to_string);
        let tasks: Vec<String> = match &self.kept {
            Some(kept) => kept.keys().filter_map(|key| Some(key.split_once(':')?.0.to_owned())).collect(),
            None => SHIPPED.iter().map(|(name, ..)| (*name).to_owned()).collect(),
        };
        let own = [AWAIT_CLOSED, AWAIT_FOLLOWED, EXPECT_WRITES].map(str::to_owned);
        actions.chain(own).chain(tasks).collect()
    }

    fn is_kept(&self) -> bool {
        self.kept.is_some()
    }
}

/// The catalog `default` of the language.
pub fn default() -> DefaultCatalog {
    DefaultCatalog::default()
}

/// The same with these tasks, by `name:version`, and no others: what a run was started with.
pub fn kept(tasks: BTreeMap<String, String>) -> DefaultCatalog {
    DefaultCatalog { kept: Some(tasks) }
}
