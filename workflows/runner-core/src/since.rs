//! Since when something is so, as people say it: the date, for it may last days, and how long that is.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::seam::Now;

/// `since 2026-11-29 03:13Z, 2 d 4 h`.
pub(crate) fn since(at: DateTime<Utc>, now: Now) -> String {
    let lasts = (now.wall - at).to_std().unwrap_or_default();
    format!("since {}, {}", at.format("%Y-%m-%d %H:%MZ"), lasting(lasts))
}

/// As people say it; it grows while they read it.
pub(crate) fn lasting(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        seconds => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_with_its_day_and_how_long_it_lasts() {
        let at = DateTime::UNIX_EPOCH + Duration::from_secs(3 * 3_600 + 13 * 60 + 59);
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (3_599, "59 min"),
            (3_600, "1 h 0 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d 0 h"),
            (2 * 86_400 + 4 * 3_600 + 3_599, "2 d 4 h"),
        ] {
            let now = Now { wall: at + Duration::from_secs(seconds), boot: Duration::ZERO };
            assert_eq!(since(at, now), format!("since 1970-01-01 03:13Z, {told}"));
        }
        // A clock that was set back.
        let now = Now { wall: at - Duration::from_secs(5), boot: Duration::ZERO };
        assert_eq!(since(at, now), "since 1970-01-01 03:13Z, 0 s");
    }
}
