//! The operator's two scripts against a real BIND, and client hosts by scripts.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use bench::*;
use dns::client::{Client, Flush, Resolve, Settings as ClientSettings};
use dns::scripts::{Scripts, Settings};
use dns::{Hosts, Server};
use exec::Guard;
use lab::bind::Bind;
use responder::{Driver, Look};
use schemas::{Action, Code, Level, ResourceId, Seen};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The guard as a program.
fn guard() -> Guard {
    Guard::program(env!("CARGO_BIN_EXE_dns-guard-test"))
}

struct Scene {
    bind: Bind,
    dir: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { bind: bind(), dir: TempDir::new().unwrap() };
        let bind = &scene.bind;
        let text = |address: &str| {
            format!(
                "echo $POINTSMAN_ACTION $POINTSMAN_TO >>{log}\n\
                 nsupdate -y hmac-sha256:{}:{} <<END\nserver {} {}\nzone {}\n\
                 update delete {NAME} A\nupdate add {NAME} 5 A {address}\nsend\nEND\n",
                bind.key_name(),
                bind.key_secret_base64(),
                bind.address().ip(),
                bind.port(),
                bind.zone(),
                log = scene.path("log").display(),
            )
        };
        scene.write("to_s1.sh", &text("10.1.0.3"));
        scene.write("to_s2.sh", &text("10.2.0.3"));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a script beside, then renames it: nobody executes a file that is open for writing.
    fn write(&self, name: &str, text: &str) {
        let part = self.path("part");
        std::fs::write(&part, format!("#!/bin/sh\n{text}")).unwrap();
        std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(part, self.path(name)).unwrap();
    }

    fn settings(&self) -> Settings {
        Settings {
            check: None,
            point: BTreeMap::from([
                (site("main"), self.path("to_s1.sh")),
                (site("secondary"), self.path("to_s2.sh")),
            ]),
            addresses: addresses(),
            verify: BTreeMap::from([(site("witness"), vec![Server(self.bind.address())])]),
            name: None,
            resource: ResourceId::new("cs-backup").unwrap(),
            site: site("witness"),
            lock: self.path("lock"),
            memo: None,
            guard: guard(),
        }
    }

    fn driver(&self) -> Scripts {
        Scripts::new(self.settings()).unwrap()
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn client(&self, flush: Flush, resolve: Resolve) -> Client {
        Client::new(self.client_settings(flush, resolve))
    }

    fn client_settings(&self, flush: Flush, resolve: Resolve) -> ClientSettings {
        ClientSettings {
            flush,
            resolve,
            names: BTreeMap::from([(NAME.to_owned(), addresses())]),
            hosts: None,
            resource: ResourceId::new("s1app").unwrap(),
            site: site("main"),
            lock: self.path("client-lock"),
            guard: guard(),
        }
    }
}

#[tokio::test]
async fn a_pair_of_scripts_once_twice_at_once_and_undone() {
    let scene = Scene::new();
    let driver = scene.driver();
    driver.check(Action::Point, &to("secondary")).await.unwrap();
    assert_eq!(driver.check(Action::Point, &to("third")).await.unwrap_err().code, Code::BadConfiguration);
    let output = point(&driver, to("secondary")).await.unwrap();
    assert_eq!(output["addresses"], json!(["10.2.0.3"]));
    assert_eq!(point(&driver, to("secondary")).await.unwrap(), output);
    assert_eq!(scene.log(), ["point secondary"]);

    point(&driver, to("main")).await.unwrap();
    let (one, other) = tokio::join!(point(&driver, to("secondary")), point(&driver, to("secondary")));
    assert_eq!((one.unwrap(), other.unwrap()), (output.clone(), output));

    scene.bind.update(&format!("update delete {NAME} A\nupdate add {NAME} 60 A 10.1.0.3")).unwrap();
    point(&driver, to("secondary")).await.unwrap();
    assert_eq!(scene.bind.lookup(NAME).unwrap(), [ip("10.2.0.3")]);

    scene.bind.update(&format!("update add {NAME} 60 A 192.0.2.7")).unwrap();
    let (code, detail) = not_done(point(&driver, to("main")).await);
    assert_eq!(code, Code::Precondition);
    assert!(detail.contains("192.0.2.7"), "{detail}");
}

#[tokio::test]
async fn by_day_the_operators_check_says_whether_the_name_can_be_changed() {
    let scene = Scene::new();
    let line = async |check: Option<PathBuf>| {
        let driver = Scripts::new(Settings { check, name: Some(NAME.into()), ..scene.settings() }).unwrap();
        let lines = driver.preflight().await;
        lines.into_iter().find(|line| line.what == "update").unwrap()
    };
    let untried = line(None).await;
    assert!(untried.level == Level::Green && untried.text.contains("not tried"), "{untried:?}");
    for (script, level, words) in [
        (
            "test $POINTSMAN_ACTION.$POINTSMAN_NAME = check.cfg-a.example.test\n",
            Level::Green,
            "can be changed",
        ),
        ("echo not authorised >&2; exit 1\n", Level::Red, "not authorised"),
        ("echo no route >&2; exit 4\n", Level::Amber, "no route"),
        ("sleep 60\n", Level::Amber, "cannot tell"),
    ] {
        scene.write("check.sh", script);
        let told = line(Some(scene.path("check.sh"))).await;
        assert!(told.level == level && told.text.contains(words), "{script}: {told:?}");
        assert_eq!(told.remedy.is_some(), level != Level::Green, "{told:?}");
    }
}

#[tokio::test]
async fn what_counts_is_what_the_servers_say() {
    let scene = Scene::new();
    let driver = scene.driver();
    // It says that all is well, and did nothing.
    scene.write("to_s2.sh", "exit 0\n");
    let within = Duration::from_millis(700);
    let (code, _) = unknown(driver.act(&act_within(Action::Point, to("secondary"), within)).await);
    assert_eq!(code, Code::TimedOut);
    // It says that it failed.
    scene.write("to_s2.sh", "echo no such host >&2; exit 4\n");
    let (code, detail) = not_done(point(&driver, to("secondary")).await);
    assert_eq!(code, Code::Script);
    assert!(detail.contains("code 4") && detail.contains("no such host"), "{detail}");
    // It hangs.
    scene.write("to_s2.sh", "sleep 60\n");
    let (code, _) = not_done(driver.act(&act_within(Action::Point, to("secondary"), within)).await);
    assert_eq!(code, Code::TimedOut);
    // It did its work and says that it failed.
    let works = std::fs::read_to_string(scene.path("to_s1.sh")).unwrap().replace("10.1.0.3", "10.2.0.3");
    scene.write("to_s2.sh", &format!("{works}\nexit 1\n"));
    point(&driver, to("secondary")).await.unwrap();
}

#[tokio::test]
async fn nothing_of_an_earlier_life_is_left() {
    let scene = Scene::new();
    let started = scene.path("started");
    scene.write("to_s2.sh", &format!("touch {}; sleep 300\n", started.display()));
    let driver = scene.driver();
    tokio::select! {
        ended = point(&driver, to("secondary")) => panic!("{ended:?}"),
        () = lab_until(async || started.exists()) => {}
    }
    driver.end_earlier(Duration::from_secs(10)).await.unwrap();
    // And while one holds the lock, nothing is taken for ended.
    let held = exec::lock(&scene.path("lock"), Duration::ZERO).await.unwrap();
    let unended = driver.end_earlier(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(unended.problem().code, Code::InDoubt);
    drop(held);
}

async fn follow(client: &Client, to: &str, within: Duration) -> Result<Value, responder::DriverError> {
    client.act(&act_within(Action::Follow, json!({ "to": to }), within)).await
}

#[tokio::test]
async fn a_client_has_followed_when_it_resolves_to_the_target() {
    let scene = Scene::new();
    let cache = scene.path("cache");
    std::fs::write(&cache, "10.1.0.3\n").unwrap();
    // The third flush empties what the first two left: a cache above this host.
    scene.write(
        "flush.sh",
        &format!(
            "echo x >>{0}.flushes\nif test $(wc -l <{0}.flushes) -ge 3; then echo 10.2.0.3 >{0}; fi\n",
            cache.display()
        ),
    );
    scene.write("resolve.sh", &format!("test \"$1\" = {NAME} && cat {}\n", cache.display()));
    let client =
        scene.client(Flush::Script(scene.path("flush.sh")), Resolve::Script(scene.path("resolve.sh")));
    let args = json!({ "to": "secondary" });
    assert!(matches!(client.look(Action::Follow, &args).await, Look::NotInEffect(_)));
    let output = follow(&client, "secondary", Duration::from_secs(10)).await.unwrap();
    assert_eq!(output["resolves"][NAME], json!(["10.2.0.3"]));
    assert_eq!(client.look(Action::Follow, &args).await, Look::InEffect(output.clone()));
    // Again, and twice at once.
    let (one, other) = tokio::join!(
        follow(&client, "secondary", Duration::from_secs(10)),
        follow(&client, "secondary", Duration::from_secs(10))
    );
    assert_eq!((one.unwrap(), other.unwrap()), (output.clone(), output));
    let Seen::Name(seen) = client.observe().await.unwrap() else { panic!() };
    assert_eq!(seen.points_at, Some(site("secondary")));

    // An old address beside the new one is not the target; nor is no answer.
    for (text, shown) in [("10.2.0.3\n10.1.0.3\n", "10.1.0.3"), ("", "[]"), ("garbage\n", "garbage")] {
        std::fs::write(&cache, text).unwrap();
        scene.write("flush.sh", "exit 0\n");
        let (code, detail) = not_done(follow(&client, "secondary", Duration::from_millis(600)).await);
        assert_eq!(code, Code::TimedOut);
        assert!(detail.contains(shown), "{detail}");
    }
    scene.write("flush.sh", "echo cannot >&2; exit 3\n");
    let (code, detail) = not_done(follow(&client, "secondary", Duration::from_millis(600)).await);
    assert_eq!(code, Code::Script);
    assert!(detail.contains("cannot"), "{detail}");
    // A name that the request brings, with what it must be.
    std::fs::write(&cache, "192.0.2.9\n").unwrap();
    scene.write("flush.sh", "exit 0\n");
    let brought = json!({ "to": "x", "names": [{ "name": NAME, "addresses": ["192.0.2.9"] }] });
    assert!(matches!(client.look(Action::Follow, &brought).await, Look::InEffect(_)));

    // A client whose own file has no names looks at those that it was last asked to follow.
    let resolve = Resolve::Script(scene.path("resolve.sh"));
    let bare = Client::new(ClientSettings {
        names: BTreeMap::new(),
        ..scene.client_settings(Flush::Nothing, resolve)
    });
    let seen = async || match bare.observe().await.unwrap() {
        Seen::Name(seen) => seen,
        other => panic!("{other:?}"),
    };
    assert!(seen().await.not_looked_at());
    bare.act(&act_within(Action::Follow, brought.clone(), Duration::from_secs(10))).await.unwrap();
    assert_eq!(seen().await.points_at, Some(site("x")));
    std::fs::write(&cache, "192.0.2.10\n").unwrap();
    let astray = seen().await;
    assert!(astray.points_at.is_none() && !astray.not_looked_at(), "{astray:?}");
    std::fs::write(&cache, "192.0.2.9\n").unwrap();
    assert_eq!(
        client.check(Action::Follow, &json!({ "to": "x" })).await.unwrap_err().code,
        Code::BadConfiguration
    );
}

#[tokio::test]
async fn a_hosts_file_leads_there_until_it_is_taken_away() {
    let scene = Scene::new();
    let (hosts, dns) = (scene.path("hosts"), scene.path("dns"));
    std::fs::write(&dns, "10.1.0.3\n").unwrap();
    scene.write("push.sh", &format!("printf '%s\\n' \"$@\" >{}\n", hosts.display()));
    scene.write("unpush.sh", &format!("rm -f {}\n", hosts.display()));
    let (file, other) = (hosts.display(), dns.display());
    scene.write(
        "resolve.sh",
        &format!("if test -e {file}; then cut -d ' ' -f 1 {file}; else cat {other}; fi\n"),
    );
    let resolve = || Resolve::Script(scene.path("resolve.sh"));
    // Each is a life of its own: what was pushed is noted on disk.
    let client = || {
        let hosts = Hosts {
            push: scene.path("push.sh"),
            unpush: scene.path("unpush.sh"),
            note: scene.path("dns.s1app.pushed"),
        };
        Client::new(ClientSettings { hosts: Some(hosts), ..scene.client_settings(Flush::Nothing, resolve()) })
    };
    let args = json!({ "to": "secondary" });
    let within = |action, seconds| act_within(action, args.clone(), Duration::from_secs(seconds));
    let pushed = async || {
        let Seen::Name(seen) = client().observe().await.unwrap() else { panic!() };
        seen.pushed
    };
    let line = async || client().preflight().await.pop().unwrap();

    let none = scene.client(Flush::Nothing, resolve());
    for action in [Action::Push, Action::Unpush] {
        assert_eq!(none.check(action, &args).await.unwrap_err().code, Code::BadConfiguration);
    }
    assert!(none.preflight().await.is_empty());
    assert_eq!(line().await.level, Level::Green);
    client().check(Action::Push, &args).await.unwrap();
    assert!(matches!(client().look(Action::Push, &args).await, Look::NotInEffect(_)));
    for _ in 0..2 {
        let output = client().act(&within(Action::Push, 10)).await.unwrap();
        assert_eq!(output["resolves"][NAME], json!(["10.2.0.3"]));
        assert_eq!(std::fs::read_to_string(&hosts).unwrap(), format!("10.2.0.3 {NAME}\n"));
        assert_eq!(client().look(Action::Push, &args).await, Look::InEffect(output));
    }
    assert_eq!(pushed().await, Some(site("secondary")));
    let told = line().await;
    assert!(
        told.what == "hosts" && told.level == Level::Amber && told.text.contains("secondary"),
        "{told:?}"
    );
    assert!(told.remedy.unwrap().contains("pointsman act dns.s1app unpush --here"));
    assert!(matches!(client().look(Action::Follow, &args).await, Look::InEffect(_)));
    assert!(matches!(client().look(Action::Unpush, &args).await, Look::NotInEffect(_)));

    // Taken away: wherever the names lead without it, if it is one site.
    client().act(&within(Action::Unpush, 10)).await.unwrap();
    assert!(!hosts.exists() && pushed().await.is_none());
    assert!(matches!(client().look(Action::Unpush, &args).await, Look::InEffect(_)));
    std::fs::write(&dns, "").unwrap();
    let (code, _) = not_done(client().act(&within(Action::Unpush, 1)).await);
    assert_eq!(code, Code::TimedOut);

    // A note that cannot be read is no proof that nothing was pushed.
    std::fs::write(&dns, "10.1.0.3\n").unwrap();
    client().act(&within(Action::Push, 10)).await.unwrap();
    std::fs::write(scene.path("dns.s1app.pushed"), "").unwrap();
    let told = line().await;
    assert!(told.level == Level::Amber && told.text.contains("dns.s1app.pushed"), "{told:?}");
    assert!(matches!(client().look(Action::Unpush, &args).await, Look::NotInEffect(_)));
    client().act(&within(Action::Unpush, 10)).await.unwrap();
    assert!(!hosts.exists() && pushed().await.is_none());
    assert!(matches!(client().look(Action::Unpush, &args).await, Look::InEffect(_)));

    let problem = client().check(Action::Push, &json!({})).await.unwrap_err();
    assert!(problem.to_string().contains("arguments of dns.push"), "{problem}");

    // A script that failed may have written something.
    scene.write("push.sh", "echo no room >&2; exit 3\n");
    let (code, detail) = not_done(client().act(&within(Action::Push, 10)).await);
    assert!(code == Code::Script && detail.contains("no room"), "{code}: {detail}");
    assert_eq!(pushed().await, Some(site("secondary")));
}

#[tokio::test]
async fn a_cache_is_asked_and_the_system_too() {
    let scene = Scene::new();
    let client = scene.client(Flush::Nothing, Resolve::Cache(Server(scene.bind.address())));
    follow(&client, "main", Duration::from_secs(2)).await.unwrap();
    assert_eq!(not_done(follow(&client, "secondary", Duration::from_secs(1)).await).0, Code::TimedOut);
    let client = scene.client(Flush::Nothing, Resolve::System);
    let here = json!({ "to": "x", "names": [{ "name": "localhost", "addresses": ["127.0.0.1", "::1"] }] });
    assert!(matches!(client.look(Action::Follow, &here).await, Look::InEffect(_)));
    let there = json!({ "to": "x", "names": [{ "name": "localhost", "addresses": ["10.2.0.3"] }] });
    assert!(matches!(client.look(Action::Follow, &there).await, Look::NotInEffect(_)));
}
