//! An error of the language: RFC 7807's members, and the standard types in all their spellings.

use serde::{Deserialize, Serialize};

/// What a task ended with when it did not end well (the language's `error`, RFC 7807).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Error {
    /// A URI reference that identifies the type.
    #[serde(rename = "type")]
    pub kind: String,
    /// As HTTP counts.
    pub status: u16,
    /// A short sentence that is the same for each error of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Which task, as a JSON pointer with index and name (`/do/0/raiseError`); filled in by the
    /// engine where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// The types that the language names, and `in-doubt`, which is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standard {
    /// The definition or the environment is wrong.
    Configuration,
    /// A value does not fit its schema.
    Validation,
    /// An expression failed.
    Expression,
    /// Not known.
    Authentication,
    /// Not allowed.
    Authorization,
    /// A bound passed.
    Timeout,
    /// The other side could not be reached, or answered with an error.
    Communication,
    /// Anything else in the runtime.
    Runtime,
    /// Asked, and what became of it is not known (design law 4).
    InDoubt,
}

const BASES: [&str; 4] = [
    "https://serverlessworkflow.io/spec/1.0.0/errors/",
    "https://open-workflow-specification.org/spec/1.0.0/errors/",
    "https://serverlessworkflow.io/dsl/errors/types/",
    "https://open-workflow-specification.org/dsl/errors/types/",
];

impl Standard {
    /// Each of them.
    pub const ALL: [Standard; 9] = [
        Standard::Configuration,
        Standard::Validation,
        Standard::Expression,
        Standard::Authentication,
        Standard::Authorization,
        Standard::Timeout,
        Standard::Communication,
        Standard::Runtime,
        Standard::InDoubt,
    ];

    /// The last segment of its type.
    pub fn as_str(self) -> &'static str {
        match self {
            Standard::Configuration => "configuration",
            Standard::Validation => "validation",
            Standard::Expression => "expression",
            Standard::Authentication => "authentication",
            Standard::Authorization => "authorization",
            Standard::Timeout => "timeout",
            Standard::Communication => "communication",
            Standard::Runtime => "runtime",
            Standard::InDoubt => "in-doubt",
        }
    }

    /// The status that the language gives it.
    pub fn status(self) -> u16 {
        match self {
            Standard::Configuration | Standard::Validation | Standard::Expression => 400,
            Standard::Authentication => 401,
            Standard::Authorization => 403,
            Standard::Timeout => 408,
            Standard::Communication | Standard::Runtime | Standard::InDoubt => 500,
        }
    }

    /// The type as we write it.
    pub fn uri(self) -> String {
        format!("{}{}", BASES[0], self.as_str())
    }

    /// Which one a type names, in any of the spellings that are about.
    pub fn of(kind: &str) -> Option<Standard> {
        let name = BASES.iter().find_map(|base| kind.strip_prefix(base))?;
        Standard::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// Whether two types are the same: equal texts, or two spellings of one standard type.
pub fn same_type(one: &str, other: &str) -> bool {
    one == other || Standard::of(one).is_some_and(|s| Standard::of(other) == Some(s))
}

impl Error {
    /// An error of a standard type.
    pub fn standard(standard: Standard, detail: impl Into<String>) -> Error {
        let title = match standard {
            Standard::Configuration => "Configuration Error",
            Standard::Validation => "Validation Error",
            Standard::Expression => "Expression Error",
            Standard::Authentication => "Authentication Error",
            Standard::Authorization => "Authorization Error",
            Standard::Timeout => "Timeout",
            Standard::Communication => "Communication Error",
            Standard::Runtime => "Runtime Error",
            Standard::InDoubt => "In Doubt",
        };
        Error {
            kind: standard.uri(),
            status: standard.status(),
            title: Some(title.into()),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    /// Whether it is of this standard type, in any spelling.
    pub fn is(&self, standard: Standard) -> bool {
        Standard::of(&self.kind) == Some(standard)
    }

    fn sentence(&self) -> String {
        let what = self.title.as_deref().unwrap_or(&self.kind);
        match &self.detail {
            Some(detail) => format!("{what}: {detail}"),
            None => what.to_owned(),
        }
    }
}

/// The static part of a `catch`: members that an error must have, equal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorFilter {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) instance: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) detail: Option<String>,
}

impl ErrorFilter {
    /// Whether an error has them all.
    pub(crate) fn matches(&self, error: &Error) -> bool {
        let same = |want: &Option<String>, have: &Option<String>| want.is_none() || want == have;
        self.kind.as_ref().is_none_or(|kind| same_type(kind, &error.kind))
            && self.status.is_none_or(|status| status == error.status)
            && same(&self.instance, &error.instance)
            && same(&self.title, &error.title)
            && same(&self.detail, &error.detail)
    }
}
