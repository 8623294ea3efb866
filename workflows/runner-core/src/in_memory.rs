//! A group as the core has it in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::{Address, Epoch, Key, SiteId};

use crate::group::Record;
use crate::seam::GroupPlan;

/// A debt that could not be paid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unpaid {
    /// When it is tried again.
    pub(crate) again: Duration,
    /// How long that is after the latest try.
    pub(crate) pause: Duration,
    /// No service listened.
    pub(crate) undelivered: bool,
}

/// An opening at the loss gate.
#[derive(Debug, Clone)]
pub(crate) struct LossAsked {
    /// Which.
    pub(crate) key: Key,
    /// Since when the receivers are asked.
    pub(crate) since: Duration,
    /// A person was told that nobody can tell the loss.
    pub(crate) unknown: bool,
}

/// One group in memory: the fold of its entries, and what is only known in this life.
pub(crate) struct Group {
    pub(crate) plan: GroupPlan,
    pub(crate) record: Record,
    pub(crate) seq: u64,
    pub(crate) checkpoint: u64,
    /// The highest epoch that any answer named.
    pub(crate) seen_epoch: Epoch,
    /// Claims of the current epoch.
    pub(crate) claims: BTreeMap<Address, Claim>,
    /// Proofs that a database is closed: when, by the boot-time clock.
    pub(crate) proofs: BTreeMap<Address, Duration>,
    /// Until when a yes that was given may still act, a site each.
    pub(crate) yes_until: BTreeMap<SiteId, Duration>,
    /// The key that occupies a resource in this epoch: unsettled or assumed.
    pub(crate) occupied: BTreeMap<Address, Key>,
    pub(crate) detections: BTreeMap<SiteId, crate::trigger::Detection>,
    /// The opening that waits for what the receivers have applied.
    pub(crate) loss_asked: Option<LossAsked>,
    /// When it is watched next, and when it was last looked at by itself.
    pub(crate) watch: crate::watch::Pace,
    /// Debts that could not be paid: when they are tried again.
    pub(crate) unpaid: BTreeMap<u64, Unpaid>,
    /// Since when two sites are seen open that are about to be one.
    pub(crate) split_since: Option<Duration>,
    /// The latest look at its preconditions.
    pub(crate) preflight: crate::preflight::Preflight,
    /// What was tried to be told, by its number.
    pub(crate) tried: BTreeMap<u64, crate::notify::Tried>,
    /// A changed file that waits for the end of a run.
    pub(crate) next: Option<crate::reload::Next>,
}

/// Where a claim stands in this life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Asked.
    Asked,
    /// Nobody answered; asked again then, or on the next beat.
    Unanswered { again: Duration, undelivered: bool },
    /// Acknowledged.
    Granted,
}

impl Group {
    /// A group of which nothing is read yet.
    pub(crate) fn new(plan: GroupPlan) -> Group {
        Group {
            plan,
            record: Record::default(),
            seq: 0,
            checkpoint: 0,
            seen_epoch: Epoch(0),
            claims: BTreeMap::new(),
            proofs: BTreeMap::new(),
            yes_until: BTreeMap::new(),
            occupied: BTreeMap::new(),
            detections: BTreeMap::new(),
            loss_asked: None,
            watch: crate::watch::Pace::default(),
            unpaid: BTreeMap::new(),
            split_since: None,
            preflight: crate::preflight::Preflight::default(),
            tried: BTreeMap::new(),
            next: None,
        }
    }
}
