//! The measurements.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::Subscriber;
use futures_util::StreamExt;
use lab::process::Process;
use schemas::RunId;
use schemas::view::{RunState, RunView};

use crate::plant::{CHAIN, Plant, SHORT, SHORT_STEPS, command, group};
use crate::report::{DurableStep, Idle, Resume, Throughput, quantile};
use crate::trace::Trace;

/// How much is measured.
pub(crate) struct Sizes {
    /// Groups, and runs at once.
    pub(crate) groups: usize,
    /// Steps of a run.
    pub(crate) steps: usize,
    /// Runs of the step that is measured alone.
    pub(crate) alone: usize,
    /// Measurements of each floor, before and after.
    pub(crate) floors: usize,
    /// Finished runs in the journal.
    pub(crate) kept: usize,
    /// Kills of the runner.
    pub(crate) resumes: usize,
    /// How long the idle runner is watched.
    pub(crate) idle: Duration,
    /// Moves of each kind of which the gap is taken.
    pub(crate) moves: usize,
}

impl Sizes {
    pub(crate) const FULL: Sizes = Sizes {
        groups: 64,
        steps: 200,
        alone: 5,
        floors: 1000,
        kept: 10_000,
        resumes: 7,
        idle: Duration::from_secs(20),
        moves: 5,
    };
    /// To see that it works; the figures say little.
    pub(crate) const QUICK: Sizes = Sizes {
        groups: 8,
        steps: 20,
        alone: 1,
        floors: 50,
        kept: 50,
        resumes: 2,
        idle: Duration::from_secs(2),
        moves: 1,
    };
}

/// A run that does not end by then stands still.
const ENDS_WITHIN: Duration = Duration::from_secs(300);
/// Runs within which strace has seen a sync.
const TRIES: usize = 50;
/// Steps that a run has done before its runner is killed.
const BEFORE_KILL: usize = 20;

/// The last event of each run and of its group: when both were published, the outbox holds nothing of it.
struct Ends(Subscriber);

impl Ends {
    async fn listen(plant: &Plant) -> anyhow::Result<Ends> {
        let subject = format!("{}.event.out.*.*.run-ended", plant.prefix.as_str());
        let ends = plant.client.subscribe(subject).await?;
        plant.client.flush().await?;
        Ok(Ends(ends))
    }

    /// The group whose own event came next: it follows that of the run.
    async fn next(&mut self) -> anyhow::Result<String> {
        loop {
            let event = tokio::time::timeout(ENDS_WITHIN, self.0.next());
            let event = event.await.context("a run does not end")?.context("the bus is away")?;
            let tokens: Vec<&str> = event.subject.rsplit('.').collect();
            if let ["run-ended", "-", group, ..] = tokens.as_slice() {
                return Ok((*group).to_owned());
            }
        }
    }

    /// The group's own event of this run's end. A runner that was killed tells its last events again.
    async fn of(&mut self, run: RunId) -> anyhow::Result<()> {
        let run = run.to_string();
        loop {
            let event = tokio::time::timeout(ENDS_WITHIN, self.0.next());
            let event = event.await.context("a run does not end")?.context("the bus is away")?;
            let ended: serde_json::Value = serde_json::from_slice(&event.payload)?;
            if event.subject.contains(".-.") && ended["data"]["run"] == run.as_str() {
                return Ok(());
            }
        }
    }
}

/// That the run did what it should: every step, each by its first sending.
fn sound(view: &RunView, steps: usize) -> anyhow::Result<()> {
    ensure!(view.state == RunState::Completed, "{}: {:?} {:?}", view.id, view.state, view.waits_for);
    ensure!(view.steps.len() == steps, "{}: {} steps of {steps}", view.id, view.steps.len());
    Ok(())
}

async fn one_run(plant: &Plant, workflow: &str, steps: usize) -> anyhow::Result<RunView> {
    let mut ends = Ends::listen(plant).await?;
    let run = plant.begin(workflow, 0).await?;
    ends.next().await?;
    let view = plant.show(run).await?;
    sound(&view, steps)?;
    Ok(view)
}

/// One run alone; then, since strace slows what it watches, others whose syncs are counted.
pub(crate) async fn durable_step(plant: &mut Plant, sizes: &Sizes) -> anyhow::Result<DurableStep> {
    one_run(plant, CHAIN, plant.steps).await?; // Warm.
    let mut times = Vec::new();
    for _ in 0..sizes.alone {
        let view = one_run(plant, CHAIN, plant.steps).await?;
        let starts: Vec<_> = view.steps.iter().filter_map(|step| step.started).collect();
        ensure!(starts.len() == plant.steps, "steps without a time");
        times.extend(starts.windows(2).filter_map(|pair| (pair[1] - pair[0]).to_std().ok()));
    }
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e6 / times.len() as f64;
    Ok(DurableStep {
        one_run_us: quantile(&mut times, 0.5)?,
        one_run_mean_us: mean,
        one_run_p99_us: quantile(&mut times, 0.99)?,
        ratio: 0.0, // The floor is not known yet.
        fdatasyncs: fdatasyncs(plant).await?,
        steps: times.len(),
    })
}

/// The runner's, a step: what a long run needs more than a short one.
async fn fdatasyncs(plant: &Plant) -> anyhow::Result<f64> {
    let out = plant.folder.join("strace");
    let trace = Trace::attach(plant.runner()?.pid(), "fdatasync,fsync", &out)?;
    let count = || anyhow::Ok(trace.count("fdatasync")? + trace.count("fsync")?);
    // A thread that sleeps is watched from when it wakes: runs that are seen whole come after the first one seen.
    let mut tries = 0;
    while count()? == 0 {
        ensure!(tries < TRIES, "strace saw no sync");
        one_run(plant, SHORT, SHORT_STEPS).await?;
        tries += 1;
    }
    let start = count()?;
    one_run(plant, SHORT, SHORT_STEPS).await?;
    let short = count()? - start;
    one_run(plant, CHAIN, plant.steps).await?;
    let long = count()? - start - short;
    Ok((long as f64 - short as f64) / (plant.steps - SHORT_STEPS) as f64)
}

/// A run of every group at once.
pub(crate) async fn throughput(plant: &mut Plant) -> anyhow::Result<Throughput> {
    let mut ends = Ends::listen(plant).await?;
    let processes = [plant.runner()?.pid(), plant.service().pid(), plant.nats_pid()?, std::process::id()];
    let before = processes.map(cpu_of);
    let start = Instant::now();
    let begun = (0..plant.groups).map(|number| plant.begin(CHAIN, number));
    let runs: Vec<RunId> = futures_util::future::try_join_all(begun).await?;
    let mut left: BTreeSet<String> = (0..plant.groups).map(group).collect();
    while !left.is_empty() {
        left.remove(&ends.next().await?);
    }
    let took = start.elapsed();
    let steps = plant.groups * plant.steps;
    let after = processes.map(cpu_of);
    for run in runs {
        sound(&plant.show(run).await?, plant.steps)?;
    }
    let each = |i: usize| (after[i] - before[i]).as_secs_f64() * 1e6 / steps as f64;
    Ok(Throughput {
        steps_per_second: steps as f64 / took.as_secs_f64(),
        runs_at_once: plant.groups,
        steps,
        runner_cpu_us: each(0),
        service_cpu_us: each(1),
        nats_cpu_us: each(2),
        bench_cpu_us: each(3),
    })
}

/// Runs `count` short runs to their end, so that the journal has them; how many it has.
pub(crate) async fn keep(plant: &mut Plant, count: usize) -> anyhow::Result<usize> {
    let mut ends = Ends::listen(plant).await?;
    let mut begun = 0;
    for number in 0..plant.groups.min(count) {
        plant.begin(SHORT, number).await?;
        begun += 1;
    }
    for _ in 0..count {
        let ended = ends.next().await?;
        if begun < count {
            let number = ended.trim_start_matches('g').parse()?;
            plant.begin(SHORT, number).await?;
            begun += 1;
        }
    }
    Ok(count)
}

/// Kills the runner in the middle of a run and starts it again at once.
pub(crate) async fn resume(plant: &mut Plant, times: usize) -> anyhow::Result<Resume> {
    let mut all = Vec::new();
    for _ in 0..times {
        let mut ends = Ends::listen(plant).await?;
        let watched = format!("{}.*.process.p0.*", plant.prefix.as_str());
        let mut requests = plant.client.subscribe(watched).await?;
        plant.client.flush().await?;
        let run = plant.begin(CHAIN, 0).await?;
        for _ in 0..BEFORE_KILL.min(plant.steps / 2) {
            requests.next().await.context("the bus is away")?;
        }
        let killed = Instant::now();
        plant.kill_runner()?;
        // What the old one sent has arrived when the server answers.
        plant.client.flush().await?;
        while futures_util::FutureExt::now_or_never(requests.next()).flatten().is_some() {}
        plant.start_runner()?;
        let first = tokio::time::timeout(ENDS_WITHIN, requests.next()).await;
        first.context("the run does not go on")?.context("the bus is away")?;
        all.push(killed.elapsed());
        ends.of(run).await?;
        sound(&plant.show(run).await?, plant.steps)?;
    }
    let in_order = all.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    Ok(Resume { kill_to_request_ms: quantile(&mut all, 0.5)? / 1e3, all_ms: in_order })
}

/// The runner with everything that it keeps, just started and with nothing to do; and a host's services.
pub(crate) async fn idle(plant: &mut Plant, watched: Duration) -> anyhow::Result<Idle> {
    plant.kill_runner()?;
    plant.start_runner()?;
    let host = plant.folder.join("host.yaml").display().to_string();
    let service = command(&plant.folder, "host", &["--config", &host, "serve"])?;
    let mut beats = plant.client.subscribe("idle.runner.svc.beat").await?;
    let beat = tokio::time::timeout(ENDS_WITHIN, beats.next()).await;
    beat.context("the host's services do not beat")?;
    drop(beats);
    // Starting is not idling.
    tokio::time::sleep(watched / 4).await;
    let runner = plant.runner()?;
    let before = cpu_of(runner.pid());
    let start = Instant::now();
    tokio::time::sleep(watched).await;
    let used = cpu_of(runner.pid()) - before;
    Ok(Idle {
        runner_rss_mib: rss_mib(runner)?,
        service_rss_mib: rss_mib(&service)?,
        runner_cpu_percent: 100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64(),
    })
}

/// Of a process and all below it.
fn rss_mib(process: &Process) -> anyhow::Result<f64> {
    let mut kib = 0;
    for pid in process.tree() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        kib += line.trim().trim_end_matches("kB").trim().parse::<u64>()?;
    }
    Ok(kib as f64 / 1024.0)
}

/// Processor time so far of a process with all its threads; its children have their own.
fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // After the name: the 12th and 13th are utime and stime, in hundredths (proc(5)).
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}
