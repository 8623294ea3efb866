//! How the groups stand: partial truth is shown as such, each fact with its age.

use std::collections::{BTreeMap, BTreeSet};

use schemas::op::OpReply;
use schemas::view::{DebtView, GroupView, LossView, Mode, ResourceView, RunState, SiteView};
use schemas::{Code, DeclaredView, GroupId, Level, Problem, Seen, SiteId};
use serde_json::Value;

use crate::bus::Bus;
use crate::exit::Exit;
use crate::output::Output;
use crate::{check, drawing, plan, runs, text};

/// So much of a list is named.
const NAMED: usize = 3;

/// `status`; 8 when something is not normal.
pub(crate) async fn run(group: Option<GroupId>, all: bool, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let asked = match &group {
        Some(group) => plan::group(group, bus).await.map(|group| vec![group]),
        None => plan::groups(bus).await,
    };
    let groups = match asked {
        Ok(groups) => groups,
        Err(error) => {
            if error.downcast_ref::<Problem>().is_some_and(|problem| problem.code == Code::NoRunner) {
                without_runner(bus, out).await;
            }
            return Err(error);
        }
    };
    if out.json() {
        out.value(&OpReply::Groups(groups.clone()));
    }
    if groups.is_empty() {
        out.line("The runner has no group. Its file belongs into the folder `runner.groups`.");
        return Ok(Exit::NotNormal);
    }
    for (i, group) in groups.iter().enumerate() {
        if i > 0 {
            out.line("");
        }
        print(group, all, out);
    }
    Ok(if groups.iter().all(normal) { Exit::Done } else { Exit::NotNormal })
}

/// The bus answers and the runner does not: the services that live are all that can be said.
async fn without_runner(bus: &Bus, out: &Output) {
    let services = bus.services().await;
    match services.as_slice() {
        [] => out.line("The bus answers. No service on it does."),
        names => out.line(format!("The bus answers, and on it: {}.", names.join(", "))),
    }
}

/// Nothing that somebody should look at.
fn normal(group: &GroupView) -> bool {
    let held = group.run.as_ref().is_some_and(|run| matches!(run.state, RunState::Held | RunState::Paused));
    group.mode == Mode::Normal
        && !held
        && group.debts.is_empty()
        && group.doubts.is_empty()
        && group.check.as_ref().is_none_or(|check| check.level() != Level::Red)
        && group.warnings.is_empty()
        && group.declared.is_none()
        && !group.loss.as_ref().is_some_and(too_much)
        && group.resources.iter().all(|resource| !resource.silent)
}

/// More would be lost now than was agreed, or nobody can tell. A group without a limit has agreed on nothing.
fn too_much(loss: &LossView) -> bool {
    loss.verdict == "ABOVE LIMIT" || loss.verdict == "UNKNOWN" && loss.limit.is_some()
}

fn print(group: &GroupView, all: bool, out: &Output) {
    let word = text::mode(group.mode);
    let word = if group.mode == Mode::Normal { out.strong(&word) } else { out.warn(&word) };
    let live = group.live.as_ref().map_or("nowhere known".to_owned(), ToString::to_string);
    out.line(format!(
        "{}  {word}  live {live}  epoch {}  at {}",
        group.group,
        group.epoch,
        out.time(group.at)
    ));
    for wait in group.run.iter().flat_map(|run| runs::waits(run, out)) {
        out.line(format!("  {wait}"));
    }
    for line in drawing::draw(group) {
        out.line(line);
    }
    for (name, site) in group.sites.iter().filter(|(name, site)| !is_live(group, name, site)) {
        let seen = site.closed_seen.map(|at| format!(", closed seen {}", text::age(at, group.at)));
        out.line(format!("  {name}: {}{}", site.why, seen.unwrap_or_default()));
    }
    for line in unseen(group) {
        out.line(format!("  {} {line}", out.warn("amber")));
    }
    if !group.sentence.is_empty() {
        out.line(format!("  {}", group.sentence));
    }
    if let Some(declared) = &group.declared {
        for line in self::declared(declared, group, out) {
            out.line(format!("  {line}"));
        }
    }
    for line in aside(group) {
        out.line(format!("  {line}"));
    }
    if let Some(run) = &group.run {
        out.line(format!("  {}", runs::head(run, out)));
        for line in runs::body(run, all, out) {
            out.line(format!("    {line}"));
        }
    }
    if all && let Some(each) = drawing::each(group, out) {
        out.line(each.trim_fmt());
    }
    if let Some(loss) = &group.loss {
        let limit = loss.limit.map(|limit| format!(", limit {limit}")).unwrap_or_default();
        let verdict = match loss.verdict.as_str() {
            "WITHIN LIMIT" => out.strong(&loss.verdict),
            other => out.warn(other),
        };
        out.line(format!("  loss now: {}{limit}  {verdict}", loss.text));
    }
    for warning in &group.warnings {
        out.line(format!("  {} {warning}", out.warn("amber")));
    }
    for (title, list) in [("owed", &group.debts), ("in doubt", &group.doubts)] {
        for line in owed(list, all, group, out) {
            out.line(format!("  {} {line}", out.warn(title)));
        }
    }
    if let Some(found) = &group.check {
        // Who answers is said above, as of now.
        let rest: Vec<_> = found.lines.iter().filter(|line| line.line.what != "answers").collect();
        if !rest.is_empty() {
            out.line(format!("  check ({}):", text::age(found.at, group.at)));
            check::lines(rest.into_iter(), all, out);
        }
    }
    for drill in &group.drills {
        let how = if drill.refused.is_some() { "refused".to_owned() } else { text::word(drill.state) };
        let when = text::age(drill.at, group.at);
        out.line(format!("  drill: {} {}->{} {how}, {when}", drill.workflow, drill.from, drill.to));
    }
    if !group.trigger.is_empty() {
        out.line(format!("  trigger: {}", group.trigger));
    }
}

/// What a person declared, with its clock; what it would lose now stands below.
fn declared(declared: &DeclaredView, group: &GroupView, out: &Output) -> [String; 2] {
    let word = declared.what.as_str().to_uppercase();
    let of = declared.site.as_ref().map(|site| format!(" of {site}")).unwrap_or_default();
    [
        format!(
            "declared {}{of} since {} ({}) by {}: {}",
            out.warn(&word),
            out.time(declared.since),
            text::age(declared.since, group.at),
            declared.who.person,
            declared.why
        ),
        declared.sentence.clone(),
    ]
}

/// Of the live site nobody expects that it is closed.
fn is_live(group: &GroupView, name: &SiteId, site: &SiteView) -> bool {
    site.counts_open && group.live.as_ref() == Some(name)
}

/// What the drawing has no room for: who is silent at a site that answers, why a database cannot be looked at, and what of
/// one is open, with the statement that closes it.
fn unseen(group: &GroupView) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, _) in group.sites.iter().filter(|(_, site)| site.heard > 0) {
        let silent = group.resources.iter().filter(|view| view.silent && view.address.site == *name);
        let silent: Vec<String> =
            silent.map(|view| format!("{}.{}", view.address.service, view.address.resource)).collect();
        if !silent.is_empty() {
            lines.push(format!("silent at {name}: {}", listed(&silent)));
        }
    }
    for view in group.resources.iter().filter(|view| !view.silent) {
        match view.observation.as_ref().map(|observation| &observation.seen) {
            Some(Seen::Nothing(problem)) => lines.push(format!("{} cannot look: {problem}", view.address)),
            Some(Seen::Database(seen)) => {
                let open = seen.detail["partly"].as_array().into_iter().flatten().filter_map(Value::as_str);
                lines.extend(open.map(|open| format!("{}: {open}", view.address)));
            }
            _ => {}
        }
    }
    lines
}

/// What copies kept aside and nobody dropped yet.
fn aside(group: &GroupView) -> Vec<String> {
    let kept = |view: &ResourceView| {
        let Some(Seen::Replication(seen)) = view.observation.as_ref().map(|seen| &seen.seen) else {
            return None;
        };
        let aside = seen.aside.as_ref().filter(|aside| aside.is_kept())?;
        Some(format!(
            "kept aside at {} by {}: {}; when nobody needs them: pointsman cleanup {} --why …",
            view.address.site,
            view.address.resource,
            aside.words(),
            group.group
        ))
    };
    group.resources.iter().filter_map(kept).collect()
}

/// What is owed, a line for each site: how much, of which kinds, why. All of it: a line for each reason.
fn owed(debts: &[DebtView], all: bool, group: &GroupView, out: &Output) -> Vec<String> {
    let mut alike: Vec<Vec<&DebtView>> = Vec::new();
    for debt in debts {
        let same = |others: &&mut Vec<&DebtView>| {
            let other = others[0];
            let reason = (other.run, &other.why) == (debt.run, &debt.why);
            other.address.site == debt.address.site && (reason || !all)
        };
        match alike.iter_mut().find(same) {
            Some(others) => others.push(debt),
            None => alike.push(vec![debt]),
        }
    }
    let line = |debts: Vec<&DebtView>| {
        let since = debts.iter().map(|debt| debt.since).min().unwrap_or(group.at);
        let runs: BTreeSet<String> = debts.iter().map(|debt| text::short(&debt.run)).collect();
        let runs: Vec<String> = runs.into_iter().collect();
        let whys: BTreeSet<&str> = debts.iter().map(|debt| debt.why.as_str()).collect();
        let whys: Vec<String> = whys.into_iter().map(str::to_owned).collect();
        let what = if all || debts.len() <= NAMED { each_of(&debts) } else { kinds(&debts) };
        format!(
            "at {} since {} ({}), run {}: {what}: {}",
            debts[0].address.site,
            out.clock(since),
            text::age(since, group.at),
            listed(&runs),
            listed(&whys)
        ) + if debts.iter().any(|debt| debt.gone) { " (declared gone)" } else { "" }
    };
    alike.into_iter().map(line).collect()
}

fn each_of(debts: &[&DebtView]) -> String {
    let what =
        |debt: &&DebtView| format!("{} of {}.{}", debt.what, debt.address.service, debt.address.resource);
    debts.iter().map(what).collect::<Vec<_>>().join(", ")
}

/// `18 acts (9 process.stop, 6 claim, 3 dns.follow)`.
fn kinds(debts: &[&DebtView]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for debt in debts {
        *kinds.entry(&debt.what).or_default() += 1;
    }
    let mut kinds: Vec<(&str, usize)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let kinds: Vec<String> = kinds.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
    format!("{} ({}; each with --all)", debts.len(), kinds.join(", "))
}

/// The first of them, and how many more there are.
fn listed(all: &[String]) -> String {
    let first = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
