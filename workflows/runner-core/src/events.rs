//! What the world hears of an entry: a CloudEvent that is a function of it, with an id that a repetition
//! keeps (run + sequence). The language's lifecycle events are among them.

use chrono::{DateTime, Utc};
use schemas::CloudEvent;
use serde_json::{Value, json};

use crate::entry::{AnyEntry, GroupEntry, RunEntry, SettledAs, Stream};

/// Where an event belongs on the bus, and the event.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The last token of its subject.
    pub kind: &'static str,
    /// It.
    pub event: CloudEvent,
}

impl Outgoing {
    /// Adds the hash of the entry itself. On a run's last event it is the head of the run's chain: whoever
    /// keeps it can prove later that nobody rewrote the journal.
    #[must_use]
    pub fn with_head(mut self, hash: &str) -> Outgoing {
        if let Some(data) = self.event.data.as_object_mut() {
            data.insert("head".into(), hash.into());
        }
        self
    }
}

/// Whether there is an event of this entry; most have none.
pub fn is_told(entry: &AnyEntry) -> bool {
    match entry {
        AnyEntry::Run(RunEntry::Engine { entry }) => {
            matches!(&**entry, engine::Entry::Ran { event: Some(_), .. })
        }
        AnyEntry::Run(RunEntry::Resolved { .. } | RunEntry::Cancelling { .. }) => false,
        AnyEntry::Run(RunEntry::Settled { settlement, .. }) => settlement.result != SettledAs::EndedUnknown,
        AnyEntry::Run(_) => true,
        AnyEntry::Group(entry) => group_name(entry).is_some(),
    }
}

/// The event of one entry, if it has one.
pub fn event_of(
    source: &str,
    stream: &Stream,
    seq: u64,
    at: DateTime<Utc>,
    entry: &AnyEntry,
) -> Option<Outgoing> {
    let owner = match stream {
        Stream::Run(run) => run.to_string(),
        Stream::Group(group) => format!("group-{group}"),
    };
    let (name, type_, data) = match entry {
        AnyEntry::Run(entry) => run_event(entry, &owner)?,
        AnyEntry::Group(entry) => group_event(entry)?,
    };
    let mut event = CloudEvent::new(format!("{owner}-{seq}"), source, type_, at, data);
    event.subject = Some(owner);
    event.extensions.insert("sequence".into(), Value::String(format!("{seq:020}")));
    Some(Outgoing { kind: name, event })
}

fn run_event(entry: &RunEntry, run: &str) -> Option<(&'static str, String, Value)> {
    let workflow = |x: &str| format!("io.serverlessworkflow.workflow.{x}.v1");
    let task = |x: &str| format!("io.serverlessworkflow.task.{x}.v1");
    Some(match entry {
        RunEntry::Started(s) => (
            "run-started",
            workflow("started"),
            json!({ "name": run, "definition": s.workflow, "group": s.group, "from": s.from, "to": s.to,
                    "epoch": s.epoch, "who": s.who, "why": s.why }),
        ),
        RunEntry::Held { why } => ("run-held", workflow("suspended"), json!({ "name": run, "why": why })),
        RunEntry::Paused { by } => ("run-paused", workflow("suspended"), json!({ "name": run, "by": by })),
        RunEntry::Released { by } => ("run-resumed", workflow("resumed"), json!({ "name": run, "by": by })),
        RunEntry::Ended { state, problem } => {
            use schemas::view::RunState;
            let phase = match state {
                RunState::Completed => "completed",
                RunState::Faulted => "faulted",
                _ => "cancelled",
            };
            ("run-ended", workflow(phase), json!({ "name": run, "state": state, "problem": problem }))
        }
        RunEntry::Intended(i) => (
            "step-started",
            task("started"),
            json!({ "workflow": run, "task": i.step, "address": i.address, "action": i.action }),
        ),
        RunEntry::Sent { step, attempt } => {
            ("step-retried", task("retried"), json!({ "workflow": run, "task": step, "attempt": attempt }))
        }
        RunEntry::Doubted { step, why } => (
            "step-in-doubt",
            "io.pointsman.step.in-doubt.v1".into(),
            json!({ "workflow": run, "task": step, "why": why }),
        ),
        RunEntry::Settled { step, settlement } => match &settlement.result {
            SettledAs::Done { output, .. } => (
                "step-completed",
                task("completed"),
                json!({ "workflow": run, "task": step, "by": settlement.by, "output": output }),
            ),
            SettledAs::NotDone { problem } => (
                "step-faulted",
                task("faulted"),
                json!({ "workflow": run, "task": step, "by": settlement.by, "error": problem }),
            ),
            SettledAs::EndedUnknown => return None,
        },
        RunEntry::Assumed { step, by } => (
            "step-assumed",
            "io.pointsman.step.assumed.v1".into(),
            json!({ "workflow": run, "task": step, "by": by }),
        ),
        RunEntry::Engine { entry } => match &**entry {
            engine::Entry::Ran { event: Some(event), .. } => {
                ("emitted", "io.pointsman.run.emitted.v1".into(), json!({ "workflow": run, "event": event }))
            }
            _ => return None,
        },
        RunEntry::Resolved { .. } | RunEntry::Cancelling { .. } => return None,
    })
}

fn group_event(entry: &GroupEntry) -> Option<(&'static str, String, Value)> {
    let name = group_name(entry)?;
    Some((name, format!("io.pointsman.group.{name}.v1"), serde_json::to_value(entry).ok()?))
}

fn group_name(entry: &GroupEntry) -> Option<&'static str> {
    Some(match entry {
        GroupEntry::Adopted { .. } => "adopted",
        GroupEntry::RunStarted { .. } => "run-started",
        GroupEntry::RunEnded { .. } => "run-ended",
        GroupEntry::Opening { .. } => "opening",
        GroupEntry::Closed { .. } => "closed",
        GroupEntry::Accepted { .. } => "accepted",
        GroupEntry::LossAccepted { .. } => "loss-accepted",
        GroupEntry::Loss { .. } => "loss",
        GroupEntry::LastSeen { alive: Some(_), .. } => "silent",
        GroupEntry::LastSeen { alive: None, .. } => "heard-again",
        GroupEntry::Limited { since: Some(_), .. } => "limited",
        GroupEntry::Limited { since: None, .. } => "limited-over",
        GroupEntry::Preflight { .. } => "preflight",
        GroupEntry::Overridden { .. } => "overridden",
        GroupEntry::SplitBrain { sites } if sites.is_empty() => "split-brain-over",
        GroupEntry::SplitBrain { .. } => "split-brain",
        GroupEntry::Replication { trouble: Some(_), .. } => "replication-broken",
        GroupEntry::Replication { trouble: None, .. } => "replication-mended",
        GroupEntry::Owed { .. } => "owed",
        GroupEntry::DebtEnded { .. } | GroupEntry::DebtSettled { .. } => "debt-changed",
        GroupEntry::DoubtListed { .. } | GroupEntry::DoubtEnded { .. } => "doubt-changed",
        GroupEntry::Decision { .. } => "decided",
        GroupEntry::Declared { .. } => "declared",
        GroupEntry::Acknowledged { .. } => "acknowledged",
        GroupEntry::Drilled { .. } => "drilled",
        GroupEntry::Triggers { .. } => "triggers",
        GroupEntry::FileTaken { .. } => "file-taken",
        GroupEntry::NoticeEnded { gave_up: None, .. } => "notified",
        GroupEntry::NoticeEnded { gave_up: Some(_), .. } => "notify-failed",
        GroupEntry::NoticeOwed { .. }
        | GroupEntry::DebtIntended { .. }
        | GroupEntry::DebtSent { .. }
        | GroupEntry::OpAnswered { .. }
        | GroupEntry::Checkpoint { .. } => return None,
    })
}
