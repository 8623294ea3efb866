//! What a run compared and could not decide. A table that changes whenever it is looked at is not called equal.

use schemas::Action;

use crate::call::CallState;
use crate::entry::{SettledAs, Settlement};
use crate::run::Run;

impl Run {
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

/// Tables without a verdict; of a comparison that nobody saw the end of, all.
fn undecided(state: &CallState) -> Vec<String> {
    let all = vec!["all tables".to_owned()];
    let CallState::Settled { settlement: Settlement { result: SettledAs::Done { output, .. }, .. } } = state
    else {
        return all;
    };
    if output["equal"].is_boolean() {
        return Vec::new();
    }
    let tables = output["tables"].as_object().into_iter().flatten();
    let tables = tables.filter(|(_, table)| !table["equal"].is_boolean());
    let tables: Vec<String> = tables.map(|(name, _)| name.clone()).collect();
    if tables.is_empty() { all } else { tables }
}
