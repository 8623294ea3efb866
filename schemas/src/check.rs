//! Preconditions, looked at before they are needed: each line says how it stands and what mends it.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Address, GroupId};

/// How a precondition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// In order.
    Green,
    /// A move would work; somebody should look by day.
    Amber,
    /// A move would fail, or could do harm: none starts unless a person overrides the line by its name.
    Red,
}

/// One precondition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckLine {
    /// What is looked at, a stable word: `reachable`, `wal-keep`, `update`.
    pub what: String,
    /// How it stands.
    pub level: Level,
    /// What was seen.
    pub text: String,
    /// What to do; on everything that is not green.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl CheckLine {
    /// In order.
    pub fn green(what: &str, text: impl Into<String>) -> CheckLine {
        CheckLine { what: what.into(), level: Level::Green, text: text.into(), remedy: None }
    }

    /// To be looked at by day.
    pub fn amber(what: &str, text: impl Into<String>, remedy: impl Into<String>) -> CheckLine {
        CheckLine { what: what.into(), level: Level::Amber, text: text.into(), remedy: Some(remedy.into()) }
    }

    /// Stands against a move.
    pub fn red(what: &str, text: impl Into<String>, remedy: impl Into<String>) -> CheckLine {
        CheckLine { what: what.into(), level: Level::Red, text: text.into(), remedy: Some(remedy.into()) }
    }
}

/// A service's answer to `check`: what would stand in the way of its acts. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckReply {
    /// Its preconditions; a service that has none says so by an empty list.
    pub lines: Vec<CheckLine>,
    /// The program's version.
    pub version: String,
    /// The service's clock when it answered.
    pub at: DateTime<Utc>,
}

/// One line of a group's preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupLine {
    /// The name by which a person overrides it: `secondary.replication.csp:wal-keep`, `cfg:copies`.
    pub name: String,
    /// The resource that it is about; none for the group as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The line.
    #[serde(flatten)]
    pub line: CheckLine,
}

/// The preflight of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckView {
    /// Which group.
    pub group: GroupId,
    /// Its lines, the worst first.
    pub lines: Vec<GroupLine>,
    /// When it was looked at, by the runner's clock.
    pub at: DateTime<Utc>,
}

impl CheckView {
    /// The worst level; green where there is no line.
    pub fn level(&self) -> Level {
        self.lines.iter().map(|line| line.line.level).max().unwrap_or(Level::Green)
    }
}
