//! What is written down of the whole cycle, a row a leg, and printed.

use schemas::RunId;
use schemas::view::{RunState, RunView, StepView};
use serde::Serialize;

use super::draw::Victim;
use super::hunt::Fired;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// From which the kills were drawn.
    pub seed: u64,
    /// Each leg of each round.
    pub legs: Vec<Row>,
    /// The tables that were the same at both sites when everybody had stopped writing.
    pub tables_equal: Vec<String>,
    /// What was not as it should be; empty in a good run.
    pub wrong: Vec<String>,
}

/// A leg.
#[derive(Debug, Serialize)]
pub struct Row {
    /// 1 or 2.
    pub round: usize,
    /// Its name.
    pub leg: &'static str,
    /// Its run.
    pub run: Run,
    /// How it ended.
    pub state: RunState,
    /// From its decision to its end.
    pub took_ms: i64,
    /// The longest time between two acknowledged writes.
    pub write_gap_ms: i64,
    /// The longest time that any proxy took no writes.
    pub limited_ms: u128,
    /// Rows that the writer was acknowledged in it.
    pub rows_acknowledged: usize,
    /// Of all rows acknowledged so far, those that this leg left missing at the live site.
    pub rows_lost: usize,
    /// Rows that its ledger has; none where it makes no ledger.
    pub ledger_rows: Option<usize>,
    /// Of those, rows that got no answer: their writer wrote them again.
    pub ledger_unanswered: Option<usize>,
    /// Reads through the proxies.
    pub reads: u64,
    /// Those that failed.
    pub reads_failed: u64,
    /// Who was killed when.
    pub kills: Vec<Kill>,
    /// Whether both configuration databases were the same afterwards, table by table; none while main is lost.
    pub databases_equal: Option<bool>,
}

/// The run of a leg.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
}

/// A kill.
#[derive(Debug, Serialize)]
pub struct Kill {
    /// The runner, or the services of a host.
    pub who: String,
    /// The message that was seen.
    pub at: String,
    /// So much later.
    pub after_us: u128,
    /// The step of the leg's run that the message was about; none: it was about another run, or a debt.
    pub step: Option<String>,
    /// Whether that step had not ended yet.
    pub inside: bool,
    /// Whether it had not, and a database or its replication was asked.
    pub in_database: bool,
    /// Whether that step was in doubt, then or later.
    pub left_in_doubt: bool,
}

/// What a kill was, and did.
#[must_use]
pub fn kill(fired: &Fired, view: &RunView) -> Kill {
    let position = fired.key.as_ref().filter(|key| key.run == view.id).map(|key| &key.position);
    let step = view.steps.iter().rfind(|step| Some(&step.position) == position);
    let inside = step.is_some_and(|step| step.ended.is_none_or(|ended| fired.at < ended));
    let of_database = |step: &StepView| {
        ["database.", "replication."].iter().any(|service| step.function.starts_with(service))
    };
    Kill {
        who: fired.shot.victim.to_string(),
        at: fired.subject.clone(),
        after_us: fired.shot.after.as_micros(),
        step: step.map(|step| step.name.clone()),
        inside,
        in_database: inside && step.is_some_and(of_database),
        left_in_doubt: step.is_some_and(|step| step.in_doubt),
    }
}

/// Those that came inside a step of a database or its replication.
#[must_use]
pub fn in_databases(kills: &[Kill]) -> usize {
    kills.iter().filter(|kill| kill.in_database).count()
}

/// Whether it was enough: so many at least, and of all that were done half in databases.
#[must_use]
pub fn enough(kills: &[Kill], least: usize) -> bool {
    kills.len() >= least && in_databases(kills) * 2 >= kills.len()
}

/// Prints a leg.
pub fn print(row: &Row, view: &RunView) {
    for kill in &row.kills {
        let left = match &kill.step {
            Some(step) if !kill.inside => format!("{step} was known already"),
            Some(step) if kill.left_in_doubt => format!("{step} was in doubt"),
            Some(step) => format!("{step} was under way"),
            None => "no step of this run".to_owned(),
        };
        println!("   killed {} {} µs after `{}`: {left}", kill.who, kill.after_us, kill.at);
    }
    let doubts = view.steps.iter().filter(|step| step.in_doubt);
    let settled = doubts.map(|step| step.settled_by.as_deref().unwrap_or("nothing")).collect::<Vec<_>>();
    let runner = row.kills.iter().filter(|kill| kill.who == Victim::Runner.to_string()).count();
    let inside = in_databases(&row.kills);
    println!(
        "   run {} {}: {} steps, {} ms, {} in doubt, settled by {}",
        view.id,
        serde_json::to_value(row.state).unwrap_or_default().as_str().unwrap_or_default(),
        view.steps.len(),
        row.took_ms,
        settled.len(),
        if settled.is_empty() { "-".to_owned() } else { settled.join(", ") },
    );
    println!(
        "   {} kills ({runner} of the runner, {} of services; {inside} inside steps of databases)",
        row.kills.len(),
        row.kills.len() - runner,
    );
    println!(
        "   users: {} ms without a write, {} ms limited, {} rows acknowledged, {} lost, {} of {} reads failed",
        row.write_gap_ms, row.limited_ms, row.rows_acknowledged, row.rows_lost, row.reads_failed, row.reads
    );
    if let (Some(rows), Some(unanswered)) = (row.ledger_rows, row.ledger_unanswered) {
        println!(
            "   ledger: {rows} rows; {unanswered} of them got no answer, the rest are those that were lost"
        );
    }
    if let Some(equal) = row.databases_equal {
        println!("   databases equal, table by table: {}", if equal { "yes" } else { "NO" });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::demo::full::draw::Shot;
    use crate::demo::full::leg::Leg;

    const RUN: &str = "01990000-0000-7000-8000-0000000a7f3a";
    const OTHER: &str = "01990000-0000-7000-8000-0000000a7f3b";

    fn step(position: &str, function: &str) -> Value {
        json!({
            "number": 1, "position": position, "name": function, "state": "done", "function": function, "attempts": 1,
            "inDoubt": false, "started": "2026-11-25T02:00:00Z", "ended": "2026-11-25T02:00:05Z",
        })
    }

    /// Whatever was drawn, a kill is inside a database if a step of this run that asks one had not ended.
    #[test]
    fn a_kill_is_judged_by_what_it_hit() -> anyhow::Result<()> {
        let view: RunView = serde_json::from_value(json!({
            "id": RUN, "workflow": "failover:1.0.0", "state": "completed", "epoch": 2,
            "who": { "person": "anna", "claimed": "anna@wb" }, "why": "a test", "started": "2026-11-25T02:00:00Z",
            "sequence": 9, "steps": [step("/do/0/a", "database.enable-access"), step("/do/1/b", "process.start")],
        }))?;
        let (databases, _) = Leg::Failover.requests();
        let request = *databases.first().ok_or_else(|| anyhow::anyhow!("nothing is asked"))?;
        let kill = |run: &str, position: &str, second: u32| -> anyhow::Result<Kill> {
            let shot = Shot { victim: Victim::Runner, request, subjects: Vec::new(), after: Duration::ZERO };
            let key: schemas::Key = serde_json::from_value(json!(format!("{run}:{position}")))?;
            let at = format!("2026-11-25T02:00:0{second}Z").parse::<chrono::DateTime<chrono::Utc>>()?;
            Ok(super::kill(&Fired { shot, subject: "-".to_owned(), key: Some(key), at }, &view))
        };
        let inside = kill(RUN, "/do/0/a", 4)?;
        assert!(inside.inside && inside.in_database);
        let known = kill(RUN, "/do/0/a", 6)?;
        assert!(known.step.is_some() && !known.inside && !known.in_database, "its answer was known already");
        assert!(!kill(OTHER, "/do/0/a", 4)?.in_database, "of another run");
        let process = kill(RUN, "/do/1/b", 4)?;
        assert!(process.inside && !process.in_database, "no database was asked");

        let mut all = vec![inside, known];
        assert!(enough(&all, 2) && !enough(&all, 3));
        all.push(process);
        assert!(!enough(&all, 2), "less than half");
        Ok(())
    }
}
