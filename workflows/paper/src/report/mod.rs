//! What people read of a run: when what happened, who decided it, how long each part took, what was in doubt
//! and what settled it, what is owed, and what proves it. From stored entries only.

mod build;
mod html;
mod markdown;
mod phases;
mod timeline;

use chrono::{DateTime, Utc};
use schemas::op::Who;
use schemas::view::{RunState, StepState};
use schemas::{Address, Digest, Epoch, GroupId, Position, Problem, RunId, SiteId};
use serde::{Deserialize, Serialize};

/// A run's report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// The group that it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// `name:version`.
    pub workflow: String,
    /// Of the definition's text.
    pub definition: Digest,
    /// Its epoch.
    pub epoch: Epoch,
    /// The site that was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SiteId>,
    /// The site that was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SiteId>,
    /// Sites that the decision called lost.
    #[serde(default)]
    pub lost: Vec<SiteId>,
    /// Where it stands, or how it ended.
    pub state: RunState,
    /// The error that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Its first entry.
    pub started: DateTime<Utc>,
    /// Its last entry, if it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// The time that each part took, in the order in which the parts began.
    pub phases: Vec<Phase>,
    /// How long until the system served again, and what was asked for.
    pub rto: Objective,
    /// How much was lost, and what was asked for.
    pub rpo: Objective,
    /// For how long users could only read, from when that was seen, also before the run; none for a run that moves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_ms: Option<u64>,
    /// Where what only one site had was stored, before a copy laid over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ledgers: Vec<Ledger>,
    /// Who went on without such a ledger, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_waived: Option<String>,
    /// Tables that it compared, and of which nobody knows whether they are equal at both sites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
    /// Tables that it compared, and that are not the same at both sites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// The group's next runs; what only the site that was left had is saved by one of them, if at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<Followed>,
    /// Who decided what, and why.
    pub decisions: Vec<Decision>,
    /// Each call, in the order in which they began.
    pub steps: Vec<Step>,
    /// What it left owed, and what became of that.
    pub debts: Vec<Debt>,
    /// Everything, in order.
    pub timeline: Vec<Moment>,
    /// What proves it.
    pub proof: Proof,
}

/// A run of the same group that was started later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Followed {
    /// It.
    pub run: RunId,
    /// `name:version`.
    pub workflow: String,
    /// When it was decided.
    pub at: DateTime<Utc>,
}

/// One part of a move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// `detect`, `decide`, `fence`, `drain`, `gate` (an opening waited until it was let through: by proof that no other site
    /// is open, or by a person), `open`, `start`, `name`, `clients`.
    pub name: String,
    /// When it began.
    pub from: DateTime<Utc>,
    /// When its last step ended; none while one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<DateTime<Utc>>,
    /// Between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The step that took longest, and how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest: Option<(String, u64)>,
}

/// What was asked for and what was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// From the group's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ms: Option<u64>,
    /// What was measured; none where nothing in the entries says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_ms: Option<u64>,
    /// Whether the one is within the other; none where one of them is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// Whether the measure is an estimate: of an unplanned move nobody can count what did not arrive.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// From when to when, or why it is not known.
    pub how: String,
}

/// Something that a person, or a rule that a person set, decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: String,
    /// Who: as the bus knows him, and as he called himself.
    pub who: Who,
    /// Why.
    pub why: String,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The number shown.
    pub number: u32,
    /// Where it stands in the definition.
    pub position: Position,
    /// Its name.
    pub name: String,
    /// `service.action`.
    pub function: String,
    /// The part of the move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// How it stands.
    pub state: StepState,
    /// How often it was sent.
    pub attempts: u32,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<DateTime<Utc>>,
    /// Until its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// When it came to be in doubt, and why.
    #[serde(default)]
    pub doubts: Vec<(DateTime<Utc>, String)>,
    /// What settled it: `reply`, `outcome`, `undelivered`, or who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<String>,
    /// By what the site that it waited for counted as closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A file of transactions that only one site had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The replication that had not carried them, where its slot is.
    pub address: Address,
    /// Its path on that host.
    pub file: String,
    /// Of its content.
    pub digest: Digest,
    /// Transactions in it.
    pub transactions: u64,
    /// Rows in it.
    pub rows: u64,
}

/// Something owed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Debt {
    /// Of which resource.
    pub address: Address,
    /// `claim`, or the function.
    pub what: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why.
    pub why: String,
    /// When and how it ended; none: still owed, as far as these entries go.
    pub ended: Option<(DateTime<Utc>, String)>,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When, by the runner's clock.
    pub at: DateTime<Utc>,
    /// Which entry: `run 17`, `group 230`.
    pub entry: String,
    /// What.
    pub what: String,
}

/// What proves the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The run's entries.
    pub entries: u64,
    /// The hash of the last one: the head of its chain.
    pub head: String,
    /// Entries of the group that were read with it.
    pub group_entries: u64,
    /// Where the group's chain stood at the run's end: number and hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_head: Option<(u64, String)>,
}

/// A report with its evidence: what `report --output json` prints and `report verify` reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// For people and programs.
    pub report: Report,
    /// Lines of a journal's export, byte for byte.
    pub evidence: Vec<String>,
}

/// So many milliseconds, as people say it.
pub(crate) fn lasting(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => {
            let tenths = ms / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

pub(crate) fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

pub(crate) fn clock(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S%.3f").to_string()
}

/// A word as it is spelled on the bus.
pub(crate) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}
