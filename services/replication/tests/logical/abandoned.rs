//! The source is lost, and comes back.

use responder::Driver;
use schemas::Action;
use serde_json::Value;

use crate::pair::{Pair, act, in_effect, refusal, seen};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_returning_source_do_not_flow_in() {
    let mut pair = Pair::start().await;
    pair.main
        .cluster
        .psql_as("app", "config", "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 30)")
        .unwrap();
    assert!(pair.source(&pair.main).heartbeat().await.unwrap());
    pair.same(&pair.main, &pair.sec).await;
    pair.sec.until("SELECT count(*) FROM pointsman.sentinel", "1").await;
    // Rows that main acknowledges and that never come: the receiver is kept from applying.
    let holder = pair.sec.session("postgres", "config").await;
    holder.batch_execute("BEGIN; LOCK TABLE t IN EXCLUSIVE MODE").await.unwrap();
    pair.main
        .cluster
        .psql_as("app", "config", "INSERT INTO t (v) SELECT 'orphan' FROM generate_series(1, 5)")
        .unwrap();
    pair.main.cluster.kill9().unwrap();
    let receiver = pair.receiver(&pair.sec);
    let mut abandon = act(Action::Abandon, 2, Value::Null);
    abandon.within = std::time::Duration::from_secs(4);
    pair.sec.close(2);
    let output = receiver.act(&abandon).await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    let kept = output["applied"].as_str().unwrap().to_owned();
    assert_eq!(pair.sec.count(), 30);
    assert!(in_effect(&receiver, Action::Abandon, &Value::Null).await);
    // Sequences: the highest of table and heartbeat, and the gap. Again: no second gap.
    let next = "SELECT last_value FROM t_id_seq";
    assert_eq!(pair.sec.psql(next), "10030");
    receiver.act(&abandon).await.unwrap();
    pair.receiver(&pair.sec).act(&abandon).await.unwrap();
    assert_eq!(pair.sec.psql(next), "10030");
    pair.source(&pair.sec).act(&act(Action::Capture, 2, Value::Null)).await.unwrap();
    pair.sec.open(2);
    pair.sec.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('new')").unwrap();
    assert_eq!(pair.sec.psql("SELECT max(id) FROM t"), "10031");
    assert!(in_effect(&receiver, Action::Abandon, &Value::Null).await);
    // Main comes back with its orphans, open as it was: nothing of them arrives, and the position stays.
    pair.main.cluster.restart().unwrap();
    assert_eq!(pair.main.count(), 35);
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(pair.sec.count(), 31);
    }
    assert_eq!(seen(&receiver).await.detail["keptPosition"], kept.as_str());
    assert_eq!(seen(&receiver).await.detail["applied"], kept.as_str());
    // Nor may it be started into the open database.
    let refused = refusal(receiver.act(&act(Action::StartReplication, 2, Value::Null)).await);
    assert!(refused.contains("open"), "{refused}");
}

/// What was received before the loss is applied before the stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_is_applied_first() {
    let pair = Pair::start().await;
    pair.main
        .cluster
        .psql_as("app", "config", "INSERT INTO t (v) SELECT repeat('x', 100) FROM generate_series(1, 100000)")
        .unwrap();
    // One transaction, sent whole after its commit; main freezes while it is under way or applied.
    pair.sec.until("SELECT count(*) > 0 FROM pg_stat_subscription WHERE received_lsn > '0/0'", "t").await;
    let busy = "SELECT (SELECT count(*) FROM t) > 0 OR EXISTS (SELECT FROM pg_stat_activity \
        WHERE backend_type = 'logical replication worker' AND xact_start IS NOT NULL)";
    pair.sec.until(busy, "t").await;
    pair.sec.until("SELECT count(*) FROM t", "100000").await;
    pair.main.cluster.freeze().unwrap();
    pair.sec.close(2);
    let receiver = pair.receiver(&pair.sec);
    let output = receiver.act(&act(Action::Abandon, 2, Value::Null)).await.unwrap();
    assert!(output.get("incomplete").is_none(), "{output}");
    assert_eq!(pair.sec.count(), 100_000);
    assert_eq!(pair.sec.psql("SELECT last_value FROM t_id_seq"), "110000");
    pair.main.cluster.thaw();
}

/// The source was rebuilt: what the subscription remembers would skip rows without an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilt_source_gets_a_new_subscription() {
    let mut pair = Pair::start().await;
    pair.main
        .cluster
        .psql_as("app", "config", "INSERT INTO t (v) SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
        .unwrap();
    pair.same(&pair.main, &pair.sec).await;
    let receiver = pair.receiver(&pair.sec);
    receiver.act(&act(Action::StopReplication, 1, Value::Null)).await.unwrap();
    let old = pair.sec.psql("SELECT oid FROM pg_subscription");
    // A new cluster on a new disk.
    let fresh = Pair::bare();
    pair.main = fresh.main;
    pair.main.open(1);
    let receiver = pair.receiver(&pair.sec);
    let start = act(Action::StartReplication, 1, Value::Null);
    let refused = refusal(receiver.act(&start).await);
    assert!(refused.contains("capture first"), "{refused}");
    pair.source(&pair.main).act(&act(Action::Capture, 1, Value::Null)).await.unwrap();
    receiver.act(&start).await.unwrap();
    assert_ne!(pair.sec.psql("SELECT oid FROM pg_subscription"), old);
    pair.main
        .cluster
        .psql_as("app", "config", "INSERT INTO t (id, v) VALUES (700000, 'of the rebuilt one')")
        .unwrap();
    pair.sec.until("SELECT count(*) FROM t WHERE id = 700000", "1").await;
}

/// Taking a subscription away while the source is down leaves its slot, and what others remember, alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_does_not_need_the_source() {
    let mut pair = Pair::start().await;
    pair.main.cluster.kill9().unwrap();
    let run = "SELECT run FROM pointsman.epoch";
    let drop = format!("SELECT pointsman.receiver_drop('cfg', 1, ({run}), 'fwd_config')");
    assert_eq!(pair.sec.psql(&drop), "t");
    assert_eq!(pair.sec.psql(&drop), "f");
    pair.main.cluster.restart().unwrap();
    assert_eq!(pair.main.psql("SELECT slot_name FROM pg_replication_slots"), "fwd_config");
    // Names that were not set up are refused.
    let other = format!("SELECT pointsman.receiver_drop('cfg', 1, ({run}), 'somebody_elses')");
    assert!(pair.sec.cluster.psql_as("pointsman", "config", &other).is_err());
}
