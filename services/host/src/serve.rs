//! Serving what a host's file names.

use std::path::PathBuf;

use async_nats::Client;
use config::Host;
use document::Diagnostics;
use exec::Guard;
use responder::memory::World;
use responder::{Herald, Registration, ServeError, ServeOptions};
use schemas::Service;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::drivers::drivers;
use crate::returned::Tell;

/// Why a host's services cannot be served.
#[derive(Debug, Error)]
pub enum HostError {
    /// Something is wrong with the file.
    #[error(transparent)]
    Settings(#[from] Diagnostics),
    /// It names several groups: which resource belongs to which is not said.
    #[error(
        "{}: several groups on one host: give each a host file of its own, with a `state` folder of its own",
        .0.display()
    )]
    Groups(PathBuf),
    /// The rehearsal's world cannot be read.
    #[error("rehearsal.json in the state folder: {0}")]
    World(std::io::Error),
    /// The services cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves the services that `only` names, or all that the file names, until `stop`.
///
/// # Errors
///
/// See [`HostError`]; nothing was changed.
pub async fn serve(
    host: &Host,
    only: &[Service],
    client: Client,
    name: &str,
    version: &str,
    stop: CancellationToken,
) -> Result<(), HostError> {
    // What `driver: memory` keeps outlives a restart, as a real server's state would.
    let world = World::in_file(host.state.join("rehearsal.json")).map_err(HostError::World)?;
    let prefix = host.bus.prefix().map_err(|error| {
        Diagnostics::from(host.document().error("/bus/prefix", "bad-configuration", error.to_string()))
    })?;
    let tell = Tell::on(Herald::new(client.clone(), prefix.clone(), name), host.site.clone());
    let served = drivers(host, only, &Guard::this_program(), &world, Uuid::new_v4(), &tell)?;
    let path = PathBuf::from(host.document().path());
    let group = match host.groups.as_slice() {
        [one] => Some(one.clone()),
        [] | [_, ..] if served.iter().all(|s| s.unclaimed) => None,
        _ => return Err(HostError::Groups(path)),
    };
    let registrations = served.into_iter().map(|s| Registration {
        service: s.service,
        resource: s.resource,
        group: if s.unclaimed { None } else { group.clone() },
        driver: s.driver,
    });
    let ledger = match only {
        [] => "services".to_owned(),
        some => some.iter().map(|s| s.as_str()).collect::<Vec<_>>().join("-"),
    };
    let options = ServeOptions {
        client,
        prefix,
        site: host.site.clone(),
        host: name.to_owned(),
        state_dir: host.state.clone(),
        ledger,
        version: version.to_owned(),
        armed_flag: host.armed_flag(),
    };
    Ok(responder::serve(options, registrations.collect(), stop).await?)
}
