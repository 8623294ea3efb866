//! A whole installation whose drivers are values in memory: the real command as services of three hosts, as
//! the runner, and as what persons type, over a real bus.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use futures_util::StreamExt;
use lab::nats::{Nats, NatsOptions};
use lab::process::{Process, Program};
use responder::memory::World;
use schemas::CloudEvent;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take; it says nothing about speed.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// The hosts that serve: each site's, and the third place's.
pub(crate) const HOSTS: [&str; 3] = ["main", "secondary", "witness"];

const GROUP: &str = "version: 1
group: cfg
sites: [main, secondary]
databases:
  config: { kind: one-live, replication: { \"main->secondary\": csp, \"secondary->main\": css } }
live_only: [cs-primary, cs-backup]
names: { max_ttl: 60s, records: { cfg-a: { name: cfg-a.example.net, at: witness } } }
clients: { hosts: [{ host: s2app, site: secondary }], within: 10s }
fence: { within: 20s, paths: [database] }
target: { rto: 5m, rpo: 30s }
";

/// The installation. Dropping it ends everything.
pub(crate) struct House {
    services: BTreeMap<&'static str, Process>,
    runner: Option<Process>,
    /// Whose file the runner has, and the person at the desk.
    files: [&'static str; 2],
    nats: Nats,
    folder: TempDir,
    events: Receiver<(String, CloudEvent)>,
    _runtime: tokio::runtime::Runtime,
}

impl House {
    /// Live at main, protected, adopted.
    pub(crate) fn start() -> House {
        House::with(|_| String::new())
    }

    /// The same; the group's file also says what `more` makes of the installation's folder.
    pub(crate) fn with(more: impl FnOnce(&Path) -> String) -> House {
        House::on_bus(more, None)
    }

    /// The same, on a bus that lets only `users` in: its files are of the services of a place, `runner`, and persons.
    pub(crate) fn on_bus(more: impl FnOnce(&Path) -> String, users: Option<&Users>) -> House {
        let folder = tempfile::tempdir().unwrap();
        let config = users.map(|users| users.config.clone()).unwrap_or_default();
        let nats = Nats::start(NatsOptions { config, ..NatsOptions::default() }).unwrap();
        let bus = |user: &str| match users {
            Some(users) => users.bus(folder.path(), user, &nats.url()),
            None => format!("servers: [\"{}\"], person: anna", nats.url()),
        };
        for host in HOSTS {
            write_host(folder.path(), host, &bus(host));
        }
        for user in users.iter().flat_map(|_| ["runner", "anna", "bert", "rita"]) {
            let at = folder.path().display();
            let file = format!(
                "version: 1\nsite: witness\nstate: {at}/{user}\nbus: {{ {} }}\n{}",
                bus(user),
                runner_of(folder.path())
            );
            std::fs::create_dir(folder.path().join(user)).unwrap();
            std::fs::write(folder.path().join(format!("{user}.yaml")), file).unwrap();
        }
        std::fs::create_dir(folder.path().join("groups")).unwrap();
        let group = format!("{GROUP}{}", more(folder.path()));
        std::fs::write(folder.path().join("groups/cfg.yaml"), group).unwrap();
        let (runtime, events) = listen(&nats.url(), users.map(|users| users.seed("listener").to_owned()));
        let services = BTreeMap::new();
        let files = if users.is_some() { ["runner", "anna"] } else { ["witness", "witness"] };
        let mut house = House { services, runner: None, files, nats, folder, events, _runtime: runtime };
        for host in HOSTS {
            assert_eq!(house.code(&house.on(host, &["arm"])), 0);
            house.serve(host);
        }
        house.run_runner();
        let until = Instant::now() + BOUND;
        loop {
            let words = ["adopt", "cfg", "--live", "main", "--yes", "--why", "day one"];
            let adopted = house.person(&words);
            if house.code(&adopted) == 0 {
                return house;
            }
            assert!(Instant::now() < until, "{}\n{}", text(&adopted), house.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn host_file(&self, host: &str) -> PathBuf {
        self.folder.path().join(format!("{host}.yaml"))
    }

    /// What the bus's server printed.
    pub(crate) fn bus_log(&self) -> String {
        self.nats.output()
    }

    pub(crate) fn url(&self) -> String {
        self.nats.url()
    }

    /// Ends the bus with signal 9; it comes back with [`House::bus_back`].
    pub(crate) fn lose_bus(&mut self) {
        self.nats.kill().unwrap();
    }

    pub(crate) fn bus_back(&mut self) {
        self.nats.restart().unwrap();
    }

    /// A line of a shell on a host; `pointsman` is the command with that host's file, unless the line names one.
    pub(crate) fn shell(&self, host: &str, line: &str) -> Output {
        let mut own = env!("CARGO_BIN_EXE_pointsman").to_owned();
        if !line.contains(" --config ") {
            own += &format!(" --config {}", self.host_file(host).display());
        }
        let line = line.replacen("pointsman", &own, 1);
        Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::null())
            .current_dir(self.folder.path())
            .env("TZ", "UTC")
            .output()
            .unwrap()
    }

    /// How many entries the journal has, but for those that say that a database was seen closed: a runner
    /// that starts looks and notes that. Its runner must not run.
    pub(crate) fn entries(&self) -> usize {
        let export = self.says(0, &["journal", "export"]);
        let entries = export.lines().filter(|line| line.starts_with("{\"entry\""));
        entries.filter(|line| !line.contains("\"kind\":\"group.closed\"")).count()
    }

    /// Waits until the group's services are all heard.
    pub(crate) fn heard(&self, silent: &[&str]) {
        let until = Instant::now() + BOUND;
        loop {
            let status = self.person(&["status", "cfg", "--output", "json"]);
            let shown = text(&status);
            let seen: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
            let of = |resource: &Value| silent.iter().any(|site| resource["address"]["site"] == **site);
            let heard = |resource: &Value| {
                of(resource) || (resource["silent"] == false && !resource["heard"].is_null())
            };
            let resources = seen["groups"][0]["resources"].as_array();
            if resources.is_some_and(|all| !all.is_empty() && all.iter().all(heard)) {
                return;
            }
            assert!(Instant::now() < until, "{shown}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The services of a host.
    pub(crate) fn serve(&mut self, host: &'static str) {
        let process = self.stay(host, &["serve"]);
        self.services.insert(host, process);
    }

    /// Ends a host's services with signal 9.
    pub(crate) fn lose(&mut self, host: &str) {
        self.services.remove(host).unwrap().kill().unwrap();
    }

    pub(crate) fn run_runner(&mut self) {
        self.runner = Some(self.stay(self.files[0], &["runner"]));
    }

    pub(crate) fn run_runner_with(&mut self, more: &[&str]) {
        self.runner = Some(self.stay(self.files[0], &[&["runner"], more].concat()));
    }

    /// From now on the runner's journal is another folder, which is not there yet.
    pub(crate) fn new_journal(&self) {
        let file = self.host_file("witness");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("/journal,", "/journal-2,")).unwrap();
    }

    pub(crate) fn kill_runner(&mut self) {
        self.runner.take().unwrap().kill().unwrap();
    }

    fn stay(&self, host: &str, words: &[&str]) -> Process {
        let mut args = vec!["--config".to_owned(), self.host_file(host).display().to_string()];
        args.extend(words.iter().map(|word| (*word).to_owned()));
        Process::start(&Program {
            path: env!("CARGO_BIN_EXE_pointsman").into(),
            args,
            env: vec![("POINTSMAN_LOG".into(), "info".into())],
            folder: self.folder.path().into(),
            log: self.folder.path().join(format!("{host}-{}.log", words[0])),
            account: None,
        })
        .unwrap()
    }

    /// What the services and the runner logged.
    pub(crate) fn logs(&self) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "log") {
                all += &format!("{}:\n{}", path.display(), std::fs::read_to_string(&path).unwrap());
            }
        }
        all
    }

    /// The command on a host.
    pub(crate) fn on(&self, host: &str, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .arg("--config")
            .arg(self.host_file(host))
            .args(words)
            .stdin(Stdio::null())
            .current_dir(self.folder.path())
            .env_remove("POINTSMAN_CONFIG")
            .env("TZ", "UTC")
            .output()
            .unwrap()
    }

    /// The command at a person's desk.
    pub(crate) fn person(&self, words: &[&str]) -> Output {
        self.on(self.files[1], words)
    }

    #[track_caller]
    pub(crate) fn code(&self, output: &Output) -> i32 {
        output.status.code().unwrap()
    }

    /// The command, which must end so; gives its standard output.
    #[track_caller]
    pub(crate) fn says(&self, expected: i32, words: &[&str]) -> String {
        let done = self.person(words);
        assert_eq!(self.code(&done), expected, "{words:?}: {}\n{}", text(&done), self.logs());
        String::from_utf8(done.stdout).unwrap()
    }

    /// The last run, as programs are told.
    pub(crate) fn last_run(&self) -> Value {
        let runs: Value = serde_json::from_str(&self.says(0, &["runs", "--output", "json"])).unwrap();
        runs["runs"][0].clone()
    }

    /// Waits for an event of a run, of this kind (the last token of its subject).
    pub(crate) fn event(&self, kind: &str) -> CloudEvent {
        self.event_of(kind, false)
    }

    /// Waits for an event of the group itself.
    pub(crate) fn group_event(&self, kind: &str) -> CloudEvent {
        self.event_of(kind, true)
    }

    fn event_of(&self, kind: &str, group: bool) -> CloudEvent {
        let until = Instant::now() + BOUND;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (subject, event) = self.events.recv_timeout(left).unwrap();
            if subject.ends_with(kind) && subject.contains(".-.") == group {
                return event;
            }
        }
    }

    /// A state of a host's world, as its drivers left it.
    pub(crate) fn state(&self, host: &str, resource: &str) -> Value {
        World::in_file(rehearsal(self.folder.path(), host)).unwrap().state(resource)
    }

    /// How often the resource was changed.
    pub(crate) fn effects(&self, host: &str, resource: &str) -> usize {
        World::in_file(rehearsal(self.folder.path(), host)).unwrap().effects(resource).len()
    }
}

fn rehearsal(folder: &Path, host: &str) -> PathBuf {
    folder.join(host).join("rehearsal.json")
}

/// The users of a bus: its server's configuration, and the seed of each.
pub(crate) struct Users {
    pub(crate) config: String,
    pub(crate) seeds: BTreeMap<String, String>,
}

impl Users {
    pub(crate) fn seed(&self, user: &str) -> &str {
        &self.seeds[user]
    }

    /// What a file says of the bus, with the user's seed beside it.
    fn bus(&self, folder: &Path, user: &str, url: &str) -> String {
        let seed = folder.join(format!("{user}.nkey"));
        std::fs::write(&seed, self.seed(user)).unwrap();
        std::fs::set_permissions(&seed, std::fs::Permissions::from_mode(0o600)).unwrap();
        let person = if ["anna", "bert", "rita"].contains(&user) {
            format!(", person: {user}")
        } else {
            String::new()
        };
        format!("servers: [\"{url}\"], nkey: {}{person}", seed.display())
    }
}

fn runner_of(folder: &Path) -> String {
    let at = folder.display();
    format!("runner: {{ journal: {at}/journal, groups: {at}/groups }}\n")
}

fn write_host(folder: &Path, host: &str, bus: &str) {
    let at = folder.display();
    let mut file = format!(
        "version: 1\nsite: {host}\ngroups: [cfg]\nstate: {at}/{host}\n\
         bus: {{ {bus} }}\n"
    );
    std::fs::create_dir(folder.join(host)).unwrap();
    let world = World::in_file(rehearsal(folder, host)).unwrap();
    if host == "witness" {
        file += "dns: { cfg-a: { driver: memory, sites: [main, secondary], points_at: main } }\n";
        file += &runner_of(folder);
    } else {
        let live = host == "main";
        let (access, csp, css) =
            if live { ("open", "source", "receiver") } else { ("closed", "receiver", "source") };
        file += &format!(
            "database: {{ config: {{ driver: memory, access: {access} }} }}\n\
             replication: {{ csp: {{ driver: memory, half: {csp} }}, css: {{ driver: memory, half: {css} }} }}\n\
             process: {{ cs-primary: {{ driver: memory }}, cs-backup: {{ driver: memory }} }}\n"
        );
        let enabled = if live { json!({ "slot": true }) } else { json!({ "enabled": true }) };
        world.set("replication.csp", enabled);
        if live {
            for process in ["cs-primary", "cs-backup"] {
                world.set(process, json!("running"));
            }
        } else {
            file += "dns: { s2app: { client: memory, sites: [main, secondary] } }\n";
        }
    }
    std::fs::write(folder.join(format!("{host}.yaml")), file).unwrap();
}

/// Every event of the installation, from now on.
fn listen(url: &str, seed: Option<String>) -> (tokio::runtime::Runtime, Receiver<(String, CloudEvent)>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (sender, events) = channel();
    let mut messages = runtime.block_on(async {
        let options = seed.map_or_else(ConnectOptions::new, ConnectOptions::with_nkey);
        let client = options.connect(url).await.unwrap();
        let subject = schemas::Prefix::new("pointsman").unwrap().events_out();
        let messages = client.subscribe(subject).await.unwrap();
        client.flush().await.unwrap();
        messages
    });
    runtime.spawn(async move {
        while let Some(message) = messages.next().await {
            if let Ok(event) = serde_json::from_slice(&message.payload)
                && sender.send((message.subject.to_string(), event)).is_err()
            {
                break;
            }
        }
    });
    (runtime, events)
}

/// All that a command printed.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
