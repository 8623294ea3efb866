//! Chance: messages are lost, doubled and late, services die with and without power, the runner dies, servers of databases
//! are started anew, persons supersede, accept, cancel, and say what they have done or left out by hand; orphans commit.
//! The invariants hold after every event, and in the end nothing is owed.

/// Past the test runner's capture: a count that nobody sees is no count.
macro_rules! say {
    ($($text:tt)*) => {{
        // Fails where nobody listens.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!($($text)*).as_bytes());
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"\n");
    }};
}

use std::time::{Duration, Instant};

use schemas::op::Op;
use schemas::{Address, Service};
use serde_json::json;
use simulation::{Dice, Lost, World, address};

use crate::common::{pair, ready, whole};

/// How many seeds, unless `POINTSMAN_SEEDS` says; and for how long at most.
const SEEDS: u64 = 300;
const BOUND: Duration = Duration::from_secs(20);
/// Seeds that once found something, played however slow the machine is.
const FOUND: [u64; 3] = [109, 729, 3954];

#[test]
fn whatever_happens_the_invariants_hold() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("POINTSMAN_SEED").unwrap_or(1);
    let seeds =
        number("POINTSMAN_SEEDS").unwrap_or(if number("POINTSMAN_SEED").is_some() { 1 } else { SEEDS });
    let bound = if number("POINTSMAN_SEEDS").is_some() { Duration::MAX } else { BOUND };
    let one = |seed| match std::panic::catch_unwind(|| play(seed)) {
        Ok(events) => events,
        Err(_) => panic!("seed {seed}: POINTSMAN_SEED={seed} plays it again"),
    };
    let mut events: u64 = FOUND.into_iter().filter(|_| first == 1).map(one).sum();
    let began = Instant::now();
    let mut played = 0;
    for seed in first..first + seeds {
        events += one(seed);
        played += 1;
        if began.elapsed() > bound {
            break;
        }
    }
    say!("{played} seeds from {first} on were played: {events} events");
    assert!(played >= 20 || seeds < 20, "only {played} seeds in {BOUND:?}");
}

fn play(seed: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let small = !dice.once_in(3);
    let mut w = ready(if small { pair().untraced() } else { whole().untraced() });
    let sites = if small { ["a", "b"] } else { ["main", "secondary"] };
    let workflows = if small { ["move", "move-lost"] } else { ["switchover", "failover"] };
    w.orphans_commit = dice.once_in(2).then(|| Duration::from_millis(dice.below(4000)));
    w.by_chance(Dice::new(seed ^ 0xABCD), 12 + dice.below(40), 10, 15, 60 + dice.below(200));
    for _ in 0..3 + dice.below(4) {
        let active = w.record(0, "cfg").active;
        let target = sites[dice.below(2) as usize];
        let workflow = workflows[dice.below(2) as usize];
        match (dice.below(11), active) {
            (0, _) => w.kill_runner(0),
            (1, _) => w.kill_host(sites[dice.below(2) as usize], Lost::Process),
            (2, _) => w.cut(target, None),
            (3, _) => sites.iter().for_each(|site| w.mend(site)),
            (4, Some(run)) => {
                w.request(
                    0,
                    "accepted",
                    Op::Accept {
                        run: run.to_string(),
                        unfenced: Some(simulation::site(target)),
                        data_loss: None,
                    },
                );
            }
            (5 | 6, Some(run)) => {
                let mut op = World::start_op(workflow, "cfg", Some(target));
                if let Op::Start { supersede, .. } = &mut op {
                    *supersede = Some(run.to_string());
                }
                w.request(0, "superseded", op);
            }
            (8, _) => w.boot(&address(&format!("{target}.database.config"))),
            (9, Some(run)) => {
                let (run, step) = (run.to_string(), (1 + dice.below(3)).to_string());
                let done = dice.once_in(2);
                let op = if done { Op::Done { run, step, unverified: true } } else { Op::Skip { run, step } };
                w.request(0, "by hand", op);
            }
            (10, Some(run)) => {
                let leave = dice.once_in(2);
                w.request(0, "not today", Op::Cancel { run: run.to_string(), leave });
            }
            (_, None) => {
                w.request(0, "because", World::start_op(workflow, "cfg", None));
            }
            _ => {}
        }
        w.pass(Duration::from_millis(dice.below(9000)));
        w.clean();
    }
    settle(&mut w);
    w.clean();
    w.events
}

/// Everything is mended; a person helps where the run asks for one; in the end nothing is owed.
fn settle(w: &mut World) {
    w.heal();
    w.pass(Duration::from_secs(120));
    for _ in 0..4 {
        let Some(run) = w.record(0, "cfg").active else { break };
        // Superseding goes past every doubt: the last word of a person.
        let to = w.record(0, "cfg").live.clone().unwrap_or_else(|| w.fail("no site was ever live"));
        let workflow = if to.as_str().len() == 1 { "move" } else { "switchover" };
        w.supersede(0, run, workflow, to.as_str(), &[]);
        w.pass(Duration::from_secs(200));
    }
    if w.record(0, "cfg").active.is_some() {
        w.fail("a run does not end");
    }
    // Where a person left a run as it was, programs of the live site may not run: he starts them, and what waits for them
    // goes on.
    let live = w.record(0, "cfg").live.clone();
    let ours =
        |address: &Address| Some(&address.site) == live.as_ref() && address.service == Service::Process;
    for (_, state) in w.ground.states.iter_mut().filter(|(address, _)| ours(address)) {
        match state.get_mut("running") {
            Some(word) => *word = json!("running"),
            None => *state = json!("running"),
        }
    }
    w.finish("cfg");
}
