//! The way home by copy: what only the lost site had is stored, then everything comes anew.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use replication::postgres::PostgresReplication;
use responder::{Act, Driver, Look};
use schemas::args::{CompareOutput, CopyOutput, ExportOutput};
use schemas::{Action, Aside, Orphans};
use serde_json::{Value, json};

use crate::pair::{Pair, WITHIN, act, in_effect, refusal, seen};

fn with(action: Action, epoch: u64, args: Value) -> Act {
    let mut act = act(action, epoch, Value::Null);
    for (name, value) in args.as_object().unwrap() {
        act.args[name] = value.clone();
    }
    act
}

/// Main is lost with rows that never came, secondary is live, and main is back, closed. Epoch 2.
async fn lost_and_back() -> (Pair, String) {
    let pair = Pair::start().await;
    let write = |sql: &str| pair.main.cluster.psql_as("app", "config", sql).unwrap();
    write("INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 30)");
    assert!(pair.source(&pair.main).heartbeat().await.unwrap());
    pair.same(&pair.main, &pair.sec).await;
    pair.sec.until("SELECT count(*) FROM pointsman.sentinel", "1").await;
    pair.sec.close(2);
    let output = pair.receiver(&pair.sec).act(&act(Action::Abandon, 2, Value::Null)).await.unwrap();
    let applied = output["applied"].as_str().unwrap().to_owned();
    // In one transaction two rows, then three changes of their own.
    write("BEGIN; INSERT INTO t (v) VALUES ('orphan'), ('it''s \u{e9}'); COMMIT");
    write("UPDATE t SET v = 'changed' WHERE id = 3");
    write("DELETE FROM t WHERE id = 4");
    write("INSERT INTO u VALUES (7)");
    assert!(pair.source(&pair.main).heartbeat().await.unwrap());
    pair.source(&pair.sec).act(&act(Action::Capture, 2, Value::Null)).await.unwrap();
    pair.sec.open(2);
    pair.sec
        .cluster
        .psql_as("app", "config", "INSERT INTO t (v) SELECT 'new' FROM generate_series(1, 500)")
        .unwrap();
    assert!(pair.source(&pair.sec).heartbeat().await.unwrap());
    (pair, applied)
}

fn lines(output: &ExportOutput) -> Vec<Value> {
    let text = std::fs::read_to_string(&output.ledger.file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_has_exactly_what_never_came() {
    let (pair, applied) = lost_and_back().await;
    let main = pair.source(&pair.main);
    let export = with(Action::Export, 2, json!({ "applied": applied }));
    pair.main.psql("SELECT pointsman.raise_epoch('cfg', 2, '00000000-0000-0000-0000-000000000002')");
    let refused = refusal(main.act(&export).await);
    assert!(refused.contains("open"), "{refused}");
    pair.main.close(2);
    assert!(matches!(main.look(Action::Export, &export.args).await, Look::NotInEffect(_)));
    let output: ExportOutput = serde_json::from_value(main.act(&export).await.unwrap()).unwrap();
    assert_eq!((output.transactions, output.rows), (4, 5), "{output:?}");
    let all = lines(&output);
    assert_eq!(all[0]["applied"], json!(applied));
    let told: Vec<(&str, &str, Value, Value)> = all[1..]
        .iter()
        .map(|l| {
            (l["table"].as_str().unwrap(), l["do"].as_str().unwrap(), l["key"].clone(), l["new"].clone())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("public.t", "insert", json!({"id": "31"}), json!({"id": "31", "v": "orphan"})),
            ("public.t", "insert", json!({"id": "32"}), json!({"id": "32", "v": "it's \u{e9}"})),
            ("public.t", "update", json!({"id": "3"}), json!({"id": "3", "v": "changed"})),
            ("public.t", "delete", json!({"id": "4"}), Value::Null),
            ("public.u", "insert", json!({"id": "7"}), json!({"id": "7"})),
        ]
    );
    assert!(all[1..].iter().all(|line| line["commit"].is_string() && line["lsn"].is_string()));

    // Asked again, by another life too, it is the same; and the slot gives it again when the file is gone.
    let again = pair.source(&pair.main);
    assert_eq!(again.act(&export).await.unwrap(), json!(output));
    std::fs::remove_file(&output.ledger.file).unwrap();
    let anew: ExportOutput = serde_json::from_value(again.act(&export).await.unwrap()).unwrap();
    assert_eq!((anew.transactions, anew.rows), (4, 5));

    // What was not committed at the end of another commit is no position of a receiver.
    let lsn: postgres::Lsn = all[1]["lsn"].as_str().unwrap().parse().unwrap();
    let between = json!({ "applied": postgres::Lsn(lsn.0 + 1).to_string() });
    let refused = refusal(again.act(&with(Action::Export, 2, between)).await);
    assert!(refused.contains("no end of a commit"), "{refused}");
    // A server that was rebuilt, and a slot that is gone, are said.
    let refused = refusal(again.act(&with(Action::Export, 2, json!({ "applied": "FF/0" }))).await);
    assert!(refused.contains("rebuilt"), "{refused}");
    pair.source(&pair.main).act(&act(Action::Discard, 2, Value::Null)).await.unwrap();
    let refused = refusal(again.act(&with(Action::Export, 2, json!({ "applied": "0/1" }))).await);
    assert!(refused.contains("is gone") && refused.contains("waive"), "{refused}");
}

/// Looks after it as the service does, until it has counted.
async fn counted(source: &PostgresReplication) -> Orphans {
    let start = Instant::now();
    loop {
        // A connection that was kept may have ended with the close: the service looks again too.
        let tended = source.tend().await;
        if let Some(orphans) = seen(source).await.orphans {
            return orphans;
        }
        assert!(start.elapsed() < 2 * WITHIN, "nothing was counted: {tended:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Main came back: what only it has is counted before anybody asks for the ledger, and the ledger lists as many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_returned_source_has_is_counted_like_its_ledger() {
    let (pair, applied) = lost_and_back().await;
    let main = pair.source(&pair.main);
    main.tend().await.unwrap();
    assert_eq!(seen(&main).await.orphans, None, "it is open");
    pair.main.close(2);
    // Nobody says up to where the other site has applied.
    pair.moves_peer(&pair.main, "postgresql://replicator@127.0.0.1:1/config");
    let orphans = counted(&main).await;
    assert!(orphans.unknown.is_some() && orphans.rows == 0, "{orphans:?}");

    let main = pair.source(&pair.main);
    let orphans = counted(&main).await;
    assert_eq!((orphans.transactions, orphans.rows), (4, 5), "{orphans:?}");
    assert!(!orphans.more && orphans.unknown.is_none(), "{orphans:?}");
    // Nothing was consumed by it.
    let export = with(Action::Export, 2, json!({ "applied": applied }));
    let output: ExportOutput = serde_json::from_value(main.act(&export).await.unwrap()).unwrap();
    assert_eq!((output.transactions, output.rows), (orphans.transactions, orphans.rows), "{output:?}");
    assert_eq!(seen(&main).await.orphans, Some(orphans));
    // Of a slot that is gone nothing is told.
    main.act(&act(Action::Discard, 2, Value::Null)).await.unwrap();
    assert_eq!(seen(&main).await.orphans, None);
}

async fn exported(pair: &Pair, export: &Act) -> ExportOutput {
    serde_json::from_value(pair.source(&pair.main).act(export).await.unwrap()).unwrap()
}

/// Main was open once more, and nobody received that either: a ledger of before does not stand for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_ledger_does_not_stand_for_what_was_written_after_it() {
    let (pair, applied) = lost_and_back().await;
    let write = |sql: &str| {
        pair.main.open(2);
        pair.main.cluster.psql_as("app", "config", sql).unwrap();
        pair.main.close(2);
    };
    pair.main.close(2);
    let export = with(Action::Export, 2, json!({ "applied": applied }));
    let first = exported(&pair, &export).await;
    write("INSERT INTO t (v) VALUES ('later')");
    let look = pair.source(&pair.main).look(Action::Export, &export.args).await;
    assert!(matches!(look, Look::NotInEffect(_)), "{look:?}");
    let second = exported(&pair, &export).await;
    assert_ne!(second.ledger.file, first.ledger.file);
    assert_eq!((second.transactions, second.rows), (first.transactions + 1, first.rows + 1));
    assert_eq!(lines(&second).last().unwrap()["new"]["v"], "later");
    assert_eq!(lines(&first).len(), 6, "it is kept as it was");

    // Without the slot it counts as long as nothing came after it.
    pair.source(&pair.main).act(&act(Action::Discard, 2, Value::Null)).await.unwrap();
    assert_eq!(exported(&pair, &export).await, second);
    write("INSERT INTO t (v) VALUES ('in no slot')");
    let refused = refusal(pair.source(&pair.main).act(&export).await);
    for part in ["is gone", second.ledger.file.as_str(), "open again", "waive"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_brings_everything_and_keeps_what_was_there() {
    let (mut pair, applied) = lost_and_back().await;
    let waived = json!({ "waived": "anna: a test" });
    // Not while it is open; not without its ledger or a word; not from a source that is not live.
    let refused = refusal(pair.receiver(&pair.main).act(&with(Action::Copy, 2, waived.clone())).await);
    assert!(refused.contains("epoch") || refused.contains("open"), "{refused}");
    pair.main.close(2);
    pair.main.psql("SELECT pointsman.close_ended('cfg', 2, '00000000-0000-0000-0000-000000000002')");
    let export = with(Action::Export, 2, json!({ "applied": applied }));
    let output = pair.source(&pair.main).act(&export).await.unwrap();
    pair.source(&pair.main).act(&act(Action::Discard, 2, Value::Null)).await.unwrap();
    let css = pair.receiver(&pair.main);
    let none = css.check(Action::Copy, &with(Action::Copy, 2, json!({})).args).await;
    assert!(none.is_err());
    let mut other = output["ledger"].clone();
    other["digest"] = json!("0".repeat(64));
    let refused = refusal(css.act(&with(Action::Copy, 2, json!({ "ledger": other }))).await);
    assert!(refused.contains("digest"), "{refused}");
    pair.sec.psql("UPDATE pointsman.sentinel SET at = at - interval '1 hour'");
    let copy = with(Action::Copy, 2, json!({ "ledger": output["ledger"] }));
    let refused = refusal(css.act(&copy).await);
    assert!(refused.contains("not live"), "{refused}");
    assert!(pair.source(&pair.sec).heartbeat().await.unwrap());
    // A schema that differs is named before anything is touched.
    pair.main.psql("ALTER TABLE u RENAME COLUMN id TO number");
    let refused = refusal(css.act(&copy).await);
    assert!(refused.contains("public.u.id is missing"), "{refused}");
    pair.main.psql("ALTER TABLE u RENAME COLUMN number TO id");
    assert_eq!(pair.main.count(), 31, "nothing was touched so far");

    // A copy that cannot end yet is killed with the server, and goes on; what was kept aside is not touched again.
    pair.sec.psql(
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY;
         CREATE POLICY slow ON t TO replicator USING (pg_sleep(0.05)::text IS NOT NULL)",
    );
    let mut short = copy.clone();
    short.within = Duration::from_secs(6);
    let refused = refusal(css.act(&short).await);
    assert!(refused.contains("goes on"), "{refused}");
    let unfinished = seen(&css).await;
    let progress = unfinished.copy.unwrap();
    assert!(unfinished.aside.is_some_and(|aside| aside.unfinished && aside.tables == 2));
    assert_eq!(progress.tables, 2, "{progress:?}");
    // A mark comes meanwhile: it is of another table.
    let mark = pair.source(&pair.sec).act(&act(Action::Mark, 2, Value::Null)).await.unwrap();
    let came = format!("SELECT count(*) FROM pointsman.sentinel WHERE mark = {}", mark["sentinel"]);
    pair.main.until(&came, "1").await;
    assert!(!in_effect(&css, Action::Drain, &mark).await, "drained without table t");
    let refused = refusal(css.act(&act(Action::StopReplication, 2, mark)).await);
    assert!(refused.contains("the copy is not finished"), "{refused}");
    let kept = "SELECT count(*) FROM pointsman_kept.rev_config_1";
    assert_eq!(pair.main.psql(kept), "31");
    pair.main.cluster.kill9().unwrap();
    pair.main.cluster.restart().unwrap();
    // The sender does not see at once that nobody listens any more.
    pair.sec.psql(
        "DROP POLICY slow ON t; ALTER TABLE t DISABLE ROW LEVEL SECURITY;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'replicator'",
    );
    let css = pair.receiver(&pair.main);
    let done: CopyOutput = serde_json::from_value(css.act(&copy).await.unwrap()).unwrap();
    assert_eq!(done.tables, 2);
    assert_eq!(done.kept["public.t"], "pointsman_kept.rev_config_1");
    assert_eq!(pair.main.psql(kept), "31");
    pair.same(&pair.sec, &pair.main).await;
    assert!(matches!(css.look(Action::Copy, &copy.args).await, Look::InEffect(_)));
    let found = seen(&css).await;
    assert!(found.copy.is_none());
    // What it kept aside is told: how much, since when, and by which ledger it may be looked through.
    let aside = *found.aside.unwrap();
    let names: BTreeSet<(&str, &str)> =
        aside.largest.iter().map(|table| (table.table.as_str(), table.kept.as_str())).collect();
    let wanted = [("public.t", "pointsman_kept.rev_config_1"), ("public.u", "pointsman_kept.rev_config_2")];
    assert_eq!((aside.tables, names), (2, BTreeSet::from(wanted)), "{aside:?}");
    let t = aside.largest.iter().find(|table| table.table == "public.t").unwrap();
    assert!(t.bytes > 0 && aside.bytes >= t.bytes && aside.since.is_some(), "{aside:?}");
    assert!(aside.ledger.unwrap().starts_with(output["ledger"]["file"].as_str().unwrap()));
    assert!(aside.waived.is_none() && !aside.unfinished);
    assert!(seen(&pair.source(&pair.sec)).await.aside.is_none(), "a source keeps nothing aside");

    // What is written now follows; both sides are compared, and a difference is found.
    pair.sec.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('later')").unwrap();
    pair.same(&pair.sec, &pair.main).await;
    let compare = act(Action::Compare, 2, Value::Null);
    let found: CompareOutput = serde_json::from_value(css.act(&compare).await.unwrap()).unwrap();
    assert_eq!(found.equal, Some(true), "{found:?}");
    pair.main.psql("DELETE FROM t WHERE id = 1");
    let found: CompareOutput = serde_json::from_value(css.act(&compare).await.unwrap()).unwrap();
    assert_eq!((found.equal, found.tables["public.u"].equal), (Some(false), Some(true)), "{found:?}");

    // For its own run it is that copy still. A later run copies anew; not while the first one's tables are kept, and
    // nothing is stopped for that.
    assert!(matches!(css.look(Action::Copy, &copy.args).await, Look::InEffect(_)));
    pair.main.psql("SELECT pointsman.raise_epoch('cfg', 3, '00000000-0000-0000-0000-000000000003')");
    assert!(matches!(css.look(Action::Copy, &copy.args).await, Look::NotInEffect(_)));
    assert!(pair.source(&pair.sec).heartbeat().await.unwrap());
    let refused = refusal(css.act(&with(Action::Copy, 3, waived.clone())).await);
    assert!(refused.contains("kept aside"), "{refused}");
    assert_eq!(pair.main.psql("SELECT subenabled FROM pg_subscription"), "t");
    css.act(&act(Action::Cleanup, 3, Value::Null)).await.unwrap();
    css.act(&act(Action::Cleanup, 3, Value::Null)).await.unwrap();
    assert_eq!(pair.main.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'pointsman_kept'"), "0");
    assert_eq!(seen(&css).await.aside.as_deref(), Some(&Aside::default()));
    assert!(pair.source(&pair.sec).heartbeat().await.unwrap());
    css.act(&with(Action::Copy, 3, waived.clone())).await.unwrap();
    pair.same(&pair.sec, &pair.main).await;
    let found: CompareOutput = serde_json::from_value(css.act(&compare).await.unwrap()).unwrap();
    assert_eq!(found.equal, Some(true), "{found:?}");
    let again = *seen(&css).await.aside.unwrap();
    assert_eq!((again.tables, again.ledger, again.waived.as_deref()), (2, None, Some("anna: a test")));
    // What was dropped by hand is not kept aside any more.
    pair.main.psql(
        "DROP SCHEMA pointsman_kept CASCADE;
         SELECT pointsman.raise_epoch('cfg', 4, '00000000-0000-0000-0000-000000000004')",
    );
    assert_eq!(seen(&css).await.aside.as_deref(), Some(&Aside::default()));
    assert!(pair.source(&pair.sec).heartbeat().await.unwrap());
    css.act(&with(Action::Copy, 4, waived)).await.unwrap();
    pair.same(&pair.sec, &pair.main).await;
}

/// Somebody who writes all the time.
async fn writer(pair: &Pair, sql: &'static str, pause: Duration) -> tokio::task::JoinHandle<()> {
    let session = pair.main.session("app", "config").await;
    tokio::spawn(async move {
        loop {
            session.batch_execute(sql).await.unwrap();
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    })
}

async fn compared(receiver: &impl Driver) -> CompareOutput {
    serde_json::from_value(receiver.act(&act(Action::Compare, 1, Value::Null)).await.unwrap()).unwrap()
}

/// Both sides are compared while users write; only a row that is written to all the time leaves it undecided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sides_are_compared_although_somebody_writes_all_the_time() {
    let pair = Pair::start().await;
    let fill = "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 5000); INSERT INTO u VALUES (1)";
    pair.main.cluster.psql_as("app", "config", fill).unwrap();
    pair.same(&pair.main, &pair.sec).await;
    let csp = pair.receiver(&pair.sec);
    let writing = writer(&pair, "INSERT INTO t (v) VALUES ('new')", Duration::from_millis(1)).await;
    let found = compared(&*csp).await;
    assert_eq!(found.equal, Some(true), "{found:?}");
    assert!(found.tables["public.t"].source.rows > 5000, "nobody wrote: {found:?}");
    // A row that is missing there is found all the same.
    pair.sec.psql("DELETE FROM t WHERE id = 1");
    let found = compared(&*csp).await;
    assert_eq!((found.equal, found.tables["public.u"].equal), (Some(false), Some(true)), "{found:?}");
    writing.abort();
    pair.main.cluster.psql_as("app", "config", "DELETE FROM t WHERE id = 1").unwrap();

    let writing = writer(&pair, "UPDATE t SET v = md5(random()::text) WHERE id = 2", Duration::ZERO).await;
    let found = compared(&*csp).await;
    let (t, u) = (&found.tables["public.t"], &found.tables["public.u"]);
    assert_eq!((found.equal, t.equal, u.equal), (None, None, Some(true)), "{found:?}");
    writing.abort();
}

/// How a database writes its values, the order of columns, and one more at the receiver are no differences.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_that_write_their_values_otherwise_are_equal() {
    let pair = Pair::start().await;
    for (site, columns) in [
        (&pair.main, "id int, at timestamptz, f float8, b bytea, i interval"),
        (&pair.sec, "i interval, b bytea, id int, f float8, more text DEFAULT 'mine', at timestamptz"),
    ] {
        site.psql(&format!(
            "CREATE TABLE w ({columns}, PRIMARY KEY (id, at)); GRANT ALL ON w TO app, replicator"
        ));
    }
    pair.main.psql("ALTER PUBLICATION pub_config ADD TABLE w");
    pair.sec.psql("ALTER SUBSCRIPTION fwd_config REFRESH PUBLICATION");
    pair.sec.until("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'", "0").await;
    for (site, name, value) in [
        (&pair.main, "timezone", "America/New_York"),
        (&pair.sec, "timezone", "Asia/Tokyo"),
        (&pair.sec, "datestyle", "German"),
        (&pair.sec, "intervalstyle", "iso_8601"),
        (&pair.sec, "bytea_output", "escape"),
        (&pair.sec, "extra_float_digits", "-5"),
    ] {
        site.psql(&format!("ALTER DATABASE config SET {name} = '{value}'"));
    }
    let rows = "INSERT INTO w (id, at, f, b, i)
                SELECT n, now(), n / 3.0, decode('00ff', 'hex'), '1 day 2 hours' FROM generate_series(1, 50) n";
    pair.main.cluster.psql_as("app", "config", rows).unwrap();
    pair.sec.until("SELECT count(*) FROM w", "50").await;
    let csp = pair.receiver(&pair.sec);
    let found = compared(&*csp).await;
    assert_eq!((found.equal, found.tables["public.w"].source.rows), (Some(true), 50), "{found:?}");
    pair.sec.psql("UPDATE w SET f = f + 0.000001 WHERE id = 7");
    let found = compared(&*csp).await;
    assert_eq!((found.equal, found.tables["public.t"].equal), (Some(false), Some(true)), "{found:?}");
}

/// A claim, or a start of the service, at the source ends what that service left: not what the other site looks at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_outlives_a_start_of_the_sources_service() {
    let pair = Pair::start().await;
    let lock = pair.main.session("postgres", "config").await;
    lock.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let csp = pair.receiver(&pair.sec);
    let comparing = tokio::spawn(async move { csp.act(&act(Action::Compare, 1, Value::Null)).await });
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pointsman/replication.csp%'
                  AND wait_event_type = 'Lock'";
    pair.main.until(waits, "1").await;
    pair.source(&pair.main).end_earlier(Duration::from_secs(5)).await.unwrap();
    lock.batch_execute("COMMIT").await.unwrap();
    assert_eq!(comparing.await.unwrap().unwrap()["equal"], true);
}
