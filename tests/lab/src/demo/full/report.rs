//! What is written down of the whole cycle, a row a leg, and printed.

use schemas::RunId;
use schemas::view::{RunState, RunView};
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
    /// Whether a database or its replication was asked.
    pub in_database: bool,
    /// The step that the message was about, and whether it was in doubt then or later.
    pub step: Option<String>,
    /// Whether that step was in doubt.
    pub left_in_doubt: bool,
}

/// What a kill was, and did.
#[must_use]
pub fn kill(fired: &Fired, view: &RunView) -> Kill {
    let position = fired.key.as_ref().filter(|key| key.run == view.id).map(|key| &key.position);
    let step = view.steps.iter().find(|step| Some(&step.position) == position);
    Kill {
        who: fired.shot.victim.to_string(),
        at: fired.subject.clone(),
        after_us: fired.shot.after.as_micros(),
        in_database: fired.shot.request.of_database(),
        step: step.map(|step| step.name.clone()),
        left_in_doubt: step.is_some_and(|step| step.in_doubt),
    }
}

/// Prints a leg.
pub fn print(row: &Row, view: &RunView) {
    for kill in &row.kills {
        let left = match (&kill.step, kill.left_in_doubt) {
            (Some(step), true) => format!("{step} was in doubt"),
            (Some(step), false) => format!("{step} was known already"),
            (None, _) => "a step of an earlier run".to_owned(),
        };
        println!("   killed {} {} µs after `{}`: {left}", kill.who, kill.after_us, kill.at);
    }
    let doubts = view.steps.iter().filter(|step| step.in_doubt);
    let settled = doubts.map(|step| step.settled_by.as_deref().unwrap_or("nothing")).collect::<Vec<_>>();
    let runner = row.kills.iter().filter(|kill| kill.who == Victim::Runner.to_string()).count();
    let inside = row.kills.iter().filter(|kill| kill.in_database).count();
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
        "   {} kills ({runner} of the runner, {} of services; {inside} in databases)",
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
