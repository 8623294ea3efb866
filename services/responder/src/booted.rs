//! After a boot of a database's server, an open database stays open only where somebody confirms that its epoch is
//! still the latest: the runner, or the other site, which holds no later one. Else it is closed on sight, and opened
//! again on the runner's yes: as every opening, it needs one.
//!
//! Restarting this program changes nothing: what counts is the life of the server, and that is kept in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt;
use schemas::event::DATABASE_KEPT_CLOSED;
use schemas::{
    Access, Action, Address, Answer, Attempt, ConfirmRequest, Effect, Epoch, Frame, GroupId, Key, MessageId,
    Observation, Position, Prefix, RunId, Seen, Service, Verb,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service_core::{Answered, Ask};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::{Heard, ask_runner};
use crate::{Driver, Herald, Pager, ServeOptions};

/// Between two looks at the server's life.
const EVERY: Duration = Duration::from_millis(500);
/// A yes or no has so long to come: meanwhile a stale site would take writes.
const CONFIRM_WITHIN: Duration = Duration::from_millis(500);
/// How long other sites' services have to say that they are there.
const FOUND_WITHIN: Duration = Duration::from_millis(300);
/// The bound of the close and of the opening.
const ACT_WITHIN: Duration = Duration::from_secs(15);
/// Between two questions whether what was kept closed may open.
const AGAIN: Duration = Duration::from_secs(3);

/// So long it is tried to tell people.
const PAGED_FOR: Duration = Duration::from_secs(3600);

/// A question of this process to its own core.
pub(crate) struct Own {
    pub(crate) address: Address,
    pub(crate) ask: Ask,
    pub(crate) answer: oneshot::Sender<Answered>,
}

/// The life of a server that was judged, and whether its database was kept closed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Judged {
    life: String,
    kept: bool,
    /// It is being closed, or was started closed: this life is still to be judged.
    closing: bool,
    /// The boot of the host in which the server was last seen, or started.
    boot: String,
}

/// Watches every driver that closes on sight, until `stop`, or until the set is dropped.
pub(crate) fn start(
    options: &ServeOptions,
    drivers: &BTreeMap<Address, Arc<dyn Driver>>,
    own: &mpsc::Sender<Own>,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for (address, driver) in drivers.iter().filter(|(_, driver)| driver.closes_on_sight()) {
        let watch = Watch {
            address: address.clone(),
            driver: Arc::clone(driver),
            file: options.state_dir.join(format!("{}.{}.life", address.service, address.resource)),
            armed: options.armed_flag.clone(),
            own: own.clone(),
            client: options.client.clone(),
            prefix: options.prefix.clone(),
            host: options.host.clone(),
            herald: Herald::new(options.client.clone(), options.prefix.clone(), &options.host),
            pager: options.pager.clone(),
        };
        let stop = stop.clone();
        all.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = watch.run() => {}
            }
        });
    }
    all
}

struct Watch {
    address: Address,
    driver: Arc<dyn Driver>,
    file: PathBuf,
    armed: PathBuf,
    own: mpsc::Sender<Own>,
    client: Client,
    prefix: Prefix,
    host: String,
    herald: Herald,
    pager: Option<Pager>,
}

/// Who holds the resource.
struct Holder {
    group: GroupId,
    epoch: Epoch,
    run: RunId,
}

impl Watch {
    async fn run(&self) {
        loop {
            sleep(EVERY).await;
            if !self.armed.exists() {
                continue;
            }
            let known = read(&self.file);
            // A server that is down lets nobody write.
            let Ok(life) = self.driver.life().await else {
                if let Some(judged) = known.filter(|_| self.driver.starts_closed()) {
                    self.start(judged).await;
                }
                continue;
            };
            match known {
                Some(judged) if judged.life != life || judged.closing => {
                    self.judge(life, judged.closing).await
                }
                Some(judged) if judged.kept => self.kept(life).await,
                Some(_) => {}
                // The first time: whoever adopts this database sees how it stands.
                None => self.note(Judged { life, ..Judged::default() }),
            }
        }
    }

    /// The server does not run. After a boot of the host it is started closed, once; a person who stops it later means it.
    async fn start(&self, judged: Judged) {
        if judged.boot == host_boot() {
            return;
        }
        self.note(Judged { closing: true, ..judged });
        tracing::info!(resource = %self.address, "the host was started anew: its server is started, closed");
        if let Err(error) = self.driver.start_closed().await {
            tracing::error!(resource = %self.address, %error, "its server was not started closed: start it by hand");
        }
    }

    /// A life that nobody has judged yet. One that is `closing` has its writers shut out already, at least in part.
    async fn judge(&self, life: String, closing: bool) {
        let Some(seen) = self.observe().await else { return };
        let Some(holder) = holder(&seen).filter(|_| is_open(&seen.seen)) else {
            if !matches!(seen.seen, Seen::Nothing(_)) {
                self.note(Judged { life, kept: closing, ..Judged::default() });
            }
            return;
        };
        match self.confirmed(&holder).await {
            // What was started closed opens as every database does: by an act, on the runner's yes.
            Ok(_) if closing && !is_whole(&seen.seen) => {
                self.note(Judged { life, kept: true, ..Judged::default() });
            }
            Ok(by) => {
                tracing::info!(resource = %self.address, epoch = %holder.epoch, by, "its server was started anew; it stays open");
                self.note(Judged { life, ..Judged::default() });
            }
            Err(why) => {
                // First on disk: who dies in the middle of the close goes on with it.
                self.note(Judged { life: life.clone(), kept: true, closing: true, ..Judged::default() });
                if self.act(&holder, Action::DisableAccess).await {
                    self.note(Judged { life, kept: true, ..Judged::default() });
                    tracing::error!(
                        resource = %self.address, epoch = %holder.epoch, why,
                        "its server was started anew and nobody confirms its epoch: closed; \
                         `pointsman release {} --here` opens it", self.address.resource
                    );
                    self.tell(&holder, &why);
                }
            }
        }
    }

    /// Kept closed: opened as soon as somebody confirms it, and left alone once it is open.
    async fn kept(&self, life: String) {
        sleep(AGAIN).await;
        let Some(seen) = self.observe().await else { return };
        let (open, unseen) = (is_whole(&seen.seen), matches!(seen.seen, Seen::Nothing(_)));
        let Some(holder) = holder(&seen).filter(|_| !unseen) else { return };
        let opened = open || self.runner_says(&holder).await && self.act(&holder, Action::EnableAccess).await;
        if opened {
            tracing::info!(resource = %self.address, epoch = %holder.epoch, "is open again");
            self.note(Judged { life, ..Judged::default() });
        }
    }

    /// Every opening needs the runner's yes: the other site's word would not do.
    async fn runner_says(&self, holder: &Holder) -> bool {
        let question = self.question(holder);
        let heard = ask_runner(&self.client, self.prefix.confirm(), &question, CONFIRM_WITHIN).await;
        matches!(heard, Heard::Yes)
    }

    /// Who says that the epoch is the latest, and this the site that is live in it; or why nobody does. A no of the
    /// runner stands; where it is silent, the other site's word counts.
    async fn confirmed(&self, holder: &Holder) -> Result<&'static str, String> {
        let question = self.question(holder);
        match ask_runner(&self.client, self.prefix.confirm(), &question, CONFIRM_WITHIN).await {
            Heard::Yes => Ok("the runner"),
            Heard::No(problem) => Err(problem.to_string()),
            Heard::Nothing(_) => self.other_site(holder).await.map(|()| "the other site"),
        }
    }

    fn question(&self, holder: &Holder) -> ConfirmRequest {
        ConfirmRequest {
            address: self.address.clone(),
            group: holder.group.clone(),
            key: Key { run: holder.run, position: Position::boot(Uuid::now_v7()) },
            attempt: Attempt::FIRST,
            epoch: holder.epoch,
            nonce: MessageId(Uuid::new_v4()),
        }
    }

    /// The same database at another site is closed and holds no later epoch: every later run would have claimed it.
    async fn other_site(&self, holder: &Holder) -> Result<(), String> {
        let others = self.others().await;
        let mut heard = false;
        for other in others {
            let subject = self.prefix.request(&other, Verb::Observe);
            let asked = timeout(CONFIRM_WITHIN, self.client.request(subject, "null".into())).await;
            let Ok(Ok(message)) = asked else { continue };
            let Ok(seen) = serde_json::from_slice::<Observation>(&message.payload) else { continue };
            if seen.epoch > holder.epoch {
                return Err(format!("{other} holds epoch {}, this is {}", seen.epoch, holder.epoch));
            }
            if is_open(&seen.seen) {
                return Err(format!("{other} is open"));
            }
            heard |= seen.adopted && !matches!(seen.seen, Seen::Nothing(_));
        }
        match heard {
            true => Ok(()),
            false => Err("neither the runner nor the other site answers".into()),
        }
    }

    /// Databases of this name at other sites, as their services say that they are there (ADR-32).
    async fn others(&self) -> BTreeSet<Address> {
        let mut found = BTreeSet::new();
        let inbox = self.client.new_inbox();
        let Ok(mut infos) = self.client.subscribe(inbox.clone()).await else { return found };
        let subject = format!("$SRV.INFO.pointsman-{}", Service::Database);
        if self.client.publish_with_reply(subject, inbox, "".into()).await.is_err() {
            return found;
        }
        let all = async {
            while let Some(info) = infos.next().await {
                let Ok(info) = serde_json::from_slice::<Info>(&info.payload) else { continue };
                for endpoint in info.endpoints {
                    // Subscribed to with a wildcard for the verb.
                    let subject = endpoint.subject.replace('*', "observe");
                    if let Ok((address, _)) = self.prefix.parse_request(&subject)
                        && address.resource == self.address.resource
                        && address.service == self.address.service
                        && address.site != self.address.site
                    {
                        found.insert(address);
                    }
                }
            }
        };
        let _ = timeout(FOUND_WITHIN, all).await;
        found
    }

    async fn observe(&self) -> Option<Observation> {
        match self.asked(Ask::Observe).await {
            Some(Answered::Observation(seen)) => Some(seen),
            _ => None,
        }
    }

    /// Whether it is in effect now.
    async fn act(&self, holder: &Holder, action: Action) -> bool {
        let frame = Frame {
            id: MessageId(Uuid::now_v7()),
            source: format!("/boot/{}", self.host),
            group: holder.group.clone(),
            key: Key { run: holder.run, position: Position::boot(Uuid::now_v7()) },
            attempt: Attempt::FIRST,
            epoch: holder.epoch,
            act_within: ACT_WITHIN,
            expires: chrono::Utc::now() + ACT_WITHIN,
            traceparent: None,
        };
        let args = json!({ "resource": self.address.resource, "site": self.address.site });
        debug_assert!(matches!(action.effect(), Effect::Closes | Effect::Opens));
        match self.asked(Ask::Act { frame, action, args }).await {
            Some(Answered::Reply(reply))
                if matches!(reply.answer, Answer::Applied | Answer::AlreadyApplied) =>
            {
                true
            }
            other => {
                tracing::warn!(resource = %self.address, %action, answer = ?other, "after a boot: not done, tried again");
                false
            }
        }
    }

    async fn asked(&self, ask: Ask) -> Option<Answered> {
        let (answer, answered) = oneshot::channel();
        self.own.send(Own { address: self.address.clone(), ask, answer }).await.ok()?;
        timeout(ACT_WITHIN * 2, answered).await.ok()?.ok()
    }

    /// Whatever is noted is of this boot.
    fn note(&self, judged: Judged) {
        let judged = Judged { boot: host_boot(), ..judged };
        if let Err(error) = write(&self.file, &judged) {
            tracing::error!(file = %self.file.display(), %error, "could not be written: it is judged again");
        }
    }

    /// To whoever listens, once.
    fn tell(&self, holder: &Holder, why: &str) {
        let data = json!({
            "site": self.address.site, "resource": self.address.resource, "group": holder.group,
            "epoch": holder.epoch, "why": why,
        });
        if let Some(pager) = &self.pager {
            tokio::spawn(page(pager.clone(), data.clone()));
        }
        self.herald.say(&self.address, "database-kept-closed", DATABASE_KEPT_CLOSED, data);
    }
}

/// Tries until people were told, for an hour.
async fn page(pager: Pager, data: serde_json::Value) {
    let until = tokio::time::Instant::now() + PAGED_FOR;
    let mut pause = Duration::from_secs(2);
    while let Err(why) = pager(data.clone()).await {
        if tokio::time::Instant::now() + pause > until {
            tracing::error!(why, "people could not be told that a database is kept closed");
            return;
        }
        tracing::warn!(why, "people were not told yet that a database is kept closed; tried again");
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    subject: String,
}

fn is_open(seen: &Seen) -> bool {
    matches!(seen, Seen::Database(database) if database.access != Access::Closed)
}

/// Open to every writer, not in part.
fn is_whole(seen: &Seen) -> bool {
    matches!(seen, Seen::Database(database) if database.access == Access::Open)
}

/// Which boot of the host this is; empty where the kernel does not say (random(4)).
fn host_boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn holder(seen: &Observation) -> Option<Holder> {
    let (group, run) = (seen.group.clone()?, seen.run?);
    seen.adopted.then_some(Holder { group, epoch: seen.epoch, run })
}

fn read(file: &Path) -> Option<Judged> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// On disk when it returns: a host that boots again must not take an unjudged life for a judged one.
fn write(file: &Path, judged: &Judged) -> std::io::Result<()> {
    use std::io::Write;
    let part = file.with_extension("life-part");
    let mut open = std::fs::File::create(&part)?;
    open.write_all(&serde_json::to_vec(judged)?)?;
    open.sync_all()?;
    std::fs::rename(&part, file)?;
    match file.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
