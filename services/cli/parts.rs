//! The parts that stay: the runner, and the services of this host.

use std::path::Path;

use config::Host;
use document::Diagnostics;
use schemas::Service;

use crate::args::{Runner, Serve};
use crate::exit::Exit;

/// `runner`.
pub(crate) fn runner(_ask: &Runner, host: &Path) -> anyhow::Result<Exit> {
    let _host = config::load_host(host)?;
    anyhow::bail!("the runner is not built into this program yet")
}

/// `serve`.
pub(crate) fn serve(ask: &Serve, host: &Path) -> anyhow::Result<Exit> {
    let host = config::load_host(host)?;
    let wrong = check(&host);
    if !wrong.is_empty() {
        return Err(wrong.into());
    }
    let _ = &ask.services;
    anyhow::bail!("the services are not built into this program yet")
}

/// What is wrong with the drivers' settings, each read by its service's own types.
pub(crate) fn check(host: &Host) -> Diagnostics {
    let mut found = Diagnostics::default();
    for settings in host.settings(Service::Database) {
        if let Err(wrong) = settings.located.typed::<database::Settings>(settings.document.path()) {
            found.append(wrong);
        }
    }
    found.sort();
    found
}
