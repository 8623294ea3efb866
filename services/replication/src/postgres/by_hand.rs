//! The same by hand. What only an earlier step tells (a mark) stands there as a word in capitals.

use std::path::Path;

use postgres::Lsn;
use postgres::by_hand::{claimed, held, psql, text};
use responder::path_word;
use schemas::args::{self, AbandonArgs, CopyArgs, ExportArgs, MarkArgs, MarkOutput};
use schemas::{Action, GroupId};
use serde_json::{Value, json};

use super::compare::FORMS;
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
        Half::Source { slot, .. } if action == Action::Export => psql(dsn, &[], &export(slot, args)),
        Half::Source { slot, .. } => shell(dsn, &source(slot, group, action)),
        Half::Receiver { subscription, .. } => {
            let peer = peer.map(path_word);
            match (action, &peer) {
                (Action::StartReplication | Action::Copy | Action::Compare, None) => return Vec::new(),
                (Action::StartReplication, Some(peer)) => return start(subscription, dsn, peer, group),
                (Action::Copy, Some(peer)) => return copy(subscription, dsn, peer, group, args),
                (Action::Compare, Some(peer)) => return compare(subscription, dsn, peer),
                _ => {}
            }
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
            "-- one of an earlier move, if rows of the other site came since: they would be sent back"
                .to_owned(),
            format!(
                "SELECT pg_drop_replication_slot(s.slot_name) FROM pg_replication_slots s \
                 WHERE s.slot_name = {slot} AND NOT s.active AND NOT pointsman.is_open() \
                 AND EXISTS (SELECT FROM pointsman.receiver r WHERE r.local > s.confirmed_flush_lsn);"
            ),
            "-- hangs while an older transaction runs; in another session: SELECT pointsman.blockers();"
                .to_owned(),
            format!(
                "SELECT pg_create_logical_replication_slot({slot}, 'pgoutput') \
                 WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {slot});"
            ),
            format!(
                "SELECT slot_name, active, wal_status FROM pg_replication_slots WHERE slot_name = {slot};"
            ),
        ],
        Action::Discard => vec![format!("SELECT pg_drop_replication_slot({slot});")],
        _ => Vec::new(),
    }
}

/// What the slot has beyond a position, as a list to read. The sealed ledger is made by the service alone.
fn export(slot: &str, args: &Value) -> Vec<String> {
    let applied = args::read::<ExportArgs>(args).ok().map(|args| args.applied);
    let applied = applied.filter(|applied| applied.parse::<Lsn>().is_ok());
    let applied = text(applied.as_deref().unwrap_or("APPLIED"));
    vec![
        "-- only when it is closed: enters f, the rest 0, in every line".to_owned(),
        "SELECT role, enters, writable, sessions, prepared FROM pointsman.seen_access();".to_owned(),
        format!("SELECT pg_copy_logical_replication_slot({}, 'orphans', true, 'test_decoding');", text(slot)),
        "CREATE TEMP TABLE changes AS SELECT * FROM pg_logical_slot_peek_changes('orphans', NULL, NULL, \
         'skip-empty-xacts', '1', 'include-timestamp', '1') WITH ORDINALITY AS c(lsn, xid, data, n);"
            .to_owned(),
        "-- of each transaction whose COMMIT ends beyond what the receiver has applied".to_owned(),
        format!(
            "CREATE TEMP TABLE ledger AS SELECT c.* FROM changes c JOIN changes e ON e.xid = c.xid \
             AND e.data LIKE 'COMMIT %' WHERE e.lsn > {applied} AND c.data NOT LIKE 'table pointsman.%';"
        ),
        "-- a list to read and keep: a copy by Pointsman does not know it, and wants the ledger waived by name"
            .to_owned(),
        format!("\\copy (SELECT lsn, xid, data FROM ledger ORDER BY n) TO '{slot}.orphans.csv' CSV"),
    ]
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
            let mut lines = vec![
                "-- again, until received stays and applying is false, or there is no worker:".to_owned(),
                format!(
                    "SELECT seen ->> 'pid' AS worker, seen ->> 'received' AS received, \
                     seen ->> 'applying' AS applying FROM pointsman.seen_receiver({name}) AS seen;"
                ),
            ];
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
        Action::Cleanup => {
            vec![claimed(group), held(&format!("copy_cleanup(group_name, epoch, run, {name})"), group)]
        }
        _ => Vec::new(),
    }
}

/// Puts the name of the source's publication into a variable of the shell.
fn publication(subscription: &str, dsn: &str) -> Vec<String> {
    let name = text(subscription);
    vec![
        format!("publication=$(psql -XAt \"$(cat {dsn})\" <<'SQL'"),
        format!("SELECT publication FROM pointsman.receiver WHERE subscription = {name};"),
        "SQL".to_owned(),
        ")".to_owned(),
    ]
}

/// May be given again while it copies: only its last lines do something then.
fn copy(subscription: &str, dsn: &str, peer: &str, group: &GroupId, args: &Value) -> Vec<String> {
    let name = text(subscription);
    let because = match args::read::<CopyArgs>(args) {
        Ok(CopyArgs { ledger: Some(ledger), .. }) => format!("{} {}", ledger.file, ledger.digest),
        Ok(CopyArgs { waived: Some(why), .. }) => format!("waived: {why}"),
        _ => "LEDGER".to_owned(),
    };
    let mut lines = vec![
        "# the live site must be named, and not this one:".to_owned(),
        format!("psql -XAt \"$(cat {peer})\" -c 'SELECT site, resource FROM pointsman.identity'"),
    ];
    lines.extend(publication(subscription, dsn));
    lines.extend([
        format!("tables=$(psql -XAt -v publication=\"$publication\" \"$(cat {peer})\" <<'SQL'"),
        "SELECT jsonb_object_agg(format('%I.%I', p.schemaname, p.tablename), jsonb_build_object('bytes', \
         pg_table_size(c.oid), 'rows', greatest(c.reltuples, 0)::bigint)) FROM pg_publication_tables p \
         JOIN pg_class c ON c.oid = format('%I.%I', p.schemaname, p.tablename)::regclass \
         WHERE p.pubname = :'publication';"
            .to_owned(),
        "SQL".to_owned(),
        ")".to_owned(),
    ]);
    let variables = [
        ("peer", format!("$(cat {peer})")),
        ("source", format!("$(psql -XAt \"$(cat {peer})\" -c 'SELECT uuid FROM pointsman.identity')")),
        ("tables", "$tables".to_owned()),
    ];
    let begin = format!(
        "copy_begin(group_name, epoch, run, {name}, :'peer', :'source', :'tables'::jsonb, {})",
        text(&because)
    );
    let under_way = format!(
        " AND NOT EXISTS (SELECT FROM pointsman.copy c JOIN pg_subscription s ON s.subname = c.subscription \
         WHERE c.subscription = {name} AND c.ended_at IS NULL AND s.subenabled);"
    );
    let ended =
        format!(" AND (SELECT seen -> 'ready' = seen -> 'tables' FROM pointsman.copy_seen({name}) AS seen);");
    let statements = [
        claimed(group),
        "-- closed: enters f, the rest 0, in every line; else it refuses".to_owned(),
        "SELECT role, enters, writable, sessions, prepared FROM pointsman.seen_access();".to_owned(),
        "-- what is here is kept aside in the schema pointsman_kept, and everything comes anew".to_owned(),
        held(&begin, group).trim_end_matches(';').to_owned() + &under_way,
        "-- again and again, until ready is tables; then the end is noted:".to_owned(),
        format!(
            "SELECT seen ->> 'ready' AS ready, seen ->> 'tables' AS tables FROM pointsman.copy_seen({name}) AS seen;"
        ),
        held(&format!("copy_ended(group_name, epoch, run, {name})"), group).trim_end_matches(';').to_owned()
            + &ended,
    ];
    lines.extend(psql(dsn, &variables, &statements));
    lines
}

/// Rows and sums at the source, then here: of the columns that are published, written alike at both.
fn compare(subscription: &str, dsn: &str, peer: &str) -> Vec<String> {
    let mut lines = publication(subscription, dsn);
    lines.extend([
        format!("tables=$(psql -XAt -v publication=\"$publication\" \"$(cat {peer})\" <<'SQL'"),
        "SELECT coalesce(jsonb_object_agg(t.name, jsonb_build_object('filter', t.rowfilter, 'columns', (SELECT \
         jsonb_agg(a.attname ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = t.name::regclass AND a.attnum > 0 \
         AND a.attgenerated = '' AND a.attname = ANY (t.attnames)))), '{}') FROM (SELECT format('%I.%I', p.schemaname, \
         p.tablename) AS name, p.attnames, p.rowfilter FROM pg_publication_tables p WHERE p.pubname = :'publication' \
         AND p.schemaname <> 'pointsman') t;"
            .to_owned(),
        "SQL".to_owned(),
        ")".to_owned(),
    ]);
    let tables = [("tables", "$tables".to_owned())];
    lines.extend(psql(
        peer,
        &tables,
        &[
            format!("{FORMS};"),
            "SELECT format('SELECT %L AS \"table\", count(*) AS rows, \
             coalesce(sum(hashtextextended(ROW(%s)::text, 0)::numeric), 0) AS sum FROM %s x%s', t.key, \
             (SELECT string_agg(format('x.%I', c), ', ') FROM jsonb_array_elements_text(t.value -> 'columns') AS c), \
             t.key, ' WHERE ' || (t.value ->> 'filter')) FROM jsonb_each(:'tables'::jsonb) AS t ORDER BY 1 \\gexec"
                .to_owned(),
        ],
    ));
    lines.extend(psql(
        dsn,
        &tables,
        &[
            "-- the same, or again: somebody wrote meanwhile, or it has not come yet".to_owned(),
            "SELECT t.key AS \"table\", coalesce(pointsman.table_sums(t.key, '[]', t.value -> 'columns', 1) -> '0', \
             '{\"rows\": 0, \"sum\": \"0\"}') AS sums FROM jsonb_each(:'tables'::jsonb) AS t ORDER BY 1;"
                .to_owned(),
        ],
    ));
    lines
}

fn start(subscription: &str, dsn: &str, peer: &str, group: &GroupId) -> Vec<String> {
    let name = text(subscription);
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
            (&source, Action::Export, "WHERE e.lsn > 'APPLIED'"),
            (&source, Action::Export, "TO 'fwd.orphans.csv' CSV"),
            (&receiver, Action::Cleanup, "copy_cleanup(group_name, epoch, run, 'fwd')"),
        ] {
            let said = shown(half, action, json!({}));
            assert!(said.contains(part), "{action}: {said}");
            assert!(said.starts_with("psql ") && said.ends_with("\nSQL"), "{action}: {said}");
        }
        for (action, part) in [
            (
                Action::Copy,
                "copy_begin(group_name, epoch, run, 'fwd', :'peer', :'source', :'tables'::jsonb, 'LEDGER')",
            ),
            (Action::Copy, "copy_ended("),
            (Action::Compare, "pointsman.table_sums(t.key, '[]', t.value -> 'columns', 1)"),
            (Action::Compare, "SET timezone = 'UTC'"),
        ] {
            let said = shown(&receiver, action, json!({}));
            assert!(said.contains(part), "{action}: {said}");
        }
        let applied = json!({ "resource": "csp", "site": "main", "applied": "0/5A3F1C8" });
        assert!(shown(&source, Action::Export, applied).contains("WHERE e.lsn > '0/5A3F1C8'"));
        let waived = json!({ "resource": "csp", "site": "main", "waived": "anna: it's old" });
        assert!(shown(&receiver, Action::Copy, waived).contains("'waived: anna: it''s old'"));
        let mark = json!({ "resource": "csp", "site": "main",
            "mark": { "sentinel": 7, "lsn": "0/5A", "sequences": { "public.a": 3 } } });
        assert!(shown(&receiver, Action::Drain, mark.clone()).contains("receiver_drained('fwd', 7)"));
        assert!(shown(&receiver, Action::SetSequences, mark).contains(r#"'{"public.a":3}'"#));
    }
}
