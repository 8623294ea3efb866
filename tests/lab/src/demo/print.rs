//! The timeline, for people.

use schemas::view::RunView;

use super::report::Case;

/// Prints each step, what was in doubt and what settled it, the time by phase, and what users saw.
pub fn case(case: &Case, view: &RunView) {
    let state = serde_json::to_value(view.state).unwrap_or_default();
    println!("   run {} epoch {} {}: {}", view.id, view.epoch, view.workflow, word(&state));
    println!("   by {} ({}): {}", view.who.person, view.who.claimed, view.why);
    println!("   {:>8} {:>8}  step", "at", "took");
    for (step, reported) in view.steps.iter().zip(&case.steps) {
        let at = step.started.map(|at| (at - view.started).num_milliseconds());
        let state = serde_json::to_value(step.state).unwrap_or_default();
        let mut notes = vec![word(&state)];
        if step.attempts > 1 {
            notes.push(format!("{} attempts", step.attempts));
        }
        if step.in_doubt {
            let by = step.settled_by.as_deref().unwrap_or("nothing yet");
            notes.push(format!("was in doubt, settled by {by}"));
        }
        if let Some(by) = step.closed_by() {
            notes.push(format!("counts as closed: {by}"));
        }
        if let Some(problem) = &step.problem {
            notes.push(problem.code.to_string());
        }
        println!("   {:>8} {:>8}  {:<40} {}", ms(at), ms(reported.duration_ms), step.name, notes.join(", "));
    }
    let phases: Vec<String> = case.phases.iter().map(|(phase, took)| format!("{phase} {took} ms")).collect();
    println!("   phases: {}", phases.join(", "));
    for kill in &case.kills {
        let left = match &kill.in_doubt {
            Some(position) => format!("left {position} in doubt"),
            None => "its outcome was recorded already".to_owned(),
        };
        println!("   runner killed {}: {left}", kill.when);
    }
    println!(
        "   users: {} ms without a write, {} rows lost, {} of {} reads failed",
        case.write_gap_ms, case.rows_lost, case.reads_failed, case.reads
    );
    if let Some(woken) = &case.woken {
        println!(
            "   main woke up: closed after {} ms, nothing owed after {} ms, closed at each look for {} ms; \
             {} writes acknowledged there after the freeze, {} rows committed by sessions that still held them",
            woken.closed_after_ms,
            woken.debts_paid_after_ms,
            woken.stayed_closed_ms,
            woken.acknowledged,
            woken.committed
        );
    }
}

fn ms(value: Option<i64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value} ms"))
}

fn word(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
