//! Replication that does not go on: the drain says so, and why.

use std::time::{Duration, Instant};

use replication::PostgresSettings;
use replication::postgres::PostgresReplication;
use responder::Driver;
use schemas::{Action, Code};
use serde_json::Value;

use crate::pair::{Pair, WITHIN, act, in_effect, refusal, seen};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_ends_the_drain_at_once() {
    let pair = Pair::start().await;
    pair.sec.psql("INSERT INTO t (id, v) VALUES (1, 'in the way')");
    pair.main.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('x')").unwrap();
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    let receiver = pair.receiver(&pair.sec);
    let mut drain = act(Action::Drain, 1, mark.clone());
    drain.within = Duration::from_secs(60);
    let start = Instant::now();
    let refused = refusal(receiver.act(&drain).await);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(refused.starts_with(Code::Precondition.as_str()), "it would be asked again at once: {refused}");
    assert!(refused.contains("stuck"), "{refused}");
    let trouble = seen(&receiver).await;
    assert!(trouble.detail["applyErrors"].as_i64().unwrap() >= 3);
    // Not drained, so not stopped.
    let refused = refusal(receiver.act(&act(Action::StopReplication, 1, mark.clone())).await);
    assert!(refused.contains("not drained"), "{refused}");
    assert_eq!(pair.sec.psql("SELECT subenabled FROM pg_subscription"), "t");
    // Mended by hand, it goes on.
    pair.sec.psql("DELETE FROM t");
    receiver.act(&drain).await.unwrap();
}

/// Waits until a receiver's trouble has these words.
async fn troubled(receiver: &PostgresReplication, words: &str) -> String {
    let start = Instant::now();
    loop {
        let trouble = seen(receiver).await.trouble;
        match trouble {
            Some(trouble) if trouble.contains(words) => return trouble,
            other => assert!(start.elapsed() < WITHIN, "{words}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// In peace: the server's log says why rows do not come, and it is told without what stands in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_told_with_the_reason_of_the_servers_log() {
    let pair = Pair::start().await;
    let receiver = pair.receiver(&pair.sec);
    assert_eq!(seen(&receiver).await.trouble, None);
    pair.sec.psql("INSERT INTO t (id, v) VALUES (1, 'in the way')");
    pair.main.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('a secret')").unwrap();
    let told = troubled(&receiver, "its server's log says: ").await;
    let wanted =
        "duplicate key value violates unique constraint \"t_pkey\" (INSERT on public.t, finished at 0/";
    assert!(told.contains(wanted), "{told}");
    assert!(!told.contains("secret") && !told.contains("(id)"), "{told}");
    // A worker that has just been started again is no better.
    for _ in 0..30 {
        let seen = seen(&receiver).await;
        assert!(seen.trouble.is_some_and(|told| told.contains("t_pkey")), "{:?}", seen.detail);
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    // A drain says it too.
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    let refused = refusal(receiver.act(&act(Action::Drain, 1, mark)).await);
    assert!(refused.contains("stuck") && refused.contains("t_pkey"), "{refused}");

    // Where the key is missing or the file cannot be read, it is said what shows the reason.
    let blind = pair.receiver_with(&pair.sec, |settings| settings.server_log = None);
    troubled(&blind, "`server_log` of this resource in the host's file shows it here").await;
    let wrong =
        |settings: &mut PostgresSettings| settings.server_log = Some("nowhere/postgresql-%a.log".into());
    let told = troubled(&pair.receiver_with(&pair.sec, wrong), "cannot be read: ").await;
    assert!(told.contains("nowhere/postgresql-%a.log"), "{told}");

    // Another error, in another message; then it is mended, and nothing is told any more.
    pair.sec.psql("ALTER TABLE t ALTER v TYPE int USING NULL; DELETE FROM t");
    let told = troubled(&receiver, "invalid input syntax for type integer: ").await;
    assert!(told.contains("on public.t, column v") && !told.contains("secret"), "{told}");
    pair.sec.psql("ALTER TABLE t ALTER v TYPE text");
    pair.same(&pair.main, &pair.sec).await;
    // An error that was counted after it got on is told for 20 s.
    let start = Instant::now();
    while let Some(trouble) = seen(&receiver).await.trouble {
        assert!(start.elapsed() < 2 * WITHIN, "{trouble}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_named_when_the_bound_passes() {
    let pair = Pair::start().await;
    let holder = pair.sec.session("postgres", "config").await;
    holder.batch_execute("BEGIN; LOCK TABLE t IN EXCLUSIVE MODE").await.unwrap();
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    pair.main.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('x')").unwrap();
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    let receiver = pair.receiver(&pair.sec);
    let mut drain = act(Action::Drain, 1, mark.clone());
    drain.within = Duration::from_secs(2);
    let refused = refusal(receiver.act(&drain).await);
    assert!(refused.starts_with(Code::TimedOut.as_str()) && refused.contains(&pid.to_string()), "{refused}");
    assert!(!in_effect(&receiver, Action::Drain, &mark).await);
    holder.batch_execute("COMMIT").await.unwrap();
    receiver.act(&drain).await.unwrap();
    assert!(in_effect(&receiver, Action::Drain, &mark).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_of_a_stopped_receiver_is_vain() {
    let pair = Pair::start().await;
    let receiver = pair.receiver(&pair.sec);
    receiver.act(&act(Action::StopReplication, 1, Value::Null)).await.unwrap();
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    let start = Instant::now();
    let refused = refusal(receiver.act(&act(Action::Drain, 1, mark)).await);
    assert!(refused.contains("stopped") && start.elapsed() < Duration::from_secs(5), "{refused}");
}

/// The service is killed in the middle of a drain and of a stop; the next life finishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_in_the_middle() {
    let pair = Pair::start().await;
    let holder = pair.sec.session("postgres", "config").await;
    holder.batch_execute("BEGIN; LOCK TABLE t IN EXCLUSIVE MODE").await.unwrap();
    pair.main.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('x')").unwrap();
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    let receiver = pair.receiver(&pair.sec);
    let drain = act(Action::Drain, 1, mark.clone());
    let (killed, asked) = (receiver.clone(), drain.clone());
    let doomed = tokio::spawn(async move { killed.act(&asked).await });
    // What only looks is called `…?`, and may wait for its next use.
    let ours = "SELECT count(*) > 0 FROM pg_stat_activity
                 WHERE application_name LIKE 'pointsman/replication.csp/%' AND application_name NOT LIKE '%?'";
    pair.sec.until(ours, "t").await;
    doomed.abort();
    holder.batch_execute("COMMIT").await.unwrap();
    let next = pair.receiver(&pair.sec);
    next.end_earlier(WITHIN).await.unwrap();
    pair.sec.until(ours, "f").await;
    next.act(&drain).await.unwrap();
    // A stop waits for the lock that changes of access and subscriptions take.
    let holder = pair.sec.session("postgres", "config").await;
    holder.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(5784269, 1)").await.unwrap();
    let stop = act(Action::StopReplication, 1, mark.clone());
    let (killed, asked) = (next.clone(), stop.clone());
    let doomed = tokio::spawn(async move { killed.act(&asked).await });
    pair.sec.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'", "1").await;
    doomed.abort();
    let last = pair.receiver(&pair.sec);
    last.end_earlier(WITHIN).await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(pair.sec.psql("SELECT subenabled FROM pg_subscription"), "t");
    last.act(&stop).await.unwrap();
    assert!(in_effect(&last, Action::StopReplication, &mark).await);
}

/// A newer run has claimed: the older one's statements change nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_epoch_changes_nothing() {
    let pair = Pair::start().await;
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    for site in [&pair.main, &pair.sec] {
        let claim = act(Action::Mark, 2, Value::Null);
        pair.receiver(site).raise_epoch(&claim.group, claim.epoch, claim.run).await.unwrap();
    }
    let receiver = pair.receiver(&pair.sec);
    for action in [Action::StopReplication, Action::StartReplication, Action::SetSequences, Action::Abandon] {
        let refused = refusal(receiver.act(&act(action, 1, mark.clone())).await);
        assert!(refused.starts_with(Code::StaleEpoch.as_str()), "{action}: {refused}");
    }
    let source = pair.source(&pair.main);
    for action in [Action::Mark, Action::Capture, Action::Discard] {
        let refused = refusal(source.act(&act(action, 1, Value::Null)).await);
        assert!(refused.starts_with(Code::StaleEpoch.as_str()), "{action}: {refused}");
    }
    assert_eq!(pair.sec.psql("SELECT subenabled FROM pg_subscription"), "t");
}
