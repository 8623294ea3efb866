//! A user who reads one row through a proxy all the time, and counts what failed.
//!
//! Its file holds `{"reads": …, "failed": …}`, replaced whole about five times a second; each
//! failure is also a line of its output.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::line::Lines;
use super::now_ms;

const SILENCE: Duration = Duration::from_secs(1);
const NOTE_EVERY: Duration = Duration::from_millis(200);

/// How a reader is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The proxy.
    #[arg(long)]
    pub proxy: SocketAddr,
    /// Where the counts are noted.
    #[arg(long)]
    pub file: PathBuf,
    /// The number of the row to read, which must be there.
    #[arg(long, default_value_t = 1)]
    pub row: i64,
    /// Milliseconds between reads.
    #[arg(long, default_value_t = 20)]
    pub every: u64,
}

/// Reads for ever.
///
/// # Errors
///
/// When its file cannot be written.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let (mut reads, mut failed) = (0_u64, 0_u64);
    let mut link = None;
    let mut ticks = interval(Duration::from_millis(options.every.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut noted: Option<Instant> = None;
    loop {
        ticks.tick().await;
        reads += 1;
        if let Err(error) = read(&mut link, &options).await {
            failed += 1;
            link = None;
            println!("{} read failed: {error:#}", now_ms());
        }
        if noted.is_none_or(|at| at.elapsed() > NOTE_EVERY) {
            note(&options.file, reads, failed)?;
            noted = Some(Instant::now());
        }
    }
}

async fn read(link: &mut Option<Lines>, options: &Options) -> anyhow::Result<()> {
    let lines = match link {
        Some(lines) => lines,
        None => link.insert(Lines::connect(options.proxy, SILENCE).await?),
    };
    let said = lines.ask(&format!("READ {}", options.row), SILENCE).await?;
    if !said.starts_with("ROW ") {
        bail!("{said}");
    }
    Ok(())
}

fn note(file: &Path, reads: u64, failed: u64) -> anyhow::Result<()> {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, format!("{{\"reads\": {reads}, \"failed\": {failed}}}\n"))?;
    std::fs::rename(&fresh, file)?;
    Ok(())
}
