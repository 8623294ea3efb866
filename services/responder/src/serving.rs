//! The loop around the core: one input at a time, its step to the ledger's thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use schemas::{Address, Beat, Code, MessageId, Problem};
use service_core::{Answered, Core, Input, Step, Ticket};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::answers::{Answers, Asker};
use crate::writer::{NoThread, Queue, Work};
use crate::{Driver, ServeOptions, clock, requests};

/// Between two beats.
const BEAT: Duration = Duration::from_secs(2);
/// How long a stop waits for acts under way.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// How often a stop looks whether they ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// The ledger is shortened when an epoch rose and it holds more lines than this.
const LONG: usize = 2000;

pub(crate) struct Serving {
    pub(crate) options: ServeOptions,
    pub(crate) core: Core,
    pub(crate) queue: Queue,
    pub(crate) answers: Answers,
    /// The last ticket.
    pub(crate) last: u64,
    /// The ledger's lines, counted so that it is shortened when it is long.
    pub(crate) lines: usize,
    pub(crate) addresses: Vec<Address>,
    pub(crate) drivers: Arc<BTreeMap<Address, Arc<dyn Driver>>>,
    /// Whether the ledger's disk is full.
    pub(crate) full: Arc<AtomicBool>,
}

impl Serving {
    /// Until `stop` and the acts under way have ended, or the ledger's thread is gone.
    pub(crate) async fn run(
        mut self,
        mut questions: Receiver<Asker>,
        mut more: Receiver<Input>,
        stop: CancellationToken,
    ) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining: Option<Instant> = None;
        loop {
            if let Some(until) = draining
                && (self.core.in_progress() == 0 || Instant::now() > until)
            {
                return;
            }
            let due = self.core.next_deadline().map(|at| at.saturating_sub(clock::boot()));
            let due = due.unwrap_or(Duration::from_secs(3600));
            let due = if draining.is_some() { due.min(DRAIN_LOOK) } else { due };
            let input = tokio::select! {
                biased;
                () = stop.cancelled(), if draining.is_none() => {
                    draining = Some(Instant::now() + DRAIN);
                    continue;
                }
                Some(input) = more.recv() => input,
                _ = beat.tick() => {
                    self.beat().await;
                    Input::Armed(self.options.armed_flag.exists())
                }
                Some(asker) = questions.recv() => match self.question(asker, draining.is_some()) {
                    Some(input) => input,
                    None => continue,
                },
                () = sleep(due) => Input::Time,
            };
            let step = self.core.step(clock::now(), input);
            if self.take(step).await.is_err() {
                return;
            }
        }
    }

    /// Reads a request; what cannot be taken is answered at once, and follows from no line of the ledger.
    fn question(&mut self, asker: Asker, stopping: bool) -> Option<Input> {
        let refused = match requests::read(&self.options.prefix, &asker.request.message) {
            Err(problem) => Answered::Problem(problem),
            Ok((address, ask)) => {
                let actions = self.drivers.get(&address).map_or(&[][..], |driver| driver.actions());
                let problem = match (stopping, self.full.load(Ordering::Relaxed)) {
                    (true, _) => Err(Problem::new(Code::Busy, "the service is being stopped")),
                    (_, true) => Err(Problem::new(Code::DiskFull, format!("the disk of {address}'s ledger"))),
                    _ => requests::check(&address, &ask, actions),
                };
                match problem {
                    Err(problem) => self.core.refusal(clock::now(), &address, &ask, problem),
                    Ok(()) => {
                        self.last += 1;
                        let ticket = Ticket(self.last);
                        self.answers.wait(ticket, asker);
                        let nonce = MessageId(Uuid::new_v4());
                        return Some(Input::Asked { ticket, address, ask, nonce });
                    }
                }
            }
        };
        tracing::warn!(subject = %asker.request.message.subject, ?refused, "refused");
        self.answers.send(&Handle::current(), asker, refused);
        None
    }

    async fn take(&mut self, step: Step) -> Result<(), NoThread> {
        if step.records.is_empty() && step.effects.is_empty() {
            return Ok(());
        }
        self.lines += step.records.len();
        let anew = (step.rose && self.lines > LONG).then(|| self.core.records());
        if let Some(anew) = &anew {
            self.lines = anew.len();
        }
        self.queue.submit(Work { records: step.records, sync: step.sync, anew, effects: step.effects }).await
    }

    /// While the bus is away none is kept: the next one says it all.
    async fn beat(&self) {
        let client = &self.options.client;
        if client.connection_state() != State::Connected {
            return;
        }
        let beat = Beat {
            resources: self.addresses.clone(),
            ledger: self.core.ledger(),
            adopted: self.core.adopted(),
            armed: self.options.armed_flag.exists(),
            version: self.options.version.clone(),
            at: chrono::Utc::now(),
        };
        if let Ok(body) = serde_json::to_vec(&beat) {
            let sent = client.publish(self.options.prefix.beat(), body.into());
            let _ = tokio::time::timeout(BEAT, sent).await;
        }
    }
}
