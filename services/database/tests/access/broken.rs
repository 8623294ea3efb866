//! Acts that are cut off: by a dropped future, an ended session, a frozen server, a newer run.

use std::time::{Duration, Instant};

use postgres::settings::Access as Mode;
use responder::{Driver, DriverError};
use schemas::Access;

use crate::site::{Close, Open, Site, WITHIN, access, act, claim};

/// The lock that every change of access takes first: who holds it stops an act in the middle.
const HOLD: &str = "BEGIN; SELECT pg_advisory_xact_lock(5784269, 1)";
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' \
    AND application_name LIKE 'pointsman/database.config/%'";

/// The statement of an opener that was killed is still at the server, and is carried out later.
#[tokio::test]
async fn an_orphaned_opening_comes_too_late() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    driver.act(&act(Close, 1)).await.unwrap();
    let holder = site.session("postgres").await;
    holder.batch_execute(HOLD).await.unwrap();
    let mut open = act(Open, 1);
    let end = Instant::now() + Duration::from_secs(4);
    open.not_after = Some(end);
    let opener = driver.clone();
    let opening = tokio::spawn(async move { opener.act(&open).await });
    site.until(WAITING, "1").await;
    // Not dropped: the client stays, as one that is frozen does.
    tokio::time::sleep_until(end.into()).await;
    holder.batch_execute("COMMIT").await.unwrap();
    let error = opening.await.unwrap().unwrap_err();
    assert!(matches!(error, DriverError::NotDone { code: schemas::Code::NotConfirmed, .. }), "{error}");
    assert_eq!(access(&driver).await, Access::Closed);
    // In time, it opens.
    let mut open = act(Open, 1);
    open.not_after = Some(Instant::now() + WITHIN);
    driver.act(&open).await.unwrap();
    assert_eq!(access(&driver).await, Access::Open);
}

#[tokio::test]
async fn an_orphaned_opening_meets_the_newer_claim() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    driver.act(&act(Close, 1)).await.unwrap();
    let holder = site.session("postgres").await;
    holder.batch_execute(HOLD).await.unwrap();
    let opener = driver.clone();
    let opening = tokio::spawn(async move { opener.act(&act(Open, 1)).await });
    site.until(WAITING, "1").await;
    claim(&driver, 2).await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    let error = opening.await.unwrap().unwrap_err();
    assert!(matches!(error, DriverError::NotDone { code: schemas::Code::StaleEpoch, .. }), "{error}");
    assert_eq!(access(&driver).await, Access::Closed);
}

/// The service is killed in the middle (its future dropped); the next life ends what is left, then looks.
#[tokio::test]
async fn a_dropped_act_is_ended_by_the_next_life() {
    let site = Site::start(Mode::Login);
    let old = site.driver();
    claim(&old, 1).await.unwrap();
    for (action, before) in [(Close, Access::Open), (Open, Access::Closed)] {
        let holder = site.session("postgres").await;
        holder.batch_execute(HOLD).await.unwrap();
        let killed = old.clone();
        let doomed = tokio::spawn(async move { killed.act(&act(action, 1)).await });
        site.until(WAITING, "1").await;
        doomed.abort();
        assert!(doomed.await.unwrap_err().is_cancelled());
        let new = site.driver();
        new.end_earlier(WITHIN).await.unwrap();
        site.until(WAITING, "0").await;
        holder.batch_execute("COMMIT").await.unwrap();
        assert_eq!(access(&new).await, before);
        new.act(&act(action, 1)).await.unwrap();
        assert_ne!(access(&new).await, before);
    }
}

/// Somebody ends the acting session: the act looks and says what is.
#[tokio::test]
async fn an_ended_session_is_settled_by_a_look() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    let holder = site.session("postgres").await;
    holder.batch_execute(HOLD).await.unwrap();
    let actor = driver.clone();
    let closing = tokio::spawn(async move { actor.act(&act(Close, 1)).await });
    site.until(WAITING, "1").await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'advisory'";
    assert_eq!(site.psql(end), "1");
    let error = closing.await.unwrap().unwrap_err();
    assert!(matches!(error, DriverError::NotDone { .. }), "{error}");
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(access(&driver).await, Access::Open);
    driver.act(&act(Close, 1)).await.unwrap();
    assert_eq!(access(&driver).await, Access::Closed);
}

/// The server freezes with the opening in its hands and wakes up after the deadline.
#[tokio::test]
async fn a_frozen_server_opens_nothing_when_it_wakes() {
    let site = Site::start(Mode::Login);
    let driver = site.driver();
    claim(&driver, 1).await.unwrap();
    driver.act(&act(Close, 1)).await.unwrap();
    let holder = site.session("postgres").await;
    holder.batch_execute(HOLD).await.unwrap();
    let mut open = act(Open, 1);
    open.within = Duration::from_secs(6);
    open.not_after = Some(Instant::now() + Duration::from_secs(5));
    let end = open.not_after.unwrap();
    let opener = driver.clone();
    let opening = tokio::spawn(async move { opener.act(&open).await });
    site.until(WAITING, "1").await;
    // Its lock is freed while all stands still: on waking, the opening is the first to go on.
    site.cluster.freeze().unwrap();
    let commit = tokio::spawn(async move { holder.batch_execute("COMMIT").await });
    let error = opening.await.unwrap().unwrap_err();
    assert!(matches!(error, DriverError::Unknown { .. }), "nobody can tell: {error}");
    tokio::time::sleep_until(end.into()).await;
    site.cluster.thaw();
    commit.await.unwrap().unwrap();
    let next = site.driver();
    next.end_earlier(WITHIN).await.unwrap();
    assert_eq!(access(&next).await, Access::Closed);
}
