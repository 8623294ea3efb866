//! Forty groups leave a site: in the order of their files, so many at once, and what becomes of one stops no other. The
//! bus takes small messages only, so that they do not fit into one answer, as larger groups would not anywhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use lab::nats::{Nats, NatsOptions};
use lab::process::{Process, Program};
use responder::memory::World;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::house::{BOUND, text};

/// Groups that are live at main: `g00` to `g39`.
const GROUPS: usize = 40;
/// The copy of its standby is not finished: it cannot be drained, and a person decides.
const HELD: &str = "g21";
/// At its other site the brake is on.
const REFUSED: &str = "g13";
/// It is live at the other site.
const ELSEWHERE: &str = "g40";

fn names() -> impl Iterator<Item = String> {
    (0..=GROUPS).map(|number| format!("g{number:02}"))
}

/// Each its own, and none as the names go.
fn order(group: &str) -> usize {
    let number: usize = group[1..].parse().unwrap();
    number * 7 % GROUPS + 1
}

fn live(group: &str) -> &'static str {
    if group == ELSEWHERE { "secondary" } else { "main" }
}

/// Where persons type.
struct Desk {
    folder: PathBuf,
}

impl Desk {
    fn types(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .arg("--config")
            .arg(self.folder.join("witness.yaml"))
            .args(words)
            .stdin(Stdio::null())
            .current_dir(&self.folder)
            .env_remove("POINTSMAN_CONFIG")
            .env("TZ", "UTC")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn says(&self, expected: i32, words: &[&str]) -> String {
        let done = self.types(words);
        assert_eq!(done.status.code(), Some(expected), "{words:?}: {}", text(&done));
        String::from_utf8(done.stdout).unwrap()
    }

    /// Until every service of the group has been taken into service.
    fn adopts(&self, group: &str) {
        let until = Instant::now() + BOUND;
        loop {
            let done = self.types(&["adopt", group, "--live", live(group), "--yes", "--why", "day one"]);
            if done.status.success() {
                return;
            }
            assert!(Instant::now() < until, "{}", text(&done));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The services of both sites in this process, on drivers in memory, and the real runner.
struct Plant {
    desk: Desk,
    stop: CancellationToken,
    services: Vec<JoinHandle<()>>,
    runtime: Runtime,
    _runner: Process,
    _nats: Nats,
    folder: TempDir,
}

impl Plant {
    fn start() -> Plant {
        let config = "max_payload: 65536\n".to_owned();
        let nats = Nats::start(NatsOptions { config, ..NatsOptions::default() }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("groups")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let mut services = Vec::new();
        for site in ["main", "secondary"] {
            let client = runtime.block_on(async_nats::connect(nats.url())).unwrap();
            // One host has the resources of forty groups; that of the one whose brake is on stands beside it.
            let (alone, together): (Vec<String>, Vec<String>) = names().partition(|group| group == REFUSED);
            for groups in [together, alone] {
                let host = host(folder.path(), &groups, site, &nats.url());
                services.push(runtime.spawn(serve(host, client.clone(), stop.clone())));
            }
        }
        for group in names() {
            std::fs::write(folder.path().join(format!("groups/{group}.yaml")), group_file(&group)).unwrap();
        }
        let at = folder.path().display();
        let url = nats.url();
        let witness = format!(
            "version: 1\nsite: witness\nstate: {at}/witness\nbus: {{ servers: [\"{url}\"], person: anna }}\n\
             runner: {{ journal: {at}/journal, groups: {at}/groups }}\n"
        );
        std::fs::create_dir(folder.path().join("witness")).unwrap();
        std::fs::write(folder.path().join("witness.yaml"), witness).unwrap();
        let runner = Process::start(&Program {
            path: env!("CARGO_BIN_EXE_pointsman").into(),
            args: vec!["--config".into(), format!("{at}/witness.yaml"), "runner".into()],
            env: Vec::new(),
            folder: folder.path().into(),
            log: folder.path().join("runner.log"),
            account: None,
        })
        .unwrap();
        let desk = Desk { folder: folder.path().into() };
        let all: Vec<String> = names().collect();
        std::thread::scope(|scope| {
            for some in all.chunks(all.len().div_ceil(4)) {
                let desk = &desk;
                scope.spawn(move || some.iter().for_each(|group| desk.adopts(group)));
            }
        });
        Plant { desk, stop, services, runtime, _runner: runner, _nats: nats, folder }
    }

    /// A group's brake at the other site, and until that is seen.
    fn brakes(&self, group: &str) {
        std::fs::remove_file(state(self.folder.path(), group, "secondary").join("armed")).unwrap();
        let braked = |resource: &Value| {
            resource["address"]["site"] == "main" || resource["observation"]["armed"] == false
        };
        let until = Instant::now() + BOUND;
        loop {
            let status = self.desk.types(&["status", group, "--output", "json"]);
            let seen: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
            if seen["groups"][0]["resources"].as_array().is_some_and(|all| all.iter().all(braked)) {
                return;
            }
            assert!(Instant::now() < until, "{}", text(&status));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How the group's database is at a site, and how often it was changed there.
    fn database(&self, group: &str, site: &str) -> (String, usize) {
        let world = World::in_file(state(self.folder.path(), group, site).join("rehearsal.json")).unwrap();
        let name = format!("database.{group}-config");
        (world.state(&name).as_str().unwrap().to_owned(), world.effects(&name).len())
    }

    /// All runs, in the order in which they began.
    fn runs(&self) -> Vec<Run> {
        let runs: Value =
            serde_json::from_str(&self.desk.says(0, &["runs", "--limit", "100", "--output", "json"]))
                .unwrap();
        let mut runs: Vec<Run> = runs["runs"].as_array().unwrap().iter().map(Run::of).collect();
        runs.sort_by(|a, b| (a.started, &a.id).cmp(&(b.started, &b.id)));
        runs
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.stop.cancel();
        let services = std::mem::take(&mut self.services);
        let ended = futures_util::future::join_all(services);
        let _ = self.runtime.block_on(async { tokio::time::timeout(BOUND, ended).await });
    }
}

struct Run {
    id: String,
    group: String,
    state: String,
    started: DateTime<Utc>,
    ended: Option<DateTime<Utc>>,
}

impl Run {
    fn of(view: &Value) -> Run {
        let word = |name: &str| view[name].as_str().map(str::to_owned);
        Run {
            id: word("id").unwrap(),
            group: word("group").unwrap(),
            state: word("state").unwrap(),
            started: word("started").unwrap().parse().unwrap(),
            ended: word("ended").map(|at| at.parse().unwrap()),
        }
    }
}

fn group_file(group: &str) -> String {
    let order = order(group);
    format!(
        "version: 1\ngroup: {group}\norder: {order}\nsites: [main, secondary]\n\
         databases:\n  {group}-config: {{ kind: one-live, replication: {{ \"main->secondary\": {group}-csp, \
         \"secondary->main\": {group}-css }} }}\n"
    )
}

/// The state folder of the host that has a group's resources.
fn state(folder: &Path, group: &str, site: &str) -> PathBuf {
    folder.join(if group == REFUSED { format!("{site}-of-{group}") } else { site.to_owned() })
}

/// A host at a site, armed, as it is while each group is live where it should be.
fn host(folder: &Path, groups: &[String], site: &str, url: &str) -> config::Host {
    let state = state(folder, &groups[0], site);
    std::fs::create_dir(&state).unwrap();
    let world = World::in_file(state.join("rehearsal.json")).unwrap();
    let (mut databases, mut replications) = (String::new(), String::new());
    for group in groups {
        let (sends, receives) = if site == "main" { ("csp", "css") } else { ("css", "csp") };
        let (access, flows, how) = match site == live(group) {
            true => ("open", sends, json!({ "slot": true })),
            false if group == HELD => {
                let copying =
                    json!({ "tables": 5, "tablesReady": 3, "rows": 0, "bytes": 0, "bytesTotal": 0 });
                ("closed", receives, json!({ "enabled": true, "copying": copying }))
            }
            false => ("closed", receives, json!({ "enabled": true })),
        };
        world.set(&format!("replication.{group}-{flows}"), how);
        let own = if groups.len() > 1 { format!("group: {group}, ") } else { String::new() };
        databases += &format!("  {group}-config: {{ {own}driver: memory, access: {access} }}\n");
        for (name, half) in [(sends, "source"), (receives, "receiver")] {
            replications += &format!("  {group}-{name}: {{ {own}driver: memory, half: {half} }}\n");
        }
    }
    let file = format!(
        "version: 1\nsite: {site}\ngroups: [{}]\nstate: {}\nbus: {{ servers: [\"{url}\"] }}\n\
         database:\n{databases}replication:\n{replications}",
        groups.join(", "),
        state.display()
    );
    let host = config::parse_host(&file, &format!("{}.yaml", state.display()), folder).unwrap();
    std::fs::write(host.armed_flag(), "").unwrap();
    host
}

async fn serve(host: config::Host, client: async_nats::Client, stop: CancellationToken) {
    let served = host::serve(&host, &[], client, "forty", env!("CARGO_PKG_VERSION"), stop).await;
    if let Err(error) = served {
        eprintln!("{}: {error}", host.document().path());
    }
}

#[test]
fn forty_groups_leave_a_site_in_order_four_at_once_and_none_stops_another() {
    let plant = Plant::start();
    plant.brakes(REFUSED);
    let done = plant.desk.types(&["failover", "--site", "main", "--yes", "--why", "INC-40"]);
    let shown = text(&done);
    assert_eq!(done.status.code(), Some(4), "the worst is the one that needs a person\n{shown}");

    let mut expected: Vec<String> = names().filter(|group| *group != ELSEWHERE).collect();
    expected.sort_by_key(|group| order(group));
    let announced: Vec<&str> =
        shown.lines().filter_map(|line| Some(line.split_once(" · order ")?.0)).collect();
    assert_eq!(announced, expected, "{shown}");
    expected.retain(|group| *group != REFUSED);
    let runs = plant.runs();
    assert_eq!(runs.iter().map(|run| run.group.clone()).collect::<Vec<_>>(), expected, "{shown}");

    // One that waits for a person takes no place.
    let goes_on = |run: &&Run, at: DateTime<Utc>| run.started <= at && run.ended.is_none_or(|end| at < end);
    let others = || runs.iter().filter(|run| run.group != HELD);
    let most = others().map(|run| others().filter(|other| goes_on(other, run.started)).count()).max();
    assert!(most.is_some_and(|most| (2..=4).contains(&most)), "{most:?} at once\n{shown}");

    for group in names() {
        let state = runs.iter().find(|run| run.group == group).map(|run| run.state.as_str());
        let databases = [plant.database(&group, "main"), plant.database(&group, "secondary")];
        let databases = databases.each_ref().map(|(access, changes)| (access.as_str(), *changes));
        let (state_wanted, databases_wanted) = match group.as_str() {
            HELD => (Some("held"), [("closed", 1), ("closed", 0)]),
            REFUSED => (None, [("open", 0), ("closed", 0)]),
            ELSEWHERE => (None, [("closed", 0), ("open", 0)]),
            _ => (Some("completed"), [("closed", 1), ("open", 1)]),
        };
        assert_eq!((state, databases), (state_wanted, databases_wanted), "{group}\n{shown}");
    }

    // The last words: each group in a line, and what to do about those that are not as they should be.
    let (_, summary) = shown.split_once("38 of 40 as they should be:").unwrap_or_else(|| panic!("{shown}"));
    let line = |group: &str| {
        let of = format!("{group} ");
        summary.lines().find(|line| line.trim_start().starts_with(&of)).unwrap_or_default()
    };
    assert_eq!(summary.lines().filter(|line| line.contains(" ok ")).count(), 38, "{summary}");
    assert!(line(HELD).contains("LOOK") && line(HELD).contains("pointsman retry"), "{summary}");
    assert!(line(REFUSED).contains("LOOK") && line(REFUSED).contains("armed"), "{summary}");
    assert!(!shown.contains(ELSEWHERE), "{shown}");

    // Nor do they fit into one answer here: each is asked about by its name.
    let status = plant.desk.says(8, &["status"]);
    for group in names() {
        assert!(status.lines().any(|line| line.starts_with(&format!("{group}  "))), "{group}\n{status}");
    }
}
