//! What a person declares of a group, and how it is shown.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SiteId;
use crate::op::Who;

/// What no look can tell: why a site, or the link to it, is silent, and whether it will return. It starts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Declaration {
    /// Only the link between the sites is lost: no trigger starts anything.
    Disconnect,
    /// A site is down, and will return with what it has.
    Outage,
    /// A site is gone, and will not return as it was: nothing of it is caught up with.
    Disaster,
    /// What was declared before is over.
    Over,
}

impl Declaration {
    /// As it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Declaration::Disconnect => "disconnect",
            Declaration::Outage => "outage",
            Declaration::Disaster => "disaster",
            Declaration::Over => "over",
        }
    }
}

impl std::fmt::Display for Declaration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is declared of a group now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredView {
    /// What; never `over`.
    pub what: Declaration,
    /// The site that is down or gone; none for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Who declared it.
    pub who: Who,
    /// Why.
    pub why: String,
    /// What it means here, and which commands come next.
    pub sentence: String,
}
