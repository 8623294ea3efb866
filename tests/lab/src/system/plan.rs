//! Where everything of the lab is: sites, hosts, processes, addresses and ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::port::Port;

/// The group that moves.
pub const GROUP: &str = "cfg";
/// The zone of the names.
pub const ZONE: &str = "example.test";
/// The name of the primary master, then that of its backup.
pub const NAMES: [&str; 2] = ["cfg-a.example.test", "cfg-b.example.test"];
/// The third place.
pub const WITNESS: &str = "witness";

/// A site of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// Live at first: 127.0.1.x.
    Main,
    /// Dormant at first: 127.0.2.x.
    Secondary,
}

impl Site {
    /// Both.
    pub const ALL: [Site; 2] = [Site::Main, Site::Secondary];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Site::Main => "main",
            Site::Secondary => "secondary",
        }
    }

    /// The site of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Site> {
        Site::ALL.into_iter().find(|site| site.name() == name)
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Site {
        match self {
            Site::Main => Site::Secondary,
            Site::Secondary => Site::Main,
        }
    }

    /// 0 or 1.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    fn octet(self) -> u8 {
        match self {
            Site::Main => 1,
            Site::Secondary => 2,
        }
    }

    /// An address of the site by its last number.
    #[must_use]
    pub fn ip(self, last: u8) -> IpAddr {
        Ipv4Addr::new(127, 0, self.octet(), last).into()
    }

    /// The site's hosts: bus server, databases, names, live processes, applications.
    #[must_use]
    pub fn hosts(self) -> [&'static str; 5] {
        match self {
            Site::Main => ["s1nats", "s1db", "s1dns", "s1mgmt", "s1app"],
            Site::Secondary => ["s2nats", "s2db", "s2dns", "s2mgmt", "s2app"],
        }
    }

    /// One host by what it is for.
    #[must_use]
    pub fn host(self, role: Role) -> &'static str {
        self.hosts()[role as usize]
    }

    /// The site of a host of this name, and what the host is for.
    #[must_use]
    pub fn of_host(name: &str) -> Option<(Site, Role)> {
        Site::ALL.into_iter().find_map(|site| {
            Role::ALL.into_iter().find(|role| site.host(*role) == name).map(|role| (site, role))
        })
    }
}

/// What a host of a site is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A server of the bus.
    Nats,
    /// The database server, with Pointsman's database and replication services.
    Database,
    /// The site's authoritative name server and its recursive cache, with Pointsman's client service.
    Dns,
    /// The processes that run at the live site, with Pointsman's process service.
    Management,
    /// The proxies, which use the names by the host's resolver, with Pointsman's process and client services.
    Application,
}

impl Role {
    /// Each.
    pub const ALL: [Role; 5] = [Role::Nats, Role::Database, Role::Dns, Role::Management, Role::Application];
    /// Those on which Pointsman's services run.
    pub const SERVED: [Role; 4] = [Role::Database, Role::Dns, Role::Management, Role::Application];
}

/// Hosts of the witness: DNS, the runner, monitoring, and the bus server.
pub const WITNESS_HOSTS: [&str; 4] = ["wdns", "wrun", "wmon", "wnats"];

/// To which database the sites' Message Servers for logging write. The chapter says both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logging {
    /// Each to its own site's.
    #[default]
    OwnSite,
    /// Both to main's, while that can be had.
    Main,
}

/// The Message Server for logging.
pub const LOG_SERVER: &str = "log-msg";

/// A process of the model system.
#[derive(Debug, Clone, Copy)]
pub struct ProcessPlan {
    /// The resource.
    pub name: &'static str,
    /// The last number of its address.
    pub last: u8,
    /// Which of the ports it has; the masters share one.
    port: usize,
    /// Its host.
    pub role: Role,
    /// How its answer to `PING` begins when it is healthy.
    pub healthy: &'static str,
    /// Whether it runs at the live site only.
    pub live_only: bool,
    /// Whether Pointsman knows it; the rest belongs to its host.
    pub managed: bool,
}

/// All of them; those that run at the live site only come first, in the order of starting. The control server
/// of the masters comes last, and so stops first: it starts again what it controls.
pub const PROCESSES: [ProcessPlan; 9] = [
    live_only("scs-msg", 6, 0, "PONG message ok"),
    live_only("cs-primary", 3, 1, "PONG primary"),
    live_only("cs-backup", 4, 1, "PONG backup"),
    live_only("master-scs", 5, 2, "PONG control attached"),
    ProcessPlan { managed: false, ..everywhere("resolver", 9, 3, "PONG resolver") },
    everywhere("site-scs", 10, 4, "PONG control attached"),
    everywhere(LOG_SERVER, 8, 5, "PONG message ok"),
    everywhere("proxy-a", 7, 6, "PONG proxy"),
    everywhere("proxy-b", 11, 7, "PONG proxy"),
];

/// The second ones of pairs, in a lab that has pairs: a Message Server of the control servers, a control server of the
/// masters, and a site's own. Control servers are attached to whichever of the Message Servers runs. That of the masters starts
/// again what it controls once the first one is gone, so it stops before the masters, too.
pub const SECONDS: [ProcessPlan; 3] = [
    live_only("scs-msg-b", 12, 0, "PONG message ok"),
    live_only("master-scs-b", 14, 2, "PONG control attached"),
    everywhere("site-scs-b", 13, 4, "PONG control attached"),
];

/// The proxies of a site.
pub const PROXIES: [&str; 2] = ["proxy-a", "proxy-b"];

const fn live_only(name: &'static str, last: u8, port: usize, healthy: &'static str) -> ProcessPlan {
    ProcessPlan { name, last, port, role: Role::Management, healthy, live_only: true, managed: true }
}

const fn everywhere(name: &'static str, last: u8, port: usize, healthy: &'static str) -> ProcessPlan {
    ProcessPlan { name, last, port, role: Role::Application, healthy, live_only: false, managed: true }
}

/// Folders, and the ports that are ours while this lives.
#[derive(Debug)]
pub struct Plan {
    /// The lab's folder, absolute.
    pub folder: PathBuf,
    /// Where the Message Servers write.
    pub logging: Logging,
    /// Whether there are [`SECONDS`] too.
    pub pairs: bool,
    ports: Vec<Port>,
}

impl Plan {
    /// Takes ports, each free at both sites, so that a name may move between them.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, or ports are not to be had.
    pub fn make(folder: &Path, logging: Logging) -> anyhow::Result<Plan> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        // It stands in scripts, between quotes, and in YAML.
        let plain = |c: char| c.is_alphanumeric() || "/._-+@".contains(c);
        if !folder.to_str().is_some_and(|text| text.chars().all(plain)) {
            bail!("{}: letters, digits and /._-+@ only, please", folder.display());
        }
        let mut ports = Vec::new();
        for port in 0..=7 {
            let addresses: Vec<IpAddr> = PROCESSES
                .iter()
                .chain(&SECONDS)
                .filter(|process| process.port == port)
                .flat_map(|process| Site::ALL.map(|site| site.ip(process.last)))
                .collect();
            ports.push(Port::take_on_all(&addresses)?);
        }
        Ok(Plan { folder, logging, pairs: false, ports })
    }

    /// The processes of this lab; of those that run at the live site only, in the order of starting.
    #[must_use]
    pub fn processes(&self) -> Vec<&'static ProcessPlan> {
        let (all, seconds): (&'static [ProcessPlan], &'static [ProcessPlan]) = (&PROCESSES, &SECONDS);
        all.iter().chain(seconds.iter().filter(|_| self.pairs)).collect()
    }

    /// Where a process listens at a site.
    #[must_use]
    pub fn at(&self, site: Site, process: &ProcessPlan) -> SocketAddr {
        let port = self.ports.get(process.port).map_or(0, Port::number);
        SocketAddr::new(site.ip(process.last), port)
    }

    /// Where the process of this name listens at a site.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn at_named(&self, site: Site, name: &str) -> anyhow::Result<SocketAddr> {
        let process = PROCESSES.iter().chain(&SECONDS).find(|process| process.name == name);
        Ok(self.at(site, process.with_context(|| format!("no process `{name}`"))?))
    }

    /// A path in the lab's folder.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of a host's configuration.
    #[must_use]
    pub fn host(&self, host: &str) -> PathBuf {
        self.folder.join("hosts").join(host)
    }

    /// A host's file.
    #[must_use]
    pub fn host_file(&self, host: &str) -> PathBuf {
        self.host(host).join("host.yaml")
    }

    /// A script of a process at a site, or of its client host or cache, by what it does: `start`, `flush`.
    #[must_use]
    pub fn script(&self, site: Site, process: &str, what: &str) -> PathBuf {
        self.folder.join("scripts").join(site.name()).join(process).join(what)
    }

    /// The file that is locked while the lab lives.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// The hosts file of a site's proxy host.
    #[must_use]
    pub fn hosts_file(&self, site: Site) -> PathBuf {
        self.folder.join("run").join(format!("{}-hosts", site.name()))
    }

    /// What the writer was acknowledged.
    #[must_use]
    pub fn writer_file(&self) -> PathBuf {
        self.folder.join("users").join("writer")
    }

    /// What the reader of a site's proxies counted.
    #[must_use]
    pub fn reader_file(&self, site: Site) -> PathBuf {
        self.folder.join("users").join(format!("reader-{}", site.name()))
    }
}
