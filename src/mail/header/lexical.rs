//! Comments and quoted strings of a field (RFC 5322 3.2.2, 3.2.4): how far they reach.

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
pub(super) fn quoted_string(text: &[u8]) -> Option<usize> {
    let mut quotes = 0;
    scan(text, |b| {
        quotes += u8::from(b == b'"');
        quotes == 2
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
}
