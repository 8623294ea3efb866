//! The engine's tests: one program, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod definitions;
mod faults;
mod flow;
mod functions;
mod loading;
mod pages;
mod replay;
mod support;
mod table;
mod undo;
