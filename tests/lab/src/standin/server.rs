//! The master control server and the message servers: they listen and are healthy.
//!
//! `PING` → `PONG kind ok`, or `PONG kind no-database` where a database is given that does not
//! answer a query.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;
use tokio_postgres::{Config, NoTls};

use super::line::{Lines, listen};

const SILENCE: Duration = Duration::from_secs(1);

/// How a server is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where clients connect.
    #[arg(long)]
    pub listen: SocketAddr,
    /// A database that it needs, as the log's message server does.
    #[arg(long)]
    pub dsn: Option<String>,
}

/// Serves for ever.
///
/// # Errors
///
/// When it cannot listen, or the connection string is no such.
pub async fn run(kind: &'static str, options: Options) -> anyhow::Result<()> {
    let database: Option<Config> = options.dsn.map(|dsn| dsn.parse()).transpose()?;
    listen(options.listen, move |lines| serve(lines, kind, database.clone())).await
}

async fn serve(mut lines: Lines, kind: &str, database: Option<Config>) -> anyhow::Result<()> {
    while let Some(line) = lines.read().await? {
        let answer = match (line.as_str(), &database) {
            ("PING", None) => format!("PONG {kind} ok"),
            ("PING", Some(config)) => match answers(config, SILENCE).await {
                Ok(()) => format!("PONG {kind} ok"),
                Err(_) => format!("PONG {kind} no-database"),
            },
            _ => "ERR unknown word".into(),
        };
        lines.write(&answer).await?;
    }
    Ok(())
}

/// Whether a database answers a query within `wait`.
///
/// # Errors
///
/// What went wrong when it does not.
pub async fn answers(config: &Config, wait: Duration) -> anyhow::Result<()> {
    let asking = async {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        client.simple_query("SELECT 1").await?;
        anyhow::Ok(())
    };
    timeout(wait, asking).await.context("silence")?
}
