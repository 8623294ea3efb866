//! The installation of a drill: services of every place and a runner, in this process, in a folder that goes with it.
//! Each has a runtime of its own, so that a place can be lost while the others go on.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use config::Group;
use responder::memory::World;
use schemas::op::Op;
use schemas::{Address, GroupId, SiteId};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::seed::{Place, Seeded};
use crate::bus::{self, Bus};
use crate::{person, plan};

/// All is up within this, and a lost place is seen silent.
const WITHIN: Duration = Duration::from_secs(30);
/// What is told to stop has so long.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const WHY: &str = "a drill begins";

/// Whom a run would have told, about what.
type Pages = Arc<Mutex<Vec<(String, PathBuf)>>>;

/// A part that runs, and how it ended if it did.
struct Part {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    ended: Option<JoinHandle<anyhow::Result<()>>>,
}

/// The installation. Dropping it ends everything.
pub(super) struct House {
    parts: BTreeMap<String, Part>,
    pages: Pages,
    bus: config::Bus,
    _folder: TempDir,
}

impl House {
    /// Begins to serve every place, and to run the group's moves. The files that it makes name no driver but `memory`,
    /// and its runner tells nobody.
    pub(super) fn start(
        bus: &config::Bus,
        group: Group,
        definitions: Vec<runner::DefinitionText>,
        seeded: &Seeded,
    ) -> anyhow::Result<House> {
        let folder = tempfile::tempdir().context("could not make a folder for the drill")?;
        let mut parts = BTreeMap::new();
        for (site, place) in &seeded.places {
            let host = host(folder.path(), site, place, &group, bus)?;
            let own = bus.clone();
            let part = Part::start(async move |stop| {
                let client = bus::standing(&own, "drill").await?;
                let version = env!("CARGO_PKG_VERSION");
                Ok(host::serve(&host, &[], client, &person::host(), version, stop).await?)
            })?;
            parts.insert(site.to_string(), part);
        }
        let pages = Pages::default();
        let journal = folder.path().join("journal");
        let (own, told) = (bus.clone(), pages.clone());
        let runner = Part::start(async move |stop| {
            let groups = vec![group];
            let same = groups.clone();
            let options = runner::Options {
                client: bus::standing(&own, "drill").await?,
                prefix: own.prefix()?,
                journal,
                journal_options: journal::Options::default(),
                groups,
                read_groups: Arc::new(move || Ok(same.clone())),
                definitions,
                preflight_every: None,
                own_lines: Arc::new(|| Box::pin(async { Vec::new() })),
                host: person::host(),
                take_over: false,
                worker: None,
                teller: Arc::new(move |telling| {
                    let told = told.clone();
                    Box::pin(async move {
                        let event = telling.facts["notify"].as_str().unwrap_or("changed").to_owned();
                        let mut pages = told.lock().unwrap_or_else(PoisonError::into_inner);
                        pages.push((event, telling.program));
                        Ok(())
                    })
                }),
            };
            Ok(runner::run(options, stop).await?)
        })?;
        parts.insert("the runner".to_owned(), runner);
        Ok(House { parts, pages, bus: bus.clone(), _folder: folder })
    }

    /// Waits until the drill's runner has taken the world as it is; answers with a connection to it.
    pub(super) async fn adopted(
        &mut self,
        group: &GroupId,
        live: &SiteId,
        unseen: &[Address],
    ) -> anyhow::Result<Bus> {
        let bus = Bus::connect(&self.bus).await?;
        let until = Instant::now() + WITHIN;
        loop {
            self.all_run().await?;
            let adopt = Op::Adopt {
                group: group.clone(),
                record: Some(live.clone()),
                none_live: false,
                old_runner_stopped: false,
            };
            let heard = self.heard(group, unseen, &bus).await;
            let failed = match heard {
                Ok(()) => match bus.change(adopt, WHY, None).await {
                    Ok(_) => return Ok(bus),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if Instant::now() > until {
                let text =
                    "the drill's own services cannot be taken into service: may this account of the bus use";
                return Err(failed.context(format!("{text} `{}.>`?", self.bus.prefix)));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn heard(&self, group: &GroupId, unseen: &[Address], bus: &Bus) -> anyhow::Result<()> {
        let view = plan::group(group, bus).await?;
        let silent = view.resources.iter().find(|r| r.silent && !unseen.contains(&r.address));
        match silent {
            Some(silent) => anyhow::bail!("{} is silent", silent.address),
            None => Ok(()),
        }
    }

    /// A part that ended by itself has failed.
    async fn all_run(&mut self) -> anyhow::Result<()> {
        for (name, part) in &mut self.parts {
            if let Some(ended) = part.ended.take_if(|ended| ended.is_finished()) {
                ended
                    .await
                    .context("a part of the drill panicked")?
                    .with_context(|| format!("the drill: {name}"))?;
                anyhow::bail!("the drill: {name} has ended");
            }
        }
        Ok(())
    }

    /// A place is gone, and returns when the drill's runner has seen so.
    pub(super) async fn lose(&mut self, site: &SiteId, group: &GroupId, bus: &Bus) -> anyhow::Result<()> {
        self.parts.remove(site.as_str());
        let until = Instant::now() + WITHIN;
        loop {
            let view = plan::group(group, bus).await?;
            if view.sites.get(site).is_some_and(|site| site.heard == 0) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < until, "{site} is still heard");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whom the run would have told.
    pub(super) fn pages(&self) -> Vec<(String, PathBuf)> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Part {
    fn start<F>(part: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<Part>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let stop = CancellationToken::new();
        let ended = Some(runtime.spawn(part(stop.clone())));
        Ok(Part { runtime: Some(runtime), stop, ended })
    }
}

impl Drop for Part {
    /// It drains, as a part that is told to stop; what has not ended after some seconds is cut off.
    fn drop(&mut self) {
        self.stop.cancel();
        let (Some(runtime), ended) = (self.runtime.take(), self.ended.take()) else { return };
        // A runtime is not ended within another one.
        let ends = std::thread::spawn(move || {
            if let Some(ended) = ended {
                let _ = runtime.block_on(async { tokio::time::timeout(STOPS_WITHIN, ended).await });
            }
            runtime.shutdown_timeout(STOPS_WITHIN);
        });
        let _ = ends.join();
    }
}

fn host(
    folder: &Path,
    site: &SiteId,
    place: &Place,
    group: &Group,
    bus: &config::Bus,
) -> anyhow::Result<config::Host> {
    let state = folder.join(site.as_str());
    std::fs::create_dir(&state).context("could not make a folder for the drill")?;
    let world = World::in_file(state.join("rehearsal.json"))?;
    for (name, value) in &place.states {
        world.set(name, value.clone());
    }
    let file = place.file(site, group, bus, &state).to_string();
    let host = config::parse_host(&file, &format!("the drill's host at {site}"), folder)?;
    std::fs::write(host.armed_flag(), "").context("could not write into the drill's folder")?;
    Ok(host)
}
