//! Times for people: in their zone, and how far away.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::report::log::escape::printable;
use crate::time::{Clock as _, SystemClock};

/// The present and the zone that times are shown in.
#[derive(Debug)]
pub(super) struct When {
    now: Timestamp,
    zone: TimeZone,
}

impl When {
    /// Here and now.
    pub(super) fn now() -> Self {
        Self { now: SystemClock.wall(), zone: TimeZone::system() }
    }

    /// A time of the interface in local time; without the date when it is today.
    pub(super) fn local(&self, rfc3339: &str) -> String {
        let Ok(time) = rfc3339.parse::<Timestamp>() else {
            return printable(rfc3339);
        };
        let time = time.to_zoned(self.zone.clone());
        let today = self.now.to_zoned(self.zone.clone()).date();
        let format = if time.date() == today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        time.strftime(format).to_string()
    }

    /// A time in the future and how far it is: `14:32:05 (in 4m)`; `now` when it has come.
    pub(super) fn until(&self, rfc3339: &str) -> String {
        match self.seconds_to(rfc3339) {
            Some(ahead) if ahead > 0 => {
                format!("{} (in {})", self.local(rfc3339), span(ahead.unsigned_abs()))
            }
            Some(_) => "now".to_owned(),
            None => printable(rfc3339),
        }
    }

    /// How long ago a time was: `3m`.
    pub(super) fn age(&self, rfc3339: &str) -> String {
        let ahead = self.seconds_to(rfc3339).unwrap_or(0);
        span(ahead.min(0).unsigned_abs())
    }

    fn seconds_to(&self, rfc3339: &str) -> Option<i64> {
        let time = rfc3339.parse::<Timestamp>().ok()?;
        // Rounded up, so that "in 0s" never stands for something that is yet to come.
        Some((time.as_millisecond() - self.now.as_millisecond() + 999).div_euclid(1000))
    }
}

/// A duration in its two largest units: `45s`, `4m`, `3h 20m`, `5d 2h`.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, m) => format!("{m}m"),
        (0, h, 0) => format!("{h}h"),
        (0, h, m) => format!("{h}h {m}m"),
        (d, 0, _) => format!("{d}d"),
        (d, h, _) => format!("{d}d {h}h"),
    }
}

#[cfg(test)]
impl When {
    /// A given moment, in UTC.
    pub(super) fn utc(now: &str) -> Self {
        Self { now: now.parse().unwrap(), zone: TimeZone::UTC }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, want) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_600, "1h"),
            (12_000, "3h 20m"),
            (86_400, "1d"),
            (439_200, "5d 2h"),
        ] {
            assert_eq!(span(seconds), want);
        }
    }

    #[test]
    fn times_are_local_and_tell_the_distance() {
        let mut when = When::utc("2026-11-22T23:30:00Z");
        assert_eq!(when.until("2026-11-22T23:34:00.500Z"), "23:34:00 (in 4m)");
        assert_eq!(when.until("2026-11-22T23:30:00.100Z"), "23:30:00 (in 1s)");
        assert_eq!(when.until("2026-11-22T23:29:59Z"), "now");
        assert_eq!(when.age("2026-11-22T23:00:00Z"), "30m");
        assert_eq!(when.age("2026-11-23T23:00:00Z"), "0s");
        when.zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(when.local("2026-11-22T23:34:00Z"), "00:34:00", "it is the 23rd there already");
        assert_eq!(when.local("2026-11-22T22:34:00Z"), "2026-11-22 23:34:00");
    }
}
