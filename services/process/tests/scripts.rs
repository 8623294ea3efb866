//! The operator's scripts, with real daemons.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bench::*;
use exec::{Guard, Occasion};
use process::health::{Ask, Health};
use process::scripts::Scripts;
use process::{Gated, Returned};
use responder::{Driver, Look};
use rustix::process::{Pid, Signal, kill_process};
use schemas::{Action, Attempt, Code, Running, Seen};
use serde_json::Value;
use tempfile::TempDir;

/// A service that is a daemon with a pid file. Its scripts are shell texts, run as `sh FILE`.
struct Scene {
    dir: TempDir,
}

const START: &str = "echo $POINTSMAN_ACTION $POINTSMAN_ATTEMPT >>DIR/log\n\
    setsid sh -c 'echo $$ >DIR/pid; exec sleep 300' &\nwhile ! test -s DIR/pid; do :; done";
const STOP: &str = "echo stop >>DIR/log; kill $(cat DIR/pid) && rm DIR/pid";
const CHECK: &str =
    "test -s DIR/pid && kill -0 $(cat DIR/pid) 2>/dev/null && echo '{\"is\": \"up\"}' || exit 1";

impl Scene {
    fn new() -> Scene {
        let scene = Scene { dir: TempDir::new().unwrap() };
        scene.write("start", START);
        scene.write("stop", STOP);
        scene.write("check", CHECK);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A script is a file made once that sources a text: the text may be changed, the program is not.
    fn write(&self, name: &str, text: &str) {
        let dir = self.dir.path().display().to_string();
        std::fs::write(self.path(&format!("{name}.text")), text.replace("DIR", &dir)).unwrap();
        let link = self.path(name);
        if !link.exists() {
            let part = self.path("part");
            let line = format!("#!/bin/sh\n. {dir}/{name}.text\n");
            std::fs::write(&part, line).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&part, mode).unwrap();
            std::fs::rename(part, link).unwrap();
        }
    }

    fn manager(&self) -> Scripts {
        Scripts {
            start: self.path("start"),
            stop: self.path("stop"),
            check: Some(self.path("check")),
            health: None,
            look_within: Duration::from_secs(3),
            resource: resource("cs-primary"),
            site: site("main"),
            lock: self.path("lock"),
            etc: self.path("etc"),
            guard: Guard::program(GUARD),
        }
    }

    fn driver(&self) -> Gated<Scripts> {
        Gated::new(self.manager(), resource("cs-primary"))
    }

    fn pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.path("pid")).ok()?;
        text.trim().parse().ok().and_then(Pid::from_raw)
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

async fn running(driver: &Gated<Scripts>) -> Running {
    match driver.observe().await.unwrap() {
        Seen::Process(seen) => seen.running,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn once_twice_at_once_and_undone() {
    let scene = Scene::new();
    let driver = scene.driver();
    assert_eq!(running(&driver).await, Running::Stopped);
    let output = start(&driver).await.unwrap();
    assert_eq!(output["found"]["is"], "up");
    assert_eq!(driver.look(Action::StartProcess, &Value::Null).await, Look::InEffect(output.clone()));
    assert_eq!(start(&driver).await.unwrap(), output);
    assert_eq!(scene.log(), ["start 1"]);
    stop(&driver).await.unwrap();
    stop(&driver).await.unwrap();
    assert_eq!(scene.log(), ["start 1", "stop"]);
    // Undone by hand, each way.
    start(&driver).await.unwrap();
    kill_process(scene.pid().unwrap(), Signal::KILL).unwrap();
    until("it is seen gone", async || running(&driver).await == Running::Stopped).await;
    std::fs::remove_file(scene.path("pid")).unwrap();
    start(&driver).await.unwrap();
    assert_eq!(running(&driver).await, Running::Healthy);
    stop(&driver).await.unwrap();
    assert!(matches!(driver.look(Action::StartProcess, &Value::Null).await, Look::NotInEffect(_)));
}

#[tokio::test]
async fn two_stops_at_once_are_no_failure() {
    let scene = Scene::new();
    let driver = scene.driver();
    start(&driver).await.unwrap();
    // The second script finds nothing to kill and fails; that it is stopped is what counts.
    let (one, other) = tokio::join!(stop(&driver), stop(&driver));
    one.unwrap();
    other.unwrap();
    assert_eq!(running(&driver).await, Running::Stopped);
}

#[tokio::test]
async fn a_service_that_dies_in_a_start_leaves_nothing_and_it_is_done_again() {
    let scene = Scene::new();
    scene.write("start", &format!("{START}\nsleep 300"));
    let driver = scene.driver();
    let slow = act(Action::StartProcess, Duration::from_secs(30));
    tokio::select! {
        ended = driver.act(&slow) => panic!("{ended:?}"),
        () = until("it is in the middle", async || scene.pid().is_some()) => {}
    }
    let next = scene.driver();
    next.end_earlier(Duration::from_secs(10)).await.unwrap();
    // The daemon of a start that did not end is ended with it.
    assert_eq!(running(&next).await, Running::Stopped);
    std::fs::remove_file(scene.path("pid")).unwrap();
    scene.write("start", START);
    start(&next).await.unwrap();
    assert_eq!(scene.log(), ["start 1", "start 1"]);
}

#[tokio::test]
async fn every_bad_script_is_told() {
    let scene = Scene::new();
    let driver = scene.driver();
    for (text, code, words) in [
        ("echo no licence >&2; exit 7", Code::Script, "code 7 (no licence)"),
        ("kill -9 $$", Code::Script, "signal 9"),
        ("sleep 300", Code::TimedOut, "did not end within"),
    ] {
        scene.write("start", text);
        let bounded = act(Action::StartProcess, Duration::from_millis(700));
        let (told, detail) = not_done(driver.act(&bounded).await);
        assert_eq!(told, code);
        assert!(detail.contains(words), "{detail}");
    }
    // It says that all is well, and nothing runs: it may come yet.
    scene.write("start", "exit 0");
    let bounded = act(Action::StartProcess, Duration::from_millis(700));
    assert_eq!(unknown(driver.act(&bounded).await).0, Code::TimedOut);
    // A stop that stops nothing.
    scene.write("start", START);
    scene.write("stop", "exit 0");
    start(&driver).await.unwrap();
    let bounded = act(Action::StopProcess, Duration::from_millis(700));
    let (code, detail) = not_done(driver.act(&bounded).await);
    assert_eq!(code, Code::Failed);
    assert!(detail.contains("still runs"), "{detail}");
    // A check that cannot tell: nothing is done.
    scene.write("check", "echo no route >&2; exit 3");
    assert_eq!(running(&driver).await, Running::Unknown);
    let before = scene.log();
    for result in [start(&driver).await, stop(&driver).await] {
        let (code, detail) = not_done(result);
        assert_eq!(code, Code::Unreachable);
        assert!(detail.contains("no route"), "{detail}");
    }
    assert_eq!(scene.log(), before);
    let manager = Scripts { start: scene.path("nowhere"), ..scene.manager() };
    scene.write("check", "exit 1");
    assert_eq!(not_done(start(&Gated::new(manager, resource("a"))).await).0, Code::Script);
}

#[tokio::test]
async fn who_else_starts_it_is_named_by_day() {
    let scene = Scene::new();
    let driver = scene.driver();
    let told = async || {
        let lines = driver.preflight().await;
        lines.into_iter().filter(|line| line.what == "autostart").collect::<Vec<_>>()
    };
    assert!(told().await.is_empty());
    std::fs::create_dir(scene.path("etc")).unwrap();
    let table = format!("SHELL=/bin/sh\n@reboot root {}\n", scene.path("start").display());
    std::fs::write(scene.path("etc/crontab"), table).unwrap();
    let lines = told().await;
    assert!(lines.len() == 1 && lines[0].level == schemas::Level::Red, "{lines:?}");
    assert!(lines[0].text.contains("line 2 of") && lines[0].text.contains("etc/crontab"), "{lines:?}");
}

/// The check of a service that keeps an old session says that it runs, its health gate that it is stale.
#[tokio::test]
async fn what_is_stale_is_started_again_and_what_recovers_by_itself_is_left_alone() {
    let scene = Scene::new();
    // Healthy once the daemon was started after the mark was made.
    scene.write("healthy", "test ! -e DIR/moved || test DIR/pid -nt DIR/moved");
    let ask = Ask::Command {
        program: scene.path("healthy"),
        occasion: Occasion::default(),
        guard: Guard::program(GUARD),
    };
    let driver = scene.driver().health(Some(Health { ask, within: Duration::from_secs(3) }));
    start(&driver).await.unwrap();
    let refresh = act(Action::RefreshProcess, Duration::from_secs(30));
    driver.act(&refresh).await.unwrap();
    assert_eq!(scene.log(), ["start 1"], "it was healthy");

    std::thread::sleep(Duration::from_millis(20)); // Times of files have a granularity.
    std::fs::write(scene.path("moved"), "").unwrap();
    assert_eq!(running(&driver).await, Running::Unhealthy);
    let (healed, ()) = tokio::join!(driver.act(&refresh), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::fs::remove_file(scene.path("moved")).unwrap();
    });
    assert_eq!(healed.unwrap()["running"], "healthy");
    assert_eq!(scene.log(), ["start 1"], "it recovered by itself");

    let driver = driver.patience(Duration::from_millis(300));
    std::fs::write(scene.path("moved"), "").unwrap();
    assert_eq!(driver.act(&refresh).await.unwrap()["running"], "healthy");
    assert_eq!(scene.log(), ["start 1", "stop", "start 1"]);

    // Where nobody can tell, it is left alone.
    let blind = Gated::new(Scripts { check: None, ..scene.manager() }, resource("cs-primary"));
    assert!(matches!(blind.look(Action::RefreshProcess, &Value::Null).await, Look::InEffect(_)));
}

#[tokio::test]
async fn without_a_check_of_any_kind_it_is_done_once() {
    let scene = Scene::new();
    let driver = Gated::new(Scripts { check: None, ..scene.manager() }, resource("cs-primary"));
    assert!(matches!(driver.look(Action::StartProcess, &Value::Null).await, Look::CannotTell(_)));
    assert_eq!(start(&driver).await.unwrap()["running"], "unverified");
    let mut again = act(Action::StartProcess, Duration::from_secs(5));
    again.attempt = Attempt(2);
    assert_eq!(unknown(driver.act(&again).await).0, Code::InDoubt);
    assert_eq!(scene.log(), ["start 1"]);
}

#[tokio::test]
async fn a_return_within_settle_is_told_once() {
    let scene = Scene::new();
    let told: Arc<Mutex<Vec<Returned>>> = Arc::default();
    let hook = told.clone();
    let driver = scene
        .driver()
        .settle(Duration::from_secs(20))
        .on_return(move |returned| hook.lock().unwrap().push(returned));
    start(&driver).await.unwrap();
    let began = std::time::Instant::now();
    stop(&driver).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "a stop does not wait for `settle`");
    let by_hand = std::process::Command::new(scene.path("start")).status().unwrap();
    assert!(by_hand.success());
    until("it is told", async || !told.lock().unwrap().is_empty()).await;
    let returned = told.lock().unwrap()[0].clone();
    assert_eq!(returned.resource, resource("cs-primary"));
    assert_eq!(returned.found["is"], "up");
    stop(&driver).await.unwrap();
    assert_eq!(told.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_switch_closes_its_site() {
    let scene = Scene::new();
    let driver = scene.driver().closes(Some(site("main")));
    let Seen::Process(seen) = driver.observe().await.unwrap() else { panic!() };
    assert_eq!((seen.running, seen.closes), (Running::Stopped, Some(site("main"))));
}
