//! The guard itself: the program between a service and a script. No tokio here: it is small and dies alone.

mod ending;
mod output;
mod watch;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, Read, Seek, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{getpid, set_child_subreaper};

use crate::lock::{Lock, TRY_EVERY, try_lock};
use crate::outcome::{Ended, How, Output};
use crate::processes;
use crate::wire::{MARK, ORDER_MAX, Order, Report};

/// The guard as a program: `run` reads an order from standard input and reports to standard output, `drain`
/// reads standard input to nowhere.
///
/// Call it before anything else in `main`, with what follows `exec-guard` on the command line: it must have
/// the process to itself (it reaps every child, and a dying thread would take the script with it).
///
/// Exit code 0: a report was written, or nobody was there to read it. 2: this is not an order.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    match args.next().as_deref().and_then(|arg| arg.to_str()) {
        Some("run") => run(),
        Some("drain") => drain(),
        _ => {
            eprintln!("exec-guard is started by Pointsman's services, not by hand");
            ExitCode::from(2)
        }
    }
}

fn run() -> ExitCode {
    let Some(order) = read_order() else {
        return ExitCode::from(2);
    };
    let ended = obey(&order);
    if let Ok(mut report) = serde_json::to_vec(&Report { ended }) {
        report.push(b'\n');
        // A service that is gone reads nothing; the lock has told all that there is to tell.
        let _ = std::io::stdout().write_all(&report);
    }
    ExitCode::SUCCESS
}

/// Reads on for a daemon that kept its start script's output, so that it never dies of SIGPIPE.
fn drain() -> ExitCode {
    let mut sink = [0; 64 * 1024];
    let mut input = std::io::stdin().lock();
    while input.read(&mut sink).is_ok_and(|got| got > 0) {}
    ExitCode::SUCCESS
}

/// The one line on standard input; nothing if it is torn, too long, or no order.
fn read_order() -> Option<Order> {
    let mut line = Vec::new();
    std::io::stdin().lock().take(ORDER_MAX).read_until(b'\n', &mut line).ok()?;
    if line.last() != Some(&b'\n') {
        return None;
    }
    serde_json::from_slice(&line).ok()
}

/// Lock, script, end of all that must end, unlock.
fn obey(order: &Order) -> Ended {
    let started = Instant::now();
    let deadline = started + Duration::from_millis(order.within_ms);
    let never = |how| Ended {
        how,
        stdout: Output::default(),
        stderr: Output::default(),
        took: started.elapsed(),
        left: 0,
    };
    let not_started = |reason: String| never(How::NotStarted { reason });
    let mut lock = match take_lock(order, deadline) {
        Ok(lock) => lock,
        Err(how) => return never(how),
    };
    if let Err(cause) = set_child_subreaper(Some(getpid())) {
        return not_started(format!("the guard cannot be a subreaper: {cause}"));
    }
    let mark = new_mark();
    if let Some(lock) = &mut lock
        && let Err(cause) = lock.mark(&mark)
    {
        return not_started(format!("the lock file cannot be written: {cause}"));
    }
    let mut command = Command::new(&order.program);
    command.args(&order.args).env_clear().envs(&order.env).env(MARK, &mark).current_dir("/");
    let started = input_of(order).and_then(|stdin| watch::Script::start(&mut command, stdin));
    let ended = match started {
        Ok(script) => script.attend(order, deadline),
        Err(cause) => not_started(cause.to_string()),
    };
    if ended.left == 0
        && let Some(lock) = &mut lock
    {
        // A note that stays names nobody who lives; the next who takes the lock clears it.
        let _ = lock.clear();
    }
    ended
}

/// The script's standard input: a file in memory, so that nobody waits for whom.
fn input_of(order: &Order) -> io::Result<Stdio> {
    let Some(text) = &order.stdin else { return Ok(Stdio::null()) };
    let mut file = File::from(rustix::fs::memfd_create("input", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

/// Waits for the lock, but not for longer than the service lives.
fn take_lock(order: &Order, deadline: Instant) -> Result<Option<Lock>, How> {
    let Some(path) = &order.lock else {
        return Ok(None);
    };
    loop {
        match try_lock(path) {
            Ok(Some(lock)) => return Ok(Some(lock)),
            Ok(None) if Instant::now() >= deadline => return Err(How::Locked),
            Ok(None) => {}
            Err(cause) => {
                return Err(How::NotStarted { reason: cause.to_string() });
            }
        }
        if watch::service_gone_within(TRY_EVERY) {
            return Err(How::Abandoned);
        }
    }
}

/// Differs from every other guard's on this host since it booted.
fn new_mark() -> String {
    let pid = getpid().as_raw_nonzero().get();
    let started = processes::stat(pid).map_or(0, |stat| stat.started);
    format!("{pid}-{started}")
}

/// Hands an output that is still held by a daemon to a process that reads it to nowhere.
fn keep_drained(order: &Order, output: impl Into<Stdio>) {
    let child = Command::new("/proc/self/exe")
        .args(&order.guard_args)
        .arg("drain")
        .env_clear()
        .stdin(output)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn();
    // Without it the daemon lives on too, until it writes to an output that nobody reads.
    drop(child);
}
