//! The whole lab: two sites and a witness out of real servers, the model system on them, its users, and
//! Pointsman installed as its users install it.

pub mod databases;
pub mod equal;
pub mod files;
pub mod live;
pub mod logging;
pub mod loss;
pub mod marked;
pub mod plan;
pub mod pointsman;
pub mod scripts;
pub mod starting;
mod typed;
pub mod users;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use schemas::op::OpReply;
use schemas::view::{GroupView, RunView};

use crate::bind::Bind;
use crate::nats::Cluster;
use crate::postgres::Postgres;
use crate::process::{Process, Program};
use crate::standin::running;

use loss::By;
use plan::{GROUP, Plan, Site};
use pointsman::Pointsman;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How often `pointsman status` is asked.
pub const STATUS_EVERY: Duration = Duration::from_millis(400);

/// Set when the person at the terminal wants to stop: all waits end.
pub static STOPPING: AtomicBool = AtomicBool::new(false);

/// Waits until `see` answers something.
///
/// # Errors
///
/// When it does not within the bound (with its last error), or somebody stops the program.
pub fn until<T>(
    what: &str,
    within: Duration,
    see: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    until_every(POLL, what, within, see)
}

/// [`until`] with looks that cost something, as `pointsman status` does: it asks every service, and some of
/// those run scripts.
///
/// # Errors
///
/// As [`until`].
pub fn until_every<T>(
    every: Duration,
    what: &str,
    within: Duration,
    mut see: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        let seen = see();
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if STOPPING.load(Ordering::SeqCst) {
            bail!("stopped while waiting: {what}");
        }
        if start.elapsed() > within {
            let last = seen.err().map(|error| format!("; last: {error:#}")).unwrap_or_default();
            bail!("not within {} s: {what}{last}", within.as_secs());
        }
        std::thread::sleep(every);
    }
}

/// A running lab. Dropping it ends everything and leaves nothing running.
#[derive(Debug)]
pub struct Lab {
    /// Where everything is.
    pub plan: Plan,
    /// The program.
    pub pointsman: Pointsman,
    /// The sites' database servers, main first.
    pub postgres: [Postgres; 2],
    /// The DNS server that takes the updates, at the witness.
    pub bind: Bind,
    /// The sites' own, main first.
    pub names: [SiteNames; 2],
    /// The bus: main, secondary, witness.
    pub bus: Cluster,
    serves: BTreeMap<&'static str, Process>,
    runner: Option<Process>,
    /// The prober at the witness, the writer, and a reader a site.
    watchers: BTreeMap<&'static str, Process>,
    /// Hosts that are lost, and how.
    lost: BTreeMap<&'static str, By>,
    _lock: File,
}

/// The name servers of a site.
#[derive(Debug)]
pub struct SiteNames {
    /// Authoritative: it follows the witness's.
    pub authority: Bind,
    /// The recursive cache that the site's hosts ask.
    pub cache: Bind,
}

impl Lab {
    /// Starts `pointsman runner` at the third place, unless it runs.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_runner(&mut self) -> anyhow::Result<u32> {
        if let Some(runner) = &self.runner
            && runner.exited().is_none()
        {
            return Ok(runner.pid());
        }
        let runner = Process::start(&self.program("wrun", &["runner"]))?;
        let pid = runner.pid();
        self.runner = Some(runner);
        Ok(pid)
    }

    /// Kills the runner with signal 9, its children too.
    ///
    /// # Errors
    ///
    /// When something of it is left.
    pub fn kill_runner(&mut self) -> anyhow::Result<()> {
        self.runner.take().map_or(Ok(()), |runner| runner.kill())
    }

    /// The runner's process id; none when it does not run.
    #[must_use]
    pub fn runner_pid(&self) -> Option<u32> {
        self.runner.as_ref().filter(|runner| runner.exited().is_none()).map(Process::pid)
    }

    /// Kills Pointsman's services on a host with signal 9.
    ///
    /// # Errors
    ///
    /// When something of it is left.
    pub fn kill_services(&mut self, host: &str) -> anyhow::Result<()> {
        self.serves.remove(host).map_or(Ok(()), |serve| serve.kill())
    }

    /// Starts Pointsman's services on a host, unless they run.
    ///
    /// # Errors
    ///
    /// When they cannot be started.
    pub fn start_services(&mut self, host: &'static str) -> anyhow::Result<()> {
        if self.serves.get(host).is_some_and(|serve| serve.exited().is_none()) {
            return Ok(());
        }
        self.serves.insert(host, Process::start(&self.program(host, &["serve"]))?);
        Ok(())
    }

    /// The hosts on which Pointsman's services run, with their process ids.
    #[must_use]
    pub fn services(&self) -> BTreeMap<&'static str, u32> {
        let run = self.serves.iter().filter(|(_, serve)| serve.exited().is_none());
        run.map(|(host, serve)| (*host, serve.pid())).collect()
    }

    /// Ends the writer: from now on nobody writes.
    pub fn end_writer(&mut self) {
        self.watchers.remove("writer");
    }

    fn program(&self, host: &str, words: &[&str]) -> Program {
        let mut args = vec!["--config".to_owned(), self.plan.host_file(host).display().to_string()];
        args.extend(words.iter().map(|word| (*word).to_owned()));
        Program {
            path: self.pointsman.path.clone(),
            args,
            env: vec![("RUST_BACKTRACE".into(), "1".into())],
            folder: self.plan.folder.clone(),
            log: self.plan.path("log").join(host),
            account: None,
        }
    }

    /// The file of the host from which a person commands.
    #[must_use]
    pub fn desk(&self) -> PathBuf {
        self.plan.host_file("wrun")
    }

    /// The group, as `pointsman status` shows it.
    ///
    /// # Errors
    ///
    /// When the runner does not answer.
    pub fn status(&self) -> anyhow::Result<GroupView> {
        match self.pointsman.look(&self.desk(), &["status", GROUP])? {
            OpReply::Groups(groups) => groups.into_iter().next().context("status shows no group"),
            other => bail!("status shows {other:?}"),
        }
    }

    /// A run, as `pointsman show` shows it.
    ///
    /// # Errors
    ///
    /// When the runner does not answer, or does not know it.
    pub fn show(&self, run: &str) -> anyhow::Result<RunView> {
        self.pointsman.look(&self.desk(), &["show", run])
    }

    /// The newest run.
    ///
    /// # Errors
    ///
    /// When the runner does not answer.
    pub fn newest_run(&self) -> anyhow::Result<Option<RunView>> {
        match self.pointsman.look(&self.desk(), &["runs", GROUP, "--limit", "1"])? {
            OpReply::Runs(runs) => Ok(runs.into_iter().next()),
            other => bail!("runs shows {other:?}"),
        }
    }

    /// Asks the first proxy of a site one line.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn ask_proxy(&self, site: Site, line: &str) -> anyhow::Result<String> {
        self.ask(site, plan::PROXIES[0], line)
    }

    /// Asks a process of a site one line.
    ///
    /// # Errors
    ///
    /// When there is no such process, or it does not answer.
    pub fn ask(&self, site: Site, process: &str, line: &str) -> anyhow::Result<String> {
        running::ask(self.plan.at_named(site, process)?, line, Duration::from_secs(3))
    }

    /// The hosts that are lost now, and how.
    #[must_use]
    pub fn lost(&self) -> &BTreeMap<&'static str, By> {
        &self.lost
    }

    /// Where everything listens, a line each.
    #[must_use]
    pub fn listening(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (place, url) in ["main", "secondary", "witness"].iter().zip(self.bus.urls()) {
            lines.push(format!("bus        {place:<10} {url}"));
        }
        for site in Site::ALL {
            let cluster = &self.postgres[site.index()];
            lines.push(format!("databases  {:<10} {}", site.name(), cluster.superuser_dsn("config")));
            for process in self.plan.processes() {
                let at = self.plan.at(site, process);
                let role = if process.live_only { ", live site only" } else { "" };
                lines.push(format!("process    {:<10} {at:<18} {}{role}", site.name(), process.name));
            }
            let names = &self.names[site.index()];
            lines.push(format!(
                "dns        {:<10} {} ({}), cache {}",
                site.name(),
                names.authority.address(),
                plan::ZONE,
                names.cache.address()
            ));
        }
        lines.push(format!(
            "dns        {:<10} {} ({}), takes the updates",
            plan::WITNESS,
            self.bind.address(),
            plan::ZONE
        ));
        lines.push(format!("runner     {:<10} its files: {}", plan::WITNESS, self.desk().display()));
        lines
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The users first, so that nobody sees the rest go.
        self.watchers.clear();
        self.runner = None;
        self.serves.clear();
        marked::end_lab(&self.plan.folder);
    }
}

/// Removes what an earlier lab left in its folder.
///
/// # Errors
///
/// When something of it still runs and cannot be ended, or the folder cannot be removed.
pub fn sweep(folder: &Path) -> anyhow::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let folder = folder.canonicalize()?;
    marked::end_lab(&folder);
    let ours = folder.join("lock").exists() || std::fs::read_dir(&folder)?.next().is_none();
    if !ours {
        bail!("{} is not the folder of a lab", folder.display());
    }
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
}
