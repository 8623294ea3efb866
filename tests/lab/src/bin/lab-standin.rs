//! Runs one stand-in of the model system.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use lab::standin::{control, heard, host, master, message, prober, proxy, reader, resolver, running, writer};
use lab::system::databases;
use lab::system::plan::Site;

#[derive(Parser)]
#[command(about = "Stand-ins of the parts of the model system, and of its users")]
struct Args {
    /// Ends itself when nobody holds an exclusive lock on this file any more: the lab is gone.
    #[arg(long, global = true)]
    while_locked: Option<PathBuf>,
    /// Writes its process id there.
    #[arg(long, global = true)]
    pid_file: Option<PathBuf>,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// A configuration server of a pair.
    Master(master::Options),
    /// A control server.
    Control(control::Options),
    /// A message server.
    Message(message::Options),
    /// A host's resolver.
    Resolver(resolver::Options),
    /// A proxy of the configuration server.
    Proxy(proxy::Options),
    /// A user who writes.
    Writer(writer::Options),
    /// A user who reads.
    Reader(reader::Options),
    /// Monitoring.
    Prober(prober::Options),
    /// Ends well when a service of a site is heard on the bus.
    Heard(heard::Options),
    /// Empties a host's resolver, and makes its proxies let go of masters to whom the names lead no more.
    Push(host::Options),
    /// Prints what a host resolves a name to, and whom its proxies are connected to by that name.
    Resolved {
        #[command(flatten)]
        host: host::Options,
        /// The name.
        name: String,
    },
    /// Prints the SQL of what the parts need at a site, for `psql`.
    Sql {
        /// What for.
        #[arg(value_enum)]
        what: Tables,
        /// main or secondary.
        #[arg(long)]
        site: String,
    },
    /// Asks one line and prints the answer.
    Ask {
        /// Whom.
        at: std::net::SocketAddr,
        /// The line.
        line: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Tables {
    /// The roles, once a server.
    Roles,
    /// The configuration database.
    Config,
    /// The log database.
    Log,
}

const ANSWER_WITHIN: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-standin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    if let Some(path) = &args.pid_file {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .with_context(|| format!("write {}", path.display()))?;
    }
    let part = async {
        match args.part {
            Part::Master(options) => master::run(options).await,
            Part::Control(options) => control::run(options).await,
            Part::Message(options) => message::run(options).await,
            Part::Resolver(options) => resolver::run(options).await,
            Part::Proxy(options) => proxy::run(options).await,
            Part::Writer(options) => writer::run(options).await,
            Part::Reader(options) => reader::run(options).await,
            Part::Prober(options) => prober::run(options).await,
            Part::Heard(options) => heard::run(options).await,
            Part::Push(options) => host::push(&options).await,
            Part::Resolved { host, name } => {
                for address in host::resolved(&host, &name).await? {
                    println!("{address}");
                }
                Ok(())
            }
            Part::Sql { what, site } => {
                let site =
                    Site::named(&site).with_context(|| format!("no site `{site}`: main, secondary"))?;
                let sql = match what {
                    Tables::Roles => databases::roles(),
                    Tables::Config => databases::config(),
                    Tables::Log => databases::log(site),
                };
                println!("{sql}");
                Ok(())
            }
            Part::Ask { at, line } => {
                println!("{}", running::ask(at, &line, ANSWER_WITHIN)?);
                Ok(())
            }
        }
    };
    match &args.while_locked {
        None => part.await,
        Some(lock) => tokio::select! {
            done = part => done,
            () = unlocked(lock) => Ok(()),
        },
    }
}

async fn unlocked(lock: &Path) {
    let is_locked = || File::open(lock).is_ok_and(|file| file.try_lock_shared().is_err());
    while is_locked() {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
