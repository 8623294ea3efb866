//! What is written down: one case by kill at the top, the other under `frozen`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use schemas::RunId;
use schemas::view::{RunState, RunView, StepState};
use serde::Serialize;

use super::kills::{Fired, Part};

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Main was killed.
    #[serde(flatten)]
    pub killed: Case,
    /// Main was frozen, and woke up.
    pub frozen: Case,
    /// Risks that the lab's group accepts in its file.
    pub accepted: Vec<String>,
}

/// One loss of main.
#[derive(Debug, Serialize)]
pub struct Case {
    /// The run.
    pub run: Run,
    /// Its steps, in the order in which they began.
    pub steps: Vec<Step>,
    /// Milliseconds by phase, from the first step's beginning to the last one's end.
    pub phases: BTreeMap<String, i64>,
    /// Milliseconds without an acknowledged write.
    pub write_gap_ms: i64,
    /// Rows that the writer was acknowledged and that are not at the secondary.
    pub rows_lost: u64,
    /// Reads through the surviving proxy that failed, of `reads`.
    pub reads_failed: u64,
    /// Reads through the surviving proxy.
    pub reads: u64,
    /// How often the runner was killed.
    pub runner_kills: usize,
    /// Where.
    pub kills: Vec<Kill>,
    /// From which the kills were drawn.
    pub seed: u64,
    /// What main did after it woke up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub woken: Option<Woken>,
}

/// The run.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// How it ended.
    pub state: RunState,
    /// From its decision to its end, in milliseconds.
    pub took_ms: Option<i64>,
}

/// A step.
#[derive(Debug, Serialize)]
pub struct Step {
    /// Where it stands in the definition.
    pub position: String,
    /// Its name and its resource.
    pub name: String,
    /// How it ended.
    pub state: StepState,
    /// Sendings.
    pub attempts: u32,
    /// Whether it was ever in doubt.
    pub in_doubt: bool,
    /// What settled it then.
    pub settled_by: Option<String>,
    /// From its intent to its end.
    pub duration_ms: Option<i64>,
}

/// A kill of the runner.
#[derive(Debug, Serialize)]
pub struct Kill {
    /// Within which part.
    pub part: Part,
    /// At which message, and how much later.
    pub when: String,
    /// The step that it left in doubt; none if its outcome was recorded already.
    pub in_doubt: Option<String>,
}

/// What main did after it woke up.
#[derive(Debug, Serialize)]
pub struct Woken {
    /// Writes that were acknowledged there after the freeze.
    pub acknowledged: u64,
    /// Rows that sessions still held and committed on waking.
    pub committed: u64,
    /// From waking to closed, in milliseconds.
    pub closed_after_ms: i64,
    /// From waking until nothing was owed.
    pub debts_paid_after_ms: i64,
    /// It was looked at for so long, and was closed each time.
    pub stayed_closed_ms: i64,
}

fn millis(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<i64> {
    Some((to? - from?).num_milliseconds())
}

/// The run's own part of a case, out of what `pointsman show` says.
#[must_use]
pub fn run(view: &RunView) -> (Run, Vec<Step>, BTreeMap<String, i64>) {
    let steps = view.steps.iter().map(|step| Step {
        position: step.position.to_string(),
        name: step.name.clone(),
        state: step.state,
        attempts: step.attempts,
        in_doubt: step.in_doubt,
        settled_by: step.settled_by.clone(),
        duration_ms: millis(step.started, step.ended),
    });
    let mut spans: BTreeMap<String, (DateTime<Utc>, DateTime<Utc>)> = BTreeMap::new();
    for step in &view.steps {
        let (Some(phase), Some(from)) = (&step.phase, step.started) else { continue };
        let to = step.ended.unwrap_or(from);
        let span = spans.entry(phase.clone()).or_insert((from, to));
        *span = (span.0.min(from), span.1.max(to));
    }
    let phases = spans.into_iter().map(|(phase, (from, to))| (phase, (to - from).num_milliseconds()));
    let run = Run { id: view.id, state: view.state, took_ms: millis(Some(view.started), view.ended) };
    (run, steps.collect(), phases.collect())
}

/// Whether a kill left its step in doubt.
#[must_use]
pub fn kill(fired: &Fired, view: &RunView) -> Kill {
    let step = view.steps.iter().find(|step| {
        let asked = format!("{}.{}", fired.shot.address.service, fired.shot.action.as_str());
        step.address.as_ref() == Some(&fired.shot.address) && step.function.starts_with(&asked)
    });
    Kill {
        part: fired.shot.part,
        when: fired.shot.to_string(),
        in_doubt: step.filter(|step| step.in_doubt).map(|step| step.position.to_string()),
    }
}

/// Writes the report whole.
///
/// # Errors
///
/// Those of the file system.
pub fn write(path: &Path, report: &impl Serialize) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
