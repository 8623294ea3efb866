//! What operators write in a host's file, and services of a rehearsal.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::collections::BTreeSet;
use std::time::Duration;

use bench::*;
use exec::Guard;
use process::memory::MemoryProcess;
use process::{Place, Settings};
use responder::memory::World;
use responder::{Act, Driver, Look};
use schemas::{Action, Code, Running, Seen};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(5);

fn place() -> Place {
    Place {
        site: site("main"),
        resource: resource("cs-primary"),
        folder: "/etc/pointsman".into(),
        state: "/var/lib/pointsman".into(),
        guard: Guard::program(GUARD),
        world: World::new(),
    }
}

fn read(text: Value) -> Result<Box<dyn Driver>, String> {
    let settings: Settings = serde_json::from_value(text).map_err(|cause| cause.to_string())?;
    settings.driver(&place(), |_| {}).map_err(|problem| {
        assert_eq!(problem.code, Code::BadConfiguration);
        problem.to_string()
    })
}

#[test]
fn what_operators_write_is_read() {
    for good in [
        json!({ "driver": "exec", "start": "/dr/start.sh", "stop": "/dr/stop.sh", "check": "/dr/ping.sh", "settle": "20s" }),
        json!({ "driver": "exec", "start": "a", "stop": "b", "check": "c", "closes": "main" }),
        json!({ "driver": "exec", "start": "a", "stop": "b" }),
        json!({ "driver": "systemd", "unit": "web.service" }),
        json!({ "driver": "systemd", "unit": "web.service", "health": { "http": "http://127.0.0.1:8080/up", "status": 204 } }),
        json!({ "driver": "systemd", "unit": "web.service", "health": { "http": "http://[::1]" } }),
        json!({ "driver": "systemd", "unit": "w.service", "health": { "tcp": "127.0.0.1:1", "send": "PING\n", "expect": "PONG", "within": "2s" } }),
        json!({ "driver": "systemd", "unit": "w.service", "health": { "command": "ping.sh" } }),
        json!({ "driver": "systemd", "unit": "w.service", "repoint": { "main": "a", "secondary": "b" }, "pointed": "c" }),
        json!({ "driver": "exec", "start": "a", "stop": "b", "repoint": { "main": "/dr/a" }, "pointed": "/dr/c" }),
        json!({ "driver": "memory", "closes": "main" }),
        json!({ "driver": "memory", "repoint": ["main", "secondary"], "points_at": "main" }),
    ] {
        assert!(read(good.clone()).is_ok(), "{good}: {:?}", read(good.clone()).err());
    }
    for (bad, words) in [
        (json!({ "driver": "upstart" }), "upstart"),
        (json!({ "driver": "exec", "start": "/a" }), "stop"),
        (json!({ "driver": "systemd", "unit": "w.service", "setle": "20s" }), "setle"),
        (json!({ "driver": "systemd", "unit": "w.service", "settle": "20" }), "20"),
        (json!({ "driver": "systemd", "unit": "w", "health": {} }), "exactly one"),
        (
            json!({ "driver": "systemd", "unit": "w", "health": { "tcp": "a:1", "http": "http://a" } }),
            "exactly one",
        ),
        (json!({ "driver": "systemd", "unit": "w", "health": { "tcp": "a:1" } }), "proves nothing"),
        (json!({ "driver": "systemd", "unit": "w", "health": { "http": "https://a/" } }), "http://"),
        // What does not answer is not off: a switch that restarts refuses connections.
        (
            json!({ "driver": "exec", "start": "a", "stop": "b", "closes": "main",
                "health": { "http": "http://10.0.0.9/power" } }),
            "`closes: main` needs `driver: exec` with a `check` script",
        ),
        (json!({ "driver": "exec", "start": "a", "stop": "b", "closes": "main" }), "needs `driver: exec`"),
        (json!({ "driver": "systemd", "unit": "w.service", "closes": "main" }), "needs `driver: exec`"),
        // Nobody could see what became of a change.
        (
            json!({ "driver": "exec", "start": "a", "stop": "b", "repoint": { "main": "a" } }),
            "needs `pointed`",
        ),
        (json!({ "driver": "systemd", "unit": "w.service", "pointed": "c" }), "`pointed` needs `repoint`"),
        (
            json!({ "driver": "exec", "start": "a", "stop": "b", "repoint": { "Main": "a" }, "pointed": "c" }),
            "Main",
        ),
    ] {
        let told = read(bad.clone()).err().unwrap_or_else(|| panic!("{bad} was taken"));
        assert!(told.contains(words), "{told}");
    }
}

#[tokio::test]
async fn a_service_of_a_rehearsal() {
    let world = World::new();
    let driver = MemoryProcess::service(world.clone(), "cs-primary", Some(site("main")), BTreeSet::new());
    let seen = async || match driver.observe().await.unwrap() {
        Seen::Process(seen) => seen,
        other => panic!("{other:?}"),
    };
    assert_eq!((seen().await.running, seen().await.closes), (Running::Stopped, Some(site("main"))));
    let (one, other) = tokio::join!(start(&driver), start(&driver));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(seen().await.running, Running::Healthy);
    world.set("cs-primary", json!("unhealthy"));
    assert!(matches!(driver.look(Action::StartProcess, &Value::Null).await, Look::NotInEffect(_)));
    driver.act(&act(Action::RefreshProcess, WITHIN)).await.unwrap();
    assert_eq!(seen().await.running, Running::Healthy);
    stop(&driver).await.unwrap();
    stop(&driver).await.unwrap();
    assert_eq!(seen().await.running, Running::Stopped);
}

#[tokio::test]
async fn a_service_of_a_rehearsal_works_where_it_is_told_to() {
    let sites = BTreeSet::from([site("main"), site("secondary")]);
    let world = World::new();
    world.set("log-msg", json!("running"));
    let driver = MemoryProcess::service(world.clone(), "log-msg", None, sites.clone());
    let seen = async || match driver.observe().await.unwrap() {
        Seen::Process(seen) => seen,
        other => panic!("{other:?}"),
    };
    assert_eq!((seen().await.points_at, seen().await.repoints), (None, sites.into_iter().collect()));
    let point = |to: &str| Act { args: json!({ "to": to }), ..act(Action::PointProcess, WITHIN) };
    for to in ["main", "secondary", "secondary"] {
        assert_eq!(driver.act(&point(to)).await.unwrap(), json!({ "to": to }));
        assert_eq!((seen().await.points_at, seen().await.running), (Some(site(to)), Running::Healthy));
    }
    // Whether it runs is another matter.
    stop(&driver).await.unwrap();
    driver.act(&point("main")).await.unwrap();
    assert_eq!((seen().await.points_at, seen().await.running), (Some(site("main")), Running::Stopped));
    start(&driver).await.unwrap();
    assert_eq!((seen().await.points_at, seen().await.running), (Some(site("main")), Running::Healthy));
    let refused = driver.check(Action::PointProcess, &json!({ "to": "nowhere" })).await.unwrap_err();
    assert_eq!(refused.code, Code::BadConfiguration);
}
