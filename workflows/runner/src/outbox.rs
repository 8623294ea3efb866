//! Status to others: events in order per run, late rather than lost, a repeated one with the same id.
//!
//! The outbox is a cursor over the journal. In quiet times the entries come from memory; what was not
//! published when the bus was away, or the runner was killed, is read from the journal again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, HeaderMap};
use chrono::{DateTime, Utc};
use journal::{Durable, Journal};
use runner_core::{AnyEntry, Append, RunEntry, Stream, event_of, is_told};
use schemas::{GroupId, KindId, Prefix, RunId};
use serde_json::Value;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;

use crate::shell::Released;

/// An entry that the world hears of.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    stream: Stream,
    seq: u64,
    at: DateTime<Utc>,
    entry: Arc<AnyEntry>,
}

impl Recorded {
    pub(crate) fn of(append: &Append) -> Option<Recorded> {
        let entry = Arc::clone(append.told.as_ref()?);
        Some(Recorded { stream: append.stream.clone(), seq: append.seq, at: append.at, entry })
    }
}

/// Publishes events.
pub(crate) struct Outbox {
    client: Client,
    prefix: Prefix,
    source: String,
    journal: Arc<Journal<Released>>,
    /// The group of each run whose first entry went by.
    groups: BTreeMap<RunId, GroupId>,
    /// Whether a JetStream stream keeps the events, and when that was asked.
    kept: Option<(bool, Instant)>,
}

/// How long an event may wait for others: what is published together is confirmed by one question.
const GATHER: Duration = Duration::from_millis(5);
/// Between two tries while the bus is away.
const AGAIN: Duration = Duration::from_millis(500);
/// How long an answer about streams is believed.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How long such an answer is awaited: without JetStream there is none.
const STREAM_WITHIN: Duration = Duration::from_millis(500);
/// How many entries may wait in memory.
const WAITING_MAX: usize = 4096;

impl Outbox {
    pub(crate) fn start(
        client: Client,
        prefix: Prefix,
        source: String,
        journal: Arc<Journal<Released>>,
        stop: CancellationToken,
    ) -> UnboundedSender<Durable<Vec<Recorded>>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let outbox = Outbox { client, prefix, source, journal, groups: BTreeMap::new(), kept: None };
        tokio::spawn(outbox.run(receiver, stop));
        sender
    }

    async fn run(mut self, mut more: UnboundedReceiver<Durable<Vec<Recorded>>>, stop: CancellationToken) {
        let mut waiting: Vec<Recorded> = self.behind();
        loop {
            if waiting.is_empty() {
                let next = tokio::select! {
                    next = more.recv() => next,
                    () = stop.cancelled() => None,
                };
                let Some(next) = next else { return };
                waiting.extend(next.into_inner());
                tokio::time::sleep(GATHER).await;
            }
            while waiting.len() < WAITING_MAX
                && let Ok(next) = more.try_recv()
            {
                waiting.extend(next.into_inner());
            }
            if self.publish(&waiting).await {
                self.advance(&waiting);
                waiting.clear();
            } else if stop.is_cancelled() {
                return;
            } else {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// What an earlier life did not publish.
    fn behind(&mut self) -> Vec<Recorded> {
        let mut found = Vec::new();
        for (stream, from) in self.journal.unpublished().unwrap_or_default() {
            let Some(own) = own_stream(&stream) else { continue };
            let Ok(entries) = self.journal.read(&stream, from + 1) else { continue };
            for entry in entries.map_while(Result::ok) {
                // What this program does not understand it has refused to run with.
                let Ok(read) = AnyEntry::read(&own, entry.seq, &entry.kind, entry.body) else { continue };
                if is_told(&read) {
                    let (stream, told) = (own.clone(), Arc::new(read));
                    found.push(Recorded { stream, seq: entry.seq, at: entry.at, entry: told });
                }
            }
        }
        found
    }

    /// Whether a stream covers the events: then its acknowledgement counts, one event at a time.
    async fn is_kept(&mut self) -> bool {
        if let Some((kept, asked)) = self.kept
            && asked.elapsed() < ASK_AGAIN
        {
            return kept;
        }
        let mut context = async_nats::jetstream::new(self.client.clone());
        context.set_timeout(STREAM_WITHIN);
        let found = context.stream_by_subject(self.prefix.events_out()).await.is_ok();
        self.kept = Some((found, Instant::now()));
        found
    }

    /// Publishes all and has the server confirm it; `false` if the bus did not.
    async fn publish(&mut self, entries: &[Recorded]) -> bool {
        let kept = self.is_kept().await;
        let stream = async_nats::jetstream::new(self.client.clone());
        for entry in entries {
            let event = event_of(&self.source, &entry.stream, entry.seq, entry.at, &entry.entry);
            let Some(mut outgoing) = event else { continue };
            if matches!(&*entry.entry, AnyEntry::Run(RunEntry::Ended { .. }))
                && let Some(hash) = self.hash(entry)
            {
                outgoing = outgoing.with_head(&hash);
            }
            let Ok(kind) = KindId::new(outgoing.kind) else { continue };
            let Some(subject) = self.subject(entry, &kind) else { continue };
            let Ok(body) = serde_json::to_vec(&outgoing.event) else { continue };
            let mut headers = HeaderMap::new();
            headers.insert("content-type", "application/cloudevents+json");
            headers.insert("Nats-Msg-Id", outgoing.event.id.as_str());
            let published = match kept {
                true => match stream.publish_with_headers(subject, headers, body.into()).await {
                    Ok(acknowledged) => acknowledged.await.is_ok(),
                    Err(_) => false,
                },
                false => self.client.publish_with_headers(subject, headers, body.into()).await.is_ok(),
            };
            if !published {
                self.kept = None;
                return false;
            }
        }
        let connected = self.client.connection_state() == async_nats::connection::State::Connected;
        let flushed = tokio::time::timeout(Duration::from_secs(2), self.client.flush()).await;
        connected && matches!(flushed, Ok(Ok(())))
    }

    fn hash(&self, entry: &Recorded) -> Option<String> {
        let stream = crate::seams::stream_id(&entry.stream).ok()?;
        let stored = self.journal.read(&stream, entry.seq).ok()?.next()?.ok()?;
        Some(stored.hash.to_string())
    }

    fn subject(&mut self, entry: &Recorded, kind: &KindId) -> Option<String> {
        match &entry.stream {
            Stream::Group(group) => Some(self.prefix.event_out(group, None, kind)),
            Stream::Run(run) => {
                if let AnyEntry::Run(RunEntry::Started(started)) = &*entry.entry
                    && let Some(group) = &started.group
                {
                    self.groups.insert(*run, group.clone());
                }
                if !self.groups.contains_key(run) {
                    let stream = journal::StreamId::run(run).ok()?;
                    let first = self.journal.read(&stream, 1).ok()?.next()?.ok()?;
                    let group = first.body.get("group").and_then(Value::as_str)?;
                    self.groups.insert(*run, group.parse().ok()?);
                }
                let subject = self.prefix.event_out(self.groups.get(run)?, Some(run), kind);
                if matches!(&*entry.entry, AnyEntry::Run(RunEntry::Ended { .. })) {
                    self.groups.remove(run);
                }
                Some(subject)
            }
        }
    }

    /// Remembers how far each stream is published; lazily durable, since a repetition keeps its id.
    fn advance(&self, entries: &[Recorded]) {
        let mut heads: BTreeMap<&Stream, u64> = BTreeMap::new();
        for entry in entries {
            heads.insert(&entry.stream, entry.seq);
        }
        for (stream, seq) in heads {
            if let Ok(stream) = crate::seams::stream_id(stream) {
                self.journal.published(&stream, seq);
            }
        }
    }
}

fn own_stream(stream: &journal::StreamId) -> Option<Stream> {
    match stream.kind() {
        journal::StreamKind::Run => stream.name().parse().ok().map(Stream::Run),
        journal::StreamKind::Group => stream.name().parse().ok().map(Stream::Group),
    }
}
