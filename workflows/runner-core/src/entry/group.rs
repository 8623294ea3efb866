//! What is recorded of a group.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use schemas::duration::Iso;
use schemas::view::{DrillView, RunState};
use schemas::{Address, Attempt, Epoch, GroupId, Key, RunId, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compared::Compared;
use crate::left::Left;

use super::{ByPerson, Doubt, Intent, Owed, Settlement, Stream, UnknownEntry, join};

/// What is recorded of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum GroupEntry {
    /// A person took the world as it is.
    #[serde(rename = "group.adopted")]
    Adopted {
        /// Under this epoch.
        epoch: Epoch,
        /// The act is a run of its own; it holds the epoch.
        run: RunId,
        /// The live site; none where every database was seen closed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        live: Option<SiteId>,
        /// Somebody said that the runner of which this journal is a copy is stopped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        old_runner_stopped: bool,
        /// Who and why.
        by: ByPerson,
    },
    /// A run was decided.
    #[serde(rename = "group.run-started")]
    RunStarted {
        /// It.
        run: RunId,
        /// Its epoch.
        epoch: Epoch,
        /// `name:version`.
        workflow: String,
        /// The site left.
        from: SiteId,
        /// The site opened.
        to: SiteId,
        /// The run that it takes over from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        supersedes: Option<RunId>,
        /// The decision that started it, if a trigger did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<String>,
    },
    /// A run ended.
    #[serde(rename = "group.run-ended")]
    RunEnded {
        /// It.
        run: RunId,
        /// How.
        state: RunState,
        /// The live site from now on, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        live: Option<SiteId>,
        /// How the other one was left, where the run tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<Left>,
        /// What its comparisons left undecided; none: it compared nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_compared: Option<Vec<String>>,
        /// What they found, however the run ended.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        compared: Vec<Compared>,
    },
    /// An opening is intended, was done by hand, or is confirmed after a boot: the site counts as open from here on.
    #[serde(rename = "group.opening")]
    Opening {
        /// The database.
        address: Address,
        /// The call.
        key: Key,
        /// Its epoch.
        epoch: Epoch,
        /// By what each other site counted as closed then: `proof`, `fence path ADDRESS`, `accepted by PERSON`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        closed_by: BTreeMap<SiteId, String>,
    },
    /// A site's database was proved closed.
    #[serde(rename = "group.closed")]
    Closed {
        /// The database.
        address: Address,
        /// In this epoch.
        epoch: Epoch,
        /// What proved it.
        by: String,
    },
    /// The risk that a site may still be open was taken.
    #[serde(rename = "group.accepted")]
    Accepted {
        /// The site.
        site: SiteId,
        /// Serves only openings of this epoch.
        epoch: Epoch,
        /// Standing in the group's file.
        standing: bool,
        /// Who and why.
        by: ByPerson,
    },
    /// The risk that something is lost was taken: up to a bound, or where nobody can tell how much.
    #[serde(rename = "group.loss-accepted")]
    LossAccepted {
        /// Serves only openings of this epoch.
        epoch: Epoch,
        /// At most so much of what can be told; nothing where only the other was named.
        bound: Iso,
        /// A loss that nobody can tell too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unknown: bool,
        /// Who and why.
        by: ByPerson,
    },
    /// An unplanned opening was let through, and what is lost by it.
    #[serde(rename = "group.loss")]
    Loss {
        /// The run that opens.
        run: RunId,
        /// From the last heartbeat that was applied to the last sign of life; none: nobody can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimate: Option<Iso>,
        /// The newest sign of life of the site that is left, by its own clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alive: Option<DateTime<Utc>>,
        /// The last heartbeat of it that was applied at the site that opens.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat: Option<DateTime<Utc>>,
        /// From what it was told.
        text: String,
        /// What let it through: `drained`, `within the limit`, `no limit`, or who accepted it.
        by: String,
    },
    /// A site fell silent, or speaks again: until when it was seen alive.
    #[serde(rename = "group.last-seen")]
    LastSeen {
        /// The source's half of a replication from there.
        address: Address,
        /// The newest sign of anything there, by its own clock; none: something speaks again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alive: Option<DateTime<Utc>>,
    },
    /// Users of the live site can only read, or can write there again.
    #[serde(rename = "group.limited")]
    Limited {
        /// The live site.
        site: SiteId,
        /// Since when, as it was seen; none: it is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<DateTime<Utc>>,
    },
    /// What is not green of the group's preconditions has changed.
    #[serde(rename = "group.preflight")]
    Preflight {
        /// The names of the red lines.
        red: BTreeSet<String>,
        /// Those of the amber ones.
        amber: BTreeSet<String>,
    },
    /// A run was started although these lines were red.
    #[serde(rename = "group.overridden")]
    Overridden {
        /// The run.
        run: RunId,
        /// The lines, by name.
        lines: Vec<String>,
        /// Who and why.
        by: ByPerson,
    },
    /// Two sites were seen open at once, and nobody accepted that; no site: it is over.
    #[serde(rename = "group.split-brain")]
    SplitBrain {
        /// Which.
        sites: Vec<SiteId>,
    },
    /// A replication is broken in peace, or mended.
    #[serde(rename = "group.replication")]
    Replication {
        /// The half that says so.
        address: Address,
        /// The server's words; none: it is mended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<String>,
    },
    /// Something could not be asked and is owed.
    #[serde(rename = "debt.owed")]
    Owed {
        /// The group's number for it.
        debt: u64,
        /// What.
        owed: Owed,
    },
    /// A debt's act is intended.
    #[serde(rename = "debt.intended")]
    DebtIntended {
        /// Which.
        debt: u64,
        /// The key's run: who holds the epoch.
        run: RunId,
        /// The intent.
        intent: Intent,
    },
    /// The next sending of a debt's key.
    #[serde(rename = "debt.sent")]
    DebtSent {
        /// Which.
        debt: u64,
        /// Which sending.
        attempt: Attempt,
    },
    /// What became of a debt's key.
    #[serde(rename = "debt.settled")]
    DebtSettled {
        /// Which.
        debt: u64,
        /// How.
        settlement: Settlement,
    },
    /// A debt is no more.
    #[serde(rename = "debt.ended")]
    DebtEnded {
        /// Which.
        debt: u64,
        /// `paid`, or what made it pointless.
        how: String,
    },
    /// A key was passed or left without knowing.
    #[serde(rename = "doubt.listed")]
    DoubtListed {
        /// The key.
        key: Key,
        /// What was asked, of whom, under which epoch.
        doubt: Doubt,
    },
    /// A doubt is no more.
    #[serde(rename = "doubt.ended")]
    DoubtEnded {
        /// The key.
        key: Key,
        /// What it turned out to be.
        how: String,
    },
    /// The group's file was read again, and differs from the one before.
    #[serde(rename = "group.file-taken")]
    FileTaken {
        /// Of the file over its defaults.
        digest: schemas::Digest,
        /// Who and why.
        by: ByPerson,
    },
    /// People are to be told something.
    #[serde(rename = "notice.owed")]
    NoticeOwed {
        /// The group's number for it.
        notice: u64,
        /// What.
        owed: Box<crate::notify::Notice>,
    },
    /// They were told, or it was given up.
    #[serde(rename = "notice.ended")]
    NoticeEnded {
        /// Which.
        notice: u64,
        /// How often it was tried in the runner's last life.
        tries: u32,
        /// Why it was given up; none: they were told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gave_up: Option<String>,
    },
    /// Monitoring said something about a site, and what came of it.
    #[serde(rename = "group.decision")]
    Decision {
        /// Its id.
        decision: String,
        /// The group.
        group: GroupId,
        /// The event: id and source.
        event: String,
        /// The site.
        site: SiteId,
        /// What came of it.
        verdict: String,
        /// The red lines, by name, that were told with a question to a person: who approves it goes past them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        red: Vec<String>,
    },
    /// Automatic starts are armed again.
    #[serde(rename = "group.acknowledged")]
    Acknowledged {
        /// Who and why.
        by: ByPerson,
    },
    /// A person declared what no look can tell, or that it is over.
    #[serde(rename = "group.declared")]
    Declared {
        /// The group.
        group: GroupId,
        /// What.
        what: schemas::Declaration,
        /// The site that is down or gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Who and why.
        by: ByPerson,
    },
    /// A move was practised.
    #[serde(rename = "group.drilled")]
    Drilled {
        /// How it went.
        drill: Box<DrillView>,
        /// Who and why.
        by: ByPerson,
    },
    /// A person switched the triggers.
    #[serde(rename = "group.triggers")]
    Triggers {
        /// As the file says, or off.
        on: bool,
        /// Off until.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
        /// Who and why.
        by: ByPerson,
    },
    /// A person's request was answered; its second arrival is answered so again.
    #[serde(rename = "op.answered")]
    OpAnswered {
        /// The request.
        request: schemas::MessageId,
        /// The answer.
        reply: Box<schemas::op::OpReply>,
    },
    /// The whole state, so that reading starts here.
    #[serde(rename = "group.checkpoint")]
    Checkpoint {
        /// The state as of this entry.
        state: Box<crate::group::Record>,
    },
}

impl GroupEntry {
    /// Reads a stored entry of a group.
    ///
    /// # Errors
    ///
    /// It is of a kind that this program does not know.
    pub fn read(
        group: &GroupId,
        seq: u64,
        kind: &str,
        body: &Map<String, Value>,
    ) -> Result<Self, UnknownEntry> {
        join(&Stream::Group(group.clone()), seq, kind, body.clone())
    }
}
