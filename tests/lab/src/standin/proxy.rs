//! A proxy: it gives clients the configuration when its master cannot.
//!
//! It finds the master by name, holds one connection to it with a heartbeat, and keeps a copy of
//! all rows. Reads come from the copy, always. When the connection is reset *or silent* it is in
//! limited mode: it takes no writes until it has found a master by the name again and loaded a
//! fresh copy. It holds on to a master that answers heartbeats and has no database any more, in limited
//! mode too, wherever the name points meanwhile, until it is made to let go; one that was late, and left, comes back
//! to it for as long as a name leads there and nowhere else is a primary.
//!
//! `READ n` → `ROW n text` or `NONE n`; `WRITE n text` → `OK n` or `ERR limited`; `MODE` →
//! `normal ADDRESS` or `limited ADDRESS` (of the last master, `-` when there was none); `LETGO` →
//! `OK` once it holds no connection that the name does not lead to; `PEER name` → `ADDRESS a` that it is
//! connected to by this name, or `NONE`; `PING` → `PONG proxy` in normal mode, else `PONG limited`: a health gate that expects
//! the one takes the other for a program that runs and is not healthy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::line::{Lines, listen};
use super::resolver::{name_and_port, resolve};

const HEARTBEAT: Duration = Duration::from_millis(200);
/// No answer for so long is as bad as a reset.
const SILENCE: Duration = Duration::from_secs(1);
const LOAD_WITHIN: Duration = Duration::from_secs(10);

/// How a proxy is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where clients connect.
    #[arg(long)]
    pub listen: SocketAddr,
    /// The host's resolver; may be given more than once.
    #[arg(long, required = true)]
    pub dns: Vec<SocketAddr>,
    /// The master's name; once more for the backup's; `NAME:PORT` where that one has another port.
    #[arg(long, required = true)]
    pub name: Vec<String>,
    /// The master's port, the same at both sites.
    #[arg(long)]
    pub port: u16,
    /// Milliseconds that it waits, connected again, before it loads a fresh copy: not all at once.
    #[arg(long, default_value_t = 0)]
    pub delay_reload: u64,
}

struct Shared {
    dns: Vec<SocketAddr>,
    names: Vec<String>,
    port: u16,
    delay_reload: Duration,
    state: Mutex<State>,
    /// By which name it is connected to whom.
    peer: watch::Sender<Option<(String, SocketAddr)>>,
    let_go: Notify,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<i64, String>,
    last_id: i64,
    master: Option<SocketAddr>,
    normal: bool,
}

type Write = (String, oneshot::Sender<String>);

/// Serves for ever.
///
/// # Errors
///
/// When it cannot listen.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let shared = Arc::new(Shared {
        dns: options.dns,
        names: options.name,
        port: options.port,
        delay_reload: Duration::from_millis(options.delay_reload),
        state: Mutex::default(),
        peer: watch::Sender::new(None),
        let_go: Notify::new(),
    });
    let (writes, mut wanted) = mpsc::channel::<Write>(64);
    let link = shared.clone();
    tokio::spawn(async move {
        loop {
            let lost = follow_master(&link, &mut wanted).await;
            link.peer.send_replace(None);
            if link.set(|state| std::mem::take(&mut state.normal)).unwrap_or_default()
                && let Err(error) = lost
            {
                println!("limited mode: {error:#}");
            }
            while let Ok((_, answer)) = wanted.try_recv() {
                let _ = answer.send("ERR limited".into());
            }
            tokio::select! {
                () = sleep(HEARTBEAT) => {}
                () = link.let_go.notified() => {}
            }
        }
    });
    listen(options.listen, move |lines| serve(lines, shared.clone(), writes.clone())).await
}

impl Shared {
    fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> anyhow::Result<T> {
        Ok(change(&mut *self.state.lock().map_err(|_| anyhow!("state"))?))
    }

    /// The first name whose server is a primary; else the first that leads to the master that it had, which has lost
    /// its database alone.
    async fn find_master(&self) -> anyhow::Result<(String, SocketAddr, Lines)> {
        let mut last = anyhow!("no name");
        let had = self.set(|state| state.master)?;
        let mut without = None;
        for name in &self.names {
            let trying = async {
                let (name, port) = name_and_port(name, self.port);
                let at = SocketAddr::new(resolve(&self.dns, name).await?, port);
                let mut lines = Lines::connect(at, SILENCE).await?;
                match lines.ask("PING", SILENCE).await?.as_str() {
                    "PONG primary" => Ok((true, (name.to_owned(), at, lines))),
                    "PONG no-database" if had == Some(at) => Ok((false, (name.to_owned(), at, lines))),
                    other => bail!("{at} is no primary: {other}"),
                }
            };
            match trying.await {
                Ok((true, primary)) => return Ok(primary),
                Ok((false, found)) => without = without.or(Some(found)),
                Err(error) => last = error,
            }
        }
        without.ok_or(last)
    }

    /// Whether it is connected to somebody to whom the name does not lead.
    async fn holds_stale(&self) -> bool {
        let peer = self.peer.borrow().clone();
        match peer {
            // Where nobody says where the name leads, what it has is as good as anything.
            Some((name, at)) => resolve(&self.dns, &name).await.is_ok_and(|now| now != at.ip()),
            None => false,
        }
    }

    /// Returns when it holds no connection that the name does not lead to.
    async fn let_go(&self) -> anyhow::Result<()> {
        let mut peer = self.peer.subscribe();
        if self.holds_stale().await {
            let held = peer.borrow_and_update().clone();
            self.let_go.notify_one();
            let other = peer.wait_for(|now| *now != held);
            timeout(SILENCE, other).await.context("it holds on")??;
        } else {
            // Whoever waits to try again, tries at once.
            self.let_go.notify_one();
        }
        Ok(())
    }
}

/// Finds the master, loads all rows, and stays with it; returns when it is lost.
async fn follow_master(shared: &Shared, wanted: &mut mpsc::Receiver<Write>) -> anyhow::Result<()> {
    let (name, at, mut lines) = shared.find_master().await?;
    shared.peer.send_replace(Some((name, at)));
    if shared.set(|state| state.master.is_some())? {
        sleep(shared.delay_reload).await;
    }
    let mut loaded = load_all(shared, at, &mut lines).await?;
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refreshed = Instant::now();
    loop {
        tokio::select! {
            write = wanted.recv() => {
                let (line, answer) = write.context("no clients any more")?;
                let said = lines.ask(&line, SILENCE).await?;
                if said.starts_with("OK ") {
                    refresh(shared, &mut lines).await?;
                }
                let _ = answer.send(said);
            }
            () = shared.let_go.notified() => {
                if shared.holds_stale().await {
                    bail!("the name leads elsewhere: {at} is let go");
                }
            }
            _ = ticks.tick() => {
                let said = lines.ask("HEARTBEAT", SILENCE).await?;
                if said != "BEAT" {
                    bail!("heartbeat: {said}");
                }
                if !loaded {
                    loaded = load_all(shared, at, &mut lines).await?;
                } else if refreshed.elapsed() > SILENCE {
                    refresh(shared, &mut lines).await?;
                    refreshed = Instant::now();
                }
            }
        }
    }
}

/// Takes everything that a master has; whether it had its database. One without it is stayed with, in limited mode.
async fn load_all(shared: &Shared, at: SocketAddr, lines: &mut Lines) -> anyhow::Result<bool> {
    match timeout(LOAD_WITHIN, load(lines, 0)).await.context("silence")? {
        Ok((rows, last_id)) => {
            shared.set(|state| *state = State { rows, last_id, master: Some(at), normal: true })?;
            println!("normal mode with {at}");
            Ok(true)
        }
        Err(error) if error.is::<NoDatabase>() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes what is new; a master without its database has nothing, and that alone is no reason to leave it.
async fn refresh(shared: &Shared, lines: &mut Lines) -> anyhow::Result<()> {
    let since = shared.set(|state| state.last_id)?;
    let loaded = timeout(SILENCE, load(lines, since)).await.context("silence")?;
    match loaded {
        Err(error) if error.is::<NoDatabase>() => {
            if shared.set(|state| std::mem::take(&mut state.normal))? {
                println!("limited mode: {error}");
            }
            Ok(())
        }
        Err(error) => Err(error),
        Ok((rows, last_id)) => shared.set(|state| {
            state.rows.extend(rows);
            state.last_id = last_id;
            state.normal = true;
        }),
    }
}

/// The master is there and its database is not.
#[derive(Debug)]
struct NoDatabase;

impl std::fmt::Display for NoDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the master has no database")
    }
}

impl std::error::Error for NoDatabase {}

async fn load(lines: &mut Lines, since: i64) -> anyhow::Result<(BTreeMap<i64, String>, i64)> {
    lines.write(&format!("SINCE {since}")).await?;
    let mut rows = BTreeMap::new();
    loop {
        let line = lines.read().await?.context("closed")?;
        if line.starts_with("ERR no-database") {
            return Err(NoDatabase.into());
        }
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("ROW"), Some(_), Some(n), Some(text)) => {
                rows.insert(n.parse()?, text.into());
            }
            (Some("END"), Some(last), None, None) => return Ok((rows, last.parse()?)),
            _ => bail!("load: {line}"),
        }
    }
}

async fn serve(mut lines: Lines, shared: Arc<Shared>, writes: mpsc::Sender<Write>) -> anyhow::Result<()> {
    while let Some(line) = lines.read().await? {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match word {
            "READ" => {
                let n: i64 = rest.parse()?;
                match shared.set(|state| state.rows.get(&n).cloned())? {
                    Some(text) => format!("ROW {n} {text}"),
                    None => format!("NONE {n}"),
                }
            }
            "WRITE" => write(&shared, &writes, &line).await?,
            "MODE" => shared.set(|state| {
                let mode = if state.normal { "normal" } else { "limited" };
                let master = state.master.map_or("-".into(), |at| at.ip().to_string());
                format!("{mode} {master}")
            })?,
            "LETGO" => match shared.let_go().await {
                Ok(()) => "OK".into(),
                Err(error) => format!("ERR {error:#}"),
            },
            "PEER" => match shared.peer.borrow().as_ref().filter(|(name, _)| name == rest) {
                Some((_, at)) => format!("ADDRESS {}", at.ip()),
                None => "NONE".into(),
            },
            "PING" => shared.set(|state| if state.normal { "PONG proxy" } else { "PONG limited" })?.into(),
            _ => "ERR unknown word".into(),
        };
        lines.write(&answer).await?;
    }
    Ok(())
}

/// Hands a write to the link, unless there is none.
async fn write(shared: &Shared, writes: &mpsc::Sender<Write>, line: &str) -> anyhow::Result<String> {
    let limited = "ERR limited".to_owned();
    if !shared.set(|state| state.normal)? {
        return Ok(limited);
    }
    let (answer, said) = oneshot::channel();
    writes.send((line.into(), answer)).await?;
    // The link drops what it was asked when it is lost.
    Ok(said.await.unwrap_or(limited))
}
