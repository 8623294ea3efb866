//! Risks that somebody took, in writing.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A risk that a person took in advance. It counts until a day, never for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// Who takes it.
    pub accepted_by: String,
    /// Why.
    pub why: String,
    /// The last day, or the instant, on which it counts.
    pub until: Until,
}

impl Acceptance {
    /// Whether it still counts at `now`.
    pub fn counts_at(&self, now: DateTime<Utc>) -> bool {
        now < self.until.end()
    }
}

/// The end of an acceptance: a day (to its end, in UTC) or an instant with its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The last day.
    Day(NaiveDate),
    /// The instant at which it ends.
    Instant(DateTime<Utc>),
}

impl Until {
    /// The first instant at which it no longer counts.
    pub fn end(self) -> DateTime<Utc> {
        match self {
            Until::Instant(at) => at,
            Until::Day(day) => match day.checked_add_days(Days::new(1)) {
                Some(next) => next.and_time(NaiveTime::MIN).and_utc(),
                None => DateTime::<Utc>::MAX_UTC,
            },
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Until::Day(day) => write!(f, "{day}"),
            Until::Instant(at) => f.write_str(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        }
    }
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Until::Day(day));
        }
        DateTime::parse_from_rfc3339(&text).map(|at| Until::Instant(at.to_utc())).map_err(|_| {
            let expected =
                &"a day such as 2027-06-30, or an instant with its offset such as 2027-06-30T12:00:00Z";
            D::Error::invalid_value(Unexpected::Str(&text), expected)
        })
    }
}

impl JsonSchema for Until {
    fn schema_name() -> Cow<'static, str> {
        "Until".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The last day (UTC), or the instant with its offset, on which it counts.",
            "type": "string",
            "anyOf": [{ "format": "date" }, { "format": "date-time" }],
        })
    }
}

macro_rules! word_or_acceptance {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $word:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            #[doc = $what]
            $variant,
            /// Somebody took the risk in advance.
            Accepted(Acceptance),
        }

        impl $name {
            /// The acceptance, if it counts at `now`.
            pub fn accepted_at(&self, now: DateTime<Utc>) -> Option<&Acceptance> {
                match self {
                    $name::Accepted(acceptance) if acceptance.counts_at(now) => Some(acceptance),
                    _ => None,
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                match self {
                    $name::$variant => s.serialize_str($word),
                    $name::Accepted(acceptance) => acceptance.serialize(s),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Read;
                impl<'de> Visitor<'de> for Read {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("`", $word, "` or `{ accepted_by, why, until }`"))
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        match text {
                            $word => Ok($name::$variant),
                            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                        }
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        Acceptance::deserialize(MapAccessDeserializer::new(map)).map($name::Accepted)
                    }
                }
                d.deserialize_any(Read)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let acceptance = generator.subschema_for::<Acceptance>();
                json_schema!({ "anyOf": [{ "const": $word, "description": $what }, acceptance] })
            }
        }
    };
}

word_or_acceptance!(
    /// What happens when a risk shows: ask, or go on because somebody took it in advance.
    AskOr, Ask, "ask", "A person is asked each time."
);
word_or_acceptance!(
    /// Whether a risk is refused, or somebody took it.
    RefusedOr, Refused, "refused", "It is refused."
);
