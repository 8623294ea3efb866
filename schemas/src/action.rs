//! The services, what can be asked of them, and what each act does to the world.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The four pairs of hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Address records, and the clients that follow them.
    Dns,
    /// Access to a site's database.
    Database,
    /// Replication between the sites' databases.
    Replication,
    /// Programs on hosts.
    Process,
}

/// What an act does, as far as opening and closing a site is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The site accepts writes afterwards.
    Opens,
    /// The site accepts no writes afterwards.
    Closes,
    /// Something else is different afterwards.
    Changes,
    /// Nothing is different afterwards.
    Observes,
}

macro_rules! actions {
    ($($variant:ident $text:literal $service:ident $effect:ident $doc:literal;)*) => {
        /// What can be asked of a service; each is convergent: look, act, verify.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Action { $(#[doc = $doc] $variant,)* }

        impl Action {
            /// Each action, in the order of the services.
            pub const ALL: &'static [Action] = &[$(Action::$variant,)*];

            /// As it stands in a subject and in a function's name.
            pub fn as_str(self) -> &'static str {
                match self { $(Action::$variant => $text,)* }
            }

            /// What it does to the world.
            pub fn effect(self) -> Effect {
                match self { $(Action::$variant => Effect::$effect,)* }
            }

            /// What it does, in words.
            pub fn summary(self) -> &'static str {
                match self { $(Action::$variant => $doc,)* }
            }

            /// The action `text` of `service`.
            pub fn of(service: Service, text: &str) -> Option<Action> {
                match (service, text) { $((Service::$service, $text) => Some(Action::$variant),)* _ => None }
            }

            /// The service that it is asked of.
            pub fn service(self) -> Service {
                match self { $(Action::$variant => Service::$service,)* }
            }
        }
    };
}

actions! {
    Point "point" Dns Changes "Makes the name resolve to a site's address at its authoritative servers.";
    Follow "follow" Dns Changes "Flushes the resolver of one client host or cache until the name resolves to the site there.";
    Push "push" Dns Changes "Writes the names with the site's addresses into the hosts file of one client host.";
    Unpush "unpush" Dns Changes "Takes what a push wrote out of the hosts file of one client host again.";
    DisableAccess "disable-access" Database Closes "Closes the database: no named role can write, no session of theirs is left.";
    EnableAccess "enable-access" Database Opens "Opens the database to the named roles.";
    VerifyWrite "verify-write" Database Observes "Sees that a write arrives, with the rights of the named roles; no row of theirs is changed.";
    Mark "mark" Replication Changes "At the source: writes a sentinel, says the position and the sequences.";
    Capture "capture" Replication Changes "At the source: keeps what is written from now on for the receiver (a slot).";
    Discard "discard" Replication Changes "At the source: drops what was kept (the slot).";
    Drain "drain" Replication Changes "At the receiver: waits until a mark is applied, durably.";
    StartReplication "start" Replication Changes "At the receiver: applies what comes.";
    StopReplication "stop" Replication Changes "At the receiver: applies nothing more; its worker is gone.";
    SetSequences "set-sequences" Replication Changes "At the receiver: sequences continue after the source's.";
    Abandon "abandon" Replication Changes "At the receiver, the source lost: applies what came, stops, keeps the position.";
    Export "export" Replication Changes "At the source, returned and closed: stores what the receiver never applied.";
    Copy "copy" Replication Changes "At the receiver: keeps its tables aside, and copies the source's.";
    Compare "compare" Replication Observes "At the receiver: rows and checksums of both sides.";
    Cleanup "cleanup" Replication Changes "At the receiver: drops what a copy kept aside.";
    StartProcess "start" Process Changes "Starts a service; healthy afterwards.";
    StopProcess "stop" Process Changes "Stops a service; nothing of it runs afterwards.";
    RefreshProcess "refresh" Process Changes "Restarts a service that is not healthy within 10 s; healthy afterwards.";
    PointProcess "point" Process Changes "Makes a service work on a site's database.";
}

impl Service {
    /// Each service.
    pub const ALL: &'static [Service] =
        &[Service::Dns, Service::Database, Service::Replication, Service::Process];

    /// As it stands in a subject.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Dns => "dns",
            Service::Database => "database",
            Service::Replication => "replication",
            Service::Process => "process",
        }
    }
}

/// The text names no service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no service: dns, database, replication, process")]
pub struct BadService(pub String);

impl FromStr for Service {
    type Err = BadService;
    fn from_str(text: &str) -> Result<Self, BadService> {
        Service::ALL.iter().copied().find(|s| s.as_str() == text).ok_or_else(|| BadService(text.into()))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Opens => "opens",
            Effect::Closes => "closes",
            Effect::Changes => "changes",
            Effect::Observes => "observes",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service(), self.as_str())
    }
}
