//! Watches one script: its end, its output, its service, its bound.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, getppid, pidfd_open, set_parent_process_death_signal, wait,
};

use super::ending::{Leader, end_all, how};
use super::output::Capture;
use crate::outcome::{Ended, How};
use crate::wire::Order;

/// How long an orphan may lie unreaped.
const REAP_EVERY: Duration = Duration::from_millis(250);

/// A script that runs.
pub(super) struct Script {
    pid: Pid,
    pidfd: OwnedFd,
    stdout: Capture,
    stderr: Capture,
    started: Instant,
}

impl Script {
    /// Starts it in a process group of its own; the kernel kills it if this process dies.
    pub(super) fn start(command: &mut Command, stdin: Stdio) -> io::Result<Script> {
        let (stdout, to_stdout) = io::pipe()?;
        let (stderr, to_stderr) = io::pipe()?;
        command.stdin(stdin).stdout(to_stdout).stderr(to_stderr).process_group(0);
        die_with_this_process(command);
        let child = command.spawn()?;
        // The command still holds our copies of the pipes' other ends.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("no process id"))?;
        let prepared = (|| {
            Ok(Script {
                pid,
                pidfd: pidfd_open(pid, PidfdFlags::empty())?,
                stdout: Capture::new(stdout)?,
                stderr: Capture::new(stderr)?,
                started: Instant::now(),
            })
        })();
        if prepared.is_err() {
            end_all(Leader::Lives(pid), Duration::ZERO, || {});
        }
        prepared
    }

    /// Stays until it has ended and nothing is left that should not be.
    pub(super) fn attend(mut self, order: &Order, deadline: Instant) -> Ended {
        let how = self.wait(deadline);
        let leader = match how {
            How::TimedOut | How::Abandoned => Leader::Lives(self.pid),
            _ => Leader::Reaped,
        };
        let lives_on = order.children_live_on && how == How::Exited { code: 0 };
        let left = if lives_on {
            0
        } else {
            let (stdout, stderr) = (&mut self.stdout, &mut self.stderr);
            end_all(leader, Duration::from_millis(order.grace_ms), || {
                stdout.read_available();
                stderr.read_available();
            })
        };
        let took = self.started.elapsed();
        let (stdout, out_held) = self.stdout.finish();
        let (stderr, err_held) = self.stderr.finish();
        if lives_on {
            for pipe in [out_held, err_held].into_iter().flatten() {
                // A reader that does not wait would spin.
                let blocking = rustix::fs::fcntl_getfl(&pipe)
                    .and_then(|flags| rustix::fs::fcntl_setfl(&pipe, flags - rustix::fs::OFlags::NONBLOCK));
                if blocking.is_ok() {
                    super::keep_drained(order, pipe);
                }
            }
        }
        Ended { how, stdout, stderr, took, left }
    }

    /// Until it exits, its service goes, or the bound passes. Reaps it in the first case only.
    fn wait(&mut self, deadline: Instant) -> How {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let service_gone = self.poll(left.min(REAP_EVERY));
            self.stdout.read_available();
            self.stderr.read_available();
            if let Some(how) = self.reap() {
                return how;
            }
            if service_gone {
                return How::Abandoned;
            }
            if left.is_zero() {
                return How::TimedOut;
            }
        }
    }

    /// Reaps whoever ended; orphans too, lest the script take a dead daemon for a living one.
    fn reap(&self) -> Option<How> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => {
                    if let Some(how) = how(status) {
                        return Some(how);
                    }
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Waits for something to happen; says whether the service is gone.
    fn poll(&self, timeout: Duration) -> bool {
        let stdin = io::stdin();
        let mut fds = vec![PollFd::new(&stdin, PollFlags::IN), PollFd::new(&self.pidfd, PollFlags::IN)];
        let outputs: Vec<_> = [self.stdout.fd(), self.stderr.fd()].into_iter().flatten().collect();
        fds.extend(outputs.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        if poll(&mut fds, Some(&timespec(timeout))).is_err() {
            return false;
        }
        let input = !fds[0].revents().is_empty();
        drop(fds);
        input && at_end_of_input()
    }
}

/// Whether the service's end of the pipe closes within this time.
pub(super) fn service_gone_within(time: Duration) -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut fds, Some(&timespec(time))).is_ok_and(|ready| ready > 0) && at_end_of_input()
}

/// Reads what nobody should have sent; nothing to read means that the other end is closed.
fn at_end_of_input() -> bool {
    let mut byte = [0; 64];
    match rustix::io::read(io::stdin(), &mut byte) {
        Ok(got) => got == 0,
        Err(Errno::INTR | Errno::AGAIN) => false,
        Err(_) => true,
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::from(i32::MAX), tv_nsec: 0 })
}

/// Has the kernel kill the script when this process dies, however it dies.
#[expect(unsafe_code, reason = "only code between fork and exec can ask for the parent-death signal")]
fn die_with_this_process(command: &mut Command) {
    let guard = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before we asked.
        if getppid() == Some(guard) { Ok(()) } else { Err(io::Error::from(io::ErrorKind::BrokenPipe)) }
    };
    // SAFETY: two system calls, no allocation, no lock: both are allowed between fork and exec.
    unsafe {
        command.pre_exec(ask);
    }
}
