//! A folder, a lock, and a list of processes that scripts note down; all of them are killed at the end.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::allow_attributes, reason = "which part differs by test file")]

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use exec::{Ended, Guard, Script};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The guard as a program.
pub(crate) const GUARD: &str = env!("CARGO_BIN_EXE_exec-guard-test");

pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench { dir: TempDir::new().unwrap() }
    }

    pub(crate) fn guard(&self) -> Guard {
        Guard::program(GUARD)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.path("lock")
    }

    /// Path of the list.
    pub(crate) fn noted(&self) -> String {
        self.path("pids").display().to_string()
    }

    /// Shell text that notes the script's own process down.
    pub(crate) fn note_pid(&self) -> String {
        format!("echo $$ >>{};", self.noted())
    }

    /// Puts the noting in the place of NOTE: the shell reads its own id, also in a subshell, where $$ is another's.
    pub(crate) fn daemon(&self, text: &str) -> String {
        let note = format!("read -r pid rest </proc/self/stat; echo $pid >>{}", self.noted());
        text.replace("NOTE", &note)
    }

    pub(crate) fn script(&self, text: &str) -> Script {
        self.script_within(text, Duration::from_secs(30))
    }

    pub(crate) fn script_within(&self, text: &str, within: Duration) -> Script {
        Script::new("/bin/sh", within).arg("-c").arg(text).locked_by(self.lock_path())
    }

    pub(crate) async fn run(&self, text: &str) -> Ended {
        self.script(text).run(&self.guard()).await.unwrap()
    }

    pub(crate) fn noted_pids(&self) -> Vec<i32> {
        std::fs::read_to_string(self.path("pids"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// No wait: they must be gone now. Empties the list.
    pub(crate) fn assert_noted_are_gone(&self) {
        let noted = self.noted_pids();
        assert!(!noted.is_empty(), "nothing was noted");
        for pid in noted {
            assert!(!lives(pid), "process {pid} still lives");
        }
        std::fs::remove_file(self.path("pids")).unwrap();
    }

    pub(crate) fn assert_noted_live(&self) {
        let noted = self.noted_pids();
        assert!(!noted.is_empty(), "nothing was noted");
        for pid in noted {
            assert!(lives(pid), "process {pid} is gone");
        }
    }

    /// Kills them and empties the list.
    pub(crate) fn kill_noted(&self) {
        for pid in self.noted_pids() {
            kill(pid);
            until("it is gone", || !lives(pid));
        }
        let _ = std::fs::remove_file(self.path("pids"));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for pid in self.noted_pids() {
            kill(pid);
        }
    }
}

/// A child that is killed at the end.
pub(crate) struct Killed(pub(crate) Child);

impl Killed {
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Whether it runs; a zombie does not.
pub(crate) fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with(['Z', 'X']))
}

/// The only child of a process.
pub(crate) fn child_of(parent: u32) -> i32 {
    std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Waits for a condition, at most 20 s.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited 20 s until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
