//! Commands that move something, or change what a run does. Each needs a reason.

use clap::ValueEnum;
use schemas::duration::Iso;
use schemas::{GroupId, LossBound, SiteId};

/// Why it is done; it is recorded with who and when.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Why {
    /// Why; recorded with who and when
    #[arg(long = "why", value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) why: String,
}

/// What every start of a run takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Begin {
    #[command(flatten)]
    pub(crate) why: Why,
    /// Take over from a run that has not ended: its doubts join the group's list
    #[arg(long, value_name = "RUN")]
    pub(crate) supersede: Option<String>,
    /// Start although this line of `check` is red; recorded
    #[arg(long = "override", value_name = "NAME")]
    pub(crate) overrides: Vec<String>,
    /// Do not ask for a name; never enough for an acceptance, a copy or a drop
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do not follow the run
    #[arg(long)]
    pub(crate) detach: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A move of a group.
#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// The group; may be left out where there is only one
    pub(crate) group: Option<GroupId>,
    /// The site to open; the other one if it is left out
    #[arg(long, value_name = "SITE")]
    pub(crate) to: Option<SiteId>,
    /// Take the risk that this site still accepts writes
    #[arg(long, value_name = "SITE")]
    pub(crate) accept_unfenced: Vec<SiteId>,
    /// Take the risk that at most so much is lost, such as 2m; `unknown` where nobody can tell how much: no duration
    /// stands for that
    #[arg(long, value_name = "DURATION|unknown", value_parser = loss)]
    pub(crate) accept_data_loss: Option<LossBound>,
    #[command(flatten)]
    pub(crate) begin: Begin,
}

/// A move of one group, or of every group that is live at a site.
#[derive(Debug, clap::Args)]
pub(crate) struct SiteMove {
    #[command(flatten)]
    pub(crate) one: Move,
    /// Move every group that is live at this site, in the `order` of their files; a group that is
    /// refused, fails or waits for a person stops no other one
    #[arg(long, value_name = "SITE", conflicts_with_all = ["group", "supersede", "detach"])]
    pub(crate) site: Option<SiteId>,
    /// So many groups at once, with `--site`
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) at_once: u8,
}

/// A move that is practised.
#[derive(Debug, clap::Args)]
pub(crate) struct Drill {
    /// The group; may be left out where there is only one
    pub(crate) group: Option<GroupId>,
    /// Which move
    #[arg(long, value_name = "NAME", default_value = "failover")]
    pub(crate) workflow: String,
    /// The site to open; the other one if it is left out
    #[arg(long, value_name = "SITE")]
    pub(crate) to: Option<SiteId>,
    /// The site that a failover leaves goes on answering; else it is lost before the failover starts
    #[arg(long)]
    pub(crate) alive: bool,
    /// Write the run's report, in Markdown, into this new file
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// A site that is brought up to date.
#[derive(Debug, clap::Args)]
pub(crate) struct Reprotect {
    /// The group; may be left out where there is only one
    pub(crate) group: Option<GroupId>,
    /// How: what was kept since the opening is applied, or everything is copied anew
    #[arg(long, value_name = "HOW", default_value = "catch-up")]
    pub(crate) by: By,
    /// Copy without saving first what only that site has
    #[arg(long)]
    pub(crate) waive_ledger: bool,
    #[command(flatten)]
    pub(crate) begin: Begin,
}

/// Old tables that go for good.
#[derive(Debug, clap::Args)]
pub(crate) struct Cleanup {
    /// The group; may be left out where there is only one
    pub(crate) group: Option<GroupId>,
    /// Do not ask for it: the site that keeps the tables, as the preview says; the group where both sites do
    #[arg(long, value_name = "SITE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) drop: Option<String>,
    #[command(flatten)]
    pub(crate) begin: Begin,
}

/// How a site is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// What was kept since the opening is applied: after a planned move, or where nothing was left behind
    CatchUp,
    /// Everything is copied anew, after what only that site has was saved
    Copy,
}

impl From<By> for schemas::op::ProtectBy {
    fn from(by: By) -> Self {
        match by {
            By::CatchUp => Self::CatchUp,
            By::Copy => Self::Copy,
        }
    }
}

/// A run and a reason.
#[derive(Debug, clap::Args)]
pub(crate) struct RunWhy {
    /// The run: its id, or the shortest unique end of it
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// A step and a reason.
#[derive(Debug, clap::Args)]
pub(crate) struct StepWhy {
    /// The run: its id, or the shortest unique end of it
    pub(crate) run: String,
    /// The step: the number shown, or its position
    pub(crate) step: String,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// A step to do again.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    pub(crate) at: StepWhy,
    /// Evaluate its arguments anew
    #[arg(long)]
    pub(crate) fresh: bool,
}

/// A step that was done by hand.
#[derive(Debug, clap::Args)]
pub(crate) struct Done {
    #[command(flatten)]
    pub(crate) at: StepWhy,
    /// Without a look by its service, which refuses what it sees contradicted
    #[arg(long)]
    pub(crate) unverified: bool,
}

/// A run to end.
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) at: RunWhy,
    /// Leave the world as it is instead of backing out
    #[arg(long)]
    pub(crate) leave: bool,
}

/// A decision that waits.
#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    /// The group, or the decision's id
    pub(crate) decision: String,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// A named risk.
#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    /// The run: its id, or the shortest unique end of it
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) risk: Risk,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// What is accepted; one of them at least.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Risk {
    /// The site that may still accept writes
    #[arg(long, value_name = "SITE")]
    pub(crate) unfenced: Option<SiteId>,
    /// At most so much may be lost, such as 2m; `unknown` where nobody can tell how much. A duration stands for that
    /// too if the run waits for just that
    #[arg(long, value_name = "DURATION|unknown", value_parser = loss)]
    pub(crate) data_loss: Option<LossBound>,
}

/// A loss that is accepted.
fn loss(text: &str) -> Result<LossBound, config::BadUnit> {
    match text {
        LossBound::UNTOLD => Ok(LossBound::Unknown),
        bound => bound.parse().map(|bound: config::Span| LossBound::AtMost(Iso(bound.duration()))),
    }
}

/// A group whose automatic starts are armed again.
#[derive(Debug, clap::Args)]
pub(crate) struct Ack {
    /// The group
    pub(crate) group: GroupId,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// As the group's file says
    On,
    /// Detections are recorded and start nothing
    Off,
}

/// A group's triggers.
#[derive(Debug, clap::Args)]
pub(crate) struct Triggers {
    /// On or off
    pub(crate) switch: Switch,
    /// The group
    pub(crate) group: GroupId,
    /// Off for so long only
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) for_: Option<config::Span>,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// What a person declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Only the link between the sites is lost: no trigger starts anything, and nobody takes over
    Disconnect,
    /// A site is down, and will return with what it has
    Outage,
    /// A site is gone, and will not return as it was: the way home is by copy only
    Disaster,
    /// What was declared before is over
    Over,
}

/// What no look can tell.
#[derive(Debug, clap::Args)]
pub(crate) struct Declare {
    /// What
    pub(crate) what: What,
    /// The group
    pub(crate) group: GroupId,
    /// The site that is down or gone; the one of which nothing is heard, if it is left out
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// A group to adopt.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("known").args(["live", "none_live"]))]
pub(crate) struct Adopt {
    /// The group
    pub(crate) group: GroupId,
    /// The site that is live, where it cannot be typed
    #[arg(long, value_name = "SITE")]
    pub(crate) live: Option<SiteId>,
    /// No site is live: each database is seen closed; `establish` comes next
    #[arg(long)]
    pub(crate) none_live: bool,
    /// Do not ask; needs `--live` or `--none-live`
    #[arg(long, requires = "known")]
    pub(crate) yes: bool,
    /// Only look
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// After a take-over: the older runner is stopped, or you take the risk that it is not
    #[arg(long)]
    pub(crate) accept_old_runner_stopped: bool,
    #[command(flatten)]
    pub(crate) why: Why,
}
