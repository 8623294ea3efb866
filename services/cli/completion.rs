//! Completion of the command line: words of the command, and the groups, runs and held steps that the runner
//! knows. A bus that is silent completes nothing and delays nobody for long.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Command, CommandFactory};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use schemas::op::{Op, OpReply};
use schemas::view::{RunState, StepState};

use crate::args::{Args, Completion};
use crate::bus::Bus;
use crate::exit::{Exit, Usage};
use crate::output::Output;
use crate::text;

/// The variable by which the shell's script asks this program.
const VARIABLE: &str = "COMPLETE";
/// A person waits at the prompt.
const WITHIN: Duration = Duration::from_millis(1500);

/// Answers the shell's script and ends, if it is that which asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// `completion`: the script of a shell.
pub(crate) fn run(ask: &Completion, out: &Output) -> anyhow::Result<Exit> {
    let shells = Shells::builtins();
    let shell = shells.completer(&ask.shell).ok_or_else(|| {
        let known: Vec<&str> = shells.names().collect();
        Usage(format!("`{}` is none of {}", ask.shell, known.join(", ")))
    })?;
    let own = std::env::current_exe()?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "pointsman", "pointsman", &own.display().to_string(), &mut script)?;
    out.raw(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

/// The command with what only the runner knows.
fn command() -> Command {
    known(Args::command())
}

fn known(command: Command) -> Command {
    let ids: Vec<String> = command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
    let mut command = command;
    for id in ids {
        let candidates = match id.as_str() {
            "group" => ArgValueCandidates::new(groups),
            "run" | "supersede" | "rest" => ArgValueCandidates::new(all_runs),
            "step" => ArgValueCandidates::new(steps),
            _ => continue,
        };
        command = command.mut_arg(id, |arg| arg.add(candidates));
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, known);
    }
    command
}

/// Asks the runner once, by the host's file as it is found without the command line.
fn ask(op: impl FnOnce() -> Op) -> Option<OpReply> {
    let file = std::env::var_os("POINTSMAN_CONFIG").map(PathBuf::from);
    let host = config::load_host(&file.unwrap_or_else(|| config::HOST_FILE.into())).ok()?;
    crate::runtime().ok()?.block_on(async {
        let asked = async { Bus::connect(&host.bus).await.ok()?.look(op()).await.ok() };
        tokio::time::timeout(WITHIN, asked).await.ok()?
    })
}

fn candidate(value: impl Into<std::ffi::OsString>, help: String) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(help.into()))
}

fn groups() -> Vec<CompletionCandidate> {
    match ask(|| Op::Status { group: None }) {
        Some(OpReply::Groups(groups)) => {
            groups.iter().map(|group| candidate(group.group.as_str(), text::mode(group.mode))).collect()
        }
        _ => Vec::new(),
    }
}

fn all_runs() -> Vec<CompletionCandidate> {
    let Some(OpReply::Runs(found)) = ask(|| Op::Runs { group: None, limit: 20 }) else { return Vec::new() };
    let ids: Vec<_> = found.iter().map(|run| run.id).collect();
    found
        .iter()
        .zip(text::shorts(&ids))
        .map(|(run, short)| candidate(short, format!("{} {}", run.workflow, text::run_state(run.state))))
        .collect()
}

/// Steps of runs that wait for a person: what failed, waits or is in doubt.
fn steps() -> Vec<CompletionCandidate> {
    let Some(OpReply::Groups(groups)) = ask(|| Op::Status { group: None }) else { return Vec::new() };
    let waits = |state| matches!(state, StepState::Failed | StepState::InDoubt | StepState::Waiting);
    groups
        .into_iter()
        .filter_map(|group| group.run)
        .filter(|run| matches!(run.state, RunState::Held | RunState::Waiting | RunState::Paused))
        .flat_map(|run| run.steps)
        .filter(|step| waits(step.state))
        .map(|step| {
            candidate(step.number.to_string(), format!("{} {}", step.name, text::step_state(step.state)))
        })
        .collect()
}
