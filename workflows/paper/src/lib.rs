//! What is printed of a workflow and of a run. Pure: entries, definitions and observations in, text out.
//!
//! [`Evidence`] is a run as its stored entries tell it, each verified; [`Report`] is what people read of it;
//! [`verify`] says whether anybody rewrote them, against a hash that was kept elsewhere. [`forecast`] drives the
//! engine with foreseen outputs; a [`Plan`] and a [`runbook`](runbook::runbook) are made of that.

mod evidence;
pub mod forecast;
mod plan;
pub mod report;
pub mod runbook;
mod verify;

pub use evidence::{Evidence, EvidenceError};
pub use forecast::{Forecast, ForecastError, World, forecast};
pub use plan::{Estimate, Plan, PlanStep};
pub use report::{Document, Report};
pub use verify::{Verified, VerifyError, verify};
