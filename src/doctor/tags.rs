//! Lists of tags, `v=DMARC1; p=none` (RFC 6376 3.2, RFC 7489 6.4).

/// The tags of a list, in order; `None` where something is no tag.
pub(super) fn tags(text: &str) -> Option<Vec<(&str, &str)>> {
    let text = text.trim().strip_suffix(';').unwrap_or(text);
    let tag = |part: &'_ str| -> Option<(usize, usize)> {
        let at = part.find('=')?;
        let name = part[..at].trim();
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name.then_some((at, at + 1))
    };
    text.split(';')
        .map(|part| tag(part).map(|(end, begin)| (part[..end].trim(), part[begin..].trim())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        for (text, want) in [
            ("v=DMARC1; p=none", Some(vec![("v", "DMARC1"), ("p", "none")])),
            (" v = DMARC1 ;p=none ; ", Some(vec![("v", "DMARC1"), ("p", "none")])),
            ("rua=mailto:a@b.example?x=y", Some(vec![("rua", "mailto:a@b.example?x=y")])),
            ("v=DMARC1 p=none", Some(vec![("v", "DMARC1 p=none")])),
            ("v=DMARC1;; p=none", None),
            ("v=DMARC1; none", None),
            ("", None),
        ] {
            assert_eq!(tags(text), want, "{text}");
        }
    }
}
