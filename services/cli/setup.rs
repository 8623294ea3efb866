//! What a DBA installs once: printed, never run.

use std::path::Path;

use config::{Host, Settings};
use document::Diagnostics;
use postgres::setup::{Receiver, SetupInput, sql};
use schemas::{ResourceId, Service};

use crate::args::{Setup, SetupAsk};
use crate::exit::{Exit, Usage};
use crate::output::Output;

/// `setup`.
pub(crate) fn run(ask: &Setup, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    let SetupAsk::Postgres { print: _, database, role } = &ask.ask;
    let host = config::load_host(host)?;
    let mut texts = Vec::new();
    for settings in host.settings(Service::Database) {
        if database.as_ref().is_some_and(|wanted| wanted != settings.resource) {
            continue;
        }
        if let Some(input) = input(&host, &settings, role)? {
            texts.push(sql(&input));
        }
    }
    match (texts.is_empty(), database) {
        (false, _) => out.raw(&texts.join("\n")),
        (true, Some(name)) => {
            return Err(Usage(format!("this host's file has no PostgreSQL database `{name}`")).into());
        }
        (true, None) => return Err(Usage("this host's file names no PostgreSQL database".to_owned()).into()),
    }
    Ok(Exit::Done)
}

/// What is needed for one database; nothing for another driver's.
fn input(host: &Host, settings: &Settings<'_>, role: &str) -> Result<Option<SetupInput>, Diagnostics> {
    let path = settings.document.path();
    let database::Settings::Postgres(own) = settings.located.typed::<database::Settings>(path)? else {
        return Ok(None);
    };
    let mut receivers = Vec::new();
    let mut publications = Vec::new();
    for replication in host.settings(Service::Replication).filter(|r| belongs(r, settings.resource)) {
        let text =
            |key: &str| replication.located.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        match (text("subscription"), text("publication"), text("slot")) {
            // The receiving half names its subscription; publication and slot are the source's.
            (Some(subscription), publication, slot) => receivers.push(Receiver {
                publication: publication.unwrap_or_default(),
                slot: slot.unwrap_or_else(|| subscription.clone()),
                subscription,
            }),
            (None, Some(publication), _) => publications.push(publication),
            _ => {}
        }
    }
    publications.sort();
    publications.dedup();
    Ok(Some(SetupInput {
        role: role.to_owned(),
        site: host.site.to_string(),
        resource: settings.resource.to_string(),
        database: String::new(),
        writers: own.writers,
        access: own.access,
        schemas: own.schemas,
        receivers,
        publications,
    }))
}

fn belongs(replication: &Settings<'_>, database: &ResourceId) -> bool {
    replication.located.get("database").and_then(|value| value.as_str()) == Some(database.as_str())
}
