//! How long something holds, and when its end is worth telling.

use std::time::Duration;

use jiff::Timestamp;

/// Days before an end at which it is told, and told again.
const DAYS: [u64; 4] = [1, 3, 14, 30];
const DAY: Duration = Duration::from_hours(24);
/// No step is longer than this part of how long the thing holds. What lives for a short time is renewed late: a certificate of
/// 90 days at its last 30, one of six days in its last three. Told by then, each renewal would be a false alarm.
const PART: u32 = 4;

/// How long something holds: a certificate (RFC 5280 4.1.2.5), a secret, a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From when, where that is known.
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Timestamp,
}

impl Validity {
    /// Until a time; from when is not known.
    #[must_use]
    pub fn until(until: Timestamp) -> Self {
        Self { from: None, until }
    }

    /// How near the end is: 30, 14, 3 or 1 days, 0 once it has come, `None` while there is time.
    #[must_use]
    pub fn step(&self, now: Timestamp) -> Option<u64> {
        if self.until <= now {
            return Some(0);
        }
        let left = now.duration_until(self.until).unsigned_abs();
        let lives = self.from.map(|from| from.duration_until(self.until).unsigned_abs());
        let is_late = |step: Duration| lives.is_none_or(|lives| step <= lives / PART);
        DAYS.into_iter().find(|&days| {
            let step = DAY * days as u32;
            left <= step && is_late(step)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At how many hours before the end each new step is told, of something that holds for so many hours.
    fn told(lives: Option<i64>) -> Vec<i64> {
        let until: Timestamp = "2027-03-01T00:00:00Z".parse().unwrap();
        let before = |hours: i64| Timestamp::from_second(until.as_second() - hours * 3600).unwrap();
        let validity = Validity { from: lives.map(before), until };
        let mut last = None;
        let mut told = Vec::new();
        for hours in (-1..=lives.unwrap_or(60 * 24)).rev() {
            let step = validity.step(before(hours));
            if step != last {
                told.push(hours);
                last = step;
            }
        }
        told
    }

    #[test]
    fn what_is_renewed_late_is_told_late() {
        assert_eq!(told(None), [720, 336, 72, 24, 0]);
        assert_eq!(told(Some(365 * 24)), [720, 336, 72, 24, 0]);
        assert_eq!(told(Some(90 * 24)), [336, 72, 24, 0]);
        assert_eq!(told(Some(47 * 24)), [72, 24, 0]);
        assert_eq!(told(Some(6 * 24)), [24, 0]);
        assert_eq!(told(Some(48)), [0]);
    }
}
