//! What service and guard say to each other: one line in, one line out. Private; both are the same program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Ended;

/// Longest line that a guard reads as its order, in bytes.
pub(crate) const ORDER_MAX: u64 = 256 * 1024;

/// Longest report that a service reads, in bytes: two kept outputs, every byte escaped.
pub(crate) const REPORT_MAX: u64 = 2 * 1024 * 1024;

/// Name of the variable by which leftovers of a killed guard are found.
pub(crate) const MARK: &str = "POINTSMAN_GUARD";

/// What the guard is to do. Its standard input stays open after the line; its end means: the service is gone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// The program, absolute or found by PATH.
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// The whole environment of the script; the guard adds the mark.
    pub(crate) env: BTreeMap<String, String>,
    /// What the script reads from standard input; nothing: it is empty.
    #[serde(default)]
    pub(crate) stdin: Option<String>,
    /// Taken before the script starts and held until nothing of it is left.
    pub(crate) lock: Option<PathBuf>,
    /// Waiting for the lock and running, together.
    pub(crate) within_ms: u64,
    /// From TERM to KILL.
    pub(crate) grace_ms: u64,
    /// On exit 0, what the script started is left alone.
    pub(crate) children_live_on: bool,
    /// The guard's own leading arguments, to start itself again.
    pub(crate) guard_args: Vec<String>,
}

/// What the guard answers once nothing of the script is left, or was meant to be left.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) ended: Ended,
}
