//! What is written and printed: each figure, what it is to reach, and the floor of the same run.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::floor::Floors;
use crate::gap::Gaps;

/// Everything of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    floor: Floor,
    durable_step: DurableStep,
    throughput: Throughput,
    resume: Resume,
    idle: Idle,
    #[serde(flatten)]
    gaps: Gaps,
    machine: Machine,
}

/// Medians.
#[derive(Debug, Serialize)]
pub(crate) struct Floor {
    fdatasync_us: f64,
    rtt_us: f64,
    /// Before and after the steps: how far to trust this run.
    fdatasync_us_before_after: [f64; 2],
    rtt_us_before_after: [f64; 2],
}

/// One run alone: from the intent of a step to the intent of the next.
#[derive(Debug, Serialize)]
pub(crate) struct DurableStep {
    /// The median.
    pub(crate) one_run_us: f64,
    pub(crate) one_run_mean_us: f64,
    pub(crate) one_run_p99_us: f64,
    /// The median to two fdatasyncs and a round trip.
    pub(crate) ratio: f64,
    /// The runner's.
    pub(crate) fdatasyncs: f64,
    pub(crate) steps: usize,
}

/// Many runs at once.
#[derive(Debug, Serialize)]
pub(crate) struct Throughput {
    pub(crate) steps_per_second: f64,
    pub(crate) runs_at_once: usize,
    pub(crate) steps: usize,
    /// How the processors' time was spent, in microseconds a step.
    pub(crate) runner_cpu_us: f64,
    pub(crate) service_cpu_us: f64,
    pub(crate) nats_cpu_us: f64,
    pub(crate) bench_cpu_us: f64,
}

/// From `kill -9` of the runner to the first request of the next one.
#[derive(Debug, Serialize)]
pub(crate) struct Resume {
    /// The median.
    pub(crate) kill_to_request_ms: f64,
    pub(crate) all_ms: Vec<f64>,
}

/// Nothing to do.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) runner_rss_mib: f64,
    pub(crate) service_rss_mib: f64,
    pub(crate) runner_cpu_percent: f64,
}

#[derive(Debug, Serialize)]
struct Machine {
    processors: usize,
    load_one_minute: f64,
    runs_kept: usize,
}

/// The value in the middle, and so on; `share` from 0 to 1.
pub(crate) fn quantile(times: &mut [Duration], share: f64) -> anyhow::Result<f64> {
    times.sort_unstable();
    let last = times.len().checked_sub(1).context("nothing was measured")?;
    Ok(times[(last as f64 * share).round() as usize].as_secs_f64() * 1e6)
}

impl Floor {
    pub(crate) fn of(mut before: Floors, mut after: Floors) -> anyhow::Result<Floor> {
        let fdatasync = [quantile(&mut before.fdatasync, 0.5)?, quantile(&mut after.fdatasync, 0.5)?];
        let rtt = [quantile(&mut before.rtt, 0.5)?, quantile(&mut after.rtt, 0.5)?];
        before.fdatasync.append(&mut after.fdatasync);
        before.rtt.append(&mut after.rtt);
        Ok(Floor {
            fdatasync_us: quantile(&mut before.fdatasync, 0.5)?,
            rtt_us: quantile(&mut before.rtt, 0.5)?,
            fdatasync_us_before_after: fdatasync,
            rtt_us_before_after: rtt,
        })
    }

    /// Of one step.
    pub(crate) fn step_us(&self) -> f64 {
        2.0 * self.fdatasync_us + self.rtt_us
    }
}

impl Report {
    pub(crate) fn new(
        floor: Floor,
        mut durable_step: DurableStep,
        throughput: Throughput,
        runs_kept: usize,
        resume: Resume,
        idle: Idle,
        gaps: Gaps,
    ) -> Report {
        durable_step.ratio = durable_step.one_run_us / floor.step_us();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load_one_minute = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = Machine { processors, load_one_minute, runs_kept };
        Report { floor, durable_step, throughput, resume, idle, gaps, machine }
    }

    pub(crate) fn print(&self) {
        let floor = &self.floor;
        println!("floor: fdatasync {:.0} us, round trip {:.0} us", floor.fdatasync_us, floor.rtt_us);
        println!("floor of a step: {:.0} us (two fdatasyncs and a round trip)", floor.step_us());
        let (step, through, idle) = (&self.durable_step, &self.throughput, &self.idle);
        println!("durable step, one run: {:.0} us", step.one_run_us);
        goal("  to the floor", step.ratio, 2.0, "");
        if step.ratio < 1.0 {
            println!(
                "  which cannot be: the floors had worse minutes than the steps; this run tells nothing of it"
            );
        }
        goal("  the runner's fdatasyncs", step.fdatasyncs, 1.05, "");
        let rate = through.steps_per_second;
        let verdict = if rate >= 5000.0 { "reached" } else { "MISSED" };
        println!("{} runs at once: {rate:.0} steps/s (at least 5000: {verdict})", through.runs_at_once);
        println!(
            "  processor time a step: runner {:.0} us, services {:.0} us, NATS {:.0} us, bench {:.0} us, of {}",
            through.runner_cpu_us,
            through.service_cpu_us,
            through.nats_cpu_us,
            through.bench_cpu_us,
            self.machine.processors
        );
        println!("{} finished runs kept", self.machine.runs_kept);
        goal("  kill -9 to the first request", self.resume.kill_to_request_ms, 100.0, " ms");
        goal("idle runner", idle.runner_rss_mib, 40.0, " MiB");
        goal("idle service", idle.service_rss_mib, 20.0, " MiB");
        goal("idle runner's processor", idle.runner_cpu_percent, 0.5, " %");
        self.print_gaps();
        println!("load of the machine: {:.1}", self.machine.load_one_minute);
    }
}

impl Report {
    fn print_gaps(&self) {
        let (planned, lost) = (&self.gaps.switchover, &self.gaps.failover);
        println!("floor of a planned move: {:.0} ms (its SQL, by a bare script)", planned.floor_ms);
        let most = 2.0 * planned.floor_ms;
        goal("write gap of a database alone", planned.database_gap_ms, most, " ms");
        goal("write gap of the whole stack", planned.stack_gap_ms, 500.0, " ms");
        goal("failover, main killed: decision to write", lost.decision_to_write_ms, 500.0, " ms");
        let most = 500.0 + lost.fence_within_ms;
        goal("failover, main frozen: decision to write", lost.frozen_decision_to_write_ms, most, " ms");
    }
}

fn goal(what: &str, figure: f64, most: f64, unit: &str) {
    let verdict = if figure <= most { "reached" } else { "MISSED" };
    println!("{what}: {figure:.2}{unit} (at most {most}{unit}: {verdict})");
}
