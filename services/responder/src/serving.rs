//! The loop around the core: one input at a time, its steps to the ledger, what follows to drivers and bus.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use schemas::{Address, Beat, CheckLine, CheckReply, Code, MessageId, Problem};
use service_core::{Answered, Core, Effect, Input, Step, Ticket};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::answers::{Answers, Asker};
use crate::booted::Own;
use crate::bus::Runner;
use crate::hands::{Hands, Taken};
use crate::writer::{Durable, Writer};
use crate::{Driver, ServeOptions, clock, expiry, requests};

/// Between two beats.
const BEAT: Duration = Duration::from_secs(2);
/// How long a stop waits for acts under way.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// How long a preflight may take.
const CHECK_WITHIN: Duration = Duration::from_secs(3);
/// Preflights at once; each resource has its own.
pub(crate) const CHECKS_MAX: usize = 64;
/// How often a stop looks whether they ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// Lines that nobody asked to sync are synced after so long without others.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) struct Serving {
    pub(crate) options: ServeOptions,
    pub(crate) core: Core,
    pub(crate) writer: Writer,
    pub(crate) hands: Hands,
    pub(crate) runner: Runner,
    pub(crate) answers: Answers,
    /// This process's own questions.
    pub(crate) own: BTreeMap<Ticket, oneshot::Sender<Answered>>,
    /// What drivers said at once.
    pub(crate) ready: VecDeque<Input>,
    /// The last ticket.
    pub(crate) last: u64,
    pub(crate) addresses: Vec<Address>,
    /// The resource whose check tells of this process's credentials.
    pub(crate) told_at: Option<Address>,
    pub(crate) drivers: Arc<BTreeMap<Address, Arc<dyn Driver>>>,
    /// Room for preflights.
    pub(crate) checks: Arc<Semaphore>,
}

impl Serving {
    /// Until `stop` and the acts under way have ended. It writes the ledger, so it has a thread of its own.
    pub(crate) async fn run(
        mut self,
        mut questions: Receiver<Asker>,
        mut more: Receiver<Input>,
        mut own: Receiver<Own>,
        stop: CancellationToken,
    ) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining: Option<Instant> = None;
        loop {
            while let Some(input) = self.ready.pop_front() {
                self.step(input);
            }
            if self.writer.gathers() {
                let driver = more.try_recv().ok();
                let stopping = draining.is_some();
                let input = driver.or_else(|| self.question(questions.try_recv().ok()?, stopping));
                if let Some(input) = input {
                    self.step(input);
                    continue;
                }
            }
            if self.writer.is_due() {
                let free = self.writer.write(|| self.core.records());
                self.release(free);
                continue;
            }
            if let Some(until) = draining
                && (self.core.in_progress() == 0 || Instant::now() > until)
            {
                break;
            }
            let due = self.core.next_deadline().map(|at| at.saturating_sub(clock::boot()));
            let due = due.unwrap_or(Duration::from_secs(3600));
            let due = self.writer.tries_in().map_or(due, |again| due.min(again));
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
                Some(asked) = own.recv() => self.own(asked),
                Some(asker) = questions.recv() => match self.question(asker, draining.is_some()) {
                    Some(input) => input,
                    None => continue,
                },
                () = sleep(due) => Input::Time,
                () = sleep(IDLE), if self.writer.is_dirty() => {
                    self.writer.sync();
                    continue;
                }
            };
            self.step(input);
        }
        self.writer.sync();
    }

    fn step(&mut self, input: Input) {
        let step = self.core.step(clock::now(), input);
        if step != Step::default() {
            let free = self.writer.take(step);
            self.release(free);
        }
    }

    /// Lets out what follows: what a driver has done at once is an input at once.
    fn release(&mut self, effects: Vec<Durable<Effect>>) {
        for effect in effects {
            match self.hands.take(effect) {
                Taken::Ended(input) => self.ready.push_back(input),
                Taken::NotMine(Effect::Answer { ticket, answered }) => {
                    if let Some(asked) = self.own.remove(&ticket) {
                        // Whoever gave up asks again.
                        let _ = asked.send(answered);
                        continue;
                    }
                    self.answers.give(&self.hands.runtime, ticket, answered);
                }
                Taken::NotMine(Effect::Confirm { request, within }) => {
                    self.runner.ask(&self.hands.runtime, request, within);
                }
                Taken::NotMine(_) | Taken::Later => {}
            }
        }
    }

    /// A question of this process is a question like any other.
    fn own(&mut self, asked: Own) -> Input {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.own.insert(ticket, asked.answer);
        Input::Asked { ticket, address: asked.address, ask: asked.ask, nonce: MessageId(Uuid::new_v4()) }
    }

    /// Reads a request; what cannot be taken is answered at once, and follows from no line of the ledger.
    fn question(&mut self, asker: Asker, stopping: bool) -> Option<Input> {
        let refused = match requests::read(&self.options.prefix, &asker.request.message) {
            Err(problem) => Answered::Problem(problem),
            Ok((address, requests::Request::Check)) => {
                self.check(asker, &address);
                return None;
            }
            Ok((address, requests::Request::ByHand(asked))) => {
                let driver = self.drivers.get(&address)?;
                let reply = requests::by_hand(&**driver, &asked, &address, &self.options.host);
                self.answers.say(&Handle::current(), asker, reply);
                return None;
            }
            Ok((address, requests::Request::Ask(ask))) => {
                let actions = self.drivers.get(&address).map_or(&[][..], |driver| driver.actions());
                let problem = match (stopping, self.writer.is_full()) {
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

    /// What would stand in the way, from the driver; beside whatever else goes on.
    fn check(&self, asker: Asker, address: &Address) {
        let driver = self.drivers.get(address).cloned();
        let version = self.options.version.clone();
        let here = self.told_at.as_ref() == Some(address);
        let files = if here { self.options.credentials.clone() } else { Vec::new() };
        let room = Arc::clone(&self.checks).try_acquire_owned();
        self.answers.check(&Handle::current(), asker, async move {
            let mut lines = match (driver, &room) {
                (None, _) => vec![],
                (_, Err(_)) => vec![CheckLine::amber("check", "too many checks at once", "ask again")],
                (Some(driver), Ok(_)) => match tokio::time::timeout(CHECK_WITHIN, driver.preflight()).await {
                    Ok(lines) => lines,
                    // That it took long says nothing about a move: what it needs is looked at by `observe` too.
                    Err(_) => vec![CheckLine::amber(
                        "check",
                        format!("it did not end within {} s", CHECK_WITHIN.as_secs()),
                        "look at what is behind the service: it hangs or is very slow",
                    )],
                },
            };
            lines.extend(expiry::of_bus("bus", files).await);
            CheckReply { lines, version, at: chrono::Utc::now() }
        });
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
