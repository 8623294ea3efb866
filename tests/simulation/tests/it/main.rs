//! The protocol, proved on the real cores: sweeps, directed traces, chance.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;
mod protocol;
mod sweep;
