//! The first day: servers, the system on them, its users, and then Pointsman, installed by its own commands.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use chrono::Utc;
use schemas::view::{Mode, ResourceView};

use super::plan::{GROUP, Logging, NAMES, PROXIES, Plan, ProcessPlan, Role, Site, WITNESS, ZONE};
use super::pointsman::Pointsman;
use super::{Lab, STATUS_EVERY, SiteNames, databases, files, scripts, sweep, until, until_every, users};
use crate::bind::{Bind, BindOptions, Record};
use crate::nats::{Cluster, NatsOptions};
use crate::postgres::{Postgres, PostgresOptions};
use crate::process::{Process, Program};
use crate::standin::running;

const HEALTHY_WITHIN: Duration = Duration::from_secs(40);
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// The time of some beats of a service.
const BEATS: Duration = Duration::from_secs(10);
/// Time to live of the records, in seconds: nobody follows in time who does not flush.
pub(super) const TTL: u32 = 60;

impl Lab {
    /// Starts a fresh lab in `folder` and returns once the system is in normal service under Pointsman.
    /// `say` hears what is done.
    ///
    /// # Errors
    ///
    /// When a lab runs in that folder, a program is missing, or something does not start.
    pub fn up(folder: &Path, say: &mut dyn FnMut(&str)) -> anyhow::Result<Self> {
        Lab::start(folder, Logging::default(), false, say)
    }

    /// [`Lab::up`], with Message Servers that write there.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn up_with(folder: &Path, logging: Logging, say: &mut dyn FnMut(&str)) -> anyhow::Result<Self> {
        Lab::start(folder, logging, false, say)
    }

    /// The same with control servers and their Message Servers in pairs ([`super::plan::SECONDS`]).
    ///
    /// # Errors
    ///
    /// As [`Lab::up`].
    pub fn up_in_pairs(folder: &Path, say: &mut dyn FnMut(&str)) -> anyhow::Result<Self> {
        Lab::start(folder, Logging::default(), true, say)
    }

    fn start(
        folder: &Path,
        logging: Logging,
        pairs: bool,
        say: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        if File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_err()) {
            bail!("a lab runs in {}", folder.display());
        }
        sweep(folder)?;
        let mut plan = Plan::make(folder, logging)?;
        plan.pairs = pairs;
        let lock = File::create(plan.lock())?;
        lock.lock()?;
        let pointsman = Pointsman::find()?;
        let standin = running::program()?.canonicalize()?;
        say("servers: bus, databases, DNS");
        let (bus, postgres, names) = servers()?;
        write_files(&plan, &standin, &bus, &postgres, &names)?;
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
            bind: names.0,
            names: names.1,
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
            for role in Role::SERVED {
                self.start_services(site.host(role))?;
            }
        }
        self.start_services("wdns")?;
        self.start_runner()?;
        Ok(())
    }

    fn start_system(&mut self, standin: &Path) -> anyhow::Result<()> {
        for process in self.plan.processes().into_iter().filter(|process| process.live_only) {
            self.start_process(Site::Main, process)?;
        }
        let mut asked = vec![self.bind.address()];
        asked.extend(self.names.iter().map(|names| names.authority.address()));
        let by_name = scripts::by_name(&self.plan, &asked);
        let writer = self.plan.writer_file();
        let mut words = vec!["writer".to_owned(), "--file".to_owned(), writer.display().to_string()];
        words.extend(by_name);
        self.start_watcher("writer", standin, words)?;
        until("the writer writes", HEALTHY_WITHIN, || {
            Ok((!users::acknowledged(&writer).is_empty()).then_some(()))
        })?;
        let everywhere = || self.plan.processes().into_iter().filter(|process| !process.live_only);
        let at_both =
            || Site::ALL.into_iter().flat_map(|site| everywhere().map(move |process| (site, process)));
        for (site, process) in at_both() {
            self.run_start(site, process)?;
        }
        for (site, process) in at_both() {
            self.wait_healthy(site, process)?;
        }
        for site in Site::ALL {
            self.start_reader(site)?;
        }
        Ok(())
    }

    /// Starts the user who reads through a site's proxies, and counts anew; returns once they serve.
    ///
    /// # Errors
    ///
    /// When a proxy does not serve the first row.
    pub fn start_reader(&mut self, site: Site) -> anyhow::Result<()> {
        let mut words = vec!["reader".to_owned()];
        for proxy in PROXIES {
            until(&format!("{proxy} serves the first row"), HEALTHY_WITHIN, || {
                Ok(self.ask(site, proxy, "READ 1")?.starts_with("ROW 1 ").then_some(()))
            })?;
            words.extend(["--proxy".to_owned(), self.plan.at_named(site, proxy)?.to_string()]);
        }
        words.extend(["--file".to_owned(), self.plan.reader_file(site).display().to_string()]);
        let name = match site {
            Site::Main => "reader-main",
            Site::Secondary => "reader-secondary",
        };
        self.start_watcher(name, &running::program()?, words)
    }

    /// Starts a process by its script and waits until it is healthy, as a person does.
    ///
    /// # Errors
    ///
    /// When the script fails, or it does not get healthy.
    pub fn start_process(&self, site: Site, process: &ProcessPlan) -> anyhow::Result<()> {
        self.run_start(site, process)?;
        self.wait_healthy(site, process)
    }

    fn wait_healthy(&self, site: Site, process: &ProcessPlan) -> anyhow::Result<()> {
        let at = self.plan.at(site, process);
        until(&format!("{} at {} is healthy", process.name, site.name()), HEALTHY_WITHIN, || {
            let said = running::ask(at, "PING", Duration::from_secs(2))?;
            if said.starts_with(process.healthy) { Ok(Some(())) } else { Err(anyhow!("{said}")) }
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
        // On a busy machine a service may be late: it is adopted again, as it says.
        until_every(STATUS_EVERY, "everything is adopted", SERVED_WITHIN, || {
            let words = ["adopt", GROUP, "--live", "main", "--yes", "--why", "the lab's first day"];
            let said = self.pointsman.text(&desk, &words)?;
            if said.contains("What was not adopted") { Err(anyhow!("{said}")) } else { Ok(Some(())) }
        })?;
        for site in Site::ALL {
            for role in Role::SERVED {
                self.pointsman.text(&self.plan.host_file(site.host(role)), &["arm"])?;
            }
        }
        self.pointsman.text(&self.plan.host_file("wdns"), &["arm"])?;
        // With its next beat a service knows. On a busy machine the last answer of it may be an older one.
        let known = Utc::now() + BEATS;
        until_every(STATUS_EVERY, "the group is in normal mode, and every host armed", SERVED_WITHIN, || {
            let status = self.status()?;
            let armed =
                |resource: &&ResourceView| resource.observation.as_ref().is_none_or(|seen| seen.armed);
            let unarmed = status.resources.iter().filter(|resource| !armed(resource));
            let unarmed: Vec<String> = unarmed.map(|resource| resource.address.to_string()).collect();
            let good = status.mode == Mode::Normal
                && status.debts.is_empty()
                && status.doubts.is_empty()
                && status.loss.as_ref().is_some_and(|loss| loss.estimate.is_some())
                && (unarmed.is_empty() || Utc::now() > known);
            if good {
                return Ok(Some(()));
            }
            Err(anyhow!("{}; not armed: {}", status.sentence, unarmed.join(", ")))
        })
    }
}

/// The witness's name server, and those of the sites.
type Names = (Bind, [SiteNames; 2]);

fn names() -> anyhow::Result<Names> {
    let records = NAMES.iter().zip([3, 4]).map(|(name, last)| Record {
        name: (*name).to_owned(),
        ttl: TTL,
        address: Site::Main.ip(last),
    });
    let options = BindOptions { zone: ZONE.into(), records: records.collect(), ..Default::default() };
    let places = [options.address, options.address];
    let (bind, authorities) = Bind::start_with_secondaries(options.clone(), &places)?;
    let mut sites = Vec::new();
    for authority in authorities {
        let cache = Bind::start_cache(&options, &[authority.address(), bind.address()])?;
        sites.push(SiteNames { authority, cache });
    }
    let sites = <[SiteNames; 2]>::try_from(sites).map_err(|_| anyhow!("name servers for two sites"))?;
    Ok((bind, sites))
}

fn servers() -> anyhow::Result<(Cluster, [Postgres; 2], Names)> {
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
        let names = names();
        let gone = |_| anyhow!("a starting thread is gone");
        let (main, secondary) = (main.join().map_err(gone)?, secondary.join().map_err(gone)?);
        let bus = bus.join().map_err(gone)?;
        Ok((bus?, [main?, secondary?], names?))
    })
}

fn write_files(
    plan: &Plan,
    standin: &Path,
    bus: &Cluster,
    postgres: &[Postgres; 2],
    (bind, sites): &Names,
) -> anyhow::Result<()> {
    let dsns =
        |user: &str| [0, 1].map(|site| files::DATABASES.map(|database| postgres[site].dsn(user, database)));
    files::write(
        plan,
        &files::Servers {
            nats: bus.urls(),
            dns: bind.address(),
            authorities: [0, 1].map(|site| sites[site].authority.address()),
            caches: [0, 1].map(|site| sites[site].cache.address()),
            key: (bind.key_name().to_owned(), bind.key_secret_base64().to_owned()),
            own: dsns(databases::RUN_TIME),
            replicator: dsns(databases::REPLICATOR),
            logs: [0, 1].map(|site| postgres[site].log()),
        },
    )?;
    scripts::write(
        plan,
        standin,
        &scripts::Servers {
            caches: [0, 1].map(|site| (sites[site].cache.address(), sites[site].cache.rndc_file())),
            config: [0, 1].map(|site| postgres[site].dsn("cfg_db", "config")),
            log: [0, 1].map(|site| postgres[site].dsn("ms_db", "log")),
        },
    )
}
