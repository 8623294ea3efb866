//! What is printed of workflows and runs, and what is done without bus or runner.
#![expect(clippy::unwrap_used, reason = "tests")]

mod by_hand;
mod drill;
mod forty;
mod house;
mod notify;
mod permissions;
mod plan;
mod reload;
mod report;
mod take_over;
