//! A group: what moves together between two sites, and how.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemas::{Address, GroupId, ResourceId, Service, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::forms::{Direction, Everywhere, FencePath};
use crate::policy::{Approval, Drain, Fence, Loss, Notify, Resume, Reverse, Target, Trigger};
use crate::{Percent, Span};

/// One group, its file over the defaults, checked.
///
/// Written as JSON it is what workflows see as `group`: durations in ISO 8601, sizes in bytes,
/// shares as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The file that it comes from.
    #[serde(skip)]
    pub path: String,
    /// Its name.
    #[serde(rename = "group")]
    pub name: GroupId,
    /// Where it stands when several groups move: lower first.
    pub order: u32,
    /// Its two sites.
    pub sites: [SiteId; 2],
    /// Its databases, with the same names at both sites.
    pub databases: BTreeMap<ResourceId, Database>,
    /// What runs at the live site only, in the order of starting.
    pub live_only: Vec<ResourceId>,
    /// What runs at both sites.
    pub everywhere: Vec<Everywhere>,
    /// The names that follow the live site.
    pub names: Names,
    /// Who uses the names.
    pub clients: Clients,
    /// When monitoring may start a move.
    pub trigger: Trigger,
    /// How the site that is left is kept from writing.
    pub fence: Fence,
    /// How much an unplanned move may lose; without it no move waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// How long replication may take to end.
    pub drain: Drain,
    /// The way back.
    pub reverse: Reverse,
    /// When a run goes on by itself.
    pub resume: Resume,
    /// How long a decision waits for a person.
    pub approval: Approval,
    /// What was promised.
    pub target: Target,
    /// Commands that tell people.
    pub notify: Notify,
}

impl Group {
    /// The `group` of a workflow's input: the file over its defaults, without the host's secrets
    /// or addresses. The same group gives the same bytes.
    pub fn to_workflow_input(&self) -> Value {
        // Nothing of it can fail: keys are texts and every value is plain.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Every resource that a move of this group claims, sorted, each once.
    ///
    /// Client hosts and caches belong to no group and are not among them.
    pub fn resources(&self) -> Vec<Address> {
        let mut all: Vec<Address> = self.claims().map(|(address, _)| address).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Whether a resource is one of this group.
    pub fn owns(&self, address: &Address) -> bool {
        self.claims().any(|(own, _)| own == *address)
    }

    /// The other one of the two sites; `None` for a stranger.
    pub fn other(&self, site: &SiteId) -> Option<&SiteId> {
        match &self.sites {
            [a, b] if a == site => Some(b),
            [a, b] if b == site => Some(a),
            _ => None,
        }
    }

    /// The databases that are live at one site only: those that count when a site is open.
    pub fn one_live(&self) -> impl Iterator<Item = &ResourceId> {
        self.databases.iter().filter(|(_, database)| database.kind == Kind::OneLive).map(|(name, _)| name)
    }

    /// Each resource that the group claims, with the JSON pointer of the place that does.
    pub fn claims(&self) -> impl Iterator<Item = (Address, String)> + '_ {
        let both = move |service: Service, resource: &ResourceId, pointer: String| {
            let resource = resource.clone();
            self.sites.iter().map(move |site| {
                (Address { site: site.clone(), service, resource: resource.clone() }, pointer.clone())
            })
        };
        let databases = self
            .databases
            .keys()
            .flat_map(move |name| both(Service::Database, name, format!("/databases/{name}")));
        let replications = self.databases.iter().flat_map(move |(name, database)| {
            database.replication.iter().flat_map(move |(direction, replication)| {
                both(Service::Replication, replication, format!("/databases/{name}/replication/{direction}"))
            })
        });
        let live_only = self
            .live_only
            .iter()
            .enumerate()
            .flat_map(move |(i, name)| both(Service::Process, name, format!("/live_only/{i}")));
        let everywhere = self
            .everywhere
            .iter()
            .enumerate()
            .flat_map(move |(i, item)| both(Service::Process, &item.process, format!("/everywhere/{i}")));
        let names = self.names.records.iter().map(|(name, record)| {
            let address = Address { site: record.at.clone(), service: Service::Dns, resource: name.clone() };
            (address, format!("/names/records/{name}"))
        });
        let fences = self.fence.paths.iter().enumerate().filter_map(|(i, path)| match path {
            FencePath::Database => None,
            FencePath::Process { process, site } => Some((
                Address { site: site.clone(), service: Service::Process, resource: process.clone() },
                format!("/fence/paths/{i}"),
            )),
        });
        databases.chain(replications).chain(live_only).chain(everywhere).chain(names).chain(fences)
    }
}

/// One database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Whether one site or both accept writes.
    pub kind: Kind,
    /// For each direction `a->b`, the replication that serves it.
    pub replication: BTreeMap<Direction, ResourceId>,
}

/// Whether one site or both accept writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One: it is closed at one site and opened at the other.
    OneLive,
    /// Both, each with rows of its own: it never counts as a second open site.
    BothLive,
}

/// The names that follow the live site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Names {
    /// The longest time to live that the records may have.
    pub max_ttl: Span,
    /// The records, by the name of their resource.
    pub records: BTreeMap<ResourceId, Record>,
}

impl Default for Names {
    fn default() -> Self {
        Names { max_ttl: Span::seconds(60), records: BTreeMap::new() }
    }
}

/// One name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The name that clients resolve.
    pub name: String,
    /// The site whose DNS service changes it.
    pub at: SiteId,
}

/// Who uses the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// Hosts whose resolver is flushed.
    pub hosts: Vec<Client>,
    /// Recursive caches; they come before the hosts.
    pub caches: Vec<Client>,
    /// What happens to a program of `everywhere` that keeps the old address: its check fails.
    pub stale: Stale,
    /// So many must follow before the move is complete, of those outside lost sites; the rest is owed. With fewer the
    /// run waits for them, or for a person.
    pub done_when: Percent,
    /// How long each of them has.
    pub within: Span,
}

impl Default for Clients {
    fn default() -> Self {
        Clients {
            hosts: Vec::new(),
            caches: Vec::new(),
            stale: Stale::Restart,
            done_when: Percent::NINETY,
            within: Span::seconds(180),
        }
    }
}

/// A host or cache, a resource of the DNS service at its site. It belongs to no group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its name.
    pub host: ResourceId,
    /// Its site.
    pub site: SiteId,
}

/// What happens to a program that keeps the old address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stale {
    /// It is started again if it is not healthy 10 s after the names were followed, one program of a site after the other.
    Restart,
    /// Nothing; `status` shows that it is not healthy.
    Report,
}
