//! The legs of the cycle: what each asks of which service, and what can be drawn from that.

use schemas::Action::{self, *};
use schemas::{Address, Service};

use crate::system::plan::{PROCESSES, Role, Site, WITNESS};

/// A leg: one run of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// Main is lost with rows of its own.
    Failover,
    /// It comes home by copy.
    Copy,
    /// The group goes home after it.
    Failback,
    /// The planned move.
    Switchover,
    /// Main is brought up to date.
    CatchUp,
    /// The group goes home again.
    FailbackAgain,
}

impl Leg {
    /// The whole cycle.
    pub const CYCLE: [Leg; 6] =
        [Leg::Failover, Leg::Copy, Leg::Failback, Leg::Switchover, Leg::CatchUp, Leg::FailbackAgain];

    /// Its name in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Leg::Failover => "failover",
            Leg::Copy => "reprotect-copy",
            Leg::Failback | Leg::FailbackAgain => "failback",
            Leg::Switchover => "switchover",
            Leg::CatchUp => "reprotect-catch-up",
        }
    }

    /// Where the group is live afterwards.
    #[must_use]
    pub fn live(self) -> Site {
        match self {
            Leg::Failback | Leg::FailbackAgain => Site::Main,
            Leg::Failover | Leg::Copy | Leg::Switchover | Leg::CatchUp => Site::Secondary,
        }
    }

    /// What is asked in it, in the order in which it comes: of databases and their replication, and of the rest.
    #[must_use]
    pub fn requests(self) -> (Vec<Request>, Vec<Request>) {
        use Site::{Main, Secondary};
        match self {
            Leg::Failover => (
                vec![
                    replication(Secondary, "csp", Abandon),
                    replication(Secondary, "css", Capture),
                    database(Secondary, EnableAccess),
                    replication(Secondary, "msp", StopReplication),
                ],
                serves(Secondary, &[Secondary]),
            ),
            Leg::Copy => (
                [
                    vec![
                        database(Main, DisableAccess),
                        replication(Secondary, "csp", Abandon),
                        replication(Main, "csp", Export),
                        replication(Main, "csp", Discard),
                        replication(Main, "css", Copy),
                        replication(Main, "css", Compare),
                    ],
                    current(),
                ]
                .concat(),
                stops(Main),
            ),
            Leg::CatchUp => (
                [
                    vec![
                        database(Main, DisableAccess),
                        replication(Main, "css", StartReplication),
                        replication(Main, "csp", Discard),
                    ],
                    current(),
                ]
                .concat(),
                stops(Main),
            ),
            Leg::Switchover => planned(Main, ("csp", "css")),
            Leg::Failback | Leg::FailbackAgain => planned(Secondary, ("css", "csp")),
        }
    }
}

/// A request of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    site: &'static str,
    /// The host whose service is asked.
    pub host: &'static str,
    resource: &'static str,
    /// What is asked.
    pub action: Action,
}

impl Request {
    /// Of whom.
    ///
    /// # Errors
    ///
    /// Never for the lab's own names.
    pub fn address(&self) -> anyhow::Result<Address> {
        let service = self.action.service();
        Ok(Address { site: self.site.parse()?, service, resource: self.resource.parse()? })
    }

    /// Whether a database or its replication is asked.
    #[must_use]
    pub fn of_database(&self) -> bool {
        matches!(self.action.service(), Service::Database | Service::Replication)
    }
}

fn at(site: Site, role: Role, resource: &'static str, action: Action) -> Request {
    Request { site: site.name(), host: site.host(role), resource, action }
}

fn database(site: Site, action: Action) -> Request {
    at(site, Role::Database, "config", action)
}

fn replication(site: Site, resource: &'static str, action: Action) -> Request {
    at(site, Role::Database, resource, action)
}

fn live_only(site: Site, action: Action) -> impl DoubleEndedIterator<Item = Request> {
    let all = PROCESSES.iter().filter(|process| process.live_only);
    all.map(move |process| at(site, process.role, process.name, action))
}

fn stops(site: Site) -> Vec<Request> {
    live_only(site, StopProcess).rev().collect()
}

/// Processes, names and clients; of `clients`' sites.
fn serves(site: Site, clients: &[Site]) -> Vec<Request> {
    let mut all: Vec<Request> = live_only(site, StartProcess).collect();
    let point = |resource| Request { site: WITNESS, host: "wdns", resource, action: Point };
    all.extend(["cs-primary", "cs-backup"].map(point));
    for role in [Role::Dns, Role::Application] {
        all.extend(clients.iter().map(|site| at(*site, role, site.host(role), Follow)));
    }
    all
}

/// The end of both ways back to protection.
fn current() -> Vec<Request> {
    vec![
        replication(Site::Secondary, "css", Mark),
        replication(Site::Main, "css", Drain),
        replication(Site::Secondary, "msp", StartReplication),
        replication(Site::Main, "mss", StartReplication),
    ]
}

fn planned(from: Site, (forward, back): (&'static str, &'static str)) -> (Vec<Request>, Vec<Request>) {
    let to = from.other();
    let databases = vec![
        database(from, DisableAccess),
        replication(from, forward, Mark),
        replication(to, forward, Drain),
        replication(to, forward, StopReplication),
        replication(to, forward, SetSequences),
        replication(to, back, Capture),
        database(to, EnableAccess),
        replication(from, back, StartReplication),
        replication(from, forward, Discard),
    ];
    (databases, [stops(from), serves(to, &Site::ALL)].concat())
}
