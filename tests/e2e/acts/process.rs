//! `process.*` by the operator's scripts: a daemon with a pid file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use lab::process::is_alive;
use schemas::{Action, Service};

use super::case::{Case, Settles};
use super::desk::{Desk, WITHIN, address};
use super::scripts::Gate;

const START: &str =
    "setsid sh -c 'echo $$ >pid; echo $$ >>all; exec sleep 300' &\nwhile ! test -s pid; do sleep 0.01; done";
/// Returns when the daemon has ended, as a stop has to: the signal alone proves nothing.
const STOP: &str = "pid=$(cat pid)\nkill $pid\n\
    while grep -q '^State:[[:space:]]*[^ZX[:space:]]' /proc/$pid/status 2>/dev/null; do sleep 0.01; done\nrm pid";
const CHECK: &str = "test -s pid || exit 1\n\
    case $(sed -n 's/^State:[[:space:]]*\\(.\\).*/\\1/p' /proc/$(cat pid)/status 2>/dev/null) in ''|Z|X) exit 1;; esac";

/// Every daemon that was ever started in the folder; ended with the test.
#[derive(Clone)]
struct Daemons(PathBuf);

impl Daemons {
    fn alive(&self) -> Vec<u32> {
        let all = std::fs::read_to_string(self.0.join("all")).unwrap_or_default();
        let own = |pid: &u32| is_alive(*pid) && is_daemon(*pid);
        all.lines().filter_map(|pid| pid.parse().ok()).filter(own).collect()
    }

    /// By hand: none is left.
    fn end(&self) {
        let end = Instant::now() + WITHIN;
        let _ = std::fs::remove_file(self.0.join("pid"));
        while let alive @ [_, ..] = self.alive().as_slice() {
            assert!(Instant::now() < end, "{alive:?} do not end");
            lab::system::marked::kill(alive);
        }
    }

    /// By hand: one runs.
    fn start(&self) {
        self.end();
        self.by_hand(&self.0.join("by-hand"));
    }

    fn by_hand(&self, script: &Path) {
        let status = Command::new(script).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
    }
}

/// A number of long ago may be somebody else's by now.
fn is_daemon(pid: u32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<u8> = words.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
    String::from_utf8_lossy(&words).contains("sleep 300")
}

/// Ends what is left, also when the test fails.
struct Cleaned(Daemons);

impl Drop for Cleaned {
    fn drop(&mut self) {
        lab::system::marked::kill(&self.0.alive());
    }
}

#[test]
fn processes_by_the_operators_scripts() {
    let mut desk = Desk::start();
    let gate = Gate::new(&desk);
    let daemons = Daemons(desk.folder.path().into());
    let _cleaned = Cleaned(daemons.clone());
    desk.script("start", &gate.around(START));
    desk.script("stop", &gate.around(STOP));
    desk.script("check", CHECK);
    desk.script("by-hand", START);
    desk.host_file(
        "main",
        "process:\n  echo: { driver: exec, start: start, stop: stop, check: check, settle: 0s }\n",
    );
    let at = address("main", Service::Process, "echo");
    desk.serve("main", std::slice::from_ref(&at));

    // An extra start of a killed service was ended by the guard, also where the daemon ran already.
    let (ended, counted) = (daemons.clone(), daemons.clone());
    let case = Case::new(at.clone(), Action::StartProcess)
        .before(move || ended.end())
        .effects(move || counted.alive().len() as u64);
    gate.holds(case, Settles::NotDone).run(&mut desk);

    let (started, counted) = (daemons.clone(), daemons.clone());
    let case = Case::new(at, Action::StopProcess)
        .before(move || started.start())
        .effects(move || u64::from(counted.alive().is_empty()));
    gate.holds(case, Settles::Applied).run(&mut desk);
}

/// A program that works on the database of one site: a file says whose, and a script a site changes that.
#[test]
fn where_a_program_works_by_the_operators_scripts() {
    let mut desk = Desk::start();
    let gate = Gate::new(&desk);
    for site in ["main", "secondary"] {
        desk.script(&format!("to-{site}"), &gate.around(&format!("echo x >>done; echo {site} >works")));
    }
    desk.script("works-on", "cat works");
    desk.script("stopped", "exit 1");
    desk.write("done", "");
    desk.host_file(
        "main",
        "process:\n  echo: { driver: exec, start: stopped, stop: stopped, check: stopped, \
         repoint: { main: to-main, secondary: to-secondary }, pointed: works-on }\n",
    );
    let at = address("main", Service::Process, "echo");
    let works = desk.path("works");
    std::fs::write(&works, "main\n").unwrap();
    desk.serve("main", std::slice::from_ref(&at));
    let done = desk.path("done");
    let case = Case::new(at, Action::PointProcess)
        .args(|| serde_json::json!({ "to": "secondary" }))
        .before(move || std::fs::write(&works, "main\n").unwrap())
        .effects(move || std::fs::read_to_string(&done).unwrap().lines().count() as u64);
    gate.holds(case, Settles::Applied).run(&mut desk);
}

/// Stopped means still stopped: for `settle` longer the service looks, and says it on the bus when somebody started
/// it again.
#[test]
fn a_process_that_comes_back_after_its_stop_is_an_event() {
    let mut desk = Desk::start();
    let daemons = Daemons(desk.folder.path().into());
    let _cleaned = Cleaned(daemons.clone());
    desk.script("start", START);
    desk.script("stop", STOP);
    desk.script("check", CHECK);
    desk.script("by-hand", START);
    desk.host_file(
        "main",
        "process:\n  echo: { driver: exec, start: start, stop: stop, check: check, settle: 60s }\n",
    );
    let at = address("main", Service::Process, "echo");
    desk.serve("main", std::slice::from_ref(&at));
    let event = desk.listen("pointsman.event.in.main.process-returned");
    daemons.start();
    let args = serde_json::json!({});
    let reply = desk.begin(&at, Action::StopProcess, &args, &desk.key("stop"), 1).answer();
    assert_eq!(reply.answer, schemas::Answer::Applied, "{reply:?}");
    daemons.start();
    let event = schemas::CloudEvent::read([], &event.body()).unwrap();
    assert_eq!(event.kind, schemas::event::PROCESS_RETURNED);
    assert_eq!(event.subject.as_deref(), Some("main.process.echo"), "{event:?}");
    assert_eq!(event.data["resource"], "echo");
    assert!(event.data["afterMs"].is_u64(), "{event:?}");
}
