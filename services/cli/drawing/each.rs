//! Each resource in a line, the places side by side.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use comfy_table::Table;
use schemas::view::{GroupView, ResourceView};
use schemas::{ReplicationState, ResourceId, Seen, Service, SiteId};

use super::flow::{Flow, Stream};
use super::is_old;
use crate::output::Output;
use crate::text;

/// A line of it: one resource, at each place where it is.
type Row<'v> = BTreeMap<&'v SiteId, &'v ResourceView>;

/// A group in full; none where it has no resource.
pub(crate) fn each(group: &GroupView, out: &Output) -> Option<Table> {
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
                cells.push(arrow(&places, row));
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
    if view.silent || is_old(view, now) { format!("{seen} ({heard})") } else { seen }
}

/// The arrow, at the side from which it comes, and how far behind it is.
fn arrow(places: &[&SiteId], row: &Row<'_>) -> String {
    let (Some(left), Some(flow)) = (places.first(), Flow::of(row.values().copied())) else {
        return String::new();
    };
    let (arrow, right) = (flow.arrow(left), flow.leaves(left));
    let arrow = match (flow.stream(), right) {
        (Stream::Nothing, _) => return format!("     {arrow}"),
        (Stream::Kept, true) => format!("{arrow}  "),
        (Stream::Kept, false) => format!("  {arrow}"),
        (_, true) => format!("{arrow} "),
        (_, false) => format!(" {arrow}"),
    };
    let comes = flow.receiver().filter(|seen| seen.state != ReplicationState::Stopped);
    match comes.and_then(text::behind) {
        Some(behind) => format!("{arrow} {behind}"),
        None => arrow,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::super::tests::{NOW, group, half, view};
    use super::*;

    fn drawn(resources: serde_json::Value) -> String {
        let out = Output::plain();
        each(&group(resources), &out).unwrap().trim_fmt()
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
        assert!(text.contains("was running (SILENT, heard last 1.0 s ago)"), "{text}");
        let fence = text.lines().find(|line| line.contains("fence")).unwrap();
        assert!(fence.trim_end().ends_with("running"), "{text}");
        assert!(text.lines().next().unwrap().contains("witness"), "{text}");
    }
}
