//! Commented beginnings of the files. Each reads without an error as it stands, and writes out
//! every default that can hurt.

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

    fn part(self) -> &'static str {
        match self {
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

/// A beginning of a host's file. A dns server and a name client share one section, so of the two
/// only the first is written.
pub fn host(kinds: &[HostKind]) -> String {
    let mut text = include_str!("init/host-head.yaml").to_owned();
    let at_a_site = kinds.iter().any(|kind| matches!(kind, HostKind::Database | HostKind::Process));
    if !at_a_site && !kinds.is_empty() && !kinds.contains(&HostKind::Client) {
        // Runner and DNS stand best at a third place.
        text = text.replacen("site: main   ", "site: witness", 1);
    }
    let mut dns = false;
    for kind in kinds {
        let is_dns = matches!(kind, HostKind::Dns | HostKind::Client);
        if !(is_dns && dns) {
            text.push_str(kind.part());
        }
        dns |= is_dns;
    }
    text
}
