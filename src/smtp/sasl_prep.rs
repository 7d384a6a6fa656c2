//! `SASLprep` (RFC 4013): one spelling for names and passwords that look the same.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

/// The text as both sides hash it: other spaces are spaces, what is not seen is gone, and the rest is composed (NFKC). `None`
/// when a character has no place in it.
///
/// The rule about text from right to left is not applied, nor that about characters that Unicode 3.2 did not have: a server that
/// keeps to them refuses the login, which says the same.
pub(super) fn prepared(text: &str) -> Option<Cow<'_, str>> {
    if text.is_ascii() {
        return (!text.bytes().any(|octet| octet.is_ascii_control())).then_some(Cow::Borrowed(text));
    }
    let mapped = text.chars().filter(|&c| !is_nothing(c)).map(|c| if is_space(c) { ' ' } else { c });
    let text: String = mapped.nfkc().collect();
    (!text.chars().any(is_prohibited)).then_some(Cow::Owned(text))
}

/// Characters other than SPACE that are taken for it (RFC 3454 C.1.2).
fn is_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Characters that count as nothing (RFC 3454 B.1; U+200B is one of these as well as a space).
fn is_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200b}'..='\u{200d}' | '\u{2060}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// Characters that must not be there (RFC 3454 C.2 to C.9).
fn is_prohibited(c: char) -> bool {
    let is_noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32 & 0xfffe) == 0xfffe;
    c.is_control()
        || is_noncharacter
        || matches!(
            c,
            '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2061}'..='\u{2063}' | '\u{206a}'..='\u{206f}' | '\u{340}' | '\u{341}'
                | '\u{2ff0}'..='\u{2ffb}' | '\u{fff9}'..='\u{fffd}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}'
                | '\u{e0001}' | '\u{e0020}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        for (text, want) in [
            // The examples of RFC 4013 3.
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            // The others.
            ("", Some("")),
            ("pa ss", Some("pa ss")),
            ("pa\u{a0}ss", Some("pa ss")),
            ("u\u{308}", Some("\u{fc}")),
            ("\u{fb01}n", Some("fin")),
            ("a\u{200b}b\u{feff}", Some("ab")),
            ("a\u{85}b", None),
            ("a\u{e000}", None),
            ("a\u{202e}b", None),
            ("a\u{fffe}", None),
            ("a\u{fffd}", None),
        ] {
            assert_eq!(prepared(text).as_deref(), want, "{text:?}");
        }
    }
}
