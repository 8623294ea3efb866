//! The files that an installation of Pointsman has: one a host, and the group's.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{Days, Utc};

use super::logging;
use super::plan::{GROUP, LOG_SERVER, Logging, NAMES, PROCESSES, Plan, ProcessPlan, Role, Site, WITNESS};
use super::starting::TTL;

/// What the files need to know of the servers.
#[derive(Debug)]
pub struct Servers {
    /// All servers of the bus.
    pub nats: Vec<String>,
    /// The DNS server that takes the updates.
    pub dns: SocketAddr,
    /// The sites' own authoritative servers.
    pub authorities: [SocketAddr; 2],
    /// The sites' recursive caches.
    pub caches: [SocketAddr; 2],
    /// Name and secret of its key.
    pub key: (String, String),
    /// `[site][database]`: connection strings of Pointsman's own role.
    pub own: [[String; 2]; 2],
    /// `[site][database]`: connection strings of the role that replicates, as the other site uses them.
    pub replicator: [[String; 2]; 2],
    /// The logs of the sites' database servers.
    pub logs: [PathBuf; 2],
}

/// The databases of each site, in the order of [`Servers::own`].
pub const DATABASES: [&str; 2] = ["config", "log"];

/// Writes them all.
///
/// # Errors
///
/// Those of the file system.
pub fn write(plan: &Plan, servers: &Servers) -> anyhow::Result<()> {
    for site in Site::ALL {
        for (index, database) in DATABASES.into_iter().enumerate() {
            let host = site.host(Role::Database);
            let own = &servers.own[site.index()][index];
            put(plan, host, &format!("{database}.dsn"), own)?;
            let peer = &servers.replicator[site.other().index()][index];
            put(plan, host, &format!("{database}-peer.dsn"), peer)?;
        }
        let parts = [
            (Role::Database, databases(site, &servers.logs[site.index()])),
            (Role::Management, processes(plan, site, Role::Management)),
            (Role::Application, processes(plan, site, Role::Application) + &client(plan, site)),
            (Role::Dns, cache(plan, site, servers.caches[site.index()])),
        ];
        for (role, text) in parts {
            host(plan, servers, site.name(), site.host(role), &text)?;
        }
    }
    let key =
        format!("key \"{}\" {{ algorithm hmac-sha256; secret \"{}\"; }};\n", servers.key.0, servers.key.1);
    put(plan, "wdns", "tsig.key", &key)?;
    host(plan, servers, WITNESS, "wdns", &records(servers))?;
    let runner = "runner:\n  journal: state/journal\n  groups: groups\n";
    let runner = runner
        .replace("state/journal", &plan.host("wrun").join("state/journal").display().to_string())
        .replace(": groups", &format!(": {}", plan.host("wrun").join("groups").display()));
    host(plan, servers, WITNESS, "wrun", &runner)?;
    put(plan, "wrun", &format!("groups/{GROUP}.yaml"), &group(plan))
}

fn put(plan: &Plan, host: &str, name: &str, text: &str) -> anyhow::Result<()> {
    let path = plan.host(host).join(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    if name.ends_with(".dsn") || name.ends_with(".key") {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn host(plan: &Plan, servers: &Servers, site: &str, host: &str, parts: &str) -> anyhow::Result<()> {
    let text = format!(
        "# {host} at {site}\nversion: 1\nsite: {site}\ngroups: [{GROUP}]\nbus:\n  servers: [{}]\n  person: lab\n\
         state: {}\n{parts}",
        own_first(servers, site).join(", "),
        plan.host(host).join("state").display(),
    );
    put(plan, host, "host.yaml", &text)
}

/// The bus's servers, the place's own before the others.
fn own_first<'s>(servers: &'s Servers, site: &str) -> Vec<&'s str> {
    let own = Site::ALL.iter().position(|one| one.name() == site).unwrap_or(Site::ALL.len());
    let (before, rest) = servers.nats.split_at(own.min(servers.nats.len()));
    rest.iter().take(1).chain(before).chain(rest.iter().skip(1)).map(String::as_str).collect()
}

fn databases(site: Site, log: &Path) -> String {
    let mut text = String::from("database:\n");
    // The log databases are live at both sites.
    for (database, writer, boot) in [("config", "cfg_db", "close-on-sight"), ("log", "ms_db", "leave-open")] {
        text += &format!(
            "  {database}: {{ driver: postgres, dsn: \"file:{database}.dsn\", writers: [{writer}], boot: {boot} }}\n"
        );
    }
    text += "replication:\n";
    for replication in REPLICATIONS {
        let Replication { name, database, from, stream } = replication;
        let half = match from == site {
            true => format!("slot: {stream}"),
            false => format!("subscription: {stream}, server_log: \"{}\"", log.display()),
        };
        text += &format!(
            "  {name}: {{ driver: postgres, database: {database}, peer: \"file:{database}-peer.dsn\", \
             {half}, publication: lab_{database} }}\n",
        );
    }
    text
}

/// A replication: its resource, what it carries, from where, and the name of its slot and subscription.
#[derive(Debug, Clone, Copy)]
pub struct Replication {
    /// The resource.
    pub name: &'static str,
    /// The database.
    pub database: &'static str,
    /// The source.
    pub from: Site,
    /// Slot at the source, subscription at the receiver.
    pub stream: &'static str,
}

/// All of them; `css` is stopped while main is live.
pub const REPLICATIONS: [Replication; 4] = [
    Replication { name: "csp", database: "config", from: Site::Main, stream: "lab_config_fwd" },
    Replication { name: "css", database: "config", from: Site::Secondary, stream: "lab_config_rev" },
    Replication { name: "msp", database: "log", from: Site::Main, stream: "lab_log_main" },
    Replication { name: "mss", database: "log", from: Site::Secondary, stream: "lab_log_secondary" },
];

fn processes(plan: &Plan, site: Site, role: Role) -> String {
    let mut text = String::from("process:\n");
    for process in plan.processes().into_iter().filter(|process| process.role == role && process.managed) {
        let script = |what: &str| plan.script(site, process.name, what).display().to_string();
        text += &format!(
            "  {}:\n    driver: exec\n    start: {}\n    stop: {}\n    settle: 5s\n    \
             health: {{ tcp: \"{}\", send: \"PING\\n\", expect: \"{}\" }}\n",
            process.name,
            script("start"),
            script("stop"),
            plan.at(site, process),
            process.healthy,
        );
        // One is looked for by a script as well; for the rest its protocol has to do, and their stop scripts are run whatever
        // it says. A check of each would be one more program in every start that users wait for.
        if process.name == "cs-primary" {
            text += &format!("    check: {}\n", script("check"));
        }
        if process.name == LOG_SERVER && plan.logging == Logging::Main {
            let to = Site::ALL.map(|to| format!("{}: {}", to.name(), script(&logging::to(to))));
            text +=
                &format!("    repoint: {{ {} }}\n    pointed: {}\n", to.join(", "), script(logging::POINTED));
        }
    }
    text
}

fn addresses(index: usize) -> String {
    let last = PROCESSES[index + 1].last;
    format!("{{ main: {}, secondary: {} }}", Site::Main.ip(last), Site::Secondary.ip(last))
}

fn client(plan: &Plan, site: Site) -> String {
    format!(
        "dns:\n  {}:\n    client: exec\n    flush: {}\n    resolve: {}\n    push: {}\n    unpush: {}\n    names:\n{}",
        site.host(Role::Application),
        plan.script(site, "client", "flush").display(),
        plan.script(site, "client", "resolve").display(),
        plan.script(site, "client", "push").display(),
        plan.script(site, "client", "unpush").display(),
        names(),
    )
}

fn cache(plan: &Plan, site: Site, cache: SocketAddr) -> String {
    format!(
        "dns:\n  {}:\n    client: exec\n    flush: {}\n    cache: \"{cache}\"\n    names:\n{}",
        site.host(Role::Dns),
        plan.script(site, "cache", "flush").display(),
        names(),
    )
}

fn names() -> String {
    let line = |(index, name)| format!("      {name}: {}\n", addresses(index));
    NAMES.into_iter().enumerate().map(line).collect()
}

fn records(servers: &Servers) -> String {
    let mut text = String::from("dns:\n");
    let dns = servers.dns;
    let [main, secondary] = servers.authorities;
    for (index, name) in NAMES.into_iter().enumerate() {
        text += &format!(
            "  {}:\n    driver: rfc2136\n    name: {name}\n    update: [\"{dns}\"]\n    tsig: \"file:tsig.key\"\n    \
             ttl: {TTL}s\n    addresses: {}\n    verify: {{ {WITNESS}: [\"{dns}\"], main: [\"{main}\"], \
             secondary: [\"{secondary}\"] }}\n",
            PROCESSES[index + 1].name,
            addresses(index),
        );
    }
    text
}

/// The group's file. The lab takes two risks in advance, in writing, and says so.
fn group(plan: &Plan) -> String {
    let until = Utc::now().checked_add_days(Days::new(1)).unwrap_or_default().format("%Y-%m-%d");
    let accepted = |why: &str| format!("{{ accepted_by: lab, why: \"{why}\", until: {until} }}");
    let list = |live_only: bool| {
        let ours = |process: &&ProcessPlan| process.live_only == live_only && process.managed;
        let all = plan.processes().into_iter().filter(ours);
        let names: Vec<&str> = all.map(|process| process.name).collect();
        let site = if plan.logging == Logging::OwnSite { "own" } else { Site::Main.name() };
        names.join(", ").replace(LOG_SERVER, &format!("{{ {LOG_SERVER}: {{ database: log@{site} }} }}"))
    };
    format!(
        "version: 1\ngroup: {GROUP}\nsites: [main, secondary]\ndatabases:\n  \
         config: {{ kind: one-live, replication: {{ \"main->secondary\": csp, \"secondary->main\": css }} }}\n  \
         log: {{ kind: both-live, replication: {{ \"main->secondary\": msp, \"secondary->main\": mss }} }}\n\
         live_only: [{}]\neverywhere: [{}]\nnames:\n  max_ttl: 60s\n  records:\n    \
         cs-primary: {{ name: {}, at: {WITNESS} }}\n    cs-backup: {{ name: {}, at: {WITNESS} }}\nclients:\n  \
         hosts: [{{ host: s1app, site: main }}, {{ host: s2app, site: secondary }}]\n  \
         caches: [{{ host: s1dns, site: main }}, {{ host: s2dns, site: secondary }}]\n  \
         stale: restart\n  done_when: 90%\n  within: 5s\n\
         trigger:\n  mode: auto\n  misses: 3\n  hold_down: 2s\n  max_age: 30s\n  one_prober: {}\n\
         fence:\n  within: 7s\n  paths: [database]\n  unproved: {}\n\
         loss: {{ max: 60s, unknown: ask }}\ndrain: {{ within: 30s }}\ntarget: {{ rto: 1m, rpo: 5s }}\n",
        list(true),
        list(false),
        NAMES[0],
        NAMES[1],
        accepted(ONE_PROBER),
        accepted(UNPROVED),
    )
}

/// Why automatic starts on the word of one prober are accepted.
pub const ONE_PROBER: &str = "the lab has one prober, and nothing in it is of value";
/// Why the other site may be opened although the lost one was not seen closed.
pub const UNPROVED: &str = "the lab takes main away itself, and counts what it still does";
