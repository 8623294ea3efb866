//! The systemd driver against a real systemd, in a container. Without docker, or where the stand-in image can
//! neither be found nor made, it says so and tests nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bench::*;
use process::systemd::Systemd;
use process::{Gated, Returned};
use responder::{Driver, Look};
use schemas::{Action, Code, Running, Seen};
use tempfile::TempDir;

const IMAGE: &str = "pointsman-test/systemd:1";

/// A host with systemd, gone when dropped.
struct Host {
    id: String,
    bus: String,
    _dir: TempDir,
}

impl Host {
    /// Nothing where there is no docker.
    async fn boot() -> Option<Host> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/standin-systemd.sh");
        let made = Command::new(script).output().unwrap();
        if !made.status.success() {
            eprintln!("SKIPPED, no systemd to test with: {}", String::from_utf8_lossy(&made.stderr).trim());
            return None;
        }
        let dir = TempDir::new().unwrap();
        let run = Command::new("docker")
            .args(["run", "-d", "--rm", "--pull", "never", "--network", "none", "--cap-add", "SYS_ADMIN"])
            .args(["--tmpfs", "/run", "--tmpfs", "/run/lock", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"])
            .args(["--stop-signal", "SIGRTMIN+3", "-v"])
            .arg(format!("{}:/run/dbus", dir.path().display()))
            .arg(IMAGE)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let id = String::from_utf8(run.stdout).unwrap().trim().to_owned();
        let bus = format!("unix:path={}", dir.path().join("system_bus_socket").display());
        let host = Host { id, bus, _dir: dir };
        until("systemd is up", async || {
            host.sh("systemctl is-system-running || true").contains("running")
                || host.sh("systemctl is-system-running || true").contains("degraded")
        })
        .await;
        Some(host)
    }

    /// Runs a shell in the host.
    fn sh(&self, text: &str) -> String {
        let out = Command::new("docker").args(["exec", &self.id, "sh", "-c", text]).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    fn unit(&self, name: &str, service: &str) -> Gated<Systemd> {
        let mut child = Command::new("docker")
            .args(["exec", "-i", &self.id, "sh", "-c"])
            .arg(format!("cat >/etc/systemd/system/{name}.service && systemctl daemon-reload"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("[Service]\n{service}\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        self.driver(name)
    }

    fn driver(&self, name: &str) -> Gated<Systemd> {
        Gated::new(Systemd::new(format!("{name}.service"), Some(self.bus.clone())), resource(name))
    }

    fn sleepers(&self) -> usize {
        self.sh("cat /proc/[0-9]*/comm 2>/dev/null").lines().filter(|name| *name == "sleep").count()
    }

    fn starts(&self, name: &str) -> usize {
        self.sh(&format!("cat /run/{name}.starts 2>/dev/null")).lines().count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.id]).output();
    }
}

async fn running(driver: &Gated<Systemd>) -> Running {
    match driver.observe().await.unwrap() {
        Seen::Process(seen) => seen.running,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn cron_is_looked_at_where_systemd_cannot_be_asked() {
    let etc = TempDir::new().unwrap();
    std::fs::write(etc.path().join("crontab"), "@reboot root systemctl start plain\n").unwrap();
    let nowhere = Systemd::new("plain.service", Some("unix:path=/nowhere/bus".to_owned())).etc(etc.path());
    let lines = process::Manager::preflight(&nowhere).await;
    let whats: Vec<&str> = lines.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(whats, ["unit", "autostart"], "{lines:?}");
    assert!(lines[1].text.contains("line 1 of"), "{lines:?}");
}

/// One host for all: it takes seconds to boot.
#[tokio::test]
async fn systemd() {
    let Some(host) = Host::boot().await else { return };
    once_twice_at_once_and_undone(&host).await;
    forked_children_included(&host).await;
    a_failing_unit_and_an_unknown_one(&host).await;
    a_slow_start_outlives_its_service(&host).await;
    a_return_is_told(&host).await;
    the_bus_goes_away_and_comes_back(&host).await;
}

async fn once_twice_at_once_and_undone(host: &Host) {
    let driver = host.unit("plain", "ExecStartPre=sh -c 'echo x >>/run/plain.starts'\nExecStart=sleep 300");
    driver.check(Action::StartProcess, &serde_json::Value::Null).await.unwrap();
    assert_eq!(running(&driver).await, Running::Stopped);
    start(&driver).await.unwrap();
    start(&driver).await.unwrap();
    assert_eq!((running(&driver).await, host.starts("plain")), (Running::Healthy, 1));
    stop(&driver).await.unwrap();
    stop(&driver).await.unwrap();
    assert_eq!(running(&driver).await, Running::Stopped);
    let (one, other) = tokio::join!(start(&driver), start(&driver));
    one.unwrap();
    other.unwrap();
    assert_eq!(host.starts("plain"), 2);
    let (one, other) = tokio::join!(stop(&driver), stop(&driver));
    one.unwrap();
    other.unwrap();
    // Undone by hand, each way.
    start(&driver).await.unwrap();
    host.sh("systemctl stop plain");
    assert!(matches!(
        driver.look(Action::StartProcess, &serde_json::Value::Null).await,
        Look::NotInEffect(_)
    ));
    start(&driver).await.unwrap();
    assert_eq!(host.starts("plain"), 4);
    stop(&driver).await.unwrap();
    host.sh("systemctl start plain");
    stop(&driver).await.unwrap();
    assert_eq!(running(&driver).await, Running::Stopped);
    assert_eq!(host.sleepers(), 0);
}

async fn forked_children_included(host: &Host) {
    let service = "Type=forking\nKillMode=process\n\
                   ExecStart=sh -c 'sleep 301 & setsid sleep 302 & (setsid sleep 303 &) ; exit 0'";
    let driver = host.unit("forks", service);
    start(&driver).await.unwrap();
    let Seen::Process(seen) = driver.observe().await.unwrap() else { panic!() };
    assert_eq!(seen.detail["processes"].as_array().unwrap().len(), 3, "{seen:?}");
    // KillMode=process leaves them; what is inactive for systemd is not yet stopped for us.
    host.sh("systemctl stop forks");
    assert_eq!(host.sh("systemctl is-active forks").trim(), "inactive");
    assert_eq!(running(&driver).await, Running::Unhealthy);
    // Nor is it started: a start starts it.
    start(&driver).await.unwrap();
    assert_eq!(host.sh("systemctl is-active forks").trim(), "active");
    host.sh("systemctl stop forks");
    stop(&driver).await.unwrap();
    assert_eq!(running(&driver).await, Running::Stopped);
    start(&driver).await.unwrap();
    stop(&driver).await.unwrap();
    assert_eq!(host.sleepers(), 0);
}

async fn a_failing_unit_and_an_unknown_one(host: &Host) {
    let driver = host.unit("bad", "Type=oneshot\nExecStart=false");
    let (code, detail) = not_done(start(&driver).await);
    assert_eq!(code, Code::Failed);
    assert!(detail.contains("failed"), "{detail}");
    let driver = host.driver("nowhere");
    let refused = driver.check(Action::StartProcess, &serde_json::Value::Null).await.unwrap_err();
    assert_eq!(refused.code, Code::Precondition);
    assert!(refused.to_string().contains("not-found"), "{refused}");
    assert_eq!(not_done(start(&driver).await).0, Code::Refused);
    stop(&driver).await.unwrap();
}

async fn a_slow_start_outlives_its_service(host: &Host) {
    let service = "Type=oneshot\nRemainAfterExit=yes\nExecStart=sh -c 'echo x >>/run/slow.starts; \
                   while ! test -e /run/slow.go; do sleep 0.05; done'";
    let driver = host.unit("slow", service);
    let slow = act(Action::StartProcess, Duration::from_millis(500));
    assert_eq!(unknown(driver.act(&slow).await).0, Code::TimedOut);
    // The next life of the service: systemd still works on it.
    let next = host.driver("slow");
    assert_eq!(running(&next).await, Running::Unhealthy);
    assert!(matches!(next.look(Action::StartProcess, &serde_json::Value::Null).await, Look::NotInEffect(_)));
    assert_eq!(not_done(next.act(&slow).await).0, Code::Precondition);
    let unended = next.end_earlier(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(unended.problem().code, Code::InDoubt);
    host.sh("touch /run/slow.go");
    next.end_earlier(Duration::from_secs(10)).await.unwrap();
    start(&next).await.unwrap();
    assert_eq!((running(&next).await, host.starts("slow")), (Running::Healthy, 1));
    stop(&next).await.unwrap();
}

async fn a_return_is_told(host: &Host) {
    let told: Arc<Mutex<Vec<Returned>>> = Arc::default();
    let hook = told.clone();
    let driver = host
        .unit("back", "ExecStart=sleep 300")
        .settle(Duration::from_secs(20))
        .on_return(move |returned| hook.lock().unwrap().push(returned));
    start(&driver).await.unwrap();
    stop(&driver).await.unwrap();
    host.sh("systemctl start back");
    until("it is told", async || !told.lock().unwrap().is_empty()).await;
    assert_eq!(told.lock().unwrap()[0].resource, resource("back"));
    stop(&driver).await.unwrap();
    // Our own start is no return.
    start(&driver).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(told.lock().unwrap().len(), 1);
    stop(&driver).await.unwrap();
}

async fn the_bus_goes_away_and_comes_back(host: &Host) {
    let driver = host.driver("plain");
    assert_eq!(running(&driver).await, Running::Stopped);
    host.sh("systemctl restart dbus");
    until("it is seen again", async || running(&driver).await == Running::Stopped).await;
    start(&driver).await.unwrap();
    stop(&driver).await.unwrap();

    let nowhere = Systemd::new("plain.service", Some("unix:path=/nowhere/bus".to_owned()));
    let nowhere = Gated::new(nowhere, resource("plain"));
    assert_eq!(running(&nowhere).await, Running::Unknown);
    assert_eq!(not_done(start(&nowhere).await).0, Code::Unreachable);
}
