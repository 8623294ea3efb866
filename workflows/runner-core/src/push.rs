//! The fallback of a name that cannot be changed: a person has the hosts files of the clients pushed. The names and the
//! caches are owed then, and so is that each hosts file is taken away again, once the names are right.

use engine::{Resolution, Want};
use schemas::{Action, Address, Code, Key, Position, Problem, RunId, Service, SiteId};
use serde_json::{Value, json};

use crate::call::CallState;
use crate::core::Core;
use crate::entry::{AssumedBy, ByPerson, Owed, RunEntry, SettledAs};
use crate::live::{Live, Owner};
use crate::run::Run;
use crate::seam::Now;

/// How the word is recorded.
pub(crate) const PUSH: &str = "push";

impl Run {
    /// Whether a step changes a name.
    pub(crate) fn points(&self, at: &Position) -> bool {
        let step = self.steps.iter().rfind(|step| step.position == *at);
        step.is_some_and(|step| step.call.service == "dns" && step.call.action == "point")
    }

    /// Whether its definition pushes hosts files where a person says so.
    pub(crate) fn can_push(&self) -> bool {
        let pushes = |step: &engine::StepInfo| {
            step.function.as_ref().is_some_and(|function| function.starts_with("dns.push:"))
        };
        self.definition.steps().iter().any(pushes)
    }

    /// Whether a person has said so.
    pub(crate) fn pushed(&self) -> bool {
        self.steps.iter().any(|step| step.by_hand == Some(PUSH))
    }

    /// The caches of its group, as its input says.
    pub(crate) fn caches(&self) -> Vec<Address> {
        let caches = self.started.input.pointer("/group/clients/caches").and_then(Value::as_array);
        let address = |cache: &Value| {
            let site: SiteId = cache.get("site")?.as_str()?.parse().ok()?;
            let resource = cache.get("host")?.as_str()?.parse().ok()?;
            Some(Address { site, service: Service::Dns, resource })
        };
        caches.into_iter().flatten().filter_map(address).collect()
    }

    /// The names that it has not changed, with what each is called.
    fn names_left(&self) -> Vec<(Address, Value)> {
        let records = self.started.input.pointer("/group/names/records").and_then(Value::as_object);
        let address = |(resource, record): (&String, &Value)| {
            let site: SiteId = record.get("at")?.as_str()?.parse().ok()?;
            let address = Address { site, service: Service::Dns, resource: resource.parse().ok()? };
            Some((address, record.get("name").cloned().unwrap_or_default()))
        };
        let changed = |address: &Address| {
            self.calls
                .values()
                .any(|call| call.action == Action::Point && call.address == *address && done(&call.state))
        };
        let all = records.into_iter().flatten().filter_map(address);
        all.filter(|(address, _)| !changed(address)).collect()
    }

    /// What is owed from the word on.
    fn owed_by_push(&self, now: Now) -> Vec<Owed> {
        let Some(to) = &self.started.to else { return Vec::new() };
        let lost = &self.started.lost;
        let owed = |address: Address, action, args, why: &str| Owed {
            address,
            action: Some(action),
            args,
            run: self.id,
            since: now.wall,
            why: why.into(),
        };
        let names = self.names_left().into_iter().map(|(address, name)| {
            // As the step asked: servers at lost sites are owed then, and keep no hosts file in place.
            let args = json!({
                "resource": address.resource, "site": address.site, "name": name, "to": to, "lost": lost,
            });
            owed(address, Action::Point, args, "it could not be changed, and hosts files were pushed")
        });
        let caches = self.caches().into_iter().map(|address| {
            let args = json!({ "resource": address.resource, "site": address.site, "to": to });
            owed(address, Action::Follow, args, "the names could not be changed")
        });
        names.chain(caches).collect()
    }
}

fn done(state: &CallState) -> bool {
    matches!(state, CallState::Settled { settlement } if matches!(settlement.result, SettledAs::Done { .. }))
}

/// Whether what is owed of a name is the name itself, and not only that servers of lost sites follow it.
pub(crate) fn is_the_name_itself(owed: &Owed) -> bool {
    owed.action == Some(Action::Point) && owed.args.get("lost").is_some()
}

/// Whether something may stand in a hosts file after a push that was settled so.
fn may_be_written(result: &SettledAs) -> bool {
    match result {
        SettledAs::Done { .. } | SettledAs::EndedUnknown => true,
        // Only where its script ran.
        SettledAs::NotDone { problem } => matches!(problem.code, Code::Script | Code::TimedOut),
    }
}

impl Core {
    /// The step at which a run waits for a name: failed, or in doubt beyond its bound.
    fn name_waited_for(&self, id: RunId) -> Option<Position> {
        let run = self.runs.get(&id)?;
        let failed = self.wants_of(id).into_iter().filter_map(|want| match want {
            Want::Decide { at, .. } => Some(at),
            _ => None,
        });
        let doubtful = self.lives.iter();
        let doubtful =
            doubtful.filter(|(key, live)| key.run == id && live.owner == Owner::Step && live.is_doubtful());
        let doubtful = doubtful.map(|(key, _)| key.position.clone());
        failed.chain(doubtful).find(|at| run.points(at))
    }

    /// A person's word: hosts files are pushed in place of names that cannot be changed. The run goes on.
    ///
    /// # Errors
    ///
    /// It does not wait for a name, or its definition pushes none.
    pub(crate) fn push_hosts(&mut self, now: Now, id: RunId, by: ByPerson) -> Result<(), Problem> {
        let conflict = |detail: &str| Problem::new(Code::Conflict, detail);
        let at = self.name_waited_for(id);
        let at = at.ok_or_else(|| conflict("the run is not held at a name that cannot be changed"))?;
        let run = self.runs.get(&id).filter(|run| run.can_push());
        let (group, owed) =
            run.and_then(|run| Some((run.started.group.clone()?, run.owed_by_push(now)))).ok_or_else(
                || conflict("its definition pushes no hosts files: write them by hand, then `done`"),
            )?;
        self.append_run(now, id, RunEntry::Resolved { step: at.clone(), how: PUSH.into(), by: by.clone() });
        self.append_run(now, id, RunEntry::Released { by: Some(by.clone()) });
        for owed in owed {
            self.new_debt(now, &group, owed);
        }
        let output = json!({ "pushed": true });
        let key = Key { run: id, position: at.clone() };
        if self.lives.contains_key(&key) {
            self.assume_as(now, &key, AssumedBy::Person(by), output);
        } else {
            let how = Resolution::Skip { output };
            self.engine_input(now, id, engine::Input::Resolve { at, how });
        }
        self.rouse(now, id);
        Ok(())
    }

    /// A push has ended, or was passed: what may stand in a hosts file is owed to be taken away.
    pub(crate) fn owe_unpush(&mut self, now: Now, key: &Key, live: &Live, result: Option<&SettledAs>) {
        let ours = live.action == Some(Action::Push) && !matches!(live.owner, Owner::Debt(_));
        if !ours || !result.is_none_or(may_be_written) {
            return;
        }
        let group = live.group.clone().or_else(|| self.runs.get(&key.run)?.started.group.clone());
        if let Some(group) = group {
            let why = "its hosts file leads there whatever DNS says";
            self.owe_act(now, &group, key, live, Action::Unpush, why);
        }
    }
}
