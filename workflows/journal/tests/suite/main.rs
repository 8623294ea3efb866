//! The journal against a real disk.
#![expect(clippy::unwrap_used, reason = "tests")]

mod basic;
mod common;
mod memory;
