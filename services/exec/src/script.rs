//! The service's side: starts a guard with a script and waits for its report.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::Ended;
use crate::wire::{ORDER_MAX, Order, REPORT_MAX, Report};

/// From TERM to KILL, unless said otherwise.
const GRACE: Duration = Duration::from_secs(5);

/// How much longer than bound and grace a guard may take before it is taken for lost.
const SPARE: Duration = Duration::from_secs(15);

/// Variables of the service that a script may see, when they are set. None of them is secret.
const HANDED_ON: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR"];

/// Where scripts are looked for when the service has no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How to start a guard.
#[derive(Debug, Clone)]
pub struct Guard {
    program: PathBuf,
    args: Vec<String>,
}

impl Guard {
    /// This very program with `exec-guard`, also when its file was replaced meanwhile.
    pub fn this_program() -> Guard {
        Guard { program: PathBuf::from("/proc/self/exe"), args: vec!["exec-guard".to_owned()] }
    }

    /// A program that hands its arguments to [`crate::guard::main`] as they are. For tests.
    pub fn program(path: impl Into<PathBuf>) -> Guard {
        Guard { program: path.into(), args: Vec::new() }
    }
}

/// What happens to the processes that a script started, when it ends with code 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// They live on: it was a start.
    LiveOn,
    /// They are ended, so that nothing acts later.
    AreEnded,
}

/// What a script is run for; it reads this from its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Occasion {
    /// `POINTSMAN_ACTION`, such as `start`.
    pub action: String,
    /// `POINTSMAN_RESOURCE`.
    pub resource: String,
    /// `POINTSMAN_SITE`.
    pub site: String,
    /// `POINTSMAN_GROUP`, empty for what belongs to none.
    pub group: String,
    /// `POINTSMAN_RUN`, empty for a look.
    pub run: String,
    /// `POINTSMAN_KEY`: the same for each attempt of one step. Empty for a look.
    pub key: String,
    /// `POINTSMAN_ATTEMPT`.
    pub attempt: u32,
    /// `POINTSMAN_EPOCH`.
    pub epoch: u64,
}

impl Occasion {
    fn env(&self) -> [(String, String); 8] {
        [
            ("ACTION", self.action.clone()),
            ("RESOURCE", self.resource.clone()),
            ("SITE", self.site.clone()),
            ("GROUP", self.group.clone()),
            ("RUN", self.run.clone()),
            ("KEY", self.key.clone()),
            ("ATTEMPT", self.attempt.to_string()),
            ("EPOCH", self.epoch.to_string()),
        ]
        .map(|(name, value)| (format!("POINTSMAN_{name}"), value))
    }
}

/// A script and how to run it.
#[derive(Debug, Clone)]
pub struct Script {
    program: PathBuf,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    stdin: Option<String>,
    lock: Option<PathBuf>,
    within: Duration,
    grace: Duration,
    children: Children,
}

/// Why there is no report. The script may have run; see each.
#[derive(Debug, Error)]
pub enum RunError {
    /// No guard could be started, so nothing ran.
    #[error("the guard {} cannot be started", guard.display())]
    NoGuard {
        /// Its program.
        guard: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The order does not fit: arguments, environment and input are too long. Nothing ran.
    #[error("arguments, environment and input of {} are longer than {ORDER_MAX} bytes", program.display())]
    TooLong {
        /// The script.
        program: PathBuf,
    },
    /// The guard ended without a report, or stayed mute. Take the lock, then look: holding it proves that
    /// nothing of the script is left.
    #[error("the guard of {} was lost", program.display())]
    Lost {
        /// The script.
        program: PathBuf,
        /// What was seen.
        source: io::Error,
    },
}

impl RunError {
    /// Whether it is sure that the script did not run.
    pub fn never_ran(&self) -> bool {
        match self {
            RunError::NoGuard { .. } | RunError::TooLong { .. } => true,
            RunError::Lost { .. } => false,
        }
    }
}

impl Script {
    /// A script that may run for `within`, has no lock, and leaves nothing behind.
    pub fn new(program: impl Into<PathBuf>, within: Duration) -> Script {
        Script {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            stdin: None,
            lock: None,
            within,
            grace: GRACE,
            children: Children::AreEnded,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Script {
        self.args.push(arg.into());
        self
    }

    /// One more variable of the script's environment. Never a secret: others on the host can read it.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Script {
        self.env.insert(name.into(), value.into());
        self
    }

    /// What the script reads from standard input; without it, that is empty. Bounded with the order.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Script {
        self.stdin = Some(text.into());
        self
    }

    /// Tells the script what it is run for.
    #[must_use]
    pub fn on(mut self, occasion: &Occasion) -> Script {
        self.env.extend(occasion.env());
        self
    }

    /// The guard takes this lock before the script starts, and holds it until nothing of the script is left.
    #[must_use]
    pub fn locked_by(mut self, path: impl Into<PathBuf>) -> Script {
        self.lock = Some(path.into());
        self
    }

    /// What becomes of its children on exit 0.
    #[must_use]
    pub fn children(mut self, children: Children) -> Script {
        self.children = children;
        self
    }

    /// How long it has from TERM to KILL; 5 s unless said otherwise.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Script {
        self.grace = grace;
        self
    }

    pub(crate) fn lock_path(&self) -> Option<&Path> {
        self.lock.as_deref()
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// Runs it; returns when it has ended and nothing of it is left that should not be.
    ///
    /// Ends within the bound, the grace and at most 15 s more. Dropping the future ends the script, soon but
    /// not at once: take the lock to be sure. Running it twice is up to the script.
    ///
    /// # Errors
    ///
    /// Only where there is no report; a script that fails is an `Ok` that says so.
    pub async fn run(&self, guard: &Guard) -> Result<Ended, RunError> {
        let order = self.order(guard)?;
        let mut child = Command::new(&guard.program)
            .args(&guard.args)
            .arg("run")
            .arg(&self.program) // Read by people only, in the list of processes.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0) // A Ctrl-C at the service's terminal is for the service.
            .spawn()
            .map_err(|source| RunError::NoGuard { guard: guard.program.clone(), source })?;
        let lost = |source| RunError::Lost { program: self.program.clone(), source };
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(lost(io::Error::other("no pipes")));
        };
        let talk = async {
            stdin.write_all(&order).await?;
            let mut report = Vec::new();
            stdout.take(REPORT_MAX).read_to_end(&mut report).await?;
            Ok::<_, io::Error>(report)
        };
        let report = tokio::time::timeout(self.within + self.grace + SPARE, talk)
            .await
            .map_err(|_| lost(io::Error::from(io::ErrorKind::TimedOut)))?
            .map_err(lost)?;
        drop(stdin);
        if let Err(cause) = child.wait().await {
            tracing::debug!(%cause, "the guard's end was not seen");
        }
        let report: Report = serde_json::from_slice(&report).map_err(|cause| {
            lost(io::Error::new(io::ErrorKind::UnexpectedEof, format!("no report: {cause}")))
        })?;
        Ok(report.ended)
    }

    fn order(&self, guard: &Guard) -> Result<Vec<u8>, RunError> {
        let too_long = || RunError::TooLong { program: self.program.clone() };
        let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
        for name in HANDED_ON {
            if let Some(value) = std::env::var_os(name).and_then(|v: OsString| v.into_string().ok()) {
                env.insert(name.to_owned(), value);
            }
        }
        env.extend(self.env.clone());
        let order = Order {
            program: self.program.clone(),
            args: self.args.clone(),
            env,
            stdin: self.stdin.clone(),
            lock: self.lock.clone(),
            within_ms: millis(self.within),
            grace_ms: millis(self.grace),
            children_live_on: self.children == Children::LiveOn,
            guard_args: guard.args.clone(),
        };
        let mut line = serde_json::to_vec(&order).map_err(|_| too_long())?;
        line.push(b'\n');
        if line.len() as u64 > ORDER_MAX {
            return Err(too_long());
        }
        Ok(line)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
