//! The hours in which mail goes that a rule delays.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// What `delay_until` says: mail waits for a time of day, or for the hours that begin then and in which it need not wait. All
/// of it by the clock of a time zone, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    opens: Time,
    /// `None`: there is no hour in which it need not wait.
    closes: Option<Time>,
}

impl Schedule {
    /// Reads `22:00`, or `22:00-06:00`. `None` for all else, and where the hours have no length.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
        let (opens, closes) = match text.split_once('-') {
            Some((opens, closes)) => (time(opens)?, Some(time(closes)?)),
            None => (time(text)?, None),
        };
        (closes != Some(opens)).then_some(Self { opens, closes })
    }

    /// The time of day that is waited for.
    #[must_use]
    pub fn opens(&self) -> String {
        self.opens.strftime("%H:%M").to_string()
    }

    /// The next moment when the clock of the zone shows that time; `None` when mail may go now.
    #[must_use]
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let here = now.to_zoned(zone.clone());
        if self.is_open(here.time()) {
            return None;
        }
        let today = here.date();
        let days = [Some(today), today.tomorrow().ok()].into_iter().flatten();
        days.flat_map(|day| self.openings(day, zone)).filter(|at| *at > now).min()
    }

    /// Whether it is one of the hours, which may go over midnight.
    fn is_open(&self, time: Time) -> bool {
        match self.closes {
            None => false,
            Some(closes) if self.opens < closes => self.opens <= time && time < closes,
            Some(closes) => self.opens <= time || time < closes,
        }
    }

    /// When the clock shows that time on a day: twice where the clock is put back. Where the day lacks it, the zone's rules say
    /// which moment stands for it.
    fn openings(&self, day: Date, zone: &TimeZone) -> impl Iterator<Item = Timestamp> + use<> {
        let moment = zone.to_ambiguous_timestamp(day.to_datetime(self.opens));
        [moment.compatible().ok(), moment.later().ok()].into_iter().flatten()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.opens())?;
        self.closes.map_or(Ok(()), |closes| write!(f, "-{}", closes.strftime("%H:%M")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read() {
        for (text, want) in [
            ("22:00", Some("22:00")),
            ("22:00-06:30", Some("22:00-06:30")),
            (" 9:05 - 17:00 ", Some("09:05-17:00")),
            ("22:00-00:00", Some("22:00-00:00")),
            ("22:00-22:00", None),
            ("22:00-24:00", None),
            ("22:00-", None),
            ("22:00-06:00-07:00", None),
            ("25:00", None),
            ("22", None),
            ("", None),
        ] {
            assert_eq!(Schedule::parse(text).map(|read| read.to_string()).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn the_next_time_that_mail_may_go() {
        const NOW: &str = "it may now";
        let zurich = TimeZone::get("Europe/Zurich").unwrap();
        for (now, schedule, want) in [
            // In winter the clock is an hour ahead of UTC.
            ("2026-11-26T20:59:00Z", "22:00", "2026-11-26T21:00:00Z"),
            ("2026-11-26T21:00:00Z", "22:00", "2026-11-27T21:00:00Z"),
            ("2026-11-26T22:30:00Z", "22:00", "2026-11-27T21:00:00Z"),
            ("2026-11-26T20:59:59Z", "22:00-06:00", "2026-11-26T21:00:00Z"),
            ("2026-11-26T21:00:00Z", "22:00-06:00", NOW),
            ("2026-11-26T22:59:59Z", "22:00-06:00", NOW),
            ("2026-11-26T23:00:00Z", "22:00-06:00", NOW),
            ("2026-11-27T04:59:59Z", "22:00-06:00", NOW),
            ("2026-11-27T05:00:00Z", "22:00-06:00", "2026-11-27T21:00:00Z"),
            ("2026-11-26T22:59:59Z", "22:00-00:00", NOW),
            ("2026-11-26T23:00:00Z", "22:00-00:00", "2026-11-27T21:00:00Z"),
            ("2026-11-26T23:00:00Z", "00:00-05:00", NOW),
            ("2026-11-26T12:00:00Z", "09:00-17:00", NOW),
            ("2026-11-26T16:00:00Z", "09:00-17:00", "2026-11-27T08:00:00Z"),
            ("2026-11-26T07:59:00Z", "09:00-17:00", "2026-11-26T08:00:00Z"),
            // There is no 02:30 on that day: the clock goes from 02:00 to 03:00.
            ("2026-03-29T00:00:00Z", "02:30", "2026-03-29T01:30:00Z"),
            ("2026-03-29T00:00:00Z", "02:00-02:30", "2026-03-29T01:00:00Z"),
            ("2026-03-29T00:59:59Z", "22:00-03:00", NOW),
            ("2026-03-29T01:00:00Z", "22:00-03:00", "2026-03-29T20:00:00Z"),
            // It is 02:30 twice on that day: the clock goes from 03:00 back to 02:00.
            ("2026-10-25T00:00:00Z", "02:30", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:30:00Z", "02:30", "2026-10-25T01:30:00Z"),
            ("2026-10-25T01:30:00Z", "02:30", "2026-10-26T01:30:00Z"),
            ("2026-10-25T00:29:00Z", "22:00-02:30", NOW),
            ("2026-10-25T00:45:00Z", "22:00-02:30", "2026-10-25T21:00:00Z"),
            ("2026-10-25T01:15:00Z", "22:00-02:30", NOW),
            // The night in which the clock is put back is an hour longer.
            ("2026-10-24T20:00:00Z", "22:00-06:00", NOW),
            ("2026-10-25T04:59:59Z", "22:00-06:00", NOW),
            ("2026-10-25T05:00:00Z", "22:00-06:00", "2026-10-25T21:00:00Z"),
        ] {
            let schedule = Schedule::parse(schedule).unwrap();
            let next = schedule.next(now.parse().unwrap(), &zurich);
            let next = next.map_or(NOW.to_owned(), |at| at.to_string());
            assert_eq!(next, want, "{now} {schedule}");
        }
    }
}
