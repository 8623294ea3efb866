//! The slot: what holds it up, what it must not hold, what becomes of it in a crash.

use std::time::{Duration, Instant};

use replication::Blockers;
use responder::Driver;
use schemas::{Action, Code};
use serde_json::Value;

use crate::pair::{Pair, act, in_effect, refusal, seen};

/// A transaction anywhere in the cluster, in another database too, holds up the making of a slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_transaction_is_named_and_ended_only_where_told() {
    let pair = Pair::bare();
    pair.main.open(1);
    pair.main.cluster.psql("log", "CREATE TABLE l (n int)").unwrap();
    let old = pair.main.session("postgres", "log").await;
    old.batch_execute("SET application_name = 'report'; BEGIN; INSERT INTO l VALUES (1)").await.unwrap();
    let source = pair.source(&pair.main);
    let mut capture = act(Action::Capture, 1, Value::Null);
    capture.within = Duration::from_secs(5);
    let start = Instant::now();
    let refused = refusal(source.act(&capture).await);
    assert!(start.elapsed() < capture.within + Duration::from_secs(1));
    assert!(refused.contains("report") && refused.contains("log"), "{refused}");
    assert!(refused.starts_with(Code::TimedOut.as_str()));
    assert_eq!(pair.main.psql("SELECT count(*) FROM pg_replication_slots"), "0");
    old.batch_execute("SELECT 1").await.unwrap();
    let ending = pair.source_with(&pair.main, |settings| {
        settings.blockers = Blockers::End;
        settings.blockers_older_than = config::Span::seconds(1);
    });
    capture.within = Duration::from_secs(10);
    let output = ending.act(&capture).await.unwrap();
    assert_eq!(output["ended"][0]["application"], "report", "{output}");
    assert!(old.batch_execute("SELECT 1").await.is_err());
    assert!(in_effect(&source, Action::Capture, &Value::Null).await);
}

/// The service is killed while it waits for the slot: nothing is left behind, and nothing comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_capture_leaves_no_slot() {
    let pair = Pair::bare();
    pair.main.open(1);
    let old = pair.main.session("postgres", "config").await;
    old.batch_execute("BEGIN; INSERT INTO t (v) VALUES ('x')").await.unwrap();
    let source = pair.source(&pair.main);
    let doomed = tokio::spawn(async move { source.act(&act(Action::Capture, 1, Value::Null)).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_create_logical%' AND wait_event_type = 'Lock'";
    pair.main.until(waiting, "1").await;
    doomed.abort();
    let next = pair.source(&pair.main);
    next.end_earlier(Duration::from_secs(5)).await.unwrap();
    assert_eq!(pair.main.psql("SELECT count(*) FROM pg_replication_slots"), "0");
    old.batch_execute("COMMIT").await.unwrap();
    assert!(!in_effect(&next, Action::Capture, &Value::Null).await);
    next.act(&act(Action::Capture, 1, Value::Null)).await.unwrap();
    assert_eq!(pair.main.psql("SELECT count(*) FROM pg_replication_slots"), "1");
}

/// A slot that was left behind holds the rows of the other site: sent back, they would block all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_slot_is_made_anew_while_both_are_closed() {
    let mut pair = Pair::bare();
    pair.sec.close(1);
    pair.main.open(1);
    // A slot from some earlier day.
    pair.sec.psql("SELECT pg_create_logical_replication_slot('rev_config', 'pgoutput')");
    let stale = pair.sec.psql("SELECT confirmed_flush_lsn FROM pg_replication_slots");
    pair.source(&pair.main).act(&act(Action::Capture, 1, Value::Null)).await.unwrap();
    pair.receiver(&pair.sec).act(&act(Action::StartReplication, 1, Value::Null)).await.unwrap();
    pair.main
        .cluster
        .psql_as("app", "config", "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 20)")
        .unwrap();
    pair.same(&pair.main, &pair.sec).await;
    let trouble = seen(&pair.source(&pair.sec)).await.trouble.unwrap();
    assert!(trouble.contains("rows that came by fwd_config"), "{trouble}");
    // Not while rows still come.
    pair.main.close(2);
    pair.sec.close(2);
    let capture = act(Action::Capture, 2, Value::Null);
    let refused = refusal(pair.source(&pair.sec).act(&capture).await);
    assert!(refused.contains("still applies"), "{refused}");
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 2, Value::Null)).await.unwrap();
    let receiver = pair.receiver(&pair.sec);
    receiver.act(&act(Action::Drain, 2, mark.clone())).await.unwrap();
    receiver.act(&act(Action::StopReplication, 2, mark.clone())).await.unwrap();
    assert!(!in_effect(&pair.source(&pair.sec), Action::Capture, &Value::Null).await);
    // Not while the database is open: what was written since would go with it.
    pair.sec.open(2);
    let refused = refusal(pair.source(&pair.sec).act(&capture).await);
    assert!(refused.contains("discard it first"), "{refused}");
    pair.sec.close(2);
    // The server forgot where it applied; the note of the stop still knows.
    pair.sec.cluster.stop().unwrap();
    pair.sec.cluster.restart().unwrap();
    assert!(!in_effect(&pair.source(&pair.sec), Action::Capture, &Value::Null).await);
    pair.source(&pair.sec).act(&capture).await.unwrap();
    assert_ne!(pair.sec.psql("SELECT confirmed_flush_lsn FROM pg_replication_slots"), stale);
    assert!(in_effect(&pair.source(&pair.sec), Action::Capture, &Value::Null).await);
    // Asked again, the stop does not make the slot look stale.
    receiver.act(&act(Action::StopReplication, 2, mark)).await.unwrap();
    assert!(in_effect(&pair.source(&pair.sec), Action::Capture, &Value::Null).await);
    // It holds over a crash, and only what is written here from now on comes.
    pair.sec.open(2);
    pair.sec.cluster.psql_as("app", "config", "INSERT INTO t (id, v) VALUES (1000, 'own')").unwrap();
    pair.sec.cluster.kill9().unwrap();
    pair.sec.cluster.restart().unwrap();
    assert!(in_effect(&pair.source(&pair.sec), Action::Capture, &Value::Null).await);
    pair.receiver(&pair.main).act(&act(Action::StartReplication, 2, Value::Null)).await.unwrap();
    pair.same(&pair.sec, &pair.main).await;
    assert_eq!(pair.main.psql("SELECT apply_error_count FROM pg_stat_subscription_stats"), "0");
}

/// What a lost slot says about its lag looks well; its status is looked at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slot_is_seen_and_made_anew() {
    let pair = Pair::bare();
    let source = pair.source(&pair.main);
    pair.main.open(1);
    source.act(&act(Action::Capture, 1, Value::Null)).await.unwrap();
    pair.main.cluster.psql("postgres", "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").unwrap();
    pair.main.cluster.psql("postgres", "SELECT pg_reload_conf()").unwrap();
    pair.main.until("SHOW max_slot_wal_keep_size", "1MB").await;
    for _ in 0..3 {
        pair.main.psql("SELECT pg_switch_wal(), txid_current()");
        pair.main.psql("CHECKPOINT");
    }
    pair.main.until("SELECT wal_status FROM pg_replication_slots", "lost").await;
    let there = seen(&source).await;
    assert!(there.trouble.unwrap().contains("lost"));
    assert_eq!(there.lag_bytes, None);
    assert!(!in_effect(&source, Action::Capture, &Value::Null).await);
    // The receiver does not even try.
    pair.sec.close(1);
    let refused = refusal(pair.receiver(&pair.sec).act(&act(Action::StartReplication, 1, Value::Null)).await);
    assert!(refused.contains("lost"), "{refused}");
    source.act(&act(Action::Capture, 1, Value::Null)).await.unwrap();
    assert!(in_effect(&source, Action::Capture, &Value::Null).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_that_would_do_harm() {
    let pair = Pair::bare();
    let source = pair.source(&pair.main);
    pair.main.open(1);
    let capture = act(Action::Capture, 1, Value::Null);
    // TRUNCATE goes round for ever between two sites: told.
    pair.main.psql("ALTER PUBLICATION pub_config SET (publish = 'insert, update, delete, truncate')");
    assert!(seen(&source).await.trouble.unwrap().contains("TRUNCATE"));
    pair.main.psql("ALTER PUBLICATION pub_config SET (publish = 'insert, update, delete')");
    pair.main.psql("CREATE TABLE keyless (n int); ALTER PUBLICATION pub_config ADD TABLE keyless");
    assert!(seen(&source).await.trouble.unwrap().contains("keyless"));
    pair.main.psql("DROP TABLE keyless");
    assert_eq!(seen(&source).await.trouble, None);
    pair.main.psql("ALTER PUBLICATION pub_config ADD TABLE pointsman.epoch");
    assert!(refusal(source.act(&capture).await).contains("Pointsman's own"));
    pair.main.psql("DROP PUBLICATION pub_config; CREATE PUBLICATION pub_config FOR ALL TABLES");
    assert!(refusal(source.act(&capture).await).contains("ALL TABLES"));
    // The publication must be older than the slot.
    pair.main.psql("DROP PUBLICATION pub_config");
    assert!(refusal(source.act(&capture).await).contains("missing"));
    assert_eq!(pair.main.psql("SELECT count(*) FROM pg_replication_slots"), "0");
}
