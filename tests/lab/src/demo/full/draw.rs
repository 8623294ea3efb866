//! Draws who dies when in a leg.

use std::fmt;
use std::time::Duration;

use schemas::{Action, Prefix, Verb};

use super::leg::{Leg, Request};
use crate::demo::chance::Chance;

/// Kills inside steps of databases and their replication that are drawn for a leg.
pub const IN_DATABASES: usize = 8;
/// Kills inside its other steps.
pub const ELSEWHERE: usize = 4;
/// Less than a service needs for an act on an idle machine and the runner to note it: later than that its answer is there.
const AFTER_AT_MOST_US: u64 = 3_000;

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The runner.
    Runner,
    /// All of Pointsman's services on a host.
    Services(&'static str),
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Victim::Runner => f.write_str("runner"),
            Victim::Services(host) => write!(f, "services of {host}"),
        }
    }
}

/// A kill that is drawn: as soon as one of the subjects is seen, and a little later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// Who.
    pub victim: Victim,
    /// Within which request.
    pub request: Request,
    /// What is waited for: the request, the question for its outcome, or that for the runner's yes.
    pub subjects: Vec<String>,
    /// So much later.
    pub after: Duration,
}

/// Draws the kills of a leg, request by request: of one request the second comes at what follows the first.
///
/// # Errors
///
/// Never for the lab's own names.
pub fn draw(leg: Leg, chance: &mut Chance) -> anyhow::Result<Vec<Vec<Shot>>> {
    let (databases, rest) = leg.requests();
    let mut drawn = some(&databases, IN_DATABASES, chance);
    drawn.extend(some(&rest, ELSEWHERE, chance));
    // One half each: the runner, and whoever is asked.
    let mut runner = chance.below(2) == 0;
    let mut shots = Vec::new();
    for (request, times) in drawn {
        let mut of_request = Vec::new();
        for _ in 0..times {
            let victim = if runner { Victim::Runner } else { Victim::Services(request.host) };
            runner = !runner;
            of_request.push(shot(victim, request, chance)?);
        }
        shots.push(of_request);
    }
    Ok(shots)
}

/// `count` of them, each at most twice.
fn some(all: &[Request], count: usize, chance: &mut Chance) -> Vec<(Request, usize)> {
    let mut left: Vec<usize> = (0..all.len()).flat_map(|at| [at, at]).collect();
    let mut times = vec![0; all.len()];
    for _ in 0..count {
        let Some(at) = chance.pick(&left).copied() else { break };
        if let Some(found) = left.iter().position(|other| *other == at) {
            left.remove(found);
        }
        times[at] += 1;
    }
    all.iter().copied().zip(times).filter(|(_, times)| *times > 0).collect()
}

fn shot(victim: Victim, request: Request, chance: &mut Chance) -> anyhow::Result<Shot> {
    let prefix = Prefix::new("pointsman")?;
    let address = request.address()?;
    let asked = match request.action {
        Action::EnableAccess if chance.below(2) == 1 => prefix.confirm(),
        action => prefix.request(&address, Verb::Act(action)),
    };
    let subjects = vec![asked, prefix.request(&address, Verb::Outcome)];
    Ok(Shot { victim, request, subjects, after: Duration::from_micros(chance.below(AFTER_AT_MOST_US)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same seed repeats the draw, another one does not; each leg has all its kills, two thirds of them in
    /// databases: what they hit is judged afterwards.
    #[test]
    fn a_seed_draws_the_same_kills_again() {
        for leg in Leg::CYCLE {
            let of = |seed| draw(leg, &mut Chance::new(seed)).unwrap_or_default();
            assert_eq!(of(7), of(7));
            assert_ne!(of(7), of(8));
            for seed in 0..50 {
                let all = of(seed).concat();
                let inside = all.iter().filter(|shot| shot.request.of_database()).count();
                assert_eq!((inside, all.len()), (IN_DATABASES, IN_DATABASES + ELSEWHERE), "{leg:?}, {seed}");
                let runner = all.iter().filter(|shot| shot.victim == Victim::Runner).count();
                assert_eq!(runner * 2, all.len(), "{leg:?}, {seed}");
            }
        }
    }
}
