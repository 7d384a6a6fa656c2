//! A time as a person writes it.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Where a duration without further words leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanDirection {
    /// So long from now.
    Ahead,
    /// So long before now.
    Ago,
}

/// Reads a time as [`time_or_day`] does, or a duration such as `30d`; `wall` is now.
pub(super) fn point_in_time(text: &str, wall: Timestamp, direction: SpanDirection) -> Option<Timestamp> {
    if let Some(time) = time_or_day(text) {
        return Some(time);
    }
    let (now, span) = (wall.to_zoned(TimeZone::system()), text.parse::<Span>().ok()?);
    let time = match direction {
        SpanDirection::Ahead => now.checked_add(span),
        SpanDirection::Ago => now.checked_sub(span),
    };
    Some(time.ok()?.timestamp())
}

/// A time (RFC 3339), or the beginning of a day; without a zone by that of this machine. Spreadsheets of some countries write
/// 31.01.2027.
pub(super) fn time_or_day(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let local = match text.parse::<DateTime>() {
        Ok(time) => time,
        Err(_) => ["%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"]
            .into_iter()
            .find_map(|form| DateTime::strptime(form, text).ok())
            .or_else(|| Some(Date::strptime("%d.%m.%Y", text).ok()?.into()))?,
    };
    Some(local.to_zoned(TimeZone::system()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_points_in_time() {
        let wall: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        for (text, direction, want) in [
            ("90m", SpanDirection::Ahead, Some("2026-11-22T08:30:00Z")),
            ("90m", SpanDirection::Ago, Some("2026-11-22T05:30:00Z")),
            ("36h", SpanDirection::Ahead, Some("2026-11-23T19:00:00Z")),
            ("2026-12-01T00:00:00+01:00", SpanDirection::Ahead, Some("2026-11-30T23:00:00Z")),
            ("2026-12-01T00:00:00+01:00", SpanDirection::Ago, Some("2026-11-30T23:00:00Z")),
            ("soon", SpanDirection::Ahead, None),
            ("30", SpanDirection::Ago, None),
        ] {
            assert_eq!(point_in_time(text, wall, direction), want.map(|w| w.parse().unwrap()), "{text:?}");
        }
        assert!(point_in_time("30d", wall, SpanDirection::Ahead).unwrap() > wall);
        assert!(point_in_time("30d", wall, SpanDirection::Ago).unwrap() < wall);
        assert!(point_in_time("2027-01-31", wall, SpanDirection::Ago).unwrap() > wall);
    }
}
