//! What each code of this crate means, for `pointsman explain`.

/// A stable code with its cause and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeText {
    /// The code as diagnostics carry it.
    pub code: &'static str,
    /// What is the matter.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

pub(crate) const SYNTAX: &str = "document-syntax";
pub(crate) const DUPLICATE: &str = "document-duplicate-key";
pub(crate) const MERGE: &str = "document-merge-key";
pub(crate) const TAG: &str = "document-tag";
pub(crate) const SIZE: &str = "document-too-large";
pub(crate) const ALIAS: &str = "document-alias";
pub(crate) const NUMBER: &str = "document-number";
pub(crate) const EMPTY: &str = "document-empty";
pub(crate) const MANY: &str = "document-many";
pub(crate) const SHAPE: &str = "document-shape";
pub(crate) const KEY: &str = "document-key";

/// Every code that this crate gives.
pub const CODES: &[CodeText] = &[
    CodeText {
        code: SYNTAX,
        cause: "The text is not YAML (or, in a file that ends in .json, not JSON).",
        remedy: "Mend the place that is named. Indent with spaces, never with tabs.",
    },
    CodeText {
        code: DUPLICATE,
        cause: "A mapping has the same key twice; one of the two values would be lost.",
        remedy: "Remove or rename one of them.",
    },
    CodeText {
        code: MERGE,
        cause: "The merge key `<<` is of YAML 1.1 and is not read.",
        remedy: "Write the keys out; defaults belong into defaults.yaml.",
    },
    CodeText {
        code: TAG,
        cause: "The text has a tag that does not belong to YAML's core schema.",
        remedy: "Remove the tag, the word that begins with an exclamation mark.",
    },
    CodeText {
        code: SIZE,
        cause: "The document exceeds a bound: 1 MiB of text, 64 levels, or 100,000 values.",
        remedy: "Split the file, or make it flatter.",
    },
    CodeText {
        code: ALIAS,
        cause: "An alias names no anchor, names itself, or aliases multiply into too much.",
        remedy: "Define the anchor first, or write the value out.",
    },
    CodeText {
        code: NUMBER,
        cause: "A number is infinite, is not a number, or would lose digits when read.",
        remedy: "Write a smaller number, or put it into quotes if it is meant as text.",
    },
    CodeText {
        code: EMPTY,
        cause: "The file has no content.",
        remedy: "Write the content; `pointsman init` prints a commented beginning.",
    },
    CodeText {
        code: MANY,
        cause: "The file has more than one document, separated by `---`.",
        remedy: "Keep one document to a file.",
    },
    CodeText {
        code: KEY,
        cause: "A key is not a text: it is a number, a truth value, null, a list or a mapping.",
        remedy: "Put the key into quotes.",
    },
    CodeText {
        code: SHAPE,
        cause: "A key is unknown or missing, or a value is of the wrong type.",
        remedy: "Compare the place with the file's JSON Schema; `pointsman init` prints an example.",
    },
];
