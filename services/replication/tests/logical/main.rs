//! Both halves of a replication on two real clusters.
#![expect(clippy::unwrap_used, reason = "tests")]

mod abandoned;
mod copying;
mod home;
mod moves;
mod page;
mod pair;
mod preflight;
mod slots;
mod stuck;
