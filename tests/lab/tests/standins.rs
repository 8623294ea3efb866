//! The stand-ins behave as their originals do where it matters, on real servers.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lab::bind::{Bind, BindOptions, Record};
use lab::folder::Folder;
use lab::nats::{Nats, NatsOptions};
use lab::port::Port;
use lab::postgres::{Postgres, PostgresOptions};
use lab::standin::running::{self, StandIn};
use lab::standin::schema;
use lab::system::live::MASTER_SESSIONS;
use lab::system::users::acknowledged;
use tokio_postgres::NoTls;

const WAIT: Duration = Duration::from_secs(3);
const NAME: &str = "cs.example.test";

fn ask(at: SocketAddr, line: &str) -> String {
    running::ask(at, line, WAIT).unwrap_or_else(|error| format!("failed: {error:#}"))
}

fn until<T: std::fmt::Debug>(what: &str, mut see: impl FnMut() -> T, good: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let seen = see();
        if good(&seen) {
            return seen;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}; last: {seen:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn until_says(at: SocketAddr, line: &str, answer: &str) {
    until(line, || ask(at, line), |said| said == answer);
}

fn config_database(address: &str) -> Postgres {
    let postgres = Postgres::start(PostgresOptions {
        address: address.parse().unwrap(),
        databases: vec!["config".into()],
        ..Default::default()
    })
    .unwrap();
    postgres.psql("config", "CREATE ROLE cfg_db LOGIN; CREATE ROLE probe LOGIN").unwrap();
    postgres.psql("config", &schema("cfg_db")).unwrap();
    postgres
}

fn master(at: SocketAddr, postgres: &Postgres, holder: &str) -> StandIn {
    let (at, dsn) = (at.to_string(), postgres.dsn("cfg_db", "config"));
    StandIn::start(&["master", "--listen", &at, "--dsn", &dsn, "--holder", holder]).unwrap()
}

fn port_of(address: &str) -> (Port, SocketAddr) {
    let address: IpAddr = address.parse().unwrap();
    let port = Port::take(address).unwrap();
    let at = SocketAddr::new(address, port.number());
    (port, at)
}

/// Two sites with a database each, one name, and one port for the masters of both.
struct Sites {
    main: Postgres,
    secondary: Postgres,
    bind: Bind,
    port: Port,
}

impl Sites {
    fn start() -> Self {
        let addresses: Vec<IpAddr> = ["127.0.1.3", "127.0.2.3"].map(|ip| ip.parse().unwrap()).into();
        let record = Record { name: NAME.into(), ttl: 60, address: addresses[0] };
        let bind = Bind::start(BindOptions { records: vec![record], ..Default::default() }).unwrap();
        Self {
            main: config_database("127.0.1.2"),
            secondary: config_database("127.0.2.2"),
            bind,
            port: Port::take_on_all(&addresses).unwrap(),
        }
    }

    fn master_at(&self, address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), self.port.number())
    }

    /// The words by which a user finds the master.
    fn by_name(&self) -> Vec<String> {
        let (dns, port) = (self.bind.address().to_string(), self.port.number().to_string());
        ["--dns", &dns, "--name", NAME, "--port", &port].map(str::to_owned).into()
    }

    fn user(&self, words: &[&str]) -> StandIn {
        let by_name = self.by_name();
        let all: Vec<&str> = words.iter().copied().chain(by_name.iter().map(String::as_str)).collect();
        StandIn::start(&all).unwrap()
    }

    fn move_name(&self) {
        let update = format!("update delete {NAME} A\nupdate add {NAME} 60 A 127.0.2.3");
        self.bind.update(&update).unwrap();
    }
}

#[test]
fn one_of_a_pair_is_primary_and_the_other_takes_over() {
    let postgres = config_database("127.0.1.2");
    let (_one_port, one) = port_of("127.0.1.3");
    let (_two_port, two) = port_of("127.0.1.4");
    let primary = master(one, &postgres, "cs-primary");
    until_says(one, "PING", "PONG primary");
    let _backup = master(two, &postgres, "cs-backup");
    until_says(two, "PING", "PONG backup");
    assert_eq!(ask(two, "WRITE 1 x"), "ERR backup");

    assert_eq!(ask(one, "WRITE 1 hello world"), "OK 1");
    assert_eq!(ask(one, "WRITE 1 hello world"), "OK 1", "who got no answer asks again");
    assert_eq!(ask(one, "READ 1"), "ROW 1 hello world");
    assert_eq!(ask(one, "READ 2"), "NONE 2");
    assert_eq!(ask(one, "HEARTBEAT"), "BEAT");
    assert_eq!(postgres.psql("config", "SELECT holder FROM master_session").unwrap(), "cs-primary");

    primary.process().kill().unwrap();
    until_says(two, "PING", "PONG primary");
    assert_eq!(ask(two, "READ 1"), "ROW 1 hello world");
    assert_eq!(postgres.psql("config", "SELECT holder FROM master_session").unwrap(), "cs-backup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_master_session_is_counted_whoever_started_it() {
    let postgres = config_database("127.0.1.2");
    let counted = || postgres.psql("config", &MASTER_SESSIONS).unwrap();
    assert_eq!(counted(), "0");
    let (_one_port, one) = port_of("127.0.1.3");
    let (_two_port, two) = port_of("127.0.1.4");
    let _primary = master(one, &postgres, "cs-primary");
    until_says(one, "PING", "PONG primary");
    let _backup = master(two, &postgres, "cs-backup");
    until_says(two, "PING", "PONG backup");
    assert_eq!(counted(), "1", "a pair has one");

    // Of no pair: it asks nobody for the lock, and writes.
    let dsn = postgres.dsn("cfg_db", "config");
    let (stranger, connection) = tokio_postgres::connect(&dsn, NoTls).await.unwrap();
    let connected = tokio::spawn(connection);
    stranger.batch_execute("INSERT INTO entry (n, text) VALUES (-1, 'of a stranger')").await.unwrap();
    assert_eq!(counted(), "2", "the lock is held once, and two work");
    drop(stranger);
    connected.await.unwrap().unwrap();
    until("it is gone", counted, |count| count == "1");
}

#[test]
fn a_master_without_its_session_is_nobody() {
    let mut postgres = config_database("127.0.1.2");
    let (_port, at) = port_of("127.0.1.3");
    let _master = master(at, &postgres, "cs-primary");
    until_says(at, "PING", "PONG primary");

    let close =
        "ALTER ROLE cfg_db NOLOGIN; REVOKE INSERT, UPDATE, DELETE ON entry, master_session FROM cfg_db;
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cfg_db'";
    postgres.psql("config", close).unwrap();
    until_says(at, "PING", "PONG no-database");
    assert_eq!(ask(at, "WRITE 1 x"), "ERR no-database");
    let open = "GRANT INSERT, UPDATE, DELETE ON entry, master_session TO cfg_db; ALTER ROLE cfg_db LOGIN";
    postgres.psql("config", open).unwrap();
    until_says(at, "PING", "PONG primary");

    postgres.freeze().unwrap();
    assert!(ask(at, "WRITE 1 x").starts_with("failed: "), "an acknowledgement of a frozen database");
    until_says(at, "PING", "PONG no-database");
    postgres.thaw();
    until_says(at, "PING", "PONG primary");

    postgres.kill9().unwrap();
    until_says(at, "PING", "PONG no-database");
}

#[test]
fn servers_say_how_they_are() {
    let postgres = config_database("127.0.1.2");
    let (_port, at) = port_of("127.0.1.6");
    let log = "CREATE TABLE message (site text, id bigint, text text); CREATE SEQUENCE message_id;
               GRANT INSERT ON message TO probe; GRANT USAGE ON SEQUENCE message_id TO probe";
    postgres.psql("config", log).unwrap();
    let dsn = postgres.dsn("probe", "config");
    let words = ["message", "--listen", &at.to_string(), "--dsn", &dsn, "--site", "main"];
    let _message = StandIn::start(&words).unwrap();
    until_says(at, "PING", "PONG message ok");
    let entries = "SELECT count(*) FROM message WHERE site = 'main'";
    until("entries are written", || postgres.psql("config", entries).unwrap(), |count| count != "0");
    postgres.freeze().unwrap();
    until_says(at, "PING", "PONG message no-database");
}

#[test]
fn a_control_server_is_attached_to_the_message_server_that_runs() {
    let ports = ["127.0.1.6", "127.0.2.6", "127.0.2.10"].map(port_of);
    let [main, secondary, at] = [0, 1, 2].map(|number: usize| ports[number].1);
    let message = |at: SocketAddr| StandIn::start(&["message", "--listen", &at.to_string()]).unwrap();
    let first = message(main);
    let (listen, one, two) = (at.to_string(), main.to_string(), secondary.to_string());
    let words = ["control", "--listen", &listen, "--message", &one, "--message", &two];
    let _control = StandIn::start(&words).unwrap();
    until_says(at, "PING", "PONG control attached 127.0.1.6");
    first.process().freeze().unwrap();
    until_says(at, "PING", "PONG control alone");
    let second = message(secondary);
    until_says(at, "PING", "PONG control attached 127.0.2.6");
    first.process().thaw();
    assert_eq!(ask(at, "PING"), "PONG control attached 127.0.2.6", "it holds what it has");
    second.process().kill().unwrap();
    until_says(at, "PING", "PONG control attached 127.0.1.6");
}

/// A start script that starts nothing, and how often it ran so far.
fn counted(files: &Folder) -> (String, impl Fn() -> usize + use<>) {
    let (script, started) = (files.join("start"), files.join("started"));
    std::fs::write(&script, format!("#!/bin/sh\necho again >>'{}'\n", started.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let times = move || std::fs::read_to_string(&started).unwrap_or_default().lines().count();
    (script.display().to_string(), times)
}

#[test]
fn a_control_server_starts_again_what_it_controls() {
    let ports = ["127.0.1.6", "127.0.1.5", "127.0.1.3"].map(port_of);
    let [message, at, controlled] = [0, 1, 2].map(|number: usize| ports[number].1.to_string());
    let files = Folder::new("control").unwrap();
    let (script, times) = counted(&files);
    let words = ["control", "--listen", &at, "--message", &message, "--controls", &controlled, "--restart"];
    let words: Vec<&str> = words.into_iter().chain([script.as_str()]).collect();
    let _control = StandIn::start(&words).unwrap();
    until_says(ports[1].1, "PING", "PONG control alone");
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(times(), 0, "it started what it never saw running");
    for expected in 1..=2 {
        let one = StandIn::start(&["message", "--listen", &controlled]).unwrap();
        until_says(ports[2].1, "PING", "PONG message ok");
        until_says(ports[1].1, "SEEN", "SEEN 1");
        one.process().freeze().unwrap();
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(times(), expected - 1, "silence is no end");
        one.process().kill().unwrap();
        until("it is started again", &times, |count| *count == expected);
    }
}

#[test]
fn the_second_control_server_of_a_pair_waits_until_the_first_is_gone() {
    let ports = ["127.0.1.6", "127.0.1.5", "127.0.1.14", "127.0.1.3"].map(port_of);
    let [message, first, second, controlled] = [0, 1, 2, 3].map(|number: usize| ports[number].1.to_string());
    let files = Folder::new("pair").unwrap();
    let (script, times) = counted(&files);
    let leads = StandIn::start(&["control", "--listen", &first, "--message", &message]).unwrap();
    until_says(ports[1].1, "PING", "PONG control alone");
    let pair = ["--first", &first, "--controls", &controlled, "--restart", &script];
    let words = ["control", "--listen", &second, "--message", &message];
    let _second = StandIn::start(&[&words[..], &pair].concat()).unwrap();
    until_says(ports[2].1, "PING", "PONG control alone");
    let one = StandIn::start(&["message", "--listen", &controlled]).unwrap();
    until_says(ports[3].1, "PING", "PONG message ok");
    until_says(ports[2].1, "SEEN", "SEEN 1");
    one.process().kill().unwrap();
    std::thread::sleep(Duration::from_millis(600)); // Three looks, at which nothing may happen.
    assert_eq!(times(), 0, "the first one runs");
    leads.process().kill().unwrap();
    until("it is started again", &times, |count| *count == 1);
}

#[test]
fn a_resolver_keeps_names_until_it_is_flushed() {
    let sites = Sites::start();
    let options = BindOptions::default();
    let cache = Bind::start_cache(&options, &[sites.bind.address()]).unwrap();
    let (_port, at) = port_of("127.0.1.9");
    let words = ["resolver", "--listen", &at.to_string(), "--upstream", &cache.address().to_string()];
    let _resolver = StandIn::start(&words).unwrap();
    let here = || lab::lookup::lookup(at, NAME, WAIT).unwrap().addresses[0].to_string();
    let question = format!("RESOLVE {NAME}");
    until_says(at, &question, "ADDRESS 127.0.1.3");
    assert_eq!(here(), "127.0.1.3");
    sites.move_name();
    assert_eq!(sites.bind.lookup(NAME).unwrap()[0].to_string(), "127.0.2.3");
    assert_eq!(ask(at, "FLUSH"), "OK flushed");
    assert_eq!(here(), "127.0.1.3", "the cache above it was not flushed");
    let flush = || {
        let rndc = lab::tools::in_path("rndc").unwrap();
        let done = std::process::Command::new(rndc).arg("-c").arg(cache.rndc_file()).arg("flush").status();
        assert!(done.unwrap().success());
    };
    flush();
    assert_eq!(cache.lookup(NAME).unwrap()[0].to_string(), "127.0.2.3");
    assert_eq!(here(), "127.0.1.3", "the resolver itself was not flushed");
    assert_eq!(ask(at, "FLUSH"), "OK flushed");
    assert_eq!(here(), "127.0.2.3");
    assert_eq!(ask(at, &question), "ADDRESS 127.0.2.3");
    assert!(ask(at, "RESOLVE elsewhere.test").starts_with("ERR "));
}

fn counts(file: &Path) -> (u64, u64) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    (value["reads"].as_u64().unwrap_or(0), value["failed"].as_u64().unwrap_or(0))
}

/// Loses the master as `lose` does, and sees that users come through by the name.
fn users_follow_the_name(lose: impl Fn(&StandIn)) {
    let sites = Sites::start();
    let files = lab::folder::Folder::new("users").unwrap();
    let (main, secondary) = (sites.master_at("127.0.1.3"), sites.master_at("127.0.2.3"));
    let first = master(main, &sites.main, "main");
    until_says(main, "PING", "PONG primary");
    assert_eq!(ask(main, "WRITE 0 kept"), "OK 0");

    let (_port, proxy) = port_of("127.0.2.7");
    let _proxy = sites.user(&["proxy", "--listen", &proxy.to_string()]);
    until_says(proxy, "MODE", "normal 127.0.1.3");
    assert_eq!(ask(proxy, "PING"), "PONG proxy");
    assert_eq!(ask(proxy, &format!("PEER {NAME}")), "ADDRESS 127.0.1.3");
    assert_eq!(ask(proxy, "LETGO"), "OK");
    assert_eq!(ask(proxy, "MODE"), "normal 127.0.1.3", "it let go of what the name leads to");
    let (acked, reads) = (files.join("acked"), files.join("reads"));
    let _writer = sites.user(&["writer", "--file", &acked.display().to_string()]);
    let _reader = StandIn::start(&[
        "reader",
        "--proxy",
        &proxy.to_string(),
        "--row",
        "0",
        "--file",
        &reads.display().to_string(),
    ])
    .unwrap();
    assert_eq!(ask(proxy, "WRITE 1000000 through the proxy"), "OK 1000000");
    assert_eq!(ask(proxy, "READ 1000000"), "ROW 1000000 through the proxy");
    until("rows are acknowledged", || acknowledged(&acked).len(), |count| *count > 20);
    until("others' rows reach the proxy", || ask(proxy, "READ 1"), |said| said.starts_with("ROW 1 "));

    lose(&first);
    let start = Instant::now();
    until_says(proxy, "MODE", "limited 127.0.1.3");
    assert!(start.elapsed() < Duration::from_secs(4), "limited mode took {:?}", start.elapsed());
    assert_eq!(ask(proxy, "PING"), "PONG limited", "its health gate does not see it");
    assert_eq!(ask(proxy, "WRITE 1000001 x"), "ERR limited");
    assert_eq!(ask(proxy, "READ 1000000"), "ROW 1000000 through the proxy");

    // The rows that went over are those of the copy; here by hand.
    sites.secondary.psql("config", "INSERT INTO entry (n, text) VALUES (0, 'kept')").unwrap();
    let _second = master(secondary, &sites.secondary, "secondary");
    until_says(secondary, "PING", "PONG primary");
    let before = counts(&reads).0;
    until("reads go on in limited mode", || counts(&reads).0, |now| *now > before + 20);
    sites.move_name();
    until_says(proxy, "MODE", "normal 127.0.2.3");
    assert_eq!(ask(proxy, &format!("PEER {NAME}")), "ADDRESS 127.0.2.3");
    assert_eq!(ask(proxy, "READ 1000000"), "NONE 1000000", "the copy was not loaded afresh");
    assert_eq!(ask(proxy, "WRITE 1000002 after"), "OK 1000002");
    let row = "SELECT text FROM entry WHERE n = 1000002";
    assert_eq!(sites.secondary.psql("config", row).unwrap(), "after");

    until(
        "the writer follows",
        || acknowledged(&acked),
        |rows| rows.iter().filter(|row| row.by == IpAddr::from([127, 0, 2, 3])).count() > 20,
    );
    let rows = acknowledged(&acked);
    assert!(rows.iter().zip(1..).all(|(row, expected)| row.n == expected), "numbers have a gap");
    let there = rows.iter().filter(|row| row.by == IpAddr::from([127, 0, 1, 3])).count();
    let kept = "SELECT count(*) FROM entry WHERE n BETWEEN 1 AND 999999";
    let kept: usize = sites.main.psql("config", kept).unwrap().parse().unwrap();
    assert!(kept >= there, "{there} acknowledged, {kept} in the database");
    let (_, failed) = counts(&reads);
    assert_eq!(failed, 0, "reads failed");
}

#[test]
fn users_follow_the_name_when_the_master_is_killed() {
    users_follow_the_name(|master| master.process().kill().unwrap());
}

#[test]
fn users_follow_the_name_when_the_master_is_silent() {
    users_follow_the_name(|master| master.process().freeze().unwrap());
}

#[test]
fn a_proxy_holds_on_to_a_master_without_database_until_it_is_made_to_let_go() {
    let mut sites = Sites::start();
    let (main, secondary) = (sites.master_at("127.0.1.3"), sites.master_at("127.0.2.3"));
    let _first = master(main, &sites.main, "main");
    until_says(main, "PING", "PONG primary");
    assert_eq!(ask(main, "WRITE 0 kept"), "OK 0");
    let (_port, proxy) = port_of("127.0.2.7");
    let _proxy = sites.user(&["proxy", "--listen", &proxy.to_string(), "--delay-reload", "500"]);
    until_says(proxy, "MODE", "normal 127.0.1.3");

    sites.main.kill9().unwrap();
    until_says(proxy, "MODE", "limited 127.0.1.3");
    assert_eq!(ask(proxy, "WRITE 1 x"), "ERR limited");
    sites.main.restart().unwrap();
    until_says(proxy, "MODE", "normal 127.0.1.3");
    sites.main.kill9().unwrap();
    until_says(proxy, "MODE", "limited 127.0.1.3");

    let _second = master(secondary, &sites.secondary, "secondary");
    until_says(secondary, "PING", "PONG primary");
    sites.move_name();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(ask(proxy, &format!("PEER {NAME}")), "ADDRESS 127.0.1.3", "it let go by itself");
    let start = Instant::now();
    assert_eq!(ask(proxy, "LETGO"), "OK");
    assert_ne!(ask(proxy, &format!("PEER {NAME}")), "ADDRESS 127.0.1.3");
    until_says(proxy, "MODE", "normal 127.0.2.3");
    assert!(start.elapsed() >= Duration::from_millis(500), "it loaded at once");
}

#[test]
fn a_hosts_file_counts_before_what_dns_says() {
    let sites = Sites::start();
    let folder = lab::folder::Folder::new("hosts").unwrap();
    let (file, (_port, at)) = (folder.join("hosts"), port_of("127.0.1.9"));
    let words = [at.to_string(), sites.bind.address().to_string(), file.display().to_string()];
    let [listen, upstream, hosts] = [0, 1, 2].map(|word: usize| words[word].as_str());
    let words = ["resolver", "--listen", listen, "--upstream", upstream, "--hosts", hosts];
    let _resolver = StandIn::start(&words).unwrap();
    let question = format!("RESOLVE {NAME}");
    until_says(at, &question, "ADDRESS 127.0.1.3");
    std::fs::write(&file, format!("# pushed\n127.0.2.3 {NAME}\n")).unwrap();
    until_says(at, &question, "ADDRESS 127.0.2.3");
    let found = lab::lookup::lookup(at, NAME, WAIT).unwrap().addresses;
    assert_eq!(found, [IpAddr::from([127, 0, 2, 3])]);
    std::fs::remove_file(&file).unwrap();
    until_says(at, &question, "ADDRESS 127.0.1.3");
}

#[test]
fn a_reader_counts_what_fails() {
    let file = lab::folder::Folder::new("reader").unwrap();
    let (_port, nobody) = port_of("127.0.2.7");
    let path = file.join("reads");
    let words = ["reader", "--proxy", &nobody.to_string(), "--file", &path.display().to_string()];
    let _reader = StandIn::start(&words).unwrap();
    let (reads, failed) = until("failures are counted", || counts(&path), |(_, failed)| *failed > 3);
    assert_eq!(reads, failed);

    // With a pair, only what neither of them answers.
    let sites = Sites::start();
    let main = sites.master_at("127.0.1.3");
    let _master = master(main, &sites.main, "main");
    until_says(main, "PING", "PONG primary");
    assert_eq!(ask(main, "WRITE 0 kept"), "OK 0");
    let (_port, proxy) = port_of("127.0.2.8");
    let _proxy = sites.user(&["proxy", "--listen", &proxy.to_string()]);
    until_says(proxy, "MODE", "normal 127.0.1.3");
    let (path, proxies) = (file.join("pair"), [nobody.to_string(), proxy.to_string()]);
    let words = ["reader", "--proxy", &proxies[0], "--proxy", &proxies[1], "--row", "0", "--file"];
    let path_text = path.display().to_string();
    let words: Vec<&str> = words.into_iter().chain([path_text.as_str()]).collect();
    let _reader = StandIn::start(&words).unwrap();
    let (_, failed) = until("rows are read", || counts(&path), |(reads, _)| *reads > 20);
    assert_eq!(failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prober_says_lost_and_alive() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    let postgres = config_database("127.0.1.2");
    let (_port, at) = port_of("127.0.1.3");
    let master = master(at, &postgres, "main");
    until_says(at, "PING", "PONG primary");
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut events = client.subscribe("pm.event.in.witness.*").await.unwrap();
    client.flush().await.unwrap();
    let folder = lab::folder::Folder::new("prober").unwrap();
    let beat = folder.join("beat");
    let _prober = StandIn::start(&[
        "prober",
        "--beat",
        &beat.display().to_string(),
        "--nats",
        &nats.url(),
        "--prefix",
        "pm",
        "--place",
        "witness",
        "--site",
        "main",
        "--master",
        &at.to_string(),
        "--database",
        &postgres.dsn("probe", "config"),
        "--every",
        "100",
    ])
    .unwrap();

    // It works, as a health check sees.
    let beats = || std::fs::read_to_string(&beat).unwrap_or_default();
    let first = until("it beats", beats, |at| !at.is_empty());
    until("it beats again", beats, |at| *at > first);

    // A master that is gone while the database answers is no lost site.
    master.process().kill().unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(2), events.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");

    postgres.freeze().unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let message = tokio::time::timeout(WAIT * 4, events.next()).await.unwrap().unwrap();
        assert_eq!(message.subject.as_str(), "pm.event.in.witness.site-lost");
        let headers = message.headers.unwrap();
        assert_eq!(headers.get("Content-Type").unwrap().as_str(), "application/cloudevents+json");
        let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], "io.pointsman.site.lost.v1");
        assert_eq!(event["subject"], "main");
        assert_eq!(event["data"]["site"], "main");
        assert!(event["data"]["misses"].as_u64().unwrap() >= 3);
        ids.push(event["id"].as_str().unwrap().to_owned());
    }
    assert_ne!(ids[0], ids[1]);

    postgres.thaw();
    loop {
        let message = tokio::time::timeout(WAIT * 4, events.next()).await.unwrap().unwrap();
        if message.subject.as_str() == "pm.event.in.witness.site-alive" {
            let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(event["type"], "io.pointsman.site.alive.v1");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_a_site_are_heard_by_their_beats() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let resource = serde_json::json!({ "site": "main", "service": "database", "resource": "config" });
    let beat = serde_json::json!({ "resources": [resource] }).to_string();
    let beats = tokio::spawn(async move {
        loop {
            client.publish("pm.runner.svc.beat", beat.clone().into()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let heard = |site: &str| {
        let words = ["heard", "--nats", &nats.url(), "--prefix", "pm", "--site", site];
        std::process::Command::new(running::program().unwrap()).args(words).status().unwrap().success()
    };
    assert!(heard("main"));
    assert!(!heard("secondary"), "nobody beats there");
    beats.abort();
}

#[test]
fn a_stand_in_ends_with_its_lab() {
    let folder = lab::folder::Folder::new("lock").unwrap();
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (_port, at) = port_of("127.0.1.5");
    let (path, pid) = (folder.join("lock").display().to_string(), folder.join("pid"));
    let pid_file = pid.display().to_string();
    let words = ["message", "--listen", &at.to_string(), "--while-locked", &path, "--pid-file", &pid_file];
    let message = StandIn::start(&words).unwrap();
    until_says(at, "PING", "PONG message ok");
    let noted: u32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    assert_eq!(noted, message.process().pid());
    std::thread::sleep(Duration::from_millis(700));
    assert!(message.process().exited().is_none(), "it ended while its lab lives");
    drop(lock);
    message.process().wait_exit(WAIT).unwrap();
}
