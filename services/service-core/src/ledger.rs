//! Is this key new, known, void, in progress? The ledger's whole machine: two questions, one table.
//!
//! `golden/ledger.txt` lists every pair of state and question.

use schemas::{Attempt, Digest};

use crate::Rules;
use crate::record::End;

/// What the ledger knows of one key in the current epoch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// No attempt up to this one will be started (again).
    pub void: Option<Attempt>,
    /// The latest attempt that was started.
    pub last: Option<Last>,
}

/// The latest attempt that was started.
#[derive(Debug, Clone, PartialEq)]
pub struct Last {
    /// Which.
    pub attempt: Attempt,
    /// Of its request.
    pub digest: Digest,
    /// How it ended; none while it has not been seen to.
    pub end: Option<End>,
}

/// Whether the key's started attempt is being worked on by this life of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// It is.
    Here,
    /// It is not: what is started and not ended is of an earlier life, or ended in doubt.
    No,
    /// It is not, and what was left of it has just been ended.
    SeenGone,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start it. `doubtful`: an earlier attempt may be in effect, so a look must tell before it acts.
    Start {
        /// Whether.
        doubtful: bool,
    },
    /// It ended applied: look, never act.
    LookOnly,
    /// The ledger knows the answer.
    Ledger,
    /// It is being done.
    InProgress,
    /// Earlier acts first have to be ended and looked at.
    EndFirst,
    /// It was ended, and nobody can tell.
    InDoubt,
    /// Refused: other arguments.
    KeyReused,
    /// Refused: a later attempt was seen.
    LowerAttempt,
    /// Refused: it was declared void.
    Void,
}

/// What to do with a question for the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Write `void` up to the attempt asked for, then answer.
    WriteVoid,
    /// The ledger knows the answer.
    Ledger,
    /// It is being done: wait.
    Wait,
    /// Earlier acts first have to be ended and looked at.
    EndFirst,
    /// It was ended, and nobody can tell.
    InDoubt,
}

impl Known {
    /// A request for `attempt` arrives.
    pub fn asked(&self, attempt: Attempt, digest: Digest, running: Running, rules: Rules) -> Verdict {
        let void = rules.attempt_fence && self.void.is_some_and(|upto| attempt <= upto);
        let Some(last) = &self.last else {
            return if void { Verdict::Void } else { Verdict::Start { doubtful: false } };
        };
        if rules.one_digest && digest != last.digest {
            return Verdict::KeyReused;
        }
        if rules.attempt_fence && attempt < last.attempt {
            return Verdict::LowerAttempt;
        }
        match (&last.end, running) {
            (None, Running::Here) => Verdict::InProgress,
            (None, Running::No) => Verdict::EndFirst,
            (None, Running::SeenGone) if attempt == last.attempt || void => Verdict::InDoubt,
            (None, Running::SeenGone) => Verdict::Start { doubtful: true },
            (Some(_), _) if attempt == last.attempt => Verdict::Ledger,
            (Some(End::Applied { .. }), _) if rules.applied_once => Verdict::LookOnly,
            (Some(_), _) if void => Verdict::Ledger,
            (Some(End::InDoubt { .. }), _) => Verdict::Start { doubtful: true },
            (Some(_), _) => Verdict::Start { doubtful: false },
        }
    }

    /// Somebody asks what became of the key, having sent no attempt above `attempt`.
    pub fn outcome(&self, attempt: Attempt, running: Running) -> Settle {
        let fenced = self.void.is_some_and(|upto| attempt <= upto);
        match (&self.last, running) {
            (_, Running::Here) => Settle::Wait,
            (None, _) if fenced => Settle::Ledger,
            (None, _) => Settle::WriteVoid,
            (Some(Last { end: None, .. }), Running::No) => Settle::EndFirst,
            (Some(Last { end: None, .. }), Running::SeenGone) => Settle::InDoubt,
            (Some(Last { end: Some(End::Applied { .. }), .. }), _) => Settle::Ledger,
            // It did not take effect; a later attempt that is still on its way must not either.
            (Some(last), _) if attempt > last.attempt && !fenced => Settle::WriteVoid,
            (Some(_), _) => Settle::Ledger,
        }
    }

    /// The highest attempt that an answer is about.
    pub fn highest(&self) -> Attempt {
        let last = self.last.as_ref().map(|last| last.attempt);
        last.max(self.void).unwrap_or(Attempt(0))
    }
}
