//! The services of many groups in one process: the real responder, memory drivers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use database::memory::MemoryAccess;
use process::memory::MemoryProcess;
use replication::memory::MemoryReplication;
use responder::memory::{MemoryDriver, World};
use responder::{Driver, Registration, ServeOptions};
use schemas::{Half, Prefix, Service, SiteId};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::plant::{MAIN, PREFIX, SECONDARY, connect, group};

/// Serves what each of `groups` groups has, at both sites, until the process is ended.
pub(crate) async fn serve(url: &str, folder: &Path, groups: usize) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let main = site(url, folder, MAIN, groups, stop.clone());
    let secondary = site(url, folder, SECONDARY, groups, stop.clone());
    tokio::try_join!(main, secondary)?;
    Ok(())
}

async fn site(
    url: &str,
    folder: &Path,
    site: &str,
    groups: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let state = folder.join(site);
    std::fs::create_dir_all(&state)?;
    let armed = state.join("armed");
    std::fs::write(&armed, "")?;
    let options = ServeOptions {
        client: connect(url).await?,
        prefix: Prefix::new(PREFIX)?,
        site: site.parse::<SiteId>()?,
        host: format!("bench-{site}"),
        state_dir: state,
        ledger: "services".into(),
        version: "0.1.0".into(),
        armed_flag: armed,
        credentials: Vec::new(),
        pager: None,
    };
    let (world, mut registrations) = (World::new(), Vec::new());
    for number in 0..groups {
        for (service, name, driver) in resources(&world, site == MAIN, number) {
            let group = Some(group(number).parse()?);
            registrations.push(Registration { service, resource: name.parse()?, group, driver });
        }
    }
    responder::serve(options, registrations, stop).await.context("serve")
}

/// One group's at one site; which names they have is said by its file ([`crate::plant::group_file`]).
fn resources(world: &World, live: bool, number: usize) -> [(Service, String, Arc<dyn Driver>); 4] {
    let [database, there, back, process] = ["d", "r", "s", "p"].map(|letter| format!("{letter}{number}"));
    world.set(&database, json!(if live { "open" } else { "closed" }));
    // A planned move towards a replication that does not run is refused.
    world.set(&there, if live { json!({ "slot": true }) } else { json!({ "enabled": true }) });
    let half = |source: bool| MemoryReplication { half: if source { Half::Source } else { Half::Receiver } };
    let access = MemoryDriver::new(world.clone(), database.clone(), MemoryAccess);
    let forward = MemoryDriver::new(world.clone(), there.clone(), half(live));
    let reverse = MemoryDriver::new(world.clone(), back.clone(), half(!live));
    let service = MemoryProcess::service(world.clone(), process.clone(), None, BTreeSet::new());
    [
        (Service::Database, database, Arc::new(access)),
        (Service::Replication, there, Arc::new(forward)),
        (Service::Replication, back, Arc::new(reverse)),
        (Service::Process, process, Arc::new(service)),
    ]
}
