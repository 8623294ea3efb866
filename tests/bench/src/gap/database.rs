//! A group of one database and nothing else: two real servers, their services, a runner.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use chrono::Utc;
use lab::nats::{Nats, NatsOptions};
use lab::postgres::{Postgres, PostgresOptions};
use lab::process::Process;
use lab::system::plan::{GROUP, Logging, Plan, Role, Site};
use lab::system::pointsman::Pointsman;
use lab::system::{databases, files};
use schemas::op::OpReply;
use schemas::view::{Mode, RunView};

use super::Moved;
use super::client::Acks;
use crate::plant::command;

const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Each of `times` switchovers, there and back in turn.
pub(crate) async fn gaps(folder: &Path, times: usize) -> anyhow::Result<Vec<Moved>> {
    let pair = tokio::task::block_in_place(|| Pair::start(folder))?;
    let acks = pair.servers.client();
    let mut all = Vec::new();
    for turn in 0..times {
        let to = if turn % 2 == 0 { Site::Secondary } else { Site::Main };
        acks.at_work().await?;
        let since = Utc::now();
        let view = tokio::task::block_in_place(|| pair.moved(to))?;
        acks.at_work().await?;
        let (from, to) = acks.gap(since)?;
        all.push(Moved::of(&view, from, to)?);
    }
    Ok(all)
}

/// Two servers, set up and replicating, live at main; and the files of a host at each.
pub(super) struct Servers {
    pub(super) postgres: [Postgres; 2],
    plan: Plan,
    pointsman: Pointsman,
}

impl Servers {
    pub(super) fn start(folder: &Path, bus: &str) -> anyhow::Result<Servers> {
        let (plan, pointsman) = (Plan::make(folder, Logging::default())?, Pointsman::find()?);
        let start = |site: Site| {
            Postgres::start(PostgresOptions {
                address: site.ip(2),
                databases: files::DATABASES.map(str::to_owned).into(),
                settings: databases::settings(),
                hba: Vec::new(),
            })
        };
        let postgres = [start(Site::Main)?, start(Site::Secondary)?];
        write_files(&plan, bus, &postgres)?;
        for site in Site::ALL {
            databases::prepare(site, &postgres[site.index()])?;
            databases::set_up(site, &postgres[site.index()], &plan, &pointsman)?;
        }
        databases::replicate(&postgres)?;
        Ok(Servers { postgres, plan, pointsman })
    }

    /// One client, at whichever of the two lets it in.
    pub(super) fn client(&self) -> Acks {
        let [main, secondary] = &self.postgres;
        Acks::of_databases([main, secondary].map(|at| at.dsn("cfg_db", "config")))
    }
}

/// Everything that runs. Dropping it ends it.
struct Pair {
    _programs: Vec<Process>,
    servers: Servers,
    _bus: Nats,
}

impl Pair {
    fn start(folder: &Path) -> anyhow::Result<Pair> {
        let bus = Nats::start(NatsOptions::default())?;
        let servers = Servers::start(folder, &bus.url())?;
        let plan = &servers.plan;
        let mut programs = Vec::new();
        for (host, word) in [("s1db", "serve"), ("s2db", "serve"), ("wrun", "runner")] {
            let file = plan.host_file(host).display().to_string();
            programs.push(command(&plan.folder, host, &["--config", &file, word])?);
        }
        let pair = Pair { _programs: programs, servers, _bus: bus };
        pair.adopt()?;
        Ok(pair)
    }

    fn text(&self, host: &str, words: &[&str]) -> anyhow::Result<String> {
        self.servers.pointsman.text(&self.servers.plan.host_file(host), words)
    }

    fn adopt(&self) -> anyhow::Result<()> {
        until("everything is adopted", || {
            let words = ["adopt", GROUP, "--live", "main", "--yes", "--why", "a benchmark"];
            let said = self.text("wrun", &words)?;
            ensure!(!said.contains("What was not adopted"), "{said}");
            Ok(Some(()))
        })?;
        for host in ["s1db", "s2db"] {
            self.text(host, &["arm"])?;
        }
        until("the group is in normal mode", || {
            let OpReply::Groups(groups) =
                self.servers.pointsman.look(&self.servers.plan.host_file("wrun"), &["status", GROUP])?
            else {
                bail!("status shows no group")
            };
            let group = groups.into_iter().next().context("no group")?;
            ensure!(group.mode == Mode::Normal && group.doubts.is_empty(), "{}", group.sentence);
            Ok(Some(()))
        })
    }

    /// Moves the group; answers when the run has ended. What is red for a moment after a move is asked again. The command
    /// that begins it follows it, as a person's does: another program started meanwhile would be felt in the gap.
    fn moved(&self, to: Site) -> anyhow::Result<RunView> {
        until("the move is done", || {
            let words = ["switchover", GROUP, "--to", to.name(), "--yes", "--why", "a benchmark"];
            self.text("wrun", &words).map(Some)
        })?;
        let (file, pointsman) = (self.servers.plan.host_file("wrun"), &self.servers.pointsman);
        until("the run has ended", || {
            let OpReply::Runs(runs) = pointsman.look(&file, &["runs", GROUP, "--limit", "1"])? else {
                bail!("runs shows none")
            };
            let run = runs.into_iter().next().context("no run")?;
            let view: RunView = pointsman.look(&file, &["show", &run.id.to_string()])?;
            ensure!(view.state.ended(), "{:?} {:?}", view.state, view.waits_for);
            Ok(Some(view))
        })
    }
}

fn until<T>(what: &str, see: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let start = Instant::now();
    let found = lab::system::until_every(LOOK_EVERY, what, WITHIN, see);
    found.with_context(|| format!("after {:.0} s", start.elapsed().as_secs_f64()))
}

fn write_files(plan: &Plan, url: &str, postgres: &[Postgres; 2]) -> anyhow::Result<()> {
    let bus = format!("bus: {{ servers: [\"{url}\"], person: bench }}");
    for site in Site::ALL {
        let host = site.host(Role::Database);
        let folder = plan.host(host);
        std::fs::create_dir_all(&folder)?;
        for database in files::DATABASES {
            let own = postgres[site.index()].dsn(databases::RUN_TIME, database);
            secret(&folder.join(format!("{database}.dsn")), &own)?;
            let peer = postgres[site.other().index()].dsn(databases::REPLICATOR, database);
            secret(&folder.join(format!("{database}-peer.dsn")), &peer)?;
        }
        let mut text = format!(
            "version: 1\nsite: {}\ngroups: [{GROUP}]\nstate: {}/state\n{bus}\ndatabase:\n  \
             config: {{ driver: postgres, dsn: \"file:config.dsn\", writers: [cfg_db] }}\n  \
             log: {{ driver: postgres, dsn: \"file:log.dsn\", writers: [ms_db], boot: leave-open }}\nreplication:\n",
            site.name(),
            folder.display()
        );
        for one in files::REPLICATIONS.iter().filter(|one| one.database == "config") {
            let half = if one.from == site { "slot" } else { "subscription" };
            text += &format!(
                "  {}: {{ driver: postgres, database: config, peer: \"file:config-peer.dsn\", {half}: {}, \
                 publication: lab_config }}\n",
                one.name, one.stream
            );
        }
        std::fs::write(plan.host_file(host), text)?;
    }
    let folder = plan.host("wrun");
    std::fs::create_dir_all(folder.join("groups"))?;
    let at = folder.display();
    let runner = format!(
        "version: 1\nsite: witness\ngroups: [{GROUP}]\nstate: {at}/state\n{bus}\n\
         runner: {{ journal: {at}/journal, groups: {at}/groups }}\n"
    );
    std::fs::write(plan.host_file("wrun"), runner)?;
    let group = format!(
        "version: 1\ngroup: {GROUP}\nsites: [main, secondary]\ndatabases:\n  \
         config: {{ kind: one-live, replication: {{ \"main->secondary\": csp, \"secondary->main\": css }} }}\n\
         drain: {{ within: 30s }}\n"
    );
    std::fs::write(folder.join(format!("groups/{GROUP}.yaml")), group)?;
    Ok(())
}

fn secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
