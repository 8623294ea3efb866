//! Runs a script of an action until it is sure whether anything of it can still act.

use std::time::Duration;

use crate::{Ended, Guard, How, RunError, Script, lock};

/// How long the lock of a lost guard is awaited.
const LOCK_WITHIN: Duration = Duration::from_secs(10);

/// What is certain after a script. Whether its state is in effect is for a look to say, in every case but the
/// last nothing of the script runs any more (or only what a good start left).
#[derive(Debug)]
pub enum Settled {
    /// It exited with 0.
    Succeeded(Ended),
    /// It ran and ended otherwise.
    Failed {
        /// In words.
        why: String,
        /// Whether its bound ended it.
        timed_out: bool,
    },
    /// Nothing ran.
    NeverRan {
        /// In words.
        why: String,
        /// Because another script of the resource still runs.
        locked: bool,
    },
    /// Something of it may still run and act.
    MayAct {
        /// In words.
        why: String,
    },
}

impl Script {
    /// Runs it as [`Script::run`] does; where its guard is lost, takes the lock to see it gone.
    pub async fn settle(&self, guard: &Guard) -> Settled {
        match self.run(guard).await {
            Ok(ended) if ended.left > 0 => Settled::MayAct { why: ended.to_string() },
            Ok(ended) if ended.never_ran() => {
                Settled::NeverRan { locked: ended.how == How::Locked, why: ended.to_string() }
            }
            Ok(ended) if ended.succeeded() => Settled::Succeeded(ended),
            Ok(ended) => Settled::Failed { timed_out: ended.how == How::TimedOut, why: ended.to_string() },
            Err(cause) if cause.never_ran() => Settled::NeverRan { why: chain(&cause), locked: false },
            Err(cause) => self.settle_lost(&cause).await,
        }
    }

    async fn settle_lost(&self, cause: &RunError) -> Settled {
        let why = chain(cause);
        let Some(path) = self.lock_path() else {
            return Settled::MayAct { why };
        };
        match lock(path, LOCK_WITHIN).await {
            Ok(_) => Settled::Failed { why, timed_out: false },
            Err(cause) => Settled::MayAct { why: format!("{why}; {}", chain(&cause)) },
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
