//! What a run would do, from here on: the engine is driven with outputs that are foreseen instead of asked
//! for. Nothing is sent, nothing recorded. Each guess is said beside its step.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use engine::{Call, Error, Input, Machine, Outcome, Standard, Want};
use expressions::Evaluator;
use schemas::args::{AccessOutput, CompareOutput, MarkOutput, PointOutput, ReceiverOutput, SlotOutput};
use schemas::view::ResourceView;
use schemas::{Access, Action, Address, Half, Position, ReplicationState, Running, Seen, Service, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error as ThisError;

/// A definition that goes on for longer is not followed further.
const STEPS_MAX: usize = 2_000;
const TURNS_MAX: usize = 100_000;

/// What is known of the world.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Each resource as it was last seen; a resource that is not here was not looked at.
    pub resources: BTreeMap<Address, ResourceView>,
    /// Sites that the decision calls lost.
    pub lost: Vec<SiteId>,
    /// What records get at each site, where that is known although nobody looked.
    pub addresses: BTreeMap<Address, BTreeMap<SiteId, Vec<IpAddr>>>,
}

impl World {
    /// What a record gets at a site, as its own service says it; nothing where nobody knows.
    pub(crate) fn addresses(&self, record: &Address, to: &SiteId) -> Vec<IpAddr> {
        let seen = self.resources.get(record).and_then(|view| view.observation.as_ref());
        let told = match seen.map(|seen| &seen.seen) {
            Some(Seen::Name(name)) => name.detail.get("addresses").and_then(|all| all.get(to.as_str())),
            _ => None,
        };
        let told = told.and_then(|list| serde_json::from_value(list.clone()).ok());
        let known = || self.addresses.get(record).and_then(|all| all.get(to)).cloned();
        told.or_else(known).unwrap_or_default()
    }
}

/// What is expected of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It does what it says.
    Done,
    /// It is so already: a look, and nothing else.
    AlreadySo,
    /// Its site is lost and does not answer: it is owed.
    Owed,
    /// It waits for somebody or something that is not there now.
    Waits,
}

/// A step that is foreseen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Foreseen {
    /// Where it stands.
    pub position: Position,
    /// What is asked.
    pub call: Call,
    /// Of whom; none where the runner answers itself.
    pub address: Option<Address>,
    /// What is expected.
    pub expected: Expected,
    /// Why.
    pub why: String,
}

/// How it would end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Ending {
    /// As the definition says.
    Completed,
    /// By undoing what it did.
    BackedOut,
    /// By an error.
    Faulted {
        /// Which.
        why: String,
    },
    /// It waits for a person about this.
    Held {
        /// Where.
        at: Position,
        /// Why.
        why: String,
    },
    /// It waits for an event; what follows depends on that.
    Listens {
        /// Where.
        at: Position,
    },
    /// It could not be followed to its end.
    TooLong,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// In the order in which they would begin; those that run together one after the other.
    pub steps: Vec<Foreseen>,
    /// The end.
    pub ending: Ending,
}

/// The forecast cannot be made.
#[derive(Debug, ThisError)]
pub enum ForecastError {
    /// The engine does not take what it asked for: a defect.
    #[error("the definition cannot be followed: {0}")]
    Engine(String),
}

/// Follows a run from where `machine` stands.
///
/// # Errors
///
/// See [`ForecastError`].
pub fn forecast(
    mut machine: Machine,
    now: DateTime<Utc>,
    world: &World,
    evaluator: &mut dyn Evaluator,
) -> Result<Forecast, ForecastError> {
    let broken = |error: &dyn std::fmt::Display| ForecastError::Engine(error.to_string());
    let mut steps = Vec::new();
    let mut now = now;
    for _ in 0..TURNS_MAX {
        if let Some(outcome) = machine.outcome() {
            let ending = match outcome {
                Outcome::Completed { .. } => Ending::Completed,
                Outcome::BackedOut | Outcome::Cancelled => Ending::BackedOut,
                Outcome::Faulted { error } => Ending::Faulted { why: error.to_string() },
            };
            return Ok(Forecast { steps, ending });
        }
        let wants = machine.outstanding();
        let input = match next(&wants) {
            Next::Evaluate(at, job) => Input::Evaluated { at, result: job.run(evaluator) },
            Next::Call(at, call) => {
                if steps.len() >= STEPS_MAX {
                    return Ok(Forecast { steps, ending: Ending::TooLong });
                }
                let (foreseen, result) = foresee(at.clone(), call, world);
                steps.push(foreseen);
                Input::CallEnded { at, result }
            }
            Next::CancelCall(at) => {
                let error = Error::standard(Standard::Runtime, "no longer wanted");
                Input::CallEnded { at, result: Err(error) }
            }
            Next::Wake(at, when) => {
                now = now.max(when);
                Input::Woke { at }
            }
            Next::Decide(at, why) => return Ok(Forecast { steps, ending: Ending::Held { at, why } }),
            Next::Listen(at) => return Ok(Forecast { steps, ending: Ending::Listens { at } }),
            Next::Nothing => return Err(ForecastError::Engine("it wants nothing and has not ended".into())),
        };
        let entries = machine.decide(input, now).map_err(|e| broken(&e))?;
        for entry in entries {
            machine.apply(&entry).map_err(|e| broken(&e))?;
        }
    }
    Ok(Forecast { steps, ending: Ending::TooLong })
}

enum Next {
    Evaluate(Position, engine::Job),
    Call(Position, Call),
    CancelCall(Position),
    Wake(Position, DateTime<Utc>),
    Decide(Position, String),
    Listen(Position),
    Nothing,
}

/// Evaluations first, then calls in the order of positions; times pass only when nothing else is to be done.
fn next(wants: &[Want]) -> Next {
    let pick = |want: &Want| match want {
        Want::Evaluate { at, job } => (0, Next::Evaluate(at.clone(), job.clone())),
        Want::CancelCall { at } => (1, Next::CancelCall(at.clone())),
        Want::Call { at, call } => (2, Next::Call(at.clone(), call.clone())),
        Want::Decide { at, error } => (3, Next::Decide(at.clone(), error.to_string())),
        Want::Listen { at, .. } => (4, Next::Listen(at.clone())),
        Want::Wake { at, when } => (5, Next::Wake(at.clone(), *when)),
    };
    wants.iter().map(pick).min_by_key(|(rank, _)| *rank).map_or(Next::Nothing, |(_, next)| next)
}

fn text<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.args.get(name).and_then(Value::as_str)
}

/// The resource that a call names.
pub fn address(call: &Call) -> Option<Address> {
    Some(Address {
        site: text(call, "site")?.parse().ok()?,
        service: call.service.parse().ok()?,
        resource: text(call, "resource")?.parse().ok()?,
    })
}

fn foresee(position: Position, call: Call, world: &World) -> (Foreseen, Result<Value, Error>) {
    let address = address(&call);
    let action = address.as_ref().and_then(|a| Action::of(a.service, &call.action));
    let ((expected, why), output) = match (&address, action) {
        (Some(address), Some(action)) => {
            (expect(address, action, &call, world), output(address, action, &call, world))
        }
        _ if call.action == "await-followed" => {
            ((Expected::Done, "counted from what is owed then".to_owned()), Value::Null)
        }
        _ if call.action == "expect-writes" => {
            ((Expected::Done, "looked for only if it backs out".to_owned()), Value::Null)
        }
        // What else a site may count as closed by comes where it does not answer, and leads to the same steps.
        _ => (await_closed(&call, world), json!({ "by": "proof" })),
    };
    let result = match expected {
        Expected::Owed => Err(Error::standard(Standard::Communication, why.clone())),
        _ => Ok(output),
    };
    (Foreseen { position, call, address, expected, why }, result)
}

fn expect(address: &Address, action: Action, call: &Call, world: &World) -> (Expected, String) {
    let lost = world.lost.contains(&address.site);
    let Some(view) = world.resources.get(address) else {
        return match lost {
            true => (Expected::Owed, "its site is called lost".into()),
            false => (Expected::Done, "not looked at".into()),
        };
    };
    if view.silent {
        return match lost {
            true => (Expected::Owed, "its service does not answer, and its site is called lost".into()),
            false => (Expected::Waits, "its service does not answer now".into()),
        };
    }
    match view.observation.as_ref().map(|seen| &seen.seen) {
        Some(seen) if so_already(action, call, seen) => (Expected::AlreadySo, "seen so".into()),
        Some(Seen::Nothing(problem)) => (Expected::Waits, format!("its driver cannot look: {problem}")),
        _ => (Expected::Done, String::new()),
    }
}

fn so_already(action: Action, call: &Call, seen: &Seen) -> bool {
    match (action, seen) {
        (Action::DisableAccess, Seen::Database(d)) => d.access == Access::Closed,
        (Action::EnableAccess, Seen::Database(d)) => d.access == Access::Open,
        (Action::StartProcess | Action::RefreshProcess, Seen::Process(p)) => p.running == Running::Healthy,
        (Action::StopProcess, Seen::Process(p)) => p.running == Running::Stopped,
        (Action::PointProcess, Seen::Process(p)) => {
            p.points_at.as_ref().map(SiteId::as_str) == text(call, "to")
        }
        (Action::Point | Action::Follow, Seen::Name(n)) => {
            n.points_at.as_ref().map(SiteId::as_str) == text(call, "to")
        }
        (Action::StartReplication, Seen::Replication(r)) => {
            r.half == Half::Receiver
                && matches!(r.state, ReplicationState::Running | ReplicationState::Draining)
        }
        (Action::StopReplication | Action::Discard, Seen::Replication(r)) => {
            r.state == ReplicationState::Stopped
        }
        (Action::Capture, Seen::Replication(r)) => r.state != ReplicationState::Stopped,
        _ => false,
    }
}

/// The runner's own: a site's close is proved by the steps before it, or somebody has to take the risk.
fn await_closed(call: &Call, world: &World) -> (Expected, String) {
    let Some(site) = text(call, "site") else { return (Expected::Done, String::new()) };
    let databases = || {
        world
            .resources
            .values()
            .filter(|view| view.address.site.as_str() == site && view.address.service == Service::Database)
    };
    let lost = world.lost.iter().any(|lost| lost.as_str() == site);
    let silent = databases().any(|view| view.silent) || (lost && databases().next().is_none());
    match silent {
        true => {
            let why = format!(
                "{site} cannot be asked: until a fence path proves it closed, or somebody accepts it as unfenced"
            );
            (Expected::Waits, why)
        }
        false => (Expected::Done, "its database service answers".into()),
    }
}

/// What the action would return, as far as a later step asks for it. A mark that nobody made has the number 0.
fn output(address: &Address, action: Action, call: &Call, world: &World) -> Value {
    match action {
        Action::DisableAccess | Action::EnableAccess => json!(AccessOutput::default()),
        Action::VerifyWrite => json!({ "by": "row" }),
        Action::Mark => {
            json!(MarkOutput { sentinel: 0, lsn: "0/0".into(), sequences: BTreeMap::new() })
        }
        Action::Capture | Action::Discard => json!(SlotOutput { slot: "-".into(), lsn: None }),
        Action::Compare => json!(CompareOutput { equal: Some(true), tables: BTreeMap::new() }),
        Action::StartProcess | Action::RefreshProcess => json!({ "running": "healthy" }),
        Action::StopProcess => json!({ "running": "stopped" }),
        Action::PointProcess => json!({ "to": text(call, "to") }),
        Action::Point => match text(call, "to").and_then(|to| to.parse().ok()) {
            Some(to) => json!(PointOutput {
                name: text(call, "name").map(str::to_owned),
                addresses: world.addresses(address, &to).iter().map(ToString::to_string).collect(),
                to,
                answers: BTreeMap::new(),
                owed: Vec::new(),
            }),
            None => Value::Null,
        },
        Action::Follow | Action::Push | Action::Unpush => json!({ "resolves": {} }),
        _ => json!(ReceiverOutput::default()),
    }
}
