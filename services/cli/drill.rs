//! A move, practised on drivers in memory: the runner and the services themselves, with the group's own file and
//! definition, on the same bus under a prefix of their own. Production is looked at, before and after, and then told
//! how the drill went; nothing else of it is asked for anything.

mod answers;
mod house;
mod seed;
mod unchanged;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use schemas::duration::Iso;
use schemas::op::{Op, OpReply};
use schemas::view::{DrillView, GroupView, RunState, RunView, StepState};
use schemas::{GroupId, RunId, SiteId};
use serde_json::json;
use uuid::Uuid;

use crate::args::Drill;
use crate::bus::{Bus, strange};
use crate::exit::{self, Exit, NotDone, Usage};
use crate::follow::{self, Followed};
use crate::output::Output;
use crate::{parts, plan, report, runs, start, text};
use house::House;

/// `drill`. The exit code is that of the run, 3 where none could start; 8 where production was not the same afterwards.
pub(crate) async fn run(ask: &Drill, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    tokio::select! {
        // Its folder goes with it.
        done = practise(ask, host, out) => done,
        _ = tokio::signal::ctrl_c() => Err(NotDone("the drill was broken off; production was not asked for anything".into()).into()),
    }
}

async fn practise(ask: &Drill, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    let host = config::load_host(host)?;
    let (groups, definitions) = parts::of_runner(&host)?;
    let bus = Bus::connect(&host.bus).await?;
    let id = match &ask.group {
        Some(group) => group.clone(),
        None => start::only_group(&bus).await?,
    };
    let group = groups
        .into_iter()
        .find(|group| group.name == id)
        .ok_or_else(|| Usage(format!("no file of this host's groups is called `{id}`")))?;
    let before = look(&id, &bus).await?;
    let (from, to) = sites(ask, &before)?;
    let lost = ask.workflow == "failover" && !ask.alive;
    fits(ask, &definitions)?;

    let mut own = host.bus.clone();
    own.prefix = format!("{}.drill-{}", own.prefix, &Uuid::new_v4().simple().to_string()[..8]);
    out.line(format!("{id} · {}", bus.heading()));
    out.line(format!(
        "drill of {} {from}->{to}, in memory, under `{}`: nothing of it reaches a server of the group",
        ask.workflow, own.prefix
    ));
    let seeded = seed::places(&group, &before.0);
    out.line(format!(
        "production   {} · {} resources seen, {} that nobody can see",
        text::mode(before.0.mode),
        before.0.resources.len() - seeded.unseen.len(),
        seeded.unseen.len()
    ));
    for address in &seeded.unseen {
        out.line(format!("             {address} is silent in the drill too"));
    }
    differs(&group, &bus, out).await?;

    let notify = group.notify.clone();
    let mut house = House::start(&own, group, definitions, &seeded)?;
    let (view, exit) = hold(ask, &id, (&from, &to), lost, &seeded, &mut house, out).await?;
    told(&view, &notify, &house, out);
    drop(house);
    let changed = unchanged::compare(&before, &look(&id, &bus).await?);
    match changed.is_empty() {
        true => out.line(format!(
            "production   unchanged: {} resources, their claims, mode, epoch and runs were compared",
            before.0.resources.len()
        )),
        false => out.line(out.warn("production   CHANGED meanwhile:")),
    }
    for line in &changed {
        out.line(format!("             {line}"));
    }
    let recorded = bus.change(Op::Drilled { group: id, drill: view.clone() }, &ask.why.why, None).await;
    let recorded = recorded.map(drop).context("the drill was held, and could not be recorded");
    out.value(&json!({ "drill": view, "changed": changed }));
    recorded?;
    Ok(if changed.is_empty() { exit } else { Exit::NotNormal })
}

/// The run of a drill, to its end; how it went, and its exit code.
async fn hold(
    ask: &Drill,
    id: &GroupId,
    (from, to): (&SiteId, &SiteId),
    lost: bool,
    seeded: &seed::Seeded,
    house: &mut House,
    out: &Output,
) -> anyhow::Result<(DrillView, Exit)> {
    let inside = house.adopted(id, from, &seeded.unseen).await?;
    if lost {
        house.lose(from, id, &inside).await?;
        out.line(format!("lost         {from}: its services are gone, its databases may be open"));
    }
    let run = match begin(ask, id, to, &inside).await {
        Ok(run) => run,
        Err(error) => return refused(ask, from, to, error, out),
    };
    let name = run.to_string();
    let asked = answers::Asked::default();
    let followed = tokio::select! {
        followed = follow::drilled(&name, &inside, out) => followed?,
        held = answers::answer(&run, &inside, &asked) => Followed { exit: Exit::NeedsPerson, last: held? },
    };
    if let Some(file) = &ask.report {
        let heading = "# A drill\n\nOn drivers in memory, beside production: what was asked, in which order, and who would have \
                       decided is as on the night. Times, RTO and RPO are those of memory.\n\n";
        report::write(file, &format!("{heading}{}", report::markdown(&name, &inside).await?))?;
        out.line(format!("report       {}", file.display()));
    }
    let view = viewed(ask, &followed.last, from, to, asked.list());
    Ok((view, followed.exit))
}

/// Production as it is: the group, and its latest run.
type Seen = (GroupView, Option<RunId>);

async fn look(group: &GroupId, bus: &Bus) -> anyhow::Result<Seen> {
    let view = plan::group(group, bus).await?;
    let latest = match bus.look(Op::Runs { group: Some(group.clone()), limit: 1 }).await? {
        OpReply::Runs(runs) => runs.first().map(|run| run.id),
        other => return Err(strange(&other)),
    };
    Ok((view, latest))
}

/// What can be known to be wrong before anything begins.
fn fits(ask: &Drill, definitions: &[runner::DefinitionText]) -> anyhow::Result<()> {
    let names: Vec<String> = definitions.iter().filter_map(parts::name_of).collect();
    if !names.contains(&ask.workflow) {
        return Err(Usage(format!("there is no workflow `{}`: {}", ask.workflow, names.join(", "))).into());
    }
    if ask.alive && ask.workflow != "failover" {
        return Err(
            Usage("`--alive` is for a failover: every other move has both sites up".to_owned()).into()
        );
    }
    if let Some(file) = &ask.report {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        if file.exists() || folder.is_some_and(|folder| !folder.is_dir()) {
            let text =
                format!("`--report` writes a new file into a folder that is there: {}", file.display());
            return Err(Usage(text).into());
        }
    }
    Ok(())
}

/// From where to where; a drill begins where production stands.
fn sites(ask: &Drill, (view, _): &Seen) -> anyhow::Result<(SiteId, SiteId)> {
    if let Some(run) = &view.run {
        let message = format!("run {} moves the group: nothing is rehearsed meanwhile", text::short(&run.id));
        return Err(NotDone(message).into());
    }
    let live = view
        .live
        .clone()
        .ok_or_else(|| NotDone("no site is live: there is nothing to begin from".to_owned()))?;
    let other = view.sites.keys().find(|site| **site != live).cloned();
    match (&ask.to, other) {
        (Some(to), _) if *to == live => Err(Usage(format!("`{to}` is live already")).into()),
        (Some(to), _) if !view.sites.contains_key(to) => Err(Usage(format!("no site `{to}`")).into()),
        (Some(to), _) => Ok((live, to.clone())),
        (None, Some(to)) => Ok((live, to)),
        (None, None) => Err(NotDone("the group has one site".to_owned()).into()),
    }
}

/// The file that is rehearsed is the one of this host; the runner may run with an older one.
async fn differs(group: &config::Group, bus: &Bus, out: &Output) -> anyhow::Result<()> {
    let OpReply::Files(files) = bus.look(Op::Files { group: Some(group.name.clone()) }).await? else {
        return Ok(());
    };
    if files.first().is_some_and(|file| file.file != group.to_workflow_input()) {
        let text = format!("{} is not what the runner runs with: pointsman config diff", group.path);
        out.line(format!("{}      {text}", out.warn("AMBER")));
    }
    Ok(())
}

async fn begin(ask: &Drill, group: &GroupId, to: &SiteId, bus: &Bus) -> anyhow::Result<RunId> {
    let op = Op::Start {
        workflow: ask.workflow.clone(),
        group: group.clone(),
        to: Some(to.clone()),
        supersede: None,
        accept_unfenced: Vec::new(),
        accept_data_loss: None,
        by: plan::by_default(&ask.workflow),
        overrides: Vec::new(),
        waive_ledger: false,
        dry_run: false,
    };
    match bus.change(op, &ask.why.why, None).await? {
        OpReply::Started { run, .. } => Ok(run),
        other => Err(strange(&other)),
    }
}

fn viewed(ask: &Drill, run: &RunView, from: &SiteId, to: &SiteId, asked: Vec<String>) -> DrillView {
    let took = (run.ended.unwrap_or_else(Utc::now) - run.started).to_std().unwrap_or_default();
    let owed = run.steps.iter().filter(|step| step.state == StepState::Assumed).count();
    DrillView {
        workflow: ask.workflow.clone(),
        from: from.clone(),
        to: to.clone(),
        state: run.state,
        took: Iso(Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))),
        asked,
        owed: u32::try_from(owed).unwrap_or(u32::MAX),
        refused: None,
        at: Utc::now(),
    }
}

/// The move was refused: that is how the drill went, and whoever looks at it later sees why.
fn refused(
    ask: &Drill,
    from: &SiteId,
    to: &SiteId,
    error: anyhow::Error,
    out: &Output,
) -> anyhow::Result<(DrillView, Exit)> {
    let exit = exit::of(&error);
    if exit != Exit::Refused {
        return Err(error);
    }
    let why = format!("{error:#}");
    out.line(format!("refused      {why}"));
    let view = DrillView {
        workflow: ask.workflow.clone(),
        from: from.clone(),
        to: to.clone(),
        state: RunState::Faulted,
        took: Iso(Duration::ZERO),
        asked: Vec::new(),
        owed: 0,
        refused: Some(why),
        at: Utc::now(),
    };
    Ok((view, exit))
}

/// What the night would have asked for, and whom it would have called.
fn told(view: &DrillView, notify: &config::Notify, house: &House, out: &Output) {
    for question in &view.asked {
        out.line(format!("you          would have been asked: {question}"));
    }
    if view.asked.is_empty() && view.refused.is_none() {
        out.line("you          would not have been asked for anything");
    }
    // Who is asked is called after some seconds; the drill has answered by then.
    let held = notify.held.as_ref().filter(|_| !view.asked.is_empty());
    let pages = held.map(|command| ("held".to_owned(), command.clone())).into_iter().chain(house.pages());
    let pages: BTreeSet<(String, PathBuf)> = pages.collect();
    for (event, command) in pages {
        out.line(format!("people       would have been told of `{event}` by {}", command.display()));
    }
}

/// One look at the drill's own run.
async fn fetch(run: &RunId, bus: &Bus) -> anyhow::Result<RunView> {
    runs::fetch(&run.to_string(), bus).await
}
