//! The operator's scripts of the lab: start, stop and check of each process, flush and look-up of each
//! client host and cache. Pointsman runs them; so does the lab itself on its first day, as a person would.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::logging;
use super::plan::{LOG_SERVER, Logging, NAMES, PROCESSES, PROXIES, Plan, ProcessPlan, Site};
use crate::tools::in_path;

/// In the environment of each process that the lab's scripts start: the lab's folder.
pub const LAB: &str = "POINTSMAN_LAB";
/// The host of that process.
pub const HOST: &str = "POINTSMAN_LAB_HOST";
/// The process, as `site/name`.
const PROCESS: &str = "POINTSMAN_LAB_PROCESS";

/// Where the servers are that the processes need.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The sites' recursive caches, and the files with which `rndc` reaches them.
    pub caches: [(SocketAddr, PathBuf); 2],
    /// Connection strings of the sites' configuration databases, as the master.
    pub config: [String; 2],
    /// Connection strings of the sites' log databases, as the log's message server.
    pub log: [String; 2],
}

/// Writes them all.
///
/// # Errors
///
/// Those of the file system; when `lab-standin` is not built.
pub fn write(plan: &Plan, standin: &Path, servers: &Servers) -> anyhow::Result<()> {
    for folder in ["run", "log", "users"] {
        fs::create_dir_all(plan.path(folder))?;
    }
    for site in Site::ALL {
        for process in plan.processes() {
            let elsewhere = process.name == LOG_SERVER && plan.logging == Logging::Main;
            let (before, words) = match elsewhere {
                true => logging::start(plan, site, process, &servers.log),
                false => (String::new(), quoted(&words(plan, site, process, servers)?)),
            };
            if elsewhere {
                logging::write(plan, site, process)?;
            }
            for (what, body) in [
                ("check", check(plan, site, process)),
                ("start", start(plan, site, process, standin, (before.as_str(), words.as_str()))),
                ("stop", stop(plan, site, process)),
            ] {
                script(&plan.script(site, process.name, what), &body)?;
            }
        }
        script(&plan.script(site, "client", "flush"), &flush(plan, site, standin)?)?;
        script(&plan.script(site, "client", "resolve"), &resolve(plan, site, standin)?)?;
        let (push, unpush) = hosts(plan, site);
        script(&plan.script(site, "client", "push"), &push)?;
        script(&plan.script(site, "client", "unpush"), &unpush)?;
        let (_, rndc) = &servers.caches[site.index()];
        let flush = format!(
            "# Empties the cache.\nexec '{}' -c '{}' flush\n",
            in_path("rndc")?.display(),
            rndc.display()
        );
        script(&plan.script(site, "cache", "flush"), &flush)?;
    }
    Ok(())
}

/// The words of `lab-standin` for one process.
fn words(plan: &Plan, site: Site, process: &ProcessPlan, servers: &Servers) -> anyhow::Result<Vec<String>> {
    let at = plan.at(site, process).to_string();
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let dedicated = |site: Site| -> Vec<String> {
        let servers = plan.processes().into_iter().filter(|one| one.name.starts_with("scs-msg"));
        servers.flat_map(|one| ["--message".to_owned(), plan.at(site, one).to_string()]).collect()
    };
    Ok(match process.name {
        "cs-primary" | "cs-backup" => {
            let dsn = &servers.config[site.index()];
            words(&["master", "--listen", &at, "--dsn", dsn, "--holder", process.name])
        }
        LOG_SERVER => {
            let dsn = &servers.log[site.index()];
            words(&["message", "--listen", &at, "--dsn", dsn, "--site", site.name()])
        }
        "resolver" => {
            let (upstream, hosts) = (servers.caches[site.index()].0.to_string(), plan.hosts_file(site));
            let hosts = hosts.display().to_string();
            words(&["resolver", "--listen", &at, "--upstream", &upstream, "--hosts", &hosts])
        }
        "master-scs" | "master-scs-b" => {
            let mut all = words(&["control", "--listen", &at]);
            all.extend(dedicated(site));
            if process.name == "master-scs-b" {
                all.extend(words(&["--first", &plan.at_named(site, "master-scs")?.to_string()]));
            }
            for name in ["cs-primary", "cs-backup"] {
                let (at, start) = (plan.at_named(site, name)?, plan.script(site, name, "start"));
                let (at, start) = (at.to_string(), start.display().to_string());
                all.extend(words(&["--controls", &at, "--restart", &start]));
            }
            all
        }
        "site-scs" | "site-scs-b" => {
            let mut all = words(&["control", "--listen", &at]);
            all.extend(Site::ALL.into_iter().flat_map(dedicated));
            all
        }
        proxy if PROXIES.contains(&proxy) => {
            // The second of a pair loads later than the first.
            let delay = if proxy == PROXIES[0] { "0" } else { DELAY_RELOAD_MS };
            let mut all = words(&["proxy", "--listen", &at, "--delay-reload", delay]);
            all.extend(by_name(plan, &[plan.at_named(site, "resolver")?]));
            all
        }
        _ => words(&["message", "--listen", &at]),
    })
}

const DELAY_RELOAD_MS: &str = "300";

/// The words by which a user or a proxy finds the master.
#[must_use]
pub fn by_name(plan: &Plan, dns: &[SocketAddr]) -> Vec<String> {
    let port = plan.at(Site::Main, &PROCESSES[1]).port();
    let mut words = vec!["--port".into(), port.to_string()];
    for server in dns {
        words.extend(["--dns".to_owned(), server.to_string()]);
    }
    for name in NAMES {
        words.extend(["--name".to_owned(), name.to_owned()]);
    }
    words
}

/// Words for a shell.
fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

pub(super) fn pid_file(plan: &Plan, site: Site, process: &ProcessPlan) -> String {
    plan.path("run").join(format!("{}-{}.pid", site.name(), process.name)).display().to_string()
}

fn check(plan: &Plan, site: Site, process: &ProcessPlan) -> String {
    format!(
        "# Whether {name} runs at {site}: 0 yes, 1 no.\n\
         [ -e '{pid}' ] && read -r pid <'{pid}' || exit 1\n\
         # A process id may be used again: it counts only while it is this process.\n\
         grep -qxz '{PROCESS}={site}/{name}' \"/proc/$pid/environ\" 2>/dev/null || exit 1\n",
        name = process.name,
        site = site.name(),
        pid = pid_file(plan, site, process),
    )
}

fn start(
    plan: &Plan,
    site: Site,
    process: &ProcessPlan,
    standin: &Path,
    (before, words): (&str, &str),
) -> String {
    format!(
        "# Starts {name} at {site}, unless it runs.\n\
         '{check}' && exit 0\n\
         {before}export {LAB}='{folder}' {HOST}='{host}' {PROCESS}='{site}/{name}'\n\
         echo \"$(date -u +%FT%TZ) start $POINTSMAN_KEY\" >>'{log}'\n\
         setsid '{standin}' --while-locked '{lock}' {words} </dev/null >>'{log}' 2>&1 &\n\
         echo $! >'{pid}'\n",
        name = process.name,
        site = site.name(),
        check = plan.script(site, process.name, "check").display(),
        folder = plan.folder.display(),
        host = site.host(process.role),
        standin = standin.display(),
        lock = plan.lock().display(),
        log = plan.path("log").join(format!("{}-{}", site.name(), process.name)).display(),
        pid = pid_file(plan, site, process),
    )
}

fn stop(plan: &Plan, site: Site, process: &ProcessPlan) -> String {
    let check = plan.script(site, process.name, "check");
    format!(
        "# Stops {name} at {site}; returns when nothing of it is left.\n\
         '{check}' || exit 0\n\
         pid=$(cat '{pid}')\n\
         kill \"$pid\"\n\
         for try in $(seq 200); do\n\
         \x20 '{check}' || exit 0\n\
         \x20 [ \"$try\" -eq 50 ] && kill -9 \"$pid\"\n\
         \x20 sleep 0.02\n\
         done\n\
         exit 2\n",
        name = process.name,
        site = site.name(),
        check = check.display(),
        pid = pid_file(plan, site, process),
    )
}

/// The switchover script of the seed, for one host: new names, and no old connections.
fn flush(plan: &Plan, site: Site, standin: &Path) -> anyhow::Result<String> {
    Ok(format!(
        "# Empties the resolver's cache, and makes the proxies let go of masters to whom the names lead no more.\n\
         exec '{}' push {}\n",
        standin.display(),
        using(plan, site)?
    ))
}

fn resolve(plan: &Plan, site: Site, standin: &Path) -> anyhow::Result<String> {
    Ok(format!(
        "# Prints what this host resolves a name to, and whom its proxies are connected to by that name.\n\
         exec '{}' resolved {} \"$1\"\n",
        standin.display(),
        using(plan, site)?
    ))
}

/// The scripts for the hosts file of one host: lines into it, in place of all that were there; and away again.
fn hosts(plan: &Plan, site: Site) -> (String, String) {
    let file = plan.hosts_file(site).display().to_string();
    let push = format!(
        "# Writes its arguments into the hosts file of {}, a line each.\n\
         printf '%s\\n' \"$@\" >'{file}.part' && exec mv '{file}.part' '{file}'\n",
        site.name()
    );
    let unpush = format!("# Takes them away again.\nexec rm -f '{file}'\n");
    (push, unpush)
}

/// What of a host uses names.
fn using(plan: &Plan, site: Site) -> anyhow::Result<String> {
    let mut words = format!("--resolver {}", plan.at_named(site, "resolver")?);
    for proxy in PROXIES {
        words += &format!(" --proxy {}", plan.at_named(site, proxy)?);
    }
    Ok(words)
}

pub(super) fn script(path: &Path, body: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, format!("#!/bin/sh\n{body}")).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
