//! Who waits for an answer, what is sent, and how many problems were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request};
use schemas::{ByHandReply, CheckReply, Code, Problem};
use serde::Serialize;
use serde_json::{Value, json};
use service_core::{Answered, Ticket};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::once;

/// How long one answer may take to get into the client; later it is dropped, and the asker asks again.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// A request, and the endpoint that it came by.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) endpoint: Arc<str>,
    pub(crate) request: Request,
}

/// How often each problem was told, by endpoint.
type Told = BTreeMap<(Arc<str>, Code), u64>;

/// All who wait. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    waiting: Arc<Mutex<BTreeMap<Ticket, Asker>>>,
    told: Arc<Mutex<Told>>,
    sending: TaskTracker,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// To be answered by `ticket`.
    pub(crate) fn wait(&self, ticket: Ticket, asker: Asker) {
        lock(&self.waiting).insert(ticket, asker);
    }

    /// Answers the ticket. Where the bus is slow it goes on in a task of its own, and holds up nothing.
    pub(crate) fn give(&self, runtime: &Handle, ticket: Ticket, answered: Answered) {
        if let Some(asker) = lock(&self.waiting).remove(&ticket) {
            self.send(runtime, asker, answered);
        }
    }

    /// Answers somebody who has no ticket.
    pub(crate) fn send(&self, runtime: &Handle, asker: Asker, answered: Answered) {
        if let Some(problem) = problem_of(&answered) {
            *lock(&self.told).entry((asker.endpoint.clone(), problem.code)).or_default() += 1;
        }
        let mut sending = Box::pin(async move {
            sent(&asker.request, send(&asker.request, &answered)).await;
        });
        if once::now(&mut sending).is_none() {
            self.sending.spawn_on(sending, runtime);
        }
    }

    /// Answers a question that no line of the ledger bears on.
    pub(crate) fn say(&self, runtime: &Handle, asker: Asker, reply: ByHandReply) {
        self.sending.spawn_on(
            async move {
                sent(&asker.request, respond(&asker.request, &reply, HeaderMap::new(), JSON)).await;
            },
            runtime,
        );
    }

    /// Answers a preflight, once the driver has looked.
    pub(crate) fn check(
        &self,
        runtime: &Handle,
        asker: Asker,
        looked: impl Future<Output = CheckReply> + Send + 'static,
    ) {
        self.sending.spawn_on(
            async move {
                let reply = looked.await;
                sent(&asker.request, respond(&asker.request, &reply, HeaderMap::new(), JSON)).await;
            },
            runtime,
        );
    }

    /// What STATS says of an endpoint: how often each problem was told.
    pub(crate) fn problems(&self, endpoint: &str) -> Value {
        let told = lock(&self.told);
        let own = told.iter().filter(|((at, _), _)| &**at == endpoint);
        let counts: BTreeMap<&str, u64> = own.map(|((_, code), count)| (code.as_str(), *count)).collect();
        json!({ "problems": counts })
    }

    /// Waits until what was given is sent.
    pub(crate) async fn sent(&self, within: Duration) {
        self.sending.close();
        let _ = tokio::time::timeout(within, self.sending.wait()).await;
    }
}

/// What an answer's body is.
const JSON: &str = "application/json";

async fn sent(request: &Request, sending: impl Future<Output = Result<(), String>>) {
    let subject = &request.message.subject;
    match tokio::time::timeout(SEND_WITHIN, sending).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error, %subject, "an answer could not be sent"),
        Err(_) => tracing::warn!(%subject, "an answer could not be sent: the bus is away"),
    }
}

fn problem_of(answered: &Answered) -> Option<&Problem> {
    match answered {
        Answered::Reply(reply) => reply.problem.as_ref(),
        Answered::Claim(reply) => reply.problem.as_ref(),
        Answered::Observation(_) => None,
        Answered::Problem(problem) => Some(problem),
    }
}

/// A problem carries the headers that ADR-32 asks for *beside* its body; the client's own way of answering
/// with an error sends an empty one.
async fn send(request: &Request, answered: &Answered) -> Result<(), String> {
    let mut headers = HeaderMap::new();
    if let Some(problem) = problem_of(answered) {
        headers.insert(NATS_SERVICE_ERROR, problem.code.as_str());
        headers.insert(NATS_SERVICE_ERROR_CODE, problem.status.to_string().as_str());
    }
    match answered {
        Answered::Reply(reply) => respond(request, reply, headers, JSON).await,
        Answered::Claim(reply) => respond(request, reply, headers, JSON).await,
        Answered::Observation(observation) => respond(request, observation, headers, JSON).await,
        Answered::Problem(problem) => respond(request, problem, headers, "application/problem+json").await,
    }
}

async fn respond(
    request: &Request,
    body: &impl Serialize,
    mut headers: HeaderMap,
    kind: &str,
) -> Result<(), String> {
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    headers.insert("content-type", kind);
    if request.message.reply.is_none() {
        return Ok(()); // Nobody asked for an answer.
    }
    request.respond_with_headers(Ok(body.into()), headers).await.map_err(|error| error.to_string())
}
