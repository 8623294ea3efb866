//! The rules of protocol, each a switch that only tests can turn off.

macro_rules! rules {
    ($($field:ident $variant:ident $doc:literal;)*) => {
        /// Which rules hold. In the product all do: [`Rules::default`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Rules { $(#[doc = $doc] pub(crate) $field: bool,)* }

        impl Default for Rules {
            fn default() -> Self {
                Rules { $($field: true,)* }
            }
        }

        /// One rule.
        #[cfg(any(test, feature = "breakage"))]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule { $(#[doc = $doc] $variant,)* }

        #[cfg(any(test, feature = "breakage"))]
        impl Rule {
            /// Each of them.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];
        }

        #[cfg(any(test, feature = "breakage"))]
        impl Rules {
            /// All but one; to see a test fail.
            #[must_use]
            pub fn without(rule: Rule) -> Rules {
                let mut rules = Rules::default();
                match rule { $(Rule::$variant => rules.$field = false,)* }
                rules
            }
        }
    };
}

rules! {
    end_earlier EndEarlier "Earlier acts are ended before a look settles, an act starts or a claim is granted.";
    void Void "`outcome` writes that nothing was started and nothing will be.";
    honest_refusal HonestRefusal "A refusal says `void` only where that was written first.";
    stale_epoch StaleEpoch "`outcome` of an older epoch's key is `stale-epoch`, never `void`.";
    lower_epoch LowerEpoch "A lower epoch than the highest claimed is refused.";
    equal_epoch EqualEpoch "An equal epoch of another run is refused.";
    claimed_first ClaimedFirst "A request of an epoch that has not claimed is refused.";
    confirm Confirm "An opening asks the runner first.";
    yes_expires YesExpires "A yes counts for 2 s from the question.";
    applied_once AppliedOnce "A key that ended applied never acts again.";
    attempt_fence AttemptFence "A lower attempt than seen, or a void one, is refused.";
    one_digest OneDigest "A key with other arguments is refused.";
    one_at_a_time OneAtATime "One act at a time.";
    started_first StartedFirst "`started` is written before the act.";
    adopted_first AdoptedFirst "A ledger that is not adopted acts on nothing, and its void proves nothing.";
}
