//! The core against services that do whatever they are asked.
#![expect(clippy::unwrap_used, reason = "tests")]

mod alive;
mod aside;
mod asks;
mod blind;
mod boot;
mod capturing;
mod clients;
mod common;
mod copying;
mod elsewhere;
mod fence;
mod fresh;
mod ledger;
mod limited;
mod lines;
mod notify;
mod orphans;
mod owed;
mod pointed;
mod preflight;
mod protection;
mod reload;
mod smoke;
mod split;
mod trigger;
