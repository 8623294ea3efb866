//! What each code of this crate means, for `pointsman explain`.

use document::CodeText;

pub(crate) const KEY: &str = "definition-key";
pub(crate) const SHAPE: &str = "definition-shape";
pub(crate) const UNSUPPORTED: &str = "definition-unsupported";
pub(crate) const EXPRESSION: &str = "definition-expression";
pub(crate) const SECRET: &str = "definition-secret";
pub(crate) const FUNCTION: &str = "definition-function";
pub(crate) const THEN: &str = "definition-then";
pub(crate) const NAME: &str = "definition-name";
pub(crate) const DURATION: &str = "definition-duration";
pub(crate) const SCHEMA: &str = "definition-schema";
pub(crate) const IN_DOUBT: &str = "definition-in-doubt";
pub(crate) const EFFECT: &str = "definition-effect";
pub(crate) const SIZE: &str = "definition-too-large";

/// Every code that loading a definition gives beside those of the crate `document`.
pub const CODES: &[CodeText] = &[
    CodeText {
        code: KEY,
        cause: "A key is not one of the language at this place, or a key that must be there is missing.",
        remedy: "Compare with the language's reference; what is ours stands in `metadata.dr`.",
    },
    CodeText {
        code: SHAPE,
        cause: "A value is not of the kind that the language wants here.",
        remedy: "Mend the value.",
    },
    CodeText {
        code: UNSUPPORTED,
        cause: "The language has this, and this version of Pointsman has not; nothing is skipped silently.",
        remedy: "Say it with the tasks that are supported: docs/language.md lists them.",
    },
    CodeText {
        code: EXPRESSION,
        cause: "An expression is not jq, or uses a function or variable that is not offered here.",
        remedy: "Mend the expression. Functions of the clock, the environment and other inputs are left out on purpose.",
    },
    CodeText {
        code: SECRET,
        cause: "An expression uses `$secrets` or `$authorization`; its result would stand in the journal.",
        remedy: "Leave credentials with the service that uses them (host.yaml).",
    },
    CodeText {
        code: FUNCTION,
        cause: "A call names no function of the catalog or of `use.functions`, or a function calls itself.",
        remedy: "Write service.action:version@default, such as database.enable-access:1.0.0@default.",
    },
    CodeText {
        code: THEN,
        cause: "`then` names no task of the same list.",
        remedy: "Name a task beside this one, or continue, exit or end.",
    },
    CodeText {
        code: NAME,
        cause: "A name is used twice in one list, is reserved, or cannot be a variable.",
        remedy: "Choose another name.",
    },
    CodeText {
        code: DURATION,
        cause: "A duration is neither ISO 8601 (PT15S) nor a map of days, hours, minutes, seconds, milliseconds.",
        remedy: "Write it so; at most 1,000 days.",
    },
    CodeText {
        code: SCHEMA,
        cause: "A JSON Schema in the definition cannot be used.",
        remedy: "Mend the schema.",
    },
    CodeText {
        code: IN_DOUBT,
        cause: "`inDoubt: pass` stands where an effect in doubt must not be passed over.",
        remedy: "Use `ask` for what opens a site; put a passing call into a `try` that catches the error `in-doubt`.",
    },
    CodeText {
        code: EFFECT,
        cause: "A function of the catalog does not say what it does to a site, or says something else than its parts do.",
        remedy: "Write the worst of its parts into `metadata.dr.effect`: opens, closes, changes or observes.",
    },
    CodeText {
        code: SIZE,
        cause: "Tasks stand too deep in each other or their names are too long: a position has 512 bytes.",
        remedy: "Make the definition flatter or the names shorter.",
    },
];
