//! Moves: a preview, the target's name, then the run is followed.

use std::io::IsTerminal;

use schemas::op::{Op, OpReply, Preview, ProtectBy};
use schemas::{Code, GroupId, LossBound, Problem, SiteId, keeping};
use serde_json::json;

use crate::args::{Begin, Cleanup, Move, Reprotect, SiteMove};
use crate::bus::{Bus, strange};
use crate::exit::{Exit, NotDone, Usage};
use crate::output::Output;
use crate::{follow, many, plan, text};

/// The move that drops what a copy kept aside.
const CLEANUP: &str = "cleanup";

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

/// What one kind of move takes beside the rest.
#[derive(Debug, Default)]
struct Beside {
    to: Option<SiteId>,
    accept_unfenced: Vec<SiteId>,
    accept_data_loss: Option<LossBound>,
    by: Option<ProtectBy>,
    waive_ledger: bool,
    /// The word that lets tables be dropped.
    drop: Option<String>,
}

/// `failback`, `establish`, and the moves of one group.
pub(crate) async fn run(workflow: &str, ask: Move, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let Move { group, to, accept_unfenced, accept_data_loss, begin } = ask;
    let beside = Beside { to, accept_unfenced, accept_data_loss, ..Beside::default() };
    self::begin(workflow, group, &begin, &beside, bus, out).await
}

/// `cleanup`.
pub(crate) async fn cleanup(ask: Cleanup, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let beside = Beside { drop: ask.drop, ..Beside::default() };
    begin(CLEANUP, ask.group, &ask.begin, &beside, bus, out).await
}

/// `reprotect`.
pub(crate) async fn reprotect(ask: Reprotect, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let by = Some(ProtectBy::from(ask.by));
    let beside = Beside { by, waive_ledger: ask.waive_ledger, ..Beside::default() };
    begin("reprotect", ask.group, &ask.begin, &beside, bus, out).await
}

async fn begin(
    workflow: &str,
    group: Option<GroupId>,
    ask: &Begin,
    beside: &Beside,
    bus: &Bus,
    out: &Output,
) -> anyhow::Result<Exit> {
    let group = match group {
        Some(group) => group,
        None => only_group(bus).await?,
    };
    let op = |dry_run: bool, to| Op::Start {
        workflow: workflow.to_owned(),
        group: group.clone(),
        to,
        supersede: ask.supersede.clone(),
        accept_unfenced: beside.accept_unfenced.clone(),
        accept_data_loss: beside.accept_data_loss,
        by: beside.by,
        overrides: ask.overrides.clone(),
        waive_ledger: beside.waive_ledger,
        dry_run,
    };
    let preview = match bus.look(op(true, beside.to.clone())).await? {
        OpReply::Preview(preview) => *preview,
        other => return Err(strange(&other)),
    };
    out.line(format!("{group} · {}", bus.heading()));
    show(&preview, false, out);
    // Whoever supersedes wants the other run ended.
    let nothing =
        ask.supersede.is_none() && preview.aside.as_deref().is_some_and(|all| keeping(all).is_empty());
    match (ask.dry_run, nothing) {
        (true, false) => foresee(workflow, &preview, bus, out).await,
        (true, true) => out.value(&json!({ "preview": preview, "plan": null })),
        (false, _) => {}
    }
    if let Some(refusal) = preview.refusals.first() {
        return Err(short(refusal).into());
    }
    if nothing {
        out.line("nothing is kept aside: no run is started");
        if !ask.dry_run {
            out.value(&json!({ "started": null, "preview": preview }));
        }
        return Ok(Exit::Done);
    }
    if ask.dry_run {
        return Ok(Exit::Done);
    }
    match workflow {
        CLEANUP => confirm_drop(&preview, beside.drop.as_deref(), ask.yes, out)?,
        _ => confirm(&preview, ask.yes, beside.by, out)?,
    }
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
    // The text is not padded: one long line would push every verdict off the screen.
    let widest = preview.facts.iter().map(|fact| fact.label.chars().count()).max().unwrap_or_default();
    for fact in &preview.facts {
        let verdict = fact.verdict.as_deref().map(|verdict| format!("  {}", out.strong(verdict)));
        out.line(format!("  {:<widest$}  {}{}", fact.label, fact.text, verdict.unwrap_or_default()));
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
        None => "the site to open",
    };
    typed(out.ask(&format!("Type {what} ({}): ", preview.to))?, preview.to.as_str())
}

/// Tables are dropped by the name of the site that keeps them, typed or given; by the group's where both sites do.
fn confirm_drop(preview: &Preview, given: Option<&str>, yes: bool, out: &Output) -> anyhow::Result<()> {
    let (what, word) = asked_to_drop(preview);
    if let Some(given) = given {
        return typed(Some(given.to_owned()), word);
    }
    if !std::io::stdin().is_terminal() {
        let start = if yes { "`--yes` is not enough to drop tables" } else { "nothing can be typed" };
        let message = format!("{start}: look at `--dry-run`, then name {what}: `--drop {word}`");
        return Err(Usage(message).into());
    }
    typed(out.ask(&format!("Type {what} ({word}): "))?, word)
}

/// What is asked for before tables are dropped, and the word for it.
fn asked_to_drop(preview: &Preview) -> (&'static str, &str) {
    let all = preview.aside.as_deref().unwrap_or_default();
    let sites: Vec<&SiteId> = keeping(all).into_iter().collect();
    let seen = |site: &&SiteId| {
        all.iter().any(|at| at.site == **site && at.seen.as_ref().is_some_and(|aside| aside.tables > 0))
    };
    let group = preview.group.as_str();
    match sites.as_slice() {
        [] => ("the group, of which nothing is kept", group),
        [one] => ("the site whose kept tables are dropped", one.as_str()),
        both if both.iter().all(seen) => ("the group whose kept tables are dropped at both sites", group),
        _ => ("the group whose kept tables are dropped at both sites, as far as they keep some", group),
    }
}

/// Whether it is the word that was asked for.
fn typed(answer: Option<String>, word: &str) -> anyhow::Result<()> {
    match answer {
        Some(answer) if answer == word => Ok(()),
        Some(answer) => Err(NotDone(format!("`{answer}` is not `{word}`: nothing was started")).into()),
        None => Err(NotDone("nothing was typed: nothing was started".to_owned()).into()),
    }
}
