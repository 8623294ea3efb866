//! The command `pointsman`.

mod act;
mod adopt;
mod args;
mod arm;
mod ask;
mod bus;
mod check;
mod completion;
mod configuration;
mod drawing;
mod drill;
mod exit;
mod explain;
mod files;
mod follow;
mod init;
mod journal;
mod many;
mod notify;
mod output;
mod parts;
mod person;
mod plain;
mod plan;
mod reload;
mod report;
mod runbook;
mod running;
mod runs;
mod secrets;
mod setup;
mod start;
mod status;
mod text;
mod validate;
mod whoami;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use exit::Exit;
use output::Output;

fn main() -> ExitCode {
    // The two children of the program itself come first: they must have the process to themselves.
    let mut words = std::env::args_os().skip(1);
    match words.next().as_deref().and_then(|word| word.to_str()) {
        Some("exec-guard") => return exec::guard::main(words),
        Some(expressions::worker::SUBCOMMAND) => return worker(),
        _ => {}
    }
    completion::answer();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nobody is left to tell when the terminal is gone.
            let _ = error.print();
            return code.into();
        }
    };
    let output = Output::new(&args);
    match run(args, &output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.failed(&error);
            exit::of(&error).into()
        }
    }
}

fn worker() -> ExitCode {
    match expressions::worker::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("expression-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; what needs the bus runs on a runtime of its own.
fn run(args: Args, out: &Output) -> anyhow::Result<Exit> {
    let host = args.host_file();
    match args.command {
        Command::Validate(ask) => validate::run(&ask, out),
        Command::Config(ask) => configuration::run(&ask, &host, out),
        Command::Completion(ask) => completion::run(&ask, out),
        Command::Explain(ask) => explain::run(&ask, out),
        Command::Init(ask) => init::run(&ask, out),
        Command::Setup(ask) => setup::run(&ask, &host, out),
        Command::Arm(ask) => arm::run(&ask, &host, out),
        Command::Journal(ask) => journal::run(&ask, &host, out),
        Command::Act(ask) => act::run(&ask, &host, out),
        Command::Release(ask) => act::run(&ask.act(), &host, out),
        Command::Runbook(ask) => runbook::run(&ask, &host, out),
        Command::Report(ask) => report::run(&ask, &host, out),
        Command::Runner(ask) => parts::runner(&ask, &host),
        Command::Serve(ask) => parts::serve(&ask, &host),
        command => runtime()?.block_on(ask::run(command, &host, out)),
    }
}

/// For what speaks on the bus and returns.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
