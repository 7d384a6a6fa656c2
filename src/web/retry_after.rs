//! `Retry-After` (RFC 9110 10.2.3).

use std::time::Duration;

use http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// How long an answer asks to wait: in seconds, or until a date. That is told from the answer's own date, as our clocks may
/// differ. `None` when it does not say, or says nothing that can be read.
#[must_use]
pub fn retry_after(header: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| header.get(name)?.to_str().ok().map(str::trim);
    let until = text(RETRY_AFTER)?;
    if let Ok(seconds) = until.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| -> Option<Timestamp> { DateTimeParser::new().parse_timestamp(text).ok() };
    let (until, now) = (date(until)?, date(text(DATE)?)?);
    // A date that has passed asks for nothing.
    Some(until.duration_since(now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_or_a_date() {
        let now = "Thu, 26 Nov 2026 10:00:00 GMT";
        for (value, date, want) in [
            ("30", None, Some(30)),
            (" 30 ", None, Some(30)),
            ("0", None, Some(0)),
            ("Thu, 26 Nov 2026 10:02:05 GMT", Some(now), Some(125)),
            ("Thu, 26 Nov 2026 09:00:00 GMT", Some(now), Some(0)),
            ("Thu, 26 Nov 2026 10:02:05 GMT", None, None),
            ("-1", Some(now), None),
            ("soon", Some(now), None),
            ("", None, None),
        ] {
            let mut header = HeaderMap::new();
            // A name is one in whatever letter case.
            header.insert(HeaderName::from_bytes(b"rETRY-aFTER").unwrap(), value.parse().unwrap());
            if let Some(date) = date {
                header.insert(DATE, date.parse().unwrap());
            }
            assert_eq!(retry_after(&header), want.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
