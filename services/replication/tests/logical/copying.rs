//! Tables that are not there yet: what came by others proves nothing of them.

use std::time::Duration;

use responder::Driver;
use schemas::{Action, ReplicationState};
use serde_json::Value;

use crate::pair::{Pair, act, in_effect, refusal, seen};

const SLOW: &str = "
    INSERT INTO later SELECT generate_series(1, 2000);
    ALTER TABLE later ENABLE ROW LEVEL SECURITY;
    CREATE POLICY slow ON later TO replicator USING (pg_sleep(0.05)::text IS NOT NULL);
    ALTER PUBLICATION pub_config ADD TABLE later";

/// The sender would not see for long that nobody listens any more.
const FAST: &str = "
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'replicator';
    DROP POLICY slow ON later; ALTER TABLE later DISABLE ROW LEVEL SECURITY";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_proves_nothing_of_a_table_that_is_being_copied() {
    let pair = Pair::start().await;
    let receiver = pair.receiver(&pair.sec);
    assert_eq!(seen(&receiver).await.copy, None, "without a copy every table is there");
    for site in [&pair.main, &pair.sec] {
        site.psql("CREATE TABLE later (id int PRIMARY KEY); GRANT SELECT ON later TO replicator");
    }
    pair.main.psql(SLOW);
    pair.sec.psql("ALTER SUBSCRIPTION fwd_config REFRESH PUBLICATION");
    let mark = pair.source(&pair.main).act(&act(Action::Mark, 1, Value::Null)).await.unwrap();
    let came = format!("SELECT count(*) FROM pointsman.sentinel WHERE mark = {}", mark["sentinel"]);
    pair.sec.until(&came, "1").await;

    let copy = seen(&receiver).await.copy.unwrap();
    assert_eq!((copy.tables_ready, copy.tables), (3, 4));
    assert!(!in_effect(&receiver, Action::Drain, &mark).await, "drained without a table");
    let mut short = act(Action::Drain, 1, mark.clone());
    short.within = Duration::from_secs(2);
    let refused = refusal(receiver.act(&short).await);
    assert!(refused.contains("the copy is not finished: 3 of 4 tables are there"), "{refused}");
    let refused = refusal(receiver.act(&act(Action::StopReplication, 1, mark.clone())).await);
    assert!(refused.contains("not drained"), "{refused}");
    assert_eq!(pair.sec.psql("SELECT subenabled FROM pg_subscription"), "t");

    // Stopped in the middle, it is as unfinished.
    pair.sec.psql("ALTER SUBSCRIPTION fwd_config DISABLE");
    let stopped = seen(&receiver).await;
    assert_eq!((stopped.state, stopped.copy), (ReplicationState::Stopped, Some(copy)));
    pair.main.psql(FAST);
    pair.sec.psql("ALTER SUBSCRIPTION fwd_config ENABLE");
    pair.sec.until("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'", "0").await;
    receiver.act(&act(Action::Drain, 1, mark)).await.unwrap();
    assert_eq!(seen(&receiver).await.copy, None);
    assert_eq!(pair.sec.psql("SELECT count(*) FROM later"), "2000");
}
