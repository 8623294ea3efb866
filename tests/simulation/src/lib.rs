//! The whole in one thread (design section 8): real runner cores over the journal's twin in memory, real service
//! cores over ledgers, a ground that they act upon, and a bus and clocks in the test's hands. The same seed or the
//! same script gives the same history, event by event.
//!
//! - [`World`]: everything, moved on one event at a time
//! - [`Ground`]: resources, statements, orphans
//! - [`Event`]: what can be delivered, lost, doubled, held back
//! - [`Ghosts`]: the invariants I1a to I6 of the protocol, checked after every event
//! - [`Scene`]: which groups, definitions and rules

mod boots;
mod bus;
mod event;
mod ghosts;
mod ground;
mod host;
mod hosts;
mod random;
mod runner;
mod runners;
mod scene;
mod script;
mod world;

pub use event::{Event, RequestId, Tap, Then};
pub use ghosts::{Ghosts, Violation};
pub use ground::{Effected, Ground, Point, Statement, StatementId};
pub use host::{Host, Lost};
pub use random::Dice;
pub use runner::{Life, RunnerSlot};
pub use scene::{Scene, address, definition, group_plan, site};
pub use world::{Death, Saved, World};
