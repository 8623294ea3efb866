//! The operator's scripts of the lab: start, stop and check of each process, flush and look-up of each
//! client host. Pointsman runs them; so does the lab itself on its first day, as a person would.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;

use super::plan::{NAMES, PROCESSES, Plan, ProcessPlan, Site};

/// In the environment of each process that the lab's scripts start: the lab's folder.
pub const LAB: &str = "POINTSMAN_LAB";
/// The host of that process.
pub const HOST: &str = "POINTSMAN_LAB_HOST";
/// The process, as `site/name`.
const PROCESS: &str = "POINTSMAN_LAB_PROCESS";

/// Where the servers are that the processes need.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The DNS server.
    pub dns: SocketAddr,
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
        for process in &PROCESSES {
            let words = words(plan, site, process, servers);
            for (what, body) in [
                ("check", check(plan, site, process)),
                ("start", start(plan, site, process, standin, &words)),
                ("stop", stop(plan, site, process)),
            ] {
                script(&plan.script(site, process.name, what), &body)?;
            }
        }
        let proxy = plan.at_named(site, "proxy")?;
        script(&plan.script(site, "client", "flush"), &flush(standin, proxy))?;
        script(&plan.script(site, "client", "resolve"), &resolve(standin, proxy))?;
    }
    Ok(())
}

/// The words of `lab-standin` for one process.
fn words(plan: &Plan, site: Site, process: &ProcessPlan, servers: &Servers) -> Vec<String> {
    let at = plan.at(site, process).to_string();
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match process.name {
        "cs-primary" | "cs-backup" => {
            let dsn = &servers.config[site.index()];
            words(&["master", "--listen", &at, "--dsn", dsn, "--holder", process.name])
        }
        "log-msg" => words(&["message", "--listen", &at, "--dsn", &servers.log[site.index()]]),
        "proxy" => {
            let mut all = words(&["proxy", "--listen", &at]);
            all.extend(by_name(plan, servers.dns));
            all
        }
        "master-scs" => words(&["control", "--listen", &at]),
        _ => words(&["message", "--listen", &at]),
    }
}

/// The words by which a user or a proxy finds the master.
#[must_use]
pub fn by_name(plan: &Plan, dns: SocketAddr) -> Vec<String> {
    let port = plan.at(Site::Main, &PROCESSES[1]).port();
    let mut words = vec!["--dns".into(), dns.to_string(), "--port".into(), port.to_string()];
    for name in NAMES {
        words.extend(["--name".to_owned(), name.to_owned()]);
    }
    words
}

fn pid_file(plan: &Plan, site: Site, process: &ProcessPlan) -> String {
    plan.path("run").join(format!("{}-{}.pid", site.name(), process.name)).display().to_string()
}

fn check(plan: &Plan, site: Site, process: &ProcessPlan) -> String {
    format!(
        "# Whether {name} runs at {site}: 0 yes, 1 no.\n\
         pid=$(cat '{pid}' 2>/dev/null) || exit 1\n\
         # A process id may be used again: it counts only while it is this process.\n\
         tr '\\0' '\\n' 2>/dev/null <\"/proc/$pid/environ\" | grep -qx '{PROCESS}={site}/{name}' || exit 1\n",
        name = process.name,
        site = site.name(),
        pid = pid_file(plan, site, process),
    )
}

fn start(plan: &Plan, site: Site, process: &ProcessPlan, standin: &Path, words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    format!(
        "# Starts {name} at {site}, unless it runs.\n\
         '{check}' && exit 0\n\
         export {LAB}='{folder}' {HOST}='{host}' {PROCESS}='{site}/{name}'\n\
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
        words = quoted.join(" "),
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

fn flush(standin: &Path, proxy: SocketAddr) -> String {
    format!(
        "# Empties the cache of names of the proxy.\n\
         [ \"$('{}' ask {proxy} FLUSH)\" = 'OK flushed' ]\n",
        standin.display()
    )
}

fn resolve(standin: &Path, proxy: SocketAddr) -> String {
    format!(
        "# Prints what the proxy resolves a name to.\n\
         said=$('{}' ask {proxy} \"RESOLVE $1\")\n\
         case $said in ADDRESS\\ *) echo \"${{said#ADDRESS }}\" ;; *) echo \"$said\" >&2; exit 2 ;; esac\n",
        standin.display()
    )
}

fn script(path: &Path, body: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, format!("#!/bin/sh\n{body}")).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
