//! The whole cycle: main is lost, comes home by copy, a planned move there and back; twice, while users work and
//! the runner and services die.

pub mod draw;
pub mod hunt;
pub mod leg;
pub mod report;
mod round;
pub mod watch;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::demo::chance::Chance;
use crate::demo::{report as written, seeded};
use crate::system::{Lab, sweep, until, users};
use report::Report;
use round::Cycle;

/// How often the cycle is gone through.
const ROUNDS: usize = 2;

/// Goes through the cycle twice in one lab, prints each leg, and writes the report.
///
/// # Errors
///
/// What did not hold; the report is written all the same where every leg ended, and logs are kept.
pub fn run(state: &Path, seed: Option<u64>, path: &Path) -> anyhow::Result<()> {
    let seed = seeded(seed)?;
    println!("seed {seed}: the kills are drawn from it; `lab demo-full --seed {seed}` draws the same");
    let started = Instant::now();
    let mut lab = Lab::up(state, &mut |line| println!("   {line}"))?;
    let folder = lab.plan.folder.clone();
    let result = cycles(&mut lab, seed);
    let good = matches!(&result, Ok(report) if report.wrong.is_empty());
    let kept = if good { None } else { Some(keep(&folder, path, seed)?) };
    drop(lab);
    sweep(&folder)?;
    let logs = || kept.as_ref().map(|kept| format!("logs are in {}", kept.display())).unwrap_or_default();
    let report = result.with_context(logs)?;
    written::write(path, &report)?;
    println!("\nreport: {}   {} s in all", path.display(), started.elapsed().as_secs());
    if !report.wrong.is_empty() {
        bail!("not as it should be (seed {seed}; {}):\n  {}", logs(), report.wrong.join("\n  "));
    }
    Ok(())
}

fn cycles(lab: &mut Lab, seed: u64) -> anyhow::Result<Report> {
    let mut cycle = Cycle::begin(lab)?;
    let mut chance = Chance::new(seed);
    for round in 1..=ROUNDS {
        cycle.round(lab, round, &mut chance).with_context(|| format!("round {round}, seed {seed}"))?;
    }
    lab.end_writer();
    let acknowledged = users::acknowledged(&lab.plan.writer_file());
    let tables_equal = lab.all_rows_equal()?;
    until("every row is there but those that were lost", round::WITHIN, || {
        Ok(cycle.all_there(lab)?.then_some(()))
    })?;
    println!(
        "\nnobody writes any more: {} rows were acknowledged, {} of them were lost; the same at both sites: {}",
        acknowledged.len(),
        cycle.lost(),
        tables_equal.join(", ")
    );
    let (legs, wrong) = cycle.done();
    Ok(Report { seed, legs, tables_equal, wrong })
}

/// Copies what says why: logs, files and state of the lab's hosts, what the users noted.
fn keep(folder: &Path, report: &Path, seed: u64) -> anyhow::Result<PathBuf> {
    let kept = report.with_file_name(format!("failed-{seed}"));
    if kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    std::fs::create_dir_all(&kept)?;
    let parts = ["log", "hosts", "users"].map(|part| folder.join(part));
    let done = Command::new("cp").arg("-a").args(parts).arg(&kept).status()?;
    if !done.success() {
        bail!("the logs could not be copied to {}", kept.display());
    }
    Ok(kept)
}
