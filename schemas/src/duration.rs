//! ISO 8601 durations, as the workflow language and the headers write them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The text is not a duration that we take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not an ISO 8601 duration such as PT15S, PT1M30S, PT0.5S or P1D (no years, months or signs)"
)]
pub struct BadDuration(pub String);

/// What [`parse_iso`] takes, for schemas; the bound of 1,000 days it cannot say.
pub const PATTERN: &str = r"^P(?=[0-9T])([0-9]{1,12}W)?([0-9]{1,12}D)?(T(?=[0-9])([0-9]{1,12}H)?([0-9]{1,12}M)?([0-9]{1,12}(\.[0-9]{1,9})?S)?)?$";

/// Reads `P[nW][nD][T[nH][nM][n.nS]]`; at most 1,000 days.
///
/// # Errors
///
/// Anything else.
pub fn parse_iso(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration(text.into());
    let rest = text.strip_prefix('P').ok_or_else(bad)?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return Err(bad()),
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(bad());
    }
    let mut millis: u128 = 0;
    let mut part = |text: &str, units: &[(char, u128)]| -> Result<(), BadDuration> {
        let mut rest = text;
        let mut units = units.iter();
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
            let (number, tail) = rest.split_at(end);
            let letter = tail.chars().next().ok_or_else(bad)?;
            let (_, unit) = units.find(|(l, _)| *l == letter).ok_or_else(bad)?;
            millis += scaled(number, *unit, letter == 'S').ok_or_else(bad)?;
            rest = &tail[1..];
        }
        Ok(())
    };
    part(date, &[('W', 604_800_000), ('D', 86_400_000)])?;
    part(time, &[('H', 3_600_000), ('M', 60_000), ('S', 1000)])?;
    if millis > 1000 * 86_400_000 {
        return Err(bad());
    }
    u64::try_from(millis).map(Duration::from_millis).map_err(|_| bad())
}

fn scaled(number: &str, unit: u128, fraction: bool) -> Option<u128> {
    let (whole, part) = match number.split_once('.') {
        Some((whole, part)) if fraction && !part.is_empty() && part.len() <= 9 => (whole, part),
        Some(_) => return None,
        None => (number, ""),
    };
    let digits = |t: &str| !t.is_empty() && t.len() <= 12 && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !(part.is_empty() || digits(part)) {
        return None;
    }
    let mut value = whole.parse::<u128>().ok()? * unit;
    if !part.is_empty() {
        value += part.parse::<u128>().ok()? * unit / 10u128.pow(u32::try_from(part.len()).ok()?);
    }
    Some(value)
}

/// Writes it in the form that [`parse_iso`] reads, to the millisecond.
pub fn format_iso(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let (hours, minutes, secs) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut out = String::from("PT");
    if hours > 0 {
        out.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        out.push_str(&format!("{minutes}M"));
    }
    if rest > 0 {
        out.push_str(&format!("{secs}.{rest:03}S"));
    } else if secs > 0 || out == "PT" {
        out.push_str(&format!("{secs}S"));
    }
    out
}

/// A duration in a message or an entry, written in ISO 8601 to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Iso(#[serde(with = "iso")] pub Duration);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis % 1000 {
            0 => write!(f, "{} s", millis / 1000),
            _ => write!(f, "{}.{} s", millis / 1000, millis % 1000 / 100),
        }
    }
}

impl JsonSchema for Iso {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "description": "A duration (ISO 8601)." })
    }
}

/// A [`Duration`] that is written in ISO 8601.
pub mod iso {
    use super::{Duration, format_iso, parse_iso};
    use serde::{Deserialize, Deserializer, Serializer};

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    ///
    /// The serializer's own.
    pub fn serialize<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format_iso(*duration))
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    ///
    /// Not an ISO 8601 duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(d)?;
        parse_iso(&text).map_err(serde::de::Error::custom)
    }
}
