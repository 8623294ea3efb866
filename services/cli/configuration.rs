//! Checking the configuration.

mod programs;

use std::path::Path;

use chrono::Utc;
use config::{AskOr, Group, Host, RefusedOr, json_schema, load_groups, load_host};
use document::Diagnostics;
use schemas::{Address, ResourceId, Service, SiteId};
use serde_json::json;

use crate::args::{Config, ConfigAsk};
use crate::exit::Exit;
use crate::output::Output;
use crate::{parts, reload, secrets};

/// `config`; 2 when a file is not valid, 8 when one is valid and something in it has run out.
pub(crate) fn run(ask: &Config, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    match &ask.ask {
        ConfigAsk::Schema { file } => {
            let schema = json_schema(file).unwrap_or_default();
            out.raw(&format!("{}\n", serde_json::to_string_pretty(&schema)?));
            Ok(Exit::Done)
        }
        ConfigAsk::Check { groups } => check(host, groups.as_deref(), out),
        ConfigAsk::Diff => crate::runtime()?.block_on(reload::diff(host, out)),
        ConfigAsk::Reload { why } => crate::runtime()?.block_on(reload::reload(&why.why, host, out)),
    }
}

fn check(host: &Path, folder: Option<&Path>, out: &Output) -> anyhow::Result<Exit> {
    let mut found = Diagnostics::default();
    let host = match load_host(host) {
        Ok(host) => Some(host),
        // A folder that is named is enough: groups are also checked where no host's file is.
        Err(_) if folder.is_some() && !host.exists() => None,
        Err(wrong) => {
            found.append(wrong);
            None
        }
    };
    if let Some(host) = &host {
        found.append(parts::check(host));
    }
    let of_host = host.as_ref().and_then(|host| host.runner.as_ref()).map(|runner| runner.groups.as_path());
    let groups = match folder.or(of_host).map(load_groups) {
        None => Vec::new(),
        Some(Ok(groups)) => groups,
        Some(Err(wrong)) => {
            found.append(wrong);
            Vec::new()
        }
    };
    if !found.is_empty() {
        return Err(found.into());
    }
    let mut warnings: Vec<String> = groups.iter().flat_map(expired).collect();
    warnings.extend(host.iter().flat_map(secrets::readable));
    warnings.extend(host.iter().flat_map(secrets::missing));
    warnings.extend(host.iter().flat_map(unwritten));
    warnings.extend(host.iter().filter_map(programs::pager));
    warnings.extend(host.iter().flat_map(programs::of_host));
    warnings.extend(host.iter().flat_map(|host| unchecked(host, &groups)));
    if let Some(host) = host.as_ref().filter(|host| host.runner.is_some()) {
        let definitions = parts::definitions(host)?;
        warnings.extend(groups.iter().filter_map(|group| unknown_workflow(group, &definitions)));
    }
    warnings.extend(groups.iter().filter_map(misnamed));
    warnings.extend(host.iter().flat_map(|host| unknown_groups(host, &groups)));
    warnings.extend(host.iter().flat_map(|host| unknown_sites(host, &groups)));
    warnings.extend(host.iter().flat_map(|host| unclaimed(host, &groups)));
    warnings.extend(groups.iter().flat_map(|group| strangers(group, host.as_ref())));
    if host.as_ref().is_some_and(|host| host.runner.is_some()) {
        warnings.extend(groups.iter().flat_map(programs::of_group));
    }
    summary(host.as_ref(), &groups, out);
    for warning in &warnings {
        out.line(format!("{} {warning}", out.warn("warning:")));
    }
    out.value(&json!({
        "host": host.as_ref().map(|host| host.site.to_string()),
        "groups": groups.iter().map(|group| group.name.to_string()).collect::<Vec<_>>(),
        "warnings": warnings,
    }));
    Ok(if warnings.is_empty() { Exit::Done } else { Exit::NotNormal })
}

/// Standing acceptances that no longer count.
fn expired(group: &Group) -> Vec<String> {
    let standing = group.fence.standing().map(|acceptance| ("fence.unproved", acceptance));
    let prober = match &group.trigger.one_prober {
        RefusedOr::Accepted(acceptance) => Some(("trigger.one_prober", acceptance)),
        RefusedOr::Refused => None,
    };
    let now = Utc::now();
    standing
        .into_iter()
        .chain(prober)
        .filter(|(_, acceptance)| !acceptance.counts_at(now))
        .map(|(key, acceptance)| {
            format!(
                "{}: what {} accepted in {key} ended on {}",
                group.path, acceptance.accepted_by, acceptance.until
            )
        })
        .collect()
}

/// Places that are named and are neither a site of the group, nor the witness, nor where this host is.
fn strangers(group: &Group, host: Option<&Host>) -> Vec<String> {
    let known = |site: &SiteId| {
        group.sites.contains(site)
            || site.as_str() == "witness"
            || host.is_some_and(|host| host.site == *site)
    };
    let records =
        group.names.records.iter().map(|(name, record)| (format!("names.records.{name}"), &record.at));
    let clients = group.clients.hosts.iter().chain(&group.clients.caches);
    let clients = clients.map(|client| (format!("clients, {}", client.host), &client.site));
    records
        .chain(clients)
        .filter(|(_, site)| !known(site))
        .map(|(key, site)| {
            format!("{}: {key}: `{site}` is no site of the group and not `witness`", group.path)
        })
        .collect()
}

/// A file that is called otherwise than its group.
fn misnamed(group: &Group) -> Option<String> {
    let stem = Path::new(&group.path).file_stem()?.to_str()?;
    (stem != group.name.as_str())
        .then(|| format!("{}: its group is `{}`: call the file as the group", group.path, group.name))
}

/// Groups that the host's file names, and that no file of this runner has.
fn unknown_groups(host: &Host, groups: &[Group]) -> Vec<String> {
    let path = host.document().path();
    let unknown = |name: &schemas::GroupId| !groups.iter().any(|group| group.name == *name);
    let listed = host.groups.iter().filter(|name| host.runner.is_some() && unknown(name));
    listed.map(|name| format!("{path}: groups: there is no file for the group `{name}`")).collect()
}

/// Keys of names and of scripts that repoint which are no site of a group; asked only where the groups are known.
fn unknown_sites(host: &Host, groups: &[Group]) -> Vec<String> {
    if groups.is_empty() {
        return Vec::new();
    }
    // A server of the DNS may stand at a third place.
    let third = |key: &str, site: &str| key == "verify" && (site == "witness" || site == host.site.as_str());
    let mut found = Vec::new();
    for (service, key) in
        [(Service::Dns, "addresses"), (Service::Dns, "verify"), (Service::Process, "repoint")]
    {
        for settings in host.settings(service) {
            let (path, name) = (settings.document.path(), settings.resource);
            let its = |group: &&Group| settings.group == Some(&group.name);
            let sites: Vec<&str> =
                groups.iter().filter(its).flat_map(|group| &group.sites).map(SiteId::as_str).collect();
            if sites.is_empty() {
                continue;
            }
            for (site, _) in settings.located.get(key).map(document::Located::entries).unwrap_or_default() {
                let (text, line) = (site.name.as_str(), site.line);
                if !sites.contains(&text) && !third(key, text) {
                    found.push(format!(
                        "{path}:{line}: {service}.{name}: {key}: `{text}` is no site of a group"
                    ));
                }
            }
        }
    }
    found
}

/// Resources of a group whose file does not name them: no move would ever ask them.
fn unclaimed(host: &Host, groups: &[Group]) -> Vec<String> {
    let mut found = Vec::new();
    for settings in Service::ALL.iter().flat_map(|service| host.settings(*service)) {
        let Some(group) = groups.iter().find(|group| settings.group == Some(&group.name)) else { continue };
        let (service, resource) = (settings.service, settings.resource.clone());
        let own = Address { site: host.site.clone(), service, resource };
        if !group.claims().any(|(address, _)| address == own) {
            let (path, line) = (settings.document.path(), settings.located.line);
            let (name, file) = (settings.resource, &group.path);
            found.push(format!("{path}:{line}: {service}.{name}: {file} names none at `{}`", host.site));
        }
    }
    found
}

/// Databases without a role that writes: a close of them closes nobody.
fn unwritten(host: &Host) -> Vec<String> {
    let databases = host.settings(Service::Database);
    let empty = databases.filter(|settings| {
        let writers = settings.located.get("writers");
        writers.is_some_and(|writers| writers.to_value().as_array().is_some_and(Vec::is_empty))
    });
    empty
        .map(|settings| {
            let (path, name) = (settings.document.path(), settings.resource);
            format!("{path}: database.{name}: `writers` is empty: closing it would keep nobody from writing")
        })
        .collect()
}

/// Programs that must not run at two sites, and of which nothing proves that they do not.
fn unchecked(host: &Host, groups: &[Group]) -> Vec<String> {
    let dormant = |name: &ResourceId| {
        groups.iter().any(|group| group.sites.contains(&host.site) && group.live_only.contains(name))
    };
    let scripts = host.settings(Service::Process).filter(|settings| {
        let written = |key| settings.located.get(key);
        written("driver").and_then(|driver| driver.as_str()) == Some("exec") && written("check").is_none()
    });
    let line = |settings: config::Settings<'_>| {
        let (path, name) = (settings.document.path(), settings.resource);
        format!(
            "{path}: process.{name}: no `check` script: it may run although nobody answers its health gate"
        )
    };
    scripts.filter(|settings| dormant(settings.resource)).map(line).collect()
}

/// A trigger that would start what is not there.
fn unknown_workflow(group: &Group, definitions: &[runner::DefinitionText]) -> Option<String> {
    let run = &group.trigger.run;
    let names: Vec<String> = definitions.iter().filter_map(parts::name_of).collect();
    let known = names.iter().any(|name| name == run);
    let names = names.join(", ");
    (!known).then(|| format!("{}: trigger.run: there is no workflow `{run}`: {names}", group.path))
}

fn summary(host: Option<&Host>, groups: &[Group], out: &Output) {
    if let Some(host) = host {
        let services: Vec<String> = host
            .services()
            .map(|service| format!("{service} ({})", host.settings(service).count()))
            .collect();
        let services = if services.is_empty() { "no services".to_owned() } else { services.join(", ") };
        out.line(format!("{}: site {}, {services}", host.document().path(), host.site));
    }
    for group in groups {
        let [a, b] = group.sites.each_ref().map(SiteId::as_str);
        let fence = match &group.fence.unproved {
            AskOr::Ask => "asks when a close is not proved".to_owned(),
            AskOr::Accepted(by) => format!("goes on without proof ({}, until {})", by.accepted_by, by.until),
        };
        let mode = crate::text::word(group.trigger.mode);
        out.line(format!(
            "{}: group {} between {a} and {b}, {} resources, trigger {mode}, {fence}",
            group.path,
            group.name,
            group.resources().len()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::strangers;

    #[test]
    fn a_place_that_is_neither_site_nor_witness_is_named() {
        let text = "version: 1\ngroup: cfg\nsites: [main, secondary]\nnames: { records: { a: { name: a.example.net, at: moon }, \
                    b: { name: b.example.net, at: witness } } }\nclients: { hosts: [ { host: s1app, site: mian } ], caches: [] }\n";
        let group = config::parse_group(text, "cfg.yaml", None).unwrap_or_else(|error| panic!("{error}"));
        let found = strangers(&group, None).join("; ");
        assert!(found.contains("names.records.a: `moon`") && found.contains("s1app: `mian`"), "{found}");
        assert!(!found.contains("witness` is no"), "{found}");
    }
}
