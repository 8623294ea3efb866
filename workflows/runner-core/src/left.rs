//! How the site that is not live was left: whether everything that was written there is at the live one.
//!
//! What is kept there and nowhere else would be overwritten silently by whatever comes from the live site. So only
//! a site that was drained, proved while it was closed, may catch up; any other gets a copy, after what only it has
//! was saved.

use chrono::{DateTime, Utc};
use engine::Purpose;
use schemas::view::RunState;
use schemas::{Action, Address, Effect, ResourceId, RunId, Service, SiteId};
use serde::{Deserialize, Serialize};

use crate::call::{CallRecord, CallState};
use crate::entry::{SettledAs, Settlement};
use crate::group::Record;
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
    /// Whether that run had it receive what is written at the other one, or may have; none: of a runner that did not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<bool>,
}

impl Run {
    /// How this run, at its end, has left the site that is not live; none where it changed nothing about it.
    pub(crate) fn left(
        &self,
        record: &Record,
        state: RunState,
        live: Option<&SiteId>,
        at: DateTime<Utc>,
    ) -> Option<Left> {
        let (from, to) = (self.started.from.clone()?, self.started.to.clone()?);
        let left = |site: SiteId, since, drained, follows| {
            Some(Left { site, run: self.id, since, drained, follows: Some(follows) })
        };
        let follows = self.follows(&to, &from);
        match self.definition.info().purpose {
            // It receives, up to a mark of this very run; unless somebody went past that it is not alike.
            Purpose::Protect if state == RunState::Completed => left(to, at, self.alike(), self.alike()),
            Purpose::Protect | Purpose::Tidy => None,
            Purpose::Move | Purpose::Return | Purpose::Establish if live != Some(&to) => None,
            Purpose::Establish => {
                let drained = state == RunState::Completed && self.alike();
                left(from, self.opened(&to)?, drained, follows && self.alike())
            }
            Purpose::Move | Purpose::Return => {
                let drained = self.drained(record, &from, &to) && !self.found_open(&to);
                left(from, self.opened(&to)?, drained, follows)
            }
        }
    }

    /// Whether this run had every receiver at the standby apply what is written at the live site, or may have.
    fn follows(&self, live: &SiteId, standby: &SiteId) -> bool {
        let all = self.streams(live, standby);
        let starts = |(_, resource): &(ResourceId, Option<ResourceId>)| {
            let called = self.calls.values().any(|call| {
                let of = call.action == Action::StartReplication && call.address.site == *standby;
                of && Some(&call.address.resource) == resource.as_ref() && call.may_be_in_effect()
            });
            called || self.started_by_hand(standby)
        };
        !all.is_empty() && all.iter().all(starts)
    }

    /// Whether a person says that he had something at a site receive.
    fn started_by_hand(&self, site: &SiteId) -> bool {
        self.steps.iter().any(|step| {
            let starts = step.call.service == "replication" && step.call.action == "start";
            let at = step.call.args.get("site").and_then(serde_json::Value::as_str);
            starts && step.by_hand == Some("done") && at == Some(site.as_str())
        })
    }

    /// When the first database was opened at a site, by this run or by hand.
    fn opened(&self, site: &SiteId) -> Option<DateTime<Utc>> {
        let opens = |call: &&CallRecord| {
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
            call.action == Action::EnableAccess
                && call.address.site == *site
                && answer(call) == Some(schemas::Answer::AlreadyApplied)
                && !call.doubted
                && call.attempt == schemas::Attempt::FIRST
        });
        // No service looked before he opened it.
        found || self.opened_by_hand(site).any(|step| !self.calls.contains_key(&step.position))
    }

    /// Whether every database that is open at one site only was drained.
    fn drained(&self, record: &Record, from: &SiteId, to: &SiteId) -> bool {
        let all = self.streams(from, to);
        let drained = |(_, resource): &(ResourceId, Option<ResourceId>)| {
            resource.as_ref().is_some_and(|resource| self.proved_drained(record, from, to, resource))
        };
        !all.is_empty() && all.iter().all(drained)
    }

    /// The databases that are open at one site only, each with its replication from one site to the other.
    fn streams(&self, from: &SiteId, to: &SiteId) -> Vec<(ResourceId, Option<ResourceId>)> {
        let direction = format!("{from}->{to}");
        let databases = self.started.input.get("group").and_then(|g| g.get("databases"));
        let all = databases.and_then(|d| d.as_object()).into_iter().flatten();
        let one_live =
            all.filter(|(_, database)| database.get("kind").is_some_and(|kind| kind == "one-live"));
        let stream = |(name, database): (&String, &serde_json::Value)| {
            let replication =
                || database.get("replication")?.get(&direction)?.as_str()?.parse::<ResourceId>().ok();
            Some((name.parse::<ResourceId>().ok()?, replication()))
        };
        one_live.filter_map(stream).collect()
    }

    /// Whether a receiver proved that it has everything up to a mark which was made after its source was proved closed, in
    /// this epoch. What is written beside a drain never comes; and a person's word is no proof.
    pub(crate) fn proved_drained(
        &self,
        record: &Record,
        from: &SiteId,
        to: &SiteId,
        resource: &ResourceId,
    ) -> bool {
        let half = |site: &SiteId| Address {
            site: site.clone(),
            service: Service::Replication,
            resource: resource.clone(),
        };
        let drain = self.proved(Action::Drain, half(to)).map(|call| call.intended).max();
        let marks = self.proved(Action::Mark, half(from)).map(|call| call.intended);
        let Some(mark) = drain.and_then(|drain| marks.filter(|mark| *mark <= drain).max()) else {
            return false;
        };
        let databases = self.streams(from, to).into_iter().filter(|(_, of)| of.as_ref() == Some(resource));
        let databases: Vec<Address> = databases
            .map(|(resource, _)| Address { site: from.clone(), service: Service::Database, resource })
            .collect();
        !databases.is_empty()
            && databases.into_iter().all(|address| self.closed_before(record, address, mark))
    }

    /// Whether a database was proved closed before `mark`, by a step of this run or by a look in its epoch, and this run
    /// did not open it since.
    fn closed_before(&self, record: &Record, database: Address, mark: DateTime<Utc>) -> bool {
        let seen = record.closed_in_epoch(&database).filter(|_| record.epoch == self.started.epoch);
        let opens = |call: &&CallRecord| {
            call.action.effect() == Effect::Opens && call.address == database && call.may_be_in_effect()
        };
        let opened = self.calls.values().filter(opens).map(|call| call.intended).max();
        let closed = self.proved(Action::DisableAccess, database).filter_map(|call| call.ended);
        let stands = |at: &DateTime<Utc>| *at <= mark && opened.is_none_or(|opened| opened < *at);
        closed.chain(seen).any(|at| stands(&at))
    }

    /// The calls of an action on a resource of which its service said that they are in effect.
    fn proved(&self, action: Action, address: Address) -> impl Iterator<Item = &CallRecord> {
        let of = move |call: &&CallRecord| {
            call.action == action && call.address == address && answer(call).is_some()
        };
        self.calls.values().filter(of)
    }
}

/// What its service said of a call that is in effect.
fn answer(call: &CallRecord) -> Option<schemas::Answer> {
    match &call.state {
        CallState::Settled { settlement: Settlement { result: SettledAs::Done { answer, .. }, .. } } => {
            *answer
        }
        _ => None,
    }
}
