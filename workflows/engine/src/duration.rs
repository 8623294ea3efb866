//! Durations, as the language writes them.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Standard};

/// The longest duration that the language takes here: 1,000 days.
pub(crate) const DURATION_MAX_MS: u64 = 1000 * 86_400_000;

/// A duration of the language (ISO 8601, or a map of units) in milliseconds.
///
/// # Errors
///
/// `configuration`: it is none.
pub(crate) fn millis(value: &Value) -> Result<u64, Error> {
    let bad = |why: String| Error::standard(Standard::Configuration, why);
    let millis = match value {
        Value::String(text) => {
            let duration: Duration = schemas::duration::parse_iso(text).map_err(|e| bad(e.to_string()))?;
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
        }
        Value::Object(units) if !units.is_empty() => {
            let mut sum = 0_u64;
            for (unit, n) in units {
                let one = match unit.as_str() {
                    "days" => 86_400_000,
                    "hours" => 3_600_000,
                    "minutes" => 60_000,
                    "seconds" => 1000,
                    "milliseconds" => 1,
                    _ => return Err(bad(format!("`{unit}` is not a unit of time"))),
                };
                let n =
                    n.as_u64().ok_or_else(|| bad(format!("`{unit}` of a duration is not a whole number")))?;
                sum = sum.saturating_add(n.saturating_mul(one));
            }
            sum
        }
        other => return Err(bad(format!("{other} is not a duration"))),
    };
    if millis > DURATION_MAX_MS {
        return Err(bad("a duration is longer than 1,000 days".into()));
    }
    Ok(millis)
}
