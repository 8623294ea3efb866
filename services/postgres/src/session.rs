//! One session, used for a bounded time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use crate::error::PgError;
use crate::parked::{Life, To};

const COLLISIONS_MAX: u64 = 20;
/// Statements that a connection keeps prepared: more than the services have, so that no act waits for the server to
/// read one again.
const PREPARED_MAX: usize = 256;

/// A connection, with what was prepared on it. Dropping it closes it at once, which ends neither a statement
/// that the server is carrying out nor its effect.
pub(crate) struct Connection {
    client: Client,
    pump: JoinHandle<()>,
    pub(crate) server: String,
    pub(crate) pid: i32,
    prepared: Mutex<HashMap<String, Statement>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Connection {
    pub(crate) fn new(client: Client, pump: JoinHandle<()>, server: String) -> Self {
        Connection { client, pump, server, pid: 0, prepared: Mutex::default() }
    }

    /// Whether it is known to be closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn prepare(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        let all = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut all = all();
        if all.len() < PREPARED_MAX {
            all.insert(sql.to_owned(), statement.clone());
        }
        Ok(statement)
    }
}

/// Where a connection waits for its next use, and who used it.
pub(crate) struct Home {
    pub(crate) life: Life,
    pub(crate) to: To,
    pub(crate) by: String,
}

/// A session. Each statement on it ends at the session's deadline at the latest. Dropped after statements that
/// all ended well, its connection is parked for the next one; else it is closed at once.
pub struct Session {
    /// There until it is dropped.
    connection: Option<Connection>,
    /// Where it waits for its next use.
    home: Option<Home>,
    /// Told where it ends in the middle.
    given_up: Arc<AtomicBool>,
    until: Instant,
    /// What is sent with the next statement.
    settings: Mutex<Option<String>>,
    /// Statements whose end was not seen.
    open: AtomicU32,
    /// A statement ended in an error.
    failed: AtomicBool,
}

impl Drop for Session {
    fn drop(&mut self) {
        if *self.open.get_mut() > 0 || *self.failed.get_mut() {
            self.given_up.store(true, Ordering::SeqCst);
        } else if let (Some(connection), Some(home)) = (self.connection.take(), self.home.take()) {
            home.life.park(home.to, home.by, connection);
        }
    }
}

impl Session {
    pub(crate) fn new(connection: Connection, home: Home, given_up: Arc<AtomicBool>, until: Instant) -> Self {
        Session {
            connection: Some(connection),
            home: Some(home),
            given_up,
            until,
            settings: Mutex::default(),
            open: AtomicU32::new(0),
            failed: AtomicBool::new(false),
        }
    }

    fn connection(&self) -> Result<&Connection, PgError> {
        self.connection.as_ref().ok_or_else(|| PgError::Lost("it is closed".into()))
    }

    /// Found out by its first query.
    pub(crate) fn set_pid(&mut self, pid: i32) {
        if let Some(connection) = &mut self.connection {
            connection.pid = pid;
        }
    }

    pub(crate) fn set_deadline(&mut self, until: Instant) {
        self.until = until;
    }

    /// Host and port, for sentences.
    #[must_use]
    pub fn server(&self) -> &str {
        self.connection.as_ref().map_or("", |connection| &connection.server)
    }

    /// The backend's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.connection.as_ref().map_or(0, |connection| connection.pid)
    }

    /// What is left until its deadline.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Settings (`SET …`) for the next statement, which are sent with it, before it. Where the server does not take them
    /// that statement counts as lost: nobody knows whether it had its effect.
    pub fn set(&self, sql: &str) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        *settings = Some(settings.take().map_or(sql.to_owned(), |before| format!("{before}; {sql}")));
    }

    async fn bounded<T>(
        &self,
        act: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PgError> {
        let connection = self.connection()?;
        let start = Instant::now();
        self.open.fetch_add(1, Ordering::Relaxed);
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).take();
        let act = async move {
            match settings {
                // The first is sent first.
                Some(settings) => futures_util::join!(connection.client.simple_query(&settings), act),
                None => (Ok(Vec::new()), act.await),
            }
        };
        let done = match tokio::time::timeout_at(self.until.into(), act).await {
            Ok((Ok(_), Ok(value))) => Ok(value),
            Ok((Ok(_), Err(error))) => Err(error.into()),
            Ok((Err(error), _)) => Err(PgError::Lost(format!("its settings were not taken: {error}"))),
            Err(_) => Err(PgError::Timeout(start.elapsed())),
        };
        self.open.fetch_sub(1, Ordering::Relaxed);
        if done.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        done
    }

    /// Runs a statement and answers all its rows.
    ///
    /// # Errors
    ///
    /// [`PgError::fate`] says whether it may have had its effect.
    pub async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError> {
        let connection = self.connection()?;
        self.bounded(async { connection.client.query(&connection.prepare(sql).await?, params).await }).await
    }

    /// Runs a statement and hands over its rows one by one, as they come. An error of `take` ends it.
    ///
    /// # Errors
    ///
    /// As [`Session::rows`], and those of `take`.
    pub async fn each(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        mut take: impl FnMut(&Row) -> Result<(), PgError> + Send,
    ) -> Result<(), PgError> {
        let connection = self.connection()?;
        // Left in the middle, what comes still belongs to this statement.
        self.open.fetch_add(1, Ordering::Relaxed);
        let rows = self.bounded(connection.client.query_raw(sql, params.iter().copied())).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = self.bounded(rows.try_next()).await? {
            take(&row)?;
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Runs a statement that answers one row with one JSON value.
    ///
    /// # Errors
    ///
    /// As [`Session::rows`]; [`PgError::Shape`] when the answer does not read as `T`.
    pub async fn json<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T, PgError> {
        let connection = self.connection()?;
        let asked = async { connection.client.query_one(&connection.prepare(sql).await?, params).await };
        let row = self.bounded(asked).await?;
        let value: Value = row.try_get(0).map_err(|e| PgError::Shape(e.to_string()))?;
        serde_json::from_value(value).map_err(|e| PgError::Shape(e.to_string()))
    }

    /// Runs a statement for its effect.
    ///
    /// # Errors
    ///
    /// As [`Session::rows`].
    pub async fn run(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<(), PgError> {
        self.rows(sql, params).await.map(|_| ())
    }

    /// [`Session::run`], again where two sessions met in a catalogue (bounded).
    ///
    /// # Errors
    ///
    /// As [`Session::rows`].
    pub async fn run_again(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<(), PgError> {
        let mut tries = 0;
        loop {
            match self.run(sql, params).await {
                Err(error) if error.is_collision() && tries < COLLISIONS_MAX => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(5 * tries)).await;
                }
                other => return other,
            }
        }
    }

    /// Runs statements without parameters as they are, each in a transaction of its own where it must be
    /// (`ROLLBACK PREPARED`).
    ///
    /// # Errors
    ///
    /// As [`Session::rows`].
    pub async fn simple(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, PgError> {
        self.bounded(self.connection()?.client.simple_query(sql)).await
    }
}

/// Quotes a name, as `format('%I')` does.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text, as `format('%L')` does.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
