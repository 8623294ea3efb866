//! Looks at the world on somebody's behalf: asked of every service at once, answered when all have answered
//! or the bound passed; what stayed silent is shown as silent.

use std::collections::BTreeSet;
use std::time::Duration;

use schemas::op::{ByHandText, ByHandTexts, OpReply};
use schemas::view::WorldView;
use schemas::{
    Access, Action, Address, AdoptRequest, Code, ConfirmReply, GroupId, MessageId, Observation, Position,
    Problem, RunId, Seen, Service, SiteId, Verb,
};
use serde_json::Value;

use crate::core::{Asked, Core, Timer};
use crate::entry::{ByPerson, GroupEntry};
use crate::meanwhile;
use crate::preflight::CHECK_WITHIN;
use crate::seam::{Answered, Effect, Now, ReplyTo};
use crate::start::Start;

/// How long all the answers are awaited: `status` on a half-dead system must answer within two seconds.
const WITHIN: Duration = Duration::from_millis(600);
/// How long they are awaited where the world is recorded as it is seen.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// How long adopting may take.
const ADOPT_WITHIN: Duration = Duration::from_secs(5);

/// What a look is for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    Status {
        reply_to: ReplyTo,
        groups: Vec<GroupId>,
    },
    Check {
        reply_to: ReplyTo,
        groups: Vec<GroupId>,
    },
    Minute {
        group: GroupId,
    },
    Start {
        reply_to: ReplyTo,
        start: Box<Start>,
        request: MessageId,
    },
    Preview {
        reply_to: ReplyTo,
        start: Box<Start>,
    },
    World {
        reply_to: ReplyTo,
        group: GroupId,
        record: Option<(Option<SiteId>, ByPerson, MessageId)>,
        old_runner_stopped: bool,
    },
    Adopting {
        reply_to: ReplyTo,
        group: GroupId,
        request: MessageId,
        all: usize,
        refused: Vec<String>,
    },
    ByHand {
        reply_to: ReplyTo,
        places: Vec<Address>,
        texts: Vec<ByHandText>,
    },
    Done {
        reply_to: ReplyTo,
        run: RunId,
        at: Position,
        by: ByPerson,
        request: MessageId,
    },
}

/// What is awaited of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Look,
    Check,
    Adopt,
}

/// A look that is under way.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    purpose: Purpose,
    waiting: BTreeSet<(Address, Kind)>,
    due: Duration,
}

impl Query {
    pub(crate) fn new(purpose: Purpose, waiting: BTreeSet<Address>, due: Duration) -> Query {
        let waiting = waiting.into_iter().map(|address| (address, Kind::Look)).collect();
        Query { purpose, waiting, due }
    }

    pub(crate) fn purpose(&mut self) -> &mut Purpose {
        &mut self.purpose
    }

    pub(crate) fn answered(&mut self, address: &Address) {
        self.waiting.remove(&(address.clone(), Kind::Look));
    }
}

impl Purpose {
    /// Whether the services' preconditions are looked at too.
    fn checks(&self) -> bool {
        use Purpose::{Check, Minute, Preview, Start};
        matches!(self, Check { .. } | Minute { .. } | Preview { .. } | Start { .. })
    }
}

impl Core {
    pub(crate) fn query(&mut self, now: Now, purpose: Purpose) {
        let addresses: BTreeSet<Address> = match &purpose {
            Purpose::Status { groups, .. } | Purpose::Check { groups, .. } => {
                groups.iter().flat_map(|g| self.addresses(g)).collect()
            }
            Purpose::Preview { start, .. } => self.addresses(&start.group).into_iter().collect(),
            Purpose::Minute { group } => self.addresses(group).into_iter().collect(),
            // Nobody waits for a site that the move calls lost.
            Purpose::Start { start, .. } => {
                let lost = self.check_start(start).ok().filter(|c| c.unplanned).map(|c| c.from);
                let all = self.addresses(&start.group).into_iter();
                all.filter(|address| Some(&address.site) != lost.as_ref()).collect()
            }
            Purpose::World { group, .. } | Purpose::Adopting { group, .. } => {
                self.addresses(group).into_iter().collect()
            }
            Purpose::ByHand { places, .. } => places.iter().cloned().collect(),
            Purpose::Done { run, at, .. } => self.address_of(*run, at).into_iter().collect(),
        };
        let id = self.next_query();
        let recording = matches!(&purpose, Purpose::World { record: Some(_), .. });
        let checking = self.preflight_every.is_some() && purpose.checks();
        let within = if recording { LOOK_WITHIN } else { WITHIN };
        let due = now.boot + if checking { CHECK_WITHIN } else { within };
        let kinds: &[Kind] = if checking { &[Kind::Look, Kind::Check] } else { &[Kind::Look] };
        let waiting = addresses.iter().flat_map(|a| kinds.iter().map(|kind| (a.clone(), *kind))).collect();
        self.queries.insert(id, Query { purpose, waiting, due });
        self.timer(due, Timer::Query(id));
        for address in addresses {
            self.look_within(&address, Some(id), if checking { CHECK_WITHIN } else { within });
            if checking {
                self.ask_check(&address, id);
            }
        }
        self.check_query(now, id);
    }

    fn addresses(&self, group: &GroupId) -> Vec<Address> {
        self.groups
            .get(group)
            .map(|g| g.plan.resources.iter().chain(&g.plan.clients).cloned().collect())
            .unwrap_or_default()
    }

    /// The resource that a step works on.
    pub(crate) fn address_of(&self, run: RunId, at: &Position) -> Option<Address> {
        let call = &self.runs.get(&run)?.steps.iter().rev().find(|s| s.position == *at)?.call;
        let text = |name: &str| call.args.get(name)?.as_str();
        Some(Address {
            site: text("site")?.parse().ok()?,
            service: call.service.parse().ok()?,
            resource: text("resource")?.parse().ok()?,
        })
    }

    /// Asks what is true now; changes nothing.
    pub(crate) fn look_at(&mut self, now: Now, address: &Address, query: Option<u64>) {
        let _ = now;
        match query {
            None => self.look_for(address, WITHIN),
            Some(_) => self.look_within(address, query, WITHIN),
        }
    }

    /// Looks for whoever is slow to answer, unless it is being looked at.
    pub(crate) fn look_for(&mut self, address: &Address, within: Duration) {
        let known = |asked: &Asked| matches!(asked, Asked::Observe { address: known, overtaken: false, .. } if known == address);
        if !self.asked.values().any(known) {
            self.look_within(address, None, within);
        }
    }

    fn look_within(&mut self, address: &Address, query: Option<u64>, within: Duration) {
        let subject = self.prefix.request(address, Verb::Observe);
        let why = Asked::Observe { address: address.clone(), query, overtaken: false };
        self.ask(why, subject, Vec::new(), b"{}".to_vec(), within);
    }

    pub(crate) fn on_observed(
        &mut self,
        now: Now,
        address: Address,
        query: Option<u64>,
        answer: Answered,
        overtaken: bool,
    ) {
        match &answer {
            Answered::Reply(_) => self.mute.remove(&address),
            Answered::NoResponders => self.mute.insert(address.clone()),
            // A busy service: its beats tell.
            Answered::Silence => false,
        };
        if address.service == Service::Database {
            self.looked.entry(address.clone()).or_default().ended = now.boot;
        }
        if let Answered::Reply(body) = answer
            && let Ok(seen) = serde_json::from_slice::<Observation>(&body)
        {
            if let Some(g) = seen.group.as_ref().and_then(|g| self.groups.get_mut(g)) {
                g.seen_epoch = g.seen_epoch.max(seen.epoch);
            }
            self.note_alive(now, &address, seen.at);
            self.note_down(now, &address, &seen);
            self.note_health(now, &address, &seen);
            self.note_observation(now, &address, &seen, overtaken);
            self.note_replication(now, &address, &seen);
            match (&seen.seen, address.service) {
                (Seen::Nothing(_), Service::Database) => {
                    self.blind.entry(address.clone()).or_insert(now.boot);
                }
                _ => drop(self.blind.remove(&address)),
            }
            let may_act = seen.armed && seen.adopted && matches!(seen.seen, Seen::Database(_));
            self.observed.insert(address.clone(), (now, seen));
            match address.service {
                Service::Database => {
                    self.note_split(now, &address);
                    if may_act {
                        self.pay_close(now, &address);
                    }
                }
                // Somebody may wait until it has followed.
                Service::Process => self.wake_followers(now),
                _ => {}
            }
            let group = self
                .groups
                .iter()
                .find(|(_, g)| g.plan.fence_paths.contains(&address))
                .map(|(id, _)| id.clone());
            if group.is_some() {
                self.wake_waiters(now, group.as_ref());
            }
        }
        if let Some(id) = query {
            self.query_answered(now, id, &address, Kind::Look);
        }
    }

    pub(crate) fn query_answered(&mut self, now: Now, id: u64, address: &Address, kind: Kind) {
        if let Some(query) = self.queries.get_mut(&id) {
            query.waiting.remove(&(address.clone(), kind));
            self.check_query(now, id);
        }
    }

    pub(crate) fn on_query_due(&mut self, now: Now, id: u64) {
        if let Some(query) = self.queries.get_mut(&id)
            && now.boot >= query.due
        {
            query.waiting.clear();
            self.check_query(now, id);
        }
    }

    pub(crate) fn check_query(&mut self, now: Now, id: u64) {
        if !self.queries.get(&id).is_some_and(|query| query.waiting.is_empty()) {
            return;
        }
        let Some(query) = self.queries.remove(&id) else { return };
        match query.purpose {
            Purpose::Status { reply_to, groups } => {
                let views = groups.iter().filter_map(|g| self.group_view(now, g)).collect();
                self.answer(reply_to, OpReply::Groups(views));
            }
            Purpose::Check { reply_to, groups } => {
                for group in &groups {
                    self.take_preflight(now, group);
                }
                let views = groups.iter().filter_map(|g| self.check_view(g, true)).collect();
                self.answer(reply_to, OpReply::Checks(views));
            }
            Purpose::Minute { group } => self.take_preflight(now, &group),
            Purpose::Start { reply_to, start, request } => {
                self.on_start_looked(now, reply_to, *start, request)
            }
            Purpose::Preview { reply_to, start } => {
                if self.preflight_every.is_some() {
                    self.take_preflight(now, &start.group);
                }
                let reply = match self.preview(now, &start) {
                    Ok(preview) => OpReply::Preview(Box::new(preview)),
                    Err(problem) => OpReply::Problem(problem),
                };
                self.answer(reply_to, reply);
            }
            Purpose::World { reply_to, group, record, old_runner_stopped } => {
                self.on_world(now, reply_to, group, record, old_runner_stopped);
            }
            Purpose::Adopting { reply_to, group, request, all, refused } => {
                let done = all - refused.len();
                let mut what = format!("adopted {done} of {all} resources");
                if !refused.is_empty() {
                    what.push_str(&format!("; not: {}", refused.join("; ")));
                }
                let reply = OpReply::Recorded { what, at: now.wall };
                let entry = GroupEntry::OpAnswered { request, reply: Box::new(reply.clone()) };
                self.append_group(now, &group, &entry);
                self.ask_claims(now, &group);
                self.answer(reply_to, reply);
                self.forget_check(&group);
            }
            Purpose::ByHand { reply_to, texts, .. } => {
                self.answer(reply_to, OpReply::ByHand(ByHandTexts { texts }));
            }
            Purpose::Done { reply_to, run, at, by, request } => {
                let reply = match self.contradicted(now, run, &at) {
                    Err(problem) => OpReply::Problem(problem),
                    Ok(()) => match self.pass_by(now, run, &at, "done", by) {
                        Ok(()) => OpReply::Recorded {
                            what: "the step counts as done by hand; its service agrees".into(),
                            at: now.wall,
                        },
                        Err(problem) => OpReply::Problem(problem),
                    },
                };
                let group = self.runs.get(&run).and_then(|r| r.started.group.clone());
                if let (Some(group), false) = (group, matches!(reply, OpReply::Problem(_))) {
                    let entry = GroupEntry::OpAnswered { request, reply: Box::new(reply.clone()) };
                    self.append_group(now, &group, &entry);
                }
                self.answer(reply_to, reply);
            }
        }
    }

    /// Whether a look agrees that a step is done.
    fn contradicted(&self, now: Now, run: RunId, at: &Position) -> Result<(), Problem> {
        let conflict = |detail: String| Err(Problem::new(Code::Conflict, detail));
        let Some(address) = self.address_of(run, at) else {
            return conflict("the step has no service to look: --unverified".into());
        };
        let fresh =
            self.observed.get(&address).filter(|(seen, _)| now.boot < seen.boot + Duration::from_secs(2));
        let Some((_, seen)) = fresh else {
            return conflict(format!("{address} does not answer: --unverified"));
        };
        let call = self
            .runs
            .get(&run)
            .and_then(|r| r.steps.iter().rev().find(|s| s.position == *at))
            .map(|s| &s.call);
        let action = call.and_then(|call| Action::of(address.service, &call.action));
        let found = call
            .zip(action)
            .and_then(|(call, action)| meanwhile::found(action, &call.args, &Value::Null, &seen.seen));
        match found {
            None => conflict("a look cannot tell for this step: --unverified".into()),
            Some(found) if found.agrees => Ok(()),
            Some(_) => conflict(format!("{address} says otherwise: {}", serde_json::json!(seen.seen))),
        }
    }

    fn on_world(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        group: GroupId,
        record: Option<(Option<SiteId>, ByPerson, MessageId)>,
        old_runner_stopped: bool,
    ) {
        let world = self.world(now, &group);
        let Some((site, by, request)) = record else {
            return self.answer(reply_to, OpReply::World(world));
        };
        let refusal = match &site {
            Some(site) => self.objection(&group, &world, site),
            None => self.closed_objection(&group, &world),
        };
        let silent = || self.silent_copied(&world, &group).filter(|_| !old_runner_stopped);
        let refusal = refusal.or_else(silent);
        if let Some(problem) = refusal {
            return self.answer(reply_to, OpReply::Problem(problem));
        }
        self.adopt(now, reply_to, group, (site, old_runner_stopped), by, request);
    }

    fn objection(&self, group: &GroupId, world: &WorldView, site: &SiteId) -> Option<Problem> {
        let g = self.groups.get(group)?;
        if let Some(run) = g.record.active {
            return Some(Problem::new(Code::GroupBusy, format!("run {} has not ended", run.short(4))));
        }
        if let Err(problem) = g.plan.has_site(site) {
            return Some(problem);
        }
        match &world.live {
            Some(live) if live == site => None,
            Some(live) => Some(Problem::new(Code::Conflict, format!("{live} looks live, not {site}"))),
            None => Some(Problem::new(
                Code::Conflict,
                format!("no single site looks live: {}", world.objections.join("; ")),
            )),
        }
    }

    /// Why it cannot be recorded that no site is live: silence proves nothing.
    fn closed_objection(&self, group: &GroupId, world: &WorldView) -> Option<Problem> {
        let g = self.groups.get(group)?;
        if let Some(run) = g.record.active {
            return Some(Problem::new(Code::GroupBusy, format!("run {} has not ended", run.short(4))));
        }
        let open = world.resources.iter().find(|r| {
            let closed = r
                .observation
                .as_ref()
                .is_some_and(|o| matches!(&o.seen, schemas::Seen::Database(d) if d.access == Access::Closed));
            let guarded = r.address.service == schemas::Service::Database
                && g.plan.one_live.contains(&r.address.resource);
            guarded && (r.silent || !closed)
        })?;
        Some(Problem::new(Code::Conflict, format!("{} is not seen closed", open.address)))
    }

    fn adopt(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        group: GroupId,
        (live, old_runner_stopped): (Option<SiteId>, bool),
        by: ByPerson,
        request: MessageId,
    ) {
        let run = self.ids.run(now);
        let Some(g) = self.groups.get(&group) else { return };
        let epoch = schemas::Epoch(g.record.epoch.max(g.seen_epoch).0 + 1);
        // Client hosts and caches have ledgers of their own, though no group claims them.
        let resources: Vec<Address> = g.plan.resources.iter().chain(&g.plan.clients).cloned().collect();
        self.append_group(now, &group, &GroupEntry::Adopted { epoch, run, live, old_runner_stopped, by });
        self.new_epoch(&group);
        self.end_contradicted(now, &group);
        let id = self.next_query();
        let due = now.boot + ADOPT_WITHIN;
        let mut waiting = BTreeSet::new();
        let mut refused = Vec::new();
        for address in &resources {
            let Some((_, seen)) =
                self.observed.get(address).filter(|(at, _)| now.boot < at.boot + ADOPT_WITHIN)
            else {
                refused.push(format!("{address} is silent"));
                continue;
            };
            let body = AdoptRequest { group: group.clone(), run, epoch, ledger: seen.ledger };
            let subject = self.prefix.request(address, Verb::Adopt);
            let body = serde_json::to_vec(&body).unwrap_or_default();
            waiting.insert((address.clone(), Kind::Adopt));
            self.ask(
                Asked::Adopt(group.clone(), address.clone(), id),
                subject,
                Vec::new(),
                body,
                ADOPT_WITHIN,
            );
        }
        let purpose = Purpose::Adopting { reply_to, group, request, all: resources.len(), refused };
        self.queries.insert(id, Query { purpose, waiting, due });
        self.timer(due, Timer::Query(id));
        self.check_query(now, id);
    }

    pub(crate) fn on_adopt_answered(
        &mut self,
        now: Now,
        group: &GroupId,
        address: &Address,
        id: u64,
        answer: Answered,
    ) {
        let _ = group;
        let refusal = match answer {
            Answered::Reply(body) => match serde_json::from_slice::<schemas::ClaimReply>(&body) {
                Ok(reply) if reply.granted => None,
                Ok(reply) => Some(reply.problem.map_or("refused".into(), |p| p.to_string())),
                Err(_) => Some(String::from_utf8_lossy(&body).chars().take(200).collect()),
            },
            Answered::NoResponders => Some("no service listens".into()),
            Answered::Silence => Some("no answer".into()),
        };
        let Some(query) = self.queries.get_mut(&id) else { return };
        if let (Some(why), Purpose::Adopting { refused, .. }) = (refusal, &mut query.purpose) {
            refused.push(format!("{address}: {why}"));
        }
        self.query_answered(now, id, address, Kind::Adopt);
    }

    /// Answers a person, after everything recorded so far is durable.
    pub(crate) fn answer(&mut self, to: ReplyTo, reply: OpReply) {
        self.flush_all();
        self.out.effects.push(Effect::Answer(to, Box::new(reply)));
    }

    pub(crate) fn confirm(&mut self, to: ReplyTo, reply: ConfirmReply) {
        self.flush_all();
        self.out.effects.push(Effect::Confirm(to, reply));
    }
}
