//! The rules of the protocol, each of which a test can leave out to see what breaks.

/// A rule that lives in the runner (design laws 4 to 8; the protocol's table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No new intent on a resource with an open key.
    OneOpenKey,
    /// `refused` settles only with `void`.
    RefusedNeedsVoid,
    /// "No responders" settles only if every attempt ended so.
    EveryAttemptUndelivered,
    /// An acceptance serves one epoch and ends with an opening there.
    AcceptanceOneEpoch,
    /// An acceptance counts only when every yes has run out.
    AcceptanceWaits,
    /// A yes is given only while the key is pending.
    YesWhilePending,
    /// No opening while another site counts as open.
    Gate,
    /// No unplanned opening that would lose more than was accepted.
    LossGate,
    /// What could not be asked is owed.
    Debts,
    /// Entering a task again is a new key.
    Visits,
    /// An answer that knows more than the journal holds the run.
    JournalBehind,
}

/// Which rules are kept: all of them, but in tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    without: Option<Rule>,
}

impl Rules {
    /// All of them.
    pub fn all() -> Rules {
        Rules::default()
    }

    /// All but one. Exists in tests only.
    #[cfg(any(test, feature = "breakage"))]
    pub fn without(rule: Rule) -> Rules {
        Rules { without: Some(rule) }
    }

    pub(crate) fn keep(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}
