//! The runner's shell: it moves values between the core and clock, bus, journal and expressions, and
//! decides nothing.

mod bus;
mod clock;
mod evaluate;
mod evidence;
mod load;
mod oneself;
mod outbox;
mod seams;
mod shell;
mod shipped;

pub use load::LoadError;
pub use oneself::OwnLines;
pub use runner_core::Telling;
pub use shell::{DefinitionText, Options, ReadGroups, RunError, Teller, run};
pub use shipped::{in_folder, shipped};
