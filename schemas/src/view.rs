//! What people and other systems are shown: groups, runs, steps, decisions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Iso;
use crate::op::Who;
use crate::{
    Address, CheckView, DeclaredView, Epoch, GroupId, Observation, Position, Problem, RunId, SiteId,
};

/// States of a step (design words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Not reached.
    Pending,
    /// Its request is out, and within its time.
    Running,
    /// It waits for something that `waits_for` names.
    Waiting,
    /// Asked, and the outcome is not known.
    InDoubt,
    /// Done, as its service saw.
    Done,
    /// Done by a person, who said so.
    DoneByHand,
    /// Passed without knowing; stays on the group's list.
    Assumed,
    /// A person went on without it.
    Skipped,
    /// It failed; the error is beside it.
    Failed,
    /// Reversed.
    Undone,
}

/// States of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Decided, not begun.
    Pending,
    /// Going on.
    Running,
    /// Waiting for something outside.
    Waiting,
    /// Stopped until a person decides.
    Held,
    /// Stopped by a person.
    Paused,
    /// Ended as its definition says.
    Completed,
    /// Ended by an error.
    Faulted,
    /// Ended by a person.
    Cancelled,
    /// Ended where it began.
    BackedOut,
    /// Ended by a newer epoch.
    Fenced,
}

impl RunState {
    /// Whether nothing follows.
    pub fn ended(self) -> bool {
        matches!(
            self,
            RunState::Completed
                | RunState::Faulted
                | RunState::Cancelled
                | RunState::BackedOut
                | RunState::Fenced
        )
    }
}

/// Modes of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Live, and no run moves it: at its first site, protected or not, or at the other one, protected.
    Normal,
    /// The live site does not answer; reads only.
    Limited,
    /// A planned move is going on.
    SwitchingOver,
    /// An unplanned move is going on.
    FailingOver,
    /// Live at the other site, unprotected.
    FailedOver,
    /// The site that is not live is brought up to date.
    Resyncing,
    /// A planned move to the first site is going on.
    FailingBack,
    /// Two sites are open.
    SplitBrain,
    /// Not adopted, moved by hand and not adopted since, or nothing can be seen.
    Unknown,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// The number shown, from 1.
    pub number: u32,
    /// Its position.
    pub position: Position,
    /// Its name, with what it works on: `close config@main`.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// The function that it calls.
    pub function: String,
    /// The resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The part of the move: fence, drain, open, start, name, clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Sendings so far.
    pub attempts: u32,
    /// Whether it was ever in doubt.
    pub in_doubt: bool,
    /// What settled it, if it was in doubt: `outcome`, `reply`, `person`, `claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<String>,
    /// It was in effect already: its service looked, and did nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
    /// When the run came to it, where its intent was made later: it waited for what has to hold before, such as that no
    /// other site is open, or for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<DateTime<Utc>>,
    /// When its intent was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// Its result.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What it waits for, and which command ends the wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The world against the journal, while the run is held, paused or waits. None where its resource was not seen since,
    /// where a look cannot tell, and where a later step acts on the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<StepNow>,
}

/// What was seen of a step's resource since the step: somebody may have undone it by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepNow {
    /// What is seen, in a word or two: `open`, `stopped`.
    pub seen: String,
    /// What the step leaves behind, by the journal: `open`, `started`.
    pub journal: String,
    /// Whether that is what is seen.
    pub agrees: bool,
    /// Who saw it: the service of this resource.
    pub by: Address,
    /// How long ago, by the runner's clock.
    pub age: Iso,
}

impl StepView {
    /// By what the site that this step waited for counts as closed: `proof`, `fence path ADDRESS`, `accepted by PERSON`.
    /// None for any other step, and before it does.
    pub fn closed_by(&self) -> Option<&str> {
        let by = self.output.get("by").filter(|_| self.function == "group.await-closed");
        by.and_then(Value::as_str)
    }
}

/// The time in which users could only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limited {
    /// From when users were seen to be limited before the run was decided, or else from the first step of the part `fence`.
    pub since: DateTime<Utc>,
    /// To the end of the last of the parts `open`, `start`, `name` and `clients`; none: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// The group it moves; none if it only observes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// The definition, with its version.
    pub workflow: String,
    /// Its state.
    pub state: RunState,
    /// Its epoch.
    pub epoch: Epoch,
    /// The site left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SiteId>,
    /// The site opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SiteId>,
    /// Who decided.
    pub who: Who,
    /// Why.
    pub why: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// For how long its users were, or are, limited to reading; none while nothing was taken from them, and for a
    /// run that moves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limited>,
    /// Tables that it compared, and of which nobody knows whether they are equal at both sites: `public.entry of css@main`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
    /// Tables that it compared, and that are not the same at both sites: `public.entry of css@main`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// Its latest journal sequence.
    pub sequence: u64,
    /// What holds it or what it waits for, and which command ends that.
    #[serde(default)]
    pub waits_for: Vec<String>,
    /// Its steps, in the order in which they began.
    #[serde(default)]
    pub steps: Vec<StepView>,
    /// The error that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Something that could not be asked, and will be (law 8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DebtView {
    /// Of which resource.
    pub address: Address,
    /// `claim`, or the function owed.
    pub what: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The run that left it.
    pub run: RunId,
    /// Why it is not paid yet.
    pub why: String,
    /// Its site was declared gone: it stays owed, and who builds the site anew will meet it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// A fact with its age and who said it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceView {
    /// Which.
    pub address: Address,
    /// The latest observation; none if it never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<Observation>,
    /// When that observation came, by the runner's clock: the age of the fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<DateTime<Utc>>,
    /// When its service was last heard, by the runner's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<DateTime<Utc>>,
    /// Whether it is silent now.
    pub silent: bool,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// Which.
    pub group: GroupId,
    /// Where it stands when several groups move: lower first.
    #[serde(default)]
    pub order: u32,
    /// Its mode.
    pub mode: Mode,
    /// The mode in a sentence, and which command comes next.
    pub sentence: String,
    /// The highest epoch.
    pub epoch: Epoch,
    /// The site that is recorded as live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<SiteId>,
    /// Since when its users can only read, as it was seen; none while they can write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_since: Option<DateTime<Utc>>,
    /// Its sites, and which of them count as open.
    pub sites: BTreeMap<SiteId, SiteView>,
    /// The run that has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<RunView>>,
    /// What is owed.
    pub debts: Vec<DebtView>,
    /// Keys passed or superseded without knowing.
    pub doubts: Vec<DebtView>,
    /// What would be lost if the live site were lost now; none where nothing is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossView>,
    /// Its latest preflight, without what was green; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckView>,
    /// What somebody should look at in peace: replication that is broken, a slot that fills a disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The latest drill of each workflow that was practised, each way, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drills: Vec<DrillView>,
    /// What a person declared of it, until that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<DeclaredView>,
    /// Trigger mode, and what it waits for.
    pub trigger: String,
    /// Each resource, with ages.
    pub resources: Vec<ResourceView>,
    /// The runner's clock.
    pub at: DateTime<Utc>,
}

/// How much a move without the live site would lose, as time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LossView {
    /// From the last heartbeat that the other site applied to the last sign of life of this one; none: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Iso>,
    /// The group's limit; none: it has none, and no move waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Iso>,
    /// From what it was told, in a sentence.
    pub text: String,
    /// `WITHIN LIMIT`, `ABOVE LIMIT`, `UNKNOWN` or `NO LIMIT`.
    pub verdict: String,
}

/// How a move went when it was practised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillView {
    /// The workflow's name.
    pub workflow: String,
    /// The site left.
    pub from: SiteId,
    /// The site opened.
    pub to: SiteId,
    /// How its run ended; `held` where a person would have had to think.
    pub state: RunState,
    /// How long the run took, on drivers in memory.
    pub took: Iso,
    /// What a person would have been asked.
    pub asked: Vec<String>,
    /// How much it left owed.
    pub owed: u32,
    /// Why its run did not start, where it was refused; the state is `faulted` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// When it was recorded, by the runner's clock.
    pub at: DateTime<Utc>,
}

/// One site of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteView {
    /// Whether it counts as open, pessimistically.
    pub counts_open: bool,
    /// When it was last proved closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_seen: Option<DateTime<Utc>>,
    /// Whether each of its databases that is live at one site only was just seen closed. It may count as open all the same:
    /// what was seen proves nothing while somebody may open it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen_closed: bool,
    /// Why it counts as it does.
    pub why: String,
    /// Services heard within the last 6 s, of all.
    pub heard: u32,
    /// Services in all.
    pub services: u32,
}

/// A detection, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionView {
    /// Its id.
    pub id: String,
    /// The group.
    pub group: GroupId,
    /// When.
    pub at: DateTime<Utc>,
    /// The event's id and source, or who declared something, and why.
    pub event: String,
    /// `started`, `ask`, `waiting`, `observed`, or why nothing was started; of what a person declared, that.
    pub verdict: String,
    /// The run, if one was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// The world, before it is adopted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorldView {
    /// The group.
    pub group: GroupId,
    /// Each resource.
    pub resources: Vec<ResourceView>,
    /// The site that looks live, if exactly one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<SiteId>,
    /// What stands against adopting it.
    pub objections: Vec<String>,
}
