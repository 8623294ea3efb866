//! Commented beginnings of the files. Each reads without an error as it stands, and writes out
//! every default that can hurt.

use std::collections::BTreeSet;

use schemas::SiteId;

/// What a host does; one host may do several of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostKind {
    /// It stands beside a DBMS: access and replication.
    Database,
    /// Processes run on it.
    Process,
    /// It stands beside a DNS server.
    Dns,
    /// It uses the names that move.
    Client,
    /// The runner runs on it.
    Runner,
}

impl HostKind {
    /// Each kind.
    pub const ALL: &'static [HostKind] =
        &[HostKind::Database, HostKind::Process, HostKind::Dns, HostKind::Client, HostKind::Runner];

    fn part(self, second: bool) -> &'static str {
        match self {
            HostKind::Database if second => include_str!("init/host-database-second.yaml"),
            HostKind::Database => include_str!("init/host-database.yaml"),
            HostKind::Process => include_str!("init/host-process.yaml"),
            HostKind::Dns => include_str!("init/host-dns.yaml"),
            HostKind::Client => include_str!("init/host-client.yaml"),
            HostKind::Runner => include_str!("init/host-runner.yaml"),
        }
    }
}

/// A beginning of a group's file.
pub fn group() -> String {
    include_str!("init/group.yaml").to_owned()
}

/// A `defaults.yaml` with every built-in default.
pub fn defaults() -> String {
    include_str!("init/defaults.yaml").to_owned()
}

/// The site of [`group`]'s beginning that is not live on the first day.
const SECOND: &str = "secondary";

/// A beginning of a host's file, at a site if one is named. At `secondary` the replications are the other way round. The
/// parts come in the order of their kinds, once each: a dns server and a name client share one section.
pub fn host(kinds: &[HostKind], site: Option<&SiteId>) -> String {
    let at_a_site = kinds.iter().any(|kind| matches!(kind, HostKind::Database | HostKind::Process));
    let site = match site {
        Some(site) => site.as_str(),
        // Runner and DNS stand best at a third place.
        None if !at_a_site && !kinds.is_empty() && !kinds.contains(&HostKind::Client) => "witness",
        None => "main",
    };
    let written = format!("site: {site:<36} # this host's place");
    let head = include_str!("init/host-head.yaml");
    let mut text =
        head.replacen("site: main                                 # this host's place", &written, 1);
    let kinds: BTreeSet<HostKind> = kinds.iter().copied().collect();
    for kind in &kinds {
        let part = kind.part(site == SECOND);
        match *kind == HostKind::Client && kinds.contains(&HostKind::Dns) {
            true => text.push_str(&part.replacen("\ndns:\n", "\n", 1)),
            false => text.push_str(part),
        }
    }
    text
}
