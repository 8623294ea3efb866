//! jq expressions: checked when a definition is loaded, compiled once, fenced when run.
//!
//! The language is jaq's jq, less all that is not a function of its input: no clock, no
//! environment, no input beside the value, nothing that prints or ends the process. Nothing
//! interrupts jaq inside a process, so what a definition says is run in a [`Worker`]: a child
//! process with bounds on memory and time. An expression that kills its worker is an error of
//! that expression ([`Code::Fenced`]) and of nobody else.
//!
//! Known differences from jq are jaq's: numbers beyond 2^53 keep their digits, and an assignment
//! below a missing key fails. No infinity, no byte string and no key that is not a text leaves an
//! expression.

mod allow;
mod convert;
mod error;
mod evaluator;
mod fence;
mod path;
mod pool;
mod program;
mod strict;
mod wire;
pub mod worker;

pub use convert::{DEPTH_MAX, SIZE_MAX};
pub use error::{Code, ExprError};
pub use evaluator::{Evaluator, Inline};
pub use fence::{Limits, Worker, WorkerCommand};
pub use path::{is_plain, plain};
pub use pool::Pool;
pub use program::{Checked, Program, SOURCE_MAX, check};
pub use strict::{bare_or_strict, strict};
