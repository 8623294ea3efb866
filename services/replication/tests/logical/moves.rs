//! Moves there and back.

use responder::Driver;
use schemas::{Action, ReplicationState};
use serde_json::Value;

use crate::pair::{Pair, WITHIN, act, in_effect, seen};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_twice() {
    let pair = Pair::start().await;
    let (mut from, mut to) = (&pair.main, &pair.sec);
    let mut rows = 0;
    for epoch in 2..6 {
        let insert = "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 200); SELECT nextval('loose'), nextval('down')";
        from.cluster.psql_as("app", "config", insert).unwrap();
        rows += 200;
        from.close(epoch);
        to.close(epoch);
        pair.hand_over(from, to, epoch).await;
        assert_eq!(to.count(), rows);
        to.open(epoch);
        // Forward again only from here on; nothing that came is sent back.
        pair.receiver(from).act(&act(Action::StartReplication, epoch, Value::Null)).await.unwrap();
        to.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('next')").unwrap();
        rows += 1;
        pair.same(to, from).await;
        assert_eq!(from.count(), rows);
        let receiver = seen(&pair.receiver(from)).await;
        assert_eq!(receiver.trouble, None);
        (from, to) = (to, from);
    }
    assert_eq!(pair.main.psql("SELECT apply_error_count FROM pg_stat_subscription_stats"), "0");
    assert_eq!(pair.sec.psql("SELECT apply_error_count FROM pg_stat_subscription_stats"), "0");
    // Sequences went along, also one that counts down.
    for site in [&pair.main, &pair.sec] {
        let down: i64 = site.psql("SELECT last_value FROM down").parse().unwrap();
        assert!(down <= -3, "{down}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_act_again_and_twice_at_once() {
    let pair = Pair::start().await;
    let (main, sec) = (&pair.main, &pair.sec);
    main.cluster
        .psql_as("app", "config", "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 50)")
        .unwrap();
    main.close(2);
    sec.close(2);
    let source = pair.source(main);
    let mark = source.act(&act(Action::Mark, 2, Value::Null)).await.unwrap();
    assert!(mark["sentinel"].as_i64().unwrap() > 0 && mark["sequences"]["public.t_id_seq"] == 50, "{mark}");
    for action in [Action::Drain, Action::StopReplication, Action::SetSequences] {
        let (one, two) = (pair.receiver(sec), pair.receiver(sec));
        let asked = act(action, 2, mark.clone());
        let (first, second) = tokio::join!(one.act(&asked), two.act(&asked));
        first.unwrap();
        second.unwrap();
        one.act(&asked).await.unwrap();
        assert!(in_effect(&one, action, &mark).await, "{action}");
    }
    let calls =
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = 'raise_sequence'";
    sec.until(calls, "1").await;
    assert_eq!(sec.psql("SELECT nextval('t_id_seq')"), "51");
    // Two services make one slot, and it stays the same one.
    let (one, two) = (pair.source(sec), pair.source(sec));
    let asked = act(Action::Capture, 2, Value::Null);
    let (first, second) = tokio::join!(one.act(&asked), two.act(&asked));
    assert_eq!(first.unwrap()["lsn"], second.unwrap()["lsn"]);
    let at = sec.psql("SELECT confirmed_flush_lsn FROM pg_replication_slots");
    sec.open(2);
    sec.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('kept')").unwrap();
    one.act(&asked).await.unwrap();
    assert_eq!(
        sec.psql("SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots"),
        format!("rev_config|{at}")
    );
    // The reverse starts, twice, with one subscription; and the kept row comes.
    let (one, two) = (pair.receiver(main), pair.receiver(main));
    let asked = act(Action::StartReplication, 2, Value::Null);
    let (first, second) = tokio::join!(one.act(&asked), two.act(&asked));
    assert!(first.is_ok() || second.is_ok());
    one.act(&asked).await.unwrap();
    assert_eq!(main.psql("SELECT count(*) FROM pg_subscription"), "1");
    pair.same(sec, main).await;
    // Discard: not from a live receiver; then once, then again.
    let source = pair.source(sec);
    let discard = act(Action::Discard, 2, Value::Null);
    assert!(source.act(&discard).await.unwrap_err().to_string().contains("live receiver"));
    pair.receiver(main).act(&act(Action::StopReplication, 2, Value::Null)).await.unwrap();
    for _ in 0..2 {
        source.act(&discard).await.unwrap();
        assert!(in_effect(&source, Action::Discard, &Value::Null).await);
    }
    assert_eq!(sec.psql("SELECT count(*) FROM pg_replication_slots"), "0");
}

/// Seen is not durable: right after the drain the receiver's cluster crashes, and the source is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_drained_survives_a_crash() {
    let mut pair = Pair::start().await;
    for round in 0..3 {
        pair.main
            .cluster
            .psql_as("app", "config", "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 20)")
            .unwrap();
        let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
        let receiver = pair.receiver(&pair.sec);
        receiver.act(&act(Action::Drain, 1, mark.clone())).await.unwrap();
        pair.sec.cluster.kill9().unwrap();
        pair.main.cluster.kill9().unwrap();
        pair.sec.cluster.restart().unwrap();
        assert_eq!(pair.sec.count(), (round + 1) * 20);
        assert!(in_effect(&receiver, Action::Drain, &mark).await);
        pair.main.cluster.restart().unwrap();
        pair.receiver(&pair.sec).act(&act(Action::StartReplication, 1, Value::Null)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_are_seen_from_both_sides() {
    let pair = Pair::start().await;
    let (source, receiver) = (pair.source(&pair.main), pair.receiver(&pair.sec));
    pair.main.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('x')").unwrap();
    assert!(source.heartbeat().await.unwrap());
    pair.sec.until("SELECT count(*) > 0 FROM pointsman.sentinel WHERE site = 'main'", "t").await;
    let there = seen(&source).await;
    assert_eq!((there.state, there.trouble), (ReplicationState::Running, None));
    assert!(there.lag_bytes.is_some());
    let start = std::time::Instant::now();
    let here = loop {
        let here = seen(&receiver).await;
        if here.state == ReplicationState::Running {
            break here;
        }
        assert!(start.elapsed() < WITHIN, "{here:?}");
    };
    assert_eq!(here.trouble, None);
    assert!(here.lag_seconds.is_some_and(|lag| lag < 15.0), "{here:?}");
    let mark = source.act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    receiver.act(&act(Action::Drain, 1, mark.clone())).await.unwrap();
    receiver.act(&act(Action::StopReplication, 1, mark)).await.unwrap();
    assert_eq!(seen(&receiver).await.state, ReplicationState::Stopped);
    pair.main.until("SELECT active FROM pg_replication_slots", "f").await;
    let there = seen(&source).await;
    assert_eq!(there.state, ReplicationState::Capturing);
    // Nobody reads it: how far behind a receiver is, is not known.
    assert_eq!(there.lag_bytes, None);
    assert_eq!(there.detail["receiver"], "unknown");
    // A closed database stamps no heartbeat.
    pair.main.close(2);
    assert!(!source.heartbeat().await.unwrap());
}

/// Somebody undoes a step by hand: the look sees it, and the act does it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_undone_by_hand_is_done_again() {
    let pair = Pair::start().await;
    let (main, sec) = (&pair.main, &pair.sec);
    let receiver = pair.receiver(sec);
    let start = act(Action::StartReplication, 1, Value::Null);
    assert!(in_effect(&receiver, Action::StartReplication, &Value::Null).await);
    sec.psql("ALTER SUBSCRIPTION fwd_config DISABLE");
    sec.until("SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL", "0").await;
    assert!(!in_effect(&receiver, Action::StartReplication, &Value::Null).await);
    // Stopped by hand is not stopped by an act: where it stands was not noted.
    assert!(!in_effect(&receiver, Action::StopReplication, &Value::Null).await);
    receiver.act(&start).await.unwrap();
    let stop = act(Action::StopReplication, 1, Value::Null);
    receiver.act(&stop).await.unwrap();
    assert!(in_effect(&receiver, Action::StopReplication, &Value::Null).await);
    sec.psql("ALTER SUBSCRIPTION fwd_config ENABLE");
    assert!(!in_effect(&receiver, Action::StopReplication, &Value::Null).await);
    receiver.act(&stop).await.unwrap();
    assert_eq!(
        sec.psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'logical replication worker'"),
        "0"
    );
    // The slot is dropped by hand.
    let source = pair.source(main);
    assert!(in_effect(&source, Action::Capture, &Value::Null).await);
    main.psql("SELECT pg_drop_replication_slot('fwd_config')");
    assert!(!in_effect(&source, Action::Capture, &Value::Null).await);
    source.act(&act(Action::Capture, 1, Value::Null)).await.unwrap();
    assert!(in_effect(&source, Action::Capture, &Value::Null).await);
    // A sequence is set back by hand.
    main.cluster.psql_as("app", "config", "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 9)").unwrap();
    let mark = source.act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    let sequences = act(Action::SetSequences, 1, mark.clone());
    receiver.act(&sequences).await.unwrap();
    sec.psql("SELECT setval('t_id_seq', 2)");
    assert!(!in_effect(&receiver, Action::SetSequences, &mark).await);
    receiver.act(&sequences).await.unwrap();
    assert_eq!(sec.psql("SELECT nextval('t_id_seq')"), "10");
    // And one that is ahead stays ahead.
    sec.psql("SELECT setval('t_id_seq', 500)");
    receiver.act(&sequences).await.unwrap();
    assert_eq!(sec.psql("SELECT nextval('t_id_seq')"), "501");
}

/// A table that was published after the subscription was made is not received, silently: it is told, and
/// the next start after a capture has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_later_is_not_forgotten() {
    let pair = Pair::start().await;
    let (main, sec) = (&pair.main, &pair.sec);
    for site in [main, sec] {
        site.psql(
            "CREATE TABLE later (id int PRIMARY KEY); GRANT SELECT ON later TO replicator; \
             GRANT INSERT ON later TO app; ALTER PUBLICATION pub_config ADD TABLE later",
        );
    }
    let receiver = pair.receiver(sec);
    let output = receiver.act(&act(Action::StartReplication, 1, Value::Null)).await.unwrap();
    assert_eq!(output["missing"], serde_json::json!(["public.later"]), "{output}");
    // A move there and back: the forward slot is made anew, and so is its subscription.
    for (epoch, from, to) in [(2, main, sec), (3, sec, main)] {
        from.close(epoch);
        to.close(epoch);
        pair.hand_over(from, to, epoch).await;
        to.open(epoch);
        pair.receiver(from).act(&act(Action::StartReplication, epoch, Value::Null)).await.unwrap();
    }
    main.cluster.psql_as("app", "config", "INSERT INTO later VALUES (7)").unwrap();
    sec.until("SELECT id FROM later", "7").await;
}

/// A replication that was there before the set-up does not carry marks: told at once, not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_that_cannot_come_are_not_waited_for() {
    let pair = Pair::start().await;
    pair.main.psql("ALTER PUBLICATION pub_config DROP TABLE pointsman.sentinel");
    pair.sec.psql("DROP SUBSCRIPTION fwd_config");
    pair.source(&pair.main).act(&act(Action::Capture, 1, Value::Null)).await.unwrap();
    let receiver = pair.receiver(&pair.sec);
    receiver.act(&act(Action::StartReplication, 1, Value::Null)).await.unwrap();
    assert!(seen(&receiver).await.trouble.unwrap().contains("REFRESH PUBLICATION"));
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    let refused = crate::pair::refusal(receiver.act(&act(Action::Drain, 1, mark)).await);
    assert!(refused.contains("cannot come"), "{refused}");
    // What the set-up's last lines say mends it.
    pair.main.psql("ALTER PUBLICATION pub_config ADD TABLE pointsman.sentinel WHERE (site = 'main')");
    pair.sec.psql("ALTER SUBSCRIPTION fwd_config REFRESH PUBLICATION WITH (copy_data = false)");
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    receiver.act(&act(Action::Drain, 1, mark)).await.unwrap();
    assert_eq!(seen(&receiver).await.trouble, None);
}
