//! The operator's scripts, run under a guard.
//!
//! A script is not run by the service itself but by a small program between the two, the *guard*
//! (`pointsman exec-guard`, hidden). The guard holds the resource's lock file while the script runs and
//! ends whatever the script started when its parent dies or the bound passes. So whoever can take the
//! lock ([`lock`]) knows that no script of an earlier life of the service runs any more, and may look.
//!
//! What is promised (design.md section 9, row `scripts`):
//!
//! - The script runs in a process group of its own, with a small environment that has no secrets in it.
//! - The service is killed: the guard sees its pipe close, sends TERM to everything the script started,
//!   then KILL, waits until nothing is left, then lets go of the lock.
//! - The bound passes: the same.
//! - The script ends well and is a start ([`Children::LiveOn`]): what it started lives on, and a process that
//!   still holds the script's output never gets SIGPIPE for it.
//! - The script ends otherwise: what it left behind is ended first, `setsid` and double forks included (the
//!   guard is their subreaper).
//! - The guard itself is killed with -9: the kernel kills the script with it (parent-death signal). What the
//!   script had started is found by the next [`lock`] through a mark in its environment and killed before the
//!   lock is given.
//!
//! What remains: guard *and* mark are lost only where the guard was killed with -9 and a process had thrown
//! its environment away (`env -i`, `sudo`), or runs as a user whose environment cannot be read. Then nobody
//! finds it. And work that a script hands to somebody else (`systemctl start`, `ssh`, `at`) is not below the
//! guard at all: such a script must wait for it.
//!
//! Under systemd the service needs `KillMode=mixed` or `process`: with `control-group` a restart of Pointsman
//! would end the daemons that scripts started.

pub mod guard;
mod lock;
mod outcome;
mod processes;
mod script;
mod settle;
mod wire;

pub use lock::{Lock, LockError, lock};
pub use outcome::{Check, Ended, How, Output};
pub use script::{Children, Guard, Occasion, RunError, Script};
pub use settle::Settled;
