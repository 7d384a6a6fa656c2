//! The body of a part as it reads, and how something is put into it without touching what is written already.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::TransferEncoding;

/// The longest line of quoted-printable and base64 (RFC 2045 6.7, 6.8), in characters.
const LINE: usize = 76;

/// A change of octets: what stands in a range is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// What goes; empty where something is put between.
    pub range: Range<usize>,
    /// What comes.
    pub octets: Vec<u8>,
}

/// A body, decoded.
#[derive(Debug, Clone)]
pub struct DecodedBody<'a> {
    raw: &'a [u8],
    encoding: TransferEncoding,
    octets: Cow<'a, [u8]>,
}

impl<'a> DecodedBody<'a> {
    /// Decodes a body; `None` when it can't be read without doubt.
    #[must_use]
    pub fn of(raw: &'a [u8], encoding: TransferEncoding) -> Option<Self> {
        let octets = match encoding {
            TransferEncoding::Identity => Cow::Borrowed(raw),
            TransferEncoding::QuotedPrintable => {
                let mut octets = Vec::with_capacity(raw.len());
                unquote(raw, |octet, _| {
                    octets.push(octet);
                    true
                });
                Cow::Owned(octets)
            }
            TransferEncoding::Base64 => Cow::Owned(base64_octets(raw)?),
            TransferEncoding::Unknown => return None,
        };
        Some(Self { raw, encoding, octets })
    }

    /// What it says.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Puts `text`, lines that end in CRLF, before the octet `at` of what it says, which is not the LF of a CRLF: the change of the body as it is written.
    ///
    /// What stands before keeps every octet, and so does what follows, save in base64, where it is written anew.
    #[must_use]
    pub fn insert(&self, at: usize, text: &[u8]) -> Splice {
        let at = at.min(self.octets.len());
        match self.encoding {
            TransferEncoding::Base64 => self.insert_base64(at, text),
            TransferEncoding::QuotedPrintable => self.insert_quoted(self.place_in_quoted(at), text),
            TransferEncoding::Identity | TransferEncoding::Unknown => {
                Splice { range: at..at, octets: text.to_vec() }
            }
        }
    }

    /// Where the octet `at` is written.
    fn place_in_quoted(&self, at: usize) -> usize {
        let (mut count, mut place) = (0, self.raw.len());
        unquote(self.raw, |_, start| {
            if count == at {
                place = start;
            }
            count += 1;
            count <= at
        });
        place
    }

    /// At a place of quoted-printable.
    fn insert_quoted(&self, place: usize, text: &[u8]) -> Splice {
        let (before, after) = self.raw.split_at(place);
        let line = before.rsplit(|&b| b == b'\n').next().unwrap_or_default();
        let blanks = line.len() - line.trim_ascii_end().len();
        let mut out = Vec::with_capacity(text.len() + text.len() / 4);
        let mut start = place;
        match (line.trim_ascii_end().ends_with(b"="), after) {
            // A line break that is left out begins, and has no line end yet.
            (true, []) => out.extend_from_slice(b"\r\n"),
            // The sign stands for itself, and must not become such a line break.
            (true, _) => {
                start = place - blanks - 1;
                out.extend_from_slice(b"=3D");
                out.extend_from_slice(&before[place - blanks..]);
            }
            (false, _) => {}
        }
        if !(line.is_empty() || text.starts_with(b"\r\n") || out == b"\r\n") {
            out.extend_from_slice(b"=\r\n");
        }
        quote(text, &mut out);
        if !(after.is_empty() || text.ends_with(b"\n")) {
            out.extend_from_slice(b"=\r\n");
        }
        Splice { range: start..place, octets: out }
    }

    /// From the group of four on in which `at` is.
    fn insert_base64(&self, at: usize, text: &[u8]) -> Splice {
        let groups = at / 3;
        let is_digit = |(_, octet): &(usize, &u8)| !octet.is_ascii_whitespace();
        let mut digits = self.raw.iter().enumerate().filter(is_digit);
        let start = digits.nth(groups * 4).map_or(self.raw.len(), |(place, _)| place);
        let line = self.raw[..start].iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let mut column = start - line;
        let octets = [&self.octets[groups * 3..at], text, &self.octets[at..]].concat();
        let mut out = Vec::with_capacity(octets.len() / 3 * 4 + octets.len() / 50 + 8);
        for digit in STANDARD.encode(octets).bytes() {
            if column >= LINE {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.push(digit);
            column += 1;
        }
        if self.raw.ends_with(b"\n") || self.raw.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        Splice { range: start..self.raw.len(), octets: out }
    }
}

/// Decodes quoted-printable (RFC 2045 6.7) as readers do, that which is no escape as it is. Tells each octet and where it is
/// written, until `each` says no.
fn unquote(raw: &[u8], mut each: impl FnMut(u8, usize) -> bool) {
    let mut at = 0;
    while at < raw.len() {
        let end = memchr::memchr(b'\n', &raw[at..]).map_or(raw.len(), |i| at + i + 1);
        let line = &raw[at..end];
        let text = line.trim_ascii_end();
        // White space at the end of a line has come on the way.
        let (text, line_end) = match text.strip_suffix(b"=") {
            Some(text) => (text, &line[line.len()..]),
            None if line.ends_with(b"\r\n") => (text, &line[line.len() - 2..]),
            None if line.ends_with(b"\n") => (text, &line[line.len() - 1..]),
            None => (text, &line[line.len()..]),
        };
        let mut i = 0;
        while i < text.len() {
            let escape = text[i..].strip_prefix(b"=").and_then(hex);
            if !each(escape.unwrap_or(text[i]), at + i) {
                return;
            }
            i += if escape.is_some() { 3 } else { 1 };
        }
        let start = end - line_end.len();
        if !line_end.iter().enumerate().all(|(i, &octet)| each(octet, start + i)) {
            return;
        }
        at = end;
    }
}

/// The octet that two hexadecimal digits stand for.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    Some((digit(0)? * 16 + digit(1)?) as u8)
}

/// Writes lines as quoted-printable.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    for line in text.split_inclusive(|&b| b == b'\n') {
        let body = line.strip_suffix(b"\r\n").unwrap_or(line);
        let mut column = 0;
        for (i, &octet) in body.iter().enumerate() {
            let is_last = i + 1 == body.len();
            let plain = matches!(octet, b'!'..=b'<' | b'>'..=b'~') || (octet == b' ' && !is_last);
            let width = if plain { 1 } else { 3 };
            if column + width + usize::from(!is_last) > LINE {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if plain {
                out.push(octet);
            } else {
                out.extend_from_slice(format!("={octet:02X}").as_bytes());
            }
            column += width;
        }
        out.extend_from_slice(&line[body.len()..]);
    }
}

/// Decodes base64; `None` where it has what does not belong there, or does not end as it should.
fn base64_octets(raw: &[u8]) -> Option<Vec<u8>> {
    let mut digits: Vec<u8> = raw.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    while digits.last() == Some(&b'=') {
        digits.pop();
    }
    digits.resize(digits.len().next_multiple_of(4), b'=');
    STANDARD.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TransferEncoding::{Base64, Identity, QuotedPrintable};
    use super::*;

    fn put(raw: &str, encoding: TransferEncoding, at: usize, text: &str) -> String {
        let Splice { range, octets } =
            DecodedBody::of(raw.as_bytes(), encoding).unwrap().insert(at, text.as_bytes());
        let octets = String::from_utf8(octets).unwrap();
        [&raw[..range.start], &octets, &raw[range.end..]].concat()
    }

    #[test]
    fn reads_what_is_written() {
        for (raw, encoding, want) in [
            ("a=E9 =\r\nb \t\r\nc=3d=zz=\r\n", QuotedPrintable, Some(&b"a\xe9 b\r\nc==zz"[..])),
            ("a=", QuotedPrintable, Some(b"a")),
            ("=3D=0D=0A\nx", QuotedPrintable, Some(b"=\r\n\nx")),
            ("YWJj\r\n ZA==\r\n", Base64, Some(b"abcd")),
            ("YWJjZA", Base64, Some(b"abcd")),
            ("YWJjZ", Base64, None),
            ("YW==Jj", Base64, None),
            ("YW*Jj", Base64, None),
            ("x", TransferEncoding::Unknown, None),
        ] {
            let decoded = DecodedBody::of(raw.as_bytes(), encoding);
            assert_eq!(decoded.as_ref().map(DecodedBody::octets), want, "{raw:?}");
        }
    }

    #[test]
    fn puts_text_between() {
        let long = "x".repeat(76);
        let soft = format!("{long}\r\n=\r\nb</body>");
        for (raw, encoding, at, text, want) in [
            ("ab", Identity, 1, "X\r\n", "aX\r\nb".to_owned()),
            ("a=E9b\r\n", QuotedPrintable, 5, "-- \r\n=\r\n", "a=E9b\r\n--=20\r\n=3D\r\n".to_owned()),
            ("a=E9b", QuotedPrintable, 2, "X", "a=E9=\r\nX=\r\nb".to_owned()),
            ("a=", QuotedPrintable, 1, "\r\nX", "a=\r\n\r\nX".to_owned()),
            ("a=\r\n", QuotedPrintable, 1, "\r\nX", "a=\r\n\r\nX".to_owned()),
            (&soft, QuotedPrintable, 79, "\r\nX\r\n", format!("{long}\r\n=\r\nb\r\nX\r\n</body>")),
            ("YWJj\r\nZA==\r\n", Base64, 4, "\r\n", "YWJj\r\nZA0K\r\n".to_owned()),
            ("YWJj", Base64, 3, "d", "YWJjZA==".to_owned()),
            ("YWJjZGVm", Base64, 4, "X", "YWJjZFhlZg==".to_owned()),
            ("", Base64, 0, "abc", "YWJj\r\n".to_owned()),
        ] {
            assert_eq!(put(raw, encoding, at, text), want, "{raw:?}");
        }
    }

    proptest! {
        /// Whatever is there, what is put in reads as itself, and lines stay short.
        #[test]
        fn what_is_put_in_reads_so(
            parts in prop::collection::vec(prop::sample::select(
                vec!["a", "=E9", "=", "=\r\n", "\r\n", " ", "=3D", "xxxxxxxxxxxxxxxxxxx", "</body>"]), 0..20),
            text in "[a-zé= \t]{0,200}", place in 0_usize..200, encoding in prop::sample::select(vec![Identity, QuotedPrintable, Base64]),
        ) {
            let raw = parts.concat();
            let raw = if encoding == Base64 { STANDARD.encode(raw) } else { raw };
            let decoded = DecodedBody::of(raw.as_bytes(), encoding).unwrap();
            let at = place.min(decoded.octets().len());
            // Nobody puts anything between the two octets of a line end.
            let in_line_end = decoded.octets()[..at].ends_with(b"\r") && decoded.octets()[at..].starts_with(b"\n");
            let at = at - usize::from(in_line_end);
            let text = format!("\r\n{text}\r\n");
            let splice = decoded.insert(at, text.as_bytes());
            let new = [&raw.as_bytes()[..splice.range.start], &splice.octets, &raw.as_bytes()[splice.range.end..]].concat();
            let again = DecodedBody::of(&new, encoding).unwrap();
            let blank = |octets: &[u8]| octets.iter().copied().filter(|b| !b" \t".contains(b)).collect::<Vec<_>>();
            let want = [&decoded.octets()[..at], text.as_bytes(), &decoded.octets()[at..]].concat();
            prop_assert_eq!(blank(again.octets()), blank(&want));
            if encoding != Identity {
                prop_assert!(splice.octets.split(|&b| b == b'\n').all(|line| line.len() <= LINE + 1));
            }
        }
    }
}
