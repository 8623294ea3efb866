//! What `psql`, `dig` and `ps` see of each component, and what a client is told that asks it a line.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use anyhow::Context;
use lab::system::files::REPLICATIONS;
use lab::system::plan::{NAMES, PROCESSES, Site};
use lab::system::users;

use crate::bench::Bench;

/// One cell of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) component: String,
    pub(super) cell: String,
}

const LOST: &str = "lost";

pub(super) fn all(lab: &Bench) -> anyhow::Result<Vec<Row>> {
    let processes = ps()?;
    let mut rows = Vec::new();
    let mut add = |component: String, cell: String| rows.push(Row { component, cell });
    let mut open = Vec::new();
    for (database, role, table) in [("config", "cfg_db", "entry"), ("log", "ms_db", "message")] {
        for site in Site::ALL {
            let cell = access(lab, site, database, role, table);
            if database == "config" && cell == "open" {
                open.push(site);
            }
            add(format!("{} database, {}", capital(database), site.name()), cell);
        }
    }
    let mut protects = Vec::new();
    for replication in REPLICATIONS {
        let (from, to) = (replication.from, replication.from.other());
        let source = source(lab, from, replication.stream);
        let receiver = receiver(lab, to, replication.database, replication.stream);
        if source == "read" && receiver == "applies" && replication.database == "config" {
            protects.push(from);
        }
        let name = replication.name.to_uppercase();
        add(
            format!("{name}: {} database, {} to {}", replication.database, from.name(), to.name()),
            format!("{source} / {receiver}"),
        );
    }
    let sessions = lab.master_sessions();
    let sessions: Vec<String> = sessions.iter().map(|(site, n)| format!("{n} at {}", site.name())).collect();
    add("Master sessions, both databases".into(), or(sessions.join(", "), "none"));
    for process in &PROCESSES {
        for site in Site::ALL {
            let at = lab.plan.at(site, process);
            let mut cell = state(lab, site, &processes, at);
            if cell == "runs" && !process.live_only {
                cell = role(lab, site, process.name)?;
            }
            add(format!("`{}`, {}", process.name, site.name()), cell);
        }
    }
    let [main, secondary] = &lab.names;
    let servers = [
        ("name server, witness", None, lab.bind.address()),
        ("name server, main", Some(Site::Main), main.authority.address()),
        ("name server, secondary", Some(Site::Secondary), secondary.authority.address()),
        ("cache, main", Some(Site::Main), main.cache.address()),
        ("cache, secondary", Some(Site::Secondary), secondary.cache.address()),
        ("resolver of the proxies, main", Some(Site::Main), lab.plan.at_named(Site::Main, "resolver")?),
        (
            "resolver of the proxies, secondary",
            Some(Site::Secondary),
            lab.plan.at_named(Site::Secondary, "resolver")?,
        ),
    ];
    for (what, site, at) in servers {
        let cell = match site {
            Some(site) if is_lost(lab, site) => LOST.to_owned(),
            _ => names(at)?,
        };
        add(format!("Both names, at the {what}"), cell);
    }
    let protected = open.len() == 1 && protects.first() == open.first();
    add("Protected against the loss of the live site".into(), if protected { "yes" } else { "no" }.into());
    add("Who writes by the name, is acknowledged".into(), writer(lab));
    Ok(rows)
}

fn or(text: String, none: &str) -> String {
    if text.is_empty() { none.to_owned() } else { text }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A site whose database server is gone, with all that ran beside it.
fn is_lost(lab: &Bench, site: Site) -> bool {
    lab.postgres[site.index()].psql("postgres", "SELECT 1").is_err()
}

fn access(lab: &Bench, site: Site, database: &str, role: &str, table: &str) -> String {
    let sql = format!(
        "SELECT (SELECT rolcanlogin FROM pg_roles WHERE rolname = '{role}'),
                has_table_privilege('{role}', '{table}', 'INSERT')"
    );
    match lab.postgres[site.index()].psql(database, &sql).as_deref() {
        Ok("t|t") => "open".into(),
        Ok("f|f") => "closed".into(),
        Ok(other) => format!("partly open: {other}"),
        Err(_) => LOST.into(),
    }
}

fn source(lab: &Bench, site: Site, slot: &str) -> String {
    let sql = format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
    match lab.postgres[site.index()].psql("postgres", &sql).as_deref() {
        Ok("t") => "read".into(),
        Ok("f") => "kept".into(),
        Ok(_) => "-".into(),
        Err(_) => LOST.into(),
    }
}

fn receiver(lab: &Bench, site: Site, database: &str, subscription: &str) -> String {
    let sql = format!(
        "SELECT subenabled, EXISTS (SELECT FROM pg_stat_subscription WHERE subid = s.oid AND received_lsn IS NOT NULL)
           FROM pg_subscription s WHERE subname = '{subscription}'"
    );
    match lab.postgres[site.index()].psql(database, &sql).as_deref() {
        Ok("t|t") => "applies".into(),
        Ok("t|f") => "waits".into(),
        Ok("f|f") => "off".into(),
        Ok("") => "-".into(),
        Ok(other) => other.into(),
        Err(_) => LOST.into(),
    }
}

/// One line a process: its state and its arguments.
fn ps() -> anyhow::Result<Vec<String>> {
    let done = Command::new("ps").args(["-e", "-ww", "-o", "stat=,args="]).output().context("run ps")?;
    Ok(String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect())
}

fn state(lab: &Bench, site: Site, processes: &[String], at: SocketAddr) -> String {
    let (lock, listens) = (lab.plan.lock().display().to_string(), format!(" --listen {at} "));
    let ours = |line: &&String| line.contains(&lock) && format!("{line} ").contains(&listens);
    let lives = |line: &&String| !line.starts_with('Z');
    match processes.iter().filter(ours).filter(lives).count() {
        0 if is_lost(lab, site) => LOST.into(),
        0 => "-".into(),
        1 => "runs".into(),
        several => format!("{several} run"),
    }
}

/// What a client is told by a process that runs.
fn role(lab: &Bench, site: Site, process: &str) -> anyhow::Result<String> {
    let place = |address: &str| {
        let address: Option<IpAddr> = address.parse().ok();
        let site = address.and_then(|address| {
            Site::ALL.into_iter().find(|site| (1..=11).any(|last| site.ip(last) == address))
        });
        site.map_or("nobody", Site::name)
    };
    Ok(match process {
        "proxy-a" | "proxy-b" => match lab.ask(site, process, "MODE")?.split_once(' ') {
            Some(("normal", at)) => format!("full, with {}", place(at)),
            Some((mode, _)) => mode.to_owned(),
            None => "?".into(),
        },
        "site-scs" => match lab.ask(site, process, "PING")?.strip_prefix("PONG control ") {
            Some(said) => match said.strip_prefix("attached ") {
                Some(at) => format!("with {}", place(at)),
                None => said.to_owned(),
            },
            None => "?".into(),
        },
        "log-msg" => match lab.ask(site, process, "PING")?.as_str() {
            "PONG message ok" => "runs".into(),
            other => other.to_owned(),
        },
        _ => "runs".into(),
    })
}

fn names(server: SocketAddr) -> anyhow::Result<String> {
    let mut cells = Vec::new();
    for (name, last) in NAMES.into_iter().zip([3, 4]) {
        let done = Command::new("dig")
            .args(["+short", "+time=1", "+tries=2", &format!("@{}", server.ip()), "-p"])
            .args([&server.port().to_string(), name, "A"])
            .output()
            .context("run dig")?;
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        let site = Site::ALL.into_iter().find(|site| site.ip(last).to_string() == said);
        cells.push(site.map_or(format!("{name}: {said}"), |site| site.name().to_owned()));
    }
    cells.dedup();
    Ok(cells.join(", "))
}

fn writer(lab: &Bench) -> String {
    let rows = users::acknowledged(&lab.plan.writer_file());
    let lately = lab::standin::now_ms() - 2_000;
    match rows.last().filter(|row| row.at > lately).and_then(users::Acknowledged::site) {
        Some(site) => format!("by {}", site.name()),
        None => "by nobody".into(),
    }
}
