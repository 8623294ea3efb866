//! A program that works on the database of one site, and the operator's scripts that change which.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::*;
use exec::Guard;
use process::{Place, Settings};
use responder::memory::World;
use responder::{Act, Driver, Look};
use schemas::{Action, Code, Level, ProcessSeen, Running, Seen};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A host's folder, with a daemon that runs with the site that a file named when it was started.
struct Host {
    dir: TempDir,
}

const RUNS: &str = "test -s DIR/pid && kill -0 $(cat DIR/pid) 2>/dev/null";
const START: &str = "setsid sh -c 'echo $$ >DIR/pid; cp DIR/at DIR/with; exec sleep 300' &\n\
    while ! test -s DIR/with; do sleep 0.01; done";
const STOP: &str = "kill $(cat DIR/pid); rm -f DIR/pid DIR/with";
/// What it runs with; else what it would start with.
const POINTED: &str = "if RUNS; then cat DIR/with; else cat DIR/at; fi";
const REPOINT: &str =
    "echo $POINTSMAN_ACTION $POINTSMAN_TO >>DIR/log\necho WHERE >DIR/at\nRUNS || exit 0\nSTOP\nSTART";

impl Host {
    /// It works on main's database, and is stopped.
    fn new() -> Host {
        let host = Host { dir: TempDir::new().unwrap() };
        std::fs::write(host.path("at"), "main\n").unwrap();
        std::fs::create_dir(host.path("state")).unwrap();
        for (name, text) in [("start", START), ("stop", STOP), ("check", RUNS), ("pointed", POINTED)] {
            host.script(name, text);
        }
        for to in ["main", "secondary"] {
            host.script(&format!("to-{to}"), &REPOINT.replace("WHERE", to));
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A script is a file made once that sources a text: the text may be changed, the program is not.
    fn script(&self, name: &str, text: &str) {
        let dir = self.dir.path().display().to_string();
        let text = text.replace("RUNS", RUNS).replace("STOP", STOP).replace("START", START);
        std::fs::write(self.path(&format!("{name}.text")), text.replace("DIR", &dir)).unwrap();
        let path = self.path(name);
        if !path.exists() {
            let part = self.path("part");
            std::fs::write(&part, format!("#!/bin/sh\n. {dir}/{name}.text\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&part, mode).unwrap();
            std::fs::rename(part, path).unwrap();
        }
    }

    fn driver(&self) -> Box<dyn Driver> {
        let settings: Settings = serde_json::from_value(json!({
            "driver": "exec", "start": "start", "stop": "stop", "check": "check", "settle": "0s",
            "repoint": { "main": "to-main", "secondary": "to-secondary" }, "pointed": "pointed",
        }))
        .unwrap();
        let place = Place {
            site: site("secondary"),
            resource: resource("log-msg"),
            folder: self.dir.path().into(),
            state: self.path("state"),
            guard: Guard::program(GUARD),
            world: World::new(),
        };
        settings.driver(&place, |_| {}).unwrap()
    }

    /// How often a script changed where it works.
    fn changes(&self) -> Vec<String> {
        lines(&self.path("log"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::process::Command::new(self.path("stop")).output();
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn to(site: &str) -> Value {
    json!({ "resource": "log-msg", "site": "secondary", "to": site })
}

fn point(to: &str, within: Duration) -> Act {
    Act { args: self::to(to), ..act(Action::PointProcess, within) }
}

async fn seen(driver: &dyn Driver) -> ProcessSeen {
    match driver.observe().await.unwrap() {
        Seen::Process(seen) => seen,
        other => panic!("{other:?}"),
    }
}

const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn once_twice_at_once_and_undone() {
    let host = Host::new();
    let driver = host.driver();
    assert_eq!(seen(&*driver).await.points_at, Some(site("main")));
    assert_eq!(seen(&*driver).await.repoints, [site("main"), site("secondary")]);
    // One that does not run is not started.
    let output = driver.act(&point("secondary", WITHIN)).await.unwrap();
    assert_eq!(output, json!({ "to": "secondary" }));
    assert_eq!((seen(&*driver).await.running, host.changes().len()), (Running::Stopped, 1));
    start(&*driver).await.unwrap();
    // One that runs was started again by its script, and lives on.
    driver.act(&point("main", WITHIN)).await.unwrap();
    let now = seen(&*driver).await;
    assert_eq!((now.running, now.points_at), (Running::Healthy, Some(site("main"))));
    assert_eq!(driver.act(&point("main", WITHIN)).await.unwrap(), json!({ "to": "main" }));
    let secondary = point("secondary", WITHIN);
    let (one, other) = tokio::join!(driver.act(&secondary), driver.act(&secondary));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(
        driver.look(Action::PointProcess, &to("secondary")).await,
        Look::InEffect(to_only("secondary"))
    );
    // By hand, back again.
    assert!(std::process::Command::new(host.path("to-main")).status().unwrap().success());
    assert!(matches!(driver.look(Action::PointProcess, &to("secondary")).await, Look::NotInEffect(_)));
    driver.act(&secondary).await.unwrap();
    assert_eq!(seen(&*driver).await.points_at, Some(site("secondary")));
    let asked = host.changes();
    assert_eq!(asked[..2], ["point secondary", "point main"], "{asked:?}");
}

fn to_only(site: &str) -> Value {
    json!({ "to": site })
}

#[tokio::test]
async fn every_bad_script_is_told_and_a_mute_program_is_pointed_all_the_same() {
    let host = Host::new();
    let driver = host.driver();
    let bounded = point("secondary", Duration::from_millis(1_500));
    for (text, code, words) in [
        ("echo no licence >&2; exit 7", Code::Script, "code 7 (no licence)"),
        ("sleep 300", Code::TimedOut, "did not end within"),
    ] {
        host.script("to-secondary", text);
        let (told, detail) = not_done(driver.act(&bounded).await);
        assert_eq!(told, code);
        assert!(detail.contains(words), "{detail}");
    }
    // It says that all is well, and works elsewhere: it may come yet.
    host.script("to-secondary", "exit 0");
    let (code, detail) = unknown(driver.act(&bounded).await);
    assert!(code == Code::TimedOut && detail.contains("works elsewhere"), "{code}: {detail}");
    // It failed, and has done its work.
    host.script("to-secondary", "echo secondary >DIR/at; exit 1");
    driver.act(&bounded).await.unwrap();

    // Nobody can tell where it works, such as one that hangs because its database is gone.
    host.script("pointed", "test -e DIR/back || exit 3; cat DIR/at");
    let mute = seen(&*driver).await;
    assert_eq!(mute.points_at, None);
    assert!(mute.detail["pointed"].as_str().unwrap().contains("code 3"), "{mute:?}");
    host.script("to-main", "touch DIR/back; echo main >DIR/at");
    driver.act(&point("main", WITHIN)).await.unwrap();
    for (printed, words) in [("nowhere", "`nowhere`"), ("", "``")] {
        std::fs::write(host.path("at"), format!("{printed}\n")).unwrap();
        let Look::CannotTell(why) = driver.look(Action::PointProcess, &to("main")).await else { panic!() };
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn a_service_that_dies_in_a_script_leaves_none_running() {
    let host = Host::new();
    host.script("to-secondary", "touch DIR/here\nsleep 300\necho secondary >DIR/at");
    let driver = host.driver();
    let asked = point("secondary", WITHIN);
    tokio::select! {
        ended = driver.act(&asked) => panic!("{ended:?}"),
        () = until("it is in the middle", async || host.path("here").exists()) => {}
    }
    let next = host.driver();
    next.end_earlier(Duration::from_secs(10)).await.unwrap();
    assert!(matches!(next.look(Action::PointProcess, &to("secondary")).await, Look::NotInEffect(_)));
    host.script("to-secondary", "echo secondary >DIR/at");
    next.act(&point("secondary", WITHIN)).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_told_by_day() {
    let host = Host::new();
    let driver = host.driver();
    let refused = driver.check(Action::PointProcess, &to("nowhere")).await.unwrap_err();
    assert_eq!(refused.code, Code::BadConfiguration);
    assert!(refused.to_string().contains("no script for site `nowhere`"), "{refused}");
    let lines = driver.by_hand(&"cfg".parse().unwrap(), Action::PointProcess, &to("main"));
    assert!(lines[0].ends_with("/to-main") && lines[1].contains("/pointed # must print main"), "{lines:?}");

    let told = async || {
        let lines = driver.preflight().await;
        lines.into_iter().find(|line| line.what == "repoint").map(|line| line.level)
    };
    assert_eq!(told().await, Some(Level::Green));
    std::fs::remove_file(host.path("to-main")).unwrap();
    assert_eq!(told().await, Some(Level::Amber), "no move is kept back for it");

    let settings = json!({ "driver": "exec", "start": "start", "stop": "stop", "check": "check" });
    let settings: Settings = serde_json::from_value(settings).unwrap();
    let place = Place {
        site: site("secondary"),
        resource: resource("log-msg"),
        folder: host.dir.path().into(),
        state: host.path("state"),
        guard: Guard::program(GUARD),
        world: World::new(),
    };
    let plain = settings.driver(&place, |_| {}).unwrap();
    let refused = plain.check(Action::PointProcess, &to("main")).await.unwrap_err();
    assert_eq!(refused.code, Code::BadConfiguration);
    assert!(refused.to_string().contains("no `repoint`"), "{refused}");
    assert!(seen(&*plain).await.repoints.is_empty());
}
