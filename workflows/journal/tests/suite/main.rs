//! The journal against a real disk.
#![expect(clippy::unwrap_used, reason = "tests")]

mod basic;
mod child;
mod common;
mod crash;
mod damage;
mod memory;
mod order;
mod stop;
