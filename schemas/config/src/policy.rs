//! How a group's moves behave. Every default stands here, and `init` writes each of them out.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Acceptance, AskOr, FencePath, RefusedOr, Size, Span};

/// When monitoring may start a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Trigger {
    /// What a detection leads to.
    pub mode: TriggerMode,
    /// The workflow that it starts.
    pub run: String,
    /// A report that says in `data.misses` how many probes failed in a row counts from so many on; one that does not say it
    /// counts.
    pub misses: u32,
    /// So long after the first report it is decided, unless the site is reported alive before.
    pub hold_down: Span,
    /// Older events start nothing.
    pub max_age: Span,
    /// Whether automatic starts on the word of one prober are refused.
    pub one_prober: RefusedOr,
}

impl Default for Trigger {
    fn default() -> Self {
        Trigger {
            mode: TriggerMode::Observe,
            run: "failover".to_owned(),
            misses: 3,
            hold_down: Span::seconds(120),
            max_age: Span::seconds(300),
            one_prober: RefusedOr::Refused,
        }
    }
}

/// What a detection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerMode {
    /// Nothing; it is not even looked at.
    Off,
    /// It is recorded, with what would have been decided.
    Observe,
    /// A decision waits for a person's `approve`.
    Ask,
    /// The move starts by itself, once, until somebody acknowledges it.
    Auto,
}

/// How the site that is left is kept from writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fence {
    /// Bounds claim, close and settling of a silent site together.
    pub within: Span,
    /// The ways to prove that it is closed, in the order in which they are tried.
    pub paths: Vec<FencePath>,
    /// What happens when no path proves it.
    pub unproved: AskOr,
}

impl Default for Fence {
    fn default() -> Self {
        Fence { within: Span::seconds(15), paths: vec![FencePath::Database], unproved: AskOr::Ask }
    }
}

impl Fence {
    /// The standing acceptance of an unproved close, whether or not it still counts.
    pub fn standing(&self) -> Option<&Acceptance> {
        match &self.unproved {
            AskOr::Ask => None,
            AskOr::Accepted(acceptance) => Some(acceptance),
        }
    }
}

/// How much an unplanned move may lose before a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Loss {
    /// At most so much, as time: from the last heartbeat that the other site applied to the last sign of life.
    pub max: Span,
    /// What happens when it cannot be told.
    pub unknown: AskOr,
}

impl Default for Loss {
    fn default() -> Self {
        Loss { max: Span::seconds(30), unknown: AskOr::Ask }
    }
}

/// How long replication may take to end, and what then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// The bound.
    pub within: Span,
    /// When a planned move cannot drain in time.
    pub switchover: OnSwitchover,
    /// When an unplanned move cannot drain while its source answers.
    pub failover: OnFailover,
}

impl Default for Drain {
    fn default() -> Self {
        Drain { within: Span::seconds(300), switchover: OnSwitchover::BackOut, failover: OnFailover::Ask }
    }
}

/// What a planned move does when something cannot be done in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnSwitchover {
    /// It goes back to where it began.
    BackOut,
    /// It is held, and a person decides.
    Ask,
}

/// What an unplanned move does when something cannot be done in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailover {
    /// It is held, and a person decides.
    Ask,
    /// It goes on without.
    Continue,
}

/// The way back: what keeps the new live site's changes for the old one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reverse {
    /// At most so much is kept for the old site; then the way back needs a copy.
    pub wal_keep: WalKeep,
    /// When the new live site cannot begin to keep them.
    pub cannot_start: CannotStart,
}

/// At most so much write-ahead log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct WalKeep(pub Size);

impl Default for WalKeep {
    fn default() -> Self {
        WalKeep(Size::gib(50))
    }
}

/// What happens when the reverse replication cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CannotStart {
    /// In a planned move.
    pub switchover: OnSwitchover,
    /// In an unplanned move.
    pub failover: OnFailover,
}

impl Default for CannotStart {
    fn default() -> Self {
        CannotStart { switchover: OnSwitchover::BackOut, failover: OnFailover::Continue }
    }
}

/// When a run goes on by itself after a stop of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resume {
    /// A run that was idle for longer is held until a person resumes it.
    pub alone_within: Span,
}

impl Default for Resume {
    fn default() -> Self {
        Resume { alone_within: Span::seconds(900) }
    }
}

/// How long a decision waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// So long.
    pub within: Span,
    /// What silence means.
    pub then: Silence,
}

impl Default for Approval {
    fn default() -> Self {
        Approval { within: Span::seconds(900), then: Silence::Hold }
    }
}

/// What silence means. It never starts anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Silence {
    /// The decision stays, held.
    Hold,
}

/// What was promised; shown beside what was measured, and changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// The longest time without service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto: Option<Span>,
    /// The most that may be lost, as time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Span>,
}

/// Commands that tell people, run by the runner; their standard input and environment say what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// A run waits for a person: it is held, or waits for an acceptance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<PathBuf>,
    /// A run ended otherwise: by an error, backed out, cancelled, superseded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<PathBuf>,
    /// A run ended as it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<PathBuf>,
}
