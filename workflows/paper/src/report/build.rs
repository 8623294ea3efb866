//! From evidence to the report.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use runner_core::{AssumedBy, GroupEntry, RunEntry, SettledAs, accepted_loss};
use schemas::args::ExportOutput;
use schemas::view::{RunView, StepView};

use crate::Evidence;
use crate::evidence::Noted;
use crate::report::{Debt, Decision, Followed, Ledger, Proof, Report, Step, phases, timeline};

/// So many runs that followed are named.
const FOLLOWED: usize = 5;

impl Report {
    /// The report of a run.
    pub fn of(evidence: &Evidence) -> Report {
        Report::told(evidence, true)
    }

    /// The same; programs of before told no waits at gates.
    fn told(evidence: &Evidence, gates: bool) -> Report {
        let view = runner_core::show(&evidence.read, true);
        let steps = steps(evidence, &view);
        let phases = phases::all(evidence, &view, gates);
        Report {
            run: evidence.run,
            group: evidence.started.group.clone(),
            workflow: evidence.started.workflow.clone(),
            definition: evidence.started.definition,
            epoch: evidence.started.epoch,
            from: evidence.started.from.clone(),
            to: evidence.started.to.clone(),
            lost: evidence.started.lost.clone(),
            state: view.state,
            problem: view.problem.clone(),
            started: view.started,
            ended: view.ended,
            rto: phases::rto(evidence, &view, &phases),
            rpo: phases::rpo(evidence, &view),
            phases,
            limited_ms: view.limited.and_then(|limited| between(limited.since, limited.until?)),
            ledgers: ledgers(&view),
            ledger_waived: waived(evidence),
            not_compared: view.not_compared.clone(),
            differs: view.differs.clone(),
            followed: followed(evidence),
            decisions: decisions(evidence, &view),
            steps,
            debts: debts(evidence),
            timeline: timeline::all(evidence, &view),
            proof: proof(evidence),
        }
    }

    /// Whether this report says what these entries do. What programs of before did not say is left out where it is missing.
    pub fn says(&self, evidence: &Evidence) -> bool {
        let alike = |mut theirs: Report| {
            if self.followed.is_empty() {
                theirs.followed.clear();
            }
            theirs.rpo.estimated &= self.rpo.estimated;
            *self == theirs
        };
        alike(Report::of(evidence)) || alike(Report::told(evidence, false))
    }
}

fn steps(evidence: &Evidence, view: &RunView) -> Vec<Step> {
    let mut doubts: BTreeMap<&schemas::Position, Vec<(DateTime<Utc>, String)>> = BTreeMap::new();
    for noted in &evidence.entries {
        if let RunEntry::Doubted { step, why } = &noted.entry {
            doubts.entry(step).or_default().push((noted.at, why.clone()));
        }
    }
    let step = |step: &StepView| Step {
        number: step.number,
        position: step.position.clone(),
        name: step.name.clone(),
        function: step.function.clone(),
        phase: step.phase.clone(),
        address: step.address.clone(),
        state: step.state,
        attempts: step.attempts,
        started: step.started,
        took_ms: took(step),
        doubts: doubts.remove(&step.position).unwrap_or_default(),
        settled_by: step.settled_by.clone(),
        closed_by: step.closed_by().map(str::to_owned),
        problem: step.problem.clone(),
    };
    view.steps.iter().map(step).collect()
}

pub(super) fn took(step: &StepView) -> Option<u64> {
    between(step.started?, step.ended?)
}

pub(super) fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Option<u64> {
    u64::try_from((to - from).num_milliseconds()).ok()
}

/// The name of the step at a position, with its number.
pub(super) fn named(view: &RunView, at: &schemas::Position) -> String {
    match view.steps.iter().find(|step| step.position == *at) {
        Some(step) => format!("{} {}", step.number, step.name),
        None => at.to_string(),
    }
}

fn decisions(evidence: &Evidence, view: &RunView) -> Vec<Decision> {
    let mut found = vec![Decision {
        at: view.started,
        what: format!("start {}", evidence.started.workflow),
        who: evidence.started.who.clone(),
        why: evidence.started.why.clone(),
    }];
    let mut note = |at, what: String, by: &runner_core::ByPerson| {
        found.push(Decision { at, what, who: by.who.clone(), why: by.why.clone() });
    };
    for noted in &evidence.entries {
        match &noted.entry {
            RunEntry::Assumed { step, by: AssumedBy::Person(by) } => {
                note(noted.at, format!("go past step {} without knowing", named(view, step)), by);
            }
            RunEntry::Released { by: Some(by) } => note(noted.at, "resume".into(), by),
            RunEntry::Paused { by } => note(noted.at, "pause".into(), by),
            RunEntry::Resolved { step, how, by } => {
                note(noted.at, format!("{how} step {}", named(view, step)), by);
            }
            RunEntry::Cancelling { leave, by } => {
                let what = if *leave { "cancel, leaving the world as it is" } else { "cancel" };
                note(noted.at, what.into(), by);
            }
            _ => {}
        }
    }
    if let Some(waived) = waived(evidence) {
        let by = runner_core::ByPerson { who: evidence.started.who.clone(), why: waived };
        note(view.started, "copy without a ledger".into(), &by);
    }
    if let Some(declared) = &evidence.started.declared {
        note(declared.since, format!("declare {}", declared.text()), &declared.by);
    }
    for noted in &evidence.group {
        match &noted.entry {
            GroupEntry::Declared { what, site, by, .. } => {
                let of = site.as_ref().map(|site| format!(" of {site}")).unwrap_or_default();
                note(noted.at, format!("declare {what}{of}"), by);
            }
            GroupEntry::Accepted { site, epoch, standing, by } if *epoch == evidence.started.epoch => {
                let kind = if *standing { "accept, standing in the group's file" } else { "accept" };
                note(noted.at, format!("{kind}: {site} may still take writes (epoch {epoch})"), by);
            }
            GroupEntry::Overridden { run, lines, by } if *run == evidence.run => {
                note(noted.at, format!("start although red: {}", lines.join(", ")), by);
            }
            GroupEntry::LossAccepted { epoch, bound, unknown, by } if *epoch == evidence.started.epoch => {
                note(noted.at, format!("accept: {}", accepted_loss(*bound, *unknown)), by);
            }
            _ => {}
        }
    }
    found.sort_by_key(|decision| decision.at);
    found
}

pub(super) fn ledgers(view: &RunView) -> Vec<Ledger> {
    let of = |step: &StepView| {
        let output: ExportOutput = serde_json::from_value(step.output.clone()).ok()?;
        let ExportOutput { ledger, transactions, rows, .. } = output;
        let address = step.address.clone()?;
        Some(Ledger { address, file: ledger.file, digest: ledger.digest, transactions, rows })
    };
    let stored = view.steps.iter().filter(|step| step.function == "replication.export");
    stored.filter_map(of).collect()
}

/// The first runs of the group after this one, by its chain: clocks of two hosts may differ.
fn followed(evidence: &Evidence) -> Vec<Followed> {
    let started = |noted: &Noted<GroupEntry>| match &noted.entry {
        GroupEntry::RunStarted { run, workflow, .. } => {
            Some((noted.seq, Followed { run: *run, workflow: workflow.clone(), at: noted.at }))
        }
        _ => None,
    };
    let all: Vec<(u64, Followed)> = evidence.group.iter().filter_map(started).collect();
    let own = all.iter().find(|(_, one)| one.run == evidence.run).map(|(seq, _)| *seq);
    let later = all.into_iter().filter(|(seq, _)| own.is_some_and(|own| *seq > own));
    later.map(|(_, one)| one).take(FOLLOWED).collect()
}

pub(super) fn waived(evidence: &Evidence) -> Option<String> {
    evidence.started.input.get("waived")?.as_str().map(str::to_owned)
}

fn debts(evidence: &Evidence) -> Vec<Debt> {
    let mut found: BTreeMap<u64, Debt> = BTreeMap::new();
    for noted in &evidence.group {
        match &noted.entry {
            GroupEntry::Owed { debt, owed } if owed.run == evidence.run => {
                let what = owed.action.map_or("claim".to_owned(), |action| action.to_string());
                let (address, since, why) = (owed.address.clone(), owed.since, owed.why.clone());
                found.insert(*debt, Debt { address, what, since, why, ended: None });
            }
            GroupEntry::DebtSettled { debt, settlement } => {
                if let (Some(debt), SettledAs::Done { .. }) = (found.get_mut(debt), &settlement.result) {
                    debt.ended = Some((noted.at, format!("paid (by {})", settlement.by)));
                }
            }
            GroupEntry::DebtEnded { debt, how } => {
                if let Some(debt) = found.get_mut(debt) {
                    debt.ended = Some((noted.at, how.clone()));
                }
            }
            GroupEntry::Opening { address, .. } => {
                for debt in found.values_mut().filter(|d| d.ended.is_none() && d.address == *address) {
                    debt.ended = Some((noted.at, "pointless: it is opened again".into()));
                }
            }
            _ => {}
        }
    }
    found.into_values().collect()
}

fn proof(evidence: &Evidence) -> Proof {
    let last = evidence.head();
    Proof {
        entries: last.map_or(0, |last| last.seq),
        head: last.map(|last| last.hash.to_string()).unwrap_or_default(),
        group_entries: evidence.group.len() as u64,
        group_head: last.and_then(|l| l.link.as_ref()).map(|link| (link.seq, link.hash.to_string())),
    }
}
