//! The world against the journal: what a look says of what an act was for, and so which steps of a run that stands
//! still somebody has undone by hand meanwhile.

use chrono::{DateTime, Utc};
use schemas::duration::Iso;
use schemas::view::{RunState, RunView, StepNow, StepState, StepView};
use schemas::{Access, Action, Address, NameSeen, ReplicationState, Running, Seen, SiteId};
use serde_json::Value;

use crate::core::Core;
use crate::run::Run;
use crate::seam::Now;

/// What a look at a resource says of an act.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    /// What is seen.
    pub(crate) seen: String,
    /// What is seen where the act is in effect.
    pub(crate) journal: String,
    /// Whether it is.
    pub(crate) agrees: bool,
}

/// What `seen` says of an act with these arguments, which returned `output`; none where a look cannot tell.
pub(crate) fn found(action: Action, args: &Value, output: &Value, seen: &Seen) -> Option<Found> {
    let says = |seen: &str, journal: &str, agrees| {
        Some(Found { seen: seen.to_owned(), journal: journal.to_owned(), agrees })
    };
    match (action, seen) {
        (Action::DisableAccess, Seen::Database(d)) => {
            says(access(d.access), "closed", d.access == Access::Closed)
        }
        (Action::EnableAccess, Seen::Database(d)) => says(access(d.access), "open", d.access == Access::Open),
        (Action::StartProcess | Action::RefreshProcess | Action::StopProcess, Seen::Process(p)) => {
            let stops = action == Action::StopProcess;
            let (word, agrees) = match p.running {
                Running::Healthy => ("running", !stops),
                Running::Unhealthy => ("not healthy", false),
                Running::Stopped => ("stopped", stops),
                Running::Unknown => return None,
            };
            says(word, if stops { "stopped" } else { "started" }, agrees)
        }
        (Action::PointProcess, Seen::Process(p)) => {
            let to = args.get("to").and_then(Value::as_str)?;
            let at = p.points_at.as_ref()?.as_str();
            says(&format!("works on {at}'s"), &format!("works on {to}'s"), at == to)
        }
        (Action::Point | Action::Follow, Seen::Name(n)) => {
            let to = args.get("to").and_then(Value::as_str)?;
            let leads = match &n.points_at {
                Some(site) => format!("leads to {site}"),
                // Nobody answered.
                None if n.answers.is_empty() => return None,
                None => "leads to no one site".to_owned(),
            };
            let agrees = n.points_at.as_ref().is_some_and(|site| site.as_str() == to);
            says(&leads, &format!("leads to {to}"), agrees)
        }
        (Action::Push, Seen::Name(n)) => {
            let to = args.get("to").and_then(Value::as_str);
            let agrees = n.pushed.as_ref().map(SiteId::as_str) == to;
            says(hosts_file(n), "hosts file pushed", agrees)
        }
        (Action::Unpush, Seen::Name(n)) => says(hosts_file(n), "hosts file taken away", n.pushed.is_none()),
        (Action::StopReplication | Action::Abandon | Action::Discard, Seen::Replication(r)) => {
            says(state(r.state), "stopped", r.state == ReplicationState::Stopped)
        }
        (Action::StartReplication, Seen::Replication(r)) => {
            let runs = matches!(r.state, ReplicationState::Running | ReplicationState::Draining);
            says(state(r.state), "started", runs)
        }
        (Action::Capture, Seen::Replication(r)) => {
            says(state(r.state), "capturing", r.state != ReplicationState::Stopped)
        }
        (Action::Drain, Seen::Replication(r)) => {
            // Of another position only its driver can tell whether it is behind.
            let (then, now) = (output.get("applied")?.as_str()?, r.detail.get("applied")?.as_str()?);
            if then == now { says("drained, same position", "drained", true) } else { None }
        }
        _ => None,
    }
}

fn hosts_file(name: &NameSeen) -> &'static str {
    if name.pushed.is_some() { "hosts file pushed" } else { "hosts file taken away" }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Open => "open",
        Access::Closed => "closed",
        Access::Partly => "partly open",
    }
}

fn state(state: ReplicationState) -> &'static str {
    match state {
        ReplicationState::Stopped => "stopped",
        ReplicationState::Capturing => "capturing",
        ReplicationState::Draining => "draining",
        ReplicationState::Running => "running",
    }
}

/// Whether after `later` at the same resource a look says nothing of `earlier` any more.
fn takes_over(later: Action, earlier: Action) -> bool {
    use Action::{
        Cleanup, Compare, Drain, Export, Follow, Mark, Push, SetSequences, StopReplication, Unpush,
        VerifyWrite,
    };
    let only_measures =
        matches!(later, Mark | Drain | SetSequences | Export | Compare | Cleanup | VerifyWrite);
    // It stands still where it was drained.
    let stays = (earlier, later) == (Drain, StopReplication);
    // What is in the hosts file, and what is resolved.
    let beside = matches!((earlier, later), (Push | Unpush, Follow) | (Follow, Push | Unpush));
    !only_measures && !stays && !beside
}

/// What a step asked, and of whom.
fn act(step: &StepView) -> Option<(&Address, Action)> {
    let address = step.address.as_ref()?;
    let (_, action) = step.function.split_once('.')?;
    Some((address, Action::of(address.service, action)?))
}

/// Whether its effect is there by the journal, or may be.
fn may_be_there(step: &StepView) -> bool {
    use StepState::{Assumed, Done, DoneByHand, InDoubt, Running, Undone};
    matches!(step.state, Done | DoneByHand | InDoubt | Assumed | Running | Undone)
}

/// From when on what is seen is news of a step that has ended or is in doubt.
fn news_since(step: &StepView) -> Option<DateTime<Utc>> {
    match step.state {
        StepState::Done | StepState::DoneByHand => step.ended,
        StepState::InDoubt | StepState::Assumed => step.started,
        _ => None,
    }
}

impl Core {
    /// A run for people. One that stands still says of each step what has been seen of its resource since.
    pub(crate) fn run_now(&self, now: Now, run: &Run) -> RunView {
        let mut view = crate::views::run_view(run, &self.lives, true);
        if !matches!(view.state, RunState::Held | RunState::Paused | RunState::Waiting) {
            return view;
        }
        let told: Vec<Option<StepNow>> = view
            .steps
            .iter()
            .zip(&run.steps)
            .enumerate()
            .map(|(at, (step, known))| {
                let (address, action) = act(step)?;
                let mut later = view.steps.iter().skip(at + 1).filter(|later| may_be_there(later));
                let over = later.any(|later| {
                    act(later).is_some_and(|(there, later)| there == address && takes_over(later, action))
                });
                if over { None } else { self.step_now(now, step, (address, action), &known.call.args) }
            })
            .collect();
        for (step, told) in view.steps.iter_mut().zip(told) {
            step.now = told;
        }
        view
    }

    fn step_now(
        &self,
        now: Now,
        step: &StepView,
        (address, action): (&Address, Action),
        args: &Value,
    ) -> Option<StepNow> {
        let since = news_since(step)?;
        let (at, observation) = self.observed.get(address)?;
        // While something of an act may still come, what is seen says nothing.
        if at.wall <= since || !observation.unended.is_empty() {
            return None;
        }
        let Found { seen, journal, agrees } = found(action, args, &step.output, &observation.seen)?;
        let age = Iso(now.boot.saturating_sub(at.boot));
        Some(StepNow { seen, journal, agrees, by: address.clone(), age })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use schemas::{Half, ReplicationSeen};
    use serde_json::json;

    use super::*;

    fn receiver(applied: &str) -> Seen {
        Seen::Replication(ReplicationSeen {
            orphans: None,
            aside: None,
            half: Half::Receiver,
            state: ReplicationState::Stopped,
            lag_bytes: None,
            lag_seconds: None,
            heartbeat: None,
            kept_bytes: None,
            copy: None,
            trouble: None,
            detail: json!({ "applied": applied }),
        })
    }

    #[test]
    fn a_drain_is_confirmed_by_its_position_and_never_contradicted() {
        let output = json!({ "applied": "0/5A3F1C8" });
        let of = |applied: &str| found(Action::Drain, &Value::Null, &output, &receiver(applied));
        assert_eq!(of("0/5A3F1C8").unwrap().seen, "drained, same position");
        assert_eq!(of("0/5A3F200"), None);
        assert!(!takes_over(Action::StopReplication, Action::Drain));
        assert!(takes_over(Action::StartReplication, Action::Drain));
        assert!(takes_over(Action::StartReplication, Action::StopReplication));
    }
}
