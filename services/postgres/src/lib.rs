//! What both PostgreSQL services share: bounded connections, SQL, positions.
//!
//! What the run-time role may do beyond its own rights stands in functions that the DBA installs
//! once ([`setup`]); this crate calls them and never needs a superuser.

pub mod by_hand;
mod dsn;
mod error;
mod lsn;
mod parked;
mod passwords;
mod server;
mod session;
pub mod settings;
pub mod setup;
pub mod sqlstate;
mod tls;

pub use dsn::database_of;
pub use error::{Fate, PgError};
pub use lsn::{BadLsn, Lsn};
pub use parked::Life;
pub use passwords::passwords;
pub use server::{Claim, Identity, Server};
pub use session::{Session, identifier, literal};
pub use tokio_postgres::Row;
