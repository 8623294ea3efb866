//! PostgreSQL clusters that are ready for logical replication.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::{Process, Program};
use crate::tools::{self, Account};

mod template;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// The role that may do everything.
pub const SUPERUSER: &str = "postgres";

/// How a cluster is started.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Where it listens.
    pub address: IpAddr,
    /// Added to the end of `postgresql.conf`, so they win.
    pub settings: Vec<(String, String)>,
    /// Databases to create, beside `postgres`.
    pub databases: Vec<String>,
    /// Lines put before the rule of `pg_hba.conf` that lets everybody of this machine in.
    pub hba: Vec<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            settings: Vec::new(),
            databases: Vec::new(),
            hba: Vec::new(),
        }
    }
}

/// A PostgreSQL cluster. Dropping it ends it and removes its data.
///
/// `wal_level=logical`, fsync on, prepared transactions allowed, TCP only. Sessions from
/// loopback addresses need no password.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Process>,
    program: Program,
    at: SocketAddr,
    data: PathBuf,
    _port: Port,
    folder: Folder,
}

impl Postgres {
    /// Starts an empty cluster, makes the databases, and returns once it takes sessions.
    ///
    /// # Errors
    ///
    /// When the programs are not there, or a setting is refused.
    pub fn start(options: PostgresOptions) -> anyhow::Result<Self> {
        let port = Port::take(options.address)?;
        let folder = Folder::new("postgres")?;
        let account = Account::for_servers()?;
        let data = folder.join("data");
        template::copy_to(&data, account)?;
        let at = SocketAddr::new(options.address, port.number());
        append(&data.join("postgresql.conf"), &settings(&options, at))?;
        if !options.hba.is_empty() {
            let path = data.join("pg_hba.conf");
            let rules = fs::read_to_string(&path)?;
            fs::write(&path, format!("{}\n{rules}", options.hba.join("\n")))?;
        }
        let program = Program {
            path: tools::postgres("postgres")?,
            args: vec!["-D".into(), data.display().to_string()],
            env: Vec::new(),
            folder: folder.path().into(),
            log: folder.join("log"),
            account,
        };
        let mut cluster = Self { process: None, program, at, data, _port: port, folder };
        cluster.restart()?;
        for database in &options.databases {
            cluster.psql("postgres", &format!("CREATE DATABASE \"{database}\""))?;
        }
        Ok(cluster)
    }

    /// A connection string (URL) for a role and a database.
    #[must_use]
    pub fn dsn(&self, user: &str, database: &str) -> String {
        format!("postgresql://{user}@{}/{database}", self.at)
    }

    /// A connection string for the superuser.
    #[must_use]
    pub fn superuser_dsn(&self, database: &str) -> String {
        self.dsn(SUPERUSER, database)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Whom its programs must run as (for `postgres --single`); ourselves when none.
    #[must_use]
    pub fn account(&self) -> Option<Account> {
        self.program.account
    }

    /// The process id of its first process; none while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The file that it logs to.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What it logged so far.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Runs SQL as superuser by the `psql` program; answers rows a line, columns split by `|`.
    ///
    /// Several statements run in one transaction unless they hold their own `BEGIN`.
    ///
    /// # Errors
    ///
    /// The first error of the server, or no session within five seconds.
    pub fn psql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        self.psql_as(SUPERUSER, database, sql)
    }

    /// [`Postgres::psql`] as another role.
    ///
    /// # Errors
    ///
    /// As [`Postgres::psql`].
    pub fn psql_as(&self, user: &str, database: &str, sql: &str) -> anyhow::Result<String> {
        let done = Command::new(tools::postgres("psql")?)
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .args(["-d", &format!("{}?connect_timeout=5", self.dsn(user, database))])
            .output()
            .context("start psql")?;
        if !done.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim_end().into())
    }

    /// Kills every process of it with signal 9, as a crash of the host does. Keeps port and data.
    ///
    /// # Errors
    ///
    /// When something is left.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |process| process.kill())
    }

    /// Shuts it down in order: sessions are ended, a checkpoint is written.
    ///
    /// # Errors
    ///
    /// When it does not end; it is then killed.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(process) = self.process.take() else { return Ok(()) };
        process.signal(Signal::INT)?;
        process.wait_exit(READY_WITHIN).map(|_| ())
    }

    /// Stops every process of it in its tracks: connects succeed, nothing answers.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("not running")?.freeze()
    }

    /// Lets a frozen cluster go on; statements that it had received are carried out.
    pub fn thaw(&self) {
        if let Some(process) = &self.process {
            process.thaw();
        }
    }

    /// Kills it if it runs, starts it on the same port and data, and returns once it takes
    /// sessions.
    ///
    /// # Errors
    ///
    /// When it does not get ready; the message has the end of its log.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill9()?;
        let start = Instant::now();
        loop {
            let process = Process::start(&self.program)?;
            let pid = process.pid().to_string();
            let ready = || is_ready(&self.data, &pid);
            match process.wait_ready(READY_WITHIN, ready) {
                Ok(()) => {
                    self.process = Some(process);
                    return Ok(());
                }
                // After a kill a start may fail while something of the old life is still known.
                Err(error) if start.elapsed() > Duration::from_secs(5) => {
                    return Err(error.context("postgres"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // In order where it can be, since signal 9 leaves a small segment of System V shared
        // memory behind.
        if let Some(process) = &self.process {
            process.thaw();
            let _ = process.signal(Signal::QUIT);
            let _ = process.wait_exit(Duration::from_secs(3));
        }
        self.process = None;
        template::remove_shared_memory(&self.data);
    }
}

/// The server itself writes its state into the lock file: the first line is its process id, the
/// eighth says `ready`.
fn is_ready(data: &Path, pid: &str) -> bool {
    let lock = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = lock.lines().map(str::trim).collect();
    lines.first() == Some(&pid) && lines.get(7) == Some(&"ready")
}

fn settings(options: &PostgresOptions, at: SocketAddr) -> String {
    let mut text = format!(
        "\nlisten_addresses = '{}'\nport = {}\n\
         unix_socket_directories = ''\n\
         wal_level = logical\n\
         fsync = on\n\
         wal_retrieve_retry_interval = 100ms\n\
         max_prepared_transactions = 10\n\
         max_worker_processes = 16\n\
         max_logical_replication_workers = 8\n\
         max_sync_workers_per_subscription = 2\n\
         shared_buffers = 32MB\n\
         dynamic_shared_memory_type = mmap\n\
         log_line_prefix = '%m [%p] %u@%d '\n",
        at.ip(),
        at.port()
    );
    for (name, value) in &options.settings {
        text += &format!("{name} = '{}'\n", value.replace('\'', "''"));
    }
    text
}

fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().append(true).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
