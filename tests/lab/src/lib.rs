//! Two sites of real servers on one machine.
//!
//! Fixtures for tests: each starts a real server on a loopback address and a free port, keeps
//! all its files in one temporary folder, and is gone with them when it is dropped, also when a
//! test panics. Should the test process itself be killed, the kernel ends the servers
//! ([`process`]), and the next run removes the folders that were left ([`folder`]).
//!
//! All calls block until what they promise holds, with a bound; they may be used from async
//! tests, where a call of a few hundred milliseconds holds up one worker thread only.
//! `scripts/install.sh` brings the servers' programs.

pub mod bind;
pub mod control;
pub mod demo;
pub mod folder;
pub mod lookup;
pub mod nats;
pub mod port;
pub mod postgres;
pub mod process;
pub mod standin;
pub mod system;
pub mod tools;
