//! A user who writes numbered rows all the time, and keeps a file of what was acknowledged.
//!
//! It goes to the master by name, asked of the name servers each time, not through a proxy. A row without an
//! answer is written again under the same number. Each acknowledged row is one line `n milliseconds address`; a
//! row that got no answer, and so may be there or not, is noted with a `?` behind it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::time::{MissedTickBehavior, interval};

use super::line::Lines;
use super::now_ms;
use super::resolver::{name_and_port, resolve};

const SILENCE: Duration = Duration::from_secs(1);

/// How a writer is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A DNS server; may be given more than once.
    #[arg(long, required = true)]
    pub dns: Vec<SocketAddr>,
    /// The master's name; once more for the backup's; `NAME:PORT` where that one has another port.
    #[arg(long, required = true)]
    pub name: Vec<String>,
    /// The master's port, the same at both sites.
    #[arg(long)]
    pub port: u16,
    /// Where acknowledged rows are noted; appended to.
    #[arg(long)]
    pub file: PathBuf,
    /// The first number.
    #[arg(long, default_value_t = 1)]
    pub first: i64,
    /// Milliseconds between rows.
    #[arg(long, default_value_t = 10)]
    pub every: u64,
}

/// Writes for ever.
///
/// # Errors
///
/// When its file cannot be written.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(&options.file)?;
    let mut link: Option<(SocketAddr, Lines)> = None;
    let mut n = options.first;
    let mut ticks = interval(Duration::from_millis(options.every.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if link.is_none() {
            link = connect(&options).await.ok();
        }
        let Some((at, lines)) = &mut link else { continue };
        match lines.ask(&format!("WRITE {n} row-{n}"), SILENCE).await {
            Ok(said) if said == format!("OK {n}") => {
                writeln!(file, "{n} {} {}", now_ms(), at.ip())?;
                n += 1;
            }
            Ok(_) | Err(_) => {
                writeln!(file, "{n} {} {} ?", now_ms(), at.ip())?;
                link = None;
            }
        }
    }
}

async fn connect(options: &Options) -> anyhow::Result<(SocketAddr, Lines)> {
    let mut last = anyhow!("no name");
    for name in &options.name {
        let trying = async {
            let (name, port) = name_and_port(name, options.port);
            let at = SocketAddr::new(resolve(&options.dns, name).await?, port);
            let mut lines = Lines::connect(at, SILENCE).await?;
            match lines.ask("PING", SILENCE).await?.as_str() {
                "PONG primary" => Ok((at, lines)),
                other => bail!("{at} is no primary: {other}"),
            }
        };
        match trying.await {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(last)
}
