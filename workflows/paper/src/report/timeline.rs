//! Every entry that means something to people, in order.

use runner_core::{AssumedBy, GroupEntry, RunEntry, SettledAs, Settlement, accepted_loss};
use schemas::op::Who;
use schemas::view::RunView;

use crate::Evidence;
use crate::report::build::named;
use crate::report::{Moment, word};

pub(super) fn all(evidence: &Evidence, view: &RunView) -> Vec<Moment> {
    let mut found = Vec::new();
    for noted in &evidence.entries {
        if let Some(what) = of_run(&noted.entry, evidence, view) {
            found.push(Moment { at: noted.at, entry: format!("run {}", noted.seq), what });
        }
    }
    for noted in &evidence.group {
        if let Some(what) = of_group(&noted.entry, evidence) {
            found.push(Moment { at: noted.at, entry: format!("group {}", noted.seq), what });
        }
    }
    // Of one moment: the run's entries before the group's, each in the order of its chain.
    found.sort_by_key(|moment| moment.at);
    found
}

fn who(who: &Who) -> String {
    format!("{} ({})", who.person, who.claimed)
}

fn of_run(entry: &RunEntry, evidence: &Evidence, view: &RunView) -> Option<String> {
    let step = |at| format!("step {}", named(view, at));
    Some(match entry {
        RunEntry::Started(started) => {
            format!("{} starts, by {}: {}", started.workflow, who(&started.who), started.why)
        }
        RunEntry::Intended(intent) => {
            format!("{}: {} is asked of {}", step(&intent.step), intent.action, intent.address)
        }
        RunEntry::Sent { step: at, attempt } => format!("{}: asked again, attempt {attempt}", step(at)),
        RunEntry::Doubted { step: at, why } => format!("{}: IN DOUBT: {why}", step(at)),
        RunEntry::Settled { step: at, settlement } => format!("{}: {}", step(at), settled(settlement)),
        RunEntry::Assumed { step: at, by } => match by {
            AssumedBy::Definition => format!("{}: passed without knowing, owed", step(at)),
            AssumedBy::Person(by) => {
                format!("{}: passed without knowing, by {}: {}", step(at), who(&by.who), by.why)
            }
        },
        RunEntry::Held { why } => format!("HELD: {why}"),
        RunEntry::Released { by: Some(by) } => format!("goes on, by {}: {}", who(&by.who), by.why),
        RunEntry::Released { by: None } => "goes on".into(),
        RunEntry::Paused { by } => format!("paused, by {}: {}", who(&by.who), by.why),
        RunEntry::Resolved { step: at, how, by } => {
            format!("{}: {how}, by {}: {}", step(at), who(&by.who), by.why)
        }
        RunEntry::Cancelling { leave, by } => {
            let how = if *leave { "cancelled, leaving the world as it is" } else { "cancelled" };
            format!("{how}, by {}: {}", who(&by.who), by.why)
        }
        RunEntry::Ended { state, problem } => match problem {
            Some(problem) => format!("{}: {problem}", word(state).to_uppercase()),
            None => word(state).to_uppercase(),
        },
        RunEntry::Engine { entry } => match &**entry {
            engine::Entry::Failed { at, error, .. } => {
                let why = error.detail.as_ref().or(error.title.as_ref()).unwrap_or(&error.kind);
                // Calls have said so already.
                let call = evidence.entries.iter().any(|noted| {
                    matches!(&noted.entry, RunEntry::Settled { step, .. } | RunEntry::Assumed { step, .. } if step == at)
                });
                if call {
                    return None;
                }
                format!("{}: failed: {why}", step(at))
            }
            engine::Entry::Left { at, output, .. } | engine::Entry::Ended { at, output, .. } => {
                let waited = view.steps.iter().find(|step| step.position == *at && step.output == *output)?;
                format!("{}: counts as closed: {}", step(at), waited.closed_by()?)
            }
            _ => return None,
        },
    })
}

fn settled(settlement: &Settlement) -> String {
    let by = &settlement.by;
    match &settlement.result {
        SettledAs::Done { answer: Some(answer), .. } => format!("done ({}), by {by}", word(answer)),
        SettledAs::Done { answer: None, .. } => format!("done, by {by}"),
        SettledAs::NotDone { problem } => format!("not done, by {by}: {problem}"),
        SettledAs::EndedUnknown => format!("ended, and nobody knows how, by {by}"),
    }
}

fn of_group(entry: &GroupEntry, evidence: &Evidence) -> Option<String> {
    let epoch = evidence.started.epoch;
    Some(match entry {
        GroupEntry::Decision { event, site, verdict, .. } => {
            format!("{site} is reported lost ({event}): {verdict}")
        }
        GroupEntry::Opening { address, epoch: of, closed_by, .. } if *of == epoch => {
            let beside: Vec<String> =
                closed_by.iter().map(|(site, by)| format!("; {site} counts as closed: {by}")).collect();
            format!("{} counts as open from here on ({address}){}", address.site, beside.concat())
        }
        GroupEntry::Closed { address, epoch: of, by } if *of == epoch => {
            format!("{address} is proved closed by {by}")
        }
        GroupEntry::Accepted { site, epoch: of, standing, by } if *of == epoch => {
            let kind = if *standing { "standing acceptance" } else { "accepted" };
            format!("{kind}: {site} may still take writes, by {}: {}", who(&by.who), by.why)
        }
        GroupEntry::Declared { what, site, by, .. } => {
            let of = site.as_ref().map(|site| format!(" of {site}")).unwrap_or_default();
            format!("declared: {what}{of}, by {}: {}", who(&by.who), by.why)
        }
        GroupEntry::LossAccepted { epoch: of, bound, unknown, by } if *of == epoch => {
            format!("accepted: {}, by {}: {}", accepted_loss(*bound, *unknown), who(&by.who), by.why)
        }
        GroupEntry::Overridden { run, lines, by } if *run == evidence.run => {
            format!("started although red: {}, by {}: {}", lines.join(", "), who(&by.who), by.why)
        }
        GroupEntry::Loss { run, text, by, .. } if *run == evidence.run => format!("loss: {text} ({by})"),
        GroupEntry::Owed { owed, .. } if owed.run == evidence.run => {
            let what = owed.action.map_or("claim".to_owned(), |action| action.to_string());
            format!("owed: {what} of {}: {}", owed.address, owed.why)
        }
        GroupEntry::DoubtListed { key, doubt } if key.run == evidence.run => {
            format!("left in doubt: {} of {}", doubt.action, doubt.address)
        }
        GroupEntry::DoubtEnded { key, how } if key.run == evidence.run => {
            format!("a doubt ends ({}): {how}", key.position)
        }
        _ => return None,
    })
}
