//! Ends everything below this process. It is the subreaper of all of it, so "no child left" is proof.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, wait};

use crate::processes;

/// How long killed processes may take to vanish.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Whether the script itself has been reaped; before that its process group's number cannot be another's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leader {
    Lives(Pid),
    Reaped,
}

/// Sends TERM, waits up to `grace`, sends KILL until nothing is left. Returns how many could not be ended.
///
/// `meanwhile` is called between looks: it empties the pipes, lest somebody wait for room in one.
pub(super) fn end_all(mut leader: Leader, grace: Duration, mut meanwhile: impl FnMut()) -> u32 {
    let term_until = Instant::now() + grace;
    let kill_until = term_until + GONE_WITHIN;
    send(leader, Signal::TERM);
    loop {
        match reap() {
            Reaped::Nobody => return 0,
            Reaped::One(pid) if leader == Leader::Lives(pid) => leader = Leader::Reaped,
            Reaped::One(_) => {}
            Reaped::NoneYet => {
                let now = Instant::now();
                if now >= kill_until {
                    let left = processes::children(getpid()).len();
                    return u32::try_from(left.max(1)).unwrap_or(u32::MAX);
                }
                if now >= term_until {
                    send(leader, Signal::KILL);
                }
                meanwhile();
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

enum Reaped {
    One(Pid),
    NoneYet,
    Nobody,
}

fn reap() -> Reaped {
    match wait(WaitOptions::NOHANG) {
        Ok(Some((pid, _))) => Reaped::One(pid),
        Ok(None) => Reaped::NoneYet,
        Err(Errno::INTR) => Reaped::NoneYet,
        Err(_) => Reaped::Nobody, // ECHILD
    }
}

/// To the script's group while it has one, and to whoever has become our child: an orphan, `setsid` or not.
/// Children are not reaped meanwhile, so their ids are theirs.
fn send(leader: Leader, signal: Signal) {
    if let Leader::Lives(pid) = leader {
        let _ = kill_process_group(pid, signal);
    }
    for pid in processes::children(getpid()) {
        let _ = kill_process(pid, signal);
    }
}

/// How a process ended, if its status says that.
pub(super) fn how(status: WaitStatus) -> Option<crate::How> {
    if let Some(code) = status.exit_status() {
        return Some(crate::How::Exited { code });
    }
    status.terminating_signal().map(|signal| crate::How::Signalled { signal })
}
