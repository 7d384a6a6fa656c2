//! Makes untrusted text harmless where it leaves us: on a terminal, in a log line.
//!
//! A reply of an upstream, an address or a HELO name may hold anything. What could end a line, move a terminal's cursor
//! or turn the order of the text round is written as a JSON escape, so that an escaped text is the inside of a JSON
//! string and can be read back without loss.

use std::fmt::Write as _;

/// Whether a character acts instead of being seen: C0, DEL and C1 controls, line and paragraph separators, the
/// controls of bidirectional text (UAX 9), invisible format characters and tags.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Whether a value can stand in a text line without quotes.
pub(super) fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.chars().any(|c| matches!(c, ' ' | '"' | '=' | '\\') || acts(c))
}

/// Appends a text in quotes, as JSON writes it (RFC 8259 7).
pub(super) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c => push_char(out, c),
        }
    }
    out.push('"');
}

/// The text with every character that acts written as an escape: fit for a person's terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_char(&mut out, c));
    out
}

/// JSON text with every character that acts written as an escape; line ends between the values stay.
///
/// Outside of its strings JSON has no such character but white space, so the meaning stays the same.
#[must_use]
pub fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(c),
            c => push_char(&mut out, c),
        }
    }
    out
}

fn push_char(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if acts(c) => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("a String takes everything");
            }
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_acts_and_nothing_else() {
        for (name, input, want) in [
            ("plain", "250 2.0.0 OK", "250 2.0.0 OK"),
            ("line ends", "a\r\nb\tc", "a\\r\\nb\\tc"),
            ("terminal escape", "\u{1b}[31mred", "\\u001b[31mred"),
            ("nul and delete", "\0\u{7f}", "\\u0000\\u007f"),
            ("C1 control sequence introducer", "\u{9b}2J", "\\u009b2J"),
            ("next line", "a\u{85}b", "a\\u0085b"),
            ("line and paragraph separator", "\u{2028}\u{2029}", "\\u2028\\u2029"),
            ("bidi override", "a\u{202e}b\u{2066}c\u{61c}", "a\\u202eb\\u2066c\\u061c"),
            ("zero width", "a\u{200b}b\u{feff}", "a\\u200bb\\ufeff"),
            ("tag beyond the first plane", "\u{e0041}", "\\udb40\\udc41"),
            ("letters of the world", "Zürich 東京 😀", "Zürich 東京 😀"),
        ] {
            assert_eq!(printable(input), want, "{name}");
            let mut quoted = String::new();
            push_quoted(&mut quoted, input);
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), input, "{name}: it reads back");
        }
    }

    #[test]
    fn quotes_only_when_needed() {
        for (value, plain) in [
            ("a@b.example", true),
            ("1.2s", true),
            ("müller@firm.example", true),
            ("", false),
            ("a b", false),
            ("a=b", false),
            ("a\"b", false),
            ("a\\u000ab", false),
            ("a\u{202e}", false),
        ] {
            assert_eq!(is_plain(value), plain, "{value:?}");
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let json = "[\n  \"a\u{9b}b\"\n]";
        let safe = printable_json(json);
        assert_eq!(safe, "[\n  \"a\\u009bb\"\n]");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        );
    }
}
