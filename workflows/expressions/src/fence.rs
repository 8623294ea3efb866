//! The parent's side of a worker.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;

use crate::error::{Code, ExprError};
use crate::evaluator::Evaluator;
use crate::path::plain;
use crate::wire::{self, Answer, Ask};
use crate::worker::SUBCOMMAND;

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// This program's own hidden subcommand.
    ///
    /// # Errors
    ///
    /// The path of this program cannot be found out.
    pub fn own() -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, args: vec![SUBCOMMAND.into()] })
    }
}

/// What one evaluation may take; memory and processor time are the worker's own bounds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the request to the answer.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(2) }
    }
}

/// A child process that evaluates, started when it is first needed and again when it was lost.
///
/// An expression that takes too long or kills the child gets [`Code::Fenced`]; the next one gets
/// a new child. Dropping it ends the child.
pub struct Worker {
    command: WorkerCommand,
    limits: Limits,
    running: Option<Running>,
}

struct Running {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.to = None;
        // Only fails where the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    /// Starts nothing yet.
    pub fn new(command: WorkerCommand, limits: Limits) -> Self {
        Self { command, limits, running: None }
    }

    /// The child's process id, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|r| r.child.id())
    }

    fn start(&mut self) -> io::Result<&mut Running> {
        if self.running.is_none() {
            let mut child = Command::new(&self.command.program)
                .args(&self.command.args)
                .env_clear()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let (to, from) = (child.stdin.take(), child.stdout.take());
            let (Some(to), Some(from)) = (to, from) else {
                let _ = child.kill();
                let _ = child.wait();
                return Err(io::Error::other("the worker has no pipes"));
            };
            let running = Running { child, to: Some(to), from };
            if let Some(to) = &running.to {
                nonblocking(to.as_fd())?;
            }
            nonblocking(running.from.as_fd())?;
            self.running = Some(running);
        }
        self.running.as_mut().ok_or_else(|| io::Error::other("no worker"))
    }

    fn ask(&mut self, request: &[u8]) -> Result<Answer, Trouble> {
        let within = self.limits.time;
        let running = self.start().map_err(Trouble::NoWorker)?;
        let until = Instant::now() + within;
        send(running, request, until)?;
        let mut head = [0; 4];
        receive(running, &mut head, until)?;
        let mut body = vec![0; wire::length(head)?];
        receive(running, &mut body, until)?;
        serde_json::from_slice(&body).map_err(|e| Trouble::Broken(e.into()))
    }
}

enum Trouble {
    NoWorker(io::Error),
    Late,
    Broken(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Broken(error)
    }
}

impl Evaluator for Worker {
    fn eval(&mut self, source: &str, vars: &[(&str, &Value)], input: &Value) -> Result<Value, ExprError> {
        if let Some(value) = plain(source, vars, input) {
            return Ok(value);
        }
        let request = wire::frame(&Ask { source, vars, input })
            .map_err(|e| ExprError::new(Code::TooLarge, format!("the expression's input: {e}")))?;
        let trouble = match self.ask(&request) {
            Ok(answer) => return answer,
            Err(trouble) => trouble,
        };
        // Whatever it was, this child is of no more use.
        self.running = None;
        Err(match trouble {
            Trouble::NoWorker(e) => {
                ExprError::new(Code::Unavailable, format!("the expression worker does not start: {e}"))
            }
            Trouble::Late => ExprError::new(
                Code::Fenced,
                format!("the expression took longer than {} ms and was ended", self.limits.time.as_millis()),
            ),
            Trouble::Broken(e) => ExprError::new(
                Code::Fenced,
                format!("the expression used more memory or time than it may, and its worker ended ({e})"),
            ),
        })
    }
}

fn nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
    Ok(())
}

/// Waits until the descriptor is ready.
fn ready(fd: BorrowedFd<'_>, flags: PollFlags, until: Instant) -> Result<(), Trouble> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Trouble::Late);
        }
        let timeout = Timespec::try_from(left).map_err(|_| Trouble::Late)?;
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout)) {
            Ok(0) => return Err(Trouble::Late),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Trouble::Broken(e.into())),
        }
    }
}

fn send(running: &mut Running, mut bytes: &[u8], until: Instant) -> Result<(), Trouble> {
    let to = running.to.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready(to.as_fd(), PollFlags::OUT, until)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn receive(running: &mut Running, mut bytes: &mut [u8], until: Instant) -> Result<(), Trouble> {
    while !bytes.is_empty() {
        match running.from.read(bytes) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(n) => bytes = &mut bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                ready(running.from.as_fd(), PollFlags::IN, until)?
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
