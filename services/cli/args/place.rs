//! Commands about this host: its files, its parts.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::moves::By;

/// What is to be checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// Definitions, or functions of a catalog: YAML, or JSON where the name ends so
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// The configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) ask: ConfigAsk,
}

/// What can be asked of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAsk {
    /// Read every file as the parts do; touches nothing
    #[command(after_help = "Example: pointsman config check --groups /etc/pointsman/groups")]
    Check {
        /// The folder of the groups' files; else the one that the host's file names
        #[arg(long, value_name = "FOLDER")]
        groups: Option<PathBuf>,
    },
    /// Say what of the files on disk this host's parts and the runner do not run with: 8 if something
    #[command(after_help = "Example: pointsman config diff")]
    Diff,
    /// Have the runner take changed groups' files; no run in flight is changed, and a bad file changes nothing
    #[command(
        after_help = "What stands in this host's file is taken by a new start of its parts, and is named; secrets \
                      that stand in files of their own (`dsn`, `tsig`) are read each time.\n\n\
                      Example: pointsman config reload --why \"CHG-14 longer drain\""
    )]
    Reload {
        #[command(flatten)]
        why: super::moves::Why,
    },
    /// Print the JSON Schema of a file, for an editor
    #[command(after_help = "Example: pointsman config schema group")]
    Schema {
        /// Which file
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(config::FILES))]
        file: String,
    },
}

/// A code to explain.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The code; lists them all if it is left out
    pub(crate) code: Option<String>,
}

/// Files to begin with.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The folder in which they are written
    #[arg(default_value = "/etc/pointsman")]
    pub(crate) folder: PathBuf,
    /// What this host does; may be said more than once. Without it: the runner
    #[arg(long = "host", value_name = "KIND")]
    pub(crate) kinds: Vec<InitKind>,
    /// This host's place. At `secondary` the replications are written the other way round
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<schemas::SiteId>,
    /// Print them instead
    #[arg(long)]
    pub(crate) print: bool,
}

/// What a host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum InitKind {
    /// Beside a DBMS: access and replication
    Database,
    /// Processes run on it
    Process,
    /// Beside a DNS server
    Dns,
    /// It uses the names that move
    Client,
    /// The runner, with the groups' files
    Runner,
}

/// A set-up.
#[derive(Debug, clap::Args)]
pub(crate) struct Setup {
    #[command(subcommand)]
    pub(crate) ask: SetupAsk,
}

/// Which set-up.
#[derive(Debug, Subcommand)]
pub(crate) enum SetupAsk {
    /// The SQL that a DBA runs once in each database that this host's file names
    #[command(after_help = "Example: pointsman setup postgres --print | psql -v ON_ERROR_STOP=1 -d cfg")]
    Postgres {
        /// Print it; nothing is ever run for you
        #[arg(long, required = true)]
        print: bool,
        /// One database resource; all of them if it is left out
        #[arg(long, value_name = "RESOURCE")]
        database: Option<schemas::ResourceId>,
        /// The role as which the services log in
        #[arg(long, default_value = "pointsman")]
        role: String,
    },
}

/// The brake.
#[derive(Debug, clap::Args)]
pub(crate) struct Arm {
    /// Pull the brake again: the services refuse to change anything
    #[arg(long)]
    pub(crate) off: bool,
}

/// A journal.
#[derive(Debug, clap::Args)]
pub(crate) struct Journal {
    #[command(subcommand)]
    pub(crate) ask: JournalAsk,
}

/// What can be asked of a journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalAsk {
    /// Write every entry as JSON Lines, also of a damaged journal
    #[command(after_help = "Example: pointsman journal export --to journal.jsonl")]
    Export {
        /// The file; standard output if it is left out
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// The journal's folder; else the one that the host's file names
        #[arg(long, value_name = "FOLDER")]
        journal: Option<PathBuf>,
    },
    /// Make a new journal of an export; the runner then needs `--take-over`
    #[command(after_help = "Example: pointsman journal import journal.jsonl")]
    Import {
        /// What `journal export` wrote
        file: PathBuf,
        /// The new journal's folder, empty or absent; else the one that the host's file names
        #[arg(long, value_name = "FOLDER")]
        journal: Option<PathBuf>,
    },
    /// Read everything and check every chain
    #[command(after_help = "Example: pointsman journal verify --journal /var/lib/pointsman/journal")]
    Verify {
        /// The journal's folder; else the one that the host's file names
        #[arg(long, value_name = "FOLDER")]
        journal: Option<PathBuf>,
    },
}

/// The runner.
#[derive(Debug, clap::Args)]
pub(crate) struct Runner {
    /// Go on with a journal that was imported from another host, or restored: its runs are fenced, and
    /// nothing is done before each group is adopted
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// Services.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// These only; else all that the host's file names
    pub(crate) services: Vec<ServicePart>,
}

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum ServicePart {
    /// Names and name clients
    Dns,
    /// Access to databases
    Database,
    /// Replications
    Replication,
    /// Processes and switches
    Process,
}

/// A run's report, or its verification.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Report {
    #[command(subcommand)]
    pub(crate) ask: Option<ReportAsk>,
    #[command(flatten)]
    pub(crate) of: ReportOf,
}

/// Which run, from where, to where.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportOf {
    /// The run: its id, or the shortest unique end of it
    #[arg(required = true)]
    pub(crate) run: Option<String>,
    /// What is printed; `--output json` prints the report with its evidence
    #[arg(long, value_name = "FORM", default_value = "markdown")]
    pub(crate) form: Paper,
    /// A journal's export, instead of the runner
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// A new file; standard output if it is left out
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

/// What a page is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Paper {
    /// Text with headings and tables
    #[value(alias = "md")]
    Markdown,
    /// One page that needs nothing else
    Html,
}

/// What can be asked of a report.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportAsk {
    /// Say whether a report's JSON, or a journal's export, is what was recorded: 8 if it is not
    #[command(
        after_help = "The head is in the run's last event on the bus (`data.head` of run-ended): take it from \
                      where events are kept.\n\nExample: pointsman report verify report.json --head HASH"
    )]
    Verify(ReportVerify),
}

/// What is compared.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportVerify {
    /// The head of the run's chain, from outside
    #[arg(long, value_name = "HASH")]
    pub(crate) head: String,
    /// What `report --output json` printed, or what `journal export` wrote
    pub(crate) file: PathBuf,
    /// Which run of an export; may be left out where there is one only
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
}

/// What would be done.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// The workflow
    pub(crate) workflow: String,
    /// The group
    pub(crate) group: schemas::GroupId,
    /// The site to open; the other one if it is left out
    #[arg(long, value_name = "SITE")]
    pub(crate) to: Option<schemas::SiteId>,
    /// As if it took over from this run, which has not ended
    #[arg(long, value_name = "RUN")]
    pub(crate) supersede: Option<String>,
    /// As if this site were lost and nothing there answered
    #[arg(long, value_name = "SITE")]
    pub(crate) lost: Option<schemas::SiteId>,
    /// Of `reprotect`: how the site is brought up to date; by `catch-up` if it is left out
    #[arg(long, value_name = "HOW")]
    pub(crate) by: Option<By>,
}

/// A manual.
#[derive(Debug, clap::Args)]
pub(crate) struct Runbook {
    /// The workflow
    #[arg(required_unless_present = "rest")]
    pub(crate) workflow: Option<String>,
    /// The group
    #[arg(required_unless_present = "rest")]
    pub(crate) group: Option<schemas::GroupId>,
    /// The rest of this run instead
    #[arg(long, value_name = "RUN", conflicts_with_all = ["workflow", "group", "to", "offline"])]
    pub(crate) rest: Option<String>,
    /// The site to open; the other one if it is left out
    #[arg(long, value_name = "SITE")]
    pub(crate) to: Option<schemas::SiteId>,
    /// As if this site were lost and nothing there answered: the paper for that night, printed by day
    #[arg(long, value_name = "SITE", conflicts_with = "rest")]
    pub(crate) lost: Option<schemas::SiteId>,
    /// Of `reprotect`: how the site is brought up to date; has to be said with `--offline`
    #[arg(long, value_name = "HOW", conflicts_with = "rest")]
    pub(crate) by: Option<By>,
    /// From this host's files alone: no bus, no runner, nothing is looked at
    #[arg(long)]
    pub(crate) offline: bool,
    /// A journal's export, instead of the runner
    #[arg(long, value_name = "FILE", requires = "rest")]
    pub(crate) from: Option<PathBuf>,
}

/// One act.
#[derive(Debug, clap::Args)]
pub(crate) struct Act {
    /// The resource, as this host's file names it: SERVICE.RESOURCE, or RESOURCE alone
    pub(crate) resource: String,
    /// The act, such as disable-access, enable-access, start, stop, point
    pub(crate) action: String,
    /// On this host, without the bus
    #[arg(long, required = true)]
    pub(crate) here: bool,
    /// Further arguments as a JSON object; the resource and its site are filled in
    #[arg(long, value_name = "JSON")]
    pub(crate) args: Option<String>,
    /// Openings: this site is closed, or you take the risk that it still accepts writes
    #[arg(long, value_name = "SITE")]
    pub(crate) accept_unfenced: Vec<schemas::SiteId>,
    /// How long it may take
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) within: config::Span,
    /// Do not ask for the site's name; never stands for an acceptance
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only print how to do it without Pointsman
    #[arg(long)]
    pub(crate) print: bool,
    /// Why; recorded with who and when
    #[arg(long, value_name = "TEXT", required_unless_present = "print",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) why: Option<String>,
}

/// A database that was kept closed after a boot.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// The database, as this host's file names it
    pub(crate) database: String,
    /// On this host, without the bus
    #[arg(long, required = true)]
    pub(crate) here: bool,
    /// This site is closed, or you take the risk that it still accepts writes
    #[arg(long, value_name = "SITE", required = true)]
    pub(crate) accept_unfenced: Vec<schemas::SiteId>,
    /// How long it may take
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) within: config::Span,
    /// Do not ask for the site's name; never stands for an acceptance
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why; recorded with who and when
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) why: String,
}

impl Release {
    /// The act that it is.
    pub(crate) fn act(&self) -> Act {
        Act {
            resource: format!("database.{}", self.database),
            action: schemas::Action::EnableAccess.as_str().to_owned(),
            here: self.here,
            args: None,
            accept_unfenced: self.accept_unfenced.clone(),
            within: self.within,
            yes: self.yes,
            print: false,
            why: Some(self.why.clone()),
        }
    }
}

/// A shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// bash, zsh, fish, elvish or powershell
    pub(crate) shell: String,
}
