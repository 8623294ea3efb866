//! Counting system calls of a process that runs: strace, attached for a while.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// strace on a process. Dropping it lets the process go on alone.
pub(crate) struct Trace {
    child: Child,
    out: PathBuf,
}

impl Trace {
    /// Returns once every thread of `pid` is watched.
    pub(crate) fn attach(pid: u32, calls: &str, out: &Path) -> anyhow::Result<Trace> {
        let mut child = Command::new("strace")
            .args(["-f", "-e", "signal=none", "-e", &format!("trace={calls}"), "-o"])
            .arg(out)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start strace")?;
        let stderr = child.stderr.take().context("no output of strace")?;
        let mut trace = Trace { child, out: out.into() };
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            if line.contains("attached") {
                return Ok(trace);
            }
            eprintln!("{line}");
        }
        trace.end();
        bail!("strace could not attach to process {pid}")
    }

    /// How often a system call was entered so far.
    pub(crate) fn count(&self, call: &str) -> anyhow::Result<usize> {
        let text = std::fs::read_to_string(&self.out)?;
        Ok(text.matches(&format!(" {call}(")).count())
    }

    fn end(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It detaches on this; whoever is gone already needs no signal.
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.end();
    }
}
