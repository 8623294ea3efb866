//! The memory driver behaves as a driver must.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use replication::memory::MemoryReplication;
use responder::memory::{MemoryDriver, World};
use responder::{Act, Driver, Look};
use schemas::{Action, Attempt, Epoch, Half, Key, Position, RunId, Seen};
use serde_json::{Value, json};
use uuid::Uuid;

fn act(action: Action, args: &Value) -> Act {
    let run = RunId(Uuid::from_u128(1));
    Act {
        action,
        args: args.clone(),
        group: "cfg".parse().unwrap(),
        epoch: Epoch(1),
        run,
        key: Key { run, position: Position::new("/do/0/a").unwrap() },
        attempt: Attempt::FIRST,
        within: Duration::from_secs(1),
        not_after: None,
    }
}

#[tokio::test]
async fn each_act_reaches_what_is_looked_for() {
    let world = World::new();
    let half = |half| MemoryDriver::new(world.clone(), format!("{half:?}"), MemoryReplication { half });
    let (source, receiver) = (half(Half::Source), half(Half::Receiver));
    let run = RunId(Uuid::from_u128(1));
    for driver in [&source, &receiver] {
        driver.raise_epoch(&"cfg".parse().unwrap(), Epoch(1), run).await.unwrap();
    }
    let args = json!({"resource": "csp", "site": "main"});
    let mark = source.act(&act(Action::Mark, &args)).await.unwrap();
    let marked = json!({"resource": "csp", "site": "main", "mark": mark});
    let applied = json!({"resource": "csp", "site": "main", "applied": "0/0"});
    let waived = json!({"resource": "csp", "site": "main", "waived": "anna: a drill"});
    let steps = [
        (&source, Action::Capture, &args),
        (&receiver, Action::StartReplication, &args),
        (&receiver, Action::Drain, &marked),
        (&receiver, Action::StopReplication, &marked),
        (&receiver, Action::SetSequences, &marked),
        (&receiver, Action::Abandon, &args),
        (&source, Action::Export, &applied),
        (&receiver, Action::Copy, &waived),
        (&receiver, Action::Compare, &args),
        (&receiver, Action::Cleanup, &args),
        (&source, Action::Discard, &args),
    ];
    for (driver, action, args) in steps {
        let before = driver.look(action, args).await;
        assert!(matches!(before, Look::NotInEffect(_)), "{action}: {before:?}");
        driver.act(&act(action, args)).await.unwrap();
        driver.act(&act(action, args)).await.unwrap();
        assert!(matches!(driver.look(action, args).await, Look::InEffect(_)), "{action}");
    }
}

#[tokio::test]
async fn what_a_copy_keeps_aside_is_told_until_it_is_dropped() {
    let world = World::new();
    let receiver = MemoryDriver::new(world, "csp", MemoryReplication { half: Half::Receiver });
    let run = RunId(Uuid::from_u128(1));
    receiver.raise_epoch(&"cfg".parse().unwrap(), Epoch(1), run).await.unwrap();
    let waived = json!({"resource": "csp", "site": "main", "waived": "anna: a drill"});
    for (action, tables, why) in [(Action::Copy, 1, Some("anna: a drill")), (Action::Cleanup, 0, None)] {
        receiver.act(&act(action, &waived)).await.unwrap();
        let Seen::Replication(seen) = receiver.observe().await.unwrap() else { panic!("no replication") };
        let aside = seen.aside.unwrap();
        assert_eq!((aside.tables, aside.waived.as_deref()), (tables, why), "{action}");
    }
}
