//! A dead bus and a dead runner are said within two seconds, by their names.

use std::time::{Duration, Instant};

use lab::nats::{Nats, NatsOptions};

use crate::{code, pointsman, text};

/// What the issue promises, and the time of starting a process on a busy machine.
const WITHIN: Duration = Duration::from_millis(2000);

fn silent(url: &str, part: &str) {
    let began = Instant::now();
    let output = pointsman(url, &["status"]);
    let took = began.elapsed();
    assert_eq!(code(&output), 7, "{}", text(&output));
    assert!(text(&output).contains(part), "{}", text(&output));
    assert!(took < WITHIN, "it took {took:?}");
}

#[test]
fn a_dead_bus() {
    let mut nats = Nats::start(NatsOptions::default()).unwrap();
    let url = nats.url();
    nats.kill().unwrap();
    silent(&url, "bus-silent");
}

#[test]
fn a_frozen_bus() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    nats.freeze().unwrap();
    silent(&nats.url(), "bus-silent");
    nats.thaw();
}

#[test]
fn a_dead_runner() {
    let nats = Nats::start(NatsOptions::default()).unwrap();
    silent(&nats.url(), "runner-silent");
}

#[test]
fn a_mute_runner() {
    let runner = crate::Runner::start(|_| None);
    silent(&runner.url(), "runner-silent");
}
