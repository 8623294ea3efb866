//! The health gate: what answers rightly, wrongly, partly, or not at all.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::time::Duration;

use bench::*;
use process::health::{Ask, Health, Probe};
use process::scripts::Scripts;
use process::{Gated, Presence};
use responder::{Driver, Look};
use schemas::{Action, Code, Level, Running, Seen};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers each connection: reads once (if `reads`), writes this, and closes (if `closes`).
async fn server(reads: bool, answer: &'static [&'static str], closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                if reads {
                    let _ = stream.read(&mut request).await;
                }
                for part in answer {
                    let _ = stream.write_all(part.as_bytes()).await;
                    let _ = stream.flush().await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                if !closes {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    at
}

fn within(ask: Ask) -> Health {
    Health { ask, within: Duration::from_millis(500) }
}

fn http(address: &str, status: Option<u16>, expect: Option<&str>) -> Health {
    within(Ask::Http {
        address: address.into(),
        path: "/health".into(),
        status,
        expect: expect.map(Into::into),
    })
}

fn line(address: &str, expect: &str) -> Health {
    within(Ask::Line { address: address.into(), send: "PING\n".into(), expect: expect.into() })
}

#[tokio::test]
async fn http_by_status_and_text() {
    let good = server(true, &["HTTP/1.1 200", " OK\r\nContent-Length: 2\r\n\r\n", "up"], false).await;
    for (status, expect, healthy) in [
        (None, None, true),
        (Some(200), Some("up"), true),
        (Some(204), None, false),
        (None, Some("down"), false),
    ] {
        let probe = http(&good, status, expect).probe(Duration::MAX).await;
        assert_eq!(probe == Probe::Healthy, healthy, "{status:?} {expect:?}: {probe:?}");
    }
    for answer in [
        &["HTTP/1.1 503 Busy\r\n\r\n"][..],
        &["SSH-2.0-OpenSSH\r\n"],
        &["HTTP/1.1 \r\n"],
        &["HTTP/1.1 200 OK"],
        &[""],
    ] {
        let bad = server(true, answer, true).await;
        let probe = http(&bad, None, None).probe(Duration::MAX).await;
        assert!(matches!(probe, Probe::Unhealthy(_)), "{answer:?}: {probe:?}");
    }
    let redirect = server(true, &["HTTP/1.1 302 Found\r\n\r\n"], true).await;
    assert_eq!(http(&redirect, Some(302), None).probe(Duration::MAX).await, Probe::Healthy);
}

#[tokio::test]
async fn a_line_of_protocol_in_pieces() {
    let good = server(true, &["+PO", "NG\r\n"], false).await;
    assert_eq!(line(&good, "PONG").probe(Duration::MAX).await, Probe::Healthy);
    assert!(matches!(line(&good, "LIVE").probe(Duration::MAX).await, Probe::Unhealthy(_)));
    // The server speaks first.
    let banner = server(false, &["220 ready\r\n"], false).await;
    let ask = Ask::Line { address: banner, send: String::new(), expect: "220".into() };
    assert_eq!(within(ask).probe(Duration::MAX).await, Probe::Healthy);
}

#[tokio::test]
async fn a_connection_alone_proves_nothing() {
    // Nobody ever accepts: the kernel does. So does that of a frozen process.
    // An address of its own: a neighbour may take a port of 127.0.0.1 as soon as it is free.
    let frozen = std::net::TcpListener::bind("127.7.7.7:0").unwrap();
    let at = frozen.local_addr().unwrap().to_string();
    assert!(matches!(line(&at, "PONG").probe(Duration::MAX).await, Probe::Unhealthy(_)));
    assert!(matches!(http(&at, None, None).probe(Duration::MAX).await, Probe::Unhealthy(_)));
    drop(frozen);
    assert!(matches!(line(&at, "PONG").probe(Duration::MAX).await, Probe::Absent(_)));
}

#[tokio::test]
async fn endless_answers_are_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} });
        }
    });
    assert!(matches!(line(&at, "PONG").probe(Duration::MAX).await, Probe::Unhealthy(_)));
    assert!(matches!(http(&at, None, None).probe(Duration::MAX).await, Probe::Unhealthy(_)));
}

fn shell(name: &str, dir: &tempfile::TempDir, text: &str) -> std::path::PathBuf {
    let (part, path) = (dir.path().join("part"), dir.path().join(name));
    std::fs::write(&part, format!("#!/bin/sh\n{text}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&part, mode).unwrap();
    std::fs::rename(part, &path).unwrap();
    path
}

#[tokio::test]
async fn a_start_waits_for_the_gate_and_the_gate_may_be_the_check() {
    let dir = tempfile::TempDir::new().unwrap();
    let flag = dir.path().join("up");
    let guard = exec::Guard::program(GUARD);
    let command = Ask::Command {
        program: shell("health", &dir, &format!("test -e {}", flag.display())),
        occasion: exec::Occasion::default(),
        guard: guard.clone(),
    };
    let health = Health { ask: command, within: Duration::from_secs(3) };
    let manager = Scripts {
        start: shell("start", &dir, &format!("(sleep 0.3; touch {}) &", flag.display())),
        stop: shell("stop", &dir, &format!("rm {}", flag.display())),
        check: None,
        health: Some(health.clone()),
        look_within: Duration::from_secs(3),
        resource: resource("cs-primary"),
        site: site("main"),
        lock: dir.path().join("lock"),
        etc: dir.path().join("etc"),
        guard,
    };
    let driver = Gated::new(manager.clone(), resource("cs-primary")).health(Some(health.clone()));
    assert!(!flag.exists());
    start(&driver).await.unwrap();
    assert!(flag.exists());
    stop(&driver).await.unwrap();
    assert!(matches!(process::Manager::presence(&manager).await, Presence::Stopped(_)));

    // It runs by the check, and never gets healthy.
    let check = Some(shell("check", &dir, "exit 0"));
    let driver = Gated::new(Scripts { check, ..manager }, resource("cs-primary")).health(Some(health));
    let Seen::Process(seen) = driver.observe().await.unwrap() else { panic!() };
    assert_eq!(seen.running, Running::Unhealthy);
    let bounded = act(Action::StartProcess, Duration::from_millis(700));
    let (code, detail) = not_done(driver.act(&bounded).await);
    assert_eq!(code, Code::Precondition);
    assert!(detail.contains("not healthy"), "{detail}");
    assert!(!flag.exists(), "it was started a second time");
}

/// A program that hangs before it listens, or listens elsewhere: nobody answers at its gate, and it runs.
#[tokio::test]
async fn a_gate_that_nobody_answers_is_no_proof_that_nothing_runs() {
    let dir = tempfile::TempDir::new().unwrap();
    let (runs, log) = (dir.path().join("runs"), dir.path().join("log"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let health = line(&nobody, "PONG");
    let manager = Scripts {
        start: shell("start", &dir, &format!("touch {}", runs.display())),
        stop: shell("stop", &dir, &format!("echo stop >>{}; rm -f {}", log.display(), runs.display())),
        check: None,
        health: Some(health.clone()),
        look_within: Duration::from_secs(3),
        resource: resource("cs-primary"),
        site: site("main"),
        lock: dir.path().join("lock"),
        etc: dir.path().join("etc"),
        guard: exec::Guard::program(GUARD),
    };
    let stops = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    let gated =
        |manager: &Scripts| Gated::new(manager.clone(), resource("cs-primary")).health(Some(health.clone()));
    let driver = gated(&manager);
    std::fs::write(&runs, "").unwrap();
    let look = driver.look(Action::StopProcess, &Value::Null).await;
    assert!(matches!(look, Look::NotInEffect(_)), "it was taken for stopped: {look:?}");
    assert_eq!(stop(&driver).await.unwrap()["running"], "stopped");
    assert!(!runs.exists() && stops() == 1, "its stop script was not run");
    // Asked again, it is run again: it finds nothing, and that is no failure.
    stop(&driver).await.unwrap();
    assert_eq!(stops(), 2);
    let lines = driver.preflight().await;
    let told = lines.iter().find(|line| line.what == "check-script").unwrap();
    assert!(told.level == Level::Amber && told.remedy.as_deref().unwrap().contains("`check:`"), "{told:?}");

    // A stop that fails has not stopped it, whoever is silent.
    let failing = Scripts { stop: shell("fails", &dir, "exit 3"), ..manager.clone() };
    assert_eq!(not_done(stop(&gated(&failing)).await).0, Code::Script);

    // A check proves it, and then nothing has to be run.
    let check = Some(shell("check", &dir, &format!("test -e {}", runs.display())));
    let checked = gated(&Scripts { check, ..manager });
    assert!(matches!(checked.look(Action::StopProcess, &Value::Null).await, Look::InEffect(_)));
    stop(&checked).await.unwrap();
    assert_eq!(stops(), 2);
    assert!(checked.preflight().await.iter().all(|line| line.what != "check-script"));
}

/// Its first client hears that it is not ready yet, and nothing more; the next one that it is.
#[tokio::test]
async fn one_that_is_just_starting_is_asked_again_before_the_gates_bound() {
    let dir = tempfile::TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = if kept.is_empty() { "PONG starting\n" } else { "PONG primary\n" };
            stream.write_all(answer.as_bytes()).await.unwrap();
            kept.push(stream);
        }
    });
    let ask = Ask::Line { address: at, send: "PING\n".into(), expect: "PONG primary".into() };
    // The bound of one question is longer than that of the start.
    let health = Health { ask, within: Duration::from_secs(60) };
    let flag = dir.path().join("up");
    let manager = Scripts {
        start: shell("start", &dir, &format!("touch {}", flag.display())),
        stop: shell("stop", &dir, &format!("rm {}", flag.display())),
        check: Some(shell("check", &dir, &format!("test -e {}", flag.display()))),
        health: None,
        look_within: Duration::from_secs(3),
        resource: resource("cs-primary"),
        site: site("main"),
        lock: dir.path().join("lock"),
        etc: dir.path().join("etc"),
        guard: exec::Guard::program(GUARD),
    };
    let driver = Gated::new(manager, resource("cs-primary")).health(Some(health));
    start(&driver).await.unwrap();
}
