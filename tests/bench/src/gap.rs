//! What users feel of a move: for how long nobody can write.
//!
//! The floor is the SQL of a move said by a bare script to two database servers: close, mark, drain, stop,
//! sequences, slot, open. Beside it, in the same run: a group of a database alone, the whole stack with its
//! proxies, and a failover from its decision on, main killed and main frozen. A client that writes every 10 ms
//! says how long the gap was; which step the time went to is said by the run.

mod client;
mod database;
mod failover;
mod script;
mod stack;

use std::path::Path;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use lab::system::loss::By;
use schemas::view::{RunState, RunView};
use serde::Serialize;

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Gaps {
    pub(crate) switchover: Switchover,
    pub(crate) failover: Failover,
}

/// Planned moves; medians, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Switchover {
    pub(crate) floor_ms: f64,
    pub(crate) database_gap_ms: f64,
    pub(crate) stack_gap_ms: f64,
    floor_all_ms: Vec<f64>,
    database: Vec<Moved>,
    stack: Vec<Moved>,
}

/// From the run's decision to the first write at the other site; medians, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Failover {
    pub(crate) decision_to_write_ms: f64,
    pub(crate) frozen_decision_to_write_ms: f64,
    /// The bound that the group's file gives to the fence.
    pub(crate) fence_within_ms: f64,
    killed: Vec<Moved>,
    frozen: Vec<Moved>,
}

/// One move.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Moved {
    pub(crate) gap_ms: f64,
    /// What its run did meanwhile, the longest first.
    pub(crate) steps: Vec<Spent>,
}

/// A step, and how much of the gap it took.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Spent {
    pub(crate) step: String,
    pub(crate) ms: f64,
}

/// So many steps are named.
const NAMED: usize = 8;

impl Moved {
    /// A gap from `from` to `to`, and the steps of its run that lie in it.
    fn of(view: &RunView, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<Moved> {
        ensure!(view.state == RunState::Completed, "{}: {:?} {:?}", view.id, view.state, view.waits_for);
        let inside = |step: &schemas::view::StepView| {
            let (start, end) = (step.started?.max(from), step.ended.unwrap_or(to).min(to));
            (end > start).then(|| Spent { step: step.name.clone(), ms: millis(start, end) })
        };
        let mut steps: Vec<Spent> = view.steps.iter().filter_map(inside).collect();
        steps.sort_by(|one, other| other.ms.total_cmp(&one.ms));
        steps.truncate(NAMED);
        Ok(Moved { gap_ms: millis(from, to), steps })
    }
}

fn millis(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_microseconds().unwrap_or(i64::MAX) as f64 / 1e3
}

fn median(all: &[f64]) -> anyhow::Result<f64> {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().context("nothing was measured")
}

fn median_gap(all: &[Moved]) -> anyhow::Result<f64> {
    median(&all.iter().map(|moved| moved.gap_ms).collect::<Vec<_>>())
}

/// Measures all, `times` moves of each kind.
pub(crate) async fn measure(folder: &Path, times: usize) -> anyhow::Result<Gaps> {
    let floor = script::gaps(&folder.join("script"), times).await.context("the bare script")?;
    let database = database::gaps(&folder.join("pair"), times).await.context("a database alone")?;
    let stack = stack::gaps(&folder.join("stack"), times).await.context("the whole stack")?;
    let killed = failover::gaps(&folder.join("killed"), By::Kill, times).context("main killed")?;
    let frozen = failover::gaps(&folder.join("frozen"), By::Freeze, times).context("main frozen")?;
    Ok(Gaps {
        switchover: Switchover {
            floor_ms: median(&floor)?,
            database_gap_ms: median_gap(&database)?,
            stack_gap_ms: median_gap(&stack)?,
            floor_all_ms: floor,
            database,
            stack,
        },
        failover: Failover {
            decision_to_write_ms: median_gap(&killed)?,
            frozen_decision_to_write_ms: median_gap(&frozen)?,
            fence_within_ms: failover::FENCE_WITHIN_MS,
            killed,
            frozen,
        },
    })
}

/// One part, printed: for whoever looks for a cause.
pub(crate) async fn only(folder: &Path, part: &str, times: usize) -> anyhow::Result<()> {
    match part {
        "floor" => println!("{:?}", script::gaps(&folder.join("script"), times).await?),
        "database" => print(&database::gaps(&folder.join("pair"), times).await?),
        "stack" => print(&stack::gaps(&folder.join("stack"), times).await?),
        "killed" => print(&failover::gaps(&folder.join("killed"), By::Kill, times)?),
        _ => print(&failover::gaps(&folder.join("frozen"), By::Freeze, times)?),
    }
    Ok(())
}

fn print(all: &[Moved]) {
    for moved in all {
        let steps: Vec<String> =
            moved.steps.iter().map(|spent| format!("{} {:.1}", spent.step, spent.ms)).collect();
        println!("gap {:.1} ms: {}", moved.gap_ms, steps.join(", "));
    }
}
