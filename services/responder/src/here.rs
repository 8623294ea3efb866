//! One act without the bus: the same core, ledger and driver as the service, which must not run meanwhile.
//!
//! For a night on which neither bus nor runner can be reached. The act goes by the epoch and the run that the
//! ledger holds, under a key of its own, so everything that protects a request protects it: the host's brake,
//! adoption, what an earlier life started, the look before and after. What a runner's yes is to an opening, is
//! here the word of the person who orders it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::{
    Action, Address, Attempt, ClaimReply, ClaimRequest, Code, Epoch, Frame, GroupId, Key, MessageId,
    Position, Problem, Reply, RunId, SiteId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_core::{Answered, Ask, Core, Effect, Input, Registered, Setup, Step, Ticket};
use thiserror::Error;
use uuid::Uuid;

use crate::hands::carry_out;
use crate::ledger::{LedgerError, LedgerFile};
use crate::serve::hold;
use crate::{Driver, Registration, ServeError, clock};

/// Where acts by hand are noted, in the state folder, one JSON line each.
const NOTES: &str = "by-hand.jsonl";

/// What is to be done, by whom.
#[derive(Debug, Clone)]
pub struct Order {
    /// The host's site.
    pub site: SiteId,
    /// The group; also for a client host or cache, where it says on whose behalf.
    pub group: GroupId,
    /// Ledgers, locks and flags.
    pub state_dir: PathBuf,
    /// The brake: while this file is absent, nothing is changed.
    pub armed_flag: PathBuf,
    /// What to reach.
    pub action: Action,
    /// The request's body.
    pub args: Value,
    /// The bound.
    pub within: Duration,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// Sites that this person says accept no writes, or whose risk he takes. Without one nothing is opened.
    pub accepted: Vec<SiteId>,
}

/// What is noted of an act by hand, before it begins and when it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// When.
    pub at: DateTime<Utc>,
    /// `ordered`, or how it ended.
    pub what: String,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// The resource.
    pub address: Address,
    /// The act.
    pub action: Action,
    /// Its key in the ledger.
    pub key: Key,
    /// The epoch by which it went.
    pub epoch: Epoch,
    /// Sites whose risk was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<SiteId>,
}

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum HereError {
    /// The service runs: it answers for the resource.
    #[error(
        "{0} is served by a running service: stop `pointsman serve` on this host, or let the runner ask it"
    )]
    Served(Address),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(LedgerError),
    /// It was refused; nothing was started.
    #[error("refused")]
    Refused(#[source] Problem),
    /// The note could not be written, so nothing was started.
    #[error("{}: {source}", path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The ledger could not be written; what had begun is in doubt.
    #[error("the ledger: {0}")]
    Broken(String),
}

/// Acts once, and returns when it has ended. May be repeated: what is in effect is left alone.
///
/// # Errors
///
/// See [`HereError`].
pub async fn act_here(order: Order, registration: Registration) -> Result<Reply, HereError> {
    let Registration { service, resource, group, driver } = registration;
    let address = Address { site: order.site.clone(), service, resource };
    let refused = |problem: Problem| HereError::Refused(problem);
    if !driver.actions().contains(&order.action) {
        let why = format!("{address} does not do `{}`", order.action.as_str());
        return Err(refused(Problem::new(Code::UnknownSubject, why)));
    }
    schemas::args::check(&address, order.action, &order.args).map_err(refused)?;
    if order.action.effect() == schemas::Effect::Opens && order.accepted.is_empty() {
        let why = "nobody says that no other site accepts writes";
        return Err(refused(Problem::new(Code::NotConfirmed, why)));
    }
    let name = ledger_name(&order.state_dir, service.as_str()).map_err(HereError::Ledger)?;
    let (ledger, records) = LedgerFile::open(&order.state_dir, &name).map_err(|error| match error {
        LedgerError::Locked(_) => HereError::Served(address.clone()),
        error => HereError::Ledger(error),
    })?;
    let _one_instance = hold(&order.state_dir, &address).map_err(|error| match error {
        ServeError::Ledger(LedgerError::Locked(_)) => HereError::Served(address.clone()),
        ServeError::Ledger(error) => HereError::Ledger(error),
        error => HereError::Broken(error.to_string()),
    })?;
    let claimed = group.is_some();
    let setup = Setup {
        ledger: ledger.id(),
        armed: order.armed_flag.exists(),
        resources: vec![Registered { address: address.clone(), group }],
        rules: service_core::Rules::default(),
    };
    let core = Core::new(setup, records);
    let holder = core.holder(&address);
    let claims = claimed && holder.is_some();
    let (epoch, run) = holder.unwrap_or((Epoch(0), RunId(Uuid::now_v7())));
    let position = Position::new(format!("/by-hand/{}#1", Uuid::now_v7().simple()))
        .map_err(|error| HereError::Broken(error.to_string()))?;
    let key = Key { run, position };
    let note = |what: &str| Note {
        at: Utc::now(),
        what: what.to_owned(),
        who: order.who.clone(),
        why: order.why.clone(),
        address: address.clone(),
        action: order.action,
        key: key.clone(),
        epoch,
        accepted: order.accepted.clone(),
    };
    put(&order.state_dir, &note("ordered"))?;
    let mut hand = Hand { core, ledger, address: address.clone(), driver };
    if claims {
        // As a run does: a database takes the epoch that its changes are compared with.
        hand.claim(&order.group, epoch, run).await?;
    }
    let frame = Frame {
        id: MessageId(Uuid::now_v7()),
        source: "/by-hand".into(),
        group: order.group.clone(),
        key: key.clone(),
        attempt: Attempt::FIRST,
        epoch,
        act_within: order.within,
        expires: Utc::now() + order.within * 2,
        traceparent: None,
    };
    let ask = Ask::Act { frame, action: order.action, args: order.args.clone() };
    let answered = hand.ask(ask).await;
    let (word, answer) = match answered {
        Ok(Answered::Reply(reply)) => (word(&reply), Ok(reply)),
        Ok(Answered::Problem(problem)) => (problem.to_string(), Err(HereError::Refused(problem))),
        Ok(other) => (format!("{other:?}"), Err(HereError::Broken("it was answered otherwise".into()))),
        Err(error) => (error.to_string(), Err(error)),
    };
    put(&order.state_dir, &note(&word))?;
    answer
}

/// What was done by hand on this host, oldest first; lines that cannot be read are passed over.
pub fn notes(state_dir: &Path) -> Vec<Note> {
    let text = std::fs::read_to_string(state_dir.join(NOTES)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn word(reply: &Reply) -> String {
    let answer = serde_json::to_value(reply.answer).ok();
    let word = answer.as_ref().and_then(Value::as_str).unwrap_or("unknown").to_owned();
    match &reply.problem {
        Some(problem) => format!("{word}: {problem}"),
        None => word,
    }
}

/// Services may run alone, each with a ledger of its own that is called after them.
fn ledger_name(dir: &Path, service: &str) -> Result<String, LedgerError> {
    let failed = |source| LedgerError::Io { path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok("services".into()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let ledger = path.extension().is_some_and(|end| end == "ledger");
        if ledger && stem.split('-').any(|part| part == service) {
            return Ok(stem.to_owned());
        }
    }
    Ok("services".into())
}

/// Appends a note; it is on disk when this returns.
fn put(dir: &Path, note: &Note) -> Result<(), HereError> {
    let path = dir.join(NOTES);
    let failed = |source| HereError::Note { path: path.clone(), source };
    let mut line = serde_json::to_vec(note).map_err(|e| failed(e.into()))?;
    line.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    file.write_all(&line).and_then(|()| file.sync_all()).map_err(failed)
}

/// The core and its one driver, in one task.
struct Hand {
    core: Core,
    ledger: LedgerFile,
    address: Address,
    driver: Arc<dyn Driver>,
}

impl Hand {
    /// By the run that holds the resource already.
    async fn claim(&mut self, group: &GroupId, epoch: Epoch, run: RunId) -> Result<(), HereError> {
        let claim = ClaimRequest { group: group.clone(), run, epoch, sequence: 0 };
        match self.ask(Ask::Claim(claim)).await? {
            Answered::Claim(reply) if reply.granted => Ok(()),
            Answered::Claim(ClaimReply { problem: Some(problem), .. }) | Answered::Problem(problem) => {
                Err(HereError::Refused(problem))
            }
            _ => Err(HereError::Broken("the claim was answered otherwise".into())),
        }
    }

    /// Until the question is answered.
    async fn ask(&mut self, ask: Ask) -> Result<Answered, HereError> {
        let (ticket, nonce) = (Ticket(1), MessageId(Uuid::new_v4()));
        let address = self.address.clone();
        let mut inputs = std::collections::VecDeque::from([Input::Asked { ticket, address, ask, nonce }]);
        let mut confirmed: BTreeMap<MessageId, ()> = BTreeMap::new();
        while let Some(input) = inputs.pop_front() {
            let step = self.core.step(clock::now(), input);
            for effect in self.written(step)? {
                match effect {
                    Effect::Answer { answered, .. } => {
                        self.ledger.sync().map_err(|error| HereError::Broken(error.to_string()))?;
                        return Ok(answered);
                    }
                    // The person who ordered it has said so.
                    Effect::Confirm { request, .. } => {
                        if confirmed.insert(request.nonce, ()).is_none() {
                            inputs.push_back(Input::Confirmed { nonce: request.nonce, yes: Ok(()) });
                        }
                    }
                    effect => inputs.extend(carry_out(&*self.driver, effect).await),
                }
            }
        }
        Err(HereError::Broken("the core came to rest without an answer".into()))
    }

    /// Law 1: the records first, then what follows.
    fn written(&mut self, step: Step) -> Result<Vec<Effect>, HereError> {
        let broken = |error: crate::ledger::WriteError| HereError::Broken(error.to_string());
        let records: Vec<&service_core::Record> = step.records.iter().collect();
        self.ledger.append(&records, step.sync).map_err(broken)?;
        Ok(step.effects)
    }
}
