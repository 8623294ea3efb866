//! From a host's file to drivers: each resource's settings are read by its service's own types, and what is
//! wrong with them is said with line and column.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Host;
use document::Diagnostics;
use exec::Guard;
use postgres::Life;
use responder::Driver;
use responder::memory::{MemoryDriver, World};
use schemas::{GroupId, Problem, ResourceId, Service, SiteId};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::dns;
use crate::returned::Tell;

/// A resource of this host and its driver.
pub struct Served {
    /// The service.
    pub service: Service,
    /// The resource.
    pub resource: ResourceId,
    /// The group that claims it; none for a client host or cache.
    pub group: Option<GroupId>,
    /// Its hands.
    pub driver: Arc<dyn Driver>,
}

/// Where a driver stands.
pub(crate) struct Here<'a> {
    pub(crate) site: &'a SiteId,
    pub(crate) resource: &'a ResourceId,
    pub(crate) folder: PathBuf,
    pub(crate) state: &'a Path,
    pub(crate) guard: &'a Guard,
    pub(crate) world: &'a World,
    pub(crate) life: &'a Life,
    tell: &'a Tell,
    service: Service,
}

impl Here<'_> {
    /// What `driver: memory` calls the resource: a name may stand in several services.
    pub(crate) fn in_memory(&self) -> String {
        format!("{}.{}", self.service, self.resource)
    }
}

/// The drivers of the services that `only` names, or of all. Reaches nobody yet. `tell` hears of processes that
/// came back after they were stopped.
///
/// # Errors
///
/// Everything that is wrong with the settings, each with its place.
pub fn drivers(
    host: &Host,
    only: &[Service],
    guard: &Guard,
    world: &World,
    life: Uuid,
    tell: &Tell,
) -> Result<Vec<Served>, Diagnostics> {
    let mut served = Vec::new();
    let mut wrong = Diagnostics::default();
    let folder = host.resolve("");
    let life = Life::new(life);
    for service in Service::ALL.iter().copied().filter(|s| only.is_empty() || only.contains(s)) {
        for settings in host.settings(service) {
            let here = Here {
                site: &host.site,
                resource: settings.resource,
                folder: folder.clone(),
                state: &host.state,
                guard,
                world,
                life: &life,
                tell,
                service,
            };
            let built = match service {
                Service::Dns if settings.located.get("client").is_some() => {
                    typed::<dns::ClientSettings>(&settings).and_then(|its| Ok(its.driver(&here)?))
                }
                Service::Dns => typed::<dns::Record>(&settings).and_then(|its| Ok(its.driver(&here)?)),
                Service::Database => typed::<database::Settings>(&settings).map(|its| database(its, &here)),
                Service::Replication => typed::<replication::Settings>(&settings)
                    .and_then(|its| replication(host, settings.group, its, &here)),
                Service::Process => {
                    typed::<process::Settings>(&settings).and_then(|its| Ok(process(its, &here)?))
                }
            };
            match built {
                Ok(driver) => served.push(Served {
                    service,
                    resource: settings.resource.clone(),
                    group: settings.group.cloned(),
                    driver,
                }),
                Err(Unfit::Itself(problem)) => {
                    let message = problem.detail.clone().unwrap_or_else(|| problem.title.clone());
                    let found = settings.document.error(settings.pointer, problem.code.as_str(), message);
                    wrong.append(Diagnostics::from(found));
                }
                Err(Unfit::Placed(diagnostics)) => wrong.append(diagnostics),
            }
        }
    }
    wrong.or(served)
}

/// Why a resource has no driver.
enum Unfit {
    /// Its settings, as a whole.
    Itself(Box<Problem>),
    /// With its own places: a line of its settings, or of those of another resource that it needs, which sorting leaves once.
    Placed(Diagnostics),
}

impl From<Problem> for Unfit {
    fn from(problem: Problem) -> Unfit {
        Unfit::Itself(Box::new(problem))
    }
}

fn typed<T: DeserializeOwned>(settings: &config::Settings<'_>) -> Result<T, Unfit> {
    settings.located.typed(settings.document.path()).map_err(Unfit::Placed)
}

fn database(settings: database::Settings, here: &Here<'_>) -> Arc<dyn Driver> {
    let place = database::Place {
        site: here.site.clone(),
        resource: here.resource.clone(),
        folder: here.folder.clone(),
        state: here.state.to_owned(),
        life: here.life.clone(),
    };
    match settings {
        database::Settings::Postgres(its) => {
            Arc::new(database::postgres::PostgresAccess::new(its, &place, here.guard.clone()))
        }
        database::Settings::Exec(its) => {
            Arc::new(database::scripts::ScriptAccess::new(its, place, here.guard.clone()))
        }
        database::Settings::Memory(its) => {
            if let Some(access) = its.access
                && here.world.state(&here.in_memory()).is_null()
            {
                here.world.set(&here.in_memory(), serde_json::json!(access));
            }
            let model = database::memory::MemoryAccess;
            Arc::new(MemoryDriver::new(here.world.clone(), here.in_memory(), model))
        }
    }
}

fn replication(
    host: &Host,
    group: Option<&GroupId>,
    settings: replication::Settings,
    here: &Here<'_>,
) -> Result<Arc<dyn Driver>, Unfit> {
    let its = match settings {
        replication::Settings::Memory(its) => {
            let model = replication::memory::MemoryReplication { half: its.half };
            return Ok(Arc::new(MemoryDriver::new(here.world.clone(), here.in_memory(), model)));
        }
        replication::Settings::Postgres(its) => its,
    };
    let wrong = |what: String| Problem::new(schemas::Code::BadConfiguration, what);
    let own = host
        .settings(Service::Database)
        .find(|database| *database.resource == its.database)
        .ok_or_else(|| wrong(format!("this file has no database `{}`", its.database)))?;
    if own.group != group {
        let whose = own.group.map(GroupId::as_str).unwrap_or_default();
        return Err(wrong(format!("database `{}` belongs to group `{whose}`", its.database)).into());
    }
    let database::Settings::Postgres(own) = typed(&own)? else {
        return Err(wrong(format!("database `{}` is not driven by `postgres`", its.database)).into());
    };
    let own = replication::Own { dsn: own.dsn.under(&here.folder), identity: own.identity };
    let place = replication::Place {
        site: here.site.clone(),
        resource: here.resource.clone(),
        folder: here.folder.clone(),
        state: here.state.to_owned(),
        life: here.life.clone(),
    };
    Ok(Arc::new(replication::postgres::PostgresReplication::new(its, &own, &place)))
}

fn process(settings: process::Settings, here: &Here<'_>) -> Result<Arc<dyn Driver>, Problem> {
    let place = process::Place {
        site: here.site.clone(),
        resource: here.resource.clone(),
        folder: here.folder.clone(),
        state: here.state.to_owned(),
        guard: here.guard.clone(),
        world: here.world.clone(),
    };
    let tell = here.tell.clone();
    let driver = settings.driver(&place, move |returned| tell.say(&returned))?;
    Ok(Arc::from(driver))
}
