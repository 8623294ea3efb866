//! What operators write in a host's file, and services of a rehearsal.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use bench::*;
use exec::Guard;
use process::memory::MemoryProcess;
use process::{Place, Settings};
use responder::memory::World;
use responder::{Driver, Look};
use schemas::{Action, Code, Running, Seen};
use serde_json::{Value, json};

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
        json!({ "driver": "memory", "closes": "main" }),
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
    ] {
        let told = read(bad.clone()).err().unwrap_or_else(|| panic!("{bad} was taken"));
        assert!(told.contains(words), "{told}");
    }
}

#[tokio::test]
async fn a_service_of_a_rehearsal() {
    let world = World::new();
    let driver = MemoryProcess::service(world.clone(), "cs-primary", Some(site("main")));
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
    driver.act(&act(Action::RefreshProcess, std::time::Duration::from_secs(5))).await.unwrap();
    assert_eq!(seen().await.running, Running::Healthy);
    stop(&driver).await.unwrap();
    stop(&driver).await.unwrap();
    assert_eq!(seen().await.running, Running::Stopped);
}
