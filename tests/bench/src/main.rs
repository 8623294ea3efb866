//! `make bench`: floors and program in the same run, written to `target/bench/report.json`.
//!
//! The step measured is runner, real NATS server, responder with its ledger, memory driver; each run moves a
//! group of its own, events are on, and a run counts as ended when its last event was published. The floor of a
//! step is two fdatasyncs (the runner's and the service's) and a round trip, measured before and after the
//! steps on the same disk and the same server. The runner is the real command in a process of its own; so is
//! the service of the idle figures. The services of the moving groups are the real responder in a process of
//! this program's, since a host's file serves one group.

mod floor;
mod gap;
mod measure;
mod plant;
mod report;
mod service;
mod trace;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::measure::Sizes;
use crate::plant::Plant;
use crate::report::{Floor, Report};

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    threads.block_on(async {
        match words.as_slice() {
            ["echo", url] => floor::echo(url).await,
            ["service", url, folder, groups] => service::serve(url, Path::new(folder), groups.parse()?).await,
            ["--only", part, folder] => only(Path::new(folder), part).await,
            ["--quick", folder] => bench(Path::new(folder), &Sizes::QUICK).await,
            [folder] if !folder.starts_with('-') => bench(Path::new(folder), &Sizes::FULL).await,
            _ => bail!("usage: bench [--quick] FOLDER"),
        }
    })
}

/// Everything in `folder`: the journals and ledgers, removed afterwards, and the report.
async fn bench(folder: &Path, sizes: &Sizes) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let work = Work::new(folder.join(format!("work-{}", std::process::id())))?;
    let mut plant = Plant::start(&work.0, sizes).await?;

    let before = floor::measure(&work.0, plant.url(), sizes.floors).await?;
    let step = measure::durable_step(&mut plant, sizes).await?;
    let after = floor::measure(&work.0, plant.url(), sizes.floors).await?;
    let floor = Floor::of(before, after)?;
    let throughput = measure::throughput(&mut plant).await?;
    let kept = measure::keep(&mut plant, sizes.kept).await?;
    let resume = measure::resume(&mut plant, sizes.resumes).await?;
    let idle = measure::idle(&mut plant, sizes.idle).await?;

    drop(plant);
    let gaps = gap::measure(&work.0, sizes.moves).await?;

    let report = Report::new(floor, step, throughput, kept, resume, idle, gaps);
    let path = folder.join("report.json");
    std::fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")?;
    report.print();
    println!("written to {}", path.display());
    Ok(())
}

/// One part, printed and not written: for whoever looks for a cause.
async fn only(folder: &Path, part: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let work = Work::new(folder.canonicalize()?.join(format!("work-{}", std::process::id())))?;
    let sizes = &Sizes::FULL;
    if let Some(part) = part.strip_prefix("gap-") {
        return gap::only(&work.0, part, sizes.moves).await;
    }
    let mut plant = Plant::start(&work.0, sizes).await?;
    println!("runner {} services {}", plant.runner()?.pid(), plant.service().pid());
    match part {
        "step" => println!("{:#?}", measure::durable_step(&mut plant, sizes).await?),
        "throughput" => {
            for _ in 0..4 {
                println!("{:#?}", measure::throughput(&mut plant).await?);
            }
        }
        "resume" => {
            measure::keep(&mut plant, sizes.kept / 10).await?;
            println!("{:#?}", measure::resume(&mut plant, sizes.resumes).await?);
        }
        "idle" => {
            for kept in [sizes.kept / 10, sizes.kept] {
                measure::keep(&mut plant, kept).await?;
                println!("{kept} more runs kept: {:#?}", measure::idle(&mut plant, sizes.idle).await?);
            }
        }
        _ => bail!("a part is step, throughput, resume, idle or gap-floor|database|stack|killed|frozen"),
    }
    Ok(())
}

/// A folder that is removed with everything in it.
struct Work(PathBuf);

impl Work {
    fn new(path: PathBuf) -> anyhow::Result<Work> {
        std::fs::create_dir_all(&path)?;
        Ok(Work(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What is left is in `target`.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
