//! A message server: the dedicated one of the control servers, or the one for logging, with a database.
//!
//! `PING` → `PONG message ok`, or `PONG message no-database` where a database is given that does not answer a
//! query. The one for logging writes an entry of its own once a second.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Config, NoTls};

use super::line::{Lines, listen};

const SILENCE: Duration = Duration::from_secs(1);
const ENTRY_EVERY: Duration = Duration::from_secs(1);

/// How a server is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where clients connect.
    #[arg(long)]
    pub listen: SocketAddr,
    /// The log database.
    #[arg(long, requires = "site")]
    pub dsn: Option<String>,
    /// The site that its entries name.
    #[arg(long)]
    pub site: Option<String>,
    /// What they say.
    #[arg(long, default_value = "an entry")]
    pub text: String,
}

/// Serves for ever.
///
/// # Errors
///
/// When it cannot listen, or the connection string is no such.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let database: Option<Config> = options.dsn.map(|dsn| dsn.parse()).transpose()?;
    if let (Some(config), Some(site)) = (database.clone(), options.site) {
        let text = options.text;
        tokio::spawn(async move {
            loop {
                if let Err(error) = write_entries(&config, &site, &text).await {
                    println!("no entry: {error:#}");
                }
                sleep(ENTRY_EVERY).await;
            }
        });
    }
    listen(options.listen, move |lines| serve(lines, database.clone())).await
}

/// Returns when the session is lost.
async fn write_entries(config: &Config, site: &str, text: &str) -> anyhow::Result<()> {
    let (client, connection) = timeout(SILENCE, config.connect(NoTls)).await.context("silence")??;
    tokio::spawn(connection);
    let sql = "INSERT INTO message (site, id, text) VALUES ($1, nextval('message_id'), $2)";
    loop {
        timeout(SILENCE, client.execute(sql, &[&site, &text])).await.context("silence")??;
        sleep(ENTRY_EVERY).await;
    }
}

async fn serve(mut lines: Lines, database: Option<Config>) -> anyhow::Result<()> {
    while let Some(line) = lines.read().await? {
        let answer = match (line.as_str(), &database) {
            ("PING", None) => "PONG message ok",
            ("PING", Some(config)) => match answers(config, SILENCE).await {
                Ok(()) => "PONG message ok",
                Err(_) => "PONG message no-database",
            },
            _ => "ERR unknown word",
        };
        lines.write(answer).await?;
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
