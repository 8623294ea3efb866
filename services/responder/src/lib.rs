//! The shell of every service: NATS micro service, ledger file, locks.

mod driver;
pub mod memory;

pub use driver::{Act, Driver, DriverError, Look};
