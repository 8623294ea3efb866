//! A service on a real NATS server, and somebody who asks it.

#![allow(dead_code, clippy::unwrap_used, clippy::allow_attributes, reason = "each test file uses a part")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message};
use futures_util::StreamExt;
use lab::nats::{Nats, NatsOptions};
use responder::expiry::Credential;
use responder::memory::{MemoryDriver, Model, World};
use responder::{DriverError, Look, Registration, ServeError, ServeOptions};
use schemas::{
    Access, Action, Address, AdoptRequest, Attempt, ClaimReply, ClaimRequest, ConfirmReply, ConfirmRequest,
    DatabaseSeen, Epoch, Frame, GroupId, Key, LedgerId, MessageId, Observation, OutcomeRequest, Prefix,
    Problem, Reply, ResourceId, Role, RunId, Seen, Service, SiteId, Verb,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const OPEN: Action = Action::EnableAccess;
pub(crate) const CLOSE: Action = Action::DisableAccess;
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A database that is open or closed; `null` is open.
pub(crate) struct Switch;

impl Model for Switch {
    fn actions(&self) -> &[Action] {
        &[OPEN, CLOSE]
    }

    fn look(&self, action: Action, _: &Value, state: &Value) -> Look {
        let open = state != &json!("closed");
        match open == (action == OPEN) {
            true => Look::InEffect(json!({ "open": open })),
            false => Look::NotInEffect(json!({ "open": open })),
        }
    }

    fn after(&self, action: Action, _: &Value, _: &Value) -> Result<Value, DriverError> {
        Ok(json!(if action == OPEN { "open" } else { "closed" }))
    }

    fn seen(&self, state: &Value, epoch: Option<Epoch>) -> Seen {
        let access = if state == &json!("closed") { Access::Closed } else { Access::Open };
        Seen::Database(DatabaseSeen { access, role: Role::Live, sessions: 0, epoch, detail: Value::Null })
    }
}

pub(crate) fn group() -> GroupId {
    GroupId::new("shop").unwrap()
}

pub(crate) fn prefix() -> Prefix {
    Prefix::new("test").unwrap()
}

pub(crate) fn address(resource: &str) -> Address {
    Address {
        site: SiteId::new("b").unwrap(),
        service: Service::Database,
        resource: ResourceId::new(resource).unwrap(),
    }
}

pub(crate) fn key(run: u128, position: &str) -> Key {
    Key { run: RunId(Uuid::from_u128(run)), position: format!("/do/{position}").parse().unwrap() }
}

/// Serves `config` and `log` until `stop`.
pub(crate) async fn serve(
    client: Client,
    state: &Path,
    world: World,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let registration = |name: &str| Registration {
        service: Service::Database,
        resource: ResourceId::new(name).unwrap(),
        group: Some(group()),
        driver: Arc::new(MemoryDriver::new(world.clone(), name, Switch)),
    };
    let options = ServeOptions {
        client,
        prefix: prefix(),
        site: SiteId::new("b").unwrap(),
        host: "host".into(),
        state_dir: state.to_owned(),
        ledger: "services".into(),
        version: "0.1.0".into(),
        armed_flag: state.join("armed"),
        credentials: vec![Credential::Nats(state.join("bus.creds"))],
        pager: None,
    };
    responder::serve(options, vec![registration("config"), registration("log")], stop).await
}

/// Everything that a test needs; the server ends with it.
pub(crate) struct Desk {
    pub(crate) nats: Nats,
    pub(crate) client: Client,
    pub(crate) state: tempfile::TempDir,
    pub(crate) world: World,
    pub(crate) ledger: LedgerId,
    stop: CancellationToken,
    serving: Option<tokio::task::JoinHandle<Result<(), ServeError>>>,
}

impl Desk {
    /// A server, a runner that says yes, an armed state folder; no service yet.
    pub(crate) async fn bare() -> Desk {
        let nats = Nats::start(NatsOptions::default()).unwrap();
        let client = async_nats::connect(nats.url()).await.unwrap();
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("armed"), "").unwrap();
        let mut asked = client.subscribe(prefix().confirm()).await.unwrap();
        let runner = client.clone();
        tokio::spawn(async move {
            while let Some(message) = asked.next().await {
                let request: ConfirmRequest = serde_json::from_slice(&message.payload).unwrap();
                let reply = ConfirmReply { yes: true, nonce: request.nonce, problem: None };
                let body = serde_json::to_vec(&reply).unwrap();
                runner.publish(message.reply.unwrap(), body.into()).await.unwrap();
            }
        });
        client.flush().await.unwrap();
        let ledger = LedgerId(Uuid::nil());
        let stop = CancellationToken::new();
        Desk { nats, client, state, world: World::new(), ledger, stop, serving: None }
    }

    /// The same with a service in this process, adopted in epoch 1.
    pub(crate) async fn new() -> Desk {
        let mut desk = Desk::bare().await;
        desk.start().await;
        desk.adopt().await;
        desk
    }

    pub(crate) async fn start(&mut self) {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        let (state, world, stop) = (self.state.path().to_owned(), self.world.clone(), self.stop.clone());
        self.serving = Some(tokio::spawn(async move { serve(client, &state, world, stop).await }));
        self.up().await;
    }

    /// Waits until it answers.
    pub(crate) async fn up(&mut self) {
        let up = async {
            loop {
                match self.try_ask("config", Verb::Observe, HeaderMap::new(), b"null".to_vec()).await {
                    Ok(message) => break serde_json::from_slice::<Observation>(&message.payload).unwrap(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        self.ledger = tokio::time::timeout(SOON, up).await.expect("the service comes up").ledger;
    }

    /// Stops it and waits.
    pub(crate) async fn stop(&mut self) -> Result<(), ServeError> {
        self.stop.cancel();
        self.stop = CancellationToken::new();
        tokio::time::timeout(SOON, self.serving.take().unwrap()).await.expect("it stops").unwrap()
    }

    pub(crate) async fn try_ask(
        &self,
        resource: &str,
        verb: Verb,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Message, async_nats::RequestError> {
        self.client
            .request_with_headers(prefix().request(&address(resource), verb), headers, body.into())
            .await
    }

    pub(crate) async fn ask(&self, resource: &str, verb: Verb, body: &impl Serialize) -> Message {
        self.try_ask(resource, verb, HeaderMap::new(), serde_json::to_vec(body).unwrap()).await.unwrap()
    }

    pub(crate) async fn adopt(&self) {
        for resource in ["config", "log"] {
            let run = RunId(Uuid::from_u128(0xad));
            let ask = AdoptRequest { group: group(), run, epoch: Epoch(1), ledger: self.ledger };
            let message = self.ask(resource, Verb::Adopt, &ask).await;
            let reply: ClaimReply = serde_json::from_slice(&message.payload).unwrap();
            assert!(reply.granted, "{reply:?}");
        }
    }

    pub(crate) async fn claim(&self, resource: &str, epoch: u64, run: u128) -> ClaimReply {
        let run = RunId(Uuid::from_u128(run));
        let ask = ClaimRequest { group: group(), run, epoch: Epoch(epoch), sequence: 7 };
        serde_json::from_slice(&self.ask(resource, Verb::Claim, &ask).await.payload).unwrap()
    }

    pub(crate) fn headers(epoch: u64, key: &Key, attempt: u32, action: Action) -> HeaderMap {
        let frame = Frame {
            id: MessageId(Uuid::new_v4()),
            source: "/runner/test".into(),
            group: group(),
            key: key.clone(),
            attempt: Attempt(attempt),
            epoch: Epoch(epoch),
            act_within: Duration::from_secs(5),
            expires: chrono::Utc::now() + Duration::from_secs(60),
            traceparent: None,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in frame.to_headers(action) {
            headers.insert(name.as_str(), value.as_str());
        }
        headers
    }

    pub(crate) fn args(resource: &str) -> Value {
        json!({ "resource": resource, "site": "b" })
    }

    pub(crate) async fn act(
        &self,
        resource: &str,
        epoch: u64,
        key: &Key,
        attempt: u32,
        action: Action,
    ) -> Reply {
        let headers = Desk::headers(epoch, key, attempt, action);
        let body = Desk::args(resource).to_string().into_bytes();
        let message = self.try_ask(resource, Verb::Act(action), headers, body).await.unwrap();
        serde_json::from_slice(&message.payload).unwrap()
    }

    pub(crate) async fn outcome(&self, resource: &str, epoch: u64, key: &Key, attempt: u32) -> Reply {
        let ask = OutcomeRequest {
            group: group(),
            key: key.clone(),
            attempt: Attempt(attempt),
            epoch: Epoch(epoch),
            wait: Duration::from_secs(5),
        };
        serde_json::from_slice(&self.ask(resource, Verb::Outcome, &ask).await.payload).unwrap()
    }
}

/// The problem in a message, which says it in its headers too.
#[track_caller]
pub(crate) fn problem(message: &Message) -> Problem {
    let headers = message.headers.as_ref().expect("an error has headers");
    let body: Value = serde_json::from_slice(&message.payload).expect("an error has a body");
    let problem = if body.get("answer").is_some() { body["problem"].clone() } else { body };
    let problem: Problem = serde_json::from_value(problem).expect("the body is a problem");
    assert_eq!(headers.get("Nats-Service-Error").unwrap().as_str(), problem.code.as_str());
    assert_eq!(headers.get("Nats-Service-Error-Code").unwrap().as_str(), problem.status.to_string());
    problem
}
