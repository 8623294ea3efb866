//! The lab as a tool: two sites and a witness on one machine, to play with and to show.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use clap::{Parser, Subcommand};
use lab::control;
use lab::demo;
use lab::system::loss::By;

#[derive(Parser)]
#[command(about = "Two sites of real servers on one machine, with Pointsman installed on them")]
struct Args {
    /// The lab's folder
    #[arg(long, global = true, default_value = "target/lab")]
    state: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a fresh lab; it runs on in the background
    Up,
    /// End the lab and remove its folder
    Down,
    /// Say where everything listens and what is lost
    Status,
    /// Lose a whole site
    LoseSite {
        /// main or secondary
        site: String,
        /// How
        #[arg(long, value_enum, default_value = "kill")]
        by: By,
    },
    /// Bring a site back: boot it after a kill, thaw it after a freeze
    ReturnSite {
        /// main or secondary
        site: String,
    },
    /// Lose one host, or `dns`: the name server
    LoseHost {
        /// s1nats s1db s1mgmt s1app, the same with s2, wdns wrun wmon wnats, or dns
        host: String,
        /// How
        #[arg(long, value_enum, default_value = "kill")]
        by: By,
    },
    /// Bring one host back
    ReturnHost {
        /// As for lose-host
        host: String,
    },
    /// Kill the runner with signal 9
    KillRunner,
    /// Start the runner again
    StartRunner,
    /// Ask a proxy, as its clients do
    Client {
        /// Whose proxy
        #[arg(long, default_value = "secondary")]
        at: String,
        #[command(subcommand)]
        ask: Ask,
    },
    /// Lose main twice, by kill and by freeze, with the runner killed meanwhile, and report what its users saw
    Demo {
        /// Where the kills of the runner are drawn from; a new one each time if it is left out
        #[arg(long)]
        seed: Option<u64>,
        /// Where the report is written
        #[arg(long, default_value = "target/demo/report.json")]
        report: PathBuf,
    },
    /// The whole cycle twice: failover, home by copy, a planned move and home again, with the runner and services
    /// killed at least ten times a leg
    DemoFull {
        /// Where the kills are drawn from; a new one each time if it is left out
        #[arg(long)]
        seed: Option<u64>,
        /// Where the report is written
        #[arg(long, default_value = "target/demo/full.json")]
        report: PathBuf,
    },
    /// Hold a lab in the foreground
    #[command(hide = true)]
    Hold,
}

#[derive(Subcommand)]
enum Ask {
    /// Read a row
    Read {
        /// Its number
        n: i64,
    },
    /// Write a row
    Write {
        /// Its number
        n: i64,
        /// Its text
        text: String,
    },
    /// In which mode the proxy is, and with which master
    Mode,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let state = &args.state;
    let tell = |words: &[&str]| -> anyhow::Result<()> {
        println!("{}", control::command(state, words)?);
        Ok(())
    };
    match &args.command {
        Command::Up => control::up(state),
        Command::Hold => control::hold(state),
        Command::Down => control::down(state),
        Command::Status => tell(&["status"]),
        Command::LoseSite { site, by } => tell(&["lose-site", site, &by.to_string()]),
        Command::ReturnSite { site } => tell(&["return-site", site]),
        Command::LoseHost { host, by } => tell(&["lose-host", host, &by.to_string()]),
        Command::ReturnHost { host } => tell(&["return-host", host]),
        Command::KillRunner => tell(&["kill-runner"]),
        Command::StartRunner => tell(&["start-runner"]),
        Command::Client { at, ask } => {
            let line = match ask {
                Ask::Read { n } => format!("READ {n}"),
                Ask::Write { n, text } => format!("WRITE {n} {text}"),
                Ask::Mode => "MODE".to_owned(),
            };
            tell(&["client", at, &line])
        }
        Command::Demo { seed, report } => {
            stop_when_asked();
            demo::run(state, *seed, report)
        }
        Command::DemoFull { seed, report } => {
            stop_when_asked();
            demo::full::run(state, *seed, report)
        }
    }
}

/// All waits end when the person at the terminal wants to stop.
fn stop_when_asked() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(control::signalled());
            lab::system::STOPPING.store(true, Ordering::SeqCst);
        }
    });
}
