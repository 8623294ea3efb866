//! One session, alive for a bounded time.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use crate::error::PgError;

const COLLISIONS_MAX: u64 = 20;

/// A session. Each statement on it ends at the session's deadline at the latest; dropping it closes the
/// connection at once, which ends neither a statement that the server is carrying out nor its effect.
pub struct Session {
    client: Client,
    pump: JoinHandle<()>,
    until: Instant,
    server: String,
    pid: i32,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Session {
    pub(crate) fn new(client: Client, pump: JoinHandle<()>, until: Instant, server: String) -> Self {
        Session { client, pump, until, server, pid: 0 }
    }

    pub(crate) fn with_pid(mut self, pid: i32) -> Self {
        self.pid = pid;
        self
    }

    /// Host and port, for sentences.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The backend's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What is left until its deadline.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    async fn bounded<T>(
        &self,
        act: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PgError> {
        let start = Instant::now();
        match tokio::time::timeout_at(self.until.into(), act).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(PgError::Timeout(start.elapsed())),
        }
    }

    /// Runs a statement and answers all its rows.
    ///
    /// # Errors
    ///
    /// [`PgError::fate`] says whether it may have had its effect.
    pub async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError> {
        self.bounded(self.client.query(sql, params)).await
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
        let rows = self.bounded(self.client.query_raw(sql, params.iter().copied())).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = self.bounded(rows.try_next()).await? {
            take(&row)?;
        }
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
        let row = self.bounded(self.client.query_one(sql, params)).await?;
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
        self.bounded(self.client.simple_query(sql)).await
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
