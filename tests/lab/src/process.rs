//! A server process with all its children: started so that it cannot outlive us, ended by its id.
//!
//! The kernel's parent-death signal belongs to the *thread* that started a process, so one thread
//! that never ends starts them all ([`spawner`]). The signal is set by `setpriv`, which survives
//! a change of user as well.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::tools::{Account, in_path};

const END_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program's file.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, added to ours.
    pub env: Vec<(String, String)>,
    /// Where it starts.
    pub folder: PathBuf,
    /// Its output and errors are appended here.
    pub log: PathBuf,
    /// Whom it runs as; ourselves when none.
    pub account: Option<Account>,
}

/// A running program. Dropping it ends it and all its children.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts it; says nothing yet about whether it is ready.
    ///
    /// # Errors
    ///
    /// When the program or its log file cannot be opened.
    pub fn start(program: &Program) -> anyhow::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&program.log)?;
        let mut command = Command::new(in_path("setpriv")?);
        command.args(["--pdeathsig", "KILL"]);
        if let Some(account) = program.account {
            command.arg(format!("--reuid={}", account.uid));
            command.arg(format!("--regid={}", account.gid));
            command.arg("--clear-groups");
        }
        command
            .arg("--")
            .arg(&program.path)
            .args(&program.args)
            .envs(program.env.iter().map(|(key, value)| (key, value)))
            .current_dir(&program.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = spawner(command).with_context(|| format!("start {}", program.path.display()))?;
        let pid = Pid::from_child(&child);
        Ok(Self { child: Mutex::new(child), pid, log: program.log.clone() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// It and every process below it.
    #[must_use]
    pub fn tree(&self) -> Vec<u32> {
        tree(self.pid())
    }

    /// Whether it ended, and how.
    #[must_use]
    pub fn exited(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().ok()?;
        child.try_wait().ok().flatten()
    }

    /// What it printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready` says yes.
    ///
    /// # Errors
    ///
    /// When the program ends first or `within` passes; the message has the end of its output.
    pub fn wait_ready(&self, within: Duration, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            if ready() {
                return Ok(());
            }
            if let Some(status) = self.exited() {
                bail!("it ended ({status}):\n{}", tail(&self.output()));
            }
            if start.elapsed() > within {
                bail!("not ready within {within:?}:\n{}", tail(&self.output()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal to it alone.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if self.exited().is_some() {
            bail!("process {} has ended", self.pid());
        }
        kill_process(self.pid, signal).with_context(|| format!("signal process {}", self.pid()))
    }

    /// Waits until it ended by itself.
    ///
    /// # Errors
    ///
    /// When it has not within the bound.
    pub fn wait_exit(&self, within: Duration) -> anyhow::Result<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.exited() {
                Some(status) => return Ok(status),
                None if start.elapsed() > within => {
                    bail!("process {} runs on after {within:?}", self.pid())
                }
                None => std::thread::sleep(POLL),
            }
        }
    }

    /// Stops the whole tree in its tracks: connects to it succeed, nothing answers.
    ///
    /// # Errors
    ///
    /// When it is gone, or does not stop within the bound.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let start = Instant::now();
        loop {
            // A parent that is stopped makes no more children, so this ends.
            let running: Vec<u32> = self.tree().into_iter().filter(|pid| is_running(*pid)).collect();
            if running.is_empty() {
                return Ok(());
            }
            if start.elapsed() > END_WITHIN {
                bail!("processes {running:?} do not stop");
            }
            running.iter().for_each(|pid| signal_pid(*pid, Signal::STOP));
            std::thread::sleep(POLL);
        }
    }

    /// Lets the whole tree go on after [`Process::freeze`].
    pub fn thaw(&self) {
        if self.exited().is_none() {
            let mut all = self.tree();
            all.reverse();
            all.iter().for_each(|pid| signal_pid(*pid, Signal::CONT));
        }
    }

    /// Kills it alone with signal 9, as a crash of it does: its children are left to themselves.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn kill_alone(&self) -> anyhow::Result<()> {
        signal_pid(self.pid(), Signal::KILL);
        self.wait_exit(END_WITHIN).map(drop)
    }

    /// Kills the whole tree with signal 9 and returns when none of it is left.
    ///
    /// Nothing of it runs an exit handler. Does nothing when it has ended already.
    ///
    /// # Errors
    ///
    /// When something is left after the bound.
    pub fn kill(&self) -> anyhow::Result<()> {
        if self.exited().is_some() {
            return Ok(());
        }
        // First stopped, so that no child is made behind our back.
        signal_pid(self.pid(), Signal::STOP);
        let all = self.tree();
        all.iter().for_each(|pid| signal_pid(*pid, Signal::KILL));
        self.wait_exit(END_WITHIN)?;
        let start = Instant::now();
        while all.iter().any(|pid| is_alive(*pid)) {
            if start.elapsed() > END_WITHIN {
                bail!("of {all:?} some are left after signal 9");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::error!("{error:#}");
        }
    }
}

/// Whether `pid` is a process that has not ended; one that only waits to be collected has.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Starts a command on the one thread that lives as long as this process.
fn spawner(command: Command) -> anyhow::Result<Child> {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // A caller that went away has dropped its end; the child is then killed by us.
                if let Err(unsent) = answer.send(command.spawn())
                    && let Ok(mut child) = unsent.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        orders
    });
    let (answer, result) = channel();
    orders.send((command, answer)).map_err(|_| anyhow!("the spawner thread is gone"))?;
    Ok(result.recv().context("the spawner thread is gone")??)
}

/// `root` first, then its children and theirs.
#[must_use]
pub fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut all = vec![root];
    let mut seen = BTreeSet::from([root]);
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        at += 1;
        for (pid, _) in parents.iter().filter(|(_, above)| *above == parent) {
            if seen.insert(*pid) {
                all.push(*pid);
            }
        }
    }
    all
}

fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn is_running(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'T' | 't' | 'Z' | 'X'))
}

/// Stops one process in its tracks, whoever's it is.
pub fn freeze_pid(pid: u32) {
    signal_pid(pid, Signal::STOP);
}

/// Lets it go on.
pub fn thaw_pid(pid: u32) {
    signal_pid(pid, Signal::CONT);
}

/// Best effort: a process that is gone needs no signal.
fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Creates a file with `text`, readable for all.
///
/// # Errors
///
/// Those of the file system.
pub fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
