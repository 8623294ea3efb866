//! Points names at a site, and makes clients follow.
//!
//! Drivers of `dns.point`: [`rfc2136`] (dynamic update), [`scripts`] (a pair of scripts, one a site), and
//! [`memory`]. Of `dns.follow`, and of the hosts files where no name can be changed: [`client`]. A name counts as
//! pointed when every listed authoritative server outside lost sites answers exactly the site's addresses; an empty or
//! unknown answer is never a target.

pub mod client;
pub mod memory;
pub mod rfc2136;
pub mod scripts;

mod exchange;
mod hosts;
mod names;
mod server;
mod tsig;
mod wire;

pub use hosts::Hosts;
pub use server::{BadServer, Server};
pub use tsig::{BadKey, Key};
