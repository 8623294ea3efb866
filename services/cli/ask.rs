//! Commands that speak to the runner.

use std::path::Path;

use schemas::op::Op;

use crate::args::Command;
use crate::bus::Bus;
use crate::exit::Exit;
use crate::output::Output;
use crate::{adopt, check, drill, follow, plain, plan, runs, start, status, whoami};

/// Asks the runner and prints what it says.
pub(crate) async fn run(command: Command, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    if let Command::Drill(ask) = command {
        return drill::run(&ask, host, out).await;
    }
    let host = config::load_host(host)?;
    let bus = Bus::connect(&host.bus).await?;
    match command {
        Command::Status(ask) => status::run(ask.group, ask.all, &bus, out).await,
        Command::Check(ask) => check::run(ask.group, ask.all, &bus, out).await,
        Command::Failover(ask) => start::one_or_many("failover", ask, &bus, out).await,
        Command::Switchover(ask) => start::one_or_many("switchover", ask, &bus, out).await,
        Command::Failback(ask) => start::run("failback", ask, &bus, out).await,
        Command::Cleanup(ask) => start::cleanup(ask, &bus, out).await,
        Command::Establish(ask) => start::run("establish", ask, &bus, out).await,
        Command::Reprotect(ask) => start::reprotect(ask, &bus, out).await,
        Command::Runs(ask) => runs::list(ask, &bus, out).await,
        Command::Show(ask) => runs::show(&ask.run, &bus, out).await,
        Command::Watch(ask) => follow::run(&ask.run, &bus, out).await,
        Command::Decisions(ask) => runs::decisions(ask, &bus, out).await,
        Command::Adopt(ask) => adopt::run(ask, &bus, out).await,
        Command::Plan(ask) => plan::run(ask, &bus, out).await,
        Command::Whoami => whoami::run(&host, &bus, out).await,
        command => match plain::op(command) {
            Some((op, why)) => plain::run(op, &why, &bus, out).await,
            None => Ok(Exit::Internal),
        },
    }
}

/// The run's latest sequence, so that the runner can refuse what no longer fits.
pub(crate) async fn seen(run: &str, bus: &Bus) -> anyhow::Result<u64> {
    Ok(runs::fetch(run, bus).await?.sequence)
}

/// Which run a request acts on.
pub(crate) fn run_of(op: &Op) -> Option<&str> {
    match op {
        Op::Accept { run, .. }
        | Op::Pause { run }
        | Op::Resume { run }
        | Op::Retry { run, .. }
        | Op::Skip { run, .. }
        | Op::Done { run, .. }
        | Op::Push { run }
        | Op::Cancel { run, .. } => Some(run),
        _ => None,
    }
}
