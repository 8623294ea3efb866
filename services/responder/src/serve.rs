//! One service process: its resources on the bus, its core, its ledger, its hands.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::service::ServiceExt;
use async_nats::{Client, HeaderMap, Message, Subject};
use futures_util::StreamExt;
use schemas::{
    Address, Beat, Code, ConfirmReply, ConfirmRequest, GroupId, MessageId, Prefix, Problem, ResourceId,
    Service, SiteId,
};
use service_core::{Answered, Core, Effect, Input, Registered, Setup, Step, Ticket};
use thiserror::Error;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ledger::{LedgerError, LedgerFile};
use crate::writer::{self, Work, Written};
use crate::{Driver, clock, hands::Hands, requests};

/// Between two beats.
const BEAT: Duration = Duration::from_secs(2);
/// How long a stop waits for acts under way.
const DRAIN: Duration = Duration::from_secs(10);
/// Questions and answers that may wait in the process.
const QUEUE: usize = 1024;
/// The ledger is shortened when an epoch rose and it holds more lines than this.
const LONG: usize = 2000;

/// What a service process needs.
pub struct ServeOptions {
    /// Connected, or still connecting.
    pub client: Client,
    /// The subjects' prefix.
    pub prefix: Prefix,
    /// The host's site.
    pub site: SiteId,
    /// The host's name.
    pub host: String,
    /// Ledgers, locks and flags.
    pub state_dir: PathBuf,
    /// The ledger's name in it: services that run alone have one of their own.
    pub ledger: String,
    /// The program's version (SemVer).
    pub version: String,
    /// The brake: while this file is absent, nothing is changed.
    pub armed_flag: PathBuf,
}

/// One resource and its hands.
pub struct Registration {
    /// The service.
    pub service: Service,
    /// The resource.
    pub resource: ResourceId,
    /// The group that claims it; none for a client host or cache, which no group claims.
    pub group: Option<GroupId>,
    /// Its driver.
    pub driver: Arc<dyn Driver>,
}

/// Why a service process cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Its ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The bus refuses it.
    #[error("could not register {service} on the bus: {source}")]
    Bus {
        /// Which service.
        service: Service,
        /// Why.
        source: async_nats::Error,
    },
    /// A thread could not be started.
    #[error("could not start the ledger's thread: {0}")]
    Thread(std::io::Error),
}

/// Serves until `stop`; then takes no more requests, lets acts under way end (bounded), and returns.
///
/// Restarting changes nothing that is managed: what an earlier life started is ended or awaited only when a
/// claim, an outcome or the next act asks for it.
///
/// # Errors
///
/// See [`ServeError`]. Nothing was changed.
pub async fn serve(
    options: ServeOptions,
    registrations: Vec<Registration>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let (ledger, records) = LedgerFile::open(&options.state_dir, &options.ledger)?;
    let id = ledger.id();
    let address = |service: Service, resource: &ResourceId| Address {
        site: options.site.clone(),
        service,
        resource: resource.clone(),
    };
    let mut drivers: BTreeMap<Address, Arc<dyn Driver>> = BTreeMap::new();
    let mut registered = Vec::new();
    for r in registrations {
        let address = address(r.service, &r.resource);
        registered.push(Registered { address: address.clone(), group: r.group });
        drivers.insert(address, r.driver);
    }
    let addresses: Vec<Address> = drivers.keys().cloned().collect();
    let _one_instance =
        addresses.iter().map(|a| hold(&options.state_dir, a)).collect::<Result<Vec<_>, _>>()?;
    let armed = options.armed_flag.exists();
    let rules = service_core::Rules::default();
    let lines = records.len();
    let core = Core::new(Setup { ledger: id, armed, resources: registered, rules }, records);

    let (inputs, more) = mpsc::channel(QUEUE);
    let (work, queue) = std::sync::mpsc::sync_channel(QUEUE);
    let (out, written) = mpsc::unbounded_channel();
    let full = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&full);
    let thread = std::thread::Builder::new().name("ledger".into());
    let thread =
        thread.spawn(move || writer::write(ledger, &queue, &out, &flag)).map_err(ServeError::Thread)?;

    let (asked, questions) = mpsc::channel(QUEUE);
    register(&options, &addresses, &asked, &stop).await?;
    drop(asked);
    let hands = Hands { drivers: Arc::new(drivers), back: inputs.clone() };
    let (tickets, replies) = mpsc::channel(QUEUE);
    let carrier = Carrier {
        client: options.client.clone(),
        prefix: options.prefix.clone(),
        hands,
        inputs,
        replies: BTreeMap::new(),
        full: Arc::clone(&full),
    };
    let carrier = tokio::spawn(carrier.run(written, replies));
    let serving = Serving { options, core, work, tickets, last: 0, lines, addresses, full };
    serving.run(questions, more, stop).await;
    // The ledger's thread ends with its channel, the carrier with the thread's.
    let _ = tokio::time::timeout(DRAIN, carrier).await;
    let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    Ok(())
}

/// One service instance a resource: whoever comes second is refused.
fn hold(dir: &Path, address: &Address) -> Result<File, ServeError> {
    let path = dir.join(format!("{}.{}.serving", address.service, address.resource));
    let failed = |source| ServeError::Ledger(LedgerError::Io { path: path.clone(), source });
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::Ledger(LedgerError::Locked(path))),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// One micro service (ADR-32) for each kind, one endpoint for each resource.
async fn register(
    options: &ServeOptions,
    addresses: &[Address],
    asked: &Sender<Message>,
    stop: &CancellationToken,
) -> Result<(), ServeError> {
    for service in Service::ALL.iter().copied() {
        let own: Vec<&Address> = addresses.iter().filter(|a| a.service == service).collect();
        if own.is_empty() {
            continue;
        }
        let failed = |source| ServeError::Bus { service, source };
        let metadata = [("site", options.site.to_string()), ("host", options.host.clone())];
        let running = options
            .client
            .service_builder()
            .description(format!("Pointsman {service} at {}", options.site))
            .metadata(metadata.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            .start(format!("pointsman-{service}"), &options.version)
            .await
            .map_err(failed)?;
        for address in own {
            let subject = options.prefix.requests(address);
            let mut endpoint = running
                .endpoint_builder()
                .name(format!("{}-{}", address.site, address.resource))
                .add(subject)
                .await
                .map_err(failed)?;
            let (asked, stop) = (asked.clone(), stop.clone());
            tokio::spawn(async move {
                loop {
                    let request = tokio::select! {
                        () = stop.cancelled() => break,
                        request = endpoint.next() => request,
                    };
                    let Some(request) = request else { break };
                    if asked.send(request.message).await.is_err() {
                        break;
                    }
                }
            });
        }
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            // Discovery ends with the subscriptions.
            let _ = running.stop().await;
        });
    }
    let _ = tokio::time::timeout(Duration::from_secs(2), options.client.flush()).await;
    Ok(())
}

struct Serving {
    options: ServeOptions,
    core: Core,
    work: std::sync::mpsc::SyncSender<Work>,
    tickets: Sender<(Ticket, Subject)>,
    last: u64,
    /// The ledger's lines, counted so that it is shortened when it is long.
    lines: usize,
    addresses: Vec<Address>,
    full: Arc<AtomicBool>,
}

impl Serving {
    async fn run(
        mut self,
        mut questions: Receiver<Message>,
        mut more: Receiver<Input>,
        stop: CancellationToken,
    ) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut draining: Option<tokio::time::Instant> = None;
        loop {
            let due = self.core.next_deadline().map(|at| at.saturating_sub(clock::boot()));
            let due = due.unwrap_or(Duration::from_secs(3600));
            let input = tokio::select! {
                biased;
                () = stop.cancelled(), if draining.is_none() => {
                    draining = Some(tokio::time::Instant::now() + DRAIN);
                    continue;
                }
                Some(input) = more.recv() => input,
                Some(message) = questions.recv(), if draining.is_none() => match self.question(message).await {
                    Some(input) => input,
                    None => continue,
                },
                _ = beat.tick() => { self.beat().await; continue; }
                () = tokio::time::sleep(due.min(Duration::from_millis(200))), if draining.is_some() => Input::Time,
                () = tokio::time::sleep(due), if draining.is_none() => Input::Time,
            };
            let step = self.core.step(clock::now(), input);
            if self.take(step).await.is_err() {
                return;
            }
            if let Some(until) = draining
                && (self.core.in_progress() == 0 || tokio::time::Instant::now() > until)
            {
                return;
            }
        }
    }

    async fn question(&mut self, message: Message) -> Option<Input> {
        let reply = message.reply.clone();
        let read = requests::read(&self.options.prefix, &message);
        let refused = match read {
            Ok(_) if self.full.load(Ordering::Relaxed) => {
                Problem::new(Code::DiskFull, "the ledger's disk is full")
            }
            Ok((address, ask)) => {
                self.last += 1;
                let ticket = Ticket(self.last);
                if let Some(reply) = reply {
                    // Fails only when the carrier is gone.
                    let _ = self.tickets.send((ticket, reply)).await;
                }
                return Some(Input::Asked { ticket, address, ask, nonce: MessageId(Uuid::new_v4()) });
            }
            Err(problem) => problem,
        };
        tracing::warn!(code = %refused.code, subject = %message.subject, detail = refused.detail, "refused");
        if let Some(reply) = reply {
            answer(&self.options.client, reply, &Answered::Problem(refused)).await;
        }
        None
    }

    async fn take(&mut self, step: Step) -> Result<(), ()> {
        if step.records.is_empty() && step.effects.is_empty() {
            return Ok(());
        }
        self.lines += step.records.len();
        let anew = (step.rose && self.lines > LONG).then(|| self.core.records());
        if let Some(anew) = &anew {
            self.lines = anew.len();
        }
        let mut work = Work { records: step.records, sync: step.sync, anew, effects: step.effects };
        loop {
            match self.work.try_send(work) {
                Ok(()) => return Ok(()),
                Err(std::sync::mpsc::TrySendError::Full(back)) => {
                    work = back;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return Err(()),
            }
        }
    }

    async fn beat(&mut self) {
        let armed = self.options.armed_flag.exists();
        let step = self.core.step(clock::now(), Input::Armed(armed));
        let _ = self.take(step).await;
        let beat = Beat {
            resources: self.addresses.clone(),
            ledger: self.core.ledger(),
            adopted: self.core.adopted(),
            armed,
            version: self.options.version.clone(),
            at: chrono::Utc::now(),
        };
        if let Ok(body) = serde_json::to_vec(&beat) {
            // A beat that is lost is followed by the next.
            let _ = self.options.client.publish(self.options.prefix.beat(), body.into()).await;
        }
    }
}

/// Carries out what the ledger's thread let out.
struct Carrier {
    client: Client,
    prefix: Prefix,
    hands: Hands,
    inputs: Sender<Input>,
    replies: BTreeMap<Ticket, Subject>,
    full: Arc<AtomicBool>,
}

impl Carrier {
    async fn run(
        mut self,
        mut written: mpsc::UnboundedReceiver<Written>,
        mut tickets: Receiver<(Ticket, Subject)>,
    ) {
        while let Some(effects) = written.recv().await {
            while let Ok((ticket, subject)) = tickets.try_recv() {
                self.replies.insert(ticket, subject);
            }
            for effect in effects.into_inner() {
                match self.hands.take(effect) {
                    None => {}
                    Some(Effect::Answer { ticket, answered }) => {
                        if let Some(subject) = self.replies.remove(&ticket) {
                            answer(&self.client, subject, &answered).await;
                        }
                    }
                    Some(Effect::Confirm { request, within }) => self.confirm(request, within),
                    Some(_) => {}
                }
            }
        }
        tracing::debug!(full = self.full.load(Ordering::Relaxed), "the carrier ends");
    }

    fn confirm(&self, request: ConfirmRequest, within: Duration) {
        let (client, subject, inputs) = (self.client.clone(), self.prefix.confirm(), self.inputs.clone());
        tokio::spawn(async move {
            let nonce = request.nonce;
            let yes = ask_runner(&client, subject, &request, within).await;
            let _ = inputs.send(Input::Confirmed { nonce, yes }).await;
        });
    }
}

async fn ask_runner(
    client: &Client,
    subject: String,
    request: &ConfirmRequest,
    within: Duration,
) -> Result<(), Problem> {
    let no = |why: String| Problem::new(Code::NotConfirmed, why);
    let body = serde_json::to_vec(request).map_err(|e| no(e.to_string()))?;
    let message = async_nats::Request::new().payload(body.into()).timeout(Some(within));
    let reply = client.send_request(subject, message).await.map_err(|e| no(format!("the runner: {e}")))?;
    let reply: ConfirmReply = serde_json::from_slice(&reply.payload).map_err(|e| no(e.to_string()))?;
    match reply.yes && reply.nonce == request.nonce {
        true => Ok(()),
        false => Err(reply.problem.unwrap_or_else(|| no("the runner said no".into()))),
    }
}

/// Sends an answer; a problem carries the headers that ADR-32 asks for beside its body.
async fn answer(client: &Client, to: Subject, answered: &Answered) {
    let (body, problem) = match answered {
        Answered::Reply(reply) => (serde_json::to_vec(reply), reply.problem.as_ref()),
        Answered::Claim(reply) => (serde_json::to_vec(reply), reply.problem.as_ref()),
        Answered::Observation(observation) => (serde_json::to_vec(observation), None),
        Answered::Problem(problem) => (serde_json::to_vec(problem), Some(problem)),
    };
    let Ok(body) = body else { return };
    let mut headers = HeaderMap::new();
    if let Some(problem) = problem {
        headers.insert("Nats-Service-Error", problem.code.as_str());
        headers.insert("Nats-Service-Error-Code", problem.status.to_string().as_str());
    }
    if matches!(answered, Answered::Problem(_)) {
        headers.insert("content-type", "application/problem+json");
    }
    if let Err(error) = client.publish_with_headers(to, headers, body.into()).await {
        tracing::warn!(%error, "an answer could not be sent");
    }
}
