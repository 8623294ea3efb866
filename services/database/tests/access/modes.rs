//! The other two ways to close.

use postgres::settings::Access as Mode;
use responder::Driver;
use schemas::Access;

use crate::site::{Close, Open, Site, access, act, claim, in_effect, seen};

/// The role is shared with the log database of the same cluster, which stays open.
#[tokio::test]
async fn by_connect_the_other_database_stays_open() {
    let site = Site::start(Mode::Connect);
    site.cluster.psql("log", "CREATE TABLE l (n int); GRANT INSERT ON l TO app").unwrap();
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    assert_eq!(access(&driver).await, Access::Open);
    let writing = site.session("app").await;
    writing.batch_execute("BEGIN; INSERT INTO t (n) VALUES (1)").await.unwrap();
    driver.act(&act(Close, 1)).await.unwrap();
    assert!(writing.batch_execute("COMMIT").await.is_err());
    assert!(site.cluster.psql_as("app", "config", "SELECT 1").is_err());
    site.cluster.psql_as("app", "log", "INSERT INTO l VALUES (1)").unwrap();
    assert_eq!(access(&driver).await, Access::Closed);
    // PUBLIC got its right back by hand: the role enters again, though it cannot write.
    site.psql("GRANT CONNECT ON DATABASE config TO PUBLIC");
    assert_eq!(access(&driver).await, Access::Partly);
    driver.act(&act(Close, 1)).await.unwrap();
    assert_eq!(access(&driver).await, Access::Closed);
    driver.act(&act(Open, 1)).await.unwrap();
    site.cluster.psql_as("app", "config", "INSERT INTO t (n) VALUES (1)").unwrap();
}

/// By group role: sessions of before the close end, and the role comes back to read.
#[tokio::test]
async fn by_group_readers_come_back_and_cannot_write() {
    let site = Site::start(Mode::Group("config_rw".into()));
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    assert_eq!(access(&driver).await, Access::Open);
    let writing = site.session("app").await;
    writing.batch_execute("BEGIN; INSERT INTO t (n) VALUES (1)").await.unwrap();
    // A revoke by hand is no close: the open transaction may still commit.
    site.psql("REVOKE config_rw FROM app");
    assert_eq!(access(&driver).await, Access::Partly);
    driver.act(&act(Close, 1)).await.unwrap();
    assert!(writing.batch_execute("COMMIT").await.is_err());
    let reading = site.session("app").await;
    reading.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
    assert!(reading.batch_execute("INSERT INTO t (n) VALUES (1)").await.is_err());
    // A table of later is covered too.
    site.psql("CREATE TABLE later (n int)");
    assert!(reading.batch_execute("INSERT INTO later VALUES (1)").await.is_err());
    assert!(in_effect(&driver, Close).await);
    assert_eq!(seen(&driver).await.sessions, 1);
    driver.act(&act(Open, 1)).await.unwrap();
    assert_eq!(access(&driver).await, Access::Open);
    // At once in the open session.
    reading.batch_execute("INSERT INTO t (n) VALUES (1)").await.unwrap();
    driver.act(&act(Close, 1)).await.unwrap();
    assert!(reading.batch_execute("SELECT 1").await.is_err());
}
