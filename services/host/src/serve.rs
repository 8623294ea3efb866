//! Serving what a host's file names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use config::Host;
use document::Diagnostics;
use exec::{Guard, Script};
use responder::expiry::Credential;
use responder::memory::World;
use responder::{Herald, Pager, Registration, ServeError, ServeOptions};
use schemas::Service;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::drivers::drivers;
use crate::returned::Tell;

/// How long one try to tell people may take.
const PAGE_WITHIN: Duration = Duration::from_secs(60);

/// Why a host's services cannot be served.
#[derive(Debug, Error)]
pub enum HostError {
    /// Something is wrong with the file.
    #[error(transparent)]
    Settings(#[from] Diagnostics),
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
    let registrations = served.into_iter().map(|s| Registration {
        service: s.service,
        resource: s.resource,
        group: s.group,
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
        credentials: bus_files(&host.bus),
        pager: host.page.clone().map(pager),
    };
    Ok(responder::serve(options, registrations.collect(), stop).await?)
}

/// The files by which a part is known on the bus, as far as they may end by a date.
#[must_use]
pub fn bus_files(bus: &config::Bus) -> Vec<Credential> {
    let tls = bus.tls.clone().unwrap_or_default();
    let mut files = Credential::pair(tls.cert, tls.ca);
    files.extend(bus.creds.clone().map(Credential::Nats));
    files
}

/// Runs the host's command with the facts as JSON on its standard input, and the text in its environment. It has told
/// people when it ends with code 0.
fn pager(program: PathBuf) -> Pager {
    Arc::new(move |facts| {
        let text = format!(
            "{}.{} is kept closed after a boot: {}; pointsman release {} --here opens it",
            facts["site"].as_str().unwrap_or_default(),
            facts["resource"].as_str().unwrap_or_default(),
            facts["why"].as_str().unwrap_or_default(),
            facts["resource"].as_str().unwrap_or_default(),
        );
        let script = Script::new(&program, PAGE_WITHIN)
            .env("POINTSMAN_NOTIFY", "kept-closed")
            .env("POINTSMAN_TEXT", text)
            .stdin(format!("{facts}\n"));
        Box::pin(async move {
            match script.run(&Guard::this_program()).await {
                Ok(ended) if ended.succeeded() => Ok(()),
                Ok(ended) => Err(ended.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
    })
}
