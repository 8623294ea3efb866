//! The parts that stay: the runner, and the services of this host.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::Host;
use document::Diagnostics;
use exec::Guard;
use responder::expiry;
use responder::memory::World;
use schemas::{Code, Problem, Service};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use crate::args::{Runner, Serve, ServicePart};
use crate::exit::{Exit, Usage};
use crate::{bus, notify, person, running, secrets};

/// Says which secrets are open; the part starts all the same.
fn warn_of_secrets(host: &Host) {
    for warning in secrets::readable(host) {
        tracing::warn!("{warning}");
    }
}

/// How often each group's preconditions are looked at.
const PREFLIGHT_EVERY: Duration = Duration::from_secs(60);

/// `runner`.
pub(crate) fn runner(ask: &Runner, path: &Path) -> anyhow::Result<Exit> {
    let host = config::load_host(path)?;
    let (groups, definitions) = of_runner(&host)?;
    let settings = host.runner.clone().unwrap_or_default();
    let folder = settings.groups;
    let journal = settings.journal;
    let files = host::bus_files(&host.bus);
    let names: Vec<String> = groups.iter().map(|group| group.name.to_string()).collect();
    stay(async |stop| {
        warn_of_secrets(&host);
        running::note(&host, "runner");
        tracing::info!(groups = names.join(", "), journal = %journal.display(), prefix = host.bus.prefix, "runs");
        let options = runner::Options {
            client: bus::standing(&host.bus, "runner").await?,
            prefix: host.bus.prefix()?,
            journal,
            journal_options: journal::Options::default(),
            groups,
            read_groups: Arc::new(move || config::load_groups(&folder)),
            definitions,
            preflight_every: Some(PREFLIGHT_EVERY),
            own_lines: Arc::new(move || {
                let files = files.clone();
                Box::pin(
                    async move { expiry::of_bus("runner-bus", files).await.into_iter().collect::<Vec<_>>() },
                )
            }),
            host: person::host(),
            take_over: ask.take_over,
            worker: None,
            teller: notify::teller(),
        };
        match runner::run(options, stop).await {
            Err(error @ runner::RunError::Copied) => {
                Err(Problem::new(Code::JournalImported, error.to_string()).into())
            }
            other => Ok(other?),
        }
    })
}

/// The groups and the definitions of the runner of this host, as its files have them now.
///
/// # Errors
///
/// The host runs no runner, or its files are wrong.
pub(crate) fn of_runner(host: &Host) -> anyhow::Result<(Vec<config::Group>, Vec<runner::DefinitionText>)> {
    let settings = host.runner.as_ref().ok_or_else(|| {
        let path = host.document().path();
        Usage(format!("{path}: this host runs no runner: `runner:` names its journal and its groups"))
    })?;
    let groups = config::load_groups(&settings.groups)?;
    Ok((groups, definitions(host)?))
}

/// The definitions that come with the program, and the host's own.
///
/// # Errors
///
/// Their folder cannot be read.
pub(crate) fn definitions(host: &Host) -> anyhow::Result<Vec<runner::DefinitionText>> {
    let mut definitions = runner::shipped();
    if let Some(folder) = host.runner.as_ref().and_then(|settings| settings.definitions.as_ref()) {
        let own =
            runner::in_folder(folder).with_context(|| format!("could not read {}", folder.display()))?;
        definitions.extend(own);
    }
    Ok(definitions)
}

/// The name of a definition; none where it has none, and cannot be loaded.
pub(crate) fn name_of(text: &runner::DefinitionText) -> Option<String> {
    let document = document::Document::parse(&text.text, &text.path).ok()?;
    Some(document.value().get("document")?.get("name")?.as_str()?.to_owned())
}

/// `serve`.
pub(crate) fn serve(ask: &Serve, path: &Path) -> anyhow::Result<Exit> {
    let host = config::load_host(path)?;
    let only: Vec<Service> = ask.services.iter().copied().map(service).collect();
    let part = only.iter().fold("serve".to_owned(), |part, service| format!("{part} {service}"));
    stay(async |stop| {
        warn_of_secrets(&host);
        running::note(&host, &part);
        for service in host.services().filter(|service| only.is_empty() || only.contains(service)) {
            let names: Vec<&str> =
                host.settings(service).map(|settings| settings.resource.as_str()).collect();
            tracing::info!(site = %host.site, %service, resources = names.join(", "), "served");
        }
        let brake = if host.armed_flag().exists() { "off" } else { "on: pointsman arm" };
        tracing::info!(brake, prefix = host.bus.prefix, "waits for requests");
        let client = bus::standing(&host.bus, "serve").await?;
        let version = env!("CARGO_PKG_VERSION");
        Ok(host::serve(&host, &only, client, &person::host(), version, stop).await?)
    })
}

fn service(part: ServicePart) -> Service {
    match part {
        ServicePart::Dns => Service::Dns,
        ServicePart::Database => Service::Database,
        ServicePart::Replication => Service::Replication,
        ServicePart::Process => Service::Process,
    }
}

/// What is wrong with the drivers' settings, each read by its service's own types.
pub(crate) fn check(host: &Host) -> Diagnostics {
    match host::drivers(host, &[], &Guard::this_program(), &World::new(), Uuid::nil(), &host::Tell::default())
    {
        Ok(_) => Diagnostics::default(),
        Err(mut found) => {
            found.sort();
            found
        }
    }
}

/// Runs a part until it ends by itself or is told to stop (TERM, INT): stop means drain.
fn stay(part: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<()>) -> anyhow::Result<Exit> {
    let filter = EnvFilter::try_from_env("POINTSMAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours are for terminals: a log that is a file has none.
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let told = stop.clone();
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            told.cancel();
        });
        part(stop).await?;
        Ok(Exit::Done)
    })
}
