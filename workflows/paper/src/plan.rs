//! A plan: what would be done now, step by step, how long each took last time, and what is assumed.

use std::collections::BTreeMap;

use schemas::view::{RunState, RunView, StepState};
use schemas::{Position, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::forecast::{Ending, Expected, Forecast, Foreseen};
use crate::report::lasting;

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// From 1.
    pub number: u32,
    /// What, of what: `open config@secondary`.
    pub name: String,
    /// What is foreseen.
    pub foreseen: Foreseen,
    /// How long it took in the run that the estimate is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<u64>,
}

/// How long it may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// None where no earlier run says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// From which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// In a sentence.
    pub how: String,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps.
    pub steps: Vec<PlanStep>,
    /// How it would end.
    pub ending: Ending,
    /// How long it may take.
    pub estimate: Estimate,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

impl Plan {
    /// A forecast with the times of an earlier completed run of the same definition.
    pub fn new(forecast: Forecast, last: Option<&RunView>) -> Plan {
        let took: BTreeMap<&Position, u64> = last
            .iter()
            .flat_map(|run| &run.steps)
            .filter(|step| step.state == StepState::Done)
            .filter_map(|step| {
                Some((&step.position, u64::try_from((step.ended? - step.started?).num_milliseconds()).ok()?))
            })
            .collect();
        let steps: Vec<PlanStep> = (1..)
            .zip(forecast.steps)
            .map(|(number, foreseen)| PlanStep {
                number,
                name: named(&foreseen),
                last_ms: took.get(&foreseen.position).copied(),
                foreseen,
            })
            .collect();
        let estimate = estimate(&steps, last);
        let assumptions = assumptions(&steps);
        Plan { steps, ending: forecast.ending, estimate, assumptions }
    }

    /// The plan as lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut phase = None;
        for step in &self.steps {
            let call = &step.foreseen.call;
            if call.phase != phase {
                phase.clone_from(&call.phase);
                lines.push(format!("{}:", phase.as_deref().unwrap_or("other")));
            }
            let expected = match step.foreseen.expected {
                Expected::Done => "",
                Expected::AlreadySo => "already so",
                Expected::Owed => "OWED",
                Expected::Waits => "WAITS",
            };
            let last = step.last_ms.map_or("no estimate".to_owned(), |ms| format!("last {}", lasting(ms)));
            let why = match (expected, step.foreseen.why.as_str()) {
                ("", "") => String::new(),
                ("", why) => format!("  ({why})"),
                (expected, "") => format!("  {expected}"),
                (expected, why) => format!("  {expected}: {why}"),
            };
            lines.push(format!("{:>3} {:<36} {last:<14}{why}", step.number, step.name));
        }
        lines.push(match &self.ending {
            Ending::Completed => "then it is completed".to_owned(),
            Ending::BackedOut => "then it has backed out".to_owned(),
            Ending::Faulted { why } => format!("then it FAULTS: {why}"),
            Ending::Held { at, why } => format!("then it is HELD at {at}: {why}"),
            Ending::Listens { at } => format!("then it waits for an event at {at}"),
            Ending::TooLong => "it goes on for longer than can be foreseen".to_owned(),
        });
        lines.push(format!("estimate: {}", self.estimate.how));
        lines.extend(self.assumptions.iter().map(|text| format!("assumed: {text}")));
        lines
    }
}

/// A step's name as runs show it.
pub(crate) fn named(step: &Foreseen) -> String {
    let call = &step.call;
    let text = |name: &str| call.args.get(name).and_then(Value::as_str);
    match (text("resource"), text("site")) {
        (Some(resource), Some(site)) => format!("{} {resource}@{site}", call.name),
        (None, Some(site)) => format!("{} {site}", call.name),
        _ => call.name.clone(),
    }
}

fn estimate(steps: &[PlanStep], last: Option<&RunView>) -> Estimate {
    let none = |how: &str| Estimate { ms: None, run: None, how: how.to_owned() };
    let Some(run) = last.filter(|run| run.state == RunState::Completed) else {
        return none("no estimate: no run of this workflow was completed yet");
    };
    let Some(ms) = run.ended.and_then(|end| u64::try_from((end - run.started).num_milliseconds()).ok())
    else {
        return none("no estimate");
    };
    let acts = || steps.iter().filter(|step| step.foreseen.expected != Expected::Owed);
    let unknown = acts().filter(|step| step.last_ms.is_none()).count();
    let mut how = format!("{}, as run {} took", lasting(ms), run.id.short(4));
    if unknown > 0 {
        how.push_str(&format!("; {unknown} of {} steps were not in it", acts().count()));
    }
    if steps.iter().any(|step| step.foreseen.expected == Expected::Waits) {
        how.push_str("; waiting comes on top");
    }
    Estimate { ms: Some(ms), run: Some(run.id), how }
}

fn assumptions(steps: &[PlanStep]) -> Vec<String> {
    let mut found = Vec::new();
    let count = |expected: Expected| steps.iter().filter(|step| step.foreseen.expected == expected).count();
    if count(Expected::Done) > 0 {
        found.push("each step that can be asked succeeds, and nothing changes meanwhile".to_owned());
    }
    if count(Expected::Owed) > 0 {
        let of = steps_of(count(Expected::Owed));
        found.push(format!("at a lost site nobody can be asked, and what is wanted there is owed: {of}"));
    }
    if count(Expected::Waits) > 0 {
        found.push(format!("what is waited for comes in the end: {}", steps_of(count(Expected::Waits))));
    }
    if steps.iter().any(|step| step.foreseen.why == "not looked at") {
        let elsewhere = if count(Expected::Owed) > 0 { " at the other sites" } else { "" };
        found.push(format!("nothing was looked at: every resource{elsewhere} answers"));
    }
    found
}

fn steps_of(count: usize) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}
