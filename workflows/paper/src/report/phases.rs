//! How long each part took, and the two objectives.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use engine::Purpose;
use runner_core::{GroupEntry, Started};
use schemas::Address;
use schemas::view::{RunState, RunView, StepState, StepView};
use serde_json::Value;

use crate::Evidence;
use crate::evidence::Noted;
use crate::report::build::{between, ledgers, took, waived};
use crate::report::{Objective, Phase};

/// The parts in which clients get their service back, in order.
const SERVING: [&str; 4] = ["open", "start", "name", "clients"];
/// The time that openings waited to be let through.
const GATE: &str = "gate";
/// A shorter wait is the looks themselves.
const WAITED_MS: u64 = 2000;

/// When monitoring first said it, and when the hold-down was over: of the decision that led to the run.
fn detected(evidence: &Evidence) -> Option<(DateTime<Utc>, Option<DateTime<Utc>>)> {
    let id = evidence.group.iter().find_map(|noted| match &noted.entry {
        GroupEntry::RunStarted { run, decision, .. } if *run == evidence.run => decision.clone(),
        _ => None,
    })?;
    let mut first = None;
    let mut asked = None;
    for noted in &evidence.group {
        if let GroupEntry::Decision { decision, verdict, .. } = &noted.entry
            && *decision == id
        {
            first = first.or(Some(noted.at));
            if verdict == "ask" || verdict.starts_with("ask: ") {
                asked = Some(noted.at);
            }
        }
    }
    first.map(|first| (first, asked))
}

/// Each part; without `gates`, as before these were told, with the waits of openings that were never let through in `open`.
pub(super) fn all(evidence: &Evidence, view: &RunView, gates: bool) -> Vec<Phase> {
    let mut found = Vec::new();
    let mut push = |name: &str, from, to: Option<DateTime<Utc>>, slowest| {
        let took_ms = to.and_then(|to| between(from, to));
        found.push(Phase { name: name.to_owned(), from, to, took_ms, slowest });
    };
    if let Some((first, asked)) = detected(evidence) {
        // Started by itself: nothing lies between the end of the hold-down and the run.
        push("detect", first, Some(asked.unwrap_or(view.started)), None);
        push("decide", asked.unwrap_or(view.started), Some(view.started), None);
    }
    let mut names: Vec<&str> = Vec::new();
    let mut steps: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for step in &view.steps {
        let name = step.phase.as_deref().unwrap_or("other");
        if !names.contains(&name) {
            names.push(name);
        }
        steps.entry(name).or_default().push(step);
    }
    for name in names {
        let of = &steps[name];
        if let Some(Phase { from, to, slowest, .. }) = gate(of).filter(|_| gates) {
            push(GATE, from, to, slowest);
        }
        let of: Vec<_> = of.iter().filter(|step| !gates || !never_sent(step)).collect();
        let Some(from) = of.iter().filter_map(|step| step.started).min() else { continue };
        let to = match of.iter().any(|step| step.ended.is_none()) {
            true => None,
            false => of.iter().filter_map(|step| step.ended).max(),
        };
        let slowest = of.iter().filter_map(|step| Some((step.name.clone(), took(step)?)));
        push(name, from, to, slowest.max_by_key(|(_, ms)| *ms));
    }
    found
}

fn opens(step: &StepView) -> bool {
    step.function == "database.enable-access"
}

/// Whether it is an opening that was never let through: all its time is that of the wait.
fn never_sent(step: &StepView) -> bool {
    opens(step) && step.attempts == 0 && step.ended.is_some()
}

/// From when the run came to the first opening that waited, to when the last of them was let through, or ended without; and
/// the longest wait. A pause and the claim of its service are in it.
fn gate(steps: &[&StepView]) -> Option<Phase> {
    let waits = steps.iter().filter(|step| opens(step)).filter_map(|step| {
        let (from, to) = match never_sent(step) {
            true => step.started.zip(step.ended)?,
            false => step.reached.zip(step.started)?,
        };
        Some((from, to, step, between(from, to).filter(|ms| *ms >= WAITED_MS)?))
    });
    let waits: Vec<_> = waits.collect();
    let from = waits.iter().map(|(from, ..)| *from).min()?;
    let to = waits.iter().map(|(_, to, ..)| *to).max()?;
    let longest = waits.iter().max_by_key(|(.., ms)| *ms);
    let slowest = longest.map(|(_, _, step, ms)| (step.name.clone(), *ms));
    Some(Phase { name: GATE.to_owned(), from, to: Some(to), took_ms: between(from, to), slowest })
}

fn target(evidence: &Evidence, which: &str) -> Option<u64> {
    let text = evidence.started.input.pointer("/group/target")?.get(which).and_then(Value::as_str)?;
    let duration = schemas::duration::parse_iso(text).ok()?;
    u64::try_from(duration.as_millis()).ok()
}

fn objective(target_ms: Option<u64>, measured_ms: Option<u64>, how: String) -> Objective {
    let met = target_ms.zip(measured_ms).map(|(target, measured)| measured <= target);
    Objective { target_ms, measured_ms, met, estimated: false, how }
}

/// From the first word of monitoring, or from the start by a person, to the end of the last part in which
/// clients get their service back.
pub(super) fn rto(evidence: &Evidence, view: &RunView, phases: &[Phase]) -> Objective {
    let target = target(evidence, "rto");
    let (since, what) = match detected(evidence) {
        Some((first, _)) => (first, "the first word of monitoring"),
        None if view.limited.is_some_and(|limited| limited.since < view.started) => {
            (view.started, "the start by a person (users were limited before that)")
        }
        None if evidence.started.lost.is_empty() => (view.started, "the start by a person"),
        None => (view.started, "the start by a person (when the trouble began is not known here)"),
    };
    let reached = phases.iter().rfind(|phase| SERVING.contains(&phase.name.as_str()));
    match (view.state, reached) {
        (RunState::Completed, Some(Phase { name, to: Some(to), .. })) => {
            objective(target, between(since, *to), format!("from {what} to the end of the phase {name}"))
        }
        (RunState::Completed, _) => objective(target, None, "the run has no part that serves clients".into()),
        (state, _) if state.ended() => objective(target, None, "the move was not completed".into()),
        _ => objective(target, None, "the run has not ended".into()),
    }
}

/// Nothing is lost where each stream was drained from a closed source; else what a step measured counts.
pub(super) fn rpo(evidence: &Evidence, view: &RunView) -> Objective {
    let target = target(evidence, "rpo");
    let done = |function: &str| {
        let all = || view.steps.iter().filter(move |step| step.function == function);
        (all().filter(|step| step.state == StepState::Done).count(), all().count())
    };
    let (drained, drains) = done("replication.drain");
    let (_, abandoned) = done("replication.abandon");
    if view.state != RunState::Completed {
        return objective(target, None, "the move was not completed".into());
    }
    let all = drains > 0 && drained == drains && abandoned == 0;
    if all && closed_first(&evidence.started, &evidence.group, view) {
        let how = format!("{drains} of {drains} streams drained after the source was closed");
        return objective(target, Some(0), how);
    }
    let told = evidence.group.iter().rev().find_map(|noted| match &noted.entry {
        GroupEntry::Loss { run, estimate, text, by, .. } if *run == evidence.run => {
            Some((estimate.as_ref().and_then(|e| u64::try_from(e.0.as_millis()).ok()), text, by))
        }
        _ => None,
    });
    if evidence.definition.info().purpose == Purpose::Protect {
        let how = match waived(evidence) {
            Some(by) => {
                format!("what only the site that it brought up to date had was not saved: waived by {by}")
            }
            None => saved(view),
        };
        return objective(target, None, how);
    }
    match told {
        Some((measured, text, by)) => {
            let estimated = measured.is_some();
            Objective { estimated, ..objective(target, measured, format!("{text} ({by})")) }
        }
        None if abandoned > 0 => {
            let how = "the source was lost: what had not arrived is lost, and nothing measured how much";
            objective(target, None, how.into())
        }
        None if all && !matches!(evidence.definition.info().purpose, Purpose::Protect | Purpose::Tidy) => {
            let how =
                "nobody proved the source closed before it was drained: what it took after the mark is lost";
            objective(target, None, how.into())
        }
        None => objective(target, None, "no step of the run says".into()),
    }
}

/// What a run that brings a site up to date says of losses: what only that site had, as far as it was saved.
fn saved(view: &RunView) -> String {
    let rows: Vec<u64> = ledgers(view).iter().map(|ledger| ledger.rows).collect();
    match rows.as_slice() {
        [] => "a run that brings a site up to date; it wrote no ledger".to_owned(),
        rows => {
            let rows = rows.iter().sum::<u64>();
            format!(
                "of what only the site that it brought up to date had, row by row, in the ledgers below: {rows}"
            )
        }
    }
}

/// Whether every database of the site that is left was proved closed before the first mark was made there: by its service
/// in a step, or seen so. A person's word is no proof.
fn closed_first(started: &Started, group: &[Noted<GroupEntry>], view: &RunView) -> bool {
    let marked = done(view, "replication.mark").filter_map(|step| step.started).min();
    let (Some(from), Some(marked)) = (&started.from, marked) else { return false };
    let databases = started.input.pointer("/group/databases").and_then(Value::as_object);
    let mut one_live = databases.into_iter().flatten().filter(|(_, database)| database["kind"] == "one-live");
    one_live.all(|(name, _)| {
        let of = |address: &Address| address.site == *from && address.resource.as_str() == name;
        let closed =
            done(view, "database.disable-access").filter(|step| step.address.as_ref().is_some_and(of));
        let seen = group.iter().filter(|noted| match &noted.entry {
            GroupEntry::Closed { address, epoch, .. } => *epoch == started.epoch && of(address),
            _ => false,
        });
        closed.filter_map(|step| step.ended).chain(seen.map(|noted| noted.at)).any(|at| at <= marked)
    })
}

/// The steps that call a function, and whose services say that it is done.
fn done<'a>(view: &'a RunView, function: &'a str) -> impl Iterator<Item = &'a StepView> {
    view.steps.iter().filter(move |step| step.function == function && step.state == StepState::Done)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use engine::Definition;
    use journal::Digest;
    use runner_core::Stored;
    use serde_json::{Value, json};

    use super::{Evidence, GroupEntry, Noted, RunView, Started, all, closed_first, gate, rto};

    const RUN: &str = "019abcde-0000-7000-8000-000000007f3a";

    fn at(seconds: u32) -> String {
        format!("2026-11-25T02:00:{seconds:02}Z")
    }

    /// A run of a close in this state and a mark that was made at second 20.
    fn view(close: &str) -> RunView {
        let step = |number, function: &str, resource: &str, state: &str, from: u32| {
            let service = function.split_once('.').unwrap().0;
            json!({
                "number": number, "position": format!("/do/{number}/act"), "name": function, "state": state,
                "function": function, "attempts": 1, "inDoubt": false, "started": at(from), "ended": at(from + 2),
                "address": { "site": "main", "service": service, "resource": resource },
            })
        };
        let steps = [
            step(1, "database.disable-access", "config", close, 10),
            step(2, "replication.mark", "csp", "done", 20),
        ];
        serde_json::from_value(json!({
            "id": RUN, "workflow": "switchover:1.0.0", "state": "completed", "epoch": 2, "from": "main",
            "to": "secondary", "who": { "person": "anna", "claimed": "anna@desk" }, "why": "CHG-12",
            "started": at(5), "sequence": 40, "steps": steps,
        }))
        .unwrap()
    }

    #[test]
    fn an_opening_that_waited_is_told_with_how_long() {
        let of = |reached: &[(&str, &str)], started: u32| {
            let steps: Vec<_> = reached
                .iter()
                .map(|(resource, reached)| {
                    json!({
                        "number": 1, "position": "/do/1/act", "name": format!("open {resource}"), "state": "done",
                        "function": "database.enable-access", "attempts": 1, "inDoubt": false, "reached": reached,
                        "started": at(started), "ended": at(started + 2),
                    })
                })
                .collect();
            let steps: Vec<super::StepView> = serde_json::from_value(json!(steps)).unwrap();
            gate(&steps.iter().collect::<Vec<_>>())
        };
        let (first, second) = (at(10), at(15));
        let found = of(&[("config", second.as_str()), ("more", first.as_str())], 40).unwrap();
        assert_eq!((found.from, found.to), (at(10).parse().unwrap(), Some(at(40).parse().unwrap())));
        assert_eq!(found.slowest, Some(("open more".into(), 30_000)));
        assert_eq!(of(&[("config", "2026-11-25T02:00:39.600Z")], 40), None, "the looks themselves");
    }

    fn noted(seconds: u32, entry: Value) -> Noted<GroupEntry> {
        Noted {
            seq: 1,
            at: at(seconds).parse().unwrap(),
            hash: Digest::of(b"1"),
            prev: Digest::of(b"0"),
            link: None,
            entry: serde_json::from_value(entry).unwrap(),
        }
    }

    fn seen_closed(seconds: u32, epoch: u64) -> Noted<GroupEntry> {
        let entry = json!({
            "kind": "group.closed", "epoch": epoch, "by": "observed",
            "address": { "site": "main", "service": "database", "resource": "config" },
        });
        noted(seconds, entry)
    }

    /// A failover that was started at second 9, after monitoring said so and these verdicts; by a person where there is none.
    fn evidence(verdicts: &[(u32, &str)]) -> Evidence {
        let text = "document: { dsl: '1.0.3', namespace: t, name: failover, version: '1.0.0' }\n\
                    do: [{ one: { set: { n: 1 } } }]\n";
        let definition = Definition::load(text, "failover.yaml", &engine::catalog::default());
        let definition = Arc::new(definition.unwrap_or_else(|problems| panic!("{problems}")));
        let started = json!({
            "group": "cfg", "workflow": "failover:1.0.0", "definition": schemas::Digest::of(text.as_bytes()), "epoch": 2,
            "from": "main", "to": "secondary", "lost": ["main"],
            "who": { "person": "trigger", "claimed": "e-1 from /prober/a" }, "why": "main is reported lost",
            "input": { "group": { "target": { "rto": "PT25S" } } },
        });
        let first = Stored {
            seq: 1,
            at: at(9).parse().unwrap(),
            kind: "run.started".into(),
            body: started.as_object().unwrap().clone(),
        };
        let run = RUN.parse().unwrap();
        let loaded = Arc::clone(&definition);
        let read = runner_core::read_run(run, [first], |_| Ok::<_, String>(loaded)).unwrap();
        let decision = |&(seconds, verdict): &(u32, &str)| {
            let entry = json!({
                "kind": "group.decision", "decision": "d-1", "group": "cfg", "event": "e-1 from /prober/a (witness)",
                "site": "main", "verdict": verdict,
            });
            noted(seconds, entry)
        };
        let mut group: Vec<_> = verdicts.iter().map(decision).collect();
        let of = (!verdicts.is_empty()).then_some("d-1");
        let begun = json!({
            "kind": "group.run-started", "run": RUN, "epoch": 2, "workflow": "failover:1.0.0", "from": "main",
            "to": "secondary", "decision": of,
        });
        group.push(noted(9, begun));
        Evidence {
            run,
            started: serde_json::from_value(started).unwrap(),
            entries: Vec::new(),
            group,
            read,
            definition,
        }
    }

    /// That failover as it ended: its clients followed from second 12 to second 30.
    fn followed() -> RunView {
        serde_json::from_value(json!({
            "id": RUN, "group": "cfg", "workflow": "failover:1.0.0", "state": "completed", "epoch": 2, "from": "main",
            "to": "secondary", "who": { "person": "trigger", "claimed": "e-1" }, "why": "main is reported lost",
            "started": at(9), "ended": at(40), "sequence": 40,
            "steps": [{
                "number": 1, "position": "/do/1/act", "name": "await clients", "state": "done",
                "function": "group.await-followed", "phase": "clients", "attempts": 1, "inDoubt": false,
                "started": at(12), "ended": at(30),
            }],
        }))
        .unwrap()
    }

    #[test]
    fn a_run_that_monitoring_led_to_was_detected_and_decided_and_its_rto_begins_with_the_first_word() {
        let waiting = (1, "waiting: hold-down of 3 s");
        let red = "ask: red, so it does not start by itself: secondary.replication.css:wal-keep";
        for (verdicts, mut expected, measured) in [
            // A person was asked at 4, and approved at 9; the same past a red line, and after the time to approve.
            (vec![waiting, (4, "ask")], vec![("detect", 3000), ("decide", 5000)], 29_000),
            (vec![waiting, (4, red)], vec![("detect", 3000), ("decide", 5000)], 29_000),
            (
                vec![waiting, (4, "ask"), (7, "held: nobody approved in time")],
                vec![("detect", 3000), ("decide", 5000)],
                29_000,
            ),
            // It started by itself: nothing lies between the end of the hold-down and the run.
            (vec![waiting], vec![("detect", 8000), ("decide", 0)], 29_000),
            (vec![], vec![], 21_000),
        ] {
            let (evidence, view) = (evidence(&verdicts), followed());
            let phases = all(&evidence, &view, true);
            let told: Vec<(&str, u64)> =
                phases.iter().map(|phase| (phase.name.as_str(), phase.took_ms.unwrap())).collect();
            expected.push(("clients", 18_000));
            assert_eq!(told, expected, "{verdicts:?}");
            let rto = rto(&evidence, &view, &phases);
            assert_eq!((rto.target_ms, rto.measured_ms), (Some(25_000), Some(measured)), "{rto:?}");
            assert_eq!(rto.met, Some(measured <= 25_000), "{rto:?}");
            let since =
                if verdicts.is_empty() { "the start by a person" } else { "the first word of monitoring" };
            assert!(rto.how.starts_with(&format!("from {since}")), "{rto:?}");
            assert!(rto.how.ends_with("to the end of the phase clients"), "{rto:?}");
        }
    }

    #[test]
    fn a_drain_loses_nothing_only_where_the_source_was_proved_closed_before_its_mark() {
        let started: Started = serde_json::from_value(json!({
            "workflow": "switchover:1.0.0", "definition": schemas::Digest::of(b"1"), "epoch": 2, "from": "main",
            "to": "secondary", "who": { "person": "anna", "claimed": "anna@desk" }, "why": "CHG-12",
            "input": { "group": { "databases": { "config": { "kind": "one-live" }, "log": { "kind": "both-live" } } } },
        }))
        .unwrap();
        assert!(closed_first(&started, &[], &view("done")));
        for word in ["skipped", "done-by-hand", "assumed", "failed"] {
            assert!(!closed_first(&started, &[], &view(word)), "{word}");
            assert!(closed_first(&started, &[seen_closed(15, 2)], &view(word)), "{word}, and seen closed");
            assert!(!closed_first(&started, &[seen_closed(30, 2)], &view(word)), "{word}, and closed later");
            assert!(
                !closed_first(&started, &[seen_closed(1, 1)], &view(word)),
                "{word}, and closed by another run"
            );
        }
    }
}
