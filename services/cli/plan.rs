//! What a move would do now, from today's observations; it changes nothing and leaves no entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use chrono::Utc;
use engine::{Definition, Machine, RunFacts};
use expressions::{Limits, Pool, WorkerCommand};
use futures_util::StreamExt;
use paper::World;
use schemas::op::{Op, OpReply, Preview, ProtectBy};
use schemas::view::{GroupView, RunState, RunView};
use schemas::{Code, GroupId, Problem, SiteId};
use serde_json::{Value, json};

use crate::args::Plan;
use crate::bus::{Bus, strange};
use crate::exit::{Exit, Usage};
use crate::output::Output;
use crate::{runs, start};

/// How many runs are looked through for one that says how long it takes.
const RUNS: u32 = 50;
/// So many groups are asked about at once, where one answer cannot hold all.
const GROUPS_AT_ONCE: usize = 8;

/// `plan`; 3 when it could not start now.
pub(crate) async fn run(ask: Plan, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let op = Op::Start {
        workflow: ask.workflow.clone(),
        group: ask.group.clone(),
        to: ask.to.clone(),
        supersede: ask.supersede.clone(),
        accept_unfenced: Vec::new(),
        accept_data_loss: None,
        by: ask.by.map(ProtectBy::from).or_else(|| by_default(&ask.workflow)),
        overrides: Vec::new(),
        waive_ledger: false,
        dry_run: true,
    };
    let preview = match bus.look(op).await? {
        OpReply::Preview(preview) => *preview,
        other => return Err(strange(&other)),
    };
    let plan = of_preview(&ask.workflow, &preview, ask.lost.as_ref(), bus).await?;
    out.line(format!("{} · {}", ask.group, bus.heading()));
    start::show(&preview, false, out);
    print(&preview, &plan, out);
    out.value(&json!({ "preview": preview, "plan": plan }));
    match preview.refusals.first() {
        Some(refusal) => Err(refusal.clone().into()),
        None => Ok(Exit::Done),
    }
}

/// How a standby is brought up to date where nobody says: the way that overwrites nothing.
pub(crate) fn by_default(workflow: &str) -> Option<ProtectBy> {
    (workflow == "reprotect").then_some(ProtectBy::CatchUp)
}

/// The steps of a plan, and what they may cost.
pub(crate) fn print(preview: &Preview, plan: &paper::Plan, out: &Output) {
    for line in plan.lines() {
        out.line(line);
    }
    if !preview.facts.iter().any(|fact| fact.label == "loss") {
        out.line(format!("loss: {}", loss(plan)));
    }
}

fn loss(plan: &paper::Plan) -> &'static str {
    let has = |action: &str| plan.steps.iter().any(|step| step.foreseen.call.action == action);
    match (has("drain"), has("abandon")) {
        (true, false) => "nothing, once every stream is drained from the closed source",
        (_, true) => "no estimate: what had not arrived when the source was lost",
        (false, false) => "no estimate",
    }
}

/// Drives the definition with what the preview says of today.
pub(crate) async fn of_preview(
    workflow: &str,
    preview: &Preview,
    as_if_lost: Option<&SiteId>,
    bus: &Bus,
) -> anyhow::Result<paper::Plan> {
    let definition = definition(workflow, bus).await?;
    let group = group(&preview.group, bus).await?;
    let lost = preview.input.get("lost").cloned().unwrap_or_default();
    let mut lost: Vec<SiteId> = serde_json::from_value(lost).unwrap_or_default();
    let last = last_run(&preview.group, &preview.workflow, bus).await?;
    if let Some(site) = as_if_lost
        && !group.sites.contains_key(site)
    {
        return Err(Usage(format!("the group has no site `{site}`")).into());
    }
    lost.extend(as_if_lost.filter(|site| !lost.contains(site)).cloned());
    let mut world = world(&group, lost);
    for view in world.resources.values_mut().filter(|view| Some(&view.address.site) == as_if_lost) {
        view.silent = true;
    }
    from_start(definition, preview.input.clone(), &world, last.as_ref())
}

/// The definition as the runner has it.
pub(crate) async fn definition(workflow: &str, bus: &Bus) -> anyhow::Result<Arc<Definition>> {
    let found = match bus.look(Op::Definition { workflow: workflow.to_owned() }).await? {
        OpReply::Definition(found) => found,
        other => return Err(strange(&other)),
    };
    let catalog = engine::catalog::kept(found.functions.into_iter().collect());
    Ok(Arc::new(Definition::load(&found.text, &found.workflow, &catalog)?))
}

/// A group as its services see it now.
pub(crate) async fn group(group: &GroupId, bus: &Bus) -> anyhow::Result<GroupView> {
    match bus.look(Op::Status { group: Some(group.clone()) }).await? {
        OpReply::Groups(groups) => groups.into_iter().next().context("the runner does not know the group"),
        other => Err(strange(&other)),
    }
}

/// Every group as its services see it now. Where they do not fit into one answer, each is asked about by its name.
pub(crate) async fn groups(bus: &Bus) -> anyhow::Result<Vec<GroupView>> {
    match bus.look(Op::Status { group: None }).await {
        Ok(OpReply::Groups(groups)) => return Ok(groups),
        Ok(other) => return Err(strange(&other)),
        Err(error) if error.downcast_ref::<Problem>().is_some_and(|p| p.code == Code::TooLarge) => {}
        Err(error) => return Err(error),
    }
    let files = match bus.look(Op::Files { group: None }).await? {
        OpReply::Files(files) => files,
        other => return Err(strange(&other)),
    };
    let looks = files.into_iter().map(|file| async move { group(&file.group, bus).await });
    let views: Vec<_> = futures_util::stream::iter(looks).buffered(GROUPS_AT_ONCE).collect().await;
    views.into_iter().collect()
}

/// What the forecast needs to know of it.
pub(crate) fn world(group: &GroupView, lost: Vec<SiteId>) -> World {
    let resources: BTreeMap<_, _> =
        group.resources.iter().map(|view| (view.address.clone(), view.clone())).collect();
    World { resources, lost, ..World::default() }
}

/// The last run of a workflow that was completed, with its steps.
pub(crate) async fn last_run(group: &GroupId, workflow: &str, bus: &Bus) -> anyhow::Result<Option<RunView>> {
    let reply = bus.look(Op::Runs { group: Some(group.clone()), limit: RUNS }).await?;
    let OpReply::Runs(found) = reply else { return Err(strange(&reply)) };
    let last = found.into_iter().find(|run| run.workflow == workflow && run.state == RunState::Completed);
    match last {
        Some(run) => runs::fetch(&run.id.to_string(), bus).await.map(Some),
        None => Ok(None),
    }
}

/// A plan from a definition's beginning.
pub(crate) fn from_start(
    definition: Arc<Definition>,
    input: Value,
    world: &World,
    last: Option<&RunView>,
) -> anyhow::Result<paper::Plan> {
    let mut machine = Machine::new(definition);
    let now = Utc::now();
    for entry in machine.begin(RunFacts { id: "plan".into(), started_at: now, input }) {
        machine.apply(&entry).context("the definition cannot be begun")?;
    }
    from_here(machine, world, last)
}

/// A plan from where a run stands.
pub(crate) fn from_here(
    machine: Machine,
    world: &World,
    last: Option<&RunView>,
) -> anyhow::Result<paper::Plan> {
    // Expressions are fenced here too: a definition is somebody's file.
    let pool = Pool::new(1, &WorkerCommand::own()?, Limits::default());
    let forecast = paper::forecast(machine, Utc::now(), world, &mut &pool)?;
    Ok(paper::Plan::new(forecast, last))
}
