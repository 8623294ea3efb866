//! What is printed of workflows and runs, and what is done without bus or runner.
#![expect(clippy::unwrap_used, reason = "tests")]

mod house;
mod report;
