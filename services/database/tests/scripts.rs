//! The operator's scripts as a database's driver.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use database::scripts::ScriptAccess;
use database::{ExecSettings, Place, Settings};
use exec::Guard;
use postgres::Life;
use responder::{Act, Driver, DriverError, Look};
use schemas::{Access, Action, Attempt, Code, Epoch, Key, Position, RunId, Seen};
use serde_json::json;
use uuid::Uuid;

fn script(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\ncd '{}'\n{text}\n", folder.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn driver(folder: &Path, check: bool) -> ScriptAccess {
    let mut text = json!({"driver": "exec", "close": "close.sh", "open": "open.sh", "look_within": "2s"});
    if check {
        text["check"] = json!("check.sh");
    }
    let Ok(Settings::Exec(settings)) = serde_json::from_value::<Settings>(text) else { panic!("settings") };
    let settings: ExecSettings = settings;
    let place = Place {
        site: "main".parse().unwrap(),
        resource: "config".parse().unwrap(),
        folder: folder.into(),
        state: folder.into(),
        life: Life::new(Uuid::new_v4()),
    };
    ScriptAccess::new(settings, place, Guard::program(env!("CARGO_BIN_EXE_database-guard-test")))
}

fn act(action: Action, within: Duration) -> Act {
    let run = RunId(Uuid::from_u128(7));
    Act {
        action,
        args: json!({}),
        group: "cfg".parse().unwrap(),
        epoch: Epoch(1),
        run,
        key: Key { run, position: Position::new("/do/0/a").unwrap() },
        attempt: Attempt::FIRST,
        within,
        not_after: None,
    }
}

const LONG: Duration = Duration::from_secs(10);

fn world(folder: &Path) {
    script(folder, "close.sh", "echo x >> calls; echo closed > state");
    script(folder, "open.sh", "echo x >> calls; echo open > state; echo \"$POINTSMAN_EPOCH\" > epoch");
    script(folder, "check.sh", "test \"$(cat state)\" = \"$1\"");
    std::fs::write(folder.join("state"), "open\n").unwrap();
}

#[tokio::test]
async fn closes_opens_and_looks() {
    let folder = tempfile::tempdir().unwrap();
    world(folder.path());
    let driver = driver(folder.path(), true);
    for (action, access) in
        [(Action::DisableAccess, Access::Closed), (Action::EnableAccess, Access::Open)].repeat(2)
    {
        driver.act(&act(action, LONG)).await.unwrap();
        assert!(matches!(driver.look(action, &json!({})).await, Look::InEffect(_)));
        let Seen::Database(seen) = driver.observe().await.unwrap() else { panic!("not a database") };
        assert_eq!(seen.access, access);
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("epoch")).unwrap(), "1\n");
    // A state that is neither.
    std::fs::write(folder.path().join("state"), "half\n").unwrap();
    let Seen::Database(seen) = driver.observe().await.unwrap() else { panic!("not a database") };
    assert_eq!(seen.access, Access::Partly);
}

#[tokio::test]
async fn what_a_script_says_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    world(folder.path());
    let driver = driver(folder.path(), true);
    // It says well and did nothing.
    script(folder.path(), "close.sh", "exit 0");
    let error = driver.act(&act(Action::DisableAccess, LONG)).await.unwrap_err();
    assert!(matches!(error, DriverError::NotDone { code: Code::Script, .. }), "{error}");
    // It fails after it did its work.
    script(folder.path(), "close.sh", "echo closed > state; exit 3");
    driver.act(&act(Action::DisableAccess, LONG)).await.unwrap();
    // The check cannot tell.
    script(folder.path(), "check.sh", "exit 2");
    let error = driver.act(&act(Action::EnableAccess, LONG)).await.unwrap_err();
    assert!(matches!(error, DriverError::Unknown { .. }), "{error}");
    assert!(driver.observe().await.is_err());
}

#[tokio::test]
async fn a_script_that_hangs_is_ended_in_time() {
    let folder = tempfile::tempdir().unwrap();
    world(folder.path());
    let driver = driver(folder.path(), true);
    script(folder.path(), "open.sh", "sleep 60; echo open > state");
    std::fs::write(folder.path().join("state"), "closed\n").unwrap();
    let start = Instant::now();
    let mut open = act(Action::EnableAccess, LONG);
    open.not_after = Some(Instant::now() + Duration::from_secs(1));
    let error = driver.act(&open).await.unwrap_err();
    assert!(matches!(error, DriverError::NotDone { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(6));
    driver.end_earlier(LONG).await.unwrap();
    // Past its time it is not even started.
    open.not_after = Some(Instant::now());
    let error = driver.act(&open).await.unwrap_err();
    assert!(matches!(error, DriverError::NotDone { code: Code::NotConfirmed, .. }), "{error}");
}

#[tokio::test]
async fn without_a_check_an_exit_code_must_do() {
    let folder = tempfile::tempdir().unwrap();
    world(folder.path());
    let driver = driver(folder.path(), false);
    driver.act(&act(Action::DisableAccess, LONG)).await.unwrap();
    assert!(matches!(driver.look(Action::DisableAccess, &json!({})).await, Look::CannotTell(_)));
    script(folder.path(), "close.sh", "exit 1");
    let error = driver.act(&act(Action::DisableAccess, LONG)).await.unwrap_err();
    assert!(matches!(error, DriverError::Unknown { .. }), "{error}");
}
