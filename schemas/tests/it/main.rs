//! The words of the bus, and the documents that describe them to others.
#![expect(clippy::unwrap_used, reason = "tests")]

mod asyncapi;
mod durations;
mod events;
mod files;
mod frames;
mod ids;
mod messages;
mod subjects;
