//! What a person takes upon himself before an opening that loses something: a bound, or what nobody can tell.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::duration::{Iso, parse_iso};

/// A loss that somebody accepts, written as a duration (ISO 8601) or as `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossBound {
    /// At most so much. Given before anybody knew that it cannot be told, it says nothing of that.
    AtMost(Iso),
    /// One that nobody can tell. It says nothing of one that is known.
    Unknown,
}

impl LossBound {
    /// The word for a loss that nobody can tell.
    pub const UNTOLD: &'static str = "unknown";
}

impl fmt::Display for LossBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossBound::AtMost(bound) => write!(f, "at most {bound}"),
            LossBound::Unknown => f.write_str(Self::UNTOLD),
        }
    }
}

impl Serialize for LossBound {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            LossBound::AtMost(bound) => bound.serialize(s),
            LossBound::Unknown => s.serialize_str(Self::UNTOLD),
        }
    }
}

impl<'de> Deserialize<'de> for LossBound {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text == Self::UNTOLD {
            return Ok(LossBound::Unknown);
        }
        parse_iso(&text).map(|bound| LossBound::AtMost(Iso(bound))).map_err(de::Error::custom)
    }
}

impl JsonSchema for LossBound {
    fn schema_name() -> Cow<'static, str> {
        "LossBound".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bound = generator.subschema_for::<Iso>();
        json_schema!({
            "description": "A loss that somebody accepts: up to a bound, or one that nobody can tell.",
            "anyOf": [bound, { "const": Self::UNTOLD }],
        })
    }
}
