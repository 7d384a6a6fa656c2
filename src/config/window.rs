//! A span of time in which messages, recipients and octets are counted.

use std::fmt;
use std::time::Duration;

use super::units;
use crate::time::Moment;

/// A span of time in which messages, recipients and octets are counted: whole seconds, from one second to 31 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window(u32);

impl Window {
    /// 60 seconds.
    pub const MINUTE: Self = Self(60);
    /// 60 minutes.
    pub const HOUR: Self = Self(3_600);
    /// 24 hours.
    pub const DAY: Self = Self(86_400);
    /// 7 days.
    pub const WEEK: Self = Self(604_800);
    /// The windows with names, the shortest first. All that is sent is counted in each of them, limited or not.
    pub const NAMED: [Self; 4] = [Self::MINUTE, Self::HOUR, Self::DAY, Self::WEEK];
    /// The shortest that there is.
    pub const SHORTEST: Self = Self(1);
    /// The longest that there is: 31 days.
    pub const LONGEST: Self = Self(31 * 86_400);

    /// The window of a length; `None` where that is too short, too long, or not of whole seconds.
    #[must_use]
    pub fn of(length: Duration) -> Option<Self> {
        let whole = u32::try_from(length.as_secs()).ok().filter(|_| length.subsec_nanos() == 0)?;
        Some(Self(whole)).filter(|window| (Self::SHORTEST..=Self::LONGEST).contains(window))
    }

    /// The window of a name, or of a length as the configuration writes it: `day`, `5m`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let named = Self::NAMED.into_iter().find(|window| window.name() == Some(name));
        named.or_else(|| Self::of(units::duration(name)?))
    }

    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_secs(self.0.into())
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::MINUTE => Some("minute"),
            Self::HOUR => Some("hour"),
            Self::DAY => Some("day"),
            Self::WEEK => Some("week"),
            _ => None,
        }
    }

    /// The width of the slots in which it is counted, in milliseconds: a 600th of its length, so that a permit leaves
    /// at most 0.17 % late and never early.
    #[must_use]
    pub fn slot_width(self) -> i64 {
        i64::from(self.0) * 1_000 / 600
    }

    /// The number of the slot that a moment falls into.
    #[must_use]
    pub fn slot(self, at: Moment) -> i64 {
        at.0.div_euclid(self.slot_width())
    }

    /// When what was counted in a slot has left the window: its length after the end of the slot.
    #[must_use]
    pub fn leaves(self, slot: i64) -> Moment {
        Moment((slot + 1) * self.slot_width()).after(self.length())
    }

    /// The first slot that is kept at a moment: those before it have left, and a twelfth of the length has passed since. Where
    /// windows follow the calendar, a day may have 25 hours.
    #[must_use]
    pub fn first_kept(self, now: Moment) -> i64 {
        let length = self.length().as_millis() as i64;
        self.slot(Moment(now.0 - length - length / 12))
    }

    /// The slot for what another window has counted in one of its slots by `now`: that of the last moment at which it may have
    /// been. So it leaves late, never early.
    #[must_use]
    pub fn slot_of(self, other: Self, slot: i64, now: Moment) -> i64 {
        let last = (slot + 1) * other.slot_width() - 1;
        self.slot(Moment(last.min(now.0)))
    }
}

/// Its name; else its length, as the configuration writes it.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => f.write_str(&units::show(self.length())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_name_or_is_called_by_its_length() {
        for (text, want) in [
            ("minute", Some("minute")),
            ("1m", Some("minute")),
            ("60s", Some("minute")),
            ("7d", Some("week")),
            ("1s", Some("1s")),
            ("5m", Some("5m")),
            ("300s", Some("5m")),
            ("90m", Some("90m")),
            ("31d", Some("31d")),
            ("500ms", None),
            ("1500ms", None),
            ("0s", None),
            ("32d", None),
            ("999999999w", None),
            ("month", None),
            ("", None),
        ] {
            let window = Window::from_name(text);
            assert_eq!(window.map(|window| window.to_string()).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn nothing_leaves_early_and_nothing_much_late() {
        for window in
            ["1s", "7s", "1m", "5m", "59m", "1w", "31d"].map(|name| Window::from_name(name).unwrap())
        {
            for at in [0, 1, 999, 1_795_000_000_123].map(Moment) {
                let leaves = window.leaves(window.slot(at));
                let late = leaves.0 - at.after(window.length()).0;
                assert!((1..=window.slot_width()).contains(&late), "{window}: {late} ms");
                assert!(late * 590 <= window.length().as_millis() as i64, "{window}: {late} ms");
                for other in Window::NAMED {
                    let now = Moment(at.0 + 60);
                    let slot = window.slot_of(other, other.slot(at), now);
                    assert!(window.leaves(slot) >= window.leaves(window.slot(at)), "{window} from {other}");
                    assert!(slot <= window.slot(now), "{window} from {other}");
                }
            }
        }
    }
}
