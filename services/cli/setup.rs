//! What a DBA installs once: printed, never run.

use std::path::Path;

use config::{Host, Settings};
use document::Diagnostics;
use postgres::setup::{SetupInput, sql};
use schemas::Service;

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
    let mut halves = Vec::new();
    for its in host.settings(Service::Replication) {
        match its.located.typed::<replication::Settings>(path)? {
            replication::Settings::Postgres(its) if its.database == *settings.resource => {
                halves.push(its.half)
            }
            _ => {}
        }
    }
    let (receivers, publications) = replication::set_up(halves.iter());
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
