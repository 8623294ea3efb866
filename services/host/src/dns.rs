//! `dns.<resource>` in a host's file: a record (`driver:`) or a name client (`client:`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use config::Span;
use dns::client::{Client, Flush, Resolve};
use dns::memory::MemoryName;
use dns::{Hosts, Key, Server, client, rfc2136, scripts};
use responder::Driver;
use schemas::{Code, Problem, SiteId};
use serde::Deserialize;

use crate::drivers::Here;

/// Addresses by site: one, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(IpAddr),
    More(Vec<IpAddr>),
}

type Addresses = BTreeMap<SiteId, OneOrMore>;

fn listed(addresses: Addresses) -> BTreeMap<SiteId, Vec<IpAddr>> {
    let list = |one| match one {
        OneOrMore::One(address) => vec![address],
        OneOrMore::More(list) => list,
    };
    addresses.into_iter().map(|(site, one)| (site, list(one))).collect()
}

/// `driver: rfc2136 | exec | memory`.
#[derive(Debug, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub(crate) enum Record {
    /// Updates by RFC 2136.
    Rfc2136(Rfc2136Settings),
    /// The operator's scripts, one a site.
    Exec(ExecSettings),
    /// A value in memory: rehearsals only.
    Memory(MemorySettings),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rfc2136Settings {
    update: Vec<Server>,
    tsig: String,
    ttl: Span,
    addresses: Addresses,
    #[serde(default)]
    verify: BTreeMap<SiteId, Vec<Server>>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecSettings {
    point: BTreeMap<SiteId, PathBuf>,
    #[serde(default)]
    check: Option<PathBuf>,
    addresses: Addresses,
    verify: BTreeMap<SiteId, Vec<Server>>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemorySettings {
    sites: BTreeSet<SiteId>,
    /// Where it points when the rehearsal begins.
    #[serde(default)]
    points_at: Option<SiteId>,
}

/// `client: resolvectl | nscd | none | exec | memory`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientSettings {
    client: ClientKind,
    /// `client: exec`: run to flush; exit 0 is done.
    #[serde(default)]
    flush: Option<PathBuf>,
    /// Prints what its argument resolves to, one address a line.
    #[serde(default)]
    resolve: Option<PathBuf>,
    /// Or a cache that is asked instead.
    #[serde(default)]
    cache: Option<Server>,
    /// Writes its arguments, lines of a hosts file, into this host's, while a name cannot be changed; exit 0 is done.
    #[serde(default)]
    push: Option<PathBuf>,
    /// Takes them away again.
    #[serde(default)]
    unpush: Option<PathBuf>,
    /// Names that this host uses, with their addresses by site, where the request does not bring them.
    #[serde(default)]
    names: BTreeMap<String, Addresses>,
    /// `client: memory`: the sites there are.
    #[serde(default)]
    sites: BTreeSet<SiteId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClientKind {
    Resolvectl,
    Nscd,
    None,
    Exec,
    Memory,
}

fn wrong(what: impl Into<String>) -> Problem {
    Problem::new(Code::BadConfiguration, what)
}

impl Record {
    pub(crate) fn driver(self, here: &Here<'_>) -> Result<Arc<dyn Driver>, Problem> {
        let memo = Some(here.state.join(format!("dns.{}.name", here.resource)));
        Ok(match self {
            Record::Rfc2136(its) => {
                let file = its.tsig.strip_prefix("file:").ok_or_else(|| {
                    wrong("`tsig` names a file: `file:PATH`; a secret never stands in the host's file")
                })?;
                let tsig = Key::from_file(&here.folder.join(file)).map_err(|e| wrong(e.to_string()))?;
                Arc::new(rfc2136::Rfc2136::new(rfc2136::Settings {
                    update: its.update,
                    tsig,
                    ttl: its.ttl.duration(),
                    addresses: listed(its.addresses),
                    verify: its.verify,
                    zone: its.zone,
                    name: its.name,
                    transport: rfc2136::Transport::Tcp,
                    answer_within: None,
                    memo,
                })?)
            }
            Record::Exec(its) => Arc::new(scripts::Scripts::new(scripts::Settings {
                point: its.point.into_iter().map(|(site, path)| (site, here.folder.join(path))).collect(),
                check: its.check.map(|check| here.folder.join(check)),
                addresses: listed(its.addresses),
                verify: its.verify,
                name: its.name,
                resource: here.resource.clone(),
                site: here.site.clone(),
                lock: here.state.join(format!("dns.{}.lock", here.resource)),
                memo,
                guard: here.guard.clone(),
            })?),
            Record::Memory(its) => {
                if let Some(site) = its.points_at
                    && here.world.state(&here.in_memory()).is_null()
                {
                    here.world.set(&here.in_memory(), serde_json::json!(site));
                }
                Arc::new(MemoryName::record(here.world.clone(), here.in_memory(), its.sites))
            }
        })
    }
}

impl ClientSettings {
    pub(crate) fn driver(self, here: &Here<'_>) -> Result<Arc<dyn Driver>, Problem> {
        if self.client == ClientKind::Memory {
            return Ok(Arc::new(MemoryName::client(here.world.clone(), here.in_memory(), self.sites)));
        }
        let flush = match (self.client, self.flush) {
            (ClientKind::Exec, Some(script)) => Flush::Script(here.folder.join(script)),
            (ClientKind::Exec, None) => return Err(wrong("`client: exec` needs `flush`")),
            (_, Some(_)) => return Err(wrong("`flush` belongs to `client: exec`")),
            (ClientKind::Resolvectl, None) => Flush::Resolvectl,
            (ClientKind::Nscd, None) => Flush::Nscd,
            (_, None) => Flush::Nothing,
        };
        let resolve = match (self.resolve, self.cache) {
            (Some(_), Some(_)) => return Err(wrong("either `resolve` or `cache`")),
            (Some(script), None) => Resolve::Script(here.folder.join(script)),
            (None, Some(server)) => Resolve::Cache(server),
            (None, None) => Resolve::System,
        };
        let hosts = match (self.push, self.unpush) {
            (Some(push), Some(unpush)) => Some(Hosts {
                push: here.folder.join(push),
                unpush: here.folder.join(unpush),
                note: here.state.join(format!("dns.{}.pushed", here.resource)),
            }),
            (None, None) => None,
            _ => return Err(wrong("`push` and `unpush` belong together")),
        };
        Ok(Arc::new(Client::new(client::Settings {
            flush,
            resolve,
            hosts,
            names: self.names.into_iter().map(|(name, sites)| (name, listed(sites))).collect(),
            resource: here.resource.clone(),
            site: here.site.clone(),
            lock: here.state.join(format!("dns.{}.lock", here.resource)),
            guard: here.guard.clone(),
        })))
    }
}
