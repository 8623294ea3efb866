//! Which events a listen or a schedule takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Attributes that an event must have, each with an equal value (`with` of the language).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventFilter(pub BTreeMap<String, Value>);

/// How many of the filters must be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One event that fits any of them (`one`, and `any` without `until`).
    Any,
    /// One event for each of them.
    All,
}

/// Filters and how many of them must be met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventFilters {
    /// How many.
    pub strategy: Strategy,
    /// In the order of the file.
    pub filters: Vec<EventFilter>,
}

impl EventFilter {
    /// Whether a CloudEvent (JSON format) has all these attributes with equal values.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.iter().all(|(name, value)| event.get(name) == Some(value))
    }
}

impl EventFilters {
    /// The first filter that fits.
    pub fn first_match(&self, event: &Value) -> Option<usize> {
        self.filters.iter().position(|filter| filter.matches(event))
    }

    /// Whether any filter fits.
    pub fn matches(&self, event: &Value) -> bool {
        self.first_match(event).is_some()
    }
}
