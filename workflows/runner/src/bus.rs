//! The bus: what comes in becomes inputs, what goes out is released by the journal first.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, HeaderMap, Message, Request, Subject};
use futures_util::StreamExt;
use runner_core::{Answered, BusRequest, Input, ReplyTo};
use schemas::op::{OpReply, OpRequest};
use schemas::{Beat, CloudEvent, Code, ConfirmRequest, MESSAGE_MAX, Prefix, Problem};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

/// Where replies go. Bounded: the oldest is forgotten, its asker times out and asks again.
#[derive(Default)]
pub(crate) struct Replies {
    last: u64,
    subjects: BTreeMap<u64, Subject>,
}

const REPLIES_MAX: usize = 4096;

impl Replies {
    pub(crate) fn keep(&mut self, subject: Subject) -> ReplyTo {
        self.last += 1;
        self.subjects.insert(self.last, subject);
        if self.subjects.len() > REPLIES_MAX {
            self.subjects.pop_first();
        }
        ReplyTo(self.last)
    }

    pub(crate) fn take(&mut self, to: ReplyTo) -> Option<Subject> {
        self.subjects.remove(&to.0)
    }
}

/// What came in, before it has a place to be answered to.
pub(crate) enum Incoming {
    Op(schemas::PersonId, Box<OpRequest>, Subject),
    Confirm(ConfirmRequest, Subject),
    Plain(Input),
}

/// The subscriptions. Every one is flushed to the server before this returns.
///
/// # Errors
///
/// The client is closed.
pub(crate) async fn subscribe(
    client: &Client,
    prefix: &Prefix,
    inputs: Sender<Incoming>,
    stop: CancellationToken,
) -> Result<(), async_nats::SubscribeError> {
    let subjects = [prefix.ops(), prefix.confirm(), prefix.beat(), prefix.events_in()];
    for (kind, subject) in subjects.into_iter().enumerate() {
        let mut messages = client.subscribe(subject).await?;
        let (client, prefix, inputs, stop) = (client.clone(), prefix.clone(), inputs.clone(), stop.clone());
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    () = stop.cancelled() => break,
                    message = messages.next() => message,
                };
                let Some(message) = message else { break };
                match read(kind, &prefix, &message) {
                    Ok(Some(input)) => {
                        if inputs.send(input).await.is_err() {
                            break;
                        }
                    }
                    Ok(None) => {}
                    Err(problem) => refuse(&client, &message, problem).await,
                }
            }
        });
    }
    // Bounded: a bus that is away must not keep the runner from starting.
    let _ = tokio::time::timeout(Duration::from_secs(2), client.flush()).await;
    Ok(())
}

fn read(kind: usize, prefix: &Prefix, message: &Message) -> Result<Option<Incoming>, Problem> {
    if message.payload.len() > MESSAGE_MAX {
        return Err(Problem::new(
            Code::TooLarge,
            format!("{} bytes on {}", message.payload.len(), message.subject),
        ));
    }
    let malformed = |what: String| Problem::new(Code::Malformed, format!("{}: {what}", message.subject));
    match kind {
        0 => {
            let (person, verb) = prefix
                .parse_op(&message.subject)
                .map_err(|e| Problem::new(Code::UnknownSubject, e.to_string()))?;
            let request: OpRequest =
                serde_json::from_slice(&message.payload).map_err(|e| malformed(e.to_string()))?;
            if request.op.verb() != verb {
                return Err(malformed(format!("the body asks `{}`", request.op.verb())));
            }
            let reply = message.reply.clone().ok_or_else(|| malformed("it has no reply subject".into()))?;
            Ok(Some(Incoming::Op(person, Box::new(request), reply)))
        }
        1 => {
            let request: ConfirmRequest =
                serde_json::from_slice(&message.payload).map_err(|e| malformed(e.to_string()))?;
            let reply = message.reply.clone().ok_or_else(|| malformed("it has no reply subject".into()))?;
            Ok(Some(Incoming::Confirm(request, reply)))
        }
        2 => {
            let beat: Beat =
                serde_json::from_slice(&message.payload).map_err(|e| malformed(e.to_string()))?;
            Ok(Some(Incoming::Plain(Input::Beat(beat))))
        }
        _ => {
            let place = prefix.parse_event_in(&message.subject).ok_or_else(|| {
                Problem::new(Code::UnknownSubject, format!("{}: the place is malformed", message.subject))
            })?;
            let headers: Vec<(String, String)> = message
                .headers
                .iter()
                .flat_map(HeaderMap::iter)
                .filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string())))
                .collect();
            let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let event = CloudEvent::read(pairs, &message.payload).map_err(|e| malformed(e.to_string()))?;
            Ok(Some(Incoming::Plain(Input::Event { place, event: Box::new(event) })))
        }
    }
}

async fn refuse(client: &Client, message: &Message, problem: Problem) {
    tracing::warn!(code = %problem.code, detail = problem.detail.as_deref(), "a message was refused");
    if let Some(reply) = &message.reply {
        let body = serde_json::to_vec(&OpReply::Problem(problem)).unwrap_or_default();
        // The asker times out if this is lost.
        let _ = client.publish(reply.clone(), body.into()).await;
    }
}

/// Sends one request and waits for how it ends.
pub(crate) async fn ask(client: Client, request: BusRequest) -> (runner_core::RequestId, Answered) {
    let mut message = Request::new().payload(request.body.into()).timeout(Some(request.patience));
    if !request.headers.is_empty() {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.insert(name.as_str(), value.as_str());
        }
        message = message.headers(headers);
    }
    let answered = match client.send_request(request.subject, message).await {
        Ok(reply) => Answered::Reply(reply.payload.to_vec()),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Answered::NoResponders,
        Err(_) => Answered::Silence,
    };
    (request.id, answered)
}
