//! Names of streams.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name of a stream, in bytes.
pub const STREAM_MAX: usize = 128;

/// The name of one chain of entries: `run/<uuid>` or `group/<name>`.
///
/// Ordered by its bytes. A name is ASCII, at most [`STREAM_MAX`] bytes, and its second part
/// matches `[a-z0-9][a-z0-9-]*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct StreamId(String);

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// One run, which ends.
    Run,
    /// One group, which never ends.
    Group,
}

/// A text that is not the name of a stream.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("`{given}` is not a stream: expected `run/<uuid>` or `group/<name>`")]
pub struct BadStream {
    /// The text, cut to [`STREAM_MAX`] characters.
    pub given: String,
}

impl StreamId {
    /// The stream of a run.
    ///
    /// # Errors
    ///
    /// `id` has characters outside `[a-z0-9-]`, or is empty or too long.
    pub fn run(id: impl fmt::Display) -> Result<Self, BadStream> {
        format!("run/{id}").parse()
    }

    /// The stream of a group.
    ///
    /// # Errors
    ///
    /// `name` has characters outside `[a-z0-9-]`, or is empty or too long.
    pub fn group(name: impl fmt::Display) -> Result<Self, BadStream> {
        format!("group/{name}").parse()
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the stream holds.
    pub fn kind(&self) -> StreamKind {
        if self.0.starts_with("group/") { StreamKind::Group } else { StreamKind::Run }
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl FromStr for StreamId {
    type Err = BadStream;

    fn from_str(text: &str) -> Result<Self, BadStream> {
        let bad = || BadStream { given: text.chars().take(STREAM_MAX).collect() };
        let (kind, name) = text.split_once('/').ok_or_else(bad)?;
        let known = matches!(kind, "run" | "group");
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let fits = !name.is_empty() && !name.starts_with('-') && text.len() <= STREAM_MAX;
        if known && plain && fits { Ok(Self(text.to_owned())) } else { Err(bad()) }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["run/0192f0c1-7d1e-7000-8000-000000000001", "group/cfg", "group/0-x"] {
            assert_eq!(good.parse::<StreamId>().map(|s| s.to_string()), Ok(good.to_owned()));
        }
        let long = format!("group/{}", "a".repeat(STREAM_MAX));
        for bad in
            ["", "run", "run/", "run/A", "group/-a", "group/a b", "group/a/b", "x/a", "group/a\0", &long]
        {
            assert!(bad.parse::<StreamId>().is_err(), "{bad}");
        }
    }
}
