//! Durations, sizes and shares as people write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why a text is not the quantity that it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadUnit {
    /// Not a duration.
    #[error("`{0}` is not a duration such as 500ms, 15s, 5m, 1h30m or 2d, of at most 1000 days")]
    Span(String),
    /// Not a size.
    #[error("`{0}` is not a size such as 512MiB or 50GiB")]
    Size(String),
    /// Not a share.
    #[error("`{0}` is not a share from 1% to 100%")]
    Percent(String),
}

/// A duration, to the millisecond.
///
/// Read as `15s`, `5m`, `1h30m`; written, for workflows, in ISO 8601 (`PT15S`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

const SPAN_MAX: Duration = Duration::from_secs(1000 * 86_400);
const SPAN_UNITS: &[(&str, u64)] =
    &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }

    /// As the standard library has it.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Span, BadUnit> {
        let bad = || BadUnit::Span(text.to_owned());
        let mut rest = text;
        let mut units = SPAN_UNITS.iter();
        let mut millis: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            // Larger units first, each at most once.
            let (_, scale) = units.find(|(name, _)| *name == unit).ok_or_else(bad)?;
            let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale)).ok_or_else(bad)?;
            millis = millis.checked_add(part).ok_or_else(bad)?;
            rest = tail;
        }
        let span = Span(Duration::from_millis(millis));
        if text.is_empty() || span.0 > SPAN_MAX { Err(bad()) } else { Ok(span) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in SPAN_UNITS {
            if rest >= *scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

/// A number of bytes. Read as `50GiB`; written, for workflows, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

const SIZE_UNITS: &[(&str, u64)] = &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Size {
    /// A size of whole GiB.
    pub const fn gib(gib: u64) -> Size {
        Size(gib << 30)
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Size, BadUnit> {
        let parsed = SIZE_UNITS.iter().find_map(|(unit, scale)| {
            let number = text.strip_suffix(unit)?;
            let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            number.parse::<u64>().ok().filter(|_| plain)?.checked_mul(*scale)
        });
        parsed.map(Size).ok_or_else(|| BadUnit::Size(text.to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS.iter().find(|(_, scale)| self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// A share of a whole, from 1 to 100. Read as `90%`; written, for workflows, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// Ninety per cent.
    pub const NINETY: Percent = Percent(90);

    /// From 1 to 100.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Percent, BadUnit> {
        text.strip_suffix('%')
            .filter(|number| number.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|number| number.parse::<u8>().ok())
            .filter(|number| (1..=100).contains(number))
            .map(Percent)
            .ok_or_else(|| BadUnit::Percent(text.to_owned()))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&schemas::duration::format_iso(self.0))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(self.0)
    }
}

macro_rules! written {
    ($name:ident, $pattern:literal, $example:literal, $doc:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string", "pattern": $pattern, "examples": [$example], "description": $doc,
                })
            }
        }
    };
}

written!(Span, "^([0-9]+(ms|s|m|h|d))+$", "1h30m", "A duration: larger units first, each at most once.");
written!(Size, "^[0-9]+(KiB|MiB|GiB|TiB)$", "50GiB", "A number of bytes.");
written!(Percent, "^([1-9][0-9]?|100)%$", "90%", "A share of a whole.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        let good = [
            ("15s", "PT15S", "15s"),
            ("5m", "PT5M", "5m"),
            ("2h", "PT2H", "2h"),
            ("1h30m", "PT1H30M", "1h30m"),
            ("500ms", "PT0.500S", "500ms"),
            ("1d", "PT24H", "1d"),
            ("90s", "PT1M30S", "1m30s"),
            ("0s", "PT0S", "0s"),
        ];
        for (text, iso, shown) in good {
            let span: Span = text.parse().expect(text);
            assert_eq!(serde_json::to_value(span).expect(text), iso, "{text}");
            assert_eq!(span.to_string(), shown, "{text}");
        }
        for text in [
            "",
            "15",
            "s",
            "15 s",
            "1.5s",
            "-1s",
            "15S",
            "1m1h",
            "1s1s",
            "PT15S",
            "1001d",
            "9999999999999999999d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_shares_are_read_and_written() {
        assert_eq!("50GiB".parse(), Ok(Size::gib(50)));
        assert_eq!("512MiB".parse::<Size>().map(Size::bytes), Ok(512 << 20));
        assert_eq!("50GiB".parse::<Size>().map(|s| s.to_string()), Ok("50GiB".to_owned()));
        for text in ["", "50", "GiB", "50GB", "50 GiB", "-1GiB", "+1GiB", "99999999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!("90%".parse(), Ok(Percent::NINETY));
        assert_eq!("100%".parse::<Percent>().map(Percent::get), Ok(100));
        for text in ["", "%", "0%", "101%", "90", "9.5%", "+9%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
