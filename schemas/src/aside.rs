//! What a copy kept aside at a receiver, until somebody says that it may go.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ResourceId, SiteId};

/// The old tables that a receiver's latest copy kept aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Aside {
    /// How many are there; 0: nothing is kept aside.
    pub tables: u64,
    /// Their size in all, with what belongs to them.
    pub bytes: u64,
    /// The largest of them, 20 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub largest: Vec<AsideTable>,
    /// When the copy began, which kept them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// The ledger of what only that site had, which was exported before: its file and digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// Who waived that ledger, and why; it was not exported then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
    /// The copy has not ended: what is kept cannot be dropped yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
}

/// A table that is kept aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsideTable {
    /// The table as it was called, with its schema.
    pub table: String,
    /// What it is called while it is kept.
    pub kept: String,
    /// Its size.
    pub bytes: u64,
}

/// What a receiver keeps aside, as a preview saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsideAt {
    /// The receiver's site.
    pub site: SiteId,
    /// The replication.
    pub resource: ResourceId,
    /// What it keeps; none where it was not seen, or does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Aside>,
}

impl Aside {
    /// How much, as part of a sentence: `3 tables, 1.2 GiB`.
    pub fn words(&self) -> String {
        let tables = if self.tables == 1 { "1 table".to_owned() } else { format!("{} tables", self.tables) };
        format!("{tables}, {}", size(self.bytes))
    }

    /// Whether something is kept that may be dropped: the copy that laid it aside has ended.
    pub fn is_kept(&self) -> bool {
        self.tables > 0 && !self.unfinished
    }

    /// So many are not named.
    pub fn unnamed(&self) -> u64 {
        self.tables.saturating_sub(u64::try_from(self.largest.len()).unwrap_or(u64::MAX))
    }
}

impl AsideAt {
    /// Whether something is kept there; unseen it may be.
    fn may_keep(&self) -> bool {
        self.seen.as_ref().is_none_or(|aside| aside.tables > 0)
    }
}

/// The sites at which something is kept aside, or may be.
pub fn keeping(all: &[AsideAt]) -> BTreeSet<&SiteId> {
    all.iter().filter(|at| at.may_keep()).map(|at| &at.site).collect()
}

/// A number of bytes, in one unit.
pub fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(power, _)| bytes >> power > 0);
    unit.map_or(format!("{bytes} B"), |(power, name)| {
        format!("{:.1} {name}", bytes as f64 / (1_u64 << power) as f64)
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn at(site: &str, tables: Option<u64>) -> AsideAt {
        let seen = tables.map(|tables| Aside { tables, ..Aside::default() });
        AsideAt { site: site.parse().unwrap(), resource: "csp".parse().unwrap(), seen }
    }

    #[test]
    fn a_site_keeps_something_unless_it_says_that_it_does_not() {
        let sites = |all: &[AsideAt]| keeping(all).into_iter().map(SiteId::to_string).collect::<Vec<_>>();
        assert_eq!(sites(&[at("main", Some(2)), at("secondary", Some(0))]), ["main"]);
        assert_eq!(sites(&[at("main", Some(0)), at("secondary", None)]), ["secondary"]);
        assert_eq!(sites(&[at("main", Some(1)), at("main", Some(0)), at("secondary", Some(1))]).len(), 2);
        assert!(sites(&[at("main", Some(0))]).is_empty());
    }

    #[test]
    fn what_an_older_service_says_still_reads() {
        let aside: Aside = serde_json::from_str(r#"{"tables":3,"bytes":1536}"#).unwrap();
        assert_eq!((aside.words().as_str(), aside.unnamed()), ("3 tables, 1.5 KiB", 3));
    }
}
