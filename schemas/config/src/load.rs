//! From files to groups and hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use document::{Diagnostic, Diagnostics, Document, MAX_BYTES};
use schemas::{GroupId, ResourceId, Service};

use crate::file::{DefaultsFile, GroupFile};
use crate::group::Group;
use crate::host::{Entry, Host, HostFile};
use crate::merge::{Files, over};
use crate::{check, codes};

/// The name of the file that stands beside the groups' folder.
pub const DEFAULTS: &str = "defaults.yaml";

/// At most so many groups are read from one folder.
const GROUPS_MAX: usize = 1000;

/// Reads every group of a folder (`*.yaml`, `*.yml`, `*.json`, no hidden files) over the
/// `defaults.yaml` beside that folder, in the order of `order` and name.
///
/// # Errors
///
/// Everything that is wrong with any of the files: nothing of the folder is used then. Also when
/// two groups claim one resource, one name of the DNS, or have the same name.
pub fn load_groups(folder: &Path) -> Result<Vec<Group>, Diagnostics> {
    let defaults = load_defaults(folder)?;
    let mut found = Diagnostics::default();
    let mut groups: Vec<(Group, Document)> = Vec::new();
    for path in group_files(folder)? {
        match read(&path)
            .and_then(|document| group_over(&document, defaults.as_ref()).map(|group| (group, document)))
        {
            Ok(read) => groups.push(read),
            Err(wrong) => found.append(wrong),
        }
    }
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (group, document) in &groups {
        if let Some(first) = names.insert(group.name.as_str(), &group.path) {
            let message = format!("group `{}` is already in {first}", group.name);
            found.push(document.error("/group", codes::TWICE, message));
        }
    }
    found.append(check::double_claims(groups.iter().map(|(group, document)| (group, document))));
    let mut groups: Vec<Group> = groups.into_iter().map(|(group, _)| group).collect();
    groups.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    found.or(groups)
}

/// Reads one group's file, over the `defaults.yaml` beside its folder.
///
/// # Errors
///
/// Everything that is wrong with the two files.
pub fn load_group(path: &Path) -> Result<Group, Diagnostics> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let defaults = load_defaults(folder)?;
    group_over(&read(path)?, defaults.as_ref())
}

/// Reads a group from texts; the paths are for messages.
///
/// # Errors
///
/// Everything that is wrong with them.
pub fn parse_group(text: &str, path: &str, defaults: Option<(&str, &str)>) -> Result<Group, Diagnostics> {
    let defaults = defaults.map(|(text, path)| parse_defaults(Document::parse(text, path)?)).transpose()?;
    group_over(&Document::parse(text, path)?, defaults.as_ref())
}

/// Reads a host's file; relative paths in it start at its folder.
///
/// # Errors
///
/// Everything that is wrong with it. The drivers' settings are not looked at.
pub fn load_host(path: &Path) -> Result<Host, Diagnostics> {
    if matches!(path.try_exists(), Ok(false)) {
        let message = "this host's file is not there: `pointsman init`, or `--config FILE`";
        return Err(unreadable(path, message.to_owned()));
    }
    host(read(path)?, folder_of(path))
}

/// Where relative paths of a file start, wherever scripts run: also of a file that is named by a relative path itself.
fn folder_of(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    whole.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// Reads a host's file from a text; relative paths in it start at `folder`.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn parse_host(text: &str, path: &str, folder: impl Into<PathBuf>) -> Result<Host, Diagnostics> {
    host(Document::parse(text, path)?, folder.into())
}

fn unreadable(path: &Path, message: String) -> Diagnostics {
    Diagnostic {
        code: codes::UNREADABLE.to_owned(),
        message,
        path: path.display().to_string(),
        place: None,
        help: None,
    }
    .into()
}

fn read(path: &Path) -> Result<Document, Diagnostics> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(path, format!("not text in UTF-8: {}", error.utf8_error())))?;
    Document::parse(&text, &path.display().to_string())
}

fn load_defaults(folder: &Path) -> Result<Option<Document>, Diagnostics> {
    let path = folder.parent().unwrap_or(Path::new("")).join(DEFAULTS);
    if path.exists() { parse_defaults(read(&path)?).map(Some) } else { Ok(None) }
}

fn parse_defaults(document: Document) -> Result<Document, Diagnostics> {
    document.typed::<DefaultsFile>()?;
    Ok(document)
}

fn group_files(folder: &Path) -> Result<BTreeSet<PathBuf>, Diagnostics> {
    let listed = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error.to_string()))?;
    let mut files = BTreeSet::new();
    for entry in listed {
        let path = entry.map_err(|error| unreadable(folder, error.to_string()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if ours && !name.starts_with('.') && name != DEFAULTS {
            files.insert(path);
        }
    }
    if files.len() > GROUPS_MAX {
        return Err(unreadable(folder, format!("{} groups; at most {GROUPS_MAX} are read", files.len())));
    }
    if files.is_empty() {
        return Err(unreadable(folder, "no group's file (*.yaml) in it".to_owned()));
    }
    Ok(files)
}

fn group_over(document: &Document, defaults: Option<&Document>) -> Result<Group, Diagnostics> {
    let own = document.root();
    // First alone, so that errors of shape stand where they were made; the defaults were read so too.
    document.typed::<GroupFile>()?;
    let merged = defaults.map_or_else(|| own.clone(), |defaults| over(defaults.root(), own));
    let file: GroupFile = merged.typed(document.path())?;
    let group = Group {
        path: document.path().to_owned(),
        name: file.group,
        order: file.order,
        sites: file.sites,
        databases: file.databases,
        live_only: file.live_only,
        everywhere: file.everywhere,
        names: file.names,
        clients: file.clients,
        trigger: file.trigger,
        fence: file.fence,
        loss: file.loss,
        drain: file.drain,
        reverse: file.reverse,
        resume: file.resume,
        approval: file.approval,
        target: file.target,
        notify: file.notify,
    };
    check::group(&group, &Files { group: document, defaults }).or(group)
}

fn host(document: Document, folder: PathBuf) -> Result<Host, Diagnostics> {
    let file: HostFile = document.typed()?;
    let mut found = check_bus(&document, &file);
    let mut settings = BTreeMap::new();
    let services = [
        (Service::Database, &file.database),
        (Service::Replication, &file.replication),
        (Service::Process, &file.process),
        (Service::Dns, &file.dns),
    ];
    for (service, resources) in services {
        for (resource, value) in resources {
            let pointer = format!("/{service}/{resource}");
            if !value.is_object() {
                let message = format!("{service} `{resource}` needs its driver's settings, a mapping");
                found.push(document.error(&pointer, codes::VALUE, message));
                continue;
            }
            let group = group_of(&document, &file.groups, service, &pointer, &mut found);
            let Some(located) = document.root().at(&pointer) else { continue };
            let located = located.without("group");
            settings.insert(
                (service, resource.clone()) as (Service, ResourceId),
                Entry { pointer, group, located },
            );
        }
    }
    let state = folder.join(&file.state);
    let runner = file.runner.map(|runner| crate::RunnerSettings {
        journal: folder.join(runner.journal),
        groups: folder.join(runner.groups),
        definitions: runner.definitions.map(|path| folder.join(path)),
    });
    let mut bus = file.bus;
    for path in [&mut bus.creds, &mut bus.nkey].into_iter().flatten() {
        *path = folder.join(&*path);
    }
    if let Some(tls) = &mut bus.tls {
        for path in [&mut tls.ca, &mut tls.cert, &mut tls.key].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }
    let page = file.page.map(|page| folder.join(page));
    let (site, groups) = (file.site, file.groups);
    let host = Host { site, groups, bus, state, page, runner, document, folder, settings };
    found.or(host)
}

/// The group that claims a resource: its own `group:`, or the only one of the file. Clients of names have none.
fn group_of(
    document: &Document,
    groups: &[GroupId],
    service: Service,
    pointer: &str,
    found: &mut Diagnostics,
) -> Option<GroupId> {
    let own = format!("{pointer}/group");
    let written = document.root().at(&own);
    let client = service == Service::Dns && document.root().at(&format!("{pointer}/client")).is_some();
    let named =
        written.and_then(|written| groups.iter().find(|group| written.as_str() == Some(group.as_str())));
    let (at, wrong) = match (written, groups) {
        (None, _) if client => return None,
        (Some(_), _) if client => (own.as_str(), "a client of names belongs to no group"),
        (Some(_), _) if named.is_some() => return named.cloned(),
        (Some(_), _) => (own.as_str(), "no group that `groups` at the top of this file names"),
        (None, [one]) => return Some(one.clone()),
        (None, []) => (pointer, "whose is it? Name its group at the top of the file: `groups: [NAME]`"),
        (None, _) => (pointer, "`groups` names several: say which one's it is, `group: NAME`"),
    };
    found.push(document.error(at, codes::VALUE, wrong));
    None
}

fn check_bus(document: &Document, file: &HostFile) -> Diagnostics {
    let mut found = Diagnostics::default();
    let bus = &file.bus;
    if let Err(error) = bus.prefix() {
        found.push(document.error("/bus/prefix", codes::VALUE, error.to_string()));
    }
    if bus.servers.is_empty() {
        found.push(document.error("/bus/servers", codes::VALUE, "at least one server"));
    }
    for (i, server) in bus.servers.iter().enumerate() {
        let rest = ["nats://", "tls://"].iter().find_map(|scheme| server.strip_prefix(scheme));
        let pointer = format!("/bus/servers/{i}");
        match rest {
            Some(rest) if rest.contains('@') => {
                let message = "secrets stand in files: use `creds` or `nkey`, not the address";
                found.push(document.error(&pointer, codes::VALUE, message));
            }
            Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => {}
            _ => {
                let message =
                    format!("`{server}` is not a server such as tls://host:4222 or nats://host:4222");
                found.push(document.error(&pointer, codes::VALUE, message));
            }
        }
    }
    if bus.creds.is_some() && bus.nkey.is_some() {
        found.push(document.key_error("/bus/nkey", codes::VALUE, "either `creds` or `nkey`, not both"));
    }
    if let Some(tls) = &bus.tls
        && tls.cert.is_some() != tls.key.is_some()
    {
        found.push(document.error("/bus/tls", codes::VALUE, "`cert` and `key` go together"));
    }
    found
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn paths_start_at_the_files_folder_however_the_file_is_named() {
        let here = std::env::current_dir().unwrap();
        for (file, folder) in [("host.yaml", ""), ("deploy/host.yaml", "deploy"), ("/etc/host.yaml", "/etc")]
        {
            // What is absolute already stays so.
            assert_eq!(folder_of(Path::new(file)), here.join(folder), "{file}");
        }
    }
}
