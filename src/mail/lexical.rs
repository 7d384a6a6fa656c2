//! Comments and quoted strings: how far they reach, and what is in them.
//!
//! Those of SMTP commands (RFC 5321 4.1.2) and those of header fields (RFC 5322 3.2.2, 3.2.4) are the same but for folding,
//! which whoever reads a field takes out.

/// The length of the comment that a text begins with, those inside of it included; `None` when it does not end.
#[must_use]
pub fn comment(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    scan(text, |b| {
        match b {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// The length of the quoted string that a text begins with, its quotes included; `None` when it does not end.
#[must_use]
pub fn quoted_string(text: &[u8]) -> Option<usize> {
    let mut quotes = 0;
    scan(text, |b| {
        quotes += u8::from(b == b'"');
        quotes == 2
    })
}

/// The octets that stand in no quoted string, each with its place. What does not end hides all that follows.
pub fn outside(text: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while text.get(at) == Some(&b'"') {
            at = quoted_string(&text[at..]).map_or(text.len(), |length| at + length);
        }
        let octet = (at, *text.get(at)?);
        at += 1;
        Some(octet)
    })
}

/// The octets of what stands between quotes, without the backslashes that only escape; whether each was escaped.
pub fn inside(text: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    let mut octets = text.iter().copied();
    std::iter::from_fn(move || match octets.next()? {
        b'\\' => octets.next().map(|b| (b, true)),
        b => Some((b, false)),
    })
}

/// Up to the octet that is the last, by octets that no backslash escapes (RFC 5322 3.2.1).
fn scan(text: &[u8], mut is_last: impl FnMut(u8) -> bool) -> Option<usize> {
    let mut at = 0;
    while let Some(&b) = text.get(at) {
        if b == b'\\' {
            at += 2;
        } else if is_last(b) {
            return Some(at + 1);
        } else {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_quoted_strings_end_where_they_do() {
        for (text, want) in [
            ("(a) b", Some(3)),
            ("(a (b) c) d", Some(9)),
            ("(a \\) b) c", Some(8)),
            ("(\\\\)x", Some(4)),
            ("()", Some(2)),
            ("(a", None),
            ("(a\\)", None),
            ("(a\\", None),
        ] {
            assert_eq!(comment(text.as_bytes()), want, "{text}");
        }
        for (text, want) in [
            ("\"a\" b", Some(3)),
            ("\"a \\\" b\" c", Some(8)),
            ("\"\"", Some(2)),
            ("\"(\"", Some(3)),
            ("\"a", None),
            ("\"a\\\"", None),
        ] {
            assert_eq!(quoted_string(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn what_is_in_quotes_is_told_from_the_rest() {
        for (text, want) in [
            ("a\"b\"c", "ac"),
            ("\"a\"\"b\"", ""),
            ("a\\\"b\"c", "a\\c"),
            ("\"a\\\"b\" c", " c"),
            ("a\"b c", "a"),
            ("", ""),
        ] {
            let found: Vec<u8> = outside(text.as_bytes()).map(|(_, b)| b).collect();
            assert_eq!(String::from_utf8_lossy(&found), want, "{text}");
            assert!(outside(text.as_bytes()).all(|(at, b)| text.as_bytes()[at] == b));
        }
        for (text, want) in [("a\\bc", "abc"), ("\\\\\\\"", "\\\""), ("ü\\ü", "üü"), ("a\\", "a")] {
            let found: Vec<u8> = inside(text.as_bytes()).map(|(b, _)| b).collect();
            assert_eq!(String::from_utf8_lossy(&found), want, "{text}");
        }
        let escaped: Vec<bool> = inside(b"a\\bc").map(|(_, is_escaped)| is_escaped).collect();
        assert_eq!(escaped, [false, true, false]);
    }
}
