//! A close is a barrier, holds over a crash, and may be done again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postgres::settings::Access as Mode;
use responder::Driver;
use schemas::{Access, Code};

use crate::site::{Close, Open, Site, access, act, claim, in_effect, seen};

/// Fourteen clients write as fast as they can and come back as often as they are thrown out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_and_nothing_acknowledged_is_lost() {
    let mut site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for client in 0..14 {
        let (dsn, stop) = (site.cluster.dsn("app", "config"), stop.clone());
        clients.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let Ok((session, connection)) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await
                else {
                    tokio::task::yield_now().await;
                    continue;
                };
                tokio::spawn(async move { drop(connection.await) });
                let insert = "INSERT INTO t (n) VALUES ($1) RETURNING id";
                while let Ok(row) = session.query_one(insert, &[&client]).await {
                    acknowledged.push(row.get::<_, i64>(0));
                }
            }
            acknowledged
        }));
    }
    site.until("SELECT (SELECT count(*) FROM t) > 500", "t").await;
    let idle = site.session("app").await;
    let output = driver.act(&act(Close, 1)).await.unwrap();
    assert!(idle.batch_execute("SELECT 1").await.is_err());
    let count = site.psql("SELECT count(*) FROM t");
    assert!(output["ended"].as_u64().unwrap() > 0);
    assert!(output["lsn"].as_str().is_some_and(|lsn| lsn.contains('/')));
    // They go on hammering for a while against the closed door.
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        assert_eq!(access(&driver).await, Access::Closed);
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = 0;
    for client in clients {
        let ids = client.await.unwrap();
        acknowledged += ids.len();
        let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let there = site.psql(&format!("SELECT count(*) FROM t WHERE id IN (0,{list})"));
        assert_eq!(there, ids.len().to_string(), "acknowledged and lost");
    }
    assert!(acknowledged > 500);
    assert_eq!(site.psql("SELECT count(*) FROM t"), count, "written after the close");
    // A crash of the server at once after.
    site.cluster.kill9().unwrap();
    site.cluster.restart().unwrap();
    assert_eq!(access(&driver).await, Access::Closed);
    assert!(site.cluster.psql_as("app", "config", "SELECT 1").is_err());
    driver.act(&act(Open, 1)).await.unwrap();
    assert_eq!(access(&driver).await, Access::Open);
    site.cluster.psql_as("app", "config", "INSERT INTO t (n) VALUES (99)").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn again_and_twice_at_once() {
    let site = Site::start(Mode::Login);
    let (one, two) = (site.driver(), site.driver());
    claim(&one, 1).await.unwrap();
    for action in [Close, Open, Close, Open] {
        one.act(&act(action, 1)).await.unwrap();
        one.act(&act(action, 1)).await.unwrap();
        assert!(in_effect(&one, action).await);
    }
    // Two instances, which the ledger's lock forbids, still agree in the end.
    for action in [Close, Open] {
        for _ in 0..5 {
            let (a1, a2) = (act(action, 1), act(action, 1));
            let (first, second) = tokio::join!(one.act(&a1), two.act(&a2));
            first.unwrap();
            second.unwrap();
            assert!(in_effect(&one, action).await);
        }
    }
    // A close writes the epoch's row also where it finds it closed: a late opening then meets it.
    let changes = || site.psql("SELECT changes FROM pointsman.epoch").parse::<u64>().unwrap();
    one.act(&act(Close, 1)).await.unwrap();
    let before = changes();
    one.act(&act(Close, 1)).await.unwrap();
    assert!(changes() > before);
}

#[tokio::test]
async fn what_somebody_undid_by_hand_is_seen_and_done_again() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    driver.act(&act(Close, 1)).await.unwrap();
    for by_hand in ["ALTER ROLE app LOGIN", "GRANT DELETE ON t TO app", "GRANT INSERT (n) ON t TO app"] {
        site.psql(by_hand);
        assert_eq!(access(&driver).await, Access::Partly, "{by_hand}");
        assert!(!in_effect(&driver, Close).await && !in_effect(&driver, Open).await, "{by_hand}");
        driver.act(&act(Close, 1)).await.unwrap();
        assert_eq!(access(&driver).await, Access::Closed, "{by_hand}");
    }
    driver.act(&act(Open, 1)).await.unwrap();
    for by_hand in ["ALTER ROLE app NOLOGIN", "REVOKE INSERT ON u FROM app"] {
        site.psql(by_hand);
        assert!(!in_effect(&driver, Open).await, "{by_hand}");
        driver.act(&act(Open, 1)).await.unwrap();
        assert!(in_effect(&driver, Open).await, "{by_hand}");
    }
}

/// An open transaction, a prepared one, a session of a member of the role: none outlives the close.
#[tokio::test]
async fn open_and_prepared_transactions_end() {
    let site = Site::start(Mode::Login);
    site.psql("CREATE ROLE person LOGIN IN ROLE app");
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    let app = site.session("app").await;
    app.batch_execute("BEGIN; INSERT INTO t (n) VALUES (1)").await.unwrap();
    let person = site.session("person").await;
    person.batch_execute("BEGIN; INSERT INTO t (n) VALUES (2)").await.unwrap();
    let sql = "BEGIN; INSERT INTO t (n) VALUES (3); PREPARE TRANSACTION 'it''s \\ready'";
    site.session("app").await.batch_execute(sql).await.unwrap();
    assert_eq!(seen(&driver).await.detail["roles"]["app"]["prepared"], 1);
    driver.act(&act(Close, 1)).await.unwrap();
    assert!(app.batch_execute("COMMIT").await.is_err());
    assert!(person.batch_execute("COMMIT").await.is_err());
    assert_eq!(site.psql("SELECT count(*) FROM t"), "0");
    assert_eq!(site.psql("SELECT count(*) FROM pg_prepared_xacts"), "0");
}

/// With synchronous replication and the other site down, a commit waits for ever; a close does not.
#[tokio::test]
async fn a_close_does_not_wait_for_a_lost_synchronous_standby() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    site.cluster.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").unwrap();
    site.cluster.psql("postgres", "SELECT pg_reload_conf()").unwrap();
    site.until("SHOW synchronous_standby_names", "nobody").await;
    let stuck = site.session("app").await;
    let stuck = tokio::spawn(async move { stuck.batch_execute("INSERT INTO t (n) VALUES (1)").await });
    site.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "1").await;
    driver.act(&act(Close, 1)).await.unwrap();
    assert_eq!(access(&driver).await, Access::Closed);
    assert!(stuck.await.unwrap().is_err() || site.psql("SELECT count(*) FROM t") == "1");
}

#[tokio::test]
async fn each_change_needs_the_claim() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    let code = |result: Result<_, responder::DriverError>| match result {
        Err(responder::DriverError::NotDone { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(driver.act(&act(Close, 1)).await), Code::Unclaimed);
    claim(&driver, 2).await.unwrap();
    for action in [Close, Open] {
        assert_eq!(code(driver.act(&act(action, 1)).await), Code::StaleEpoch);
        assert_eq!(code(driver.act(&act(action, 3)).await), Code::Unclaimed);
        let mut other = act(action, 2);
        other.run = act(action, 9).run;
        assert_eq!(code(driver.act(&other).await), Code::EpochTaken);
    }
    assert_eq!(access(&driver).await, Access::Open);
    assert_eq!(seen(&driver).await.epoch, Some(schemas::Epoch(2)));
}
