//! Names of a rehearsal: a state that is the site pointed at, or where a client resolves it. A client into whose hosts file
//! a site was pushed has the state `{pushed: SITE}`, and resolves it there.

use std::collections::{BTreeMap, BTreeSet};

use responder::memory::{MemoryDriver, Model, World};
use responder::{DriverError, Look};
use schemas::{Action, Code, Epoch, NameSeen, Seen, SiteId};
use serde_json::{Value, json};

/// The model of a record (`point`) or of a client (`follow`, `push`): its state is the name of a site, or `null`.
#[derive(Debug)]
pub struct MemoryName {
    actions: &'static [Action],
    sites: BTreeSet<SiteId>,
}

impl MemoryName {
    /// A record in `world`.
    pub fn record(
        world: World,
        resource: impl Into<String>,
        sites: BTreeSet<SiteId>,
    ) -> MemoryDriver<MemoryName> {
        MemoryDriver::new(world, resource, MemoryName { actions: &[Action::Point], sites })
    }

    /// A client host or cache in `world`.
    pub fn client(
        world: World,
        resource: impl Into<String>,
        sites: BTreeSet<SiteId>,
    ) -> MemoryDriver<MemoryName> {
        let actions = &[Action::Follow, Action::Push, Action::Unpush];
        MemoryDriver::new(world, resource, MemoryName { actions, sites })
    }

    fn to(&self, args: &Value) -> Result<SiteId, String> {
        let to = args.get("to").and_then(Value::as_str).ok_or("the argument `to` is missing")?;
        let to = SiteId::new(to).map_err(|cause| cause.to_string())?;
        if self.sites.contains(&to) { Ok(to) } else { Err(format!("no address at site `{to}`")) }
    }
}

/// The site that was pushed.
fn pushed(state: &Value) -> Option<&str> {
    state.get("pushed")?.as_str()
}

/// The site to which it leads.
fn leads_to(state: &Value) -> Option<&str> {
    state.as_str().or_else(|| pushed(state))
}

impl Model for MemoryName {
    fn actions(&self) -> &[Action] {
        self.actions
    }

    fn check(&self, _action: Action, args: &Value) -> Result<(), schemas::Problem> {
        self.to(args).map(drop).map_err(|why| schemas::Problem::new(Code::BadConfiguration, why))
    }

    fn look(&self, action: Action, args: &Value, state: &Value) -> Look {
        let to = match self.to(args) {
            Ok(to) => to,
            Err(why) => return Look::CannotTell(why),
        };
        let yes = match action {
            Action::Push => pushed(state) == Some(to.as_str()),
            Action::Unpush => pushed(state).is_none(),
            _ => leads_to(state) == Some(to.as_str()),
        };
        match yes {
            true => Look::InEffect(json!({ "to": to, "owed": [] })),
            false => Look::NotInEffect(json!({ "pointsAt": state })),
        }
    }

    fn after(&self, action: Action, args: &Value, state: &Value) -> Result<Value, DriverError> {
        let to = self.to(args).map_err(|why| DriverError::not_done(Code::BadConfiguration, why))?;
        // A record that is no site's was changed by somebody else; a client may hold anything.
        let known = state.as_str().is_some_and(|at| self.sites.iter().any(|site| site.as_str() == at));
        match (action, pushed(state)) {
            (Action::Point, _) if !known => {
                Err(DriverError::not_done(Code::Precondition, format!("found {state}")))
            }
            (Action::Follow, Some(site)) if site == to.as_str() => Ok(state.clone()),
            (Action::Follow, Some(site)) => {
                let why = format!("its hosts file leads to {site}");
                Err(DriverError::not_done(Code::TimedOut, why))
            }
            (Action::Push, _) => Ok(json!({ "pushed": to })),
            _ => Ok(json!(to)),
        }
    }

    fn seen(&self, state: &Value, _epoch: Option<Epoch>) -> Seen {
        let at = leads_to(state);
        let site = |name: &str| self.sites.iter().find(|site| site.as_str() == name).cloned();
        let answers = BTreeMap::from([("memory".to_owned(), at.map(str::to_owned).into_iter().collect())]);
        Seen::Name(NameSeen {
            points_at: at.and_then(site),
            answers,
            silent: Vec::new(),
            pushed: pushed(state).and_then(site),
            detail: Value::Null,
        })
    }
}
