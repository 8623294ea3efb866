//! Kills the runner with signal 9 at instants that are seen on the bus, not guessed by a clock: as soon as a
//! certain message goes by, or a drawn part of a millisecond later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use rustix::process::Signal;
use schemas::{Action, Address, Prefix, Service, Verb};

use super::chance::Chance;
use crate::standin::now_ms;
use crate::system::marked;
use crate::system::plan::Site;

/// Below a millisecond: the services need longer than that for what is asked.
const AFTER_AT_MOST_US: u64 = 800;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Within which part of a run the runner is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A request is sent and its outcome is not recorded.
    Request,
    /// The database is being opened.
    Opening,
}

/// When the runner is to be killed.
#[derive(Debug, Clone)]
pub struct Shot {
    /// Within which part.
    pub part: Part,
    /// The request within which it is.
    pub address: Address,
    /// What that asks.
    pub action: Action,
    /// The message that is waited for.
    pub subject: String,
    /// So much later.
    pub after: Duration,
}

/// A kill that was done.
#[derive(Debug, Clone)]
pub struct Fired {
    /// Which.
    pub shot: Shot,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

impl std::fmt::Display for Shot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} µs after `{}` was seen", self.after.as_micros(), self.subject)
    }
}

/// Draws where the runner dies in a failover: once before the opening, once within it, once after it.
///
/// # Errors
///
/// Never for the lab's own names.
pub fn draw(chance: &mut Chance) -> anyhow::Result<Vec<Shot>> {
    let prefix = Prefix::new("pointsman")?;
    let mut shot = |part, service, resources: &[&str], action, confirm: bool| -> anyhow::Result<Shot> {
        let resource = chance.pick(resources).context("no resource")?.parse()?;
        let address = Address { site: Site::Secondary.name().parse()?, service, resource };
        let subject = match confirm && chance.below(2) == 1 {
            true => prefix.confirm(),
            false => prefix.request(&address, Verb::Act(action)),
        };
        let after = Duration::from_micros(chance.below(AFTER_AT_MOST_US));
        Ok(Shot { part, address, action, subject, after })
    };
    let processes = ["scs-msg", "cs-primary", "cs-backup", "master-scs"];
    Ok(vec![
        shot(Part::Request, Service::Replication, &["csp"], Action::Abandon, false)?,
        shot(Part::Opening, Service::Database, &["config"], Action::EnableAccess, true)?,
        shot(Part::Request, Service::Process, &processes, Action::StartProcess, false)?,
    ])
}

/// Who waits for the messages, one shot after the other.
#[derive(Debug)]
pub struct Killer {
    pid: Arc<AtomicU32>,
    fired: Receiver<Fired>,
}

impl Killer {
    /// Begins to wait; returns when the first message cannot be missed any more.
    ///
    /// # Errors
    ///
    /// When the bus does not answer.
    pub fn start(server: String, shots: Vec<Shot>, runner: u32) -> anyhow::Result<Self> {
        let pid = Arc::new(AtomicU32::new(runner));
        let (told, fired) = channel();
        let (ready, waits) = channel();
        let target = pid.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let done = match runtime {
                Ok(runtime) => runtime.block_on(watch(&server, shots, &target, &told, &ready)),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = done {
                tracing::error!("{error:#}");
            }
        });
        waits.recv_timeout(CONNECT_WITHIN).context("nobody watches the bus")?;
        Ok(Self { pid, fired })
    }

    /// The next kill that was done, if there is one.
    pub fn fired(&self) -> Option<Fired> {
        self.fired.try_recv().ok()
    }

    /// Says whom to kill next.
    pub fn aim(&self, runner: u32) {
        self.pid.store(runner, Ordering::SeqCst);
    }
}

async fn watch(
    server: &str,
    shots: Vec<Shot>,
    pid: &AtomicU32,
    told: &Sender<Fired>,
    ready: &Sender<()>,
) -> anyhow::Result<()> {
    let bus = async_nats::connect(server).await?;
    for shot in shots {
        // Only this subject, and only until it was seen: whoever listens for requests keeps the bus from
        // saying that nobody does.
        let mut messages = bus.subscribe(shot.subject.clone()).await?;
        bus.flush().await?;
        let _ = ready.send(());
        messages.next().await.context("the bus is gone")?;
        if !shot.after.is_zero() {
            std::thread::sleep(shot.after);
        }
        marked::signal(&[pid.load(Ordering::SeqCst)], Signal::KILL);
        let at = now_ms();
        messages.unsubscribe().await?;
        bus.flush().await?;
        if told.send(Fired { shot, at }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
