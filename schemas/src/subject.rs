//! Builds and reads subjects; the only file that spells one.

use thiserror::Error;

use crate::{Action, GroupId, KindId, PersonId, ResourceId, RunId, Service, SiteId};

/// A resource of a service at a site: the address of every request to it.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct Address {
    /// Where its service runs.
    pub site: SiteId,
    /// Who answers for it.
    pub service: Service,
    /// Its name there.
    pub resource: ResourceId,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.site, self.service, self.resource)
    }
}

/// What is asked of a resource: the last token of a request's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One act.
    Act(Action),
    /// What is true now.
    Observe,
    /// A run takes the resource for its epoch.
    Claim,
    /// What became of a key.
    Outcome,
    /// A person takes a new ledger into service.
    Adopt,
    /// What would stand in the way of its acts; changes nothing.
    Check,
    /// How would a person do it?
    ByHand,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Verb::Act(action) => action.as_str(),
            Verb::Observe => "observe",
            Verb::Claim => "claim",
            Verb::Outcome => "outcome",
            Verb::Adopt => "adopt",
            Verb::Check => "check",
            Verb::ByHand => "by-hand",
        }
    }
}

/// The text is not a subject of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{subject}` is not a subject of ours: {why}")]
pub struct BadSubject {
    /// The text.
    pub subject: String,
    /// Which part is wrong.
    pub why: String,
}

/// The first tokens of every subject; configurable, so that two installations can share a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Takes one or more tokens, such as `pointsman` or `test.a1`.
    ///
    /// # Errors
    ///
    /// Says which token is not `[a-z0-9][a-z0-9-]{0,62}`.
    pub fn new(text: &str) -> Result<Prefix, BadSubject> {
        for token in text.split('.') {
            if let Err(error) = ResourceId::new(token) {
                return Err(BadSubject { subject: text.into(), why: error.to_string() });
            }
        }
        Ok(Prefix(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where `verb` is asked of the resource at `address`.
    pub fn request(&self, address: &Address, verb: Verb) -> String {
        format!("{}.{}.{}.{}.{}", self.0, address.site, address.service, address.resource, verb.as_str())
    }

    /// All requests to one resource (a subscription).
    pub fn requests(&self, address: &Address) -> String {
        format!("{}.{}.{}.{}.*", self.0, address.site, address.service, address.resource)
    }

    /// Reads the subject of a request.
    ///
    /// # Errors
    ///
    /// Says which token is unknown.
    pub fn parse_request(&self, subject: &str) -> Result<(Address, Verb), BadSubject> {
        let bad = |why: String| BadSubject { subject: subject.into(), why };
        let rest = subject
            .strip_prefix(self.0.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .ok_or_else(|| bad(format!("it does not start with `{}.`", self.0)))?;
        let tokens: Vec<&str> = rest.split('.').collect();
        let [site, service, resource, verb] = tokens.as_slice() else {
            return Err(bad("a request has the tokens site, service, resource, action".into()));
        };
        let address = Address {
            site: site.parse().map_err(|e: crate::BadId| bad(e.to_string()))?,
            service: service.parse().map_err(|e: crate::BadService| bad(e.to_string()))?,
            resource: resource.parse().map_err(|e: crate::BadId| bad(e.to_string()))?,
        };
        let verb = match *verb {
            "observe" => Verb::Observe,
            "claim" => Verb::Claim,
            "outcome" => Verb::Outcome,
            "adopt" => Verb::Adopt,
            "check" => Verb::Check,
            "by-hand" => Verb::ByHand,
            other => Action::of(address.service, other)
                .map(Verb::Act)
                .ok_or_else(|| bad(format!("{} has no action `{other}`", address.service)))?,
        };
        Ok((address, verb))
    }

    /// Where a person asks the runner.
    pub fn op(&self, person: &PersonId, verb: &str) -> String {
        format!("{}.runner.op.{person}.{verb}", self.0)
    }

    /// All persons' requests (the runner's subscription).
    pub fn ops(&self) -> String {
        format!("{}.runner.op.*.*", self.0)
    }

    /// Reads who asks and for what.
    ///
    /// # Errors
    ///
    /// The subject is not a person's request.
    pub fn parse_op(&self, subject: &str) -> Result<(PersonId, String), BadSubject> {
        let bad = |why: &str| BadSubject { subject: subject.into(), why: why.into() };
        let rest = subject
            .strip_prefix(&format!("{}.runner.op.", self.0))
            .ok_or_else(|| bad("no person's request"))?;
        let (person, verb) = rest.split_once('.').ok_or_else(|| bad("it has no verb"))?;
        ResourceId::new(verb).map_err(|_| bad("the verb's token is malformed"))?;
        Ok((person.parse().map_err(|_| bad("the person's token is malformed"))?, verb.to_owned()))
    }

    /// Where a service asks whether it may open now.
    pub fn confirm(&self) -> String {
        format!("{}.runner.svc.confirm", self.0)
    }

    /// Where services say that they live.
    pub fn beat(&self) -> String {
        format!("{}.runner.svc.beat", self.0)
    }

    /// Where monitoring says what it sees.
    pub fn event_in(&self, place: &SiteId, kind: &KindId) -> String {
        format!("{}.event.in.{place}.{kind}", self.0)
    }

    /// All that monitoring says (the runner's subscription).
    pub fn events_in(&self) -> String {
        format!("{}.event.in.*.*", self.0)
    }

    /// The place that an incoming event's subject names.
    pub fn parse_event_in(&self, subject: &str) -> Option<SiteId> {
        let rest = subject.strip_prefix(&format!("{}.event.in.", self.0))?;
        let (place, kind) = rest.split_once('.')?;
        KindId::new(kind).ok()?;
        place.parse().ok()
    }

    /// Where the world hears of a run, or of the group itself (`run` is `None`).
    pub fn event_out(&self, group: &GroupId, run: Option<&RunId>, kind: &KindId) -> String {
        match run {
            Some(run) => format!("{}.event.out.{group}.{run}.{kind}", self.0),
            None => format!("{}.event.out.{group}.-.{kind}", self.0),
        }
    }

    /// All that the world hears; also what a JetStream stream may cover.
    pub fn events_out(&self) -> String {
        format!("{}.event.out.>", self.0)
    }
}
