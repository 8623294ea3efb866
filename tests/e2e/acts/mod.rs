//! Each act of each driver that reaches a real server, asked of the built `pointsman serve` over a real bus:
//! twice, twice at once, with the service killed by signal 9 in the middle, and after somebody undid it.
//!
//! *In the middle* is made, not timed: something holds the act up there, and is seen to.
//!
//! | act | held up by |
//! |---|---|
//! | `database.*`, `postgres` | the lock that each change of a claimed database takes first: nothing is written yet; the lock of the note of the access: all grants are changed, nothing is committed; a writer's frozen session: closed, and not yet ended |
//! | `replication.mark` | the lock of the marks |
//! | `replication.capture` | a transaction of another database that is older than the slot |
//! | `replication.discard`, `set-sequences` | the lock that each change of a claimed database takes first (the rest is one call of a function) |
//! | `replication.start` | the lock of the note of the subscription: enabled, not committed |
//! | `replication.stop`, `abandon` | a frozen worker: disabled, and not yet ended |
//! | `replication.drain` | a lock on the marks at the receiver, where the worker waits for it |
//! | `dns.point`, `rfc2136` | a wire to the server that keeps the update, or its answer; a frozen server that has it |
//! | all of `exec`, `dns.follow`, `dns.push`, `dns.unpush` | the operator's script, before its effect and after it |
//!
//! `driver: systemd` has its own in the process service's tests, where there is a systemd to ask.

mod boot;
mod case;
mod database;
mod desk;
mod name;
mod process;
pub(crate) mod psql;
mod replication;
mod scripts;
mod wire;
