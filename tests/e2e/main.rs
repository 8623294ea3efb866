//! The built command on real servers: the lab, its users, and what is lost and killed.
#![expect(clippy::unwrap_used, reason = "tests")]

mod acts;
mod back_out;
mod bench;
mod broken;
mod by_hand;
mod components;
mod copy;
mod drill;
mod home;
mod hosts_push;
mod kills;
mod limited;
mod losses;
mod moves;
mod nights;
mod pairs;
mod peace;
mod repoint;
mod runners;
mod system_calls;
mod tool;
