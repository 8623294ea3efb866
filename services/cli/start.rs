//! Moves: a preview, the target's name, then the run is followed.

use std::io::IsTerminal;

use schemas::op::{Op, OpReply, Preview, ProtectBy};
use schemas::{Code, GroupId, Problem};
use serde_json::json;

use crate::args::{Move, Reprotect, SiteMove};
use crate::bus::{Bus, strange};
use crate::exit::{Exit, NotDone, Usage};
use crate::output::Output;
use crate::{follow, many, plan, text};

/// `failover`, `switchover`: of one group, or of every one that is live at a site.
pub(crate) async fn one_or_many(
    workflow: &str,
    ask: SiteMove,
    bus: &Bus,
    out: &Output,
) -> anyhow::Result<Exit> {
    match ask.site.clone() {
        Some(site) => many::run(workflow, &site, &ask, bus, out).await,
        None => run(workflow, ask.one, bus, out).await,
    }
}

/// `failback`, `establish`, `cleanup`, and the moves of one group.
pub(crate) async fn run(workflow: &str, ask: Move, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    begin(workflow, ask, None, false, bus, out).await
}

/// `reprotect`.
pub(crate) async fn reprotect(ask: Reprotect, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let by = ProtectBy::from(ask.by);
    let waive = ask.waive_ledger;
    let Reprotect { group, why, supersede, overrides, yes, detach, dry_run, .. } = ask;
    let ask = Move {
        group,
        to: None,
        why,
        supersede,
        accept_unfenced: Vec::new(),
        accept_data_loss: None,
        overrides,
        yes,
        detach,
        dry_run,
    };
    begin("reprotect", ask, Some(by), waive, bus, out).await
}

async fn begin(
    workflow: &str,
    ask: Move,
    by: Option<ProtectBy>,
    waive_ledger: bool,
    bus: &Bus,
    out: &Output,
) -> anyhow::Result<Exit> {
    let group = match &ask.group {
        Some(group) => group.clone(),
        None => only_group(bus).await?,
    };
    let op = |dry_run: bool, to| Op::Start {
        workflow: workflow.to_owned(),
        group: group.clone(),
        to,
        supersede: ask.supersede.clone(),
        accept_unfenced: ask.accept_unfenced.clone(),
        accept_data_loss: ask.accept_data_loss,
        by,
        overrides: ask.overrides.clone(),
        waive_ledger,
        dry_run,
    };
    let preview = match bus.look(op(true, ask.to.clone())).await? {
        OpReply::Preview(preview) => *preview,
        other => return Err(strange(&other)),
    };
    out.line(format!("{group} · {}", bus.heading()));
    show(&preview, false, out);
    if ask.dry_run {
        foresee(workflow, &preview, bus, out).await;
    }
    if let Some(refusal) = preview.refusals.first() {
        return Err(short(refusal).into());
    }
    if ask.dry_run {
        return Ok(Exit::Done);
    }
    confirm(&preview, ask.yes, by, out)?;
    // What was previewed is what is started, also where the target was left out.
    let reply = bus.change(op(false, Some(preview.to.clone())), &ask.why.why, None).await?;
    let OpReply::Started { run, epoch } = &reply else { return Err(strange(&reply)) };
    if out.json() {
        out.value(&reply);
    }
    out.line(format!("run {} epoch {epoch}", text::short(run)));
    if ask.detach {
        out.line(format!("It goes on by itself: `pointsman watch {}`", text::short(run)));
        return Ok(Exit::Done);
    }
    follow::run(&run.to_string(), bus, out).await
}

/// A refusal whose every line stands in the preview above it.
fn short(refusal: &Problem) -> Problem {
    let mut refusal = refusal.clone();
    let lines = refusal.detail.as_deref().map_or(0, |detail| detail.split("; ").count());
    if refusal.code == Code::RedPrecondition && lines > 3 {
        refusal.detail = Some(format!("{lines} lines of `check` are red, see above"));
    }
    refusal
}

/// The plan of a dry run. What cannot be foreseen is said, and the steps are then those of the file.
async fn foresee(workflow: &str, preview: &Preview, bus: &Bus, out: &Output) {
    match plan::of_preview(workflow, preview, None, bus).await {
        Ok(plan) => {
            plan::print(preview, &plan, out);
            out.value(&json!({ "preview": preview, "plan": plan }));
        }
        Err(error) => {
            for (i, step) in preview.steps.iter().enumerate() {
                out.line(format!("{:>3} {step}", i + 1));
            }
            out.line(format!("{} {error:#}", out.warn("it cannot be foreseen step by step:")));
            out.value(&json!({ "preview": preview, "plan": null }));
        }
    }
}

pub(crate) async fn only_group(bus: &Bus) -> anyhow::Result<GroupId> {
    match plan::groups(bus).await?.as_slice() {
        [one] => Ok(one.group.clone()),
        groups => {
            let names: Vec<String> = groups.iter().map(|group| group.group.to_string()).collect();
            Err(Usage(format!("say which group: {}", names.join(", "))).into())
        }
    }
}

/// The heading of a move and its facts.
pub(crate) fn show(preview: &Preview, steps: bool, out: &Output) {
    out.line(format!("{} {}->{}", preview.workflow, preview.from, preview.to));
    let mut facts = out.table();
    for fact in &preview.facts {
        let verdict = fact.verdict.as_deref().map(|verdict| out.strong(verdict));
        facts.add_row([fact.label.clone(), fact.text.clone(), verdict.unwrap_or_default()]);
    }
    if !preview.facts.is_empty() {
        out.line(facts.trim_fmt());
    }
    if steps {
        for (i, step) in preview.steps.iter().enumerate() {
            out.line(format!("{:>3} {step}", i + 1));
        }
    }
}

/// The target's name is typed; without a terminal `--yes` stands for it, and for nothing else.
fn confirm(preview: &Preview, yes: bool, by: Option<ProtectBy>, out: &Output) -> anyhow::Result<()> {
    // A copy overwrites a database: somebody types which.
    let copies = by == Some(ProtectBy::Copy);
    if yes && !copies {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let message = match copies {
            true => "a copy overwrites a database: the site's name is typed, at a terminal",
            false => "without a terminal the target cannot be typed: look at `--dry-run`, then use `--yes`",
        };
        return Err(Usage(message.to_owned()).into());
    }
    let what = match by {
        Some(_) => "the site that is brought up to date",
        None if preview.workflow.starts_with("cleanup:") => "the site that is not live",
        None => "the site to open",
    };
    let question = format!("Type {what} ({}): ", preview.to);
    match out.ask(&question)? {
        Some(answer) if answer == preview.to.as_str() => Ok(()),
        Some(answer) => {
            Err(NotDone(format!("`{answer}` is not `{}`: nothing was started", preview.to)).into())
        }
        None => Err(NotDone("nothing was typed: nothing was started".to_owned()).into()),
    }
}
