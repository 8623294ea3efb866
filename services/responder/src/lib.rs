//! The shell of every service: NATS micro service, ledger file, locks.

mod answers;
mod bus;
mod clock;
mod driver;
mod hands;
mod ledger;
pub mod memory;
mod once;
mod requests;
mod serve;
mod serving;
mod startable;
mod tend;
mod writer;

pub use driver::{Act, Driver, DriverError, Look};
pub use ledger::LedgerError;
pub use serve::{Registration, ServeError, ServeOptions, serve};
pub use startable::startable;
