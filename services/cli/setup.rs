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
        if let Some((name, input)) = input(&host, &settings, role)? {
            texts.push((name, sql(&input)));
        }
    }
    match (texts.is_empty(), database) {
        (false, _) => out.raw(&script(&texts)?),
        (true, Some(name)) => {
            return Err(Usage(format!("this host's file has no PostgreSQL database `{name}`")).into());
        }
        (true, None) => return Err(Usage("this host's file names no PostgreSQL database".to_owned()).into()),
    }
    Ok(Exit::Done)
}

/// One text for all; where there are several, each goes to its own database.
fn script(texts: &[(Option<String>, String)]) -> Result<String, Usage> {
    if let [(_, text)] = texts {
        return Ok(text.clone());
    }
    let parts = texts.iter().map(|(name, text)| {
        let name = name.as_ref().ok_or_else(|| {
            let why = "several databases, and a `dsn` file that cannot be read or names no database: say `--database \
                       RESOURCE`, once for each";
            Usage(why.to_owned())
        })?;
        Ok(format!("\\connect {}\n{text}", postgres::identifier(name)))
    });
    Ok(parts.collect::<Result<Vec<_>, Usage>>()?.join("\n"))
}

/// What is needed for one database, and its name where its `dsn` file says it; nothing for another driver's.
fn input(
    host: &Host,
    settings: &Settings<'_>,
    role: &str,
) -> Result<Option<(Option<String>, SetupInput)>, Diagnostics> {
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
    let name = postgres::database_of(&own.dsn.under(&host.resolve("")))
        .filter(|name| !name.contains(char::is_control));
    let input = SetupInput {
        role: role.to_owned(),
        site: host.site.to_string(),
        resource: settings.resource.to_string(),
        database: name.clone().unwrap_or_else(|| "DATABASE".to_owned()),
        writers: own.writers,
        access: own.access,
        schemas: own.schemas,
        receivers,
        publications,
    };
    Ok(Some((name, input)))
}
