//! Closes and opens the access of named roles, and sees that a write arrives.
//!
//! A driver a file: [`postgres`] (roles and their grants), [`scripts`] (the operator's own), [`memory`].
//! Each is a [`responder::Driver`]: it sees what is true, and reaches *closed* or *open*.
//!
//! *Closed* means: no named role can log in and write, none has a session, none has a prepared
//! transaction; all of it was looked at after it was done, and survives a crash of the server. Anything
//! between closed and open is `partly` and counts as open.

pub mod memory;
pub mod postgres;
pub mod scripts;
mod settings;

pub use settings::{Boot, ExecSettings, Place, PostgresSettings, Settings};
