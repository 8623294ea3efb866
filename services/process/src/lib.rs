//! Starts and stops services, with a health gate.
//!
//! What runs a service is a [`Manager`]: [`systemd`] over D-Bus, or the operator's [`scripts`]. [`Gated`] makes
//! a driver of it: it looks before it acts, waits for the health gate, sees that nothing is left after a stop,
//! and watches for [`Gated::settle`] longer. With a [`Pointing`] it makes a program work on another site's database.
//! [`memory`] is for rehearsals. What runs must not be a child of
//! Pointsman's service: it would die with it.

mod gated;
pub mod health;
mod manager;
pub mod memory;
mod pointing;
pub mod scripts;
mod settings;
mod starters;
pub mod systemd;

pub use gated::{Gated, Returned};
pub use health::Health;
pub use manager::{Manager, Presence};
pub use pointing::Pointing;
pub use settings::{ExecSettings, MemorySettings, Place, Settings, SystemdSettings};
