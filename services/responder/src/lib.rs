//! The shell of every service: NATS micro service, ledger file, locks.

mod answers;
mod booted;
pub mod bounded;
mod bus;
mod by_hand;
mod clock;
mod driver;
pub mod expiry;
mod hands;
mod herald;
pub mod here;
mod ledger;
pub mod memory;
mod once;
mod pauses;
mod requests;
mod serve;
mod serving;
mod startable;
mod tend;
mod writer;

pub use by_hand::{path_word, quoted};
pub use driver::{Act, Driver, DriverError, Look};
pub use herald::Herald;
pub use ledger::LedgerError;
pub use pauses::Pauses;
pub use serve::{Pager, Registration, ServeError, ServeOptions, serve};
pub use startable::startable;
