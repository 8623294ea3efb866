//! The protocol, proved on the real cores: sweeps, directed traces, chance.
//!
//! `POINTSMAN_SEED=N` plays one seed again, `POINTSMAN_SEEDS=N` plays so many; `POINTSMAN_SWEEP=all` kills a service in
//! every way at every point (else the ways take turns); `POINTSMAN_ROW=TEXT` plays the rows of the table that contain
//! it; `POINTSMAN_TRACE=1` tells the history of what failed.
#![expect(clippy::unwrap_used, reason = "tests")]

mod by_hand;
mod chance;
mod common;
mod declared;
mod fence;
mod home;
mod laws;
mod loss;
mod pointed;
mod protocol;
mod push;
mod sweep;
mod undone;
mod words;
