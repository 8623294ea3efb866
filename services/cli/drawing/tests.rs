//! Groups as they are drawn, letter by letter.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

pub(super) const NOW: &str = "2026-11-28T03:00:09Z";
const OLD: &str = "2026-11-28T02:59:08Z";

/// A group of two sites and a third place, from what its services said; `at` is the runner's clock.
pub(super) fn group(resources: Value) -> GroupView {
    serde_json::from_value(json!({
        "group": "cfg", "mode": "normal", "sentence": "", "epoch": 3, "live": "main",
        "sites": {
            "main": { "countsOpen": true, "why": "", "heard": 9, "services": 9 },
            "secondary": { "countsOpen": false, "why": "", "heard": 10, "services": 10 },
        },
        "debts": [], "doubts": [], "trigger": "", "resources": resources, "at": "2026-11-28T03:00:10Z",
    }))
    .unwrap()
}

pub(super) fn view(address: &str, seen: Value, seen_at: &str, silent: bool) -> Value {
    let mut parts = address.split('.');
    let mut part = || parts.next().unwrap();
    let address = json!({ "site": part(), "service": part(), "resource": part() });
    json!({
        "address": address, "silent": silent, "seenAt": seen_at, "heard": NOW,
        "observation": {
            "seen": seen, "epoch": 3, "unended": [], "ledger": "00000000-0000-0000-0000-000000000009",
            "adopted": true, "armed": true, "at": seen_at,
        },
    })
}

pub(super) fn half(half: &str, state: &str, more: Value) -> Value {
    let mut seen = json!({ "half": half, "state": state });
    seen.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "replication": seen })
}

fn access(access: &str, sessions: u64) -> Value {
    json!({ "database": { "access": access, "role": "live", "sessions": sessions } })
}

fn process(running: &str) -> Value {
    json!({ "process": { "running": running } })
}

fn name() -> Value {
    json!({ "name": { "pointsAt": "main", "answers": {} } })
}

fn drawn(group: &GroupView, expected: &str) {
    let lines = draw(group);
    assert!(lines.iter().all(|line| line.is_ascii() && line.len() <= 76), "{lines:#?}");
    let text: String = lines.iter().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_group_in_peace() {
    let now = |address: &str, seen: Value| view(address, seen, NOW, false);
    let group = group(json!([
        now("main.database.config", access("open", 12)),
        now("secondary.database.config", access("closed", 0)),
        now("main.database.log", access("open", 3)),
        now("secondary.database.log", access("open", 1)),
        now("main.replication.csp", half("source", "capturing", json!({}))),
        now("secondary.replication.csp", half("receiver", "running", json!({ "lagSeconds": 0.3 }))),
        now("main.replication.css", half("receiver", "stopped", json!({}))),
        now("secondary.replication.css", half("source", "stopped", json!({}))),
        now("main.replication.lm", half("source", "capturing", json!({}))),
        now("secondary.replication.lm", half("receiver", "draining", json!({ "lagBytes": 12_900_000 }))),
        now("main.process.cs-primary", process("healthy")),
        now("secondary.process.cs-primary", process("stopped")),
        now("main.process.cs-backup", process("healthy")),
        now("secondary.process.cs-backup", process("stopped")),
        now("main.process.proxy", process("healthy")),
        now("secondary.process.proxy", process("healthy")),
        now("secondary.dns.s2app", name()),
        now("witness.dns.cfg-a", name()),
    ]));
    drawn(
        &group,
        " +--------------------------+                  +--------------------------+
 | main: LIVE               |                  | secondary: STANDBY       |
 | config OPEN, 12 sessions |       csp        | config closed            |
 | log OPEN, 3 sessions     |  ===> lag 0.3 s  | log OPEN, 1 session      |
 | 3 of 3 processes run     |        lm        | 1 of 3 processes run     |
 | 9 of 9 services heard    |---> lag 12.3 MiB | s2app -> main            |
 |                          |                  | 10 of 10 services heard  |
 +--------------------------+                  +--------------------------+
 witness: cfg-a -> main
",
    );
}

#[test]
fn a_lost_site_and_one_that_is_not_as_it_should_be() {
    let lost = |address: &str, seen: Value| view(address, seen, OLD, true);
    let old = |address: &str, seen: Value| view(address, seen, OLD, false);
    let mut backup = old("secondary.process.cs-backup", process("unhealthy"));
    backup["observation"]["armed"] = json!(false);
    let power = json!({ "process": { "running": "healthy", "closes": "main" } });
    let mut group = group(json!([
        lost("main.database.config", access("open", 12)),
        old("secondary.database.config", access("closed", 0)),
        lost("main.replication.csp", half("source", "capturing", json!({}))),
        old("secondary.replication.csp", half("receiver", "running", json!({ "trouble": "no worker" }))),
        lost("main.replication.css", half("receiver", "stopped", json!({}))),
        old("secondary.replication.css", half("source", "capturing", json!({ "keptBytes": 1_610_612_736 }))),
        lost("main.process.cs-primary", process("healthy")),
        old("secondary.process.cs-primary", process("stopped")),
        lost("main.process.cs-backup", process("healthy")),
        backup,
        view("secondary.process.power-a", power, NOW, false),
    ]));
    let heard = |group: &mut GroupView, site: &str, heard: u32, services: u32| {
        let site = group.sites.get_mut(&site.parse::<SiteId>().unwrap()).unwrap();
        (site.heard, site.services) = (heard, services);
    };
    heard(&mut group, "main", 0, 5);
    heard(&mut group, "secondary", 5, 6);
    drawn(
        &group,
        " +--------------------------+                  +--------------------------+
 | main: SILENT, LIVE       |                  | secondary: CLOSED        |
 | config SILENT, heard     |       csp        | config closed (1 min 2 s |
 |   last 1.0 s ago, was    |   -x-> BROKEN    |   ago)                   |
 |   OPEN, 12 sessions      |       css        | 0 of 2 processes run (1  |
 | 2 of 2 processes ran,    | |-- kept 1.5 GiB |   min 2 s ago)           |
 |   SILENT                 |                  | cs-backup UNHEALTHY      |
 | 0 of 5 services heard    |                  | power-a on, switches     |
 |                          |                  |   main                   |
 |                          |                  | not armed: 1             |
 |                          |                  | 5 of 6 services heard    |
 +--------------------------+                  +--------------------------+
",
    );
}

#[test]
fn a_name_that_nobody_looked_at_leads_nowhere_wrong() {
    let seen = |answers: Value, silent: Value| {
        let seen = json!({ "name": { "answers": answers, "silent": silent } });
        let group = group(json!([view("witness.dns.s2app", seen, NOW, false)]));
        names(&group.resources.iter().collect::<Vec<_>>()).join(", ")
    };
    let answered = json!({ "cfg.example.net": ["192.0.2.9"] });
    assert_eq!(seen(json!({}), json!([])), "s2app -> not looked at");
    assert_eq!(seen(answered, json!([])), "s2app -> NO ONE SITE");
    assert_eq!(seen(json!({}), json!(["cfg.example.net"])), "s2app -> NO ONE SITE");
}

#[test]
fn names_of_any_length_fit() {
    let long = "x".repeat(63);
    let at = |place: &str, service: &str, seen: Value| {
        view(&format!("{place}.{service}.{long}"), seen, NOW, false)
    };
    let group = group(json!([
        at("main", "database", access("partly", 100_000)),
        at("main", "replication", half("source", "capturing", json!({}))),
        at("secondary", "replication", half("receiver", "running", json!({ "lagSeconds": 1e9 }))),
        at("secondary", "process", process("unknown")),
        at("witness", "dns", name()),
    ]));
    let lines = draw(&group);
    assert!(lines.iter().all(|line| line.len() <= 76), "{lines:#?}");
    // Nothing of what a site has is cut away.
    let count = |lines: &[String]| lines.iter().map(|line| line.matches('x').count()).sum::<usize>();
    assert_eq!(count(&lines), 63 * 3 + BETWEEN - 1, "{lines:#?}");
}

#[test]
fn what_a_site_is_goes_by_what_counts() {
    let receiver = |state: &str, more: Value| {
        view("secondary.replication.csp", half("receiver", state, more), NOW, false)
    };
    let runs = || receiver("running", json!({}));
    let copy = json!({ "tables": 5, "tablesReady": 3, "rows": 0, "bytes": 0, "bytesTotal": 0 });
    let cases = [
        (json!([runs()]), false, "", "STANDBY"),
        (json!([receiver("draining", json!({}))]), false, "", "STANDBY"),
        (json!([receiver("running", json!({ "copy": copy }))]), false, "", "CLOSED"),
        (json!([receiver("running", json!({ "trouble": "no worker" }))]), false, "", "CLOSED"),
        (json!([receiver("stopped", json!({}))]), false, "", "CLOSED"),
        (json!([runs()]), false, "config: accepted by anna", "ACCEPTED"),
        (json!([runs()]), true, "", "UNKNOWN, counts as OPEN"),
        (
            json!([view("secondary.database.config", access("open", 0), NOW, false)]),
            true,
            "",
            "counts as OPEN",
        ),
        (
            json!([view("secondary.database.config", access("open", 0), NOW, true)]),
            true,
            "",
            "UNKNOWN, counts as OPEN",
        ),
    ];
    // Which databases count, and how fresh what was seen is, the runner knows.
    let one = || json!([view("secondary.database.config", access("closed", 0), NOW, false)]);
    let both = json!([
        view("secondary.database.config", access("closed", 0), NOW, false),
        view("secondary.database.log", access("open", 1), NOW, false),
    ]);
    for (resources, seen_closed, expected) in [
        (one(), true, "seen closed, counts as OPEN"),
        (both, true, "seen closed, counts as OPEN"),
        (one(), false, "counts as OPEN"),
    ] {
        let group = group(resources);
        let name: SiteId = "secondary".parse().unwrap();
        let site = SiteView { counts_open: true, seen_closed, ..group.sites[&name].clone() };
        let here: Vec<&ResourceView> = group.resources.iter().collect();
        assert_eq!(state(&group, &name, &site, &here), expected);
    }
    for (resources, counts_open, why, expected) in cases {
        let group = group(resources);
        let name: SiteId = "secondary".parse().unwrap();
        let site = SiteView { counts_open, why: why.to_owned(), ..group.sites[&name].clone() };
        let here: Vec<&ResourceView> = group.resources.iter().collect();
        assert_eq!(state(&group, &name, &site, &here), expected);
        assert_eq!(
            state(&group, &name, &SiteView { heard: 0, ..site }, &here),
            format!("SILENT, {expected}")
        );
    }
}
