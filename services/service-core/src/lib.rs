//! What every service decides: claim, ledger, void, confirmation. Pure.
//!
//! [`Core`] is one service process: `(state, now, input) -> step`. It has no clock, no disk, no bus and
//! draws nothing; the same inputs in the same order give the same steps, byte for byte. The shell
//! (`responder`) hands inputs in, writes a step's records, and only then lets its effects out. A test
//! drives the same core by hand.
//!
//! - [`io`]: what goes in and comes out
//! - [`record`]: a line of the ledger
//! - [`ledger`]: is this key new, known, void, in progress? One table (`golden/ledger.txt`)
//! - `resource`: one resource: who holds it, its keys, what is being done
//! - `act`, `settle`, `claim`, `see`: the ways of a request, of an outcome, of a claim, of a look
//! - `answer`: what is said when

mod act;
mod answer;
mod claim;
mod core;
pub mod io;
pub mod ledger;
pub mod record;
mod resource;
mod rules;
mod see;
mod settle;
mod shared;

pub use crate::core::{Core, Registered, Setup};
pub use io::{Acted, Answered, Ask, Effect, Input, Looked, Now, OpId, Order, Step, Ticket};
pub use record::{End, Record};
#[cfg(any(test, feature = "breakage"))]
pub use rules::Rule;
pub use rules::Rules;
