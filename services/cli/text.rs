//! Words for states, ages and durations.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::view::{Mode, ResourceView, RunState, StepState};
use schemas::{Access, CopyProgress, Half, Observation, ReplicationSeen, Role, RunId, Running, Seen, size};
use serde::Serialize;

/// The word of a state as it is spelled on the bus.
pub(crate) fn word(state: impl Serialize) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

/// The word of a mode, in capitals.
pub(crate) fn mode(mode: Mode) -> String {
    word(mode).to_uppercase()
}

/// The word of a run's state, in capitals where it ended or waits.
pub(crate) fn run_state(state: RunState) -> String {
    word(state).to_uppercase()
}

/// The word of a step's state; in capitals where somebody should look.
pub(crate) fn step_state(state: StepState) -> String {
    let text = word(state).replace('-', " ");
    match state {
        StepState::InDoubt | StepState::Failed => text.to_uppercase(),
        StepState::Assumed => "owed".to_owned(),
        _ => text,
    }
}

/// A site, or that there is none.
pub(crate) fn site(site: Option<&schemas::SiteId>) -> &str {
    site.map_or("no site", schemas::SiteId::as_str)
}

/// The end of a run's id by which people call it.
pub(crate) fn short(run: &RunId) -> String {
    run.short(4)
}

/// For each of these runs the shortest end of at least four digits that no other one has.
pub(crate) fn shorts(runs: &[RunId]) -> Vec<String> {
    runs.iter()
        .map(|run| {
            (4..32)
                .map(|n| run.short(n))
                .find(|end| runs.iter().filter(|other| other.short(32).ends_with(end.as_str())).count() == 1)
                .unwrap_or_else(|| run.short(32))
        })
        .collect()
}

/// How long ago; never negative.
pub(crate) fn age(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ago", lasting((now - then).to_std().unwrap_or_default()))
}

/// A duration in at most two units.
pub(crate) fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// What is known of a resource, and how old it is. A silent service is never shown as well.
pub(crate) fn resource(view: &ResourceView, now: DateTime<Utc>) -> (String, String) {
    let seen = view.observation.as_ref().map_or_else(|| "never seen".to_owned(), observation);
    let heard = match (view.heard, view.silent) {
        (None, _) => "not heard since the runner's start".to_owned(),
        (Some(at), true) => format!("SILENT, heard last {}", age(at, now)),
        // A service that beats and could not look: what it saw is older than its last word.
        (Some(at), false) => match view.seen_at {
            Some(seen) if at - seen > chrono::Duration::seconds(2) => {
                format!("{}, heard {}", age(seen, now), age(at, now))
            }
            _ => age(at, now),
        },
    };
    if view.silent { (format!("was {seen}"), heard) } else { (seen, heard) }
}

/// One observation in words.
pub(crate) fn observation(observation: &Observation) -> String {
    let mut text = seen(&observation.seen);
    if !observation.unended.is_empty() {
        text.push_str(", an act is in progress");
    }
    if !observation.adopted {
        text.push_str(", not adopted");
    }
    if !observation.armed {
        text.push_str(", not armed");
    }
    text
}

fn seen(seen: &Seen) -> String {
    match seen {
        Seen::Database(database) => {
            let access = match database.access {
                Access::Open => "OPEN",
                Access::Closed => "closed",
                Access::Partly => "PARTLY OPEN",
            };
            let role = match database.role {
                Role::Live => "live",
                Role::Standby => "standby",
            };
            let mut text = format!("{access}, {role}, {} sessions", database.sessions);
            // What is open, and the statement that closes it.
            for open in database.detail["partly"].as_array().into_iter().flatten() {
                text.push_str(&format!("\n  {}", open.as_str().unwrap_or_default()));
            }
            text
        }
        Seen::Replication(seen) => replication(seen, behind(seen)),
        Seen::Process(process) => {
            let text = match process.running {
                Running::Healthy => "running",
                Running::Unhealthy => "UNHEALTHY",
                Running::Stopped => "stopped",
                Running::Unknown => "UNKNOWN",
            };
            let closes = process.closes.as_ref().map(|site| format!("switches {site}"));
            let points = match (&process.points_at, process.repoints.is_empty()) {
                (Some(site), _) => Some(format!("works on {site}")),
                (None, false) => Some("works on NO KNOWN SITE".to_owned()),
                (None, true) => None,
            };
            let parts = [Some(text.to_owned()), closes, points];
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        Seen::Name(name) => {
            let mut text = match &name.points_at {
                Some(site) => format!("points at {site}"),
                None if name.not_looked_at() => "not looked at".to_owned(),
                None => "points at NO ONE SITE".to_owned(),
            };
            if !name.silent.is_empty() {
                text.push_str(&format!(", silent: {}", name.silent.join(", ")));
            }
            if let Some(site) = &name.pushed {
                text.push_str(&format!(", hosts file PUSHED: {site}"));
            }
            text
        }
        Seen::Nothing(problem) => format!("CANNOT LOOK: {problem}"),
    }
}

/// One half of a replication: its state, how far behind it is, how far its copy is, what never came, what is wrong.
pub(crate) fn replication(seen: &ReplicationSeen, behind: Option<String>) -> String {
    let half = match seen.half {
        Half::Source => "source",
        Half::Receiver => "receiver",
    };
    let trouble = seen.trouble.as_ref().map(|trouble| format!("TROUBLE: {trouble}"));
    let orphans = seen.orphans.as_ref().filter(|orphans| orphans.unknown.is_none() && orphans.rows > 0);
    let orphans = orphans.map(|orphans| format!("{} never received", orphans.words()));
    let more = [behind, seen.copy.as_ref().map(copied), orphans, trouble];
    let parts = std::iter::once(format!("{} ({half})", word(seen.state))).chain(more.into_iter().flatten());
    parts.collect::<Vec<_>>().join(", ")
}

/// How far behind it is, where that is known.
pub(crate) fn behind(seen: &ReplicationSeen) -> Option<String> {
    let by_time = seen.lag_seconds.map(|seconds| format!("{seconds:.1} s behind"));
    by_time.or_else(|| seen.lag_bytes.map(|bytes| format!("{bytes} bytes behind")))
}

/// How far an initial copy is.
fn copied(copy: &CopyProgress) -> String {
    let mut text = format!("COPIES: {} of {} tables", copy.tables_ready, copy.tables);
    // One that no act began is not measured.
    if copy.bytes_total > 0 {
        let (done, all) = (size(copy.bytes), size(copy.bytes_total));
        text.push_str(&format!(", {} rows, {done} of {all}", copy.rows));
    }
    if let Some(left) = copy.left {
        text.push_str(&format!(", {} left", lasting(left.0)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_at_most_two_units() {
        let cases = [
            (6, "6 ms"),
            (2_000, "2.0 s"),
            (15_000, "15 s"),
            (61_000, "1 min 1 s"),
            (2_490_000, "41 min 30 s"),
            (7_200_000, "2 h 0 min"),
            (90_000_000, "1 d 1 h"),
        ];
        for (millis, text) in cases {
            assert_eq!(lasting(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn runs_are_called_by_the_shortest_end_that_is_theirs_alone() {
        let id = |text: &str| text.parse::<RunId>().expect(text);
        let runs = [
            id("01990000-0000-7000-8000-000000aa7f3a"),
            id("01990000-0000-7000-8000-000000ab7f3a"),
            id("01990000-0000-7000-8000-0000000081c0"),
        ];
        assert_eq!(shorts(&runs), ["a7f3a", "b7f3a", "81c0"]);
    }
}
