//! A numbered manual of a workflow, or of the rest of a run: for a night on which it is done by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use chrono::Utc;
use engine::{Definition, Purpose};
use paper::runbook::{Heading, OwnHost, names, runbook};
use paper::{Plan, World};
use schemas::op::{ByHandAsk, ByHandText, Op, OpReply, ProtectBy};
use schemas::{Address, BY_HAND_MAX, GroupId, Service, SiteId};
use serde_json::{Value, json};

use crate::args::Runbook;
use crate::bus::{Bus, strange};
use crate::exit::{Exit, NotDone, Usage};
use crate::output::Output;
use crate::{parts, plan, report};

/// A manual that is ready to be printed.
struct Made {
    heading: Heading,
    plan: Plan,
    texts: Vec<ByHandText>,
}

/// `runbook`.
pub(crate) fn run(ask: &Runbook, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    let mut made = match (&ask.rest, &ask.from) {
        (Some(run), Some(export)) => rest_offline(run, export, host)?,
        (None, _) if ask.offline => offline(ask, host)?,
        (rest, _) => crate::runtime()?.block_on(async {
            let host = config::load_host(host)?;
            let bus = Bus::connect(&host.bus).await?;
            match rest {
                Some(run) => rest_online(run, &bus).await,
                None => online(ask, &bus).await,
            }
        })?,
    };
    made.heading.own = own_host(host);
    // Whoever prints one for a night finds out by day that it is empty.
    if made.plan.steps.is_empty() {
        let ending = made.plan.lines().into_iter().next().unwrap_or_default();
        return Err(NotDone(format!("{}: not one step is foreseen, {ending}", made.heading.title)).into());
    }
    if out.json() {
        out.value(&json!({ "plan": made.plan, "texts": made.texts }));
    } else {
        out.raw(&runbook(&made.heading, &made.plan, &made.texts));
    }
    Ok(Exit::Done)
}

fn words(ask: &Runbook) -> anyhow::Result<(&str, &GroupId)> {
    let missing = || Usage("say which workflow and which group, or `--rest RUN`".to_owned());
    Ok((ask.workflow.as_deref().ok_or_else(missing)?, ask.group.as_ref().ok_or_else(missing)?))
}

async fn online(ask: &Runbook, bus: &Bus) -> anyhow::Result<Made> {
    let (workflow, group) = words(ask)?;
    let op = Op::Start {
        workflow: workflow.to_owned(),
        group: group.clone(),
        to: ask.to.clone(),
        supersede: None,
        accept_unfenced: Vec::new(),
        accept_data_loss: None,
        by: ask.by.map(ProtectBy::from).or_else(|| plan::by_default(workflow)),
        overrides: Vec::new(),
        waive_ledger: false,
        dry_run: true,
    };
    let preview = match bus.look(op).await? {
        OpReply::Preview(preview) => *preview,
        other => return Err(strange(&other)),
    };
    let plan = plan::of_preview(workflow, &preview, ask.lost.as_ref(), bus).await?;
    let texts = texts(group, &plan, bus).await?;
    // What its records get, as their services say it.
    let named = names(&preview.input, &plan::world(&plan::group(group, bus).await?, Vec::new()));
    let mut seen = "the runner's definition and what its services saw then".to_owned();
    if let Some(lost) = &ask.lost {
        seen.push_str(&format!(", as if {lost} were lost"));
    }
    let heading = Heading {
        title: format!("{} of {group}, {} to {}", preview.workflow, preview.from, preview.to),
        facts: vec![
            ("Printed".into(), Utc::now().format("%Y-%m-%d %H:%M:%S UTC").to_string()),
            ("From".into(), seen),
            ("Time".into(), plan.estimate.how.clone()),
        ],
        group: group.to_string(),
        taken: None,
        rest_of: None,
        left: Some(preview.from.to_string()),
        names: named,
        own: None,
    };
    Ok(Made { heading, plan, texts })
}

async fn rest_online(run: &str, bus: &Bus) -> anyhow::Result<Made> {
    let lines = report::lines(run, bus).await?;
    let evidence = report::read(&lines, None)?;
    let group = evidence.started.group.clone();
    let world = match &group {
        Some(group) => plan::world(&plan::group(group, bus).await?, evidence.started.lost.clone()),
        None => World::default(),
    };
    let mut made = rest(&evidence, &world)?;
    if let Some(group) = group {
        made.texts = texts(&group, &made.plan, bus).await?;
    }
    Ok(made)
}

fn rest_offline(run: &str, export: &Path, host: &Path) -> anyhow::Result<Made> {
    let (_, evidence) = report::of_file(Some(run), export)?;
    // An export is read anywhere; where there is a host's file, it may know an address.
    let addresses = config::load_host(host).map(|host| addresses(&host)).unwrap_or_default();
    let lost = evidence.started.lost.clone();
    rest(&evidence, &World { lost, addresses, ..World::default() })
}

/// This host, if it has a file.
fn own_host(file: &Path) -> Option<OwnHost> {
    let loaded = config::load_host(file).ok()?;
    let host = &loaded;
    let file = std::path::absolute(file).ok()?.display().to_string();
    let serves =
        host.services().flat_map(|service| host.settings(service).map(move |one| address(host, one)));
    let serves = serves.collect();
    Some(OwnHost { file, serves })
}

fn address(host: &config::Host, one: config::Settings<'_>) -> Address {
    Address { site: host.site.clone(), service: one.service, resource: one.resource.clone() }
}

/// What the records of this host get at each site. What is no address there is left out: its service says so when it starts.
fn addresses(host: &config::Host) -> BTreeMap<Address, BTreeMap<SiteId, Vec<IpAddr>>> {
    let each = |one: config::Settings<'_>| {
        let sites = one.located.get("addresses")?.entries();
        let at = |(key, value): &(document::Key, document::Located)| {
            Some((key.name.parse::<SiteId>().ok()?, listed(value.to_value())?))
        };
        Some((address(host, one), sites.iter().filter_map(at).collect::<BTreeMap<_, _>>()))
    };
    host.settings(Service::Dns).filter_map(each).collect()
}

/// One address, or several.
fn listed(value: Value) -> Option<Vec<IpAddr>> {
    let all = if value.is_array() { value } else { Value::Array(vec![value]) };
    serde_json::from_value(all).ok()
}

fn rest(evidence: &paper::Evidence, world: &World) -> anyhow::Result<Made> {
    let ended = matches!(
        evidence.head().map(|last| &last.entry),
        Some(entry) if entry.is_end()
    );
    if ended {
        return Err(NotDone(format!("run {} has ended: nothing of it is left", evidence.run.short(4))).into());
    }
    let plan = plan::from_here(evidence.read.machine().clone(), world, None)?;
    let started = &evidence.started;
    let group = started.group.as_ref().map(ToString::to_string).unwrap_or_default();
    let heading = Heading {
        title: format!("The rest of run {} ({} of {group})", evidence.run.short(4), started.workflow),
        facts: vec![
            ("Printed".into(), Utc::now().format("%Y-%m-%d %H:%M:%S UTC").to_string()),
            ("From".into(), format!("the run's {} entries", evidence.entries.len())),
            ("Run".into(), evidence.run.to_string()),
        ],
        group,
        taken: None,
        rest_of: Some(evidence.run.short(4)),
        left: started.from.as_ref().map(ToString::to_string),
        names: names(&started.input, world),
        own: None,
    };
    Ok(Made { heading, plan, texts: Vec::new() })
}

/// From this host's own files: no bus, no runner, nothing was looked at.
fn offline(ask: &Runbook, host: &Path) -> anyhow::Result<Made> {
    let (workflow, group) = words(ask)?;
    let host = config::load_host(host)?;
    let (groups, texts) = parts::of_runner(&host)?;
    let found = groups.iter().find(|one| one.name == *group);
    let found = found.ok_or_else(|| Usage(format!("there is no file for the group `{group}`")))?;
    let mut definition = None;
    for text in texts {
        let loaded = Definition::load(&text.text, &text.path, &engine::catalog::default())?;
        if loaded.info().name == workflow {
            definition = Some(Arc::new(loaded));
        }
    }
    let definition = definition.ok_or_else(|| Usage(format!("there is no definition `{workflow}`")))?;
    let purpose = definition.info().purpose;
    // What is lost is left.
    let leaves = matches!(purpose, Purpose::Move | Purpose::Return);
    let kept = ask.lost.as_ref().filter(|_| leaves);
    let kept = kept.and_then(|lost| found.sites.iter().find(|site| *site != lost));
    if ask.lost.is_some() && purpose == Purpose::Protect {
        return Err(Usage("a lost site is not brought up to date: take `--lost` away".to_owned()).into());
    }
    if let Some(lost) = ask.lost.as_ref().filter(|lost| !found.sites.contains(lost)) {
        return Err(
            Usage(format!("the group has no site `{lost}`: {}, {}", found.sites[0], found.sites[1])).into()
        );
    }
    let (from, to) = ends(purpose, &found.sites, ask.to.as_ref().or(kept))?;
    let unplanned = definition.schedule().is_some();
    if ask.lost.as_ref() == Some(&to) && leaves {
        return Err(Usage(format!("`{to}` is where it goes: it cannot be the lost one")).into());
    }
    // As a run that is started with it: only an unplanned one calls it lost.
    let called = if unplanned { vec![from.clone()] } else { Vec::new() };
    let lost: Vec<SiteId> = called.iter().cloned().chain(ask.lost.clone()).collect();
    let addresses = addresses(&host);
    let mut input = json!({
        "group": found.to_workflow_input(), "from": from, "to": to, "why": "by the runbook", "events": [],
        "lost": called,
    });
    match (purpose == Purpose::Protect, ask.by) {
        (true, Some(by)) => input["by"] = json!(ProtectBy::from(by)),
        (true, None) => {
            let how = "say how the site is brought up to date: `--by catch-up`, or `--by copy`";
            return Err(Usage(how.to_owned()).into());
        }
        (false, Some(_)) => return Err(Usage(format!("`{workflow}` takes no `--by`")).into()),
        (false, None) => {}
    }
    let taken = match purpose {
        Purpose::Establish => {
            format!("neither {from} nor {to} is taken to be live; see that both are closed")
        }
        _ => format!("{from} is taken to be the live site; see that it is"),
    };
    let info = definition.info();
    let title = format!("{}:{} of {group}, {from} to {to}", info.name, info.version);
    let night = ask.lost.as_ref().map(|lost| format!(", as if {lost} were lost")).unwrap_or_default();
    let world = World { lost, addresses, ..World::default() };
    let named = names(&input, &world);
    let mut plan = plan::from_start(definition, input, &world, None)?;
    plan.assumptions.insert(0, taken.clone());
    let heading = Heading {
        title,
        facts: vec![
            ("Printed".into(), Utc::now().format("%Y-%m-%d %H:%M:%S UTC").to_string()),
            ("From".into(), format!("this host's files; nothing was looked at{night}")),
        ],
        group: group.to_string(),
        taken: Some(taken),
        rest_of: None,
        left: Some(from.to_string()),
        names: named,
        own: None,
    };
    Ok(Made { heading, plan, texts: Vec::new() })
}

/// Nobody is asked which site is live: the site that is left or that sends, and the one that is opened or that receives,
/// as they are where the workflow is of use. At home the first site is live; the way home, and the protection of who comes
/// back, begin at the second.
fn ends(purpose: Purpose, sites: &[SiteId; 2], to: Option<&SiteId>) -> anyhow::Result<(SiteId, SiteId)> {
    let [first, second] = sites;
    if let Some(to) = to.filter(|to| !sites.contains(to)) {
        return Err(Usage(format!("the group has no site `{to}`: {first}, {second}")).into());
    }
    if purpose == Purpose::Return && to == Some(second) {
        return Err(Usage(format!("the way home goes to {first}")).into());
    }
    let to = to.unwrap_or(match purpose {
        Purpose::Return | Purpose::Protect | Purpose::Establish => first,
        Purpose::Move | Purpose::Tidy => second,
    });
    let from = if to == first { second } else { first };
    Ok((from.clone(), to.clone()))
}

/// What the services say of doing each step by hand; one that is silent says nothing.
async fn texts(group: &GroupId, plan: &Plan, bus: &Bus) -> anyhow::Result<Vec<ByHandText>> {
    let mut texts = vec![ByHandText::default(); plan.steps.len()];
    let asks: Vec<(usize, ByHandAsk)> = plan
        .steps
        .iter()
        .enumerate()
        .filter_map(|(i, step)| {
            let address = step.foreseen.address.clone()?;
            let call = &step.foreseen.call;
            Some((i, ByHandAsk { address, action: call.action.clone(), args: call.args.clone() }))
        })
        .collect();
    for part in asks.chunks(BY_HAND_MAX) {
        let (places, asks): (Vec<usize>, Vec<ByHandAsk>) = part.iter().cloned().unzip();
        let reply = bus.look(Op::ByHand { group: group.clone(), asks }).await?;
        let OpReply::ByHand(said) = reply else { return Err(strange(&reply)) };
        for (place, text) in places.into_iter().zip(said.texts) {
            texts[place] = text;
        }
    }
    Ok(texts)
}
