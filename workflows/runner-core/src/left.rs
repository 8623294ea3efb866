//! How the site that is not live was left: whether everything that was written there is at the live one.
//!
//! What is kept there and nowhere else would be overwritten silently by whatever comes from the live site. So only
//! a site that was drained, proved while it was closed, may catch up; any other gets a copy, after what only it has
//! was saved.

use chrono::{DateTime, Utc};
use engine::Purpose;
use schemas::view::RunState;
use schemas::{Action, Address, ResourceId, RunId, Service, SiteId};
use serde::{Deserialize, Serialize};

use crate::call::CallState;
use crate::entry::{SettledAs, Settlement};
use crate::run::Run;

/// How a site was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// The site.
    pub site: SiteId,
    /// By which run.
    pub run: RunId,
    /// Since when the other one is open.
    pub since: DateTime<Utc>,
    /// Whether nothing was left behind there, proved.
    pub drained: bool,
}

impl Run {
    /// How this run, at its end, has left the site that is not live; none where it changed nothing about it.
    pub(crate) fn left(&self, state: RunState, live: Option<&SiteId>, at: DateTime<Utc>) -> Option<Left> {
        let (from, to) = (self.started.from.clone()?, self.started.to.clone()?);
        let left = |site: SiteId, since, drained| Some(Left { site, run: self.id, since, drained });
        match self.definition.info().purpose {
            // It receives, up to a mark of this very run; unless somebody went past that it is not alike.
            Purpose::Protect if state == RunState::Completed => left(to, at, self.alike()),
            Purpose::Protect | Purpose::Tidy => None,
            Purpose::Move | Purpose::Return | Purpose::Establish if live != Some(&to) => None,
            Purpose::Establish => left(from, self.opened(&to)?, state == RunState::Completed && self.alike()),
            Purpose::Move | Purpose::Return => {
                let drained = self.drained(&from, &to) && !self.found_open(&to);
                left(from, self.opened(&to)?, drained)
            }
        }
    }

    /// When the first database was opened at a site, by this run or by hand.
    fn opened(&self, site: &SiteId) -> Option<DateTime<Utc>> {
        let opens = |call: &&crate::call::CallRecord| {
            call.action == Action::EnableAccess && call.address.site == *site && call.may_be_in_effect()
        };
        let calls = self.calls.values().filter(opens).map(|call| call.ended.unwrap_or(call.intended));
        calls.chain(self.opened_by_hand(site).map(|step| step.left.unwrap_or(step.since))).min()
    }

    /// Whether a database at `site` was open before this run did anything there, or may have been: somebody opened it by
    /// hand, and what was written there before the slot was made is in no slot. A call that was ever in doubt may have
    /// opened it itself.
    fn found_open(&self, site: &SiteId) -> bool {
        let found = self.calls.values().any(|call| {
            let answer = match &call.state {
                CallState::Settled {
                    settlement: Settlement { result: SettledAs::Done { answer, .. }, .. },
                } => *answer,
                _ => None,
            };
            call.action == Action::EnableAccess
                && call.address.site == *site
                && answer == Some(schemas::Answer::AlreadyApplied)
                && !call.doubted
                && call.attempt == schemas::Attempt::FIRST
        });
        // No service looked before he opened it.
        found || self.opened_by_hand(site).any(|step| !self.calls.contains_key(&step.position))
    }

    /// Whether the receiver proved that it has everything up to a mark that was made while the source was closed:
    /// of every database that is open at one site only.
    fn drained(&self, from: &SiteId, to: &SiteId) -> bool {
        let direction = format!("{from}->{to}");
        let databases = self.started.input.get("group").and_then(|g| g.get("databases"));
        let one_live =
            databases.and_then(|d| d.as_object()).into_iter().flatten().filter_map(|(_, database)| {
                let one = database.get("kind").and_then(|kind| kind.as_str()) == Some("one-live");
                one.then(|| {
                    database.get("replication")?.get(&direction)?.as_str()?.parse::<ResourceId>().ok()
                })
            });
        let drained = |resource: Option<ResourceId>| {
            resource.is_some_and(|resource| {
                let address = Address { site: to.clone(), service: Service::Replication, resource };
                let mut calls = self.calls.values();
                calls.any(|call| call.action == Action::Drain && call.address == address && done(&call.state))
            })
        };
        let all: Vec<Option<ResourceId>> = one_live.collect();
        !all.is_empty() && all.into_iter().all(drained)
    }
}

fn done(state: &CallState) -> bool {
    matches!(state, CallState::Settled { settlement: Settlement { result: SettledAs::Done { .. }, .. } })
}
