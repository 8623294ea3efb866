//! What a service answers: the six answers, and the exchanges around an act.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Address, Attempt, Code, Epoch, GroupId, Key, LedgerId, MessageId, Problem, RunId};

/// The six answers to an act's request or to a question for its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The act took effect, and was seen to.
    Applied,
    /// The effect was there already: an observation of now, never only a line of the ledger.
    AlreadyApplied,
    /// Nothing was started. It settles the key only if `void` stands beside it.
    Refused,
    /// It ended, was looked at, is not in effect, and nothing of it still runs.
    Failed,
    /// It is being done.
    InProgress,
    /// The service itself cannot tell.
    InDoubt,
}

/// One answer, with what the service knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Which of the six.
    pub answer: Answer,
    /// About which key.
    pub key: Key,
    /// The highest attempt that this answer is about.
    pub attempt: Attempt,
    /// The epoch that the service holds for the group.
    pub epoch: Epoch,
    /// The ledger that says so.
    pub ledger: LedgerId,
    /// Whether that ledger was adopted; if not, the answer settles nothing.
    pub adopted: bool,
    /// Durably written: no attempt up to this one was ever started, nor will be.
    #[serde(default)]
    pub void: bool,
    /// The act's result, or what a look found.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// Why not, unless the answer is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The service's clock.
    pub at: DateTime<Utc>,
}

impl Reply {
    /// The problem's code, if there is one.
    pub fn code(&self) -> Option<Code> {
        self.problem.as_ref().map(|problem| problem.code)
    }
}

/// A run takes a resource for its epoch (law 6). May be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimRequest {
    /// The group.
    pub group: GroupId,
    /// The run that claims.
    pub run: RunId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The run's latest journal sequence when it was sent.
    pub sequence: u64,
}

/// How would a person do these, without this program? Changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ByHandRequest {
    /// On behalf of which group.
    pub group: GroupId,
    /// The acts, at most 100.
    pub acts: Vec<ByHandAct>,
}

/// One act and its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ByHandAct {
    /// The act.
    pub action: String,
    /// Its arguments; what only an earlier step tells may be missing from them.
    #[serde(default)]
    pub args: Value,
}

/// The most acts of one request.
pub const BY_HAND_MAX: usize = 100;

/// The answer: for each act, lines for a shell; none where there is no other way than this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ByHandReply {
    /// In the order of the request.
    pub acts: Vec<Vec<String>>,
    /// The host that serves it.
    pub host: String,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimReply {
    /// Durably written, and all that an older epoch started is ended.
    pub granted: bool,
    /// The highest epoch that the service has seen for the group.
    pub epoch: Epoch,
    /// The run that holds that epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The highest journal sequence of the claiming run that the service has seen.
    pub sequence: u64,
    /// The ledger.
    pub ledger: LedgerId,
    /// Whether it was adopted.
    pub adopted: bool,
    /// Why not granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The service's clock.
    pub at: DateTime<Utc>,
}

/// What became of a key? Settles it: where nothing was started, `void` is written first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutcomeRequest {
    /// The group.
    pub group: GroupId,
    /// The key.
    pub key: Key,
    /// The highest attempt sent.
    pub attempt: Attempt,
    /// The run's epoch.
    pub epoch: Epoch,
    /// How long to wait for an act in progress; at most 10 s.
    #[serde(with = "crate::duration::iso")]
    #[schemars(with = "String", extend("pattern" = crate::duration::PATTERN))]
    pub wait: Duration,
}

/// A person takes a new ledger into service (`adopt`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptRequest {
    /// The group that the resource belongs to.
    pub group: GroupId,
    /// The act of adopting is a run of its own.
    pub run: RunId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The ledger that the person saw; another one refuses.
    pub ledger: LedgerId,
}

/// May I open now? Asked by a service just before it opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmRequest {
    /// Where the opening would be.
    pub address: Address,
    /// The group.
    pub group: GroupId,
    /// The opening's key.
    pub key: Key,
    /// The attempt that would act.
    pub attempt: Attempt,
    /// Its epoch.
    pub epoch: Epoch,
    /// Drawn for this question; the answer repeats it.
    pub nonce: MessageId,
}

/// Yes or no; a yes counts for 2 s of the asker's boot-time clock from when he asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmReply {
    /// Whether it may.
    pub yes: bool,
    /// The question's.
    pub nonce: MessageId,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How long a yes counts, by the asker's boot-time clock, from the moment he asked.
pub const YES_COUNTS: Duration = Duration::from_secs(2);

/// A service says that it lives; sent at its start and every 2 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Beat {
    /// Its resources.
    pub resources: Vec<Address>,
    /// Its ledger.
    pub ledger: LedgerId,
    /// Whether it was adopted.
    pub adopted: bool,
    /// Whether the host is armed.
    pub armed: bool,
    /// The program's version.
    pub version: String,
    /// The service's clock.
    pub at: DateTime<Utc>,
}
