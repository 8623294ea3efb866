//! The two sites side by side: what runs where, which way replication flows and how far behind it is. In letters that
//! every terminal has.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use comfy_table::Table;
use schemas::view::{GroupView, ResourceView};
use schemas::{Half, ReplicationState, ResourceId, Seen, Service, SiteId};

use crate::output::Output;
use crate::text;

/// What was seen longer ago than this has its age beside it.
const RECENT: chrono::Duration = chrono::Duration::seconds(5);

/// A line of it: one resource, at each place where it is.
type Row<'v> = BTreeMap<&'v SiteId, &'v ResourceView>;

/// A group drawn; none where it has no resource.
pub(crate) fn draw(group: &GroupView, out: &Output) -> Option<Table> {
    let places = places(group);
    let mut rows: BTreeMap<(Service, &ResourceId), Row<'_>> = BTreeMap::new();
    for view in &group.resources {
        let row = rows.entry((view.address.service, &view.address.resource)).or_default();
        row.insert(&view.address.site, view);
    }
    if rows.is_empty() {
        return None;
    }
    let mut table = out.table();
    let mut head = vec![String::new(), String::new()];
    for (i, place) in places.iter().enumerate() {
        let live = if group.live.as_ref() == Some(*place) { " (live)" } else { "" };
        head.push(format!("{}{live}", place.as_str()));
        if i == 0 {
            head.push(String::new());
        }
    }
    table.add_row(head);
    let mut last = None;
    for ((service, resource), row) in &rows {
        let label = if last == Some(*service) { String::new() } else { service.to_string() };
        last = Some(*service);
        let mut cells = vec![format!("  {label}"), resource.to_string()];
        for (i, place) in places.iter().enumerate() {
            cells.push(row.get(*place).map_or(String::new(), |view| cell(view, group.at)));
            if i == 0 {
                cells.push(flow(&places, row));
            }
        }
        table.add_row(cells);
    }
    Some(table)
}

/// The sites of the group by name, then all other places.
fn places(group: &GroupView) -> Vec<&SiteId> {
    let mut all: Vec<&SiteId> = group.sites.keys().collect();
    for view in &group.resources {
        if !all.contains(&&view.address.site) {
            all.push(&view.address.site);
        }
    }
    all
}

fn cell(view: &ResourceView, now: DateTime<Utc>) -> String {
    let (seen, heard) = text::resource(view, now);
    let seen = match view.observation.as_ref().map(|o| &o.seen) {
        // How far behind it is stands beside the arrow.
        Some(Seen::Replication(half)) if !view.silent => text::replication(half, None),
        _ => seen,
    };
    let old = view.seen_at.is_none_or(|at| now - at > RECENT);
    if view.silent || old { format!("{seen} ({heard})") } else { seen }
}

/// `===>` what is written here arrives there; `--->` it arrives and is behind; `--|` it is kept until somebody reads it;
/// `-x->` it should come and does not; a dot: nothing is kept and nothing comes.
fn flow(places: &[&SiteId], row: &Row<'_>) -> String {
    let halves = || {
        row.values().filter(|view| !view.silent).filter_map(|view| {
            match view.observation.as_ref().map(|o| &o.seen) {
                Some(Seen::Replication(seen)) => Some((&view.address.site, seen)),
                _ => None,
            }
        })
    };
    let of = |half: Half| halves().find(|(_, seen)| seen.half == half);
    let (source, receiver) = (of(Half::Source), of(Half::Receiver));
    let first = places.first().copied();
    // The source is known by its own word, or by the receiver's: it is where the receiver is not.
    let right = match (source, receiver) {
        (Some((site, _)), _) => Some(site) == first,
        (None, Some((site, _))) => Some(site) != first,
        (None, None) => return String::new(),
    };
    let broken = halves().any(|(_, seen)| seen.trouble.is_some());
    let state = receiver.or(source).map(|(_, seen)| seen.state);
    let kept = source.filter(|(_, seen)| seen.state == ReplicationState::Capturing);
    let line = match (state, kept) {
        (Some(ReplicationState::Running | ReplicationState::Draining), _) if broken => "-x-",
        (Some(ReplicationState::Running), _) => "===",
        (Some(ReplicationState::Draining), _) => "---",
        (_, Some(_)) => "--|",
        _ => return "     .".to_owned(),
    };
    let arrow = match (right, line) {
        (true, "--|") => "--|  ".to_owned(),
        (false, "--|") => "  |--".to_owned(),
        (true, line) => format!("{line}> "),
        (false, line) => format!(" <{line}"),
    };
    match receiver.map(|(_, seen)| seen).and_then(text::behind) {
        Some(behind) if state != Some(ReplicationState::Stopped) => format!("{arrow} {behind}"),
        _ => arrow,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    /// A group of two sites and a third place, from what its services said; `at` is the runner's clock.
    fn group(resources: serde_json::Value) -> GroupView {
        serde_json::from_value(json!({
            "group": "cfg", "mode": "normal", "sentence": "", "epoch": 3, "live": "main",
            "sites": {
                "main": { "countsOpen": true, "why": "", "heard": 1, "services": 1 },
                "secondary": { "countsOpen": false, "why": "", "heard": 1, "services": 1 },
            },
            "debts": [], "doubts": [], "trigger": "", "resources": resources, "at": "2026-11-28T03:00:10Z",
        }))
        .unwrap()
    }

    fn view(address: &str, seen: serde_json::Value, seen_at: &str, silent: bool) -> serde_json::Value {
        let mut parts = address.split('.');
        let mut part = || parts.next().unwrap();
        let address = json!({ "site": part(), "service": part(), "resource": part() });
        json!({
            "address": address, "silent": silent, "seenAt": seen_at, "heard": "2026-11-28T03:00:09Z",
            "observation": {
                "seen": seen, "epoch": 3, "unended": [], "ledger": "00000000-0000-0000-0000-000000000009",
                "adopted": true, "armed": true, "at": seen_at,
            },
        })
    }

    fn half(half: &str, state: &str, more: serde_json::Value) -> serde_json::Value {
        let mut seen = json!({ "half": half, "state": state });
        seen.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "replication": seen })
    }

    const NOW: &str = "2026-11-28T03:00:09Z";

    fn drawn(resources: serde_json::Value) -> String {
        let out = Output::plain();
        draw(&group(resources), &out).unwrap().trim_fmt()
    }

    #[test]
    fn replication_flows_from_its_source_and_is_so_far_behind() {
        let none = json!({});
        let cases = [
            (
                "source",
                "running",
                none.clone(),
                "receiver",
                "running",
                json!({ "lagSeconds": 0.3 }),
                "===>  0.3 s behind",
            ),
            (
                "source",
                "running",
                none.clone(),
                "receiver",
                "draining",
                json!({ "lagBytes": 700 }),
                "--->  700 bytes behind",
            ),
            (
                "receiver",
                "running",
                json!({ "lagSeconds": 1.5 }),
                "source",
                "running",
                none.clone(),
                " <=== 1.5 s behind",
            ),
            ("receiver", "stopped", none.clone(), "source", "capturing", none.clone(), "  |--"),
            ("source", "capturing", none.clone(), "receiver", "stopped", none.clone(), "--|"),
            ("source", "stopped", none.clone(), "receiver", "stopped", none.clone(), "     ."),
            (
                "source",
                "running",
                none.clone(),
                "receiver",
                "draining",
                json!({ "trouble": "no worker" }),
                "-x->",
            ),
        ];
        for (at_main, one, more, at_secondary, other, rest, arrow) in cases {
            let text = drawn(json!([
                view("main.replication.csp", half(at_main, one, more), NOW, false),
                view("secondary.replication.csp", half(at_secondary, other, rest), NOW, false),
            ]));
            assert!(text.contains(arrow), "{arrow} in\n{text}");
            assert!(text.contains("main (live)") && !text.contains("secondary (live)"), "{text}");
        }
    }

    #[test]
    fn what_is_old_or_silent_is_shown_with_its_age() {
        let runs = json!({ "process": { "running": "healthy" } });
        let text = drawn(json!([
            view("main.process.cs", runs.clone(), "2026-11-28T02:59:27Z", false),
            view("secondary.process.cs", runs.clone(), "2026-11-28T02:59:27Z", true),
            view("witness.process.fence", runs, NOW, false),
        ]));
        assert!(text.contains("running (43 s ago, heard 1.0 s ago)"), "{text}");
        assert!(text.contains("was running (SILENT since 1.0 s ago)"), "{text}");
        let fence = text.lines().find(|line| line.contains("fence")).unwrap();
        assert!(fence.trim_end().ends_with("running"), "{text}");
        assert!(text.lines().next().unwrap().contains("witness"), "{text}");
    }
}
