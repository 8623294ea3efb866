//! What a definition says about itself: for lists, previews and the printed runbook.

use schemas::Effect;
use serde::{Deserialize, Serialize};

/// The head of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// `document.namespace`
    pub namespace: String,
    /// `document.name`
    pub name: String,
    /// `document.version`
    pub version: String,
    /// `document.title`
    pub title: Option<String>,
    /// `document.summary`
    pub summary: Option<String>,
    /// Whether its runs move a group (`document.metadata.dr.moves: group`).
    pub moves_group: bool,
    /// What its runs are for.
    pub purpose: Purpose,
    /// What an error that nothing catches does.
    pub on_fault: OnFault,
}

/// What a run that moves a group is for (`document.metadata.dr.purpose`): from which site to which it goes, and what
/// has to hold before it starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// From the live site to the other one.
    #[default]
    Move,
    /// From the live site to the group's first one, its home.
    Return,
    /// From nothing: no site is live.
    Establish,
    /// Opens nothing: the other site receives what is written at the live one. `from` is the live site.
    Protect,
    /// Opens and closes nothing, and leaves what protects as it is: `from` is the live site.
    Tidy,
}

/// What an error that nothing catches does (`document.metadata.dr.onFault`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFault {
    /// The run waits for a person.
    Hold,
    /// What was done is undone, newest first.
    BackOut,
    /// The run ends as faulted, as the standard says.
    Fault,
}

/// One task of a definition, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Its place, as in an error's `instance`: `/do/0/fence/fork/branches/1/stop`.
    pub pointer: String,
    /// Its name.
    pub name: String,
    /// `call`, `do`, `for`, …
    pub kind: String,
    /// How many tasks it stands in.
    pub depth: usize,
    /// `service.action:version` of a call.
    pub function: Option<String>,
    /// The function that it calls, where that is made of tasks: they follow.
    pub made_of: Option<String>,
    /// What it does to a site; of a function of tasks: the worst of them.
    pub effect: Option<Effect>,
    /// What undoes it.
    pub undo: Option<String>,
    /// The phase of the move, inherited.
    pub phase: Option<String>,
    /// How to do it by hand (`metadata.dr.manual`).
    pub manual: Option<String>,
    /// When it is done at all, in words (`metadata.dr.only`): of a task that has a condition or stands in a branch.
    pub only: Option<String>,
    /// The arguments as they are written (`with`).
    pub with: Option<serde_json::Value>,
    /// Its bound as it is written (`timeout.after`).
    pub within: Option<String>,
    /// The collection as it is written, of a loop.
    pub each: Option<String>,
    /// Whether a loop's iterations run together.
    pub at_once: bool,
}
