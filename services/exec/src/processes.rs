//! What runs on this host, read from /proc: children of a process, and processes that bear a guard's mark.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wire::MARK;

/// How long between two looks at processes that should be gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How many looks in a row must find nobody.
const CLEAN_LOOKS: u32 = 5;

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)).
pub(crate) struct Stat {
    pub(crate) parent: i32,
    pub(crate) zombie: bool,
    /// Clock ticks since boot: with the id it names a process for good, until the next boot.
    pub(crate) started: u64,
}

/// Reads one process; nothing when it is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in parentheses and may hold anything, so fields count from the last one.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Ids of all processes that can be seen.
fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Living children of one process.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().get();
    all()
        .into_iter()
        .filter(|&pid| stat(pid).is_some_and(|stat| stat.parent == parent && !stat.zombie))
        .filter_map(Pid::from_raw)
        .collect()
}

/// Living processes that bear this mark in their environment.
pub(crate) fn marked(mark: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={mark}");
    all()
        .into_iter()
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|entry| entry == wanted.as_bytes()))
        })
        .filter_map(Pid::from_raw)
        .collect()
}

/// Kills all that bear the mark and waits until they are seen gone, new ones included.
///
/// One look without any proves nothing: a process that is just being executed has no environment yet, and
/// one that was just forked may be missing in the list. So several looks in a row must find none.
///
/// Returns what is left when `bound` passes; empty means gone.
pub(crate) fn end_marked(mark: &str, bound: Duration) -> Vec<Pid> {
    let deadline = Instant::now() + bound;
    let mut clean = 0;
    loop {
        let left = marked(mark);
        clean = if left.is_empty() { clean + 1 } else { 0 };
        if clean >= CLEAN_LOOKS || (!left.is_empty() && Instant::now() >= deadline) {
            return left;
        }
        for pid in left {
            // Gone meanwhile, or not ours to kill: the next look tells.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The kernel's name of this boot; no process outlives it.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
