//! What a run compared: what differs, and what it could not decide. A table that changes whenever it is looked at is not
//! called equal; a receiver that does not hold what its source holds protects nobody, whoever went past that.

use std::collections::BTreeMap;

use schemas::{Action, Address, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::{CallRecord, CallState};
use crate::core::Core;
use crate::entry::{SettledAs, Settlement};
use crate::in_memory::Group;
use crate::run::Run;

/// A receiver that was compared with its source to an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Its half.
    pub half: Address,
    /// The tables that differ.
    pub differ: Vec<String>,
}

impl Run {
    /// What its comparisons found, the latest of each receiver.
    pub(crate) fn compared(&self) -> Vec<Compared> {
        let mut latest: BTreeMap<&Address, &CallRecord> = BTreeMap::new();
        for call in self.calls.values().filter(|call| call.action == Action::Compare) {
            let known = latest.entry(&call.address).or_insert(call);
            if known.ended < call.ended {
                *known = call;
            }
        }
        let found = |(half, call): (&Address, &CallRecord)| {
            let differ = differing(&call.state)?;
            Some(Compared { half: half.clone(), differ })
        };
        latest.into_iter().filter_map(found).collect()
    }

    /// Whether none of them found a difference.
    pub(crate) fn alike(&self) -> bool {
        self.compared().iter().all(|found| found.differ.is_empty())
    }

    /// What differs, for people: `public.entry of css@main`.
    pub(crate) fn differs(&self) -> Vec<String> {
        let all = self.compared().into_iter();
        all.flat_map(|Compared { half, differ }| {
            let of = format!("{}@{}", half.resource, half.site);
            differ.into_iter().map(move |table| format!("{table} of {of}"))
        })
        .collect()
    }

    /// What its comparisons left undecided, for people: `public.entry of css@main`. None: it compared nothing.
    pub(crate) fn not_compared(&self) -> Option<Vec<String>> {
        let mut compared: Option<Vec<String>> = None;
        for call in self.calls.values().filter(|call| call.action == Action::Compare && !call.open()) {
            let of = format!("{}@{}", call.address.resource, call.address.site);
            let tables = undecided(&call.state).into_iter().map(|table| format!("{table} of {of}"));
            compared.get_or_insert_default().extend(tables);
        }
        compared
    }
}

impl Core {
    /// Why a receiver does not protect although it may follow: it was compared, and is not what its source is.
    pub(crate) fn unlike(&self, g: &Group, receiver: &Address) -> Option<String> {
        Some(format!("{}: {}", rows_differ(g, receiver)?, self.copied_anew(g, &receiver.site)))
    }

    /// What ends that.
    pub(crate) fn copied_anew(&self, g: &Group, standby: &SiteId) -> String {
        format!(
            "{}; where somebody has made them alike by hand, pointsman adopt {} --why …",
            self.copied_to(g, standby),
            g.plan.group
        )
    }

    /// The same of all receivers from one site to the other.
    pub(crate) fn all_unlike(&self, g: &Group, from: &SiteId, to: &SiteId) -> Vec<String> {
        self.halves_of(g, from, to).iter().filter_map(|half| self.unlike(g, half)).collect()
    }
}

/// That a receiver was compared, and is not what its source is.
pub(crate) fn rows_differ(g: &Group, receiver: &Address) -> Option<String> {
    let tables = g.record.differs.get(receiver)?.join(", ");
    let Address { resource, site, .. } = receiver;
    Some(format!("{resource}: {site} does not hold the same rows as its source ({tables})"))
}

fn all() -> Vec<String> {
    vec!["all tables".to_owned()]
}

/// The names of the tables with such a verdict; all where none is named.
fn named(output: &Value, verdict: impl Fn(&Value) -> bool) -> Vec<String> {
    let tables = output["tables"].as_object().into_iter().flatten();
    let tables = tables.filter(|(_, table)| verdict(&table["equal"]));
    let tables: Vec<String> = tables.map(|(name, _)| name.clone()).collect();
    if tables.is_empty() { all() } else { tables }
}

/// Tables without a verdict; of a comparison that nobody saw the end of, all.
fn undecided(state: &CallState) -> Vec<String> {
    match output(state) {
        None => all(),
        Some(output) if output["equal"].is_boolean() => Vec::new(),
        Some(output) => named(output, |equal| !equal.is_boolean()),
    }
}

/// Tables that differ; none of a comparison that nobody saw the end of.
fn differing(state: &CallState) -> Option<Vec<String>> {
    let output = output(state)?;
    let different = |equal: &Value| *equal == Value::Bool(false);
    Some(if different(&output["equal"]) { named(output, different) } else { Vec::new() })
}

fn output(state: &CallState) -> Option<&Value> {
    match state {
        CallState::Settled { settlement: Settlement { result: SettledAs::Done { output, .. }, .. } } => {
            Some(output)
        }
        _ => None,
    }
}
