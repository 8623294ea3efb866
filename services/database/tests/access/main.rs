//! The access of named roles on a real server.
#![expect(clippy::unwrap_used, reason = "tests")]

mod broken;
mod closing;
mod modes;
mod preflight;
mod refusals;
mod site;
mod write;
