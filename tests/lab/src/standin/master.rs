//! The configuration server of a pair.
//!
//! Both servers of a pair try to take one advisory lock of their site's configuration database.
//! Who has it is primary and serves; the other is backup and takes no work until the lock is
//! free. A server that loses its session is nobody, and its clients do not see it: their connections stay,
//! heartbeats are answered, work is not. They close when it finds itself backup.
//!
//! `PING` → `PONG primary|backup|no-database`; `HEARTBEAT` → `BEAT`; `WRITE n text` → `OK n`
//! once committed; `READ n` → `ROW n text` or `NONE n`; `SINCE id` → lines `ROW id n text`, then
//! `END id`. Whoever cannot answers `ERR why`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, NoTls};

use super::line::{Lines, listen};
use super::{MASTER_ASKS, MASTER_LOCK};

const TRY_AGAIN: Duration = Duration::from_millis(200);
/// A database that is silent for longer has lost the session.
const SILENCE: Duration = Duration::from_secs(2);

/// How a server is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where clients connect.
    #[arg(long)]
    pub listen: SocketAddr,
    /// The site's configuration database.
    #[arg(long)]
    pub dsn: String,
    /// Its own name, kept in `master_session`.
    #[arg(long)]
    pub holder: String,
}

#[derive(Clone)]
enum Role {
    NoDatabase,
    Backup,
    Primary(Arc<Client>),
}

/// Serves for ever.
///
/// # Errors
///
/// When it cannot listen, or the connection string is no such.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let config: Config = options.dsn.parse()?;
    let (role, current) = watch::channel(Role::NoDatabase);
    tokio::spawn(async move {
        loop {
            if let Err(error) = hold_session(&config, &options.holder, &role).await {
                println!("no session: {error:#}");
            }
            role.send_replace(Role::NoDatabase);
            sleep(TRY_AGAIN).await;
        }
    });
    listen(options.listen, move |lines| serve(lines, current.clone())).await
}

/// Returns when the session is lost.
async fn hold_session(config: &Config, holder: &str, role: &watch::Sender<Role>) -> anyhow::Result<()> {
    let (client, connection) = timeout(SILENCE, config.connect(NoTls)).await.context("silence")??;
    let ended = tokio::spawn(connection);
    let client = Arc::new(client);
    let work = async {
        while !take_lock(&client).await? {
            role.send_if_modified(|role| !matches!(std::mem::replace(role, Role::Backup), Role::Backup));
            sleep(TRY_AGAIN).await;
        }
        beat(&client, holder).await?;
        println!("primary");
        role.send_replace(Role::Primary(client.clone()));
        loop {
            sleep(TRY_AGAIN).await;
            beat(&client, holder).await?;
        }
    };
    tokio::select! {
        lost = work => lost,
        lost = ended => { lost??; bail!("the session was closed") }
    }
}

async fn take_lock(client: &Client) -> anyhow::Result<bool> {
    let asking = client.query_one(MASTER_ASKS, &[&MASTER_LOCK]);
    Ok(timeout(SILENCE, asking).await.context("silence")??.get(0))
}

async fn beat(client: &Client, holder: &str) -> anyhow::Result<()> {
    let sql = "INSERT INTO master_session (slot, holder) VALUES (1, $1)
               ON CONFLICT (slot) DO UPDATE SET holder = excluded.holder, beat = now()";
    timeout(SILENCE, client.execute(sql, &[&holder])).await.context("silence")??;
    Ok(())
}

async fn serve(mut lines: Lines, mut role: watch::Receiver<Role>) -> anyhow::Result<()> {
    // Whoever comes to a backup may stay: it takes no work.
    let mut was_backup = matches!(&*role.borrow_and_update(), Role::Backup);
    loop {
        let line = tokio::select! {
            line = lines.read() => line?,
            changed = role.changed() => {
                changed?;
                let is_backup = matches!(&*role.borrow_and_update(), Role::Backup);
                if is_backup && !was_backup {
                    bail!("somebody else is primary");
                }
                was_backup = is_backup;
                continue;
            }
        };
        let Some(line) = line else { return Ok(()) };
        let now = role.borrow().clone();
        let answer = match &now {
            _ if line == "PING" => match now {
                Role::NoDatabase => "PONG no-database".into(),
                Role::Backup => "PONG backup".into(),
                Role::Primary(_) => "PONG primary".into(),
            },
            Role::NoDatabase if line == "HEARTBEAT" => "BEAT".into(),
            Role::NoDatabase => "ERR no-database".into(),
            Role::Backup => "ERR backup".into(),
            Role::Primary(client) => match timeout(SILENCE, work(client, &line)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => format!("ERR {}", format!("{error:#}").replace('\n', " ")),
                Err(_) => bail!("the database is silent"),
            },
        };
        lines.write(&answer).await?;
    }
}

async fn work(client: &Client, line: &str) -> anyhow::Result<String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "HEARTBEAT" => Ok("BEAT".into()),
        "WRITE" => {
            let (n, text) = rest.split_once(' ').context("WRITE n text")?;
            let n: i64 = n.parse()?;
            // Who got no answer writes the same number again.
            let sql = "INSERT INTO entry (n, text) VALUES ($1, $2) ON CONFLICT (n) DO NOTHING";
            client.execute(sql, &[&n, &text]).await?;
            Ok(format!("OK {n}"))
        }
        "READ" => {
            let n: i64 = rest.parse()?;
            let row = client.query_opt("SELECT text FROM entry WHERE n = $1", &[&n]).await?;
            Ok(match row {
                Some(row) => format!("ROW {n} {}", row.get::<_, String>(0)),
                None => format!("NONE {n}"),
            })
        }
        "SINCE" => {
            let mut last: i64 = rest.parse()?;
            let sql = "SELECT id, n, text FROM entry WHERE id > $1 ORDER BY id";
            let mut answer = String::new();
            for row in client.query(sql, &[&last]).await? {
                last = row.get(0);
                answer += &format!("ROW {last} {} {}\n", row.get::<_, i64>(1), row.get::<_, String>(2));
            }
            Ok(answer + &format!("END {last}"))
        }
        _ => bail!("unknown word"),
    }
}
