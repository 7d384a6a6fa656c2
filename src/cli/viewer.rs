//! Who looks: in which zone their times are, and how wide their terminal is.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::wrapping::{WIDTH, hanging, wrapped};
use crate::report::log::escape::printable;
use crate::time::{Clock as _, SystemClock};

/// A person before a terminal, or whatever reads our output.
#[derive(Debug)]
pub(super) struct Viewer {
    now: Timestamp,
    zone: TimeZone,
    /// In columns; `None` where lines may have any length.
    width: Option<u16>,
    /// Whether a time of the day has been shown.
    has_seen_times: Cell<bool>,
}

impl Viewer {
    /// Here and now.
    pub(super) fn now() -> Self {
        let width = terminal_width(&io::stdout());
        Self { now: SystemClock.wall(), zone: TimeZone::system(), width, has_seen_times: Cell::new(false) }
    }

    /// How many columns a line may have; `None` is any number.
    pub(super) fn width(&self) -> Option<u16> {
        self.width
    }

    /// Sentences, each in a line, broken where the terminal ends. What reads them without one gets lines of 80 columns.
    pub(super) fn sentences(&self, text: &str) -> String {
        let width = self.width.unwrap_or(WIDTH);
        text.lines().flat_map(|line| wrapped(line, width)).collect::<Vec<_>>().join("\n")
    }

    /// A name and what it is, broken in the same way; the value begins in that column.
    pub(super) fn field(&self, name: &str, value: &str, column: usize) -> String {
        let name = format!("{:<column$}", format!("{name}:"));
        hanging(&name, value, self.width.unwrap_or(WIDTH), column).join("\n")
    }

    /// The help of a command, broken where the terminal ends: what is said of an option stays beside it.
    pub(super) fn help(&self, text: &str) -> String {
        let Some(width) = self.width else { return text.to_owned() };
        let line = |line: &str| {
            let indent = line.len() - line.trim_start().len();
            // Behind an option, an argument or a command there are two spaces at least.
            let gap = line[indent..].find("  ").filter(|_| indent > 0).map(|at| indent + at);
            let Some(gap) = gap else { return hanging("", line, width, indent) };
            let said = line[gap..].trim_start();
            hanging(&line[..line.len() - said.len()], said, width, line.len() - said.len())
        };
        text.lines().flat_map(line).collect::<Vec<_>>().join("\n")
    }

    /// The zone of the times that were shown, as a line of its own; nothing when there were none.
    pub(super) fn zone_line(&self) -> String {
        if !self.has_seen_times.get() {
            return String::new();
        }
        let here = self.now.to_zoned(self.zone.clone());
        match self.zone.iana_name() {
            Some(name) => format!("Times are in {name} (UTC{}).\n", here.strftime("%:z")),
            None => format!("Times are in UTC{}.\n", here.strftime("%:z")),
        }
    }

    /// A time of the interface in local time; without the date when it is today.
    pub(super) fn local(&self, rfc3339: &str) -> String {
        let Ok(time) = rfc3339.parse::<Timestamp>() else {
            return printable(rfc3339);
        };
        self.has_seen_times.set(true);
        let time = time.to_zoned(self.zone.clone());
        let today = self.now.to_zoned(self.zone.clone()).date();
        let format = if time.date() == today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        time.strftime(format).to_string()
    }

    /// The same with milliseconds, for lines that follow each other quickly.
    pub(super) fn local_millis(&self, rfc3339: &str) -> String {
        let millis = rfc3339.rsplit_once('.').map_or("", |(_, rest)| rest.trim_end_matches('Z'));
        format!("{}.{}", self.local(rfc3339), printable(millis))
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

/// How many columns the terminal has that a stream leads to; `None` when it leads to none, or that does not tell.
pub(super) fn terminal_width(stream: &(impl IsTerminal + AsFd)) -> Option<u16> {
    let size = || rustix::termios::tcgetwinsize(stream).ok();
    stream.is_terminal().then(size).flatten().map(|size| size.ws_col).filter(|&width| width > 0)
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
impl Viewer {
    /// A given moment, in UTC.
    pub(super) fn utc(now: &str) -> Self {
        let has_seen_times = Cell::new(false);
        Self { now: now.parse().unwrap(), zone: TimeZone::UTC, width: None, has_seen_times }
    }

    /// The same before a terminal of that width.
    pub(super) fn with_width(self, width: u16) -> Self {
        Self { width: Some(width), ..self }
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
        let mut viewer = Viewer::utc("2026-11-22T23:30:00Z");
        assert_eq!(viewer.until("2026-11-22T23:34:00.500Z"), "23:34:00 (in 4m)");
        assert_eq!(viewer.until("2026-11-22T23:30:00.100Z"), "23:30:00 (in 1s)");
        assert_eq!(viewer.until("2026-11-22T23:29:59Z"), "now");
        assert_eq!(viewer.age("2026-11-22T23:00:00Z"), "30m");
        assert_eq!(viewer.age("2026-11-23T23:00:00Z"), "0s");
        viewer.zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(viewer.local("2026-11-22T23:34:00Z"), "00:34:00", "it is the 23rd there already");
        assert_eq!(viewer.local("2026-11-22T22:34:00Z"), "2026-11-22 23:34:00");
        assert_eq!(viewer.zone_line(), "Times are in UTC+01:00.\n");
        let zurich = TimeZone::get("Europe/Zurich").unwrap();
        let viewer = Viewer { zone: zurich, ..Viewer::utc("2026-11-22T23:30:00Z") };
        assert_eq!(viewer.zone_line(), "", "no time was shown");
        assert_eq!(viewer.age("2026-11-22T23:00:00Z"), "30m");
        assert_eq!(viewer.zone_line(), "");
        viewer.until("2026-11-22T23:34:00Z");
        assert_eq!(viewer.zone_line(), "Times are in Europe/Zurich (UTC+01:00).\n");
    }
}
