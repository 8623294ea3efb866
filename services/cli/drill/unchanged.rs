//! Whether production is as it was: what a move would have changed, and nothing that changes by itself.

use std::collections::{BTreeMap, BTreeSet};

use schemas::view::ResourceView;
use schemas::{ReplicationState, Seen};

use crate::text;

/// What differs, a line each.
pub(super) fn compare(before: &super::Seen, after: &super::Seen) -> Vec<String> {
    let (before, after) = (facts(before), facts(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let none = "nothing".to_owned();
    names
        .into_iter()
        .map(|name| (name, before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none)))
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| format!("{name}: {before}, now {after}"))
        .collect()
}

fn facts((view, latest): &super::Seen) -> BTreeMap<String, String> {
    let listed = |debts: &[schemas::view::DebtView]| {
        let all: BTreeSet<String> = debts.iter().map(|d| format!("{} of {}", d.what, d.address)).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut facts = BTreeMap::from([
        ("mode".to_owned(), text::mode(view.mode)),
        ("epoch".to_owned(), view.epoch.to_string()),
        ("live site".to_owned(), text::site(view.live.as_ref()).to_owned()),
        ("latest run".to_owned(), latest.map_or("none".to_owned(), |run| run.to_string())),
        ("owed".to_owned(), listed(&view.debts)),
        ("in doubt".to_owned(), listed(&view.doubts)),
    ]);
    facts.extend(view.resources.iter().map(|r| (r.address.to_string(), resource(r))));
    facts
}

fn resource(view: &ResourceView) -> String {
    let Some(seen) = view.observation.as_ref().filter(|_| !view.silent) else { return "silent".to_owned() };
    let held = match (&seen.group, seen.run) {
        (Some(group), Some(run)) => format!("{group} in epoch {}, run {run}", seen.epoch),
        _ => "nobody".to_owned(),
    };
    format!("{}, held by {held}, ledger {}", state(&seen.seen), seen.ledger)
}

fn state(seen: &Seen) -> String {
    match seen {
        Seen::Database(seen) => format!("{} as {}", text::word(seen.access), text::word(seen.role)),
        Seen::Replication(seen) => match seen.state {
            // Which of the two it is, its writers decide.
            ReplicationState::Running | ReplicationState::Draining => "applying".to_owned(),
            other => text::word(other),
        },
        Seen::Process(seen) => match &seen.points_at {
            Some(site) => format!("{}, works on {site}", text::word(seen.running)),
            None => text::word(seen.running),
        },
        Seen::Name(seen) => {
            let answers: BTreeSet<&String> = seen.answers.values().flatten().collect();
            format!("at {}, {answers:?}", text::site(seen.points_at.as_ref()))
        }
        Seen::Nothing(problem) => format!("not to be seen: {}", problem.code),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use schemas::op::OpReply;
    use schemas::{Access, Seen};

    use super::compare;

    #[test]
    fn what_a_move_changes_is_seen_and_what_changes_by_itself_is_not() {
        let example = include_str!("../../../schemas/examples/op-reply.groups.json");
        let OpReply::Groups(groups) = serde_json::from_str(example).unwrap() else { panic!("groups") };
        let before = (groups[0].clone(), None);
        let mut after = before.clone();
        after.0.at += chrono::Duration::hours(1);
        for resource in &mut after.0.resources {
            resource.heard = Some(after.0.at);
        }
        assert_eq!(compare(&before, &after), Vec::<String>::new());

        after.1 = Some(schemas::RunId(uuid::Uuid::nil()));
        let database = after.0.resources.iter_mut().find_map(|r| {
            let observation = r.observation.as_mut()?;
            matches!(observation.seen, Seen::Database(_)).then_some(observation)
        });
        let Seen::Database(seen) = &mut database.unwrap().seen else { panic!("a database") };
        seen.access = if seen.access == Access::Open { Access::Closed } else { Access::Open };
        let changed = compare(&before, &after);
        assert_eq!(changed.len(), 2, "{changed:?}");
        assert!(changed.iter().any(|line| line.starts_with("latest run: none, now")), "{changed:?}");
    }
}
