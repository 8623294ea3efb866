//! Whether a program does its work, by the looks that could tell: on a busy host a look may be late, or end without an
//! answer, and that says nothing of the program. What was told too long ago says nothing either.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::{Address, Observation, ProcessSeen, Running, Seen};
use serde_json::Value;

use crate::core::{Core, SILENT_AFTER};
use crate::in_memory::Group;
use crate::seam::Now;

/// So long what was told counts, while nothing newer is.
const COUNTS: Duration = Duration::from_secs(90);

/// What was last told of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Health {
    /// It does its work, as was seen then by the boot-time clock.
    Healthy(Duration),
    /// It runs and does not do its work, as was seen first and last, with no other word between.
    Unwell {
        /// By both clocks.
        first: Now,
        /// By the boot-time clock.
        last: Duration,
    },
}

impl Health {
    fn counts(&self, now: Now) -> bool {
        let (Health::Healthy(last) | Health::Unwell { last, .. }) = self;
        now.boot <= *last + COUNTS
    }
}

impl Core {
    /// A program was looked at.
    pub(crate) fn note_health(&mut self, now: Now, address: &Address, seen: &Observation) {
        let Seen::Process(process) = &seen.seen else { return };
        match process.running {
            Running::Healthy => drop(self.health.insert(address.clone(), Health::Healthy(now.boot))),
            Running::Unhealthy if !between(process) => {
                let first = match self.health_of(now, address) {
                    Some(Health::Unwell { first, .. }) => first,
                    _ => now,
                };
                self.health.insert(address.clone(), Health::Unwell { first, last: now.boot });
            }
            Running::Unknown => {}
            Running::Unhealthy | Running::Stopped => drop(self.health.remove(address)),
        }
    }

    fn health_of(&self, now: Now, address: &Address) -> Option<Health> {
        self.health.get(address).filter(|told| told.counts(now)).copied()
    }

    /// Whether it does its work.
    pub(crate) fn is_well(&self, now: Now, address: &Address) -> bool {
        matches!(self.health_of(now, address), Some(Health::Healthy(_)))
    }

    /// Since when it does not. One look says little: it may be starting.
    pub(crate) fn unwell_since(&self, now: Now, address: &Address) -> Option<DateTime<Utc>> {
        let Some(Health::Unwell { first, last }) = self.health_of(now, address) else { return None };
        (last.saturating_sub(first.boot) >= SILENT_AFTER).then_some(first.wall)
    }

    /// Whether more looks are needed: it was seen unwell, and not for long yet; or this life or the peace after a run has only
    /// begun, and its looks could not tell.
    pub(crate) fn may_be_unwell(&self, now: Now, g: &Group, address: &Address) -> bool {
        match self.health_of(now, address) {
            Some(Health::Unwell { .. }) => self.unwell_since(now, address).is_none(),
            Some(Health::Healthy(_)) => false,
            None => {
                let untold = match self.observed.get(address).map(|(at, seen)| (at, &seen.seen)) {
                    Some((at, _)) if now.boot > at.boot + COUNTS => true,
                    Some((_, Seen::Process(process))) => process.running == Running::Unknown,
                    Some((_, Seen::Nothing(_))) => true,
                    _ => false,
                };
                untold && now.boot < self.began.max(g.watch.ended) + COUNTS
            }
        }
    }
}

/// Whether it is being started or stopped, or only something of it was left behind: that tells nothing of whom it works on.
fn between(process: &ProcessSeen) -> bool {
    matches!(process.detail.get("running").and_then(Value::as_str), Some("changing" | "remains"))
}
