//! Logical replication of PostgreSQL (recipes and traps: docs, "Replication").
//!
//! A mark is a sentinel row with its own number. It is proved applied when the row is seen at the receiver
//! *and* the origin's progress, flushed, is at or past the source's position of before the row: seen alone is
//! not durable (apply commits asynchronously), and progress alone never passes log that decodes to nothing.
//!
//! What changes a subscription goes through functions that the DBA installed, holds the claim's epoch in
//! the same transaction, and is limited to the names that were set up.

mod by_hand;
mod compare;
mod copy;
mod export;
mod orphans;
mod preflight;
mod receiver;
mod schema;
mod seen;
mod source;
mod start;
mod why;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postgres::{Claim, Fate, Identity, Lsn, PgError, Server, setup, sqlstate};
use responder::{Act, Driver, DriverError, Look};
use schemas::args::{self, AbandonArgs, CopyArgs, ExportArgs, MarkArgs, ReceiverArgs};
use schemas::{Action, CheckLine, Code, Epoch, GroupId, Problem, ResourceId, RunId, Seen, SiteId};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::ledger::Folder;
use crate::settings::{Half, Own, Place, PostgresSettings};
use orphans::Orphans;
use why::Why;

/// Kept back of an act's bound, to end its session and look when it went wrong.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two heartbeats of a live database.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The longest pause between two looks at something that others bring about.
const EVERY: Duration = Duration::from_millis(8);

/// The driver of one half of a replication.
#[derive(Debug)]
pub struct PostgresReplication {
    server: Server,
    /// The files with the connection strings: its own and the peer's.
    files: (PathBuf, Option<PathBuf>),
    peer: Option<Server>,
    site: String,
    here: SiteId,
    resource: ResourceId,
    ledgers: Folder,
    why: Why,
    orphans: Orphans,
    settings: PostgresSettings,
}

impl PostgresReplication {
    /// The half that `settings` name, of the database behind `own`. Opens no session yet.
    #[must_use]
    pub fn new(settings: PostgresSettings, own: &Own, place: &Place) -> Self {
        let identity = Identity {
            site: place.site.to_string(),
            resource: settings.database.to_string(),
            uuid: own.identity,
        };
        let name = place.resource.as_str();
        let server = Server::new(own.dsn.clone(), "replication", name, &place.life, Some(identity));
        let peer_file = settings.peer.as_ref().map(|file| file.under(&place.folder));
        let peer = peer_file.as_ref().map(|file| server.peer(file));
        Self {
            server,
            files: (own.dsn.clone(), peer_file),
            peer,
            site: place.site.to_string(),
            here: place.site.clone(),
            resource: place.resource.clone(),
            ledgers: Folder::new(&place.state),
            orphans: Orphans::new(),
            why: Why::new(settings.server_log.as_ref().map(|file| place.folder.join(file))),
            settings,
        }
    }

    /// Stamps a heartbeat, at the source's half of an open database; whether it did.
    ///
    /// # Errors
    ///
    /// No session, or an older set-up.
    pub async fn heartbeat(&self) -> Result<bool, PgError> {
        if matches!(self.settings.half, Half::Receiver { .. }) {
            return Ok(false);
        }
        let session = self.server.look(self.look_within()).await?;
        session.json("SELECT to_jsonb(pointsman.heartbeat())", &[]).await
    }

    fn look_within(&self) -> Duration {
        self.settings.look_within.duration()
    }

    async fn is_set_up(&self) -> Result<(), Problem> {
        let looked = async {
            let session = self.server.look(self.look_within()).await?;
            setup::outdated(&session).await
        };
        match looked.await {
            Ok(None) => Ok(()),
            Ok(Some(why)) => {
                let remedy = "run `pointsman setup postgres --print` in it again";
                Err(Problem::new(Code::BadConfiguration, format!("{why}: {remedy}")))
            }
            Err(error) => Err(Problem::new(error.code(), error.to_string())),
        }
    }

    async fn looked(&self, action: Action, args: &Value) -> Result<Look, PgError> {
        let session = self.server.look(self.look_within()).await?;
        match (&self.settings.half, action) {
            (Half::Receiver { .. }, Action::Compare) => Ok(Look::NotInEffect("it is compared anew".into())),
            (Half::Receiver { subscription, .. }, Action::Copy) => {
                let seen = seen::Receiver::see(&session, subscription).await?;
                let known = copy::Seen::see(&session, subscription).await?;
                Ok(match known.as_ref().and_then(|known| known.complete(&seen)) {
                    Some(output) => Look::InEffect(output),
                    None => {
                        Look::NotInEffect(known.map_or("there was no copy".into(), |known| known.words()))
                    }
                })
            }
            (Half::Receiver { subscription, .. }, Action::Cleanup) => {
                Ok(match copy::is_clean(&session, subscription).await? {
                    true => Look::InEffect(json!(args::CleanupOutput::default())),
                    false => Look::NotInEffect("tables are kept aside".into()),
                })
            }
            // A mark is made anew each time: an old one proves nothing about now. Nor does an old ledger.
            (Half::Source { .. }, Action::Mark) => Ok(Look::NotInEffect("a mark is made anew".into())),
            (Half::Source { .. }, Action::Export) => Ok(Look::NotInEffect("the slot is read anew".into())),
            (Half::Source { slot, publication, .. }, action) => {
                source::look(&session, slot, publication, action).await
            }
            (Half::Receiver { subscription, .. }, action) => {
                receiver::look(&session, subscription, action, args).await
            }
        }
    }

    async fn done(&self, act: &Act, within: Duration) -> Result<Value, PgError> {
        let claim = Claim::new(&act.group, act.epoch, act.run);
        let session = self.server.act(within).await?;
        match (&self.settings.half, act.action) {
            (Half::Source { .. }, Action::Mark) => source::mark(&session, &claim).await,
            (Half::Source { slot, publication, .. }, Action::Capture) => {
                let _alone = self.orphans.alone().await;
                source::capture(&self.server, &session, slot, publication, &self.settings, &claim).await
            }
            (Half::Source { slot, publication, .. }, Action::Export) => {
                let _alone = self.orphans.alone().await;
                export::export(self, &session, slot, publication, applied(&act.args)?, &claim).await
            }
            (Half::Source { slot, publication, .. }, _) => {
                let _alone = self.orphans.alone().await;
                source::discard(&session, slot, publication, &claim).await
            }
            (Half::Receiver { subscription, .. }, action) => match action {
                Action::Drain => {
                    let mark = read::<MarkArgs>(&act.args)?.mark;
                    receiver::drain(&session, subscription, &mark, &self.why).await
                }
                Action::StartReplication => start::start(self, &session, subscription, &claim).await,
                Action::StopReplication => {
                    let mark = read::<ReceiverArgs>(&act.args)?.mark;
                    receiver::stop(&session, subscription, mark.as_ref(), &claim).await
                }
                Action::SetSequences => {
                    receiver::set_sequences(&session, &read::<MarkArgs>(&act.args)?.mark, &claim).await
                }
                Action::Copy => {
                    copy::copy(self, &session, subscription, &read::<CopyArgs>(&act.args)?, &claim).await
                }
                Action::Compare => compare::compare(self, &session, subscription).await,
                Action::Cleanup => copy::cleanup(&session, subscription, &claim).await,
                _ => {
                    let gap = read::<AbandonArgs>(&act.args)?.gap;
                    receiver::abandon(&session, subscription, gap, &claim).await
                }
            },
        }
    }

    /// An act that broke: its session is ended, and the world says what became of it.
    async fn settle(&self, act: &Act, error: &PgError, until: Instant) -> Result<Value, DriverError> {
        if error.fate() != Fate::Unknown {
            return Err(told(error));
        }
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(200));
        if let Err(second) = self.server.act(left).await {
            return Err(DriverError::unknown(error.code(), format!("{error}; then {second}")));
        }
        match self.look(act.action, &act.args).await {
            Look::InEffect(output) => Ok(output),
            Look::NotInEffect(found) => {
                Err(DriverError::not_done(error.code(), format!("{error}; found {found}")))
            }
            Look::CannotTell(why) => Err(DriverError::unknown(error.code(), format!("{error}; then {why}"))),
        }
    }
}

/// Up to where the receiver has applied.
fn applied(args: &Value) -> Result<Lsn, PgError> {
    read::<ExportArgs>(args)?.applied.parse().map_err(|e: postgres::BadLsn| precondition(e.to_string()))
}

/// As it is told to the responder.
fn told(error: &PgError) -> DriverError {
    match error.fate() {
        Fate::NothingStarted | Fate::Ended => DriverError::not_done(error.code(), error.to_string()),
        Fate::Unknown => DriverError::unknown(error.code(), error.to_string()),
    }
}

/// Whether a named role can write here now.
async fn is_open(session: &postgres::Session) -> Result<bool, PgError> {
    session.json("SELECT to_jsonb(pointsman.is_open())", &[]).await
}

/// What was found does not allow the act.
fn precondition(message: impl Into<String>) -> PgError {
    server_error(sqlstate::PRECONDITION, message)
}

/// The act's bound passed.
fn too_slow(message: impl Into<String>) -> PgError {
    server_error(sqlstate::CANCELED, message)
}

fn server_error(sqlstate: &str, message: impl Into<String>) -> PgError {
    PgError::Server { sqlstate: sqlstate.into(), message: message.into(), detail: None, hint: None }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, PgError> {
    args::read(value).map_err(|problem| precondition(problem.to_string()))
}

#[async_trait]
impl Driver for PostgresReplication {
    fn actions(&self) -> &[Action] {
        match self.settings.half {
            Half::Source { .. } => &[Action::Mark, Action::Capture, Action::Discard, Action::Export],
            Half::Receiver { .. } => &[
                Action::Drain,
                Action::StartReplication,
                Action::StopReplication,
                Action::SetSequences,
                Action::Abandon,
                Action::Copy,
                Action::Compare,
                Action::Cleanup,
            ],
        }
    }

    fn by_hand(&self, group: &GroupId, action: Action, args: &Value) -> Vec<String> {
        let (own, peer) = &self.files;
        by_hand::lines(&self.settings.half, own, peer.as_deref(), group, action, args)
    }

    /// Refuses arguments that do not read, and a copy or a comparison by an older set-up, which would find out in its
    /// middle. What else the world does not allow shows in the act, which looks first and changes nothing then.
    async fn check(&self, action: Action, args: &Value) -> Result<(), Problem> {
        match action {
            Action::Drain | Action::SetSequences => {
                let mark = args::read::<MarkArgs>(args)?.mark;
                let bad = |e: postgres::BadLsn| Problem::new(Code::Malformed, format!("the mark: {e}"));
                mark.lsn.parse::<postgres::Lsn>().map(drop).map_err(bad)
            }
            Action::StartReplication | Action::StopReplication => args::read::<ReceiverArgs>(args).map(drop),
            Action::Abandon => args::read::<AbandonArgs>(args).map(drop),
            Action::Export => {
                let bad = |e: postgres::BadLsn| Problem::new(Code::Malformed, e.to_string());
                args::read::<ExportArgs>(args)?.applied.parse::<Lsn>().map(drop).map_err(bad)
            }
            Action::Copy => {
                let args = args::read::<CopyArgs>(args)?;
                match args.ledger.is_some() == args.waived.is_some() {
                    true => Err(Problem::new(Code::Malformed, "exactly one of `ledger` and `waived`")),
                    false => self.is_set_up().await,
                }
            }
            Action::Compare => self.is_set_up().await,
            _ => Ok(()),
        }
    }

    async fn preflight(&self) -> Vec<CheckLine> {
        preflight::lines(self).await
    }

    /// The source's half: *stopped* without a slot, *capturing* with one that nobody reads, *running* while
    /// it is read; the lag is unknown unless it is read, and where the slot is lost. The receiver's half:
    /// *stopped* unless enabled, else *running*, or *draining* while it is behind or has no worker; in each of them
    /// `copy` says that tables are missing. `trouble` says what is wrong; `detail` has all that was seen.
    async fn observe(&self) -> Result<Seen, DriverError> {
        let seen = async {
            let session = self.server.look(self.look_within()).await?;
            match &self.settings.half {
                Half::Source { slot, publication, .. } => {
                    let found = seen::Source::see(&session, slot, publication).await?;
                    let mut seen = found.told(slot);
                    // Of a slot that is gone, or is read again, what was counted holds no more.
                    seen.orphans = self.orphans.known().filter(|_| found.exists && !found.active);
                    Ok::<_, PgError>(seen)
                }
                Half::Receiver { subscription, .. } => {
                    let found = seen::Receiver::see(&session, subscription).await?;
                    let trouble = self.why.trouble(&session, subscription, &found).await;
                    let mut seen = found.told(trouble);
                    let copy = copy::Seen::see_aside(&session, subscription).await?;
                    let aside = copy.as_ref().map(copy::Seen::aside).unwrap_or_default();
                    seen.aside = Some(Box::new(aside));
                    // One that an act began is measured; that tables are missing, the server says.
                    let measured = copy.and_then(|copy| copy.progress());
                    seen.copy = seen.copy.map(|missing| measured.unwrap_or(missing));
                    Ok(seen)
                }
            }
        };
        seen.await.map(Seen::Replication).map_err(|error| told(&error))
    }

    async fn look(&self, action: Action, args: &Value) -> Look {
        self.looked(action, args).await.unwrap_or_else(|error| Look::CannotTell(error.to_string()))
    }

    async fn act(&self, act: &Act) -> Result<Value, DriverError> {
        if !self.actions().contains(&act.action) {
            return Err(DriverError::not_done(
                Code::Refused,
                format!("{} is for the other half", act.action),
            ));
        }
        self.orphans.touched();
        let until = Instant::now() + act.within;
        let work = act.within.saturating_sub(SETTLE.min(act.within / 3));
        match self.done(act, work).await {
            Ok(output) => Ok(output),
            Err(error) => self.settle(act, &error, until).await,
        }
    }

    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        self.server.end_earlier(within).await.map_err(|error| told(&error))
    }

    fn tends(&self) -> Option<Duration> {
        matches!(self.settings.half, Half::Source { .. }).then_some(HEARTBEAT)
    }

    async fn tend(&self) -> Result<(), DriverError> {
        let tended = match self.heartbeat().await {
            Ok(true) => {
                self.orphans.open();
                Ok(())
            }
            Ok(false) => self.orphans.tend(self).await,
            Err(error) => Err(error),
        };
        tended.map_err(|error| told(&error))
    }

    async fn raise_epoch(&self, group: &GroupId, epoch: Epoch, run: RunId) -> Result<(), DriverError> {
        self.orphans.touched();
        let claim = Claim::new(group, epoch, run);
        self.server.raise_epoch(&claim, self.look_within()).await.map_err(|error| told(&error))
    }
}
