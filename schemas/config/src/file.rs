//! The shapes of the group's file and of `defaults.yaml`, as they are written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{GroupId, ResourceId, SiteId};
use serde::{Deserialize, Deserializer};

use crate::forms::Everywhere;
use crate::group::{Clients, Database, Names, Stale};
use crate::policy::{Approval, Drain, Fence, Loss, Notify, Resume, Reverse, Target, Trigger};
use crate::{AskOr, Percent, Span};

/// The version of the files that this program reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match u32::deserialize(d)? {
            1 => Ok(Version),
            other => {
                Err(serde::de::Error::custom(format!("version {other} is not read by this program; 1 is")))
            }
        }
    }
}

impl JsonSchema for Version {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1, "description": "The version of this file's shape." })
    }
}

/// A group's file: what moves together between two sites, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "groups/*.yaml")]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupFile {
    /// The version of this file's shape.
    #[expect(dead_code, reason = "reading it is the check")]
    pub(crate) version: Version,
    /// The group's name.
    pub(crate) group: GroupId,
    /// Where it stands when several groups move: lower first.
    #[serde(default = "order")]
    pub(crate) order: u32,
    /// The two sites between which it moves.
    pub(crate) sites: [SiteId; 2],
    /// Its databases, with the same names at both sites.
    #[serde(default)]
    pub(crate) databases: BTreeMap<ResourceId, Database>,
    /// What runs at the live site only, in the order of starting; stopped in reverse.
    #[serde(default)]
    pub(crate) live_only: Vec<ResourceId>,
    /// What runs at both sites.
    #[serde(default)]
    pub(crate) everywhere: Vec<Everywhere>,
    /// The names that follow the live site.
    #[serde(default)]
    pub(crate) names: Names,
    /// Who uses the names.
    #[serde(default)]
    pub(crate) clients: Clients,
    /// When monitoring may start a move.
    #[serde(default)]
    pub(crate) trigger: Trigger,
    /// How the site that is left is kept from writing.
    #[serde(default)]
    pub(crate) fence: Fence,
    /// How much an unplanned move may lose; without it no move waits for that.
    #[serde(default)]
    pub(crate) loss: Option<Loss>,
    /// How long replication may take to end.
    #[serde(default)]
    pub(crate) drain: Drain,
    /// The way back.
    #[serde(default)]
    pub(crate) reverse: Reverse,
    /// When a run goes on by itself.
    #[serde(default)]
    pub(crate) resume: Resume,
    /// How long a decision waits for a person.
    #[serde(default)]
    pub(crate) approval: Approval,
    /// What was promised.
    #[serde(default)]
    pub(crate) target: Target,
    /// Commands that tell people.
    #[serde(default)]
    pub(crate) notify: Notify,
}

fn order() -> u32 {
    10
}

/// What holds for every group whose own file does not say otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "defaults.yaml")]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading it is the check; the values are merged as they are written")]
pub(crate) struct DefaultsFile {
    /// The version of this file's shape.
    version: Version,
    /// The names that follow the live site.
    #[serde(default)]
    names: NamesDefaults,
    /// Who uses the names.
    #[serde(default)]
    clients: ClientsDefaults,
    /// When monitoring may start a move.
    #[serde(default)]
    trigger: Trigger,
    /// How the site that is left is kept from writing.
    #[serde(default)]
    fence: FenceDefaults,
    /// How much an unplanned move may lose.
    #[serde(default)]
    loss: Option<Loss>,
    /// How long replication may take to end.
    #[serde(default)]
    drain: Drain,
    /// The way back.
    #[serde(default)]
    reverse: Reverse,
    /// When a run goes on by itself.
    #[serde(default)]
    resume: Resume,
    /// How long a decision waits for a person.
    #[serde(default)]
    approval: Approval,
    /// What was promised.
    #[serde(default)]
    target: Target,
    /// Commands that tell people.
    #[serde(default)]
    notify: Notify,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
struct NamesDefaults {
    /// The longest time to live that the records may have.
    max_ttl: Option<Span>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
struct ClientsDefaults {
    /// What happens to a client that keeps the old address.
    stale: Option<Stale>,
    /// So many must follow before the move is complete.
    done_when: Option<Percent>,
    /// The bound.
    within: Option<Span>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
struct FenceDefaults {
    /// Bounds claim, close and settling of a silent site together.
    within: Option<Span>,
    /// What happens when no path proves the close.
    unproved: Option<AskOr>,
}
