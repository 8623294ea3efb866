//! All containers, up for one test at a time and gone with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use lab::standin::running;
use lab::system::live::MASTER_SESSIONS;
use lab::system::until_every;
use schemas::op::OpReply;
use schemas::view::{GroupView, RunState, RunView};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

const PROJECT: &str = "pointsman-test";
const IMAGE: &str = "pointsman-test/lab:1";
/// `scripts/images.sh`: there is no docker.
const NO_DOCKER: i32 = 3;
/// For what takes some seconds on an idle machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(240);
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// A system in normal service.
pub(crate) struct System {
    /// What it reads beside what ships.
    _asking: Option<TempDir>,
    /// Addresses are fixed, so there is one at a time on a machine.
    _alone: File,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A command with the images and the project in its environment.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).envs([
        ("COMPOSE_PROJECT_NAME", PROJECT),
        ("POINTSMAN_IMAGE", IMAGE),
        ("NATS_IMAGE", "pointsman-test/nats:2"),
        ("POSTGRES_IMAGE", "pointsman-test/postgres:1"),
        ("DOCKER_BUILDKIT", "0"),
    ]);
    command
}

/// The second version's command, or the first one's.
fn compose() -> Option<Command> {
    let answers = |command: &mut Command| command.output().is_ok_and(|done| done.status.success());
    if answers(command("docker").args(["compose", "version"])) {
        let mut second = command("docker");
        second.arg("compose");
        return Some(second);
    }
    answers(command("docker-compose").arg("version")).then(|| command("docker-compose"))
}

fn both(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[track_caller]
fn done(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", both(&done));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

/// The image of our own containers, with the programs of this build.
fn build() {
    let folder = tempfile::tempdir().unwrap();
    let standin = running::program().unwrap();
    fs::copy(root().join("tests/compose/images/Dockerfile"), folder.path().join("Dockerfile")).unwrap();
    for program in [PathBuf::from(env!("CARGO_BIN_EXE_pointsman")), standin] {
        let to = folder.path().join(program.file_name().unwrap());
        // What only a debugger reads is most of a program.
        let stripped = Command::new("strip").arg("-o").arg(&to).arg(&program).status();
        if !stripped.is_ok_and(|status| status.success()) {
            fs::copy(&program, &to).unwrap();
        }
    }
    done(command("docker").args(["build", "--quiet", "--tag", IMAGE]).arg(folder.path()));
}

/// A copy of the group's file that asks a person where nothing proves a site closed, as `init` writes it, and `compose.yml`,
/// which only adds that the runner reads this copy. What ships is not touched.
fn asking() -> TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let shipped = fs::read_to_string(root().join("deploy/witness/groups/cfg.yaml")).unwrap();
    let line = |line: &str| if line.starts_with("  unproved:") { "  unproved: ask" } else { line }.to_owned();
    let asks = shipped.lines().map(line).collect::<Vec<_>>().join("\n") + "\n";
    assert_ne!(asks, shipped, "it has no `unproved`");
    let groups = folder.path().join("groups");
    fs::create_dir(&groups).unwrap();
    fs::write(groups.join("cfg.yaml"), asks).unwrap();
    let volume = format!("{}:/deploy/witness/groups:ro", groups.display());
    let adds = format!("services:\n  runner:\n    volumes: [\"{volume}\"]\n");
    fs::write(folder.path().join("compose.yml"), adds).unwrap();
    folder
}

impl System {
    /// Brings all up, and returns when the first day is over. Nothing unless it is asked for.
    pub(crate) fn up() -> Option<System> {
        System::up_with(|| None)
    }

    /// The same, where nobody has accepted in advance that a site may still write.
    pub(crate) fn up_asking() -> Option<System> {
        System::up_with(|| Some(asking()))
    }

    /// The same, with a file of compose beside the one that ships.
    fn up_with(beside: impl FnOnce() -> Option<TempDir>) -> Option<System> {
        if std::env::var_os("POINTSMAN_COMPOSE").is_none() {
            println!("NOT RUN: minutes, and docker: make test-compose");
            return None;
        }
        let made = Command::new(root().join("scripts/images.sh")).output().unwrap();
        // Asked for, it is not passed over: green would say that it was seen.
        assert_ne!(made.status.code(), Some(NO_DOCKER), "{}", both(&made).trim());
        assert!(made.status.success(), "scripts/images.sh: {}", both(&made));
        let mut up = compose().expect("neither `docker compose` nor `docker-compose` is installed");
        let alone = File::create(std::env::temp_dir().join("pointsman-compose.lock")).unwrap();
        alone.lock().unwrap();
        down(); // What an earlier run left that was killed.
        build();
        let asking = beside();
        if let Some(folder) = &asking {
            let adds = folder.path().join("compose.yml");
            up.env("COMPOSE_FILE", format!("docker-compose.yml:{}", adds.display()));
        }
        let system = System { _asking: asking, _alone: alone };
        done(up.args(["up", "--no-build", "--detach"]));
        let setup = system.container("setup");
        let mut wait = command("timeout");
        done(wait.args([&(WITHIN * 2).as_secs().to_string(), "docker", "wait", &setup]));
        let code = done(command("docker").args(["inspect", "--format", "{{.State.ExitCode}}", &setup]));
        assert_eq!(code, "0", "{}", both(&command("docker").args(["logs", &setup]).output().unwrap()));
        Some(system)
    }

    /// The container of a service; its name differs between versions of compose.
    #[track_caller]
    pub(crate) fn container(&self, service: &str) -> String {
        let label = |what: &str, is: &str| format!("label=com.docker.compose.{what}={is}");
        let mut ask = command("docker");
        ask.args(["ps", "--all", "--quiet", "--filter", &label("project", PROJECT)]);
        let found = done(ask.args(["--filter", &label("service", service)]));
        assert_eq!(found.lines().count(), 1, "containers of {service}: {found}");
        found
    }

    /// Whether docker calls every container healthy: each but `setup`, which has ended, has a health check.
    pub(crate) fn all_healthy(&self) -> anyhow::Result<()> {
        let listed = compose().context("no compose")?.args(["config", "--services"]).output()?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let services: Vec<&str> = listed.lines().filter(|name| *name != "setup").collect();
        anyhow::ensure!(services.len() > 10, "{listed}");
        for service in services {
            let id = self.container(service);
            let asked =
                command("docker").args(["inspect", "--format", "{{.State.Health.Status}}", &id]).output()?;
            let said = both(&asked);
            if said.trim() != "healthy" {
                bail!("{service}: {}", said.trim());
            }
        }
        Ok(())
    }

    /// Runs a command in the container of a service.
    pub(crate) fn run(&self, service: &str, words: &[&str]) -> Output {
        command("docker").args(["exec", &self.container(service)]).args(words).output().unwrap()
    }

    /// The same; says what it printed.
    pub(crate) fn said(&self, service: &str, words: &[&str]) -> anyhow::Result<String> {
        let done = self.run(service, words);
        if !done.status.success() {
            bail!("{service}: {}: {}", words.join(" "), both(&done));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
    }

    /// Pauses a container, or lets it go on.
    #[track_caller]
    pub(crate) fn docker(&self, what: &str, service: &str) {
        done(command("docker").args([what, &self.container(service)]));
    }

    /// `deploy/cut.sh` with these words.
    #[track_caller]
    pub(crate) fn cut(&self, words: &[&str]) {
        done(command(root().join("deploy/cut.sh")).args(words));
    }

    /// `pointsman`, as in README.
    pub(crate) fn pointsman(&self, words: &[&str]) -> Output {
        self.run("runner", &[&["pointsman"], words].concat())
    }

    /// How `pointsman status` exits, and all that it says.
    pub(crate) fn status_line(&self) -> (i32, String) {
        let done = self.pointsman(&["status", "cfg"]);
        (done.status.code().unwrap_or(-1), both(&done))
    }

    fn look<T: DeserializeOwned>(&self, words: &[&str]) -> anyhow::Result<T> {
        let done = self.pointsman(&[words, &["--output", "json"]].concat());
        serde_json::from_slice(&done.stdout).with_context(|| both(&done))
    }

    pub(crate) fn status(&self) -> anyhow::Result<GroupView> {
        match self.look(&["status", "cfg"])? {
            OpReply::Groups(groups) => groups.into_iter().next().context("status shows no group"),
            other => bail!("status shows {other:?}"),
        }
    }

    pub(crate) fn newest_run(&self) -> anyhow::Result<RunView> {
        match self.look(&["runs", "cfg", "--limit", "1"])? {
            OpReply::Runs(runs) => runs.into_iter().next().context("no run"),
            other => bail!("runs shows {other:?}"),
        }
    }

    /// Waits until monitoring has started a failover and that is completed; answers it with its steps.
    #[track_caller]
    pub(crate) fn failed_over(&self) -> RunView {
        let first = self.until("a failover has started", || {
            let run = self.newest_run()?;
            run.workflow.starts_with("failover").then_some(run).context("none yet")
        });
        let id = first.id.to_string();
        self.until("it is completed", || {
            let run: RunView = self.look(&["show", &id])?;
            match run.state {
                RunState::Completed => Ok(run),
                state => Err(anyhow!("{state:?}, waits for {:?}", run.waits_for)),
            }
        })
    }

    /// Asks until there is an answer.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut ask: impl FnMut() -> anyhow::Result<T>) -> T {
        until_every(EVERY, what, WITHIN, || ask().map(Some)).unwrap()
    }

    /// What a database of a site answers.
    pub(crate) fn sql(&self, site: &str, sql: &str) -> anyhow::Result<String> {
        let server = format!("{site}-db");
        self.said(&server, &["psql", "-XAtq", "-U", "postgres", "-d", "config", "-c", sql])
    }

    /// How many master sessions the configuration database of a site has.
    pub(crate) fn masters(&self, site: &str) -> String {
        self.sql(site, &MASTER_SESSIONS).unwrap()
    }

    /// Whether nobody can write at a site: neither log in, nor has the grants, nor a session.
    pub(crate) fn is_closed(&self, site: &str) -> anyhow::Result<bool> {
        let sql = "SELECT NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'cfg_db')
                     AND NOT has_table_privilege('cfg_db', 'entry', 'INSERT')
                     AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'cfg_db')";
        Ok(self.sql(site, sql)? == "t")
    }

    /// How many rows the user was acknowledged by the master at a site.
    pub(crate) fn acknowledged(&self, site: &str) -> usize {
        let address = if site == "main" { " 10.57.1.10" } else { " 10.57.2.10" };
        let rows = self.said("user", &["cat", "/tmp/acknowledged"]).unwrap();
        rows.lines().filter(|row| row.ends_with(address)).count()
    }

    /// The user goes on writing at a site.
    #[track_caller]
    pub(crate) fn written_at(&self, site: &str) {
        let before = self.acknowledged(site);
        self.until(&format!("rows are acknowledged at {site}"), || {
            let now = self.acknowledged(site);
            if now > before + 5 { Ok(()) } else { Err(anyhow!("{now}, after {before}")) }
        });
    }

    /// Asks a proxy of a site one line, from its own host.
    pub(crate) fn ask_proxy(&self, site: &str, line: &str) -> anyhow::Result<String> {
        self.ask(site, 7041, line)
    }

    /// The same of a site's own control server.
    pub(crate) fn ask_control(&self, site: &str, line: &str) -> anyhow::Result<String> {
        self.ask(site, 7022, line)
    }

    fn ask(&self, site: &str, port: u16, line: &str) -> anyhow::Result<String> {
        let host = if site == "main" { "10.57.1.10" } else { "10.57.2.10" };
        self.said(site, &["lab-standin", "ask", &format!("{host}:{port}"), line])
    }

    /// Waits until nothing is owed and nothing doubtful.
    #[track_caller]
    pub(crate) fn nothing_owed(&self) {
        self.until("nothing is owed", || {
            let status = self.status()?;
            match status.debts.len() + status.doubts.len() {
                0 => Ok(()),
                _ => Err(anyhow!("{:?} {:?}", status.debts, status.doubts)),
            }
        });
    }

    /// Main is closed and has no master, secondary is open and has one.
    #[track_caller]
    pub(crate) fn lives_at_secondary_only(&self) {
        assert!(self.is_closed("main").unwrap(), "main is open");
        assert!(!self.is_closed("secondary").unwrap(), "secondary is closed");
        assert_eq!((self.masters("main").as_str(), self.masters("secondary").as_str()), ("0", "1"));
    }
}

/// Ends all containers of the project and removes what they kept.
fn down() {
    if let Some(mut down) = compose() {
        let _ = down.args(["down", "--volumes", "--timeout", "1", "--remove-orphans"]).output();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for service in ["setup", "runner", "prober"] {
                let mut logs = command("docker");
                let said = logs.args(["logs", "--tail", "30", &self.container(service)]).output();
                eprintln!("---- {service}\n{}", said.map(|said| both(&said)).unwrap_or_default());
            }
            eprintln!("---- status\n{}", self.status_line().1);
        }
        down();
    }
}
