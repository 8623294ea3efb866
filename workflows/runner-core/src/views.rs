//! What people are shown, computed from what the core knows; facts with their age and who said them.

use std::collections::BTreeMap;

use engine::{Purpose, Want};
use schemas::view::{
    DebtView, GroupView, Limited, Mode, ResourceView, RunState, RunView, SiteView, StepState, StepView,
    WorldView,
};
use schemas::{Access, Address, GroupId, Key, Position, Problem, Seen, Service, SiteId};
use serde_json::Value;

use crate::call::{CallRecord, CallState};
use crate::core::Core;
use crate::entry::{AssumedBy, SettledAs};
use crate::group::OpenState;
use crate::live::Live;
use crate::run::{Run, Step};
use crate::seam::{Now, TriggerMode};

/// A run as it stands.
pub(crate) fn run_view(run: &Run, lives: &BTreeMap<Key, Live>, with_steps: bool) -> RunView {
    let mut waits_for: Vec<String> = run.held.iter().cloned().collect();
    if run.paused {
        waits_for.push(format!("paused: pointsman resume {}", run.id.short(4)));
    }
    let mut waiting = false;
    if run.held.is_none() && run.ended.is_none() {
        // A word about one step releases the run, and is none about another one that failed.
        for want in run.machine.outstanding() {
            if let Want::Decide { at, error } = want {
                waiting = true;
                waits_for.push(run.failed(&at, &error));
            }
        }
    }
    for (key, live) in lives {
        if key.run == run.id
            && let Some(wait) = &live.waits_for
        {
            waiting |= !live.intended();
            waits_for.push(format!("{}: {wait}", label(run, &key.position)));
        }
    }
    let state = match &run.ended {
        Some((state, ..)) => *state,
        None if run.held.is_some() => RunState::Held,
        None if run.paused => RunState::Paused,
        None if waiting => RunState::Waiting,
        None => RunState::Running,
    };
    let steps = match with_steps {
        true => run.steps.iter().zip(1..).map(|(step, n)| step_view(run, lives, step, n)).collect(),
        false => Vec::new(),
    };
    RunView {
        id: run.id,
        group: run.started.group.clone(),
        workflow: run.started.workflow.clone(),
        state,
        epoch: run.started.epoch,
        from: run.started.from.clone(),
        to: run.started.to.clone(),
        who: run.started.who.clone(),
        why: run.started.why.clone(),
        started: run.began,
        ended: run.ended.as_ref().map(|(.., at)| *at),
        limited: limited(run),
        not_compared: run.not_compared().unwrap_or_default(),
        differs: run.differs(),
        sequence: run.seq,
        waits_for: if run.ended.is_some() { Vec::new() } else { waits_for },
        steps,
        problem: run.ended.as_ref().and_then(|(_, problem, _)| problem.clone()),
    }
}

/// The parts of a move in which users get back what they do.
const SERVING: [&str; 4] = ["open", "start", "name", "clients"];

fn limited(run: &Run) -> Option<Limited> {
    let moves = matches!(run.definition.info().purpose, Purpose::Move | Purpose::Return);
    let of = |step: &&Step, phases: &[&str]| {
        step.call.phase.as_deref().is_some_and(|phase| phases.contains(&phase))
    };
    let began = |step: &Step| run.calls.get(&step.position).map_or(step.since, |record| record.intended);
    let fenced = run.steps.iter().filter(|step| of(step, &["fence"])).map(began).min();
    let since = run.started.limited.into_iter().chain(fenced).min().filter(|_| moves)?;
    // Undone: they were given back what was taken from them.
    let undone = |step: &&Step| step.position.as_str().contains("!undo");
    let served = run.steps.iter().filter(|step| of(step, &SERVING) || undone(step));
    let all_left = served.clone().all(|step| step.left.is_some());
    let last = served.filter_map(|step| step.left).max();
    let ended = run.ended.as_ref().map(|(.., at)| *at);
    // What comes after the clients, such as protecting, keeps nobody waiting.
    let past = run.steps.iter().any(|step| of(&step, &["clients"]) || undone(&step));
    Some(Limited { since, until: last.filter(|_| all_left && (past || ended.is_some())).or(ended) })
}

/// A step by its number and its name, as people are shown it; by its position where it has none yet.
pub(crate) fn label(run: &Run, position: &Position) -> String {
    let known = run.steps.iter().zip(1..).find(|(step, _)| step.position == *position);
    known.map_or_else(|| position.to_string(), |(step, number)| format!("{number} {}", name(step)))
}

/// Its name, with what it works on: `close config@main`.
fn name(step: &Step) -> String {
    let text = |name: &str| step.call.args.get(name).and_then(Value::as_str);
    match (text("resource"), text("site")) {
        (Some(resource), Some(site)) => format!("{} {resource}@{site}", step.call.name),
        (None, Some(site)) => format!("{} {site}", step.call.name),
        _ => step.call.name.clone(),
    }
}

fn step_view(run: &Run, lives: &BTreeMap<Key, Live>, step: &Step, number: u32) -> StepView {
    let live = lives.get(&Key { run: run.id, position: step.position.clone() });
    let record = run.calls.get(&step.position);
    let text = |name: &str| step.call.args.get(name).and_then(Value::as_str).map(str::to_owned);
    let (resource, site) = (text("resource"), text("site"));
    let name = name(step);
    let address = match (resource, site, step.call.service.parse::<Service>()) {
        (Some(resource), Some(site), Ok(service)) => resource
            .parse()
            .ok()
            .zip(site.parse().ok())
            .map(|(resource, site)| Address { site, service, resource }),
        _ => None,
    };
    let (settled_by, output, refused) = settled(record);
    let output = if output.is_null() { step.output.clone() } else { output };
    let problem = step.error.as_ref().map(crate::fault::problem_of).or(refused);
    StepView {
        number,
        position: step.position.clone(),
        name,
        state: step_state(run, live, record, step),
        function: format!("{}.{}", step.call.service, step.call.action),
        address,
        phase: step.call.phase.clone(),
        attempts: record.map_or(0, |r| r.attempt.0),
        in_doubt: record.is_some_and(|r| r.doubted),
        settled_by,
        already: record.is_some_and(already),
        reached: record.filter(|r| r.intended > step.since).map(|_| step.since),
        started: Some(record.map_or(step.since, |r| r.intended)),
        // A step that was never intended, such as one at a site known to be lost, ends all the same.
        ended: record.map_or(step.left, |r| r.ended),
        output,
        problem,
        waits_for: live.and_then(|l| l.waits_for.clone()),
        now: None,
    }
}

fn already(record: &CallRecord) -> bool {
    let CallState::Settled { settlement } = &record.state else { return false };
    matches!(settlement.result, SettledAs::Done { answer: Some(schemas::Answer::AlreadyApplied), .. })
}

fn settled(record: Option<&CallRecord>) -> (Option<String>, Value, Option<Problem>) {
    match record.map(|r| &r.state) {
        Some(CallState::Settled { settlement }) => {
            let by = Some(settlement.by.clone());
            match &settlement.result {
                SettledAs::Done { output, .. } => (by, output.clone(), None),
                SettledAs::NotDone { problem } => (by, Value::Null, Some(problem.clone())),
                SettledAs::EndedUnknown => (by, Value::Null, None),
            }
        }
        Some(CallState::Assumed { by: AssumedBy::Person(by) }) => {
            (Some(by.who.person.clone()), Value::Null, None)
        }
        Some(CallState::Assumed { by: AssumedBy::Definition }) => (Some("passed".into()), Value::Null, None),
        _ => (None, Value::Null, None),
    }
}

fn step_state(run: &Run, live: Option<&Live>, record: Option<&CallRecord>, step: &Step) -> StepState {
    match step.by_hand {
        Some("skip" | crate::push::PUSH) => return StepState::Skipped,
        Some("done") => return StepState::DoneByHand,
        _ => {}
    }
    let undone = format!("{}!undo", step.position);
    if run
        .steps
        .iter()
        .any(|s| s.left.is_some() && s.error.is_none() && s.position.as_str().starts_with(&undone))
    {
        return StepState::Undone;
    }
    match (record.map(|r| &r.state), live) {
        (Some(CallState::Settled { settlement }), _) => match settlement.result {
            SettledAs::Done { .. } => StepState::Done,
            SettledAs::NotDone { .. } => StepState::Failed,
            SettledAs::EndedUnknown => StepState::InDoubt,
        },
        (Some(CallState::Assumed { .. }), _) => StepState::Assumed,
        (Some(CallState::Open), _) if record.is_some_and(|r| r.doubted) => StepState::InDoubt,
        (Some(CallState::Open), Some(_)) => StepState::Running,
        (Some(CallState::Open), None) => StepState::InDoubt,
        (None, Some(_)) => StepState::Waiting,
        (None, None) if step.error.is_some() => StepState::Failed,
        (None, None) if step.left.is_some() => StepState::Done,
        (None, None) => StepState::Pending,
    }
}

impl Core {
    pub(crate) fn resource_view(&self, now: Now, address: &Address) -> ResourceView {
        let heard = self.heard.get(address).copied();
        let seen = self.observed.get(address);
        let latest = match (heard, seen.map(|(at, _)| *at)) {
            (Some(a), Some(b)) => Some(if a.boot > b.boot { a } else { b }),
            (a, b) => a.or(b),
        };
        ResourceView {
            address: address.clone(),
            observation: seen.map(|(_, o)| o.clone()),
            seen_at: seen.map(|(at, _)| at.wall),
            heard: latest.map(|l| l.wall),
            silent: self.mute.contains(address)
                || latest.is_none_or(|l| now.boot > l.boot + crate::core::SILENT_AFTER),
        }
    }

    pub(crate) fn group_view(&self, now: Now, id: &GroupId) -> Option<GroupView> {
        let g = self.groups.get(id)?;
        let run = g.record.active.and_then(|run| self.runs.get(&run));
        let resources: Vec<ResourceView> =
            g.plan.resources.iter().chain(&g.plan.clients).map(|a| self.resource_view(now, a)).collect();
        let sites = g
            .plan
            .sites
            .iter()
            .map(|site| (site.clone(), self.site_view(now, id, site, &resources)))
            .collect();
        let (mode, sentence) = self.mode(now, id, &resources);
        let run = run.map(|run| Box::new(self.run_now(now, run)));
        let limited_since = match &run {
            Some(run) => run.limited.filter(|limited| limited.until.is_none()).map(|limited| limited.since),
            None => {
                self.limited(now, id, &resources).filter(|_| mode == Mode::Limited).map(|found| found.since)
            }
        };
        let debts = g
            .record
            .debts
            .values()
            .map(|d| DebtView {
                address: d.owed.address.clone(),
                what: d.owed.action.map_or("claim".into(), |a| a.to_string()),
                since: d.owed.since,
                run: d.owed.run,
                why: d.owed.why.clone(),
                gone: g.record.gone(&d.owed.address.site).is_some(),
            })
            .collect();
        let doubts = g
            .record
            .doubts
            .iter()
            .map(|(key, d)| DebtView {
                address: d.address.clone(),
                what: d.action.to_string(),
                since: d.since,
                run: key.run,
                why: format!("attempt {} was passed without knowing", d.attempt),
                gone: g.record.gone(&d.address.site).is_some(),
            })
            .collect();
        Some(GroupView {
            group: id.clone(),
            order: g.plan.order,
            mode,
            sentence,
            epoch: g.record.epoch,
            live: g.record.live.clone(),
            limited_since,
            sites,
            run,
            debts,
            doubts,
            loss: self.loss_view(now, id),
            check: self.check_view(id, false),
            warnings: self.warnings(now, id),
            drills: g.record.drills.values().cloned().collect(),
            declared: self.declared_view(now, id),
            trigger: self.trigger_text(now, id),
            resources,
            at: now.wall,
        })
    }

    fn site_view(&self, now: Now, group: &GroupId, site: &SiteId, resources: &[ResourceView]) -> SiteView {
        let mine = || resources.iter().filter(|r| r.address.site == *site);
        let mut counts_open = false;
        let mut why = String::from("no database of its own");
        let mut closed_seen = None;
        let mut access = Vec::new();
        if let Some(g) = self.groups.get(group) {
            for resource in &g.plan.one_live {
                match self.shut(now, group, site, resource) {
                    Ok(shut) => why = format!("{resource}: {}", shut.text()),
                    Err(wait) => {
                        counts_open = true;
                        why = format!("no {wait}");
                    }
                }
                let address =
                    Address { site: site.clone(), service: Service::Database, resource: resource.clone() };
                if let Some(OpenState::Closed { seen, .. }) = g.record.databases.get(&address) {
                    closed_seen = Some(*seen);
                }
                if let Some((at, observation)) = self.observed.get(&address)
                    && matches!(&observation.seen, Seen::Database(d) if d.access == Access::Closed)
                {
                    closed_seen = closed_seen.max(Some(at.wall));
                }
                access.push(self.access_at(now, &address));
            }
        }
        SiteView {
            counts_open,
            closed_seen,
            seen_closed: !access.is_empty() && access.iter().all(|access| *access == Some(Access::Closed)),
            why,
            heard: u32::try_from(mine().filter(|r| !r.silent).count()).unwrap_or(u32::MAX),
            services: u32::try_from(mine().count()).unwrap_or(u32::MAX),
        }
    }

    /// How a database was seen lately; none: it was not.
    fn access_at(&self, now: Now, address: &Address) -> Option<Access> {
        let (at, seen) = self.observed.get(address)?;
        let fresh = now.boot < at.boot + crate::core::SILENT_AFTER && !self.mute.contains(address);
        match &seen.seen {
            Seen::Database(database) if fresh => Some(database.access),
            _ => None,
        }
    }

    /// Whether a database was seen open lately.
    pub(crate) fn is_open_at(&self, now: Now, address: &Address) -> bool {
        self.access_at(now, address).is_some_and(|access| access != Access::Closed)
    }

    pub(crate) fn open_sites(&self, now: Now, id: &GroupId) -> Vec<SiteId> {
        let Some(g) = self.groups.get(id) else { return Vec::new() };
        let open = |site: &SiteId| {
            g.plan.one_live.iter().any(|resource| {
                let address =
                    Address { site: site.clone(), service: Service::Database, resource: resource.clone() };
                self.is_open_at(now, &address)
            })
        };
        g.plan.sites.iter().filter(|s| open(s)).cloned().collect()
    }

    fn trigger_text(&self, now: Now, id: &GroupId) -> String {
        let Some(g) = self.groups.get(id) else { return String::new() };
        let mode = match g.plan.trigger.mode {
            TriggerMode::Off => "off",
            TriggerMode::Observe => "observe",
            TriggerMode::Ask => "ask",
            TriggerMode::Auto => "auto",
        };
        let mut text =
            format!("{mode}: {} after {} s", g.plan.trigger.run, g.plan.trigger.hold_down.as_secs());
        if let Some(off) = g.record.triggers_off.as_ref().filter(|o| o.until.is_none_or(|u| now.wall < u)) {
            text.push_str(&format!("; switched off by {}", off.by.who.person));
        }
        if g.record.disconnected().is_some() {
            text.push_str("; starts nothing while a disconnect is declared");
        }
        if g.record.unacknowledged {
            text.push_str(&format!("; waits for pointsman ack {id} --why …"));
        }
        if let Some((decision, site)) = &g.record.asked {
            text.push_str(&format!("; {site} is reported lost: pointsman approve {id} --why … ({decision})"));
        }
        text
    }

    pub(crate) fn world(&self, now: Now, id: &GroupId) -> WorldView {
        let resources: Vec<ResourceView> = self
            .groups
            .get(id)
            .map(|g| {
                g.plan.resources.iter().chain(&g.plan.clients).map(|a| self.resource_view(now, a)).collect()
            })
            .unwrap_or_default();
        let open = self.open_sites(now, id);
        let mut objections: Vec<String> = resources
            .iter()
            .filter(|r| r.silent || r.observation.is_none())
            .map(|r| format!("{} is silent", r.address))
            .collect();
        match open.len() {
            0 => objections.push("no site has an open database".into()),
            1 => {}
            _ => objections.push("more than one site has an open database".into()),
        }
        let live = match open.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        };
        WorldView { group: id.clone(), resources, live, objections }
    }
}

pub(crate) fn text(site: &Option<SiteId>) -> &str {
    site.as_ref().map_or("-", SiteId::as_str)
}
