//! Every word that crosses the bus, and nothing that does I/O.
//!
//! Runner and services meet here and nowhere else. What is sent or stored changes only with three
//! questions answered: old reader and new data, new reader and old data, old writer and new data.
//! Readers of events pass over what they do not know; readers of requests refuse it.

mod action;
pub mod args;
mod aside;
pub mod check;
mod declared;
mod digest;
pub mod duration;
pub mod event;
pub mod frame;
mod ids;
mod loss;
mod observation;
pub mod op;
mod problem;
mod reply;
mod subject;
pub mod view;

pub use action::{Action, BadService, Effect, Service};
pub use aside::{Aside, AsideAt, AsideTable, keeping, size};
pub use check::{CheckLine, CheckReply, CheckView, Level};
pub use declared::{Declaration, DeclaredView};
pub use digest::Digest;
pub use event::CloudEvent;
pub use frame::{CLOCK_ALLOWANCE, Frame, MESSAGE_MAX};
pub use ids::{
    Attempt, BadId, Epoch, GroupId, Key, KindId, LedgerId, MessageId, PersonId, Position, ResourceId, RunId,
    SiteId,
};
pub use loss::LossBound;
pub use observation::{
    Access, CopyProgress, DatabaseSeen, Half, NameSeen, Observation, Orphans, ProcessSeen, ReplicationSeen,
    ReplicationState, Role, Running, Seen,
};
pub use problem::{Code, Problem};
pub use reply::{
    AdoptRequest, Answer, BY_HAND_MAX, Beat, ByHandAct, ByHandReply, ByHandRequest, ClaimReply, ClaimRequest,
    ConfirmReply, ConfirmRequest, OutcomeRequest, Reply, YES_COUNTS,
};
pub use subject::{Address, BadSubject, Prefix, Verb};
