//! The child process that evaluates: `pointsman expression-worker`.

use std::io::{self, BufReader};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Code, ExprError};
use crate::evaluator::{Evaluator, Inline};
use crate::wire::{self, Answer, Asked};

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "expression-worker";

/// Address space of a worker, in bytes; the stack of its thread included.
pub const MEMORY: u64 = 512 << 20;

/// Processor time of one evaluation, in seconds.
pub const CPU_SECONDS: u64 = 3;

const STACK: usize = 64 << 20;

/// Runs the worker until its standard input ends. Bounds are set first, by itself.
///
/// Reads requests and writes answers as length-prefixed JSON; nothing else may use its standard
/// output. What exceeds the bounds ends the process: that is the fence.
///
/// # Errors
///
/// The bounds cannot be set, or a pipe broke.
pub fn main() -> io::Result<()> {
    bound(Resource::As, MEMORY)?;
    bound(Resource::Core, 0)?;
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(serve)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the worker panicked")))
}

fn serve() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = io::stdout().lock();
    let mut evaluator = Inline::new();
    while let Some(body) = wire::read(&mut input)? {
        more_time()?;
        let answer: Answer = match serde_json::from_slice::<Asked>(&body) {
            Ok(asked) => {
                let vars: Vec<_> = asked.vars.iter().map(|(name, value)| (name.as_str(), value)).collect();
                evaluator.eval(&asked.source, &vars, &asked.input)
            }
            Err(error) => Err(ExprError::new(Code::Unavailable, format!("not a request: {error}"))),
        };
        wire::write(&mut output, &answer)?;
    }
    Ok(())
}

/// Lowers or raises the bound that holds, never the one above it.
fn bound(resource: Resource, n: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = maximum.map_or(n, |m| m.min(n));
    setrlimit(resource, Rlimit { current: Some(current), maximum })?;
    Ok(())
}

/// The limit counts from the process's start; each evaluation gets its share on top.
fn more_time() -> io::Result<()> {
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
    bound(Resource::Cpu, used + CPU_SECONDS)
}
