//! Between the engine and the world: what the engine wants becomes calls, timers and decisions; how a run
//! ends becomes the group's.

use engine::{Change, OnFault, Outcome, Resolution, Want, WantKind};
use schemas::view::RunState;
use schemas::{Action, Address, Code, GroupId, Key, Position, Problem, ResourceId, RunId, Service, SiteId};
use serde_json::Value;

use crate::call::CallState;
use crate::core::{Core, Timer};
use crate::entry::{Doubt, GroupEntry, RunEntry};
use crate::live::{Live, Owner, Stage, bound};
use crate::run::Run;
use crate::seam::Now;

impl Core {
    pub(crate) fn on_change(&mut self, now: Now, run: RunId, change: Change) {
        match change {
            Change::Wanted(want) => self.on_want(now, run, want),
            Change::Dropped(id) if id.kind == WantKind::Evaluate => self.evaluated(run, &id.at),
            Change::Dropped(_) => {}
        }
    }

    fn on_want(&mut self, now: Now, run: RunId, want: Want) {
        match want {
            Want::Evaluate { at, job } => self.evaluate(run, at, job),
            Want::Call { at, call } => self.want_call(now, run, at, call),
            Want::CancelCall { at } => self.cancel_call(now, run, &at),
            Want::Wake { at, when } => {
                let left = (when - now.wall).to_std().unwrap_or_default();
                self.timer(now.boot + left, Timer::Wake(run, at));
            }
            Want::Listen { .. } => {}
            Want::Decide { at, error } => self.on_fault(now, run, at, &error),
        }
    }

    fn want_call(&mut self, now: Now, id: RunId, at: Position, call: engine::Call) {
        let Some(run) = self.runs.get(&id) else { return };
        let key = Key { run: id, position: at.clone() };
        let resolved = resolve(&call);
        let known = run.calls.get(&at).map(|c| (c.state.clone(), c.attempt));
        let group = run.started.group.clone();
        let lost = run.started.lost.clone();
        let (action, address) = match resolved {
            Ok(found) => found,
            Err(problem) => {
                let result = Err(crate::fault::error_of(&problem));
                return self.engine_input(now, id, engine::Input::CallEnded { at, result });
            }
        };
        if action.is_none() && call.action == "expect-writes" {
            // What undoes it is what counts.
            return self.engine_input(now, id, engine::Input::CallEnded { at, result: Ok(Value::Null) });
        }
        let stage = match action {
            None if call.action == "await-followed" => Stage::AwaitFollowed(share(&call)),
            None => Stage::AwaitClosed(address.site.clone()),
            Some(_) => Stage::Claiming,
        };
        let plan = group.as_ref().and_then(|g| self.groups.get(g)).map(|g| &g.plan);
        let owned = plan.is_some_and(|plan| plan.resources.contains(&address));
        let client = plan.is_some_and(|plan| plan.clients.contains(&address));
        if action.is_some() && !owned && !client {
            let detail = format!("{address} is no resource of the run's group");
            let result = Err(crate::fault::error_of(&Problem::new(Code::UnknownSubject, detail)));
            return self.engine_input(now, id, engine::Input::CallEnded { at, result });
        }
        let mut args = call.args.clone();
        if action == Some(Action::Point)
            && !lost.is_empty()
            && let Some(args) = args.as_object_mut()
        {
            // Servers at lost sites are owed, not waited for.
            args.entry("lost").or_insert_with(|| serde_json::json!(lost));
        }
        let live = Live {
            owner: Owner::Step,
            group: if owned || action.is_none() { group } else { None },
            address,
            action,
            args,
            in_doubt: call.in_doubt,
            attempt: schemas::Attempt::FIRST,
            stage,
            deadline: now.boot + bound(call.timeout),
            undelivered: true,
            overtaken: false,
            cancelled: false,
            own_bound: None,
            problem: None,
            waits_for: None,
            asked: None,
            told_in_doubt: false,
            look_due: None,
        };
        self.lives.insert(key.clone(), live);
        match known {
            Some((CallState::Open, _)) => self.revive(now, &key, known),
            // Settled or assumed, but the engine's part of that batch is missing: cannot be, since a
            // batch is written whole.
            _ => self.advance(now, &key),
        }
    }

    /// Something failed and nothing caught it: the definition's `onFault` decides, or a person.
    fn on_fault(&mut self, now: Now, id: RunId, at: Position, error: &engine::Error) {
        let Some(run) = self.runs.get(&id) else { return };
        if run.ended.is_some() {
            return;
        }
        let undoing = at.as_str().contains("!undo");
        let how = match run.definition.info().on_fault {
            OnFault::Fault => Some(Resolution::Fault),
            OnFault::BackOut if !run.no_return() && !undoing && !self.asks(run, &at) => {
                Some(Resolution::BackOut)
            }
            OnFault::BackOut | OnFault::Hold => None,
        };
        match how {
            Some(how) => self.engine_input(now, id, engine::Input::Resolve { at, how }),
            None => {
                let why = run.failed(&at, error);
                self.hold(now, id, why);
            }
        }
    }

    /// Whether the group's file wants a person to decide, where the definition would back out (`drain.switchover`,
    /// `reverse.cannot_start.switchover`).
    fn asks(&self, run: &Run, at: &Position) -> bool {
        let failed = run.steps.iter().rfind(|step| step.position == *at);
        let key = match failed.map(|step| step.call.action.as_str()) {
            Some("drain" | "stop") if failed.is_some_and(|step| step.call.service == "replication") => {
                "/group/drain/switchover"
            }
            Some("capture") => "/group/reverse/cannot_start/switchover",
            _ => return false,
        };
        run.started.input.pointer(key).is_some_and(|wanted| wanted == "ask")
    }

    /// After the engine's wishes were taken up: is it at its end?
    pub(crate) fn after_changes(&mut self, now: Now, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        if run.ended.is_some() {
            return;
        }
        let (state, problem) = match run.machine.outcome() {
            None => return,
            Some(Outcome::Completed { .. }) => (RunState::Completed, None),
            Some(Outcome::Faulted { error }) => (RunState::Faulted, Some(crate::fault::problem_of(error))),
            Some(Outcome::Cancelled) => (RunState::Cancelled, None),
            Some(Outcome::BackedOut) => (RunState::BackedOut, None),
        };
        self.end_run(now, id, state, problem);
    }

    /// Ends a run: its doubts join the group's list, its silent resources owe claims.
    pub(crate) fn end_run(&mut self, now: Now, id: RunId, state: RunState, problem: Option<Problem>) {
        let Some(run) = self.runs.get(&id) else { return };
        if run.ended.is_some() {
            return;
        }
        let group = run.started.group.clone();
        let live = self.live_after(id, state);
        let record = group.as_ref().and_then(|id| self.groups.get(id)).map(|g| &g.record);
        let left = record.and_then(|record| run.left(record, state, live.as_ref(), now.wall));
        let not_compared = run.not_compared().filter(|_| state == RunState::Completed);
        let compared = run.compared();
        let open: Vec<(Key, Doubt)> = run
            .calls
            .iter()
            .filter(|(_, call)| call.open())
            .map(|(step, call)| {
                let doubt = Doubt {
                    address: call.address.clone(),
                    action: call.action,
                    epoch: run.started.epoch,
                    attempt: call.attempt,
                    since: now.wall,
                };
                (Key { run: id, position: step.clone() }, doubt)
            })
            .collect();
        self.flush(id);
        for (key, doubt) in open {
            if let Some(group) = &group {
                self.append_group(now, group, &GroupEntry::DoubtListed { key, doubt });
            }
        }
        self.lives.retain(|key, live| key.run != id || live.owner != Owner::Step);
        self.end_loss_asked(|asked| asked.run == id);
        self.append_run(now, id, RunEntry::Ended { state, problem });
        if let Some(group) = group {
            self.owe_claims(now, &group, id);
            if let Some(g) = self.groups.get_mut(&group) {
                g.watch.ended = now.boot;
            }
            let told = live.is_some();
            let made = left.clone();
            let entry = GroupEntry::RunEnded { run: id, state, live, left, not_compared, compared };
            self.append_group(now, &group, &entry);
            self.stands_anew(now, id, state, made.as_ref());
            if told {
                self.end_contradicted(now, &group);
            }
            self.owe_ended(now, id);
            self.take_next_file(now, &group);
            self.pay(now, &group, None);
            // What was superseded makes room for a run that has looks of its own.
            if state != RunState::Fenced {
                self.check_soon(now, &group);
            }
        }
    }

    /// After a restart: a group's debts and doubts occupy what they are about.
    pub(crate) fn resume_groups(&mut self, now: Now) {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            let Some(g) = self.groups.get_mut(&id) else { continue };
            let epoch = g.record.epoch;
            for (key, doubt) in &g.record.doubts {
                if doubt.epoch == epoch {
                    g.occupied.insert(doubt.address.clone(), key.clone());
                }
            }
            let calls = g.record.debts.values().filter_map(|d| Some((&d.owed.address, d.call.as_ref()?)));
            for (address, (key, _)) in calls {
                if Some(key.run) == g.record.holder {
                    g.occupied.insert(address.clone(), key.clone());
                }
            }
            if let Some((_, site)) = g.record.asked.clone() {
                let due = now.boot + g.plan.approval_within;
                let _ = site;
                self.timer(due, Timer::Approval(id.clone()));
            }
        }
    }

    /// After a restart: claims again, settles, goes on; or is held, if it lay idle for too long (law 10).
    pub(crate) fn resume_run(&mut self, now: Now, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        let group = run.started.group.clone();
        let idle = (now.wall - run.last).to_std().unwrap_or_default();
        let alone = group
            .as_ref()
            .and_then(|g| self.groups.get(g))
            .map_or(std::time::Duration::from_secs(900), |g| g.plan.alone_within);
        // A back-out that is held for a doubt would go on by itself.
        let waits = run.held.is_some() && !run.backs_out_in_doubt();
        if idle > alone && !waits && !run.paused {
            let minutes = idle.as_secs() / 60;
            let why = format!(
                "idle {minutes} min, more than {} min (resume.alone_within): pointsman resume {}",
                alone.as_secs() / 60,
                id.short(4)
            );
            self.hold(now, id, why);
        }
        if let Some(group) = &group {
            self.ask_claims(now, group);
        }
        // A run whose first entries were cut off begins now.
        if self.runs.get(&id).is_some_and(|r| r.seq == 1) {
            self.begin(now, id);
        }
        for want in self.wants_of(id) {
            match want {
                // Already held for it, or about to be decided again in the same way.
                Want::Decide { .. } if self.runs.get(&id).is_some_and(|r| r.held.is_some()) => {}
                want => self.on_want(now, id, want),
            }
        }
        self.after_changes(now, id);
    }

    /// The engine's first entries.
    pub(crate) fn begin(&mut self, now: Now, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        let facts =
            engine::RunFacts { id: id.to_string(), started_at: run.began, input: run.started.input.clone() };
        let entries = run.machine.begin(facts);
        self.append_engine(now, id, entries);
    }

    /// Events that a run listens for.
    pub(crate) fn offer(&mut self, now: Now, event: &Value) {
        let mut fitting = Vec::new();
        for (id, run) in &self.runs {
            if run.ended.is_some() {
                continue;
            }
            for want in run.machine.outstanding() {
                if let Want::Listen { at, filters } = want
                    && filters.matches(event)
                {
                    fitting.push((*id, at));
                }
            }
        }
        for (id, at) in fitting {
            self.engine_input(now, id, engine::Input::EventArrived { at, event: event.clone() });
        }
    }
}

/// How many of a hundred clients have to follow; all, where it is not said.
fn share(call: &engine::Call) -> u64 {
    call.args.get("share").and_then(Value::as_u64).unwrap_or(100).min(100)
}

/// What a call asks, and of whom: a service's action, or one of the group's own waits (no action).
fn resolve(call: &engine::Call) -> Result<(Option<Action>, Address), Problem> {
    let bad = |detail: String| Problem::new(Code::Malformed, detail);
    let text = |name: &str| -> Result<&str, Problem> {
        call.args
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| bad(format!("{}.{} needs the argument `{name}`", call.service, call.action)))
    };
    let site: SiteId = text("site")?.parse().map_err(|e: schemas::BadId| bad(e.to_string()))?;
    if call.service == "group" {
        let resource = ResourceId::new("group").map_err(|e| bad(e.to_string()))?;
        return Ok((None, Address { site, service: Service::Database, resource }));
    }
    let service: Service = call.service.parse().map_err(|e: schemas::BadService| bad(e.to_string()))?;
    let action = Action::of(service, &call.action)
        .ok_or_else(|| bad(format!("{service} has no action `{}`", call.action)))?;
    let resource = text("resource")?.parse().map_err(|e: schemas::BadId| bad(e.to_string()))?;
    Ok((Some(action), Address { site, service, resource }))
}
