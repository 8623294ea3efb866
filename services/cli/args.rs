//! What can be typed.

mod moves;
mod place;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use moves::{
    Accept, Ack, Adopt, Approve, Begin, Cancel, Cleanup, Declare, Done, Drill, Move, Reprotect, Retry,
    RunWhy, SiteMove, StepWhy, Switch, Triggers, What,
};
pub(crate) use place::{
    Act, Arm, Completion, Config, ConfigAsk, Explain, Init, InitKind, Journal, JournalAsk, Paper, Plan,
    Release, Report, ReportAsk, ReportOf, ReportVerify, Runbook, Runner, Serve, ServicePart, Setup, SetupAsk,
    Validate,
};

/// Moves a system between two sites, durably, and says how it stands.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman",
    version,
    propagate_version = true,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 internal error, 2 usage or bad file, 3 refused, 4 needs a person, 5 faulted, \
                  6 cancelled or backed out, 7 bus or runner silent, 8 not normal (status, check, config check).\n\n\
                  Example: pointsman status"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// The host's file that this command reads.
    pub(crate) fn host_file(&self) -> PathBuf {
        self.common.config.clone()
    }
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Common {
    /// This host's file: its site, the bus, its services
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "POINTSMAN_CONFIG",
        default_value = config::HOST_FILE
    )]
    pub(crate) config: PathBuf,
    /// How to print
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    pub(crate) output: Form,
    /// Times in UTC instead of local time with its offset
    #[arg(long, global = true)]
    pub(crate) utc: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Text,
    /// For programs: one JSON document, or one a line where the command goes on
    Json,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say how the groups stand: mode, sites, run, debts, each fact with its age
    #[command(after_help = "Example: pointsman status cfg")]
    Status(Status),
    /// Look at what would stand in the way of a move: each line names its remedy
    #[command(after_help = "Example: pointsman check cfg")]
    Check(Check),
    /// Move a group although its live site is lost
    #[command(
        after_help = "Example: pointsman failover cfg --to secondary --why \"INC-4711 site 1 power\"\n         \
                      pointsman failover --site main --why \"INC-4711 site 1 power\""
    )]
    Failover(SiteMove),
    /// Move a group with both sites in order; backs out on trouble until the other site is opened
    #[command(after_help = "Example: pointsman switchover cfg --why \"CHG-12 maintenance\"")]
    Switchover(SiteMove),
    /// Move a group home to its first site: a switchover, mirrored
    #[command(after_help = "Example: pointsman failback cfg --why \"CHG-13 main is repaired\"")]
    Failback(Move),
    /// Bring the site that is not live up to date, so that it protects the live one; opens nothing
    #[command(after_help = "Example: pointsman reprotect cfg --by catch-up --why \"main is back\"")]
    Reprotect(Reprotect),
    /// Drop the old tables that a copy kept aside: what only a lost site had is gone for good then
    #[command(after_help = "Example: pointsman cleanup cfg --why \"the ledger was worked through\"")]
    Cleanup(Cleanup),
    /// Make a group live that runs nowhere: every site is closed
    #[command(after_help = "Example: pointsman establish cfg --to main --why \"first start\"")]
    Establish(Move),
    /// List the runs, newest first
    #[command(after_help = "Example: pointsman runs cfg --limit 5")]
    Runs(List),
    /// Show one run with its steps
    #[command(after_help = "Example: pointsman show 7f3a")]
    Show(RunOnly),
    /// Follow a run, step by step, until it ends; Ctrl-C leaves it alone
    #[command(after_help = "Example: pointsman watch 7f3a")]
    Watch(RunOnly),
    /// Say what a move would do now, step by step, with its assumptions; changes nothing
    #[command(after_help = "Example: pointsman plan failover cfg")]
    Plan(Plan),
    /// Practise a move on drivers in memory, from what production looks like now; moves nothing of it
    #[command(after_help = "Example: pointsman drill cfg --why \"monthly drill\"")]
    Drill(Drill),
    /// Print a workflow, or the rest of a run, as a manual with commands and boxes
    #[command(after_help = "Example: pointsman runbook --rest 7f3a > rest.md")]
    Runbook(Runbook),
    /// Do one act on this host without the bus; its service must not run
    #[command(
        after_help = "Example: pointsman act database.config disable-access --here --why \"bus is gone\""
    )]
    Act(Act),
    /// Open a database of this host that its service keeps closed after a boot; the service must not run
    #[command(
        after_help = "Example: pointsman release config --here --accept-unfenced secondary --why \"seen on camera\""
    )]
    Release(Release),
    /// Print a run's report: times, doubts, decisions, debts, and what proves it
    #[command(after_help = "Example: pointsman report 7f3a --form html --to 7f3a.html")]
    Report(Report),
    /// Let a waiting decision start
    #[command(after_help = "Example: pointsman approve cfg --why \"seen on camera\"")]
    Approve(Approve),
    /// Take a named risk for a run: a site that may still accept writes, or a loss up to a bound
    #[command(
        after_help = "Example: pointsman accept 7f3a --unfenced main --why \"power off, seen on camera\"\n         \
                      pointsman accept 7f3a --data-loss 2m --why \"agreed with the owner\"\n         \
                      pointsman accept 7f3a --data-loss unknown --why \"agreed with the owner\""
    )]
    Accept(Accept),
    /// Start no further step of a run
    #[command(after_help = "Example: pointsman pause 7f3a --why \"looking at the lag\"")]
    Pause(RunWhy),
    /// Go on with a run that is paused or held
    #[command(after_help = "Example: pointsman resume 7f3a --why \"network is back\"")]
    Resume(RunWhy),
    /// Do a failed or doubtful step again
    #[command(after_help = "Example: pointsman retry 7f3a 5 --why \"slot was busy\"")]
    Retry(Retry),
    /// Go on without a step
    #[command(after_help = "Example: pointsman skip 7f3a 8 --why \"client is switched off\"")]
    Skip(StepWhy),
    /// Say that a step was done by hand; its service looks first
    #[command(after_help = "Example: pointsman done 7f3a 7 --why \"record set in the console\"")]
    Done(Done),
    /// Have the hosts files of the clients lead to the site that opened, while a name cannot be changed
    #[command(after_help = "Example: pointsman push 7f3a --why \"the DNS server is gone\"")]
    Push(RunWhy),
    /// End a run; before the point of no return it backs out
    #[command(after_help = "Example: pointsman cancel 7f3a --why \"false alarm\"")]
    Cancel(Cancel),
    /// Arm automatic starts of a group again
    #[command(after_help = "Example: pointsman ack cfg --why \"post-mortem done\"")]
    Ack(Ack),
    /// Switch a group's triggers on (as its file says) or off
    #[command(after_help = "Example: pointsman triggers off cfg --for 2h --why \"CHG-12 maintenance\"")]
    Triggers(Triggers),
    /// Declare why a site is silent: the link alone, or that it will return, or that it will not; starts nothing
    #[command(
        after_help = "Example: pointsman declare disconnect cfg --why \"the carrier has lost a fibre\"\n         \
                      pointsman declare outage cfg --site main --why \"no power until noon\"\n         \
                      pointsman declare disaster cfg --site main --why \"the building has burnt\"\n         \
                      pointsman declare over cfg --why \"the link is back\""
    )]
    Declare(Declare),
    /// List what monitoring said, what was decided and what was declared, newest first
    #[command(after_help = "Example: pointsman decisions cfg")]
    Decisions(List),
    /// Look at the world and take it as a group's state under a new epoch; touches nothing
    #[command(after_help = "Example: pointsman adopt cfg --why \"first installation\"")]
    Adopt(Adopt),
    /// Let go of this host's brake: before it, its services change nothing
    #[command(after_help = "Example: pointsman arm")]
    Arm(Arm),
    /// Say as whom this host asks
    #[command(after_help = "Example: pointsman whoami")]
    Whoami,
    /// Print a shell's completion script: groups, runs and held steps are known to it
    #[command(after_help = "Example: pointsman completion bash > /etc/bash_completion.d/pointsman")]
    Completion(Completion),
    /// Check workflow definitions: every error with file, line and column
    #[command(after_help = "Example: pointsman validate workflows/definitions/failover.yaml")]
    Validate(Validate),
    /// Check this host's file and the groups' files, compare them with what runs, have them taken
    #[command(after_help = "Example: pointsman config check")]
    Config(Config),
    /// Say what a code means, why it comes and what to do
    #[command(after_help = "Example: pointsman explain stale-epoch")]
    Explain(Explain),
    /// Write commented beginnings of the files; never overwrites
    #[command(after_help = "Example: pointsman init /etc/pointsman --host database")]
    Init(Init),
    /// Print what has to be installed once beside a server
    #[command(after_help = "Example: pointsman setup postgres --print > pointsman.sql")]
    Setup(Setup),
    /// Export, verify or import a journal whose runner does not run
    #[command(after_help = "Example: pointsman journal verify")]
    Journal(Journal),
    /// Run the runner of this host
    #[command(after_help = "Example: pointsman runner")]
    Runner(Runner),
    /// Run the services that this host's file names
    #[command(after_help = "Example: pointsman serve database replication")]
    Serve(Serve),
}

/// How one group stands, or all of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// The group; all of them if it is left out
    pub(crate) group: Option<schemas::GroupId>,
    /// Each resource, step and debt, too
    #[arg(long)]
    pub(crate) all: bool,
}

/// A preflight.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The group; all of them if it is left out
    pub(crate) group: Option<schemas::GroupId>,
    /// What is in order, too
    #[arg(long)]
    pub(crate) all: bool,
}

/// One run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunOnly {
    /// The run: its id, or the shortest unique end of it
    pub(crate) run: String,
}

/// A list, newest first.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// One group's; all of them if it is left out
    pub(crate) group: Option<schemas::GroupId>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;
