//! What can be wrong with an expression.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Why an expression gave no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Which kind of trouble.
    pub code: Code,
    /// What is the matter, in a sentence.
    pub message: String,
    /// Where in the source, in bytes, if it has a place.
    pub span: Option<Range<usize>>,
}

/// The kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// It is not jq.
    #[serde(rename = "expression-syntax")]
    Syntax,
    /// It uses a function, format or variable that is not offered here.
    #[serde(rename = "expression-refused")]
    Refused,
    /// It failed on this input.
    #[serde(rename = "expression-failed")]
    Failed,
    /// Its source, input or result exceeds a bound.
    #[serde(rename = "expression-too-large")]
    TooLarge,
    /// It used more time or memory than an expression may; its worker was ended.
    #[serde(rename = "expression-fenced")]
    Fenced,
    /// No worker could be started or reached; the expression itself may be good.
    #[serde(rename = "expression-unavailable")]
    Unavailable,
}

impl Code {
    /// As it stands in messages and in `pointsman explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Syntax => "expression-syntax",
            Code::Refused => "expression-refused",
            Code::Failed => "expression-failed",
            Code::TooLarge => "expression-too-large",
            Code::Fenced => "expression-fenced",
            Code::Unavailable => "expression-unavailable",
        }
    }
}

impl ExprError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: None }
    }

    pub(crate) fn at(code: Code, message: impl Into<String>, span: Range<usize>) -> Self {
        Self { code, message: message.into(), span: Some(span) }
    }
}
