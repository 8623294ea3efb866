//! Kills the runner and services with signal 9 at instants that are seen on the bus. Other than
//! [`super::super::kills`] it waits for many requests at once: which comes first depends on the kills before.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use async_nats::{Client, Message, Subscriber};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::future::{join_all, select};
use futures_util::stream::{SelectAll, select_all};
use rustix::process::Signal;
use schemas::{ConfirmRequest, Frame, Key, OutcomeRequest};
use tokio::sync::oneshot;

use super::draw::{Shot, Victim};
use crate::system::{Lab, marked};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A kill that was done.
#[derive(Debug, Clone)]
pub struct Fired {
    /// Which.
    pub shot: Shot,
    /// What was seen.
    pub subject: String,
    /// The run and the step that the message was about.
    pub key: Option<Key>,
    /// When it was done.
    pub at: DateTime<Utc>,
}

type Pids = Arc<Mutex<BTreeMap<Victim, u32>>>;

/// Who waits. Dropping it ends the hunt.
#[derive(Debug)]
pub struct Hunt {
    pids: Pids,
    fired: Receiver<Fired>,
    end: Option<oneshot::Sender<()>>,
    hunting: Option<std::thread::JoinHandle<()>>,
}

impl Hunt {
    /// Begins to wait; returns when no message can be missed any more.
    ///
    /// # Errors
    ///
    /// When the bus does not answer.
    pub fn start(lab: &Lab, shots: Vec<Vec<Shot>>) -> anyhow::Result<Hunt> {
        let services = lab.services().into_iter().map(|(host, pid)| (Victim::Services(host), pid));
        let runner = lab.runner_pid().map(|pid| (Victim::Runner, pid));
        let pids: Pids = Arc::new(Mutex::new(services.chain(runner).collect()));
        let server = lab.bus.urls().remove(2);
        let (told, fired) = channel();
        let (ready, waits) = channel();
        let (end, ended) = oneshot::channel();
        let targets = pids.clone();
        let hunting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let done = match runtime {
                Ok(runtime) => runtime.block_on(hunt(&server, shots, &targets, &told, &ready, ended)),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = done {
                tracing::error!("{error:#}");
            }
        });
        let hunt = Hunt { pids, fired, end: Some(end), hunting: Some(hunting) };
        waits.recv_timeout(CONNECT_WITHIN).context("nobody watches the bus")?;
        Ok(hunt)
    }

    /// The next kill that was done, if there is one.
    pub fn fired(&self) -> Option<Fired> {
        self.fired.try_recv().ok()
    }

    /// Says that somebody runs again.
    pub fn runs(&self, victim: Victim, pid: u32) {
        if let Ok(mut pids) = self.pids.lock() {
            pids.insert(victim, pid);
        }
    }

    /// Ends the hunt; answers what was done and not yet told.
    #[must_use]
    pub fn end(mut self) -> Vec<Fired> {
        self.stop();
        self.fired.try_iter().collect()
    }

    fn stop(&mut self) {
        drop(self.end.take());
        if let Some(hunting) = self.hunting.take() {
            let _ = hunting.join();
        }
    }
}

impl Drop for Hunt {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn hunt(
    server: &str,
    shots: Vec<Vec<Shot>>,
    pids: &Pids,
    told: &Sender<Fired>,
    ready: &Sender<()>,
    ended: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let bus = async_nats::connect(server).await?;
    let mut all = Vec::new();
    for of_request in shots {
        let mut waiting = of_request.into_iter();
        let Some(first) = waiting.next() else { continue };
        let messages = subscribe(&bus, &first).await?;
        let bus = &bus;
        all.push(async move {
            one(&first, messages, pids, told).await;
            for shot in waiting {
                let Ok(messages) = subscribe(bus, &shot).await else { return };
                one(&shot, messages, pids, told).await;
            }
        });
    }
    bus.flush().await?;
    let _ = ready.send(());
    select(std::pin::pin!(join_all(all)), ended).await;
    Ok(())
}

/// Only these subjects, and only until one was seen: whoever listens for requests keeps the bus from saying that
/// nobody does.
async fn subscribe(bus: &Client, shot: &Shot) -> anyhow::Result<SelectAll<Subscriber>> {
    let mut all = Vec::new();
    for subject in &shot.subjects {
        all.push(bus.subscribe(subject.clone()).await?);
    }
    Ok(select_all(all))
}

/// Waits for a message while its victim runs, and kills it.
async fn one(shot: &Shot, mut messages: SelectAll<Subscriber>, pids: &Pids, told: &Sender<Fired>) {
    while let Some(message) = messages.next().await {
        if !shot.after.is_zero() {
            std::thread::sleep(shot.after);
        }
        let Some(pid) = pids.lock().ok().and_then(|mut pids| pids.remove(&shot.victim)) else { continue };
        marked::signal(&[pid], Signal::KILL);
        let (subject, key) = (message.subject.to_string(), key(&message));
        let fired = Fired { shot: shot.clone(), subject, key, at: Utc::now() };
        let _ = told.send(fired);
        return;
    }
}

/// Which step a message is about.
fn key(message: &Message) -> Option<Key> {
    if let Some(headers) = message.headers.as_ref().filter(|headers| headers.get("ce-type").is_some()) {
        let all = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let all = all.map(|(name, value)| (AsRef::<str>::as_ref(name), value.as_str()));
        return Frame::from_headers(all).ok().map(|frame| frame.key);
    }
    let outcome = serde_json::from_slice::<OutcomeRequest>(&message.payload).map(|request| request.key);
    outcome.or_else(|_| serde_json::from_slice::<ConfirmRequest>(&message.payload).map(|r| r.key)).ok()
}
