//! The server behind a resource: how it is reached, that it is the right one, whose epoch it holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schemas::{Code, Epoch, GroupId, RunId};
use serde_json::Value;
use tokio_postgres::{Config, NoTls};
use uuid::Uuid;

use crate::dsn::{self, Dsn, Verify};
use crate::error::{Fate, PgError};
use crate::parked::{Life, To};
use crate::session::{Connection, Home, Session, literal};
use crate::tls;

/// A pause between two looks at a condition that others bring about.
const POLL: Duration = Duration::from_millis(3);
/// A parked connection answers within this, or a new one is opened.
const PARKED_WITHIN: Duration = Duration::from_secs(1);
/// A connection that was used within this needs no question of its own: its server was there.
const TRUSTED: Duration = Duration::from_secs(2);
/// `application_name` holds no more.
const NAME_MAX: usize = 63;

/// Which database this must be; stands in `pointsman.identity`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The host's site.
    pub site: String,
    /// The database resource.
    pub resource: String,
    /// The very cluster, where the operator pins it.
    pub uuid: Option<Uuid>,
}

/// The run on whose behalf something changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    group: String,
    epoch: i64,
    run: String,
}

impl Claim {
    /// The claim of a run.
    #[must_use]
    pub fn new(group: &GroupId, epoch: Epoch, run: RunId) -> Self {
        // An epoch beyond i64 cannot come about by counting; it would be refused as stale.
        Self { group: group.to_string(), epoch: i64::try_from(epoch.0).unwrap_or(-1), run: run.to_string() }
    }

    /// The first three parameters of each changing function.
    #[must_use]
    pub fn params(&self) -> [&(dyn tokio_postgres::types::ToSql + Sync); 3] {
        [&self.group, &self.epoch, &self.run]
    }
}

/// Whether a session changes something. Those that do are found again by their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Look,
    Act,
}

/// A server as one resource of one service reaches it.
#[derive(Debug, Clone)]
pub struct Server {
    dsn: PathBuf,
    /// Whose sessions they are.
    name: String,
    all_lives: String,
    this_life: String,
    identity: Option<Identity>,
    life: Life,
    /// Whether a session was given up in the middle, whose statement the server may still be carrying out. Of an
    /// earlier life nothing is known: the first act looks.
    given_up: Arc<AtomicBool>,
}

impl Server {
    /// The server whose connection string stands in `dsn`. Sessions are called
    /// `pointsman/<service>.<resource>/<life>`; `life` is new for each start of the service.
    #[must_use]
    pub fn new(dsn: PathBuf, service: &str, resource: &str, life: &Life, identity: Option<Identity>) -> Self {
        let name = format!("{service}.{resource}");
        let (all_lives, this_life) = names(&name, life);
        Server { dsn, name, this_life, all_lives, identity, life: life.clone(), given_up: not_known() }
    }

    /// The other site's server, without a check of what it is: it has a row of its own. It is looked at only, so nothing
    /// there has to be seen gone before a look counts. Its sessions carry the site from which they come, or the service
    /// of the same resource over there would end them with those of its own earlier lives.
    #[must_use]
    pub fn peer(&self, dsn: &Path) -> Self {
        let site = self.identity.as_ref().map_or("", |own| own.site.as_str());
        let name = format!("{}@{site}", self.name);
        let (all_lives, this_life) = names(&name, &self.life);
        Server {
            dsn: dsn.into(),
            name,
            all_lives,
            this_life,
            identity: None,
            life: self.life.clone(),
            given_up: not_known(),
        }
    }

    /// The connection string as it stands in its file now.
    ///
    /// # Errors
    ///
    /// When it cannot be read or parsed.
    pub fn connection_string(&self) -> Result<String, PgError> {
        dsn::read(&self.dsn).map(|dsn| dsn.text)
    }

    /// The files of certificates that its connection string names, as it stands now: the one by which we are known, and
    /// the one of those whom we trust.
    ///
    /// # Errors
    ///
    /// When it cannot be read or parsed.
    pub fn certificates(&self) -> Result<(Option<PathBuf>, Option<PathBuf>), PgError> {
        let dsn = dsn::read(&self.dsn)?;
        let trusted = dsn.root.filter(|_| dsn.verify != Verify::Nothing);
        Ok((dsn.certificate.map(|(certificate, _)| certificate), trusted))
    }

    /// Opens a session to look. It ends `within` from now at the latest.
    ///
    /// # Errors
    ///
    /// No session, or not the right server; nothing was started.
    pub async fn look(&self, within: Duration) -> Result<Session, PgError> {
        self.open(Purpose::Look, within).await
    }

    /// Opens a session to act, after ending those that an earlier act of this life left behind: there is
    /// one act at a time, so what is left is of one that was given up. Where none was, nothing is looked for.
    ///
    /// # Errors
    ///
    /// No session, not the right server, or a session that cannot be seen gone; nothing was started.
    pub async fn act(&self, within: Duration) -> Result<Session, PgError> {
        let session = self.open(Purpose::Act, within).await?;
        if self.given_up.load(Ordering::SeqCst) {
            Self::end(&session, "application_name = $1", &self.this_life).await?;
            self.given_up.store(false, Ordering::SeqCst);
        }
        Ok(session)
    }

    /// Returns once no session that acts for this resource, of an earlier life or of a given-up act of
    /// this one, is left: what they sent has then had its effect, or never will.
    ///
    /// # Errors
    ///
    /// What could not be seen gone within the bound.
    pub async fn end_earlier(&self, within: Duration) -> Result<(), PgError> {
        let session = self.open(Purpose::Look, within).await?;
        // Looks of this life are called `…/life?` and go on.
        let others = "starts_with(application_name, $1) AND application_name <> $1";
        let mine = format!("{}?", self.this_life);
        Self::end(
            &session,
            &format!("{others} AND application_name <> '{}'", mine.replace('\'', "")),
            &self.all_lives,
        )
        .await
    }

    async fn end(session: &Session, which: &str, name: &str) -> Result<(), PgError> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE {which} AND pid <> pg_backend_pid()) t"
        );
        loop {
            let rows = session.rows(&sql, &[&name]).await?;
            let left: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(PgError::from)?;
            if left == 0 {
                return Ok(());
            }
            if session.left() < POLL * 2 {
                return Err(PgError::Timeout(session.left()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Writes the claim into the database itself. The same claim again changes nothing.
    ///
    /// # Errors
    ///
    /// A lower epoch ([`Code::StaleEpoch`]) and an equal one of another run ([`Code::EpochTaken`]).
    pub async fn raise_epoch(&self, claim: &Claim, within: Duration) -> Result<(), PgError> {
        let session = self.open(Purpose::Look, within).await?;
        session.run_again("SELECT pointsman.raise_epoch($1, $2, $3)", &claim.params()).await
    }

    /// The highest epoch of the database's row, if one ever claimed it.
    ///
    /// # Errors
    ///
    /// Those of a look.
    pub async fn epoch(session: &Session) -> Result<Option<Epoch>, PgError> {
        let rows = session.rows("SELECT max(epoch) FROM pointsman.epoch", &[]).await?;
        let epoch: Option<i64> =
            rows.first().map_or(Ok(None), |row| row.try_get(0)).map_err(PgError::from)?;
        Ok(epoch.and_then(|e| u64::try_from(e).ok()).map(Epoch))
    }

    async fn open(&self, purpose: Purpose, within: Duration) -> Result<Session, PgError> {
        let start = Instant::now();
        let until = start + within;
        let mut dsn = dsn::read(&self.dsn)?;
        let application = match purpose {
            Purpose::Act => self.this_life.clone(),
            Purpose::Look => format!("{}?", self.this_life),
        };
        let to = (dsn.text.clone(), self.identity.clone());
        if let Some(session) = self.parked(&to, purpose, &application, until).await {
            return Ok(session);
        }
        let server = place(&dsn.config);
        prepare(&mut dsn.config, &application, within);
        let connected = tokio::time::timeout_at(until.into(), connect(&dsn, &server)).await;
        let mut session = match connected {
            Ok(Ok(connection)) => self.session(connection, to, until),
            Ok(Err(Refused::Tls(why))) => return Err(PgError::Dsn { path: self.dsn.clone(), why }),
            Ok(Err(Refused::Connect(source))) => return Err(PgError::Connect { server, source }),
            Err(_) => return Err(PgError::ConnectTimeout { server, waited: start.elapsed() }),
        };
        // The first query finds out a server that accepts and stays mute; nothing was started by it.
        let pid = match session.rows("SELECT pg_backend_pid()", &[]).await {
            Ok(rows) => rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(PgError::from)?,
            Err(error) if error.fate() == Fate::Unknown => {
                return Err(PgError::ConnectTimeout { server, waited: start.elapsed() });
            }
            Err(error) => return Err(error),
        };
        session.set_pid(pid);
        if let Some(wanted) = &self.identity {
            check_identity(&session, wanted).await?;
        }
        Ok(session)
    }

    /// A session on a parked connection, under its new name and bounds. It was seen to be the right server when
    /// it was opened. One that was closed meanwhile, or does not answer, is dropped; one that was used a moment ago is
    /// not asked first.
    async fn parked(&self, to: &To, purpose: Purpose, application: &str, until: Instant) -> Option<Session> {
        let (since, connection) = self.life.take(to, &self.all_lives)?;
        let trusted = since.elapsed() < TRUSTED && !connection.is_closed();
        let within = until.saturating_duration_since(Instant::now());
        let asked = Instant::now() + PARKED_WITHIN.min(within / 2);
        let mut session = self.session(connection, to.clone(), asked);
        let set = format!(
            "SET application_name = {}; SET statement_timeout = {millis}; SET lock_timeout = {millis}",
            literal(application),
            millis = millis(within),
        );
        // An act is found again by its name: it is sent when the server has taken that.
        match trusted && purpose == Purpose::Look {
            true => session.set(&set),
            false => drop(session.simple(&set).await.ok()?),
        }
        session.set_deadline(until);
        Some(session)
    }

    fn session(&self, connection: Connection, to: To, until: Instant) -> Session {
        let home = Home { life: self.life.clone(), to, by: self.all_lives.clone() };
        Session::new(connection, home, Arc::clone(&self.given_up), until)
    }
}

/// How sessions are called: of all lives, as a prefix, and of this one.
fn names(name: &str, life: &Life) -> (String, String) {
    let id = life.id().simple().to_string();
    let id = &id[id.len() - 12..];
    let mut name = name.to_owned();
    // Long names are cut, and told apart by a hash.
    let room = NAME_MAX - "pointsman///".len() - id.len() - 1;
    if name.len() > room {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        name.truncate(room - 9);
        name = format!("{name}.{:08x}", hash >> 32);
    }
    let all_lives = format!("pointsman/{name}/");
    let this_life = format!("{all_lives}{id}");
    (all_lives, this_life)
}

fn not_known() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

enum Refused {
    Tls(String),
    Connect(tokio_postgres::Error),
}

async fn connect(dsn: &Dsn, server: &str) -> Result<Connection, Refused> {
    use tokio_postgres::config::SslMode;
    if dsn.config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = dsn.config.connect(NoTls).await.map_err(Refused::Connect)?;
        let pump = tokio::spawn(async move { drop(connection.await) });
        return Ok(Connection::new(client, pump, server.into()));
    }
    let tls = tls::connector(dsn).map_err(Refused::Tls)?;
    let (client, connection) = dsn.config.connect(tls).await.map_err(Refused::Connect)?;
    let pump = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection::new(client, pump, server.into()))
}

/// Host and port of a connection string, for sentences.
fn place(config: &Config) -> String {
    use tokio_postgres::config::Host;
    let host = match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), _) => name.clone(),
        (Some(Host::Unix(path)), _) => path.display().to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => "nowhere".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{host}:{port}/{database}")
}

/// As the server takes a bound.
fn millis(within: Duration) -> u128 {
    within.as_millis().clamp(1, 86_400_000)
}

/// The bounds that the server itself keeps, should we be gone.
fn prepare(config: &mut Config, application: &str, within: Duration) {
    let millis = millis(within);
    let own = config.get_options().unwrap_or_default().to_owned();
    // `local`: with synchronous replication and the other site down, a close must not wait for it.
    // The client check ends statements of ours whose client is gone.
    config
        .options(
            format!(
                "{own} -c statement_timeout={millis} -c lock_timeout={millis} \
                 -c idle_in_transaction_session_timeout=10000 -c synchronous_commit=local \
                 -c client_connection_check_interval=1000 -c search_path=pg_catalog"
            )
            .trim_start(),
        )
        .application_name(application)
        .connect_timeout(within)
        .tcp_user_timeout(within)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10));
}

async fn check_identity(session: &Session, wanted: &Identity) -> Result<(), PgError> {
    let server = session.server().to_owned();
    let wrong = |why: String| PgError::WrongServer { server, why };
    let found = session
        .json::<Value>("SELECT coalesce((SELECT to_jsonb(i) FROM pointsman.identity i), '{}')", &[])
        .await;
    let found = match found {
        Ok(found) => found,
        Err(error) if error.code() == Code::BadConfiguration => {
            return Err(wrong(format!(
                "it has no identity row ({error}): `pointsman setup postgres --print`"
            )));
        }
        Err(error) => return Err(error),
    };
    let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("site") != wanted.site || text("resource") != wanted.resource {
        return Err(wrong(format!(
            "it says that it is `{}` of site `{}`, not `{}` of `{}`",
            text("resource"),
            text("site"),
            wanted.resource,
            wanted.site
        )));
    }
    match wanted.uuid {
        Some(uuid) if text("uuid") != uuid.to_string() => {
            Err(wrong(format!("its identity is {}, not {uuid}", text("uuid"))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Server};
    use crate::Life;

    #[test]
    fn long_resources_keep_different_names() {
        let name = |resource: &str| {
            let server = Server::new("x".into(), "replication", resource, &Life::default(), None);
            assert!(server.this_life.len() < 63, "{}", server.this_life);
            server.all_lives
        };
        let long = "a".repeat(62);
        assert_ne!(name(&format!("{long}b")), name(&format!("{long}c")));
        assert_eq!(name("csp"), "pointsman/replication.csp/");
    }

    #[test]
    fn a_peer_is_not_looked_at_by_the_name_of_its_own_service() {
        for resource in ["csp".to_owned(), "a".repeat(62)] {
            let own = |site: &str| {
                let identity = Identity { site: site.into(), resource: "config".into(), uuid: None };
                Server::new("x".into(), "replication", &resource, &Life::default(), Some(identity))
            };
            let (main, peer) = (own("main"), own("secondary").peer("y".as_ref()));
            assert!(!peer.this_life.starts_with(&main.all_lives), "{}", peer.this_life);
            assert!(peer.this_life.len() < 63, "{}", peer.this_life);
            assert_ne!(peer.all_lives, own("third").peer("y".as_ref()).all_lives);
        }
    }
}
