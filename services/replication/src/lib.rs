//! Drives PostgreSQL logical replication, one half of it on each site's host.
//!
//! At the source: `mark` (a sentinel row), `capture` (a slot), `discard`. At the receiver: `drain` (a mark
//! is applied, durably), `start`, `stop`, `set-sequences`, `abandon` (the source is lost). Drivers:
//! [`postgres`] and [`memory`].

mod ledger;
pub mod memory;
pub mod postgres;
mod server_log;
mod settings;

pub use settings::{BadSettings, Blockers, Half, Own, Place, PostgresSettings, Settings, set_up};
