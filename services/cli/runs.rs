//! Runs, their steps, and decisions.

use schemas::op::{Op, OpReply};
use schemas::view::{RunView, StepNow, StepState, StepView};

use crate::args::List;
use crate::bus::{Bus, strange};
use crate::exit::{self, Exit};
use crate::output::Output;
use crate::text;

/// One run with its steps.
pub(crate) async fn fetch(run: &str, bus: &Bus) -> anyhow::Result<RunView> {
    match bus.look(Op::Show { run: run.to_owned() }).await? {
        OpReply::Run(run) => Ok(*run),
        other => Err(strange(&other)),
    }
}

/// `runs`.
pub(crate) async fn list(ask: List, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let reply = bus.look(Op::Runs { group: ask.group, limit: ask.limit }).await?;
    let OpReply::Runs(runs) = &reply else { return Err(strange(&reply)) };
    out.value(&reply);
    if runs.is_empty() {
        out.line("No run yet.");
        return Ok(Exit::Done);
    }
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    let mut table = out.table();
    table.set_header(["RUN", "GROUP", "WORKFLOW", "STATE", "MOVE", "STARTED", "TOOK", "WHO", "WHY"]);
    for (run, short) in runs.iter().zip(text::shorts(&ids)) {
        let took = run.ended.and_then(|end| (end - run.started).to_std().ok()).map(text::lasting);
        table.add_row([
            short,
            run.group.as_ref().map(ToString::to_string).unwrap_or_default(),
            run.workflow.clone(),
            text::run_state(run.state),
            direction(run),
            out.time(run.started),
            took.unwrap_or_default(),
            run.who.person.clone(),
            run.why.clone(),
        ]);
    }
    out.line(table.trim_fmt());
    Ok(Exit::Done)
}

fn direction(run: &RunView) -> String {
    match (&run.from, &run.to) {
        (Some(from), Some(to)) => format!("{from}->{to}"),
        _ => String::new(),
    }
}

/// `show`; the exit code is the run's.
pub(crate) async fn show(run: &str, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let run = fetch(run, bus).await?;
    out.value(&run);
    out.line(head(&run, out));
    for line in waits(&run, out).into_iter().chain(body(&run, true, out)) {
        out.line(format!("  {line}"));
    }
    Ok(exit::of_run(run.state))
}

/// What a run waits for, with the command that ends the wait. It is read first: nothing goes on without it.
pub(crate) fn waits(run: &RunView, out: &Output) -> Vec<String> {
    run.waits_for.iter().map(|wait| format!("{}: {wait}", out.warn("WAITS"))).collect()
}

/// A run below its head and what it waits for: who began it, its steps, what came of it. Of steps that are behind it the
/// number does, unless `all`.
pub(crate) fn body(run: &RunView, all: bool, out: &Output) -> Vec<String> {
    let mut lines = Vec::new();
    lines.push(format!("{} by {} ({}): {}", out.time(run.started), run.who.person, run.who.claimed, run.why));
    // What the world contradicts is not behind it.
    let behind = |one: &&StepView| {
        !all && one.now.as_ref().is_none_or(|now| now.agrees)
            && matches!(
                one.state,
                StepState::Done | StepState::DoneByHand | StepState::Skipped | StepState::Undone
            )
    };
    match run.steps.iter().filter(behind).count() {
        0 => {}
        count => lines.push(format!(
            "{count} of {} steps are behind it: pointsman show {}",
            run.steps.len(),
            text::short(&run.id)
        )),
    }
    lines.extend(run.steps.iter().filter(|one| !behind(one)).map(|one| step(one, out)));
    lines.extend(run.limited.map(|limited| match limited.until {
        Some(until) => {
            let lasted = (until - limited.since).to_std().map(text::lasting).unwrap_or_default();
            format!("limited for {lasted}: users could only read")
        }
        None => format!("limited since {}: users can only read", out.time(limited.since)),
    }));
    if !run.not_compared.is_empty() {
        lines.push(format!("{} not compared: {}", out.warn("amber"), run.not_compared.join(", ")));
    }
    if !run.differs.is_empty() {
        lines.push(format!("{} differs: {}", out.warn("amber"), run.differs.join(", ")));
    }
    if let Some(problem) = &run.problem {
        lines.push(problem.to_string());
    }
    lines
}

/// The first line of a run.
pub(crate) fn head(run: &RunView, out: &Output) -> String {
    let mut text = format!("run {}", text::short(&run.id));
    if let Some(group) = &run.group {
        text.push_str(&format!(" {group}"));
    }
    text.push_str(&format!(" {} epoch {} {}", run.workflow, run.epoch, direction(run)));
    format!("{} {}", text.trim_end(), out.strong(&text::run_state(run.state)))
}

/// One step in a line: number, name, when, how long, what came of it.
pub(crate) fn step(step: &StepView, out: &Output) -> String {
    let name = match &step.address {
        Some(address) if !step.name.contains(address.resource.as_str()) => {
            format!("{} {}@{}", step.name, address.resource, address.site)
        }
        _ => step.name.clone(),
    };
    let began = step.started.map(|at| out.clock(at)).unwrap_or_default();
    let took = match (step.started, step.ended) {
        (Some(from), Some(to)) => (to - from).to_std().map(text::lasting).unwrap_or_default(),
        _ => String::new(),
    };
    let mut notes = vec![text::step_state(step.state)];
    if step.attempts > 1 {
        notes.push(format!("{} attempts", step.attempts));
    }
    if step.already {
        notes.push("already so".to_owned());
    }
    if let Some(by) = step.settled_by.as_ref().filter(|_| step.in_doubt) {
        notes.push(format!("settled by {by}"));
    }
    if let Some(by) = step.closed_by() {
        notes.push(format!("counts as closed: {by}"));
    }
    if let Some(wait) = &step.waits_for {
        notes.push(format!("waits: {wait}"));
    }
    if let Some(problem) = &step.problem {
        notes.push(problem.to_string());
    }
    if let Some(now) = &step.now {
        notes.push(meanwhile(step.state, now, out));
    }
    format!("{:>3} {name:<36} {began:<9} {took:>11}  {}", step.number, notes.join(", "))
}

/// The world against the journal, with who saw it and how long ago.
fn meanwhile(state: StepState, now: &StepNow, out: &Output) -> String {
    let StepNow { seen, journal, agrees, by, age } = now;
    let seen_by = format!("{by}, {} ago", text::lasting(age.0));
    let in_doubt = matches!(state, StepState::InDoubt | StepState::Assumed);
    match (agrees, in_doubt) {
        (true, false) => format!("now: {seen} ({seen_by})"),
        (true, true) => format!("now: {seen} -> will be adopted ({seen_by})"),
        (false, true) => format!("now: {seen}, not {journal} ({seen_by})"),
        (false, false) => {
            format!("{} now: {seen} (journal says {journal}; {seen_by})", out.warn("CONTRADICTED"))
        }
    }
}

/// `decisions`.
pub(crate) async fn decisions(ask: List, bus: &Bus, out: &Output) -> anyhow::Result<Exit> {
    let reply = bus.look(Op::Decisions { group: ask.group, limit: ask.limit }).await?;
    let OpReply::Decisions(decisions) = &reply else { return Err(strange(&reply)) };
    out.value(&reply);
    if decisions.is_empty() {
        out.line("Nothing was detected or declared yet.");
        return Ok(Exit::Done);
    }
    let mut table = out.table();
    table.set_header(["DECISION", "GROUP", "AT", "VERDICT", "RUN", "EVENT"]);
    for decision in decisions {
        table.add_row([
            decision.id.clone(),
            decision.group.to_string(),
            out.time(decision.at),
            decision.verdict.clone(),
            decision.run.as_ref().map(text::short).unwrap_or_default(),
            decision.event.clone(),
        ]);
    }
    out.line(table.trim_fmt());
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn line(state: &str, now: serde_json::Value) -> String {
        let view: StepView = serde_json::from_value(serde_json::json!({
            "number": 7, "position": "/do/6", "name": "start cs-primary@secondary", "state": state,
            "function": "process.start", "attempts": 1, "inDoubt": state == "in-doubt",
            "started": "2026-11-25T02:13:27Z", "ended": "2026-11-25T02:13:29Z", "now": now,
        }))
        .unwrap();
        step(&view, &Output::plain())
    }

    #[test]
    fn the_world_is_shown_against_the_journal_in_words() {
        let now = |seen: &str, agrees: bool| {
            serde_json::json!({
                "seen": seen, "journal": "started", "agrees": agrees, "age": "PT2S",
                "by": { "site": "secondary", "service": "process", "resource": "cs-primary" },
            })
        };
        let by = "secondary.process.cs-primary, 2.0 s ago";
        for (state, seen, agrees, wanted) in [
            ("done", "running", true, format!("done, now: running ({by})")),
            (
                "done",
                "stopped",
                false,
                format!("done, CONTRADICTED now: stopped (journal says started; {by})"),
            ),
            ("in-doubt", "running", true, format!("IN DOUBT, now: running -> will be adopted ({by})")),
            ("in-doubt", "stopped", false, format!("IN DOUBT, now: stopped, not started ({by})")),
        ] {
            let text = line(state, now(seen, agrees));
            let head = format!("  7 {:<36} 02:13:27Z {:>11}  ", "start cs-primary@secondary", "2.0 s");
            assert_eq!(text, format!("{head}{wanted}"));
        }
        let text = line("done", serde_json::Value::Null);
        assert!(text.ends_with("  done"), "{text}");
    }
}
