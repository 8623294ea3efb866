//! What the runner decides: groups, runs, epochs, debts. Pure.
//!
//! `Core::step(now, input) -> Output`: entries to be made durable, effects that may leave the process only
//! after them, and local work. The shell moves these values and decides nothing, so that what ships is what
//! a crash sweep and a simulation run.

mod accepted;
mod alive;
mod aside;
mod by_hand;
mod call;
mod claims;
mod compared;
mod copied;
mod core;
mod debts;
mod decide;
mod declared;
mod drill;
mod elsewhere;
mod entry;
mod events;
mod fault;
mod followed;
mod fresh;
mod gate;
mod group;
mod health;
mod in_memory;
mod left;
mod limited;
mod live;
mod loss;
mod meanwhile;
mod mode;
mod name_lines;
mod notify;
mod opened;
mod ops;
mod owed;
mod plan;
mod pointed;
mod preflight;
mod preview;
mod protection;
mod purpose;
mod push;
mod query;
mod read;
mod reload;
mod rules;
mod run;
mod seam;
mod settle;
mod since;
mod split;
mod start;
mod trigger;
mod views;
mod warnings;
mod watch;

pub use accepted::accepted_loss;
pub use call::{CallRecord, CallState};
pub use compared::Compared;
pub use core::{Core, Settings};
pub use declared::Declared;
pub use entry::{
    AnyEntry, Append, AssumedBy, ByPerson, Doubt, GroupEntry, Intent, Owed, RunEntry, SettledAs, Settlement,
    Started, Stream, UnknownEntry,
};
pub use events::{Outgoing, event_of, is_told};
pub use group::{Acceptance, Debt, LossAccepted, LossDecided, OpenState, Record, TriggersOff};
pub use left::Left;
pub use notify::{Commands, Notice, NoticeOf, Telling};
pub use read::{ReadError, ReadRun, Stored, read_run, show};
pub use reload::ReadGroup;
pub use rules::{Rule, Rules};
pub use run::BadRun;
pub use seam::{
    Answered, BusRequest, Effect, GroupPlan, Ids, Input, Local, LossLimit, Now, Output, ReplyTo, RequestId,
    Standing, Trigger, TriggerMode,
};
