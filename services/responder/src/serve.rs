//! One service process: its resources on the bus, its core, its ledger, its hands.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use futures_util::future::BoxFuture;
use schemas::{Address, GroupId, Prefix, ResourceId, Service, SiteId};
use service_core::{Core, Registered, Setup};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::bus;
use crate::expiry::Credential;
use crate::hands::Hands;
use crate::ledger::{LedgerError, LedgerFile};
use crate::serving::{CHECKS_MAX, DRAIN, Serving};
use crate::writer::Writer;
use crate::{Driver, booted, tend};

/// Questions, and drivers' answers, that may wait in the process.
const QUEUE: usize = 1024;

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
    /// The files by which it is known on the bus: a `check` of one of its resources says when they end.
    pub credentials: Vec<Credential>,
    /// Tells people that a database is kept closed after a boot; the error says why they were not told.
    pub pager: Option<Pager>,
}

/// Tells people these facts, within a bound of its own.
pub type Pager = Arc<dyn Fn(serde_json::Value) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

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
    /// The service's thread could not be started, or broke.
    #[error("the service's thread: {0}")]
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
    let mut drivers: BTreeMap<Address, Arc<dyn Driver>> = BTreeMap::new();
    let mut resources = Vec::new();
    for Registration { service, resource, group, driver } in registrations {
        let address = Address { site: options.site.clone(), service, resource };
        resources.push(Registered { address: address.clone(), group });
        drivers.insert(address, driver);
    }
    // A process has one set of credentials: it is told once, where a group looks.
    let told_at = resources.iter().find(|one| one.group.is_some()).or(resources.first());
    let told_at = told_at.map(|one| one.address.clone());
    let drivers = Arc::new(drivers);
    let _one_instance = drivers.keys().map(|a| hold(&options.state_dir, a)).collect::<Result<Vec<_>, _>>()?;
    let armed = options.armed_flag.exists();
    let lines = records.len();
    let setup = Setup { ledger: ledger.id(), armed, resources, rules: service_core::Rules::default() };
    let core = Core::new(setup, records);

    let (inputs, more) = mpsc::channel(QUEUE);
    let (asked, questions) = mpsc::channel(QUEUE);
    let answers = Answers::default();
    let runtime = Handle::current();
    let hands = Hands { drivers: Arc::clone(&drivers), back: inputs.clone(), runtime: runtime.clone() };
    let runner = bus::Runner { client: options.client.clone(), subject: options.prefix.confirm(), inputs };

    let (own, owned) = mpsc::channel(QUEUE);
    let _watching = booted::start(&options, &drivers, &own, &stop);
    drop(own);
    let _tending = tend::start(&drivers, &options.armed_flag, &stop);
    let addresses: Vec<Address> = drivers.keys().cloned().collect();
    bus::register(&options, &addresses, &asked, &answers, &stop).await?;
    drop(asked);
    let client = options.client.clone();
    let serving = Serving {
        options,
        core,
        writer: Writer::new(ledger, lines),
        hands,
        runner,
        answers: answers.clone(),
        own: BTreeMap::new(),
        ready: VecDeque::new(),
        last: 0,
        addresses,
        told_at,
        drivers,
        checks: Arc::new(Semaphore::new(CHECKS_MAX)),
    };
    let told = stop.clone();
    let thread = std::thread::Builder::new()
        .name("ledger".into())
        .spawn(move || runtime.block_on(serving.run(questions, more, owned, told)))
        .map_err(ServeError::Thread)?;
    // It ends when it is told to. If it ended before, something of it is broken.
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    answers.sent(DRAIN).await;
    let _ = tokio::time::timeout(Duration::from_secs(2), client.flush()).await;
    match (joined, stop.is_cancelled()) {
        (Ok(Ok(())), true) => Ok(()),
        _ => Err(ServeError::Thread(std::io::Error::other("it ended; see the log"))),
    }
}

/// One service instance a resource: whoever comes second is refused.
pub(crate) fn hold(dir: &Path, address: &Address) -> Result<File, ServeError> {
    let path = dir.join(format!("{}.{}.serving", address.service, address.resource));
    let failed = |source| ServeError::Ledger(LedgerError::Io { path: path.clone(), source });
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::Ledger(LedgerError::Locked(path))),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
