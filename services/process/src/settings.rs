//! `process.<resource>` in a host's file, and the driver that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use config::Span;
use exec::{Guard, Occasion};
use responder::Driver;
use responder::memory::World;
use schemas::{Code, Problem, ResourceId, SiteId};
use serde::Deserialize;
use serde_json::json;

use crate::gated::{Gated, Returned};
use crate::health::{Ask, Health};
use crate::manager::Manager;
use crate::memory::MemoryProcess;
use crate::pointing::Pointing;
use crate::scripts::Scripts;
use crate::starters::ETC;
use crate::systemd::Systemd;

/// One service or switch of a host.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum Settings {
    /// A unit of systemd.
    Systemd(SystemdSettings),
    /// The operator's scripts.
    Exec(ExecSettings),
    /// A value in memory: rehearsals only.
    Memory(MemorySettings),
}

/// `driver: systemd`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemdSettings {
    /// The unit's whole name.
    pub unit: String,
    /// The bus's address; none: the system bus.
    #[serde(default)]
    pub bus: Option<String>,
    /// When it counts as started.
    #[serde(default)]
    pub health: Option<HealthSettings>,
    /// For each site the script that makes it work on that site's database; exit 0 when it does. It needs `pointed`.
    #[serde(default)]
    pub repoint: BTreeMap<SiteId, PathBuf>,
    /// Prints the site on whose database it works.
    #[serde(default)]
    pub pointed: Option<PathBuf>,
    /// How long after a stop it is watched.
    #[serde(default = "settle")]
    pub settle: Span,
    /// Refused: a unit that does not run proves nothing about a site.
    #[serde(default)]
    pub closes: Option<SiteId>,
}

/// `driver: exec`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecSettings {
    /// Starts it and returns; exit 0 when it is done.
    pub start: PathBuf,
    /// Stops it and returns; exit 0 when nothing of it is left, also where nothing was: it may be repeated.
    pub stop: PathBuf,
    /// Exit 0 it runs, 1 nothing of it runs, else it cannot tell. Without it the health gate says whether it runs, and
    /// nothing proves that it does not; without either nothing is ever repeated.
    #[serde(default)]
    pub check: Option<PathBuf>,
    /// For each site the script that makes it work on that site's database; exit 0 when it does. It needs `pointed`.
    #[serde(default)]
    pub repoint: BTreeMap<SiteId, PathBuf>,
    /// Prints the site on whose database it works.
    #[serde(default)]
    pub pointed: Option<PathBuf>,
    /// How long a check, or `pointed`, may take.
    #[serde(default = "look_within")]
    pub look_within: Span,
    /// When it counts as started; none: when the check says that it runs.
    #[serde(default)]
    pub health: Option<HealthSettings>,
    /// How long after a stop it is watched.
    #[serde(default = "settle")]
    pub settle: Span,
    /// The site whose power or network it switches. It needs `check`.
    #[serde(default)]
    pub closes: Option<SiteId>,
}

/// `driver: memory`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySettings {
    /// The site whose power or network it switches.
    #[serde(default)]
    pub closes: Option<SiteId>,
    /// The sites on whose database it can be made to work.
    #[serde(default)]
    pub repoint: BTreeSet<SiteId>,
    /// The one on whose database it works when the rehearsal begins.
    #[serde(default)]
    pub points_at: Option<SiteId>,
}

/// `health:`; exactly one of `command`, `http`, `tcp`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSettings {
    /// A program: exit 0 healthy, 1 not.
    #[serde(default)]
    pub command: Option<PathBuf>,
    /// `http://host:port/path`.
    #[serde(default)]
    pub http: Option<String>,
    /// The status that is healthy; none: 200 to 299.
    #[serde(default)]
    pub status: Option<u16>,
    /// `host:port`.
    #[serde(default)]
    pub tcp: Option<String>,
    /// What is sent; empty where the server speaks first.
    #[serde(default)]
    pub send: String,
    /// What must come back. Needed with `tcp`: a connection alone proves nothing.
    #[serde(default)]
    pub expect: Option<String>,
    /// The bound of one probe.
    #[serde(default = "look_within")]
    pub within: Span,
}

fn look_within() -> Span {
    Span::seconds(3)
}

fn settle() -> Span {
    Span::seconds(20)
}

/// Where a service runs; the same for each of its resources.
#[derive(Debug, Clone)]
pub struct Place {
    /// The host's site.
    pub site: SiteId,
    /// The resource.
    pub resource: ResourceId,
    /// The folder of the host's file: relative paths count from it.
    pub folder: PathBuf,
    /// The folder for locks.
    pub state: PathBuf,
    /// How to start a guard.
    pub guard: Guard,
    /// The world of `driver: memory`.
    pub world: World,
}

impl Place {
    /// The lock file of the resource: one script of it at a time.
    fn lock(&self) -> PathBuf {
        self.state.join(format!("process.{}.lock", self.resource))
    }
}

impl Settings {
    /// The driver; reaches nobody yet. `on_return` is told when a stopped service comes back within `settle`.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn driver(
        self,
        place: &Place,
        on_return: impl Fn(Returned) + Send + Sync + 'static,
    ) -> Result<Box<dyn Driver>, Problem> {
        match self {
            Settings::Systemd(its) => {
                proves(its.closes.as_ref(), None)?;
                let manager = Systemd::new(its.unit, its.bus);
                let health = health(its.health, place)?;
                let pointing = pointing(its.repoint, its.pointed, look_within(), place)?;
                Ok(gated(manager, health, None, pointing, its.settle, place, on_return))
            }
            Settings::Exec(its) => {
                proves(its.closes.as_ref(), its.check.as_ref())?;
                let health = health(its.health, place)?;
                let pointing = pointing(its.repoint, its.pointed, its.look_within, place)?;
                let manager = Scripts {
                    start: place.folder.join(its.start),
                    stop: place.folder.join(its.stop),
                    check: its.check.map(|check| place.folder.join(check)),
                    health: health.clone(),
                    look_within: its.look_within.duration(),
                    resource: place.resource.clone(),
                    site: place.site.clone(),
                    lock: place.lock(),
                    etc: ETC.into(),
                    guard: place.guard.clone(),
                };
                Ok(gated(manager, health, its.closes, pointing, its.settle, place, on_return))
            }
            Settings::Memory(its) => {
                let resource = place.resource.as_str();
                if let Some(site) = its.points_at
                    && place.world.state(resource).is_null()
                {
                    place.world.set(resource, json!({ "running": null, "pointsAt": site }));
                }
                Ok(Box::new(MemoryProcess::service(place.world.clone(), resource, its.closes, its.repoint)))
            }
        }
    }
}

/// A switch that is seen off lets the other site open. So a person's script has to say it: that nobody answers a health
/// gate, or that a unit is not started, says no more than that.
fn proves(closes: Option<&SiteId>, check: Option<&PathBuf>) -> Result<(), Problem> {
    match (closes, check) {
        (Some(site), None) => Err(wrong(format!(
            "`closes: {site}` needs `driver: exec` with a `check` script, which exits 1 only while {site} certainly has no \
             power or no network; a health gate that nobody answers, or a unit that does not run, does not prove that"
        ))),
        _ => Ok(()),
    }
}

fn gated<M: Manager>(
    manager: M,
    health: Option<Health>,
    closes: Option<SiteId>,
    pointing: Option<Pointing>,
    settle: Span,
    place: &Place,
    on_return: impl Fn(Returned) + Send + Sync + 'static,
) -> Box<dyn Driver> {
    let gated = Gated::new(manager, place.resource.clone()).health(health).closes(closes);
    Box::new(gated.pointing(pointing).settle(settle.duration()).on_return(on_return))
}

/// Whoever acts has to see what became of it: so scripts that change where a program works need one that says it.
fn pointing(
    repoint: BTreeMap<SiteId, PathBuf>,
    pointed: Option<PathBuf>,
    look_within: Span,
    place: &Place,
) -> Result<Option<Pointing>, Problem> {
    match (repoint.is_empty(), pointed) {
        (true, None) => Ok(None),
        (false, None) => Err(wrong(
            "`repoint` needs `pointed`, a script that prints the site on whose database it works".to_owned(),
        )),
        (true, Some(_)) => Err(wrong(
            "`pointed` needs `repoint`, for each site the script that makes it work on that site's database"
                .to_owned(),
        )),
        (false, Some(pointed)) => Ok(Some(Pointing {
            repoint: repoint.into_iter().map(|(site, script)| (site, place.folder.join(script))).collect(),
            pointed: place.folder.join(pointed),
            look_within: look_within.duration(),
            resource: place.resource.clone(),
            site: place.site.clone(),
            lock: place.lock(),
            guard: place.guard.clone(),
        })),
    }
}

fn health(settings: Option<HealthSettings>, place: &Place) -> Result<Option<Health>, Problem> {
    let Some(its) = settings else { return Ok(None) };
    let within = its.within.duration();
    let ask = match (its.command, its.http, its.tcp) {
        (Some(program), None, None) => Ask::Command {
            program: place.folder.join(program),
            occasion: Occasion {
                action: "health".to_owned(),
                resource: place.resource.to_string(),
                site: place.site.to_string(),
                ..Occasion::default()
            },
            guard: place.guard.clone(),
        },
        (None, Some(url), None) => {
            let rest = url
                .strip_prefix("http://")
                .filter(|rest| !rest.chars().any(|c| c.is_control() || c.is_whitespace()))
                .ok_or_else(|| wrong(format!("health: `{url}` is not `http://host:port/path`")))?;
            let (address, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
            let address = if address.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) {
                address.to_owned()
            } else {
                format!("{address}:80")
            };
            Ask::Http { address, path: path.to_owned(), status: its.status, expect: its.expect }
        }
        (None, None, Some(address)) => {
            let expect = its.expect.filter(|text| !text.is_empty());
            let expect = expect.ok_or_else(|| {
                wrong("health: `tcp` needs `expect`; a connection alone proves nothing".to_owned())
            })?;
            Ask::Line { address, send: its.send, expect }
        }
        _ => return Err(wrong("health: exactly one of `command`, `http`, `tcp`".to_owned())),
    };
    Ok(Some(Health { ask, within }))
}

fn wrong(what: String) -> Problem {
    Problem::new(Code::BadConfiguration, what)
}
