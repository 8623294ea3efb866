//! What is printed of a workflow and of a run. Pure: entries in, text out.
//!
//! [`Evidence`] is a run as its stored entries tell it, each verified; [`Report`] is what people read of it;
//! [`verify`] says whether anybody rewrote them, against a hash that was kept elsewhere.

mod evidence;
pub mod report;
mod verify;

pub use evidence::{Evidence, EvidenceError};
pub use report::{Document, Report};
pub use verify::{Verified, VerifyError, verify};
