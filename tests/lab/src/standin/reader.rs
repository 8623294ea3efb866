//! A user who reads one row through a site's proxies all the time, and counts what failed with each of them.
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
    /// A proxy; once more for the other one of its pair.
    #[arg(long, required = true)]
    pub proxy: Vec<SocketAddr>,
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
    let mut turn = 0;
    let mut ticks = interval(Duration::from_millis(options.every.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut noted: Option<Instant> = None;
    loop {
        ticks.tick().await;
        reads += 1;
        let mut last = None;
        for _ in &options.proxy {
            let proxy = options.proxy[turn % options.proxy.len()];
            match read(&mut link, proxy, options.row).await {
                Ok(()) => {
                    last = None;
                    break;
                }
                Err(error) => {
                    println!("{} {proxy}: {error:#}", now_ms());
                    (link, last) = (None, Some(error));
                    turn += 1;
                }
            }
        }
        if let Some(error) = last {
            failed += 1;
            println!("{} read failed: {error:#}", now_ms());
        }
        if noted.is_none_or(|at| at.elapsed() > NOTE_EVERY) {
            note(&options.file, reads, failed)?;
            noted = Some(Instant::now());
        }
    }
}

async fn read(link: &mut Option<Lines>, proxy: SocketAddr, row: i64) -> anyhow::Result<()> {
    let lines = match link {
        Some(lines) => lines,
        None => link.insert(Lines::connect(proxy, SILENCE).await?),
    };
    let said = lines.ask(&format!("READ {row}"), SILENCE).await?;
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
