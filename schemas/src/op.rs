//! What a person asks of the runner, and what he is answered.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::view::{DecisionView, DrillView, GroupView, RunView, WorldView};
use crate::{AsideAt, CheckView, Declaration, GroupId, LossBound, MessageId, Problem, RunId, SiteId};

/// A person's request. Who he is stands in the subject, pinned by the server's permissions.
///
/// The id makes it safe to send twice: the second arrival answers as the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpRequest {
    /// Drawn once for this wish, not for each sending.
    pub id: MessageId,
    /// The user and host that the command claims; recorded beside the bus identity.
    pub claimed: String,
    /// Why; needed by everything that changes something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The run's sequence that the person saw; a run that has moved on since refuses what no longer fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// What he asks.
    pub op: Op,
}

/// What can be asked. Runs are named by their id or its shortest unique end, steps by number or position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verb", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Op {
    /// The groups: mode, sites, debts, doubts, the run.
    Status {
        /// One, or all.
        #[serde(default)]
        group: Option<GroupId>,
    },
    /// The runs, newest first.
    Runs {
        /// One group's, or all.
        #[serde(default)]
        group: Option<GroupId>,
        /// At most so many.
        limit: u32,
    },
    /// One run with its steps.
    Show {
        /// Which.
        run: String,
    },
    /// A run's entries and what proves them, page by page, as lines of a journal's export.
    Evidence {
        /// Which.
        run: String,
        /// Where the page before said that the next one begins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// How would a person do these acts, without this program? Asked of their services.
    ByHand {
        /// On behalf of which group.
        group: GroupId,
        /// The acts.
        asks: Vec<ByHandAsk>,
    },
    /// The text of a definition that can be started.
    Definition {
        /// Its name.
        workflow: String,
    },
    /// Detections and decisions, newest first.
    Decisions {
        /// One group's, or all.
        #[serde(default)]
        group: Option<GroupId>,
        /// At most so many.
        limit: u32,
    },
    /// Looks at a group's preconditions; changes nothing.
    Check {
        /// One, or all.
        #[serde(default)]
        group: Option<GroupId>,
    },
    /// Starts a workflow that moves a group; with `dry_run` only says what would happen.
    Start {
        /// `failover`, `switchover`, `failback`, `establish`, `reprotect`.
        workflow: String,
        /// Which group.
        group: GroupId,
        /// The site to open; the other one, if not said.
        #[serde(default)]
        to: Option<SiteId>,
        /// The run that it takes over from.
        #[serde(default)]
        supersede: Option<String>,
        /// Sites accepted as unfenced, by name.
        #[serde(default)]
        accept_unfenced: Vec<SiteId>,
        /// What may be lost: a bound that a person takes upon himself, or what nobody can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accept_data_loss: Option<LossBound>,
        /// How the other site is brought up to date, by a workflow that does so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<ProtectBy>,
        /// Red preconditions that do not stop it, by the names that `check` gives them.
        #[serde(default)]
        overrides: Vec<String>,
        /// A copy goes on without the ledger of what it overwrites.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waive_ledger: bool,
        /// Changes nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// The groups' files as the runner runs with them.
    Files {
        /// One group's, whole; else the digests of all.
        #[serde(default)]
        group: Option<GroupId>,
    },
    /// Reads the groups' files again. Nothing changes if one of them is not valid, and no run in flight.
    Reload {},
    /// Lets a waiting decision start.
    Approve {
        /// The group, or the decision's id.
        decision: String,
    },
    /// Arms automatic starts again.
    Ack {
        /// Which group.
        group: GroupId,
    },
    /// Takes a named risk: that a site may still be open, that something is lost, or both.
    Accept {
        /// The run that waits.
        run: String,
        /// The site that may still be open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unfenced: Option<SiteId>,
        /// What may be lost: a bound, which stands for what nobody can tell too if the run waits for just that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_loss: Option<LossBound>,
    },
    /// Starts no further step.
    Pause {
        /// Which run.
        run: String,
    },
    /// Goes on after a pause or a hold.
    Resume {
        /// Which run.
        run: String,
    },
    /// Does a failed or doubtful step again.
    Retry {
        /// Which run.
        run: String,
        /// Which step.
        step: String,
        /// Evaluates its arguments anew.
        #[serde(default)]
        fresh: bool,
    },
    /// Goes on without the step.
    Skip {
        /// Which run.
        run: String,
        /// Which step.
        step: String,
    },
    /// The step was done by hand.
    Done {
        /// Which run.
        run: String,
        /// Which step.
        step: String,
        /// Without a look by its service.
        #[serde(default)]
        unverified: bool,
    },
    /// The run is held at a name that cannot be changed: the hosts files of the clients are pushed instead.
    Push {
        /// Which run.
        run: String,
    },
    /// Ends the run; backs out first where it can.
    Cancel {
        /// Which run.
        run: String,
        /// Leaves the world as it is.
        #[serde(default)]
        leave: bool,
    },
    /// Switches a group's automatic triggers.
    Triggers {
        /// Which group.
        group: GroupId,
        /// On (as the file says) or off.
        on: bool,
        /// Off for so many seconds only.
        #[serde(default)]
        for_seconds: Option<u64>,
    },
    /// Declares what no look can tell: that only the link is lost, that a site will return, or that it will not. It starts
    /// nothing.
    Declare {
        /// Which group.
        group: GroupId,
        /// What.
        what: Declaration,
        /// The site that is down or gone; left out: the one of which nothing is heard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
    },
    /// Records how a drill went. It moved nothing of the group.
    Drilled {
        /// Which group.
        group: GroupId,
        /// How it went; `at` is the runner's.
        drill: DrillView,
    },
    /// Looks at the world; with `record`, takes it as the group's state under a new epoch.
    Adopt {
        /// Which group.
        group: GroupId,
        /// Record it; the site named is the live one.
        #[serde(default)]
        record: Option<SiteId>,
        /// Record that no site is live: each database is seen closed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        none_live: bool,
        /// Take the risk, after a journal was imported, that the older runner still acts where nobody answers.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        old_runner_stopped: bool,
    },
}

impl Op {
    /// The last token of its subject.
    pub fn verb(&self) -> &'static str {
        match self {
            Op::Status { .. } => "status",
            Op::Runs { .. } => "runs",
            Op::Show { .. } => "show",
            Op::Evidence { .. } => "evidence",
            Op::ByHand { .. } => "by-hand",
            Op::Definition { .. } => "definition",
            Op::Decisions { .. } => "decisions",
            Op::Check { .. } => "check",
            Op::Start { .. } => "start",
            Op::Files { .. } => "files",
            Op::Reload {} => "reload",
            Op::Approve { .. } => "approve",
            Op::Ack { .. } => "ack",
            Op::Accept { .. } => "accept",
            Op::Pause { .. } => "pause",
            Op::Resume { .. } => "resume",
            Op::Retry { .. } => "retry",
            Op::Skip { .. } => "skip",
            Op::Done { .. } => "done",
            Op::Push { .. } => "push",
            Op::Cancel { .. } => "cancel",
            Op::Triggers { .. } => "triggers",
            Op::Declare { .. } => "declare",
            Op::Drilled { .. } => "drilled",
            Op::Adopt { .. } => "adopt",
        }
    }

    /// Whether it changes something, and so needs a reason and is journalled.
    pub fn changes(&self) -> bool {
        match self {
            Op::Status { .. }
            | Op::Runs { .. }
            | Op::Show { .. }
            | Op::Evidence { .. }
            | Op::ByHand { .. }
            | Op::Definition { .. }
            | Op::Files { .. }
            | Op::Decisions { .. }
            | Op::Check { .. } => false,
            Op::Start { dry_run, .. } => !dry_run,
            Op::Adopt { record, none_live, .. } => record.is_some() || *none_live,
            _ => true,
        }
    }
}

/// How the site that is not live is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectBy {
    /// What was kept since the opening is applied; enough where nothing was left behind there.
    CatchUp,
    /// Everything is copied anew.
    Copy,
}

/// Who asked, as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Who {
    /// The authenticated bus identity (the subject's token), or `trigger`.
    pub person: String,
    /// The user and host that the command claims.
    pub claimed: String,
}

/// The runner's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OpReply {
    /// To `status`.
    Groups(Vec<GroupView>),
    /// To `runs`, without steps.
    Runs(Vec<RunView>),
    /// To `show`.
    Run(Box<RunView>),
    /// To `files`.
    Files(Vec<GroupFile>),
    /// To `reload`.
    Reloaded(Reloaded),
    /// To `evidence`.
    Evidence(EvidencePage),
    /// To `by-hand`.
    ByHand(ByHandTexts),
    /// To `definition`.
    Definition(DefinitionText),
    /// To `decisions`.
    Decisions(Vec<DecisionView>),
    /// To `check`.
    Checks(Vec<CheckView>),
    /// To `start` with `dry_run`: what would be done, from today's observations.
    Preview(Box<Preview>),
    /// To `start`, and whatever acts on a run: durably recorded; the run as it stands.
    Started {
        /// The run.
        run: RunId,
        /// Its epoch.
        epoch: u64,
    },
    /// To `adopt`: the world as the services see it.
    World(WorldView),
    /// Durably recorded.
    Recorded {
        /// What was recorded, in a sentence.
        what: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// Not done.
    Problem(Problem),
}

/// A page of a run's evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidencePage {
    /// Lines of a journal's export: the stored entries byte for byte, with their hashes.
    pub lines: Vec<String>,
    /// Where the next page begins; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One act of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByHandAsk {
    /// The resource.
    pub address: crate::Address,
    /// The act.
    pub action: String,
    /// Its arguments; what only an earlier step tells may be missing from them.
    #[serde(default)]
    pub args: Value,
}

/// In the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ByHandTexts {
    /// One for each act.
    pub texts: Vec<ByHandText>,
}

/// What a service says of one act.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ByHandText {
    /// Lines for a shell; none if its service was silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<String>>,
    /// The host that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A definition that can be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefinitionText {
    /// `name:version`.
    pub workflow: String,
    /// Of its text.
    pub digest: crate::Digest,
    /// YAML or JSON.
    pub text: String,
    /// The texts of the catalog's tasks that it calls, by `name:version`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, String>,
}

/// What a move would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// The group.
    pub group: GroupId,
    /// The definition, with its version.
    pub workflow: String,
    /// The site that is left.
    pub from: SiteId,
    /// The site that is opened.
    pub to: SiteId,
    /// One line a fact: label, text, verdict.
    pub facts: Vec<Fact>,
    /// The steps, in order.
    pub steps: Vec<String>,
    /// Why it cannot start now; empty when it can.
    pub refusals: Vec<Problem>,
    /// A cleanup: what each receiver keeps aside, and would drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<Vec<AsideAt>>,
    /// The decided input, as the definition would see it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
}

/// One line of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// What it is about.
    pub label: String,
    /// What was seen, with its age.
    pub text: String,
    /// In capitals at the line's end, where it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// A group's file over its defaults, as the runner runs with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupFile {
    /// Which group.
    pub group: GroupId,
    /// Of the file over its defaults, as workflows see it.
    pub digest: crate::Digest,
    /// Of the file that is taken when the run that is under way has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<crate::Digest>,
    /// The file over its defaults, where one group was named. It holds no secret.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub file: Value,
}

/// What came of reading the groups' files again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// Groups whose new file counts from now on.
    pub taken: Vec<GroupId>,
    /// Groups whose new file counts when their run has ended.
    pub later: Vec<GroupId>,
    /// Groups whose file is as it was.
    pub same: Vec<GroupId>,
    /// What only a new start of the runner takes, a sentence each.
    pub restart: Vec<String>,
}
