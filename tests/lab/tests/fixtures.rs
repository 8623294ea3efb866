//! Each fixture does what it says, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::bind::{Bind, BindOptions, Record};
use lab::nats::{Cluster, Nats, NatsOptions};
use lab::postgres::{Postgres, PostgresOptions};
use lab::process::is_alive;

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(15), "not within 15 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A PING to a NATS server; whether PONG came within the wait.
fn nats_answers(nats: &Nats, wait: Duration) -> bool {
    let talk = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&nats.address(), wait)?;
        stream.set_read_timeout(Some(wait))?;
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        let lines = BufReader::new(stream).lines();
        Ok(lines.map_while(Result::ok).any(|line| line == "PONG"))
    };
    talk().unwrap_or(false)
}

#[test]
fn nats_is_killed_frozen_and_restarted_on_its_port() {
    let wait = Duration::from_millis(500);
    let mut nats = Nats::start(NatsOptions::default()).unwrap();
    let url = nats.url();
    assert!(nats_answers(&nats, wait));

    nats.freeze().unwrap();
    assert!(TcpStream::connect(nats.address()).is_ok(), "a frozen server still accepts");
    assert!(!nats_answers(&nats, wait));
    nats.thaw();
    assert!(nats_answers(&nats, Duration::from_secs(5)));

    nats.kill().unwrap();
    assert!(TcpStream::connect(nats.address()).is_err());
    nats.restart().unwrap();
    assert_eq!(nats.url(), url);
    assert!(nats_answers(&nats, wait));
}

#[tokio::test]
async fn a_stream_outlives_a_kill_of_its_server() {
    let mut nats = Nats::start(NatsOptions { jetstream: true, ..Default::default() }).unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config {
        name: "events".into(),
        subjects: vec!["event.>".into()],
        ..Default::default()
    };
    jetstream.create_stream(config).await.unwrap();
    jetstream.publish("event.one", "1".into()).await.unwrap().await.unwrap();
    drop(jetstream);

    nats.restart().unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let mut stream = jetstream.get_stream("events").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
}

#[tokio::test]
async fn a_cluster_carries_requests_while_any_one_server_is_gone() {
    let mut cluster = Cluster::start(3).unwrap();
    for lost in 0..3 {
        cluster.server(lost).kill().unwrap();
        let (one, other) = ((lost + 1) % 3, (lost + 2) % 3);
        let urls = cluster.urls();
        let here = async_nats::connect(&urls[one]).await.unwrap();
        let there = async_nats::connect(&urls[other]).await.unwrap();
        let mut inbox = there.subscribe("ask").await.unwrap();
        there.flush().await.unwrap();
        let answering = tokio::spawn(async move {
            use async_nats::Subject;
            let message = futures_util::StreamExt::next(&mut inbox).await.unwrap();
            let reply: Subject = message.reply.unwrap();
            there.publish(reply, "yes".into()).await.unwrap();
            there.flush().await.unwrap();
        });
        // The subscription reaches the other server a moment after the flush.
        let start = Instant::now();
        let answer = loop {
            match here.request("ask", "?".into()).await {
                Ok(answer) => break answer,
                Err(error) => assert!(start.elapsed() < Duration::from_secs(5), "{error}"),
            }
        };
        assert_eq!(answer.payload, "yes");
        answering.await.unwrap();
        cluster.server(lost).restart().unwrap();
        cluster.wait_joined(lost).unwrap();
    }
}

#[test]
fn postgres_keeps_what_it_committed_over_a_crash() {
    let mut postgres = Postgres::start(PostgresOptions {
        address: ip("127.0.1.9"),
        databases: vec!["config".into(), "log".into()],
        settings: vec![("work_mem".into(), "5MB".into())],
        ..Default::default()
    })
    .unwrap();
    assert_eq!(postgres.address().ip(), ip("127.0.1.9"));
    assert_eq!(postgres.psql("config", "SHOW wal_level").unwrap(), "logical");
    assert_eq!(postgres.psql("config", "SHOW fsync").unwrap(), "on");
    assert_eq!(postgres.psql("log", "SHOW work_mem").unwrap(), "5MB");
    postgres.psql("config", "CREATE TABLE t (n int); CREATE ROLE app LOGIN").unwrap();
    assert_eq!(postgres.psql_as("app", "config", "SELECT current_user").unwrap(), "app");

    let pid = postgres.pid().unwrap();
    postgres.psql("config", "INSERT INTO t VALUES (7)").unwrap();
    postgres.kill9().unwrap();
    assert!(!is_alive(pid));
    assert!(postgres.psql("config", "SELECT 1").is_err());
    postgres.restart().unwrap();
    assert_eq!(postgres.psql("config", "SELECT n FROM t").unwrap(), "7");

    postgres.stop().unwrap();
    postgres.restart().unwrap();
    assert_eq!(postgres.psql("config", "SELECT n FROM t").unwrap(), "7");
    assert!(postgres.psql("config", "SELECT nonsense").unwrap_err().to_string().contains("nonsense"));
}

#[test]
fn a_frozen_postgres_accepts_and_is_silent_then_goes_on() {
    let postgres = Postgres::start(PostgresOptions::default()).unwrap();
    postgres.freeze().unwrap();
    let mut stream = TcpStream::connect(postgres.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap(); // SSLRequest
    assert!(stream.read(&mut [0]).is_err(), "it answered while frozen");
    postgres.thaw();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1);
    assert_eq!(postgres.psql("postgres", "SELECT 1").unwrap(), "1");
}

#[test]
fn rows_flow_between_two_clusters() {
    let start = |address: &str| {
        let databases = vec!["config".into()];
        let address = ip(address);
        Postgres::start(PostgresOptions { address, databases, ..Default::default() }).unwrap()
    };
    let (main, secondary) = (start("127.0.1.9"), start("127.0.2.9"));
    for each in [&main, &secondary] {
        each.psql("config", "CREATE TABLE t (n int PRIMARY KEY)").unwrap();
    }
    main.psql("config", "CREATE PUBLICATION p FOR TABLE t").unwrap();
    let subscribe =
        format!("CREATE SUBSCRIPTION s CONNECTION '{}' PUBLICATION p", main.superuser_dsn("config"));
    secondary.psql("config", &subscribe).unwrap();
    main.psql("config", "INSERT INTO t VALUES (1)").unwrap();
    until("the row arrives", || secondary.psql("config", "SELECT n FROM t").unwrap() == "1");
}

fn zone(address: &str) -> BindOptions {
    BindOptions {
        address: ip(address),
        records: vec![
            Record { name: "cs.example.test".into(), ttl: 1, address: ip("127.0.1.3") },
            Record { name: "six.example.test".into(), ttl: 1, address: ip("::1") },
        ],
        ..Default::default()
    }
}

const MOVE: &str = "update delete cs.example.test A\nupdate add cs.example.test 1 A 127.0.2.3";

#[test]
fn bind_takes_signed_updates_only_and_keeps_them_over_a_kill() {
    let mut bind = Bind::start(zone("127.0.0.1")).unwrap();
    assert_eq!(bind.lookup("cs.example.test").unwrap(), [ip("127.0.1.3")]);
    assert_eq!(bind.lookup("six.example.test").unwrap(), [ip("::1")]);
    assert!(bind.lookup("absent.example.test").unwrap().is_empty());
    assert!(bind.lookup("elsewhere.test").is_err(), "a zone that is not its own is refused");

    let before = bind.serial().unwrap();
    let refused = bind.update_unsigned(MOVE).unwrap_err().to_string();
    assert!(refused.contains("REFUSED"), "{refused}");
    let refused = bind.update("update add cs.example.test 1 TXT x").unwrap_err().to_string();
    assert!(refused.contains("REFUSED"), "{refused}");
    assert_eq!(bind.serial().unwrap(), before);

    bind.update(MOVE).unwrap();
    assert_eq!(bind.lookup("cs.example.test").unwrap(), [ip("127.0.2.3")]);
    assert_eq!(bind.serial().unwrap(), before + 1);

    bind.freeze().unwrap();
    assert!(bind.lookup("cs.example.test").is_err());
    bind.thaw();
    assert_eq!(bind.lookup("cs.example.test").unwrap(), [ip("127.0.2.3")]);

    bind.restart().unwrap();
    assert_eq!(bind.lookup("cs.example.test").unwrap(), [ip("127.0.2.3")]);
    assert_eq!(bind.serial().unwrap(), before + 1);
}

#[test]
fn bind_works_on_ipv6_too() {
    let bind = Bind::start(zone("::1")).unwrap();
    bind.update(MOVE).unwrap();
    assert_eq!(bind.lookup("cs.example.test").unwrap(), [ip("127.0.2.3")]);
}

#[test]
fn a_secondary_follows_by_notify() {
    let (first, mut second) = Bind::start_pair(zone("127.0.0.1"), ip("127.0.0.1")).unwrap();
    assert_eq!(second.lookup("cs.example.test").unwrap(), [ip("127.0.1.3")]);
    first.update(MOVE).unwrap();
    until("the secondary follows", || second.lookup("cs.example.test").unwrap() == [ip("127.0.2.3")]);
    assert_eq!(first.serial().unwrap(), second.serial().unwrap());
    assert!(second.output().contains("received notify"), "{}", second.output());
    assert!(second.update(MOVE).is_err(), "a secondary takes no updates");

    // What it misses while it is down, it fetches soon after its return.
    second.kill().unwrap();
    first.update("update delete cs.example.test A\nupdate add cs.example.test 1 A 127.0.1.3").unwrap();
    second.restart().unwrap();
    until("the secondary is right again", || second.lookup("cs.example.test").unwrap() == [ip("127.0.1.3")]);
}

/// All three kinds of server, all their processes, and the folders that they live in.
struct All {
    _servers: (Nats, Postgres, Bind),
    pids: Vec<u32>,
    folders: Vec<PathBuf>,
}

fn all() -> All {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    let postgres = Postgres::start(PostgresOptions::default()).unwrap();
    let bind = Bind::start(BindOptions::default()).unwrap();
    let roots = [nats.pid().unwrap(), postgres.pid().unwrap(), bind.pid().unwrap()];
    let pids: Vec<u32> = roots.iter().flat_map(|pid| lab::process::tree(*pid)).collect();
    let folders = roots.iter().map(|pid| folder_of(*pid)).collect();
    assert!(pids.len() > 6, "PostgreSQL has children: {pids:?}");
    All { _servers: (nats, postgres, bind), pids, folders }
}

/// The fixture's folder: where a process lives, or the folder above it.
fn folder_of(pid: u32) -> PathBuf {
    let here = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    here.ancestors()
        .find(|path| path.parent() == Some(std::env::temp_dir().as_path()))
        .map(Path::to_path_buf)
        .unwrap()
}

fn assert_nothing_left(pids: &[u32], folders: &[PathBuf]) {
    let left: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    assert!(left.is_empty(), "processes left: {left:?}");
    let left: Vec<_> = folders.iter().filter(|folder| folder.exists()).collect();
    assert!(left.is_empty(), "folders left: {left:?}");
}

#[test]
fn nothing_is_left_after_a_drop() {
    let all = all();
    let (pids, folders) = (all.pids.clone(), all.folders.clone());
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    assert!(folders.iter().all(|folder| folder.exists()));
    drop(all);
    assert_nothing_left(&pids, &folders);
}

#[test]
fn nothing_is_left_after_a_panic() {
    let mut seen = (Vec::new(), Vec::new());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let all = all();
        seen = (all.pids.clone(), all.folders.clone());
        all._servers.1.freeze().unwrap();
        panic!("a test fails with a frozen server");
    }));
    assert!(outcome.is_err());
    assert_nothing_left(&seen.0, &seen.1);
}

/// Not a test by itself: the process that the next test kills.
#[test]
fn helper_that_waits_to_be_killed() {
    if std::env::var_os("LAB_WAIT_TO_BE_KILLED").is_none() {
        return;
    }
    let all = all();
    println!("\npids {}", all.pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn no_server_outlives_a_killed_test_process() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_waits_to_be_killed", "--nocapture", "--test-threads=1"])
        .env("LAB_WAIT_TO_BE_KILLED", "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let pids: Vec<u32> = lines
        .find_map(|line| line.unwrap().strip_prefix("pids ").map(str::to_owned))
        .unwrap()
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    let folder = folder_of(pids[0]);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the kernel ends them all", || !pids.iter().any(|pid| is_alive(*pid)));

    // Folders are left by such a death; later runs remove them. Here we do.
    let prefix = format!("pointsman-lab-{}-", child.id());
    for entry in std::fs::read_dir(folder.parent().unwrap()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}
