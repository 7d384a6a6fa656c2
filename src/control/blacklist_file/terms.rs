//! What an entry may say, wherever it comes from: a request, a command, a file.

use jiff::Timestamp;

use crate::control::point_in_time::{SpanDirection, point_in_time};
use crate::mail::Address;
use crate::store::{PatternKind, pattern_key, pattern_kind};

/// The longest reason, in characters: it stands in an SMTP reply.
const MAX_REASON: usize = 200;
/// The longest reply that has become a reason, in characters.
const MAX_REPLY: usize = 4_000;

/// An address, `@domain` or `*.domain`, as it is stored.
///
/// # Errors
/// When the text is none of them; in words that say what to write.
pub fn listed_pattern(text: &str) -> Result<String, String> {
    let text = text.trim();
    let parsed = match pattern_kind(text) {
        // A domain with an `@` too many.
        (PatternKind::Address, address) if address.starts_with("*.@") => Address::parse(""),
        (PatternKind::Address, address) => Address::parse(address),
        (_, domain) => Address::parse(&format!("x@{domain}")),
    };
    match parsed {
        Ok(_) => Ok(pattern_key(text)),
        Err(_) => Err(format!("`{text}`: write local@domain, @domain or *.domain")),
    }
}

/// A reason of one line that a person gives, as it is told to clients.
///
/// # Errors
/// When it is longer, or goes over lines.
pub fn listed_reason(text: &str) -> Result<String, String> {
    one_line(text, MAX_REASON)
}

/// A reason of one line in a file: what providers have replied may be longer than what a person writes.
pub(super) fn file_reason(text: &str) -> Result<String, String> {
    one_line(text, MAX_REPLY)
}

/// What a report says, as a reason: in one line, and cut where it is longer.
#[must_use]
pub fn listed_learned(text: &str) -> String {
    let text: Vec<&str> =
        text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty()).collect();
    text.join(" ").chars().take(MAX_REASON).collect()
}

fn one_line(text: &str, most: usize) -> Result<String, String> {
    let text = text.trim();
    if text.chars().any(char::is_control) || text.chars().count() > most {
        return Err(format!("the reason must be one line of at most {most} characters"));
    }
    Ok(text.to_owned())
}

/// When an entry ends: a duration from now on, a date, a time, or `never`, which is `None`.
///
/// # Errors
/// When the text is none of them.
pub fn lifetime_end(text: &str, wall: Timestamp) -> Result<Option<Timestamp>, String> {
    let text = text.trim();
    if text == "never" {
        return Ok(None);
    }
    let wrong = || {
        let form = "write a duration such as 30d, a date such as 2027-01-31, or never";
        format!("the expiry is not understood: {form}")
    };
    point_in_time(text, wall, SpanDirection::Ahead).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_patterns() {
        for (text, want) in [
            ("Joe@Firm.Example", Some("joe@firm.example")),
            (" @Firm.Example ", Some("@firm.example")),
            ("*.Firm.example", Some("*.firm.example")),
            ("@Müller.test", Some("@xn--mller-kva.test")),
            ("*.odd@firm.example", Some("*.odd@firm.example")),
            ("firm.example", None),
            ("@", None),
            ("*.", None),
            ("*.@firm.example", None),
            ("a@b\r\nRCPT", None),
        ] {
            assert_eq!(listed_pattern(text).ok().as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn reads_ends() {
        let wall: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        for (text, want) in [
            ("90m", Some("2026-11-22T08:30:00Z")),
            ("36h", Some("2026-11-23T19:00:00Z")),
            ("2026-12-01T00:00:00+01:00", Some("2026-11-30T23:00:00Z")),
            ("soon", None),
            ("30", None),
            ("", None),
        ] {
            let want = want.map(|want| Some(want.parse::<Timestamp>().unwrap()));
            assert_eq!(lifetime_end(text, wall).ok(), want, "{text:?}");
        }
        assert_eq!(lifetime_end("never", wall), Ok(None));
        assert!(lifetime_end("30d", wall).unwrap().unwrap() > wall);
        assert_eq!(lifetime_end("31.01.2027", wall), lifetime_end("2027-01-31", wall));
        assert_eq!(lifetime_end("31.01.2027 10:30", wall), lifetime_end("2027-01-31 10:30", wall));
    }
}
