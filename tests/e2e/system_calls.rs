//! Disk first, then the world, as the kernel saw it: a whole failover under strace, the runner and the services,
//! on a real disk. For every request and reply on a socket, what it follows from was written, and its file
//! synced, before the first byte was given to the socket.

mod bus;
mod disk;
mod rule;
mod strace;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::nats::{Nats, NatsOptions};
use lab::process::{Process, Program};
use schemas::Prefix;
use schemas::op::OpReply;
use schemas::view::{RunState, RunView};

use rule::{Exchanges, Verdict};
use strace::Call;

const POINTSMAN: &str = env!("CARGO_BIN_EXE_pointsman");
const WATCHED: &str = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fdatasync,fsync,msync";
const HOSTS: [&str; 3] = ["main", "secondary", "witness"];
/// Says to this program that it is the runner, and with which file.
const UNSYNCED: &str = "POINTSMAN_E2E_UNSYNCED";
const WITHIN: Duration = Duration::from_secs(120);

/// A failover that ended, and what strace saw of it.
struct Seen {
    runner: Vec<Call>,
    services: Vec<Vec<Call>>,
    run: RunView,
}

impl Seen {
    fn exchanges(&self) -> Exchanges {
        let services = self.services.iter().map(Vec::as_slice);
        Exchanges::of(services.chain([self.runner.as_slice()]))
    }
}

/// Everything of one scene; ended when it is dropped.
struct Scene {
    _parts: Vec<Process>,
    _nats: Nats,
    folder: tempfile::TempDir,
}

impl Scene {
    /// Three hosts with memory drivers and a runner, all under strace. On the disk that `target` is on: the
    /// machine's temporary folder may be in memory.
    fn start(runner: impl FnOnce(&Path) -> Program) -> Scene {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let nats = Nats::start(NatsOptions::default()).unwrap();
        write_files(folder.path(), &nats.url());
        let mut parts = Vec::new();
        for host in HOSTS {
            std::fs::create_dir_all(folder.path().join(format!("state-{host}"))).unwrap();
            std::fs::write(folder.path().join(format!("state-{host}/armed")), "").unwrap();
            let file = folder.path().join(format!("{host}.yaml")).display().to_string();
            let program = program(folder.path(), host, POINTSMAN, &["--config", &file, "serve"]);
            parts.push(Process::start(&watched(program)).unwrap());
        }
        parts.push(Process::start(&watched(runner(folder.path()))).unwrap());
        Scene { folder, _parts: parts, _nats: nats }
    }

    /// Runs the command to its end; its exit code and output.
    fn command(&self, words: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(POINTSMAN);
        command.arg("--config").arg(self.folder.path().join("witness.yaml")).args(words);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &errors)
    }

    /// Asks again until it works: parts that have only just started are silent at first.
    fn until_done(&self, words: &[&str]) {
        let end = Instant::now() + WITHIN;
        loop {
            let (code, said) = self.command(words);
            if code == Some(0) {
                return;
            }
            assert!(Instant::now() < end, "{words:?}: {said}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn fail_over(&self) -> RunView {
        self.until_done(&["adopt", "cfg", "--dry-run", "--why", "a test"]);
        self.until_done(&["adopt", "cfg", "--live", "main", "--why", "a test", "--yes"]);
        let (code, said) = self.command(&["failover", "cfg", "--why", "a test", "--yes"]);
        assert_eq!(code, Some(0), "{said}\n{}", self.logs());
        let (_, said) = self.command(&["runs", "cfg", "--output", "json"]);
        let OpReply::Runs(runs) = serde_json::from_str(said.lines().next().unwrap()).unwrap() else {
            panic!("{said}")
        };
        let (_, said) = self.command(&["show", &runs[0].id.to_string(), "--output", "json"]);
        serde_json::from_str(said.lines().next().unwrap()).unwrap()
    }

    fn seen(&self, run: RunView) -> Seen {
        let read = |name: &str| {
            let path = self.folder.path().join(format!("{name}.strace"));
            strace::read(&String::from_utf8_lossy(&std::fs::read(path).unwrap()))
        };
        Seen { runner: read("runner"), services: HOSTS.iter().map(|host| read(host)).collect(), run }
    }

    fn logs(&self) -> String {
        let log = |name: &&str| std::fs::read_to_string(self.folder.path().join(format!("{name}.log")));
        HOSTS.iter().chain(&["runner"]).filter_map(|name| log(name).ok()).collect()
    }
}

fn program(folder: &Path, name: &str, path: &str, args: &[&str]) -> Program {
    Program {
        path: PathBuf::from(path),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: Vec::new(),
        folder: folder.into(),
        log: folder.join(format!("{name}.log")),
        account: None,
    }
}

/// The same program under strace, which writes beside the log.
fn watched(program: Program) -> Program {
    let out = program.log.with_extension("strace").display().to_string();
    let flags =
        ["-f", "-y", "--seccomp-bpf", "-s", "4000000", "-e", "signal=none", "-e", WATCHED, "-o", &out];
    let mut args: Vec<String> = flags.map(str::to_owned).to_vec();
    args.push(program.path.display().to_string());
    args.extend(program.args);
    Program { path: lab::tools::in_path("strace").unwrap(), args, ..program }
}

fn real_runner(folder: &Path) -> Program {
    let file = folder.join("witness.yaml").display().to_string();
    program(folder, "runner", POINTSMAN, &["--config", &file, "runner"])
}

fn write_files(folder: &Path, url: &str) {
    let resources = [
        "database: { config: { driver: memory, access: open } }\n\
         replication: { csp: { driver: memory, half: source }, css: { driver: memory, half: receiver } }\n\
         process: { cs-primary: { driver: memory } }\n",
        "database: { config: { driver: memory, access: closed } }\n\
         replication: { csp: { driver: memory, half: receiver }, css: { driver: memory, half: source } }\n\
         process: { cs-primary: { driver: memory } }\n",
        "dns: { cs-name: { driver: memory, sites: [main, secondary], points_at: main } }\n\
         runner: { journal: journal, groups: groups }\n",
    ];
    for (host, resources) in HOSTS.iter().zip(resources) {
        let state = folder.join(format!("state-{host}"));
        let text = format!(
            "version: 1\nsite: {host}\ngroups: [cfg]\nstate: {}\n\
             bus: {{ servers: [\"{url}\"], person: anna }}\n{resources}",
            state.display()
        );
        std::fs::write(folder.join(format!("{host}.yaml")), text).unwrap();
    }
    let group = "version: 1\ngroup: cfg\nsites: [main, secondary]\n\
                 databases:\n  config: { kind: one-live, replication: { main->secondary: csp, secondary->main: css } }\n\
                 live_only: [cs-primary]\n\
                 names: { records: { cs-name: { name: cfg-a.example.net, at: witness } } }\n";
    std::fs::create_dir(folder.join("groups")).unwrap();
    std::fs::write(folder.join("groups/cfg.yaml"), group).unwrap();
}

/// Every verdict of a scene: the runner's, then the services'.
fn verdicts(seen: &Seen) -> (Verdict, Verdict) {
    let (prefix, exchanges) = (Prefix::new("pointsman").unwrap(), seen.exchanges());
    let mut all = Verdict::default();
    for calls in &seen.services {
        let one = rule::services(calls, &prefix, &exchanges);
        one.checked.into_iter().for_each(|(kind, count)| *all.checked.entry(kind).or_default() += count);
        all.broken.extend(one.broken);
    }
    (rule::runner(&seen.runner, &prefix, &exchanges), all)
}

/// How many breaches of each kind.
fn breaches(verdict: &Verdict, kind: &str) -> usize {
    verdict.broken.iter().filter(|(of, _)| *of == kind).count()
}

#[test]
fn written_then_synced_then_sent() {
    let scene = Scene::start(real_runner);
    let run = scene.fail_over();
    let mut seen = scene.seen(run);
    assert_eq!(seen.run.state, RunState::Completed);

    let (runner, services) = verdicts(&seen);
    println!("runner: {:?}\nservices: {:?}", runner.checked, services.checked);
    assert!(
        runner.broken.is_empty() && services.broken.is_empty(),
        "{:#?}\n{:#?}",
        runner.broken,
        services.broken
    );
    // Nothing was overlooked: each step that a service did is among the requests, and each was answered.
    let asked = seen.run.steps.iter().filter(|step| !step.function.starts_with("group.")).count();
    assert!(asked >= 8, "{asked} steps");
    assert_eq!(runner.checked.get("act"), Some(&asked), "{:?}", runner.acts);
    for (kind, least) in [("claim", 9), ("adopt", 9), ("event", asked), ("yes", 1), ("person", 2)] {
        assert!(runner.checked.get(kind).is_some_and(|n| *n >= least), "{kind}: {:?}", runner.checked);
    }
    for (kind, least) in
        [("reply", asked), ("end", asked), ("claimed", 9), ("adopted", 9), ("question", 1), ("effect", 4)]
    {
        assert!(services.checked.get(kind).is_some_and(|n| *n >= least), "{kind}: {:?}", services.checked);
    }

    // The same without its syncs breaks the rule at everything that needs one; without its writes, everywhere.
    let whole = (seen.runner.clone(), seen.services.clone());
    seen.runner.retain(|call| !call.is_sync());
    seen.services.iter_mut().for_each(|calls| calls.retain(|call| !call.is_sync()));
    let (broken, services_broken) = verdicts(&seen);
    for (kind, count) in &runner.checked {
        assert_eq!(breaches(&broken, kind), *count, "{kind}");
    }
    for (kind, count) in &services.checked {
        let wanted = if *kind == "end" { 0 } else { *count };
        assert_eq!(breaches(&services_broken, kind), wanted, "{kind}");
    }
    (seen.runner, seen.services) = whole;
    seen.runner.retain(|call| !call.file.ends_with("/store/db") || call.is_sync());
    seen.services
        .iter_mut()
        .for_each(|calls| calls.retain(|call| !call.file.contains(".ledger") || call.is_sync()));
    let (broken, services_broken) = verdicts(&seen);
    assert_eq!(broken.broken.len(), runner.checked.values().sum::<usize>());
    assert_eq!(services_broken.broken.len(), services.checked.values().sum::<usize>());
}

/// A runner whose journal's disk forgets to sync is found out at every request. The runner of this scene is
/// this program, started again.
#[test]
fn a_runner_that_does_not_sync_is_found_out() {
    if let Some(file) = std::env::var_os(UNSYNCED) {
        return run_unsynced(Path::new(&file));
    }
    let own = std::env::current_exe().unwrap().display().to_string();
    let test = "system_calls::a_runner_that_does_not_sync_is_found_out";
    let scene = Scene::start(|folder| {
        let file = folder.join("witness.yaml").display().to_string();
        let args = [test, "--exact", "--nocapture", "--test-threads", "1"];
        Program { env: vec![(UNSYNCED.to_owned(), file)], ..program(folder, "runner", &own, &args) }
    });
    let run = scene.fail_over();
    let (runner, services) = verdicts(&scene.seen(run));
    for kind in ["act", "claim", "adopt", "event", "yes", "person"] {
        let count = runner.checked.get(kind).copied().unwrap_or_default();
        assert!(count > 0 && breaches(&runner, kind) == count, "{kind}: {:#?}", runner.broken);
    }
    assert!(services.broken.is_empty(), "{:#?}", services.broken);
}

/// The disk of this machine, but nothing is ever synced.
struct Forgetful;

impl journal::Disk for Forgetful {
    fn sync_data(&self, _file: &std::fs::File) -> std::io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        journal::RealDisk.free_bytes(dir)
    }
}

/// Runs until the process is ended.
fn run_unsynced(file: &Path) {
    let host = config::load_host(file).unwrap();
    let settings = host.runner.clone().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let options = runner::Options {
            client: async_nats::connect(&host.bus.servers).await.unwrap(),
            prefix: host.bus.prefix().unwrap(),
            journal: host.resolve(&settings.journal),
            journal_options: journal::Options { disk: Arc::new(Forgetful), ..Default::default() },
            groups: config::load_groups(&host.resolve(&settings.groups)).unwrap(),
            read_groups: Arc::new(|| Err(document::Diagnostics::default())),
            definitions: runner::shipped(),
            preflight_every: None,
            own_lines: Arc::new(|| Box::pin(async { Vec::new() })),
            host: "unsynced".into(),
            take_over: false,
            worker: Some(expressions::WorkerCommand {
                program: POINTSMAN.into(),
                args: vec![expressions::worker::SUBCOMMAND.into()],
            }),
            teller: Arc::new(|_| Box::pin(async { Ok(()) })),
        };
        runner::run(options, Default::default()).await.unwrap();
    });
}
