//! Fence paths: nothing at the site that is lost answers, its power is off, and so nobody has to take a risk. No
//! workflow throws a switch: here somebody does while the run waits.

use std::time::Duration;

use schemas::RunId;
use schemas::view::RunState;
use simulation::{World, address};

use crate::common::{pair, ready, start_of, whole};

/// The run asks for a person, although it looks at the switch all the time, and opens nothing.
fn waits(w: &mut World, run: RunId, site: &str) {
    let wanted = format!("--unfenced {site}");
    let asks = |w: &mut World| w.view(0, run).waits_for.iter().any(|wait| wait.contains(&wanted));
    w.until("it waits for a proof", asks);
    w.pass(Duration::from_secs(40));
    assert!(asks(w), "{:#?}", w.view(0, run));
}

#[test]
fn a_failover_completes_by_a_switch_that_is_thrown_and_nobody_accepts() {
    let switch = address("witness.process.power-main");
    let (main, secondary) = (address("main.database.config"), address("secondary.database.config"));
    let mut w = ready(whole().with_switch(&switch, "main"));
    // Its database lives on: a silent service proves nothing, nor does a switch that is on.
    w.kill_host_for_good("main");
    let run = w.start(0, start_of("failover", &[]));
    waits(&mut w, run, "main");
    assert!(w.ground.is_open(&main) && !w.ground.is_open(&secondary));
    // Whoever starts the runner again finds it waiting for the same.
    w.kill_runner(0);
    waits(&mut w, run, "main");
    assert!(!w.ground.is_open(&secondary));

    w.power_off(&switch);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(w.ground.is_open(&secondary));
    let record = w.record(0, "cfg");
    assert!(record.accepted.is_empty(), "{:?}", record.accepted);
    assert!(record.debts.values().any(|debt| debt.owed.address == main), "its close is owed");

    w.power_on(&switch);
    w.finish("cfg");
    w.clean();
}

/// A definition that asks nobody to close anything: the opening itself stands at the gate.
#[test]
fn the_gate_lets_an_opening_through_by_a_switch_alone() {
    let switch = address("witness.process.power-a");
    let b = address("b.database.config");
    let mut w = ready(pair().with_switch(&switch, "a"));
    w.kill_host_for_good("a");
    let run = w.start(0, World::start_op("open", "cfg", None));
    waits(&mut w, run, "a");
    assert!(!w.ground.is_open(&b));
    w.power_off(&switch);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(w.ground.is_open(&b));
    assert!(w.record(0, "cfg").accepted.is_empty());
    w.power_on(&switch);
    w.finish("cfg");
    w.clean();
}

/// Of the two sites it is the other one's power that is off.
#[test]
fn a_switch_of_the_site_that_opens_proves_nothing_about_the_one_that_is_left() {
    let switch = address("witness.process.power-b");
    let mut w = ready(pair().with_switch(&switch, "b"));
    w.kill_host_for_good("a");
    w.ground.states.insert(switch.clone(), "stopped".into());
    let run = w.start(0, World::start_op("open", "cfg", None));
    waits(&mut w, run, "a");
    assert_eq!(*w.ground.state(&address("b.database.config")), "closed");
    w.clean();
}
