//! What is true now, as a service saw it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Iso;
use crate::{Aside, Epoch, GroupId, Key, LedgerId, Problem, RunId, SiteId};

/// The answer to `observe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// What was seen, or why nothing could be.
    pub seen: Seen,
    /// The group that holds the resource, as the ledger knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// The epoch that the service holds.
    pub epoch: Epoch,
    /// The run that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Acts that are in progress, or of an earlier life and not seen ended. While there is one,
    /// what was seen proves nothing.
    pub unended: Vec<Key>,
    /// The ledger.
    pub ledger: LedgerId,
    /// Whether it was adopted.
    pub adopted: bool,
    /// Whether the host is armed.
    pub armed: bool,
    /// The service's clock.
    pub at: DateTime<Utc>,
}

/// What a driver saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// A database.
    Database(DatabaseSeen),
    /// One half of a replication.
    Replication(ReplicationSeen),
    /// A program.
    Process(ProcessSeen),
    /// A name at its servers, or at a client.
    Name(NameSeen),
    /// The driver could not look.
    Nothing(Problem),
}

/// Whether named roles can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// They can log in and write.
    Open,
    /// They cannot, and none has a session or a prepared transaction.
    Closed,
    /// Something between: some can, or sessions are left. Counts as open.
    Partly,
}

/// What a database is for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It takes writes.
    Live,
    /// It follows the other site.
    Standby,
}

/// A database, as its service saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSeen {
    /// Access of the named roles.
    pub access: Access,
    /// Its role.
    pub role: Role,
    /// Sessions of the named roles.
    pub sessions: u64,
    /// The epoch in the database itself, where it can hold one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The driver's own words: position, identity, version.
    #[serde(default)]
    pub detail: Value,
}

/// The four states of a replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicationState {
    /// Nothing is kept and nothing applied.
    Stopped,
    /// The source keeps changes; nobody applies them.
    Capturing,
    /// The receiver applies and is behind.
    Draining,
    /// The receiver applies and is current.
    Running,
}

/// Which half of a replication a service stands beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// Where changes are made and kept.
    Source,
    /// Where they are applied.
    Receiver,
}

/// How far an initial copy is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopyProgress {
    /// Tables to copy.
    pub tables: u64,
    /// Tables that are there.
    pub tables_ready: u64,
    /// Rows that came.
    pub rows: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Bytes in all, as the source estimated them at the beginning; 0: nobody measures this copy.
    pub bytes_total: u64,
    /// What is left at the rate so far; none: nobody can tell yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Iso>,
}

/// What a source that was left has committed and its receiver never applied: what its ledger would list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphans {
    /// Transactions with rows of the application.
    pub transactions: u64,
    /// Their rows.
    pub rows: u64,
    /// There may be more: only so much of the slot was looked through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Why they could not be counted; the numbers say nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// When they were counted, by the service's clock.
    pub at: DateTime<Utc>,
}

impl Orphans {
    /// How many, as part of a sentence: `3 rows in 1 transaction`, `at least …`.
    pub fn words(&self) -> String {
        let count = |n: u64, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
        let least = if self.more { "at least " } else { "" };
        format!("{least}{} in {}", count(self.rows, "row"), count(self.transactions, "transaction"))
    }
}

/// A replication, as seen from one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationSeen {
    /// From which side.
    pub half: Half,
    /// Its state.
    pub state: ReplicationState,
    /// Bytes not yet confirmed; none where it cannot be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// Seconds behind; none where it cannot be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// The receiver's half: the time of the last heartbeat that is applied, by the source's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<DateTime<Utc>>,
    /// The source's half: bytes of log that are kept because of the slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_bytes: Option<u64>,
    /// The receiver's half: how far its initial copy is, until every table is there; while it is said, nothing is protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyProgress>,
    /// The source's half, closed and left: what the other site never got of it; none where nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphans: Option<Orphans>,
    /// The receiver's half: what its latest copy kept aside; none where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<Box<Aside>>,
    /// What is wrong with it, in the server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The driver's own words: positions, slot, worker.
    #[serde(default)]
    pub detail: Value,
}

/// Whether a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Running {
    /// It runs and its health gate passes.
    Healthy,
    /// Something of it runs, and its health gate does not pass.
    Unhealthy,
    /// Nothing of it runs.
    Stopped,
    /// The check cannot tell.
    Unknown,
}

/// A program, as its service saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSeen {
    /// Whether it runs.
    pub running: Running,
    /// The site whose power or network it switches: while stopped, that site is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<SiteId>,
    /// The sites on whose database it can be made to work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repoints: Vec<SiteId>,
    /// The one on whose database it works now; none where nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points_at: Option<SiteId>,
    /// The driver's own words.
    #[serde(default)]
    pub detail: Value,
}

/// A name at its servers, or at one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameSeen {
    /// The site to whose address it resolves, if all that answered agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points_at: Option<SiteId>,
    /// Server (or client) to addresses; an empty list is an answer without address.
    pub answers: BTreeMap<String, Vec<String>>,
    /// Servers that did not answer.
    #[serde(default)]
    pub silent: Vec<String>,
    /// A client host: the site whose addresses were pushed into its hosts file, and are there still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<SiteId>,
    /// The driver's own words: zone serial, TTL.
    #[serde(default)]
    pub detail: Value,
}

impl NameSeen {
    /// Whether nobody was asked: a client host whose file has no names of its own. What was pushed there is seen all the same.
    pub fn not_looked_at(&self) -> bool {
        self.points_at.is_none() && self.answers.is_empty() && self.silent.is_empty() && self.pushed.is_none()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_or_answered_or_was_silent_was_looked_at() {
        let looked_at = |text: &str| !serde_json::from_str::<NameSeen>(text).unwrap().not_looked_at();
        assert!(!looked_at(r#"{"answers":{}}"#));
        for seen in [
            r#"{"answers":{},"pushed":"secondary"}"#,
            r#"{"answers":{},"pointsAt":"main"}"#,
            r#"{"answers":{},"silent":["cfg.example.net"]}"#,
            r#"{"answers":{"cfg.example.net":[]}}"#,
        ] {
            assert!(looked_at(seen), "{seen}");
        }
    }
}
