//! Whether anybody rewrote a run, against a hash that was kept elsewhere.
//!
//! Inside a file everything can be rewritten with a chain that fits. So the head is taken from outside: the
//! run's last event carries it, and whoever keeps events has it. The run's last entry names where its group's
//! chain stood, so this one hash covers the acceptances, decisions and debts up to the run's end too.

use journal::{Digest, Link};
use serde::Serialize;
use thiserror::Error;

use crate::Evidence;
use crate::evidence::Noted;

/// What was found in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Entries of the run, up to the head.
    pub entries: u64,
    /// Entries of its group that the head covers.
    pub group_entries: u64,
    /// Entries of its group that came after the run's end: sound, and proved by nothing from outside.
    pub later: u64,
}

/// It was not found in order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// Another head.
    #[error("the run's last entry ({seq}) has the hash {found}, not {said}: this is not what was recorded")]
    OtherHead {
        /// The last entry's number.
        seq: u64,
        /// Its hash.
        found: Digest,
        /// What was kept elsewhere.
        said: Digest,
    },
    /// The run has no entries.
    #[error("there is no entry of the run")]
    Empty,
    /// The run has not ended: its head moves on.
    #[error("the run has not ended: its chain goes on after {0}")]
    NotEnded(u64),
    /// The group's entries are not those that the run's own entries name.
    #[error("the group's entry {seq} is missing, or is not the one that the run names")]
    Group {
        /// Its number.
        seq: u64,
    },
    /// An entry of the group was written after another entry of the run than this.
    #[error("the group's entry {seq} names another entry {of} of the run")]
    Run {
        /// The group's entry.
        seq: u64,
        /// The run's.
        of: u64,
    },
}

/// Compares the run's last entry with `head`, and its group's entries with those that it names.
/// Checksums and chains were verified when the evidence was read.
///
/// # Errors
///
/// See [`VerifyError`].
pub fn verify(evidence: &Evidence, head: &Digest) -> Result<Verified, VerifyError> {
    let last = evidence.head().ok_or(VerifyError::Empty)?;
    if last.hash != *head {
        return Err(VerifyError::OtherHead { seq: last.seq, found: last.hash, said: *head });
    }
    if !matches!(last.entry, runner_core::RunEntry::Ended { .. }) {
        return Err(VerifyError::NotEnded(last.seq));
    }
    let first = evidence.entries.first().and_then(|entry| entry.link.as_ref());
    let covered = match &last.link {
        Some(link) => covered(&evidence.group, link, first)?,
        // A run without a group, or of a version that did not name it.
        None => 0,
    };
    for entry in &evidence.group {
        let Some(link) = entry.link.as_ref().filter(|link| link.stream.name() == evidence.run.to_string())
        else {
            continue;
        };
        if !evidence.entries.iter().any(|own| own.seq == link.seq && own.hash == link.hash) {
            return Err(VerifyError::Run { seq: entry.seq, of: link.seq });
        }
    }
    let upto = last.link.as_ref().map_or(0, |link| link.seq);
    let later = evidence.group.iter().filter(|entry| entry.seq > upto).count() as u64;
    Ok(Verified { entries: last.seq, group_entries: covered, later })
}

/// From the named entry backwards, unbroken, at least to where the run began.
fn covered<T>(group: &[Noted<T>], to: &Link, from: Option<&Link>) -> Result<u64, VerifyError> {
    let missing = |seq| VerifyError::Group { seq };
    let mut wanted = (to.seq, to.hash);
    let mut count = 0;
    for entry in group.iter().rev().skip_while(|entry| entry.seq > to.seq) {
        if (entry.seq, entry.hash) != wanted {
            break;
        }
        count += 1;
        wanted = (entry.seq - 1, entry.prev);
    }
    let (reached, _) = wanted;
    match from {
        // The run's first entry names the one before: it was written in the same moment.
        _ if count == 0 => Err(missing(to.seq)),
        Some(from) if reached > from.seq => Err(missing(reached)),
        Some(from) if reached == from.seq && wanted.1 != from.hash => Err(missing(from.seq)),
        _ => Ok(count),
    }
}
