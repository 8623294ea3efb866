//! The workflow language: where a run stands, and what it wants next. Pure.
//!
//! A [`Definition`] is a checked file of the Open Workflow Specification's DSL 1.0. A [`Machine`]
//! is the place of one run in it: the fold of [`Entry`] values. What happens outside comes in as an
//! [`Input`]; [`Machine::decide`] says which entries follow from it; applying them changes what the
//! run wants ([`Want`]). There is no clock, no disk, no bus and no randomness in here, and applying
//! an entry evaluates nothing: entries hold results.

pub mod catalog;
mod decide;
mod definition;
mod duration;
mod entry;
mod error;
mod filter;
mod info;
mod job;
mod jobs;
mod machine;
mod schema;
mod state;
mod template;
mod want;

pub use catalog::{Catalog, Function};
pub use definition::{CODES, Definition, FunctionFile};
pub use entry::{Applied, Body, Catching, Entry, Resolution, RunFacts};
pub use error::{Error, Standard, same_type};
pub use filter::{EventFilter, EventFilters, Strategy};
pub use info::{Info, OnFault, Purpose, StepInfo};
pub use job::{Evaluation, Job};
pub use machine::{BadEntry, Machine, Outcome, Unexpected};
pub use want::{Call, Change, InDoubt, Input, Want, WantId, WantKind};
