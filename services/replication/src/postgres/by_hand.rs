//! The same by hand. What only an earlier step tells (a mark) stands there as a word in capitals.

use std::path::Path;

use postgres::by_hand::{claimed, held, psql, text};
use responder::path_word;
use schemas::args::{self, AbandonArgs, MarkArgs, MarkOutput};
use schemas::{Action, GroupId};
use serde_json::{Value, json};

use super::receiver::GAP;
use crate::settings::Half;

/// Lines for a shell, in order.
pub(super) fn lines(
    half: &Half,
    dsn: &Path,
    peer: Option<&Path>,
    group: &GroupId,
    action: Action,
    args: &Value,
) -> Vec<String> {
    let dsn = &path_word(dsn);
    let mark = args::read::<MarkArgs>(args).ok().map(|args| args.mark).filter(|mark| mark.sentinel > 0);
    match half {
        Half::Source { slot, .. } => shell(dsn, &source(slot, group, action)),
        Half::Receiver { subscription, .. } if action == Action::StartReplication => {
            start(subscription, dsn, peer, group)
        }
        Half::Receiver { subscription, .. } => {
            let gap = args::read::<AbandonArgs>(args).ok().and_then(|args| args.gap).unwrap_or(GAP);
            shell(dsn, &receiver(subscription, group, action, mark.as_ref(), gap))
        }
    }
}

/// Nothing for what only the service can do.
fn shell(dsn: &str, statements: &[String]) -> Vec<String> {
    if statements.is_empty() { Vec::new() } else { psql(dsn, &[], statements) }
}

fn source(slot: &str, group: &GroupId, action: Action) -> Vec<String> {
    let slot = text(slot);
    match action {
        Action::Mark => vec![
            claimed(group),
            "-- note sentinel, lsn and sequences: the receiver's steps ask for them".to_owned(),
            held("mark(group_name, epoch, run)", group),
        ],
        Action::Capture => vec![
            "-- only where this lists no such slot:".to_owned(),
            format!(
                "SELECT slot_name, active, wal_status FROM pg_replication_slots WHERE slot_name = {slot};"
            ),
            format!("SELECT pg_create_logical_replication_slot({slot}, 'pgoutput');"),
        ],
        Action::Discard => vec![format!("SELECT pg_drop_replication_slot({slot});")],
        _ => Vec::new(),
    }
}

fn receiver(
    subscription: &str,
    group: &GroupId,
    action: Action,
    mark: Option<&MarkOutput>,
    gap: u32,
) -> Vec<String> {
    let name = text(subscription);
    let stopped = |why: &str, gap: &str| {
        vec![
            claimed(group),
            held(&format!("receiver_disable(group_name, epoch, run, {name})"), group),
            "-- again and again, until it says 0:".to_owned(),
            format!("SELECT pointsman.receiver_end_workers({name});"),
            held(&format!("receiver_stopped(group_name, epoch, run, {name}, '{why}', {gap})"), group),
        ]
    };
    match action {
        Action::Drain => {
            let (sentinel, lsn) = match mark {
                Some(mark) => (mark.sentinel.to_string(), mark.lsn.clone()),
                None => ("SENTINEL".to_owned(), "LSN".to_owned()),
            };
            vec![
                format!(
                    "-- again and again, until came is true, ready is tables, and position is at or after {lsn}:"
                ),
                format!("SELECT pointsman.receiver_drained({name}, {sentinel});"),
            ]
        }
        Action::StopReplication => stopped("stopped", "NULL"),
        Action::SetSequences => {
            let sequences = mark.map_or("SEQUENCES".to_owned(), |mark| json!(mark.sequences).to_string());
            let call = format!("set_sequences(group_name, epoch, run, {})", text(&sequences));
            vec![claimed(group), held(&call, group)]
        }
        Action::Abandon => {
            let mut lines = vec!["-- once it applies nothing more:".to_owned()];
            lines.extend(stopped("stopped", "NULL"));
            lines.push(held(
                &format!("set_sequences(group_name, epoch, run, pointsman.sequences_with_gap({gap}))"),
                group,
            ));
            lines.push(held(
                &format!("receiver_stopped(group_name, epoch, run, {name}, 'abandoned', {gap})"),
                group,
            ));
            lines
        }
        _ => Vec::new(),
    }
}

fn start(subscription: &str, dsn: &str, peer: Option<&Path>, group: &GroupId) -> Vec<String> {
    let Some(peer) = peer else { return Vec::new() };
    let name = text(subscription);
    let peer = path_word(peer);
    let variables = [
        ("peer", format!("$(cat {peer})")),
        ("source", format!("$(psql -XAt \"$(cat {peer})\" -c 'SELECT uuid FROM pointsman.identity')")),
    ];
    let missing = format!(" AND NOT EXISTS (SELECT FROM pg_subscription WHERE subname = {name});");
    let create = held(&format!("receiver_create(group_name, epoch, run, {name}, :'peer')"), group);
    psql(
        dsn,
        &variables,
        &[
            claimed(group),
            create.trim_end_matches(';').to_owned() + &missing,
            held(&format!("receiver_enable(group_name, epoch, run, {name}, :'peer', :'source')"), group),
            "-- it applies: pid is there, and no error is counted".to_owned(),
            format!("SELECT pid, received_lsn FROM pg_stat_subscription WHERE subname = {name};"),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(half: &Half, action: Action, args: Value) -> String {
        let group = GroupId::new("cfg").unwrap_or_else(|e| panic!("{e}"));
        lines(half, Path::new("/p/own.dsn"), Some(Path::new("/p/peer.dsn")), &group, action, &args).join("\n")
    }

    #[test]
    fn each_action_of_each_half_has_its_statements() {
        let source = Half::Source { slot: "fwd".into(), publication: "pub".into(), local_tables: Vec::new() };
        let receiver = Half::Receiver { subscription: "fwd".into(), slot: None, publication: None };
        for (half, action, part) in [
            (&source, Action::Mark, "pointsman.mark("),
            (&source, Action::Capture, "pg_create_logical_replication_slot('fwd', 'pgoutput')"),
            (&source, Action::Discard, "pg_drop_replication_slot('fwd')"),
            (&receiver, Action::Drain, "receiver_drained('fwd', SENTINEL)"),
            (
                &receiver,
                Action::StopReplication,
                "receiver_stopped(group_name, epoch, run, 'fwd', 'stopped', NULL)",
            ),
            (&receiver, Action::SetSequences, "set_sequences(group_name, epoch, run, 'SEQUENCES')"),
            (&receiver, Action::Abandon, "sequences_with_gap(10000)"),
            (&receiver, Action::StartReplication, "receiver_enable("),
        ] {
            let said = shown(half, action, json!({}));
            assert!(said.contains(part), "{action}: {said}");
            assert!(said.starts_with("psql ") && said.ends_with("\nSQL"), "{action}: {said}");
        }
        let mark = json!({ "resource": "csp", "site": "main",
            "mark": { "sentinel": 7, "lsn": "0/5A", "sequences": { "public.a": 3 } } });
        assert!(shown(&receiver, Action::Drain, mark.clone()).contains("receiver_drained('fwd', 7)"));
        assert!(shown(&receiver, Action::SetSequences, mark).contains(r#"'{"public.a":3}'"#));
    }
}
