//! Where the calendar's minutes, hours, days and weeks begin (`calendar = true`).

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Unit, Zoned};

use crate::config::Window;
use crate::time::{Moment, Timeline};

/// A period of the calendar, on the time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    /// When it began.
    pub(super) start: Moment,
    /// When the next one begins.
    pub(super) next: Moment,
}

/// The period of a window that a moment lies in: the minute, the full hour, from midnight to midnight, from Monday to
/// Monday, as the clocks in `zone` show it. `None`: the calendar knows no such window.
pub(super) fn period(window: Window, now: Moment, timeline: &Timeline, zone: &TimeZone) -> Option<Period> {
    window.name()?;
    let wall = timeline.wall_at(now);
    let here = wall.to_zoned(zone.clone());
    let moment = |at: Timestamp| Moment(now.0 + at.as_millisecond() - wall.as_millisecond());
    let length = window.length();
    Some(match bounds(window, &here) {
        Ok((start, next)) => Period { start: moment(start), next: moment(next).max(Moment(now.0 + 1)) },
        // Beyond the years that the calendar knows; then a window that rolls will do.
        Err(_) => Period { start: now, next: now.after(length) },
    })
}

fn bounds(window: Window, here: &Zoned) -> Result<(Timestamp, Timestamp), jiff::Error> {
    // Minutes and hours are those of the clock's face; where the zone's offset changes by half an hour, so be it.
    let (start, next) = match window {
        Window::MINUTE => {
            let start =
                here.round(jiff::ZonedRound::new().smallest(Unit::Minute).mode(jiff::RoundMode::Floor))?;
            (start.clone(), start.checked_add(1.minute())?)
        }
        Window::HOUR => {
            let start =
                here.round(jiff::ZonedRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Floor))?;
            (start.clone(), start.checked_add(1.hour())?)
        }
        Window::DAY => (here.start_of_day()?, here.tomorrow()?.start_of_day()?),
        _ => {
            let days = i64::from(here.weekday().since(Weekday::Monday));
            let monday = here.checked_sub(days.days())?.start_of_day()?;
            (monday.clone(), monday.checked_add(7.days())?.start_of_day()?)
        }
    };
    Ok((start.timestamp(), next.timestamp()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::time::SystemClock;

    fn at(window: Window, time: &str) -> (String, String) {
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        let timeline = Timeline::resume(Arc::new(SystemClock), None);
        let time: Timestamp = time.parse().unwrap();
        let now = Moment(timeline.now().0 + time.as_millisecond() - timeline.wall().as_millisecond());
        let period = period(window, now, &timeline, &zone).unwrap();
        let text = |moment| {
            let exact = timeline.wall_at(moment).as_millisecond();
            // The two clocks were not read at the same instant.
            Timestamp::from_second((exact + 500).div_euclid(1000)).unwrap().to_string()
        };
        (text(period.start), text(period.next))
    }

    #[test]
    fn follows_the_local_calendar() {
        for (window, time, start, next) in [
            (Window::MINUTE, "2026-11-22T10:12:30Z", "2026-11-22T10:12:00Z", "2026-11-22T10:13:00Z"),
            (Window::HOUR, "2026-11-22T10:12:30Z", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"),
            (Window::DAY, "2026-11-22T10:12:30Z", "2026-11-21T23:00:00Z", "2026-11-22T23:00:00Z"),
            (Window::WEEK, "2026-11-22T10:12:30Z", "2026-11-15T23:00:00Z", "2026-11-22T23:00:00Z"),
            // Clocks go forward: the day has 23 hours.
            (Window::DAY, "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            (Window::WEEK, "2026-03-29T10:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
        ] {
            assert_eq!(at(window, time), (start.to_owned(), next.to_owned()), "{window:?} {time}");
        }
    }
}
