//! PostgreSQL: the access of named roles (recipes and measurements: docs, "Close and open access").
//!
//! A close is `NOLOGIN` and revoked grants, *then* a loop that ends sessions until there is none, then the
//! rollback of prepared transactions, then a look, and only then the position is read: `REVOKE` does not
//! stop an open transaction from committing, and a session in the middle of its login is not yet seen.
//!
//! What changes the access compares the epoch in the database and writes it in the same transaction; an
//! opening also carries a deadline by the database's own clock, looked at just before its commit. So a
//! statement that a killed or frozen service left behind cannot open anything later.

mod by_hand;
mod close;
mod debian;
mod open;
mod preflight;
mod state;
mod write;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use config::Span;
use exec::{Children, Guard, Script};
use postgres::settings::Access as Mode;
use postgres::{Claim, Fate, Identity, PgError, Server, Session};
use responder::{Act, Driver, DriverError, Look, path_word};
use schemas::args::AccessOutput;
use schemas::{Access, Action, CheckLine, Code, DatabaseSeen, Epoch, GroupId, Problem, Role, RunId, Seen};
use serde_json::{Value, json};

use crate::settings::{Boot, Place, PostgresSettings};
use state::{Asked, Beside, State};

/// Kept back of an act's bound, to end its session and look when it went wrong.
const SETTLE: Duration = Duration::from_secs(2);

/// So long counts, for an opening, that nothing was seen to keep a close from holding: that look is dear.
const BESIDE_COUNTS: Duration = Duration::from_secs(10);

/// Said before anybody is shut out: half a close would be left.
const OLD_SET_UP: &str =
    "its set-up is of an older version: run `pointsman setup postgres --print` in it again";

/// How long a server may take to start closed: it recovers from a crash first.
const START_WITHIN: Duration = Duration::from_secs(15 * 60);

/// The driver of one database.
#[derive(Debug)]
pub struct PostgresAccess {
    server: Server,
    dsn: PathBuf,
    writers: Vec<String>,
    mode: Mode,
    look_within: Span,
    boot: Boot,
    guard: Guard,
    /// What would keep a close from holding, as it was last seen.
    beside: Mutex<Option<(Instant, Beside)>>,
}

impl PostgresAccess {
    /// The database that `settings` name; `guard` is for the script that starts its server closed. Opens no session yet.
    #[must_use]
    pub fn new(settings: PostgresSettings, place: &Place, guard: Guard) -> Self {
        let identity = Identity {
            site: place.site.to_string(),
            resource: place.resource.to_string(),
            uuid: settings.identity,
        };
        let dsn = settings.dsn.under(&place.folder);
        let server =
            Server::new(dsn.clone(), "database", place.resource.as_str(), &place.life, Some(identity));
        Self {
            server,
            dsn,
            writers: settings.writers,
            mode: settings.access,
            look_within: settings.look_within,
            boot: match settings.boot {
                Boot::Closed(script) => Boot::Closed(place.folder.join(script)),
                other => other,
            },
            guard,
            beside: Mutex::default(),
        }
    }

    /// What the roles can do now.
    async fn state(&self, session: &Session) -> Result<State, PgError> {
        State::see(session, &self.writers, &self.mode).await
    }

    async fn see_beside(&self, session: &Session) -> Result<Beside, PgError> {
        let seen = Beside::see(session).await?;
        *self.beside() = Some((Instant::now(), seen.clone()));
        Ok(seen)
    }

    fn beside(&self) -> MutexGuard<'_, Option<(Instant, Beside)>> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn looked(&self, action: Action) -> Result<Look, PgError> {
        if action == Action::VerifyWrite {
            // What was written before proves nothing about now.
            return Ok(Look::NotInEffect("a write is made anew".into()));
        }
        let session = self.server.look(self.look_within.duration()).await?;
        let state = self.state(&session).await?;
        let wanted = match action {
            Action::DisableAccess => Access::Closed,
            _ => Access::Open,
        };
        if state.access() != wanted {
            return Ok(Look::NotInEffect(state.words()));
        }
        let output = AccessOutput { ended: 0, lsn: state.lsn };
        Ok(Look::InEffect(json!(output)))
    }

    /// An act that broke: its session is ended, and the world says what became of it.
    async fn settle(&self, act: &Act, error: &PgError, until: Instant) -> Result<Value, DriverError> {
        if error.fate() != Fate::Unknown {
            return Err(told(error));
        }
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(200));
        // `act` returns when the session of the broken act is seen gone.
        if let Err(second) = self.server.act(left).await {
            return Err(DriverError::unknown(error.code(), format!("{error}; then {second}")));
        }
        match self.looked(act.action).await {
            Ok(Look::InEffect(output)) => Ok(output),
            Ok(Look::NotInEffect(found)) => {
                Err(DriverError::not_done(error.code(), format!("{error}; found {found}")))
            }
            Ok(Look::CannotTell(why)) => Err(DriverError::unknown(error.code(), why)),
            Err(second) => Err(DriverError::unknown(error.code(), format!("{error}; then {second}"))),
        }
    }
}

/// As it is told to the responder.
fn told(error: &PgError) -> DriverError {
    match error.fate() {
        Fate::NothingStarted | Fate::Ended => DriverError::not_done(error.code(), error.to_string()),
        Fate::Unknown => DriverError::unknown(error.code(), error.to_string()),
    }
}

#[async_trait]
impl Driver for PostgresAccess {
    fn actions(&self) -> &[Action] {
        &[Action::DisableAccess, Action::EnableAccess, Action::VerifyWrite]
    }

    fn by_hand(&self, group: &GroupId, action: Action, _args: &Value) -> Vec<String> {
        by_hand::lines(&path_word(&self.dsn), group, action)
    }

    /// Refuses what cannot be closed, in both directions: nothing is opened that cannot be closed again; for
    /// an opening, what was seen to be good within the last 10 s counts.
    async fn check(&self, action: Action, _args: &Value) -> Result<(), Problem> {
        let problem = |error: PgError| Problem::new(error.code(), error.to_string());
        let session = self.server.look(self.look_within.duration()).await.map_err(problem)?;
        let asked = Asked::see(&session, &self.writers, &self.mode).await.map_err(problem)?;
        if !asked.set_up {
            return Err(Problem::new(Code::BadConfiguration, OLD_SET_UP));
        }
        if action == Action::VerifyWrite {
            return Ok(()); // It shuts nobody out, and lets nobody in.
        }
        // A close is checked before it shuts anybody out; an opening is waited for by all.
        let good = |(at, seen): &&(Instant, Beside)| {
            action == Action::EnableAccess
                && at.elapsed() < BESIDE_COUNTS
                && seen.cannot_close(&self.writers).is_none()
        };
        let known = self.beside().as_ref().filter(good).cloned();
        let beside = match known {
            Some((_, beside)) => beside,
            None => self.see_beside(&session).await.map_err(problem)?,
        };
        if let Some(reasons) = beside.cannot_close(&self.writers) {
            return Err(Problem::new(Code::CannotClose, reasons));
        }
        if asked.in_recovery && action == Action::EnableAccess {
            return Err(Problem::new(
                Code::Precondition,
                "the server is a physical standby: promote it first",
            ));
        }
        Ok(())
    }

    async fn preflight(&self) -> Vec<CheckLine> {
        preflight::lines(self).await
    }

    /// `access` as the roles have it; `role` is live unless closed or a physical standby; `sessions` are
    /// those of the roles; `detail` has `server`, `version`, `identity`, `lsn`, `inRecovery`, `roles` (what
    /// each can do, its sessions and prepared transactions), `cannotClose`, `otherWriters` (roles that are not
    /// named and could write) and, where it is partly open, `partly`: what is open, each with the statement that
    /// closes it.
    async fn observe(&self) -> Result<Seen, DriverError> {
        let seen = async {
            let session = self.server.look(self.look_within.duration()).await?;
            let state = self.state(&session).await?;
            let beside = self.see_beside(&session).await?;
            let epoch = Server::epoch(&session).await?;
            let access = state.access();
            let mut detail = state.detail(&beside, session.server());
            if access == Access::Partly {
                detail["partly"] = json!(state.left_open(&session).await?);
            }
            let live = access != Access::Closed && !state.in_recovery;
            Ok::<_, PgError>(Seen::Database(DatabaseSeen {
                access,
                role: if live { Role::Live } else { Role::Standby },
                sessions: state.sessions(),
                epoch,
                detail,
            }))
        };
        seen.await.map_err(|error| told(&error))
    }

    async fn look(&self, action: Action, _args: &Value) -> Look {
        self.looked(action).await.unwrap_or_else(|error| Look::CannotTell(error.to_string()))
    }

    /// Closes (all that can be done again is done again, also where it is closed), opens, or sees that a write arrives.
    async fn act(&self, act: &Act) -> Result<Value, DriverError> {
        let until = Instant::now() + act.within;
        let work = act.within.saturating_sub(SETTLE.min(act.within / 3));
        let claim = Claim::new(&act.group, act.epoch, act.run);
        let done = match act.action {
            Action::DisableAccess => close::close(self, &claim, work).await.map(|output| json!(output)),
            Action::EnableAccess => {
                open::open(self, &claim, act.not_after, work).await.map(|output| json!(output))
            }
            Action::VerifyWrite => write::verify(self, work).await.map(|output| json!(output)),
            other => {
                return Err(DriverError::not_done(Code::Refused, format!("{other} is not for a database")));
            }
        };
        match done {
            Ok(output) => Ok(output),
            Err(error) => self.settle(act, &error, until).await,
        }
    }

    fn closes_on_sight(&self) -> bool {
        self.boot != Boot::LeaveOpen
    }

    fn starts_closed(&self) -> bool {
        matches!(self.boot, Boot::Closed(_))
    }

    async fn start_closed(&self) -> Result<(), DriverError> {
        let Boot::Closed(script) = &self.boot else {
            return Err(DriverError::not_done(Code::Refused, "its server is not started by its service"));
        };
        let script = Script::new(script, START_WITHIN)
            .arg("start-closed")
            .env("POINTSMAN_WRITERS", self.writers.join(" "))
            .children(Children::LiveOn);
        match script.run(&self.guard).await {
            Ok(ended) if ended.succeeded() => Ok(()),
            Ok(ended) => Err(DriverError::unknown(Code::Script, ended.to_string())),
            Err(error) => Err(DriverError::unknown(Code::Script, error.to_string())),
        }
    }

    /// When the server was started, by its own clock.
    async fn life(&self) -> Result<String, DriverError> {
        let seen = async {
            let session = self.server.look(self.look_within.duration()).await?;
            session.json("SELECT to_jsonb(pg_postmaster_start_time()::text)", &[]).await
        };
        seen.await.map_err(|error| told(&error))
    }

    async fn end_earlier(&self, within: Duration) -> Result<(), DriverError> {
        self.server.end_earlier(within).await.map_err(|error| told(&error))
    }

    async fn raise_epoch(&self, group: &GroupId, epoch: Epoch, run: RunId) -> Result<(), DriverError> {
        let claim = Claim::new(group, epoch, run);
        let raised = self.server.raise_epoch(&claim, self.look_within.duration()).await;
        raised.map_err(|error| told(&error))
    }
}
