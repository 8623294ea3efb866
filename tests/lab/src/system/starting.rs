//! The first day: servers, the system on them, its users, and then Pointsman, installed by its own commands.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use schemas::view::{Mode, ResourceView};

use super::plan::{GROUP, NAMES, PROCESSES, Plan, ProcessPlan, Role, Site, WITNESS, ZONE};
use super::pointsman::Pointsman;
use super::{Lab, STATUS_EVERY, databases, files, scripts, sweep, until, until_every, users};
use crate::bind::{Bind, BindOptions, Record};
use crate::nats::{Cluster, NatsOptions};
use crate::postgres::{Postgres, PostgresOptions};
use crate::process::{Process, Program};
use crate::standin::running;

const HEALTHY_WITHIN: Duration = Duration::from_secs(40);
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// Time to live of the records, in seconds.
const TTL: u32 = 1;

impl Lab {
    /// Starts a fresh lab in `folder` and returns once the system is in normal service under Pointsman.
    /// `say` hears what is done.
    ///
    /// # Errors
    ///
    /// When a lab runs in that folder, a program is missing, or something does not start.
    pub fn up(folder: &Path, say: &mut dyn FnMut(&str)) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        if File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_err()) {
            bail!("a lab runs in {}", folder.display());
        }
        sweep(folder)?;
        let plan = Plan::make(folder)?;
        let lock = File::create(plan.lock())?;
        lock.lock()?;
        let pointsman = Pointsman::find()?;
        let standin = running::program()?.canonicalize()?;
        say("servers: bus, databases, DNS");
        let (bus, postgres, bind) = servers()?;
        write_files(&plan, &standin, &bus, &postgres, &bind)?;
        say("tables, replication, Pointsman's set-up in each database");
        for site in Site::ALL {
            databases::prepare(site, &postgres[site.index()])?;
            databases::set_up(site, &postgres[site.index()], &plan, &pointsman)?;
        }
        databases::replicate(&postgres)?;
        let mut lab = Lab {
            plan,
            pointsman,
            postgres,
            bind,
            bus,
            serves: BTreeMap::new(),
            runner: None,
            watchers: BTreeMap::new(),
            lost: BTreeMap::new(),
            _lock: lock,
        };
        say("Pointsman's services and runner");
        lab.start_pointsman()?;
        say("the system: masters at main, proxies at both sites, its users");
        lab.start_system(&standin)?;
        say("adopt, arm");
        lab.adopt_and_arm()?;
        lab.start_prober()?;
        Ok(lab)
    }

    fn start_pointsman(&mut self) -> anyhow::Result<()> {
        for site in Site::ALL {
            for role in [Role::Database, Role::Management, Role::Application] {
                self.start_services(site.host(role))?;
            }
        }
        self.start_services("wdns")?;
        self.start_runner()?;
        Ok(())
    }

    fn start_system(&mut self, standin: &Path) -> anyhow::Result<()> {
        for process in PROCESSES.iter().filter(|process| process.live_only) {
            self.start_process(Site::Main, process)?;
        }
        let by_name = scripts::by_name(&self.plan, self.bind.address());
        let writer = self.plan.writer_file();
        let mut words = vec!["writer".to_owned(), "--file".to_owned(), writer.display().to_string()];
        words.extend(by_name);
        self.start_watcher("writer", standin, words)?;
        until("the writer writes", HEALTHY_WITHIN, || {
            Ok((!users::acknowledged(&writer).is_empty()).then_some(()))
        })?;
        for site in Site::ALL {
            for process in PROCESSES.iter().filter(|process| !process.live_only) {
                self.start_process(site, process)?;
            }
            let proxy = self.plan.at_named(site, "proxy")?;
            until("a proxy serves the first row", HEALTHY_WITHIN, || {
                Ok(self.ask_proxy(site, "READ 1")?.starts_with("ROW 1 ").then_some(()))
            })?;
            let (name, file) = match site {
                Site::Main => ("reader-main", self.plan.reader_file(site)),
                Site::Secondary => ("reader-secondary", self.plan.reader_file(site)),
            };
            let words = ["reader", "--proxy", &proxy.to_string(), "--file", &file.display().to_string()];
            self.start_watcher(name, standin, words.map(str::to_owned).into())?;
        }
        Ok(())
    }

    /// Starts a process by its script and waits until it is healthy, as a person does.
    ///
    /// # Errors
    ///
    /// When the script fails, or it does not get healthy.
    pub fn start_process(&self, site: Site, process: &ProcessPlan) -> anyhow::Result<()> {
        self.run_start(site, process)?;
        let at = self.plan.at(site, process);
        until(&format!("{} at {} is healthy", process.name, site.name()), HEALTHY_WITHIN, || {
            let said = running::ask(at, "PING", Duration::from_secs(2))?;
            if said == process.healthy { Ok(Some(())) } else { Err(anyhow!("{said}")) }
        })
    }

    pub(super) fn run_start(&self, site: Site, process: &ProcessPlan) -> anyhow::Result<()> {
        let script = self.plan.script(site, process.name, "start");
        let done = Command::new(&script).output().with_context(|| format!("run {}", script.display()))?;
        if !done.status.success() {
            bail!("{}: {}", script.display(), String::from_utf8_lossy(&done.stderr));
        }
        Ok(())
    }

    pub(super) fn start_prober(&mut self) -> anyhow::Result<()> {
        let mut words: Vec<String> =
            ["prober", "--place", WITNESS, "--site", "main", "--every", "300"].map(str::to_owned).into();
        for url in self.bus.urls() {
            words.extend(["--nats".to_owned(), url]);
        }
        for name in ["cs-primary", "cs-backup"] {
            words.extend(["--master".to_owned(), self.plan.at_named(Site::Main, name)?.to_string()]);
        }
        words.extend(["--database".to_owned(), self.postgres[0].dsn("probe", "config")]);
        let standin = running::program()?;
        self.start_watcher("prober", &standin, words)
    }

    fn start_watcher(&mut self, name: &'static str, standin: &Path, args: Vec<String>) -> anyhow::Result<()> {
        let program = Program {
            path: standin.to_path_buf(),
            args,
            env: Vec::new(),
            folder: self.plan.folder.clone(),
            log: self.plan.path("log").join(name),
            account: None,
        };
        self.watchers.insert(name, Process::start(&program)?);
        Ok(())
    }

    /// That no part of Pointsman has ended by itself.
    fn all_run(&self) -> anyhow::Result<()> {
        let runner = self.runner.iter().map(|runner| ("wrun", runner));
        for (host, part) in self.serves.iter().map(|(host, serve)| (*host, serve)).chain(runner) {
            if let Some(status) = part.exited() {
                bail!("pointsman on {host} ended ({status}):\n{}", part.output());
            }
        }
        Ok(())
    }

    fn adopt_and_arm(&self) -> anyhow::Result<()> {
        let desk = self.desk();
        until_every(STATUS_EVERY, "each of the group's services is heard", SERVED_WITHIN, || {
            if let Err(ended) = self.all_run() {
                return Ok(Some(Err(ended)));
            }
            let status = self.status()?;
            let silent: Vec<String> = status
                .resources
                .iter()
                .filter(|resource| resource.silent)
                .map(|resource| resource.address.to_string())
                .collect();
            if silent.is_empty() && !status.resources.is_empty() {
                return Ok(Some(Ok(())));
            }
            Err(anyhow!("silent: {}", silent.join(", ")))
        })??;
        self.pointsman
            .text(&desk, &["adopt", GROUP, "--live", "main", "--yes", "--why", "the lab's first day"])?;
        for site in Site::ALL {
            for role in [Role::Database, Role::Management, Role::Application] {
                self.pointsman.text(&self.plan.host_file(site.host(role)), &["arm"])?;
            }
        }
        self.pointsman.text(&self.plan.host_file("wdns"), &["arm"])?;
        until_every(STATUS_EVERY, "the group is in normal mode, and every host armed", SERVED_WITHIN, || {
            let status = self.status()?;
            let armed = |resource: &ResourceView| resource.observation.as_ref().is_none_or(|seen| seen.armed);
            let good = status.mode == Mode::Normal
                && status.debts.is_empty()
                && status.doubts.is_empty()
                && status.resources.iter().all(armed)
                && status.loss.as_ref().is_some_and(|loss| loss.estimate.is_some());
            if good { Ok(Some(())) } else { Err(anyhow!("{}", status.sentence)) }
        })
    }
}

fn servers() -> anyhow::Result<(Cluster, [Postgres; 2], Bind)> {
    let address = |site: Site, last| site.ip(last);
    let database = move |site: Site| {
        Postgres::start(PostgresOptions {
            address: address(site, 2),
            databases: files::DATABASES.map(str::to_owned).into(),
            settings: databases::settings(),
            hba: Vec::new(),
        })
    };
    std::thread::scope(|scope| {
        let main = scope.spawn(move || database(Site::Main));
        let secondary = scope.spawn(move || database(Site::Secondary));
        let bus = scope.spawn(move || {
            let witness: IpAddr = [127, 0, 3, 1].into();
            let places = [address(Site::Main, 1), address(Site::Secondary, 1), witness];
            let options = |address| NatsOptions { address, ..NatsOptions::default() };
            Cluster::start_with(places.map(options).into())
        });
        let records = NAMES.iter().zip([3, 4]).map(|(name, last)| Record {
            name: (*name).to_owned(),
            ttl: TTL,
            address: Site::Main.ip(last),
        });
        let bind =
            Bind::start(BindOptions { zone: ZONE.into(), records: records.collect(), ..Default::default() });
        let gone = |_| anyhow!("a starting thread is gone");
        let (main, secondary) = (main.join().map_err(gone)?, secondary.join().map_err(gone)?);
        let bus = bus.join().map_err(gone)?;
        Ok((bus?, [main?, secondary?], bind?))
    })
}

fn write_files(
    plan: &Plan,
    standin: &Path,
    bus: &Cluster,
    postgres: &[Postgres; 2],
    bind: &Bind,
) -> anyhow::Result<()> {
    let dsns =
        |user: &str| [0, 1].map(|site| files::DATABASES.map(|database| postgres[site].dsn(user, database)));
    files::write(
        plan,
        &files::Servers {
            nats: bus.urls(),
            dns: bind.address(),
            key: (bind.key_name().to_owned(), bind.key_secret_base64().to_owned()),
            own: dsns(databases::RUN_TIME),
            replicator: dsns(databases::REPLICATOR),
        },
    )?;
    scripts::write(
        plan,
        standin,
        &scripts::Servers {
            dns: bind.address(),
            config: [0, 1].map(|site| postgres[site].dsn("cfg_db", "config")),
            log: [0, 1].map(|site| postgres[site].dsn("ms_db", "log")),
        },
    )
}
