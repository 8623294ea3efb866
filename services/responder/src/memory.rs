//! The memory driver: a world that tests and drills hold in their hands.
//!
//! A [`World`] has resources by name, each with a state (any JSON value). An act on it is a
//! [`Statement`] that passes points in order: begun, the epoch checked, in effect, ended. A test may hold
//! statements of a resource at any point, let them go on, or leave them behind as *orphans*: their
//! service is gone, and they take effect later, or never, as the test decides. So the interleavings
//! that break a protocol can be played by hand ([`World`]'s own methods block nowhere).
//!
//! [`MemoryDriver`] is a whole [`Driver`](crate::Driver) on such a world; a service's own memory driver is a [`Model`]:
//! which states there are, what an action makes of them, what is seen.

mod driver;
mod world;

pub use driver::{MemoryDriver, Model};
pub use world::{Effected, Gone, Point, Statement, World};
