//! Scripts and programs that files name, and that are not there, or cannot be run, on this host.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use config::{Group, Host, Settings};
use document::Located;
use schemas::Service;

/// Keys of a resource that name one script.
const SCRIPTS: [&str; 11] =
    ["start", "stop", "check", "close", "open", "write", "pointed", "flush", "resolve", "push", "unpush"];
/// Keys of a resource that name one for each site.
const FOR_SITES: [&str; 2] = ["repoint", "point"];

/// A warning for each script of a host's file that cannot be run.
pub(super) fn of_host(host: &Host) -> Vec<String> {
    let all = Service::ALL.iter().flat_map(|service| host.settings(*service));
    all.flat_map(|settings| of_resource(host, &settings)).collect()
}

fn of_resource(host: &Host, settings: &Settings<'_>) -> Vec<String> {
    let its = settings.located;
    let written = |of: &Located, key: &str| of.get(key).and_then(Located::as_str).map(str::to_owned);
    let mut named: Vec<(String, String)> = Vec::new();
    let by_script = ["driver", "client"].iter().any(|key| written(its, key).as_deref() == Some("exec"));
    let hosts = ["push", "unpush", "repoint", "pointed", "resolve"];
    for key in SCRIPTS.into_iter().filter(|key| by_script || hosts.contains(key)) {
        named.extend(written(its, key).map(|script| (key.to_owned(), script)));
    }
    for key in FOR_SITES.into_iter().filter(|key| by_script || hosts.contains(key)) {
        for (site, script) in its.get(key).map(Located::entries).unwrap_or_default() {
            named.extend(script.as_str().map(|script| (format!("{key}.{}", site.name), script.to_owned())));
        }
    }
    for (outer, inner) in [("boot", "closed"), ("health", "command")] {
        let script = its.get(outer).and_then(|of| written(of, inner));
        named.extend(script.map(|script| (format!("{outer}.{inner}"), script)));
    }
    let lacks = |(key, script): (String, String)| {
        let script = host.resolve(script);
        let (path, line) = (settings.document.path(), its.line);
        let (service, name) = (settings.service, settings.resource);
        (!is_program(&script)).then(|| {
            format!(
                "{path}:{line}: {service}.{name}: {key}: {} is not there, or no program",
                script.display()
            )
        })
    };
    named.into_iter().filter_map(lacks).collect()
}

/// A pager that cannot be run.
pub(super) fn pager(host: &Host) -> Option<String> {
    let page = host.page.as_ref().filter(|page| !is_program(page))?;
    Some(format!("{}: page: {} is not there, or no program", host.document().path(), page.display()))
}

/// Commands that tell people and cannot be run here, where the runner runs.
pub(super) fn of_group(group: &Group) -> Vec<String> {
    let notify = &group.notify;
    [("held", &notify.held), ("failed", &notify.failed), ("completed", &notify.completed)]
        .into_iter()
        .filter_map(|(key, command)| {
            let command = command.as_ref()?;
            let runs = is_program(command);
            let command = command.display();
            (!runs).then(|| format!("{}: notify.{key}: {command} is not there, or no program", group.path))
        })
        .collect()
}

fn is_program(path: &Path) -> bool {
    let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
    found.is_some_and(|found| found.permissions().mode() & 0o111 != 0)
}
