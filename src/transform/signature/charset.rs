//! The character set of a part, and how a signature is written in it.

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8};
use unicode_normalization::UnicodeNormalization as _;

use crate::mail::mime::EntityKind;

/// How text is written in a part. ASCII is the same in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartCharset {
    /// What writes it; `None` is ASCII alone.
    encoding: Option<&'static Encoding>,
    /// Whether the octets 0x80 to 0x9f are characters. They are in those of Windows, whose tables stand in for ISO's.
    high_controls: bool,
    /// Whether the part may be declared UTF-8 instead: nothing in it is beyond ASCII.
    may_be_utf8: bool,
}

/// Text as it goes into a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) octets: Vec<u8>,
    /// Whether the part must be declared UTF-8 now.
    pub(super) as_utf8: bool,
}

impl PartCharset {
    /// The character set of a part that says `text`; `None` when it is not known, or not made of ASCII.
    pub(super) fn of(kind: &EntityKind, text: &[u8]) -> Option<Self> {
        let ascii = |may_be_utf8| Self { encoding: None, high_controls: false, may_be_utf8 };
        let Some(label) = kind.parameter("charset").map(|label| label.trim().to_ascii_lowercase()) else {
            let is_utf8 = !text.is_ascii() && std::str::from_utf8(text).is_ok();
            let utf8 = Self { encoding: Some(UTF_8), high_controls: true, may_be_utf8: false };
            return Some(if is_utf8 { utf8 } else { ascii(text.is_ascii()) });
        };
        if ["us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us"].contains(&label.as_str()) {
            return Some(ascii(text.is_ascii()));
        }
        let encoding = Encoding::for_label(label.as_bytes())?;
        if !encoding.is_ascii_compatible() && encoding != ISO_2022_JP {
            return None;
        }
        // By the Web's rules names of ISO sets stand for those of Windows.
        let is_iso = ["iso", "latin", "l1", "l5", "csiso", "tis"].iter().any(|name| label.starts_with(name));
        let high_controls = !(is_iso && encoding.is_single_byte());
        let may_be_utf8 = text.is_ascii() && encoding.is_ascii_compatible();
        Some(Self { encoding: Some(encoding), high_controls, may_be_utf8 })
    }

    /// Writes plain text. What can't be written makes the part UTF-8 where that changes nothing else in it; elsewhere it is
    /// written as near as ASCII comes to it.
    pub(super) fn write(self, text: &str) -> Written {
        let characters: Vec<Option<Vec<u8>>> = text.chars().map(|c| self.character(c)).collect();
        if self.may_be_utf8 && characters.contains(&None) {
            return Written { octets: text.into(), as_utf8: true };
        }
        let near = text.chars().zip(characters);
        let octets = near.flat_map(|(c, octets)| octets.unwrap_or_else(|| near_ascii(c).into_bytes()));
        Written { octets: octets.collect(), as_utf8: false }
    }

    /// Writes HTML: what can't be written is a reference by its number.
    pub(super) fn write_html(self, text: &str) -> Written {
        let reference = |c| format!("&#{};", u32::from(c)).into_bytes();
        let octets = text.chars().flat_map(|c| self.character(c).unwrap_or_else(|| reference(c)));
        Written { octets: octets.collect(), as_utf8: false }
    }

    fn character(self, c: char) -> Option<Vec<u8>> {
        let mut buffer = [0; 4];
        let text = c.encode_utf8(&mut buffer);
        if c.is_ascii() {
            return Some(text.as_bytes().to_vec());
        }
        let (octets, _, is_lost) = self.encoding?.encode(text);
        let is_control = !self.high_controls && octets.iter().any(|octet| (0x80..0xa0).contains(octet));
        (!is_lost && !is_control).then(|| octets.into_owned())
    }
}

/// A character in ASCII: what people write where they have no better.
fn near_ascii(c: char) -> String {
    let known = match c {
        'ä' | 'æ' => "ae",
        'ö' => "oe",
        'ü' => "ue",
        'Ä' | 'Æ' => "Ae",
        'Ö' => "Oe",
        'Ü' => "Ue",
        'ß' => "ss",
        'ø' => "o",
        'Ø' => "O",
        'ł' => "l",
        'Ł' => "L",
        '€' => "EUR",
        '£' => "GBP",
        '©' => "(c)",
        '®' => "(R)",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        '\u{2018}' | '\u{2019}' | '\u{201a}' => "'",
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '«' | '»' => "\"",
        '•' | '·' => "*",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let bare: String = c.nfkd().filter(char::is_ascii).collect();
    if bare.is_empty() { "?".to_owned() } else { bare }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::Header;

    fn charset(label: &str, text: &[u8]) -> Option<PartCharset> {
        let field = format!("Content-Type: text/plain; charset=\"{label}\"\r\n\r\n");
        let field = if label.is_empty() { "\r\n".to_owned() } else { field };
        PartCharset::of(&EntityKind::of(&Header::parse(field.as_bytes())), text)
    }

    #[test]
    fn writes_in_the_character_set_of_the_part() {
        for (label, body, text, want, html) in [
            ("utf-8", &b"x\xc3\xa4"[..], "Grü€", "Grü€".as_bytes(), "Grü€".as_bytes()),
            ("ISO-8859-1", b"\xe4", "Grü€–", b"Gr\xfcEUR-", b"Gr\xfc&#8364;&#8211;"),
            ("iso-8859-15", b"\xe4", "Grü€–", b"Gr\xfc\xa4-", b"Gr\xfc\xa4&#8211;"),
            ("Windows-1252", b"\xe4", "Grü€–", b"Gr\xfc\x80\x96", b"Gr\xfc\x80\x96"),
            ("us-ascii", b"\xe4", "Grü€", b"GrueEUR", b"Gr&#252;&#8364;"),
            ("", b"\xe4", "é☃", b"e?", b"&#233;&#9731;"),
            ("", b"\xc3\xa4", "é☃", "é☃".as_bytes(), "é☃".as_bytes()),
            ("iso-2022-jp", b"x", "日a", b"\x1b$BF|\x1b(Ba", b"\x1b$BF|\x1b(Ba"),
            ("shift_jis", b"\x93\xfa", "日a", b"\x93\xfaa", b"\x93\xfaa"),
        ] {
            let charset = charset(label, body).unwrap();
            assert_eq!(charset.write(text), Written { octets: want.to_vec(), as_utf8: false }, "{label}");
            assert_eq!(charset.write_html(text).octets, html, "{label}");
        }
    }

    #[test]
    fn a_part_in_ascii_becomes_utf8() {
        for label in ["", "us-ascii", "iso-8859-1", "koi8-r"] {
            let charset = charset(label, b"plain").unwrap();
            let want = Written { octets: "ü€".into(), as_utf8: true };
            assert_eq!(charset.write("ü€"), want, "{label}");
            assert!(!charset.write("u").as_utf8 && !charset.write_html("ü€").as_utf8, "{label}");
        }
        assert_eq!(charset("iso-8859-1", b"plain").unwrap().write("ü").octets, b"\xfc");
    }

    #[test]
    fn what_is_not_known_is_left() {
        for label in ["utf-16", "utf-16le", "utf-7", "x-unknown", "replacement"] {
            assert_eq!(charset(label, b"x"), None, "{label}");
        }
    }
}
