//! Processes that the lab's scripts started: nobody's children, known by their environment.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::scripts::{HOST, LAB};
use crate::process::is_alive;

const END_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);

/// All of a lab, by its folder.
#[must_use]
pub fn of_lab(folder: &Path) -> Vec<u32> {
    with(&[format!("{LAB}={}", folder.display())])
}

/// Those of one of its hosts.
#[must_use]
pub fn of_host(folder: &Path, host: &str) -> Vec<u32> {
    with(&[format!("{LAB}={}", folder.display()), format!("{HOST}={host}")])
}

/// Ends all of a lab: a control server among them that is stopped starts nothing again.
pub fn end_lab(folder: &Path) {
    let start = Instant::now();
    loop {
        let all = of_lab(folder);
        if all.is_empty() || start.elapsed() > END_WITHIN {
            return;
        }
        signal(&all, Signal::STOP);
        kill(&all);
    }
}

fn with(marks: &[String]) -> Vec<u32> {
    let own = std::process::id();
    let marked = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let has = |mark: &String| environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes());
        marks.iter().all(has)
    };
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && marked(*pid))
        .collect()
}

/// Signals each; who is gone needs none.
pub fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
        let _ = kill_process(pid, signal);
    }
}

/// Kills each with signal 9 and waits, bounded, until none is left.
pub fn kill(pids: &[u32]) {
    signal(pids, Signal::KILL);
    let start = Instant::now();
    while pids.iter().any(|pid| is_alive(*pid)) && start.elapsed() < END_WITHIN {
        std::thread::sleep(POLL);
    }
}
