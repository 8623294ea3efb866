//! Names of a rehearsal: a state that is the site pointed at, or where a client resolves it.

use std::collections::{BTreeMap, BTreeSet};

use responder::memory::{MemoryDriver, Model, World};
use responder::{DriverError, Look};
use schemas::{Action, Code, Epoch, NameSeen, Seen, SiteId};
use serde_json::{Value, json};

/// The model of a record (`point`) or of a client (`follow`): its state is the name of a site, or `null`.
#[derive(Debug)]
pub struct MemoryName {
    actions: [Action; 1],
    sites: BTreeSet<SiteId>,
}

impl MemoryName {
    /// A record in `world`.
    pub fn record(
        world: World,
        resource: impl Into<String>,
        sites: BTreeSet<SiteId>,
    ) -> MemoryDriver<MemoryName> {
        MemoryDriver::new(world, resource, MemoryName { actions: [Action::Point], sites })
    }

    /// A client host or cache in `world`.
    pub fn client(
        world: World,
        resource: impl Into<String>,
        sites: BTreeSet<SiteId>,
    ) -> MemoryDriver<MemoryName> {
        MemoryDriver::new(world, resource, MemoryName { actions: [Action::Follow], sites })
    }

    fn to(&self, args: &Value) -> Result<SiteId, String> {
        let to = args.get("to").and_then(Value::as_str).ok_or("the argument `to` is missing")?;
        let to = SiteId::new(to).map_err(|cause| cause.to_string())?;
        if self.sites.contains(&to) { Ok(to) } else { Err(format!("no address at site `{to}`")) }
    }
}

impl Model for MemoryName {
    fn actions(&self) -> &[Action] {
        &self.actions
    }

    fn check(&self, _action: Action, args: &Value) -> Result<(), schemas::Problem> {
        self.to(args).map(drop).map_err(|why| schemas::Problem::new(Code::BadConfiguration, why))
    }

    fn look(&self, _action: Action, args: &Value, state: &Value) -> Look {
        match self.to(args) {
            Ok(to) if state.as_str() == Some(to.as_str()) => Look::InEffect(json!({ "to": to, "owed": [] })),
            Ok(_) => Look::NotInEffect(json!({ "pointsAt": state })),
            Err(why) => Look::CannotTell(why),
        }
    }

    fn after(&self, action: Action, args: &Value, state: &Value) -> Result<Value, DriverError> {
        let to = self.to(args).map_err(|why| DriverError::not_done(Code::BadConfiguration, why))?;
        // A record that is no site's was changed by somebody else; a client may hold anything.
        let known = state.as_str().is_some_and(|at| self.sites.iter().any(|site| site.as_str() == at));
        if action == Action::Point && !known {
            return Err(DriverError::not_done(Code::Precondition, format!("found {state}")));
        }
        Ok(json!(to))
    }

    fn seen(&self, state: &Value, _epoch: Option<Epoch>) -> Seen {
        let at = state.as_str().map(str::to_owned);
        let answers = BTreeMap::from([("memory".to_owned(), at.clone().into_iter().collect())]);
        Seen::Name(NameSeen {
            points_at: at.and_then(|at| self.sites.iter().find(|site| site.as_str() == at).cloned()),
            answers,
            silent: Vec::new(),
            detail: Value::Null,
        })
    }
}
