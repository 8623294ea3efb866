//! A host's file: its site, the bus, and the services that run on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use document::{Document, Located};
use schemars::JsonSchema;
use schemas::{GroupId, PersonId, Prefix, ResourceId, Service, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::file::Version;

/// One host's file, checked. The settings of its services are as they were written.
#[derive(Debug, Clone)]
pub struct Host {
    /// The host's place: a site of the groups, or another such as `witness`.
    pub site: SiteId,
    /// The groups whose resources it serves; empty for a host that serves none, such as one of clients only.
    pub groups: Vec<GroupId>,
    /// How it reaches the bus.
    pub bus: Bus,
    /// The folder for what its services and this command keep.
    pub state: PathBuf,
    /// What tells people that a database of this host is kept closed after a boot.
    pub page: Option<PathBuf>,
    /// The runner, if it runs here.
    pub runner: Option<RunnerSettings>,
    pub(crate) document: Document,
    pub(crate) folder: PathBuf,
    pub(crate) settings: BTreeMap<(Service, ResourceId), Entry>,
}

/// One resource as the file has it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) pointer: String,
    pub(crate) group: Option<GroupId>,
    pub(crate) located: Located,
}

/// What a host's file says about one resource: read by the service's own types.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Which service it is for.
    pub service: Service,
    /// The resource.
    pub resource: &'a ResourceId,
    /// The group that claims it; none for a client host or cache, which no group claims.
    pub group: Option<&'a GroupId>,
    /// Where it stands in the file, as a JSON pointer.
    pub pointer: &'a str,
    /// What is written but for `group`, with the place of everything.
    pub located: &'a Located,
    /// The whole file: its path, and diagnostics by pointer.
    pub document: &'a Document,
}

impl Host {
    /// The resources of one service, by name.
    pub fn settings(&self, service: Service) -> impl Iterator<Item = Settings<'_>> {
        self.settings.iter().filter(move |((of, _), _)| *of == service).map(|((service, resource), entry)| {
            let Entry { pointer, group, located } = entry;
            let group = group.as_ref();
            Settings { service: *service, resource, group, pointer, located, document: &self.document }
        })
    }

    /// The services that the file names, each once.
    pub fn services(&self) -> impl Iterator<Item = Service> + '_ {
        Service::ALL.iter().copied().filter(|service| self.settings.keys().any(|(of, _)| of == service))
    }

    /// A path as a service's settings write it: relative ones start at the file's folder. Those of the bus, the runner and
    /// the page are so already.
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// The file as it was read.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The flag that lets this host's services change something; `pointsman arm` makes it.
    pub fn armed_flag(&self) -> PathBuf {
        self.state.join("armed")
    }
}

/// A host's file as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "host.yaml")]
#[serde(deny_unknown_fields)]
pub(crate) struct HostFile {
    /// The version of this file's shape.
    #[expect(dead_code, reason = "reading it is the check")]
    pub(crate) version: Version,
    /// The host's place: a site of the groups, or another such as `witness`.
    pub(crate) site: SiteId,
    /// The groups whose resources it serves. Where it names several, each resource says `group:`.
    #[serde(default)]
    pub(crate) groups: Vec<GroupId>,
    /// How it reaches the bus.
    pub(crate) bus: Bus,
    /// The folder for ledgers, locks and flags.
    #[serde(default = "state")]
    pub(crate) state: PathBuf,
    /// Run when a database of this host is kept closed after a boot: nobody is in reach to say that it may open.
    #[serde(default)]
    pub(crate) page: Option<PathBuf>,
    /// The databases beside which this host stands, with their drivers' settings.
    #[serde(default)]
    #[schemars(with = "BTreeMap<ResourceId, Driver>")]
    pub(crate) database: BTreeMap<ResourceId, Value>,
    /// Replications, with their drivers' settings.
    #[serde(default)]
    #[schemars(with = "BTreeMap<ResourceId, Driver>")]
    pub(crate) replication: BTreeMap<ResourceId, Value>,
    /// Processes and switches, with their drivers' settings.
    #[serde(default)]
    #[schemars(with = "BTreeMap<ResourceId, Driver>")]
    pub(crate) process: BTreeMap<ResourceId, Value>,
    /// Names, and name clients (`client:` instead of `driver:`), with their settings.
    #[serde(default)]
    #[schemars(with = "BTreeMap<ResourceId, Driver>")]
    pub(crate) dns: BTreeMap<ResourceId, Value>,
    /// The runner, on the one host where it runs.
    #[serde(default)]
    pub(crate) runner: Option<RunnerSettings>,
}

/// One resource's settings; which keys there are is the driver's matter.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for the JSON Schema; the services read the settings")]
struct Driver {
    /// The group that claims it, where the file names several.
    group: Option<GroupId>,
    /// What acts: `postgres`, `rfc2136`, `systemd`, `exec`, or `memory` in a rehearsal.
    driver: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn state() -> PathBuf {
    PathBuf::from("/var/lib/pointsman")
}

/// How a host reaches the bus. Secrets stand in files of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// The first tokens of every subject.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The servers, `nats://host:port` or `tls://host:port`; all that there are, in the order in which they are tried:
    /// the place's own first.
    pub servers: Vec<String>,
    /// A credentials file (a JWT and its NKey seed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creds: Option<PathBuf>,
    /// A file with an NKey seed, instead of credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nkey: Option<PathBuf>,
    /// Certificates, where the system's do not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The person as whom the commands of this host ask; the server's permissions pin it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
}

fn prefix() -> String {
    "pointsman".to_owned()
}

impl Bus {
    /// The prefix of every subject.
    ///
    /// # Errors
    ///
    /// Not for a file that was read: it was checked.
    pub fn prefix(&self) -> Result<Prefix, schemas::BadSubject> {
        Prefix::new(&self.prefix)
    }
}

/// Certificates for the bus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The authority that signed the servers' certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// This host's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// The runner's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunnerSettings {
    /// The folder of the journal; on a disk that keeps what it acknowledged.
    pub journal: PathBuf,
    /// The folder of the groups' files; `defaults.yaml` stands beside it.
    pub groups: PathBuf,
    /// A folder of further workflow definitions; those with the same name replace the shipped ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definitions: Option<PathBuf>,
}

impl Default for RunnerSettings {
    fn default() -> Self {
        RunnerSettings {
            journal: PathBuf::from("/var/lib/pointsman/journal"),
            groups: PathBuf::from("/etc/pointsman/groups"),
            definitions: None,
        }
    }
}
