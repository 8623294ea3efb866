//! What goes into the core and what comes out.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::{
    Action, Address, AdoptRequest, Attempt, ClaimReply, ClaimRequest, ConfirmRequest, Epoch, Frame, GroupId,
    Key, MessageId, Observation, OutcomeRequest, Problem, Reply, RunId, Seen,
};
use serde_json::Value;

use crate::record::Record;

/// How many questions may wait at one resource; more are told that it is busy.
pub const WAITING_MAX: usize = 64;

/// How many keys are kept of a resource that no group claims; the oldest runs are forgotten first.
pub const KEYS_MAX: usize = 4096;

/// How long an end to earlier acts may take.
pub const END_WITHIN: Duration = Duration::from_secs(10);

/// The longest wait of an outcome's long poll.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// What two clocks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock; in answers, and for a request's expiry.
    pub wall: DateTime<Utc>,
    /// The boot-time clock: it counts a suspended host's time too, and nobody sets it.
    pub boot: Duration,
}

/// A question that waits for its answer; the shell names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Something that a driver was asked; the core names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// A request of the bus, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// One act.
    Act {
        /// Its frame.
        frame: Frame,
        /// What to reach.
        action: Action,
        /// The body.
        args: Value,
    },
    /// A run takes the resource.
    Claim(ClaimRequest),
    /// What became of a key?
    Outcome(OutcomeRequest),
    /// What is true now?
    Observe,
    /// A person takes the ledger into service.
    Adopt(AdoptRequest),
}

/// What a look found.
#[derive(Debug, Clone, PartialEq)]
pub enum Looked {
    /// In effect; with the act's output.
    InEffect(Value),
    /// Not in effect; with what was found.
    NotInEffect(Value),
    /// The look itself failed.
    CannotTell(String),
}

/// How an act ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Acted {
    /// It is in effect, and was verified.
    Done(Value),
    /// It is not, and nothing of it can take effect any more.
    NotDone(Problem),
    /// It may be, or may come into effect later.
    Unknown(Problem),
}

/// One input.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A request arrived.
    Asked {
        /// To answer it by.
        ticket: Ticket,
        /// The resource.
        address: Address,
        /// The question.
        ask: Ask,
        /// Drawn for the confirmation that this request may need.
        nonce: MessageId,
    },
    /// [`Effect::Check`] came back.
    Checked {
        /// Which.
        op: OpId,
        /// What the driver said.
        result: Result<(), Problem>,
    },
    /// [`Effect::Look`] came back.
    Looked {
        /// Which.
        op: OpId,
        /// What was found.
        looked: Looked,
    },
    /// [`Effect::End`] came back.
    Ended {
        /// Which.
        op: OpId,
        /// Whether all of it was seen gone.
        result: Result<(), Problem>,
    },
    /// [`Effect::Raise`] came back.
    Raised {
        /// Which.
        op: OpId,
        /// Whether the resource took the epoch.
        result: Result<(), Problem>,
    },
    /// [`Effect::Act`] ended.
    Acted {
        /// Which.
        op: OpId,
        /// How.
        acted: Acted,
    },
    /// [`Effect::See`] came back.
    Seen {
        /// Which.
        op: OpId,
        /// What was seen.
        seen: Seen,
    },
    /// The runner said yes or no, or nothing could be heard of it (a no).
    Confirmed {
        /// The question's.
        nonce: MessageId,
        /// Yes, or why not.
        yes: Result<(), Problem>,
    },
    /// Time passed: deadlines are looked at.
    Time,
    /// The host's brake was let go (or put on again).
    Armed(bool),
}

/// One act, for the driver.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// What to reach.
    pub action: Action,
    /// The body, unchanged.
    pub args: Value,
    /// On whose behalf.
    pub group: GroupId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its run.
    pub run: RunId,
    /// The key.
    pub key: Key,
    /// The attempt.
    pub attempt: Attempt,
    /// It ends within this, from now.
    pub within: Duration,
    /// Openings: it never takes effect later than this, by the boot-time clock.
    pub not_after: Option<Duration>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answered {
    /// To an act's request, or to a question for its outcome.
    Reply(Reply),
    /// To a claim or an adoption.
    Claim(ClaimReply),
    /// To `observe`.
    Observation(Observation),
    /// The question could not be taken at all.
    Problem(Problem),
}

/// What leaves the core. Each may leave only after the records of its own step and of all steps
/// before it were written, and synced where the step says so.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the driver whether the arguments can be carried out.
    Check {
        /// Name it so in the input that comes back; likewise below.
        op: OpId,
        /// The resource; likewise below.
        address: Address,
        /// What would be reached.
        action: Action,
        /// The body.
        args: Value,
    },
    /// Ask the driver whether the action is in effect.
    Look {
        /// Name.
        op: OpId,
        /// Resource.
        address: Address,
        /// Of which action.
        action: Action,
        /// The body.
        args: Value,
    },
    /// Have the driver end what earlier acts left.
    End {
        /// Name.
        op: OpId,
        /// Resource.
        address: Address,
        /// The bound.
        within: Duration,
    },
    /// Have the driver raise the epoch that the resource itself holds.
    Raise {
        /// Name.
        op: OpId,
        /// Resource.
        address: Address,
        /// Group.
        group: GroupId,
        /// Epoch.
        epoch: Epoch,
        /// Run.
        run: RunId,
    },
    /// Have the driver act.
    Act {
        /// Name.
        op: OpId,
        /// Resource.
        address: Address,
        /// What.
        order: Order,
    },
    /// Have the driver observe.
    See {
        /// Name.
        op: OpId,
        /// Resource.
        address: Address,
    },
    /// Ask the runner: may I open now?
    Confirm {
        /// The question; its nonce names it.
        request: ConfirmRequest,
        /// After this it is a no.
        within: Duration,
    },
    /// Answer a question.
    Answer {
        /// Which.
        ticket: Ticket,
        /// What.
        answered: Answered,
    },
}

/// What one input led to.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use = "the records must be written, then the effects released"]
pub struct Step {
    /// To append to the ledger, in order.
    pub records: Vec<Record>,
    /// Whether they must be on disk (fdatasync) before the effects leave.
    pub sync: bool,
    /// Whether an epoch rose, so that much of the ledger may be forgotten now: [`crate::Core::records`].
    pub rose: bool,
    /// Afterwards, in order.
    pub effects: Vec<Effect>,
}
