//! A line of the ledger.

use schemas::{Action, Address, Attempt, Digest, Epoch, GroupId, Key, Problem, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a key ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "end")]
pub enum End {
    /// In effect, and seen to be.
    Applied {
        /// What the act returned, or a look found.
        output: Value,
        /// A look alone settled it, after the act was seen gone.
        #[serde(default)]
        by_look: bool,
    },
    /// Not in effect, and nothing of it can take effect any more.
    Failed {
        /// Why.
        problem: Problem,
    },
    /// Nothing of it can take effect any more; whether it did cannot be told, and later acts hide it.
    InDoubt {
        /// Why.
        problem: Problem,
    },
}

/// One line. Replayed in order they give the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Record {
    /// A person took this ledger into service for a group, from this epoch on.
    Adopted {
        /// The group.
        group: GroupId,
        /// The adoption's epoch.
        epoch: Epoch,
        /// The adoption's run.
        run: RunId,
    },
    /// A run claimed the resource, or showed a later journal sequence.
    Claimed {
        /// The resource.
        address: Address,
        /// Its epoch.
        epoch: Epoch,
        /// The run.
        run: RunId,
        /// The highest journal sequence of the run that was seen.
        sequence: u64,
    },
    /// No attempt up to this one will ever be started.
    Void {
        /// The resource.
        address: Address,
        /// The epoch.
        epoch: Epoch,
        /// The key.
        key: Key,
        /// The attempt.
        attempt: Attempt,
    },
    /// An attempt may act from now on.
    Started {
        /// The resource.
        address: Address,
        /// The group that asks.
        group: GroupId,
        /// The epoch.
        epoch: Epoch,
        /// The key.
        key: Key,
        /// The attempt.
        attempt: Attempt,
        /// Of the request.
        digest: Digest,
        /// What it is to reach; a look needs it.
        action: Action,
        /// Likewise.
        args: Value,
    },
    /// An attempt ended.
    Ended {
        /// The resource.
        address: Address,
        /// The epoch.
        epoch: Epoch,
        /// The key.
        key: Key,
        /// The attempt.
        attempt: Attempt,
        /// Of the request.
        digest: Digest,
        /// How.
        how: End,
    },
    /// An act of an older epoch was seen gone. What it did is what is then observed.
    Gone {
        /// The resource.
        address: Address,
        /// The older epoch.
        epoch: Epoch,
        /// The key.
        key: Key,
    },
    /// A resource without group forgot all runs up to this one (run ids are in order of time).
    Forgot {
        /// The resource.
        address: Address,
        /// The last run that is forgotten.
        run: RunId,
    },
}
