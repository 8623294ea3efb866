//! A control server in distributed mode.
//!
//! It is attached to a message server by a connection with a heartbeat: to the first of those it is told that
//! runs, since the dedicated one of the dormant site does not. And it starts again what it controls: what it
//! has seen running and what then refuses connections, as its original does. So whoever stops the masters has
//! to stop their control server first; both, where it is one of a pair: the second does so once the first is gone.
//!
//! `PING` → `PONG control attached ADDRESS`, or `PONG control alone`; `SEEN` → `SEEN n`: so many of those that it controls
//! it has seen running, and would start again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::host::is_refusal;
use super::line::{Lines, listen};

const HEARTBEAT: Duration = Duration::from_millis(200);
/// No answer for so long is as bad as a reset.
const SILENCE: Duration = Duration::from_secs(1);
const START_WITHIN: Duration = Duration::from_secs(10);

/// How a server is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where clients connect.
    #[arg(long)]
    pub listen: SocketAddr,
    /// A message server for control servers; may be given more than once.
    #[arg(long, required = true)]
    pub message: Vec<SocketAddr>,
    /// What it controls; may be given more than once.
    #[arg(long)]
    pub controls: Vec<SocketAddr>,
    /// How each of them is started, in the same order.
    #[arg(long)]
    pub restart: Vec<PathBuf>,
    /// The first of its pair: while that one runs, this one starts nothing again.
    #[arg(long)]
    pub first: Option<SocketAddr>,
}

/// Serves for ever.
///
/// # Errors
///
/// When it cannot listen, or does not know how to start what it controls.
pub async fn run(options: Options) -> anyhow::Result<()> {
    if options.controls.len() != options.restart.len() {
        bail!("a --restart for each --controls");
    }
    let first = options.first;
    let running = Arc::new(AtomicUsize::new(0));
    for (at, script) in options.controls.iter().copied().zip(options.restart.clone()) {
        let seen = running.clone();
        tokio::spawn(async move { control(at, &script, first, &seen).await });
    }
    let (attached, seen) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            for at in &options.message {
                if let Err(error) = attach(*at, &attached).await
                    && attached.send_replace(None).is_some()
                {
                    println!("alone: {error:#}");
                }
            }
            sleep(HEARTBEAT).await;
        }
    });
    listen(options.listen, move |lines| serve(lines, seen.clone(), running.clone())).await
}

/// Returns when the message server is lost, or is none.
async fn attach(at: SocketAddr, attached: &watch::Sender<Option<SocketAddr>>) -> anyhow::Result<()> {
    let mut lines = Lines::connect(at, SILENCE).await?;
    loop {
        match lines.ask("PING", SILENCE).await?.as_str() {
            "PONG message ok" => {}
            other => bail!("{at}: {other}"),
        }
        if attached.send_replace(Some(at)).is_none() {
            println!("attached to {at}");
        }
        sleep(HEARTBEAT).await;
    }
}

/// Starts it again each time that it is gone, once it was seen running.
async fn control(at: SocketAddr, script: &Path, first: Option<SocketAddr>, running: &AtomicUsize) {
    let mut ran = false;
    loop {
        match Lines::connect(at, SILENCE).await {
            Ok(_) if ran => {}
            Ok(_) => {
                ran = true;
                running.fetch_add(1, Ordering::SeqCst);
            }
            // Only a refusal says that it is gone: silence may be a host that is busy.
            Err(error) if ran && is_refusal(&error) => {
                if runs(first).await {
                    sleep(HEARTBEAT).await;
                    continue;
                }
                println!("{at} is gone: starting it again");
                ran = false;
                running.fetch_sub(1, Ordering::SeqCst);
                // A process of its own: not known by our mark.
                let start = Command::new(script).env_remove("POINTSMAN_LAB_PROCESS").status();
                match timeout(START_WITHIN, start).await {
                    Ok(Ok(status)) if status.success() => {}
                    other => println!("{}: {other:?}", script.display()),
                }
            }
            Err(_) => {}
        }
        sleep(HEARTBEAT).await;
    }
}

/// Whether there is a first one of the pair, and it runs.
async fn runs(first: Option<SocketAddr>) -> bool {
    match first {
        Some(first) => Lines::connect(first, SILENCE).await.is_ok(),
        None => false,
    }
}

async fn serve(
    mut lines: Lines,
    attached: watch::Receiver<Option<SocketAddr>>,
    running: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    while let Some(line) = lines.read().await? {
        let at = *attached.borrow();
        let answer = match (line.as_str(), at) {
            ("PING", Some(at)) => format!("PONG control attached {}", at.ip()),
            ("PING", None) => "PONG control alone".into(),
            ("SEEN", _) => format!("SEEN {}", running.load(Ordering::SeqCst)),
            _ => "ERR unknown word".into(),
        };
        lines.write(&answer).await?;
    }
    Ok(())
}
