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
    with(folder, &if check { json!({"check": "check.sh"}) } else { json!({}) })
}

/// With more scripts than those that close and open.
fn with(folder: &Path, more: &serde_json::Value) -> ScriptAccess {
    let mut text = json!({"driver": "exec", "close": "close.sh", "open": "open.sh", "look_within": "2s"});
    for (name, path) in more.as_object().unwrap() {
        text[name.as_str()] = path.clone();
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

/// The first that there is says whether a write arrives; without any nobody can tell, which is said.
#[tokio::test]
async fn a_write_is_verified_by_the_script_for_it_or_by_the_check() {
    let folder = tempfile::tempdir().unwrap();
    world(folder.path());
    let by = |output: serde_json::Value| output["by"].as_str().unwrap().to_owned();
    let write = act(Action::VerifyWrite, LONG);
    let checked = driver(folder.path(), true);
    assert!(matches!(checked.look(Action::VerifyWrite, &json!({})).await, Look::NotInEffect(_)));
    assert_eq!(by(checked.act(&write).await.unwrap()), "check");
    std::fs::write(folder.path().join("state"), "closed\n").unwrap();
    let error = checked.act(&write).await.unwrap_err();
    assert!(matches!(error, DriverError::NotDone { code: Code::Precondition, .. }), "{error}");
    assert!(!checked.preflight().await.iter().any(|line| line.what == "write"));

    let nothing = driver(folder.path(), false);
    assert_eq!(by(nothing.act(&write).await.unwrap()), "unverified");
    assert!(nothing.preflight().await.iter().any(|line| line.what == "write"));

    let written = with(folder.path(), &json!({"check": "check.sh", "write": "write.sh"}));
    script(folder.path(), "write.sh", "test \"$(cat state)\" = open && echo x >> writes");
    let error = written.act(&write).await.unwrap_err();
    assert!(error.to_string().contains("no write arrives"), "{error}");
    std::fs::write(folder.path().join("state"), "open\n").unwrap();
    assert_eq!(by(written.act(&write).await.unwrap()), "script");
    assert_eq!(std::fs::read_to_string(folder.path().join("writes")).unwrap(), "x\n");
    let group = "cfg".parse().unwrap();
    let lines = written.by_hand(&group, Action::VerifyWrite, &json!({}));
    assert!(lines.len() == 1 && lines[0].contains("write.sh"), "{lines:?}");
}
