//! A position in a cluster's write-ahead log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A log sequence number: bytes from the start of the log. Written as PostgreSQL does, `0/5A3F1C8`.
///
/// Positions of two clusters do not compare, except that a subscriber keeps its publisher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// The text is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position such as 0/5A3F1C8")]
pub struct BadLsn(String);

impl FromStr for Lsn {
    type Err = BadLsn;
    fn from_str(text: &str) -> Result<Self, BadLsn> {
        let bad = || BadLsn(text.into());
        let half = |t: &str| match t.len() {
            1..=8 if t.bytes().all(|b| b.is_ascii_hexdigit()) => {
                u64::from_str_radix(t, 16).map_err(|_| bad())
            }
            _ => Err(bad()),
        };
        let (high, low) = text.split_once('/').ok_or_else(bad)?;
        Ok(Lsn(half(high)? << 32 | half(low)?))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl TryFrom<String> for Lsn {
    type Error = BadLsn;
    fn try_from(text: String) -> Result<Self, BadLsn> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Lsn;

    #[test]
    fn reads_and_writes_as_the_server_does() {
        for (text, number) in [("0/0", 0), ("0/5A3F1C8", 0x5A3_F1C8), ("1A/FF", 0x1A_0000_00FF)] {
            assert_eq!(text.parse(), Ok(Lsn(number)));
            assert_eq!(Lsn(number).to_string(), text);
        }
        for text in ["", "0", "/", "0/", "0/123456789", "0/-1", "0/+1", "x/1"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }
}
