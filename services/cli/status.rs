//! How the groups stand: partial truth is shown as such, each fact with its age.

use schemas::op::OpReply;
use schemas::view::{DebtView, GroupView, LossView, Mode, RunState};
use schemas::{Code, DeclaredView, GroupId, Level, Problem};

use crate::bus::Bus;
use crate::exit::Exit;
use crate::output::Output;
use crate::{check, drawing, plan, runs, text};

/// `status`; 8 when something is not normal.
pub(crate) async fn run(group: Option<GroupId>, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
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
        print(group, out);
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

fn print(group: &GroupView, out: &Output) {
    let word = text::mode(group.mode);
    let word = if group.mode == Mode::Normal { out.strong(&word) } else { out.warn(&word) };
    let live = group.live.as_ref().map_or("nowhere known".to_owned(), ToString::to_string);
    out.line(format!(
        "{}  {word}  live {live}  epoch {}  at {}",
        group.group,
        group.epoch,
        out.time(group.at)
    ));
    if !group.sentence.is_empty() {
        out.line(format!("  {}", group.sentence));
    }
    if let Some(declared) = &group.declared {
        for line in self::declared(declared, group, out) {
            out.line(format!("  {line}"));
        }
    }
    if let Some(run) = &group.run {
        for line in runs::lines(run, out) {
            out.line(format!("  {line}"));
        }
    }
    let mut sites = out.table();
    for (name, site) in &group.sites {
        let open = match (site.counts_open, site.why.contains("accepted by")) {
            (true, _) if group.live.as_ref() == Some(name) => "LIVE",
            (true, _) => "counts as OPEN",
            // Nobody saw it closed: somebody took the risk.
            (false, true) => "ACCEPTED",
            (false, false) => "CLOSED",
        };
        // Of the live site nobody expects that it is closed.
        let live = site.counts_open && group.live.as_ref() == Some(name);
        let why = if live { String::new() } else { site.why.clone() };
        let proof =
            site.closed_seen.filter(|_| !live).map(|at| format!("closed seen {}", text::age(at, group.at)));
        sites.add_row([
            format!("  {name}"),
            open.to_owned(),
            proof.unwrap_or_default(),
            format!("{} of {} services heard", site.heard, site.services),
            why,
        ]);
    }
    out.line(sites.trim_fmt());
    if let Some(drawing) = drawing::draw(group, out) {
        out.line(drawing.trim_fmt());
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
        for line in owed(list, group, out) {
            out.line(format!("  {} {line}", out.warn(title)));
        }
    }
    if let Some(found) = &group.check {
        // Who answers is said above, as of now.
        let rest: Vec<_> = found.lines.iter().filter(|line| line.line.what != "answers").collect();
        if !rest.is_empty() {
            out.line(format!("  check ({}):", text::age(found.at, group.at)));
            check::lines(rest.into_iter(), out);
        }
    }
    for drill in &group.drills {
        let (when, how) = (text::age(drill.at, group.at), text::word(drill.state));
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

/// What is owed at one site for one reason, in a line each: a lost site owes everything at once.
fn owed(debts: &[DebtView], group: &GroupView, out: &Output) -> Vec<String> {
    let mut alike: Vec<(&DebtView, Vec<String>)> = Vec::new();
    for debt in debts {
        let what = format!("{} of {}.{}", debt.what, debt.address.service, debt.address.resource);
        let same = |(first, _): &&mut (&DebtView, _)| {
            (&first.address.site, first.run, &first.why) == (&debt.address.site, debt.run, &debt.why)
        };
        match alike.iter_mut().find(same) {
            Some((_, all)) => all.push(what),
            None => alike.push((debt, vec![what])),
        }
    }
    let line = |(first, all): (&DebtView, Vec<String>)| {
        format!(
            "at {} since {} ({}), run {}: {}: {}",
            first.address.site,
            out.clock(first.since),
            text::age(first.since, group.at),
            text::short(&first.run),
            all.join(", "),
            first.why
        ) + if first.gone { " (declared gone)" } else { "" }
    };
    alike.into_iter().map(line).collect()
}
