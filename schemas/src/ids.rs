//! Names and numbers that cross the bus, each a type of its own.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// Why a text is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadId {
    /// Not `[a-z0-9][a-z0-9-]{0,62}`.
    #[error("`{0}` is not a name: lower-case letters, digits and `-`, at most 63, not starting with `-`")]
    Token(String),
    /// Names with a meaning of their own on the bus.
    #[error("`{0}` is reserved on the bus and cannot name a site")]
    Reserved(String),
    /// Not a position of a step.
    #[error(
        "`{0}` is not a position: it starts with `/`, is printable ASCII without spaces, and has at most 512 bytes"
    )]
    Position(String),
    /// Not a key.
    #[error("`{0}` is not a key: a run's id, `:` and a position")]
    Key(String),
    /// Not a UUID.
    #[error("`{0}` is not a UUID")]
    Uuid(String),
}

fn token(text: &str) -> Result<(), BadId> {
    let bytes = text.as_bytes();
    let good = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    if bytes.is_empty() || bytes.len() > 63 || bytes[0] == b'-' || !bytes.iter().all(good) {
        return Err(BadId::Token(text.into()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// Takes a text that keeps the grammar.
            ///
            /// # Errors
            ///
            /// Says what the grammar is.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                let check: fn(&str) -> Result<(), BadId> = $check;
                check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A protection group: what moves together.
    GroupId,
    "^[a-z0-9][a-z0-9-]{0,62}$",
    token
);
name!(
    /// A place where the system can live, or `witness`.
    SiteId,
    "^(?!(runner|event)$)[a-z0-9][a-z0-9-]{0,62}$",
    |text| {
        token(text)?;
        match text {
            "runner" | "event" => Err(BadId::Reserved(text.into())),
            _ => Ok(()),
        }
    }
);
name!(
    /// A thing that a service manages, unique for site and service under one prefix.
    ResourceId,
    "^[a-z0-9][a-z0-9-]{0,62}$",
    token
);
name!(
    /// Who asks, as the bus knows him.
    PersonId,
    "^[a-z0-9][a-z0-9-]{0,62}$",
    token
);
name!(
    /// The last token of an event's subject.
    KindId,
    "^[a-z0-9][a-z0-9-]{0,62}$",
    token
);
name!(
    /// Where a step stands in its definition: a JSON pointer (RFC 6901) whose frames may carry `[i]`
    /// (iteration), `#n` (visit) and `!undo`; these characters in names are percent-encoded.
    Position,
    "^/[!#-~]{0,511}$",
    |text| {
        let good = text.starts_with('/')
            && text.len() <= 512
            && text.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'"');
        if good { Ok(()) } else { Err(BadId::Position(text.into())) }
    }
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.parse().map(Self).map_err(|_| BadId::Uuid(text.into()))
            }
        }
    };
}

impl Position {
    /// Names no step but the judgement of a database after a boot of its server.
    #[must_use]
    pub fn boot(id: Uuid) -> Position {
        Position(format!("{BOOT}{}#1", id.simple()))
    }

    /// Whether it is one of [`Position::boot`].
    #[must_use]
    pub fn is_boot(&self) -> bool {
        self.0.starts_with(BOOT)
    }
}

/// No definition has it at its root.
const BOOT: &str = "/boot/";

uuid_id!(
    /// One execution of a workflow (a UUIDv7).
    RunId
);
uuid_id!(
    /// One service's ledger. A new or lost ledger has a new one.
    LedgerId
);
uuid_id!(
    /// One message, one event, one person's request.
    MessageId
);

impl RunId {
    /// The last `n` hexadecimal digits: the head of a UUIDv7 stays the same for weeks.
    pub fn short(&self, n: usize) -> String {
        let hex = self.0.simple().to_string();
        hex[hex.len().saturating_sub(n)..].to_owned()
    }
}

/// The number of a group's moves: a newer one fences the older (law 6).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The number of one sending of a key's request, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first.
    pub const FIRST: Attempt = Attempt(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Attempt {
        Attempt(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One effect: a run and the position of its step, visits included (law 5). Written `run:position`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:/[!#-~]{0,511}$"))]
pub struct Key {
    /// The run.
    pub run: RunId,
    /// The step.
    pub position: Position,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.run, self.position)
    }
}

impl FromStr for Key {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId::Key(text.into());
        let (run, position) = text.split_once(':').ok_or_else(bad)?;
        Ok(Key { run: run.parse().map_err(|_| bad())?, position: position.parse().map_err(|_| bad())? })
    }
}

impl TryFrom<String> for Key {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.to_string()
    }
}
