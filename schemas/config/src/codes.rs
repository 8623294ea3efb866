//! What each code of this crate means, for `pointsman explain`.

use document::CodeText;

pub(crate) const UNREADABLE: &str = "config-unreadable";
pub(crate) const VERSION: &str = "config-version";
pub(crate) const SITES: &str = "config-sites";
pub(crate) const REPLICATION: &str = "config-replication";
pub(crate) const REFERENCE: &str = "config-reference";
pub(crate) const TWICE: &str = "config-claimed-twice";
pub(crate) const ONE_PROBER: &str = "one-prober";
pub(crate) const FENCE: &str = "config-fence-within";
pub(crate) const VALUE: &str = "config-value";

/// Every code that this crate gives, beside those of [`document::CODES`].
pub const CODES: &[CodeText] = &[
    CodeText {
        code: UNREADABLE,
        cause: "A file or folder of the configuration cannot be read, or holds nothing of use.",
        remedy: "Check that it exists, is text in UTF-8, and may be read by this user.",
    },
    CodeText {
        code: VERSION,
        cause: "The file's `version` is not one that this program reads.",
        remedy: "Write `version: 1`, or use the program that the file was written for.",
    },
    CodeText {
        code: SITES,
        cause: "A group moves between exactly two distinct sites, and something names another one.",
        remedy: "Compare the name with the group's `sites`.",
    },
    CodeText {
        code: REPLICATION,
        cause: "A database does not say, for each direction, which replication serves it.",
        remedy: "Write both directions: `replication: { a->b: NAME, b->a: NAME }`, with two names.",
    },
    CodeText {
        code: REFERENCE,
        cause: "The file names something that is defined nowhere in it.",
        remedy: "Mend the name, or add what it names.",
    },
    CodeText {
        code: TWICE,
        cause: "One resource or record is claimed twice, in one group or in two. Moving one group would move \
                a part of the other.",
        remedy: "Leave it in one place. Things that always move together are one group.",
    },
    CodeText {
        code: ONE_PROBER,
        cause: "`trigger.mode: auto` while votes come from one prober: a single observer cannot tell a lost \
                site from its own lost link.",
        remedy: "Use `mode: ask`, or accept it: `one_prober: { accepted_by: NAME, why: TEXT, until: DATE }`.",
    },
    CodeText {
        code: FENCE,
        cause: "`fence.within` is shorter than an opening may still take: a yes counts for 2 s, and the act \
                that it allowed has its own bound.",
        remedy: "Make it at least as long as the message says.",
    },
    CodeText {
        code: VALUE,
        cause: "A value has the right type and makes no sense.",
        remedy: "The message says what is expected.",
    },
];
