//! One call, as the entries tell it: intended, sent, in doubt, settled or assumed (laws 4 and 5).

use chrono::{DateTime, Utc};
use schemas::{Action, Address, Attempt, Digest};
use serde::{Deserialize, Serialize};

use crate::entry::{AssumedBy, Intent, Settlement};

/// What the entries say of one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The resource.
    pub address: Address,
    /// The act.
    pub action: Action,
    /// Of the arguments.
    pub digest: Digest,
    /// The highest attempt sent.
    pub attempt: Attempt,
    /// Where it stands.
    pub state: CallState,
    /// Whether it was ever in doubt.
    pub doubted: bool,
    /// When it was intended.
    pub intended: DateTime<Utc>,
    /// When it was settled or assumed.
    pub ended: Option<DateTime<Utc>>,
}

/// Where a key stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum CallState {
    /// Its effect may exist.
    Open,
    /// Passed without knowing.
    Assumed {
        /// By whom.
        by: AssumedBy,
    },
    /// Known.
    Settled {
        /// How.
        settlement: Settlement,
    },
}

impl CallRecord {
    /// A key that was just intended.
    pub fn intended(at: DateTime<Utc>, intent: &Intent) -> CallRecord {
        CallRecord {
            address: intent.address.clone(),
            action: intent.action,
            digest: intent.digest,
            attempt: Attempt::FIRST,
            state: CallState::Open,
            doubted: false,
            intended: at,
            ended: None,
        }
    }

    /// Whether nobody knows yet what became of it.
    pub fn open(&self) -> bool {
        self.state == CallState::Open
    }

    /// Whether its effect may exist: not settled, or settled as done.
    pub fn may_be_in_effect(&self) -> bool {
        match &self.state {
            CallState::Open | CallState::Assumed { .. } => true,
            CallState::Settled { settlement } => {
                !matches!(settlement.result, crate::entry::SettledAs::NotDone { .. })
            }
        }
    }
}
