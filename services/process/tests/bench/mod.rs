//! Acts, and a way to wait.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::allow_attributes, reason = "which part differs by test file")]

use std::time::Duration;

use responder::{Act, Driver, DriverError};
use schemas::{Action, Attempt, Code, Epoch, GroupId, Key, ResourceId, SiteId};
use serde_json::{Value, json};

pub(crate) const GUARD: &str = env!("CARGO_BIN_EXE_process-guard-test");

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

pub(crate) fn resource(name: &str) -> ResourceId {
    ResourceId::new(name).unwrap()
}

pub(crate) fn act(action: Action, within: Duration) -> Act {
    let key: Key = "01890a5d-ac96-774b-bcce-b302099a8057:/do/0".parse().unwrap();
    Act {
        action,
        args: json!({}),
        group: GroupId::new("cfg").unwrap(),
        epoch: Epoch(3),
        run: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        key,
        attempt: Attempt::FIRST,
        within,
        not_after: None,
    }
}

pub(crate) async fn start(driver: &(impl Driver + ?Sized)) -> Result<Value, DriverError> {
    driver.act(&act(Action::StartProcess, Duration::from_secs(20))).await
}

pub(crate) async fn stop(driver: &(impl Driver + ?Sized)) -> Result<Value, DriverError> {
    driver.act(&act(Action::StopProcess, Duration::from_secs(20))).await
}

pub(crate) fn not_done(result: Result<Value, DriverError>) -> (Code, String) {
    match result {
        Err(DriverError::NotDone { code, detail }) => (code, detail),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn unknown(result: Result<Value, DriverError>) -> (Code, String) {
    match result {
        Err(DriverError::Unknown { code, detail }) => (code, detail),
        other => panic!("{other:?}"),
    }
}

/// Waits for a condition, at most 20 s.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "waited 20 s until {what}");
}
