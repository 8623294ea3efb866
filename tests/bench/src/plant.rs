//! What is measured: a NATS server, the services of many groups, and a runner that is the real command.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_nats::Client;
use lab::nats::{Nats, NatsOptions};
use lab::process::{Process, Program};
use schemas::op::{Op, OpReply, OpRequest};
use schemas::view::RunView;
use schemas::{Code, MessageId, PersonId, Prefix, RunId, SiteId};
use uuid::Uuid;

use crate::measure::Sizes;

pub(crate) const PREFIX: &str = "pointsman";
pub(crate) const MAIN: &str = "main";
pub(crate) const SECONDARY: &str = "secondary";
/// The definition with many steps.
pub(crate) const CHAIN: &str = "chain";
/// The definition with two.
pub(crate) const SHORT: &str = "short";
/// The steps of [`SHORT`].
pub(crate) const SHORT_STEPS: usize = 2;
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A group's name.
pub(crate) fn group(number: usize) -> String {
    format!("g{number}")
}

/// A connection as the program makes them.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    Ok(async_nats::ConnectOptions::new().ping_interval(Duration::from_secs(1)).connect(url).await?)
}

/// This program once more, with other arguments.
pub(crate) fn child(folder: &Path, name: &str, args: &[&str]) -> anyhow::Result<Process> {
    start(folder, name, std::env::current_exe()?, args)
}

/// The real command. It stands beside this program.
pub(crate) fn command(folder: &Path, name: &str, args: &[&str]) -> anyhow::Result<Process> {
    let own = std::env::current_exe()?;
    let path = own.parent().context("no folder")?.join("pointsman");
    anyhow::ensure!(path.is_file(), "{} is not built", path.display());
    start(folder, name, path, args)
}

fn start(folder: &Path, name: &str, path: PathBuf, args: &[&str]) -> anyhow::Result<Process> {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    // What is logged would be measured too.
    let env = vec![("POINTSMAN_LOG".to_owned(), "warn".to_owned())];
    let log = folder.join(format!("{name}.log"));
    Process::start(&Program { path, args, env, folder: folder.into(), log, account: None })
}

/// Everything that runs. Dropping it ends it.
pub(crate) struct Plant {
    runner: Option<Process>,
    service: Process,
    pub(crate) client: Client,
    pub(crate) prefix: Prefix,
    pub(crate) folder: PathBuf,
    pub(crate) groups: usize,
    pub(crate) steps: usize,
    nats: Nats,
    url: String,
}

impl Plant {
    /// Returns once every group is adopted, live at the main site.
    pub(crate) async fn start(folder: &Path, sizes: &Sizes) -> anyhow::Result<Plant> {
        let nats = Nats::start(NatsOptions::default())?;
        let url = nats.url();
        write_files(folder, &url, sizes)?;
        let at = folder.join("services");
        std::fs::create_dir_all(&at)?;
        let at = at.display().to_string();
        let service = child(folder, "service", &["service", &url, &at, &sizes.groups.to_string()])?;
        let mut plant = Plant {
            runner: None,
            service,
            client: connect(&url).await?,
            prefix: Prefix::new(PREFIX)?,
            folder: folder.into(),
            groups: sizes.groups,
            steps: sizes.steps,
            nats,
            url,
        };
        plant.start_runner()?;
        for number in 0..plant.groups {
            plant.adopt(number).await?;
        }
        Ok(plant)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn runner(&self) -> anyhow::Result<&Process> {
        self.runner.as_ref().context("the runner does not run")
    }

    pub(crate) fn service(&self) -> &Process {
        &self.service
    }

    pub(crate) fn nats_pid(&self) -> anyhow::Result<u32> {
        self.nats.pid().context("the server does not run")
    }

    pub(crate) fn start_runner(&mut self) -> anyhow::Result<()> {
        let file = self.folder.join("runner.yaml").display().to_string();
        self.runner = Some(command(&self.folder, "runner", &["--config", &file, "runner"])?);
        Ok(())
    }

    /// With signal 9; returns once it is gone.
    pub(crate) fn kill_runner(&mut self) -> anyhow::Result<()> {
        self.runner.take().context("the runner does not run")?.kill()
    }

    /// Asks the runner as a person.
    pub(crate) async fn ask(&self, op: Op) -> anyhow::Result<OpReply> {
        let subject = self.prefix.op(&PersonId::new("bench")?, op.verb());
        let why = op.changes().then(|| "a benchmark".to_owned());
        let id = MessageId(Uuid::now_v7());
        let body = serde_json::to_vec(&OpRequest { id, claimed: "bench".into(), why, seen: None, op })?;
        let answer = self.client.request(subject, body.into()).await?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    /// Asks again until the runner and all services are there.
    async fn adopt(&self, number: usize) -> anyhow::Result<()> {
        let until = Instant::now() + READY_WITHIN;
        let mut last = String::new();
        while Instant::now() < until {
            let op = Op::Adopt {
                group: group(number).parse()?,
                record: Some(MAIN.parse::<SiteId>()?),
                none_live: false,
                old_runner_stopped: false,
            };
            match self.ask(op).await {
                Ok(OpReply::Recorded { what, .. }) if what.contains("adopted 8 of 8") => return Ok(()),
                Ok(other) => last = format!("{other:?}"),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let output = self.runner()?.output() + &self.service.output();
        bail!("{} cannot be adopted: {last}\n{output}", group(number))
    }

    /// Starts a run. A group whose last run has only just ended may be busy for a moment.
    pub(crate) async fn begin(&self, workflow: &str, number: usize) -> anyhow::Result<RunId> {
        let op = Op::Start {
            workflow: workflow.into(),
            group: group(number).parse()?,
            to: Some(SECONDARY.parse()?),
            supersede: None,
            accept_unfenced: Vec::new(),
            accept_data_loss: None,
            by: None,
            overrides: Vec::new(),
            waive_ledger: false,
            dry_run: false,
        };
        let until = Instant::now() + READY_WITHIN;
        loop {
            match self.ask(op.clone()).await? {
                OpReply::Started { run, .. } => return Ok(run),
                OpReply::Problem(problem) if problem.code == Code::GroupBusy && Instant::now() < until => {}
                other => bail!("{workflow} of {}: {other:?}", group(number)),
            }
        }
    }

    /// The run with its steps.
    pub(crate) async fn show(&self, run: RunId) -> anyhow::Result<RunView> {
        match self.ask(Op::Show { run: run.to_string() }).await? {
            OpReply::Run(view) => Ok(*view),
            other => bail!("{run}: {other:?}"),
        }
    }
}

fn write_files(folder: &Path, url: &str, sizes: &Sizes) -> anyhow::Result<()> {
    let (groups, definitions) = (folder.join("groups"), folder.join("definitions"));
    std::fs::create_dir_all(&groups)?;
    std::fs::create_dir_all(&definitions)?;
    for number in 0..sizes.groups {
        std::fs::write(groups.join(format!("{}.yaml", group(number))), group_file(number))?;
    }
    std::fs::write(definitions.join("chain.yaml"), definition(CHAIN, sizes.steps))?;
    std::fs::write(definitions.join("short.yaml"), definition(SHORT, SHORT_STEPS))?;
    let bus = format!("bus: {{ prefix: {PREFIX}, servers: [\"{url}\"], person: bench }}");
    let at = folder.display();
    let runner = format!(
        "version: 1\nsite: witness\nstate: {at}/witness\n{bus}\n\
         runner: {{ journal: {at}/journal, groups: {at}/groups, definitions: {at}/definitions }}\n"
    );
    std::fs::write(folder.join("runner.yaml"), runner)?;
    // A host as an operator's: a database, both halves of a replication, a process. Nobody asks it.
    let bus = bus.replace(PREFIX, "idle");
    let host = format!(
        "version: 1\nsite: main\ngroups: [cfg]\nstate: {at}/host\n{bus}\n\
         database: {{ config: {{ driver: memory, access: open }} }}\n\
         replication: {{ csp: {{ driver: memory, half: source }}, css: {{ driver: memory, half: receiver }} }}\n\
         process: {{ cs-primary: {{ driver: memory }} }}\n"
    );
    std::fs::write(folder.join("host.yaml"), host)?;
    Ok(())
}

/// A group's file.
fn group_file(n: usize) -> String {
    format!(
        "version: 1\ngroup: {}\nsites: [{MAIN}, {SECONDARY}]\n\
         databases: {{ d{n}: {{ kind: one-live, replication: {{ {MAIN}->{SECONDARY}: r{n}, {SECONDARY}->{MAIN}: s{n} }} }} }}\n\
         live_only: [p{n}]\n",
        group(n)
    )
}

/// So many calls, one after the other, that start and stop the group's process in turn: each acts.
fn definition(name: &str, steps: usize) -> String {
    let mut text = format!(
        "document:\n  dsl: '1.0.3'\n  namespace: bench\n  name: {name}\n  version: '1.0.0'\n  \
         metadata: {{ dr: {{ moves: group, onFault: hold }} }}\ndo:\n  - plan:\n      \
         set: {{ p: '${{ $workflow.input.group.live_only[0] }}', at: '${{ $workflow.input.from }}' }}\n      \
         export: {{ as: '${{ . }}' }}\n"
    );
    for step in 0..steps {
        let action = if step % 2 == 0 { "start" } else { "stop" };
        text += &format!(
            "  - s{step}:\n      call: process.{action}:1.0.0@default\n      \
             with: {{ resource: '${{ $context.p }}', site: '${{ $context.at }}' }}\n"
        );
    }
    text
}
