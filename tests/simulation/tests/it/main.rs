//! The protocol, proved on the real cores: sweeps, directed traces, chance.
#![expect(clippy::unwrap_used, reason = "tests")]

mod chance;
mod common;
mod laws;
mod protocol;
mod sweep;
