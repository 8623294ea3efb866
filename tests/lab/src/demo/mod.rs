//! The demonstration: main is lost twice, by kill and by freeze, while its users work and the runner dies. And
//! [`full`]: the whole cycle, home and away again.
//!
//! All that is said of the run is what `pointsman` itself shows; all that is said of the users comes from
//! their own files and from looks into databases and DNS that Pointsman knows nothing of.

pub mod case;
pub mod chance;
pub mod full;
pub mod kills;
pub mod print;
pub mod report;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::lookup::random;
use crate::system::loss::By;
use crate::system::{Lab, files, sweep};
use case::lose_main;
use chance::Chance;
use report::Report;

/// Runs both cases, prints them, and writes the report.
///
/// # Errors
///
/// What did not hold; the report is written all the same where both runs ended.
pub fn run(state: &Path, seed: Option<u64>, path: &Path) -> anyhow::Result<()> {
    let seed = seeded(seed)?;
    let accepted = vec![
        format!("trigger.one_prober: {}", files::ONE_PROBER),
        format!("fence.unproved: {}", files::UNPROVED),
    ];
    println!(
        "seed {seed}: the kills of the runner are drawn from it; `lab demo --seed {seed}` draws the same"
    );
    for risk in &accepted {
        println!("the lab's group accepts in its file: {risk}");
    }
    let started = Instant::now();
    let mut chance = Chance::new(seed);
    let (killed, mut wrong) = one(state, By::Kill, &mut chance, seed).context("main killed")?;
    let (frozen, more) = one(state, By::Freeze, &mut chance, seed).context("main frozen")?;
    wrong.extend(more);
    let (gap, frozen_gap) = (killed.write_gap_ms, frozen.write_gap_ms);
    report::write(path, &Report { killed, frozen, accepted })?;
    println!("\nreport: {}   {} s in all", path.display(), started.elapsed().as_secs());
    if !wrong.is_empty() {
        bail!("not as it should be:\n  {}", wrong.join("\n  "));
    }
    println!(
        "Main was lost twice, and each time users write at the secondary again: {gap} ms after the kill, {frozen_gap} ms after \
         the freeze. In these times are kills of the runner: one that was killed shortly before it opened waits until nothing \
         that its earlier life allowed can act any more. The way home, and the planned moves: make demo-full"
    );
    Ok(())
}

/// The seed that was asked for, else a new one, short enough to be typed again.
fn seeded(seed: Option<u64>) -> anyhow::Result<u64> {
    match seed {
        Some(seed) => Ok(seed),
        None => Ok(u64::from(u32::from_le_bytes(random::<4>()?))),
    }
}

/// One case in a fresh lab, which is gone afterwards; also what was not as it should be.
fn one(state: &Path, by: By, chance: &mut Chance, seed: u64) -> anyhow::Result<(report::Case, Vec<String>)> {
    println!("\n== main is lost by {by}");
    let started = Instant::now();
    let mut lab = Lab::up(state, &mut |line| println!("   {line}"))?;
    println!("   up after {:.1} s", started.elapsed().as_secs_f64());
    for line in lab.listening() {
        println!("   {line}");
    }
    let folder = lab.plan.folder.clone();
    let result = lose_main(&mut lab, by, chance, seed);
    drop(lab);
    match result {
        Ok(done) => {
            sweep(&folder)?;
            Ok(done)
        }
        // Its logs stay: they say why.
        Err(error) => Err(error.context(format!("logs are in {}", folder.join("log").display()))),
    }
}
