//! Who holds the lock knows that nothing of an earlier life acts any more: kills in the middle.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::process::{Command, Stdio};
use std::time::Duration;

use bench::{Bench, GUARD, Killed, until};
use exec::LockError;

const LONG: Duration = Duration::from_secs(20);

/// A service in a process of its own, in the middle of a script.
fn service(bench: &Bench, kind: &str, script: &str) -> Killed {
    let child = Command::new(GUARD)
        .arg("service")
        .arg(bench.lock_path())
        .arg(kind)
        .arg(script)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let service = Killed(child);
    until("the script runs", || !bench.noted_pids().is_empty());
    service
}

const SCRIPTS: [&str; 3] = [
    "NOTE; sleep 300",
    "trap '' TERM; NOTE; setsid sh -c 'NOTE; exec sleep 300' & wait; sleep 300",
    "setsid sh -c '(NOTE; exec sleep 300) & exit'; NOTE; sleep 300",
];

#[tokio::test]
async fn a_killed_service_takes_its_script_along() {
    let bench = Bench::new();
    for script in SCRIPTS {
        for kind in ["start", "other"] {
            let mut service = service(&bench, kind, &bench.daemon(script));
            assert!(matches!(
                exec::lock(&bench.lock_path(), Duration::from_millis(50)).await,
                Err(LockError::Held { .. })
            ));
            service.kill();
            let lock = exec::lock(&bench.lock_path(), LONG).await.unwrap();
            // No wait here: holding the lock is the proof.
            bench.assert_noted_are_gone();
            drop(lock);
        }
    }
}

#[tokio::test]
async fn a_killed_guard_takes_its_script_along_and_the_lock_finds_the_rest() {
    let bench = Bench::new();
    for script in SCRIPTS {
        for kind in ["start", "other"] {
            let service = service(&bench, kind, &bench.daemon(script));
            let guard = bench::child_of(service.0.id());
            bench::kill(guard);
            let lock = exec::lock(&bench.lock_path(), LONG).await.unwrap();
            bench.assert_noted_are_gone();
            drop(lock);
        }
    }
}

#[tokio::test]
async fn both_killed_at_once() {
    let bench = Bench::new();
    for script in SCRIPTS {
        let mut service = service(&bench, "start", &bench.daemon(script));
        let guard = bench::child_of(service.0.id());
        bench::kill(guard);
        service.kill();
        let _lock = exec::lock(&bench.lock_path(), LONG).await.unwrap();
        bench.assert_noted_are_gone();
    }
}

#[tokio::test]
async fn a_run_that_is_given_up_is_ended() {
    let bench = Bench::new();
    let script = bench.script(&bench.daemon("NOTE; sleep 300"));
    let guard = bench.guard();
    let run = script.run(&guard);
    tokio::select! {
        ended = run => panic!("{ended:?}"),
        () = async { while bench.noted_pids().is_empty() { tokio::time::sleep(Duration::from_millis(10)).await; } } => {}
    }
    let _lock = exec::lock(&bench.lock_path(), LONG).await.unwrap();
    bench.assert_noted_are_gone();
}

#[tokio::test]
async fn a_note_of_an_earlier_boot_or_a_torn_one_names_nobody() {
    let bench = Bench::new();
    for note in ["{\"boot\":\"another\",\"mark\":\"1-1\"}", "{\"bo", "\0\0"] {
        std::fs::write(bench.lock_path(), note).unwrap();
        exec::lock(&bench.lock_path(), Duration::ZERO).await.unwrap();
        assert_eq!(
            std::fs::read(bench.lock_path()).unwrap().is_empty(),
            note.starts_with("{\"boot"),
            "{note}"
        );
    }
    let nowhere = bench.path("no/such/folder");
    assert!(matches!(exec::lock(&nowhere, Duration::ZERO).await, Err(LockError::File { .. })));
}

#[tokio::test]
async fn one_holder_at_a_time() {
    let bench = Bench::new();
    let first = exec::lock(&bench.lock_path(), Duration::ZERO).await.unwrap();
    assert!(matches!(
        exec::lock(&bench.lock_path(), Duration::from_millis(60)).await,
        Err(LockError::Held { .. })
    ));
    drop(first);
    exec::lock(&bench.lock_path(), Duration::ZERO).await.unwrap();
}
