//! The parts of a content (RFC 2045, RFC 2046): what a part is, and where its own parts stand.
//!
//! Everything here takes any octets, never panics, and takes time that grows with their number only. Parts inside of parts
//! are looked into by who calls, down to [`MAX_DEPTH`].

mod body;

use std::ops::Range;

use mail_parser::{MessageParser, MimeHeaders};

pub use body::{DecodedBody, Splice};

use super::header::{Fields, Header};

/// Parts inside of parts that are looked into.
pub const MAX_DEPTH: usize = 32;
/// The longest header section of a part that is read, in octets: that of a whole message may not be longer when it comes. Each
/// field costs memory beside its octets.
const LONGEST_HEADER: usize = 1 << 20;

/// The longest Content-Type that is read, in octets. Nobody writes a longer one, and what is in it would be put together for too
/// long (RFC 2231 3): its body is taken for octets that nobody looks into.
const LONGEST_TYPE: usize = 16 << 10;

/// How a body is written (RFC 2045 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEncoding {
    /// As it is: 7bit, 8bit, binary, or nothing said.
    Identity,
    /// quoted-printable
    QuotedPrintable,
    /// base64
    Base64,
    /// One that nobody knows.
    Unknown,
}

/// What the fields of an entity, a message or a part of one, say of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityKind {
    /// The type, in lower case: `text`.
    pub main: String,
    /// The subtype, in lower case: `plain`.
    pub sub: String,
    /// How the body is written.
    pub encoding: TransferEncoding,
    /// Whether it says what it is; else it is text/plain (RFC 2045 5.2).
    pub declared: bool,
    attributes: Vec<(String, String)>,
}

impl EntityKind {
    /// Reads the fields of an entity. Of several of a name the first counts.
    #[must_use]
    pub fn of(header: &Header<'_>) -> Self {
        let mut raw = Vec::new();
        if let Some(field) = header.get("Content-Type") {
            let value = Some(field.value()).filter(|value| value.len() <= LONGEST_TYPE);
            raw.extend_from_slice(b"Content-Type:");
            raw.extend_from_slice(value.unwrap_or(b"application/octet-stream"));
            raw.extend_from_slice(b"\r\n");
        }
        let parsed = MessageParser::default().parse_headers(&raw);
        let content_type = parsed.as_ref().and_then(MimeHeaders::content_type);
        let encoding = header.get("Content-Transfer-Encoding").map(|f| f.unfolded().to_ascii_lowercase());
        let lower = |text: Option<&str>| text.unwrap_or_default().to_ascii_lowercase();
        let attributes = content_type.and_then(|c| c.attributes()).unwrap_or_default();
        Self {
            main: content_type.map_or_else(|| "text".to_owned(), |c| lower(Some(c.ctype()))),
            sub: content_type.map_or_else(|| "plain".to_owned(), |c| lower(c.subtype())),
            encoding: match encoding.as_deref() {
                None | Some(b"" | b"7bit" | b"8bit" | b"binary") => TransferEncoding::Identity,
                Some(b"quoted-printable") => TransferEncoding::QuotedPrintable,
                Some(b"base64") => TransferEncoding::Base64,
                Some(_) => TransferEncoding::Unknown,
            },
            declared: content_type.is_some(),
            attributes: attributes
                .iter()
                .map(|a| (a.name.to_ascii_lowercase(), a.value.to_string()))
                .collect(),
        }
    }

    /// Whether it is of this type, as in `text/plain`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        name.split_once('/') == Some((&self.main, &self.sub))
    }

    /// A parameter of its type, by its name in lower case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What parts its body; `None` when its parts can't be told apart.
    #[must_use]
    pub fn boundary(&self) -> Option<&[u8]> {
        let boundary = self.parameter("boundary").filter(|boundary| !boundary.is_empty());
        boundary.filter(|_| self.encoding == TransferEncoding::Identity).map(str::as_bytes)
    }
}

/// Whether all readers take an entity for the same: none of the fields that say what it is stands twice, and nothing among
/// them is no field, which might be the body.
#[must_use]
pub fn is_plain_to_all(header: &Header<'_>) -> bool {
    let once = |name: &str| header.fields().filter(|field| field.is(name)).count() < 2;
    once("Content-Type") && once("Content-Transfer-Encoding") && header.fields().all(|f| !f.name().is_empty())
}

/// The fields of a part, or of a message that is attached, with its body; `None` when they are more than anybody writes.
#[must_use]
pub fn part_header(part: &[u8]) -> Option<Header<'_>> {
    let mut length = 0;
    let fits = Fields::new(part).all(|field| {
        length += field.raw().len();
        length <= LONGEST_HEADER
    });
    fits.then(|| Header::parse(part))
}

/// A piece of the body of a multipart entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A part: its fields, an empty line, its body.
    Part(Range<usize>),
    /// What stands around the parts: preamble, delimiters, epilogue.
    Around(Range<usize>),
}

/// The pieces of the body of a multipart entity (RFC 2046 5.1.1), one after the other: together they are the body.
///
/// The line end before a delimiter belongs to the delimiter. A part without an end goes to the end of the body.
#[must_use]
pub fn pieces<'a>(body: &'a [u8], boundary: &'a [u8]) -> Pieces<'a> {
    Pieces { body, boundary, start: 0, at: 0, state: PieceState::Around, delimiter: None }
}

/// Cuts a body into pieces.
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    body: &'a [u8],
    boundary: &'a [u8],
    /// Where the present piece begins.
    start: usize,
    /// Where the next line begins.
    at: usize,
    state: PieceState,
    /// The delimiter that stands behind the part that came out last.
    delimiter: Option<Range<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceState {
    Around,
    InPart,
    /// The last delimiter has come: what follows is no part.
    Closed,
    /// The last piece has come out.
    Over,
}

impl Pieces<'_> {
    /// The next delimiter: where its line begins and ends, and whether it is the last.
    fn next_delimiter(&mut self) -> Option<(usize, usize, bool)> {
        while self.at < self.body.len() && self.state != PieceState::Closed {
            let start = self.at;
            let end = memchr::memchr(b'\n', &self.body[start..]).map_or(self.body.len(), |i| start + i + 1);
            self.at = end;
            let line = self.body[start..end].strip_prefix(b"--");
            if let Some(tail) = line.and_then(|line| line.strip_prefix(self.boundary)) {
                let last = tail.strip_prefix(b"--").is_some_and(is_blank);
                if last || is_blank(tail) {
                    return Some((start, end, last));
                }
            }
        }
        None
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if let Some(delimiter) = self.delimiter.take() {
            return Some(Piece::Around(delimiter));
        }
        if self.state == PieceState::Over {
            return None;
        }
        let (start, state) = (self.start, self.state);
        let Some((line, end, last)) = self.next_delimiter() else {
            self.state = PieceState::Over;
            let rest = start..self.body.len();
            return Some(if state == PieceState::InPart { Piece::Part(rest) } else { Piece::Around(rest) });
        };
        self.start = end;
        self.state = if last { PieceState::Closed } else { PieceState::InPart };
        if state != PieceState::InPart {
            return Some(Piece::Around(start..end));
        }
        let end_of_part = line_end_before(self.body, start, line);
        self.delimiter = Some(end_of_part..end);
        Some(Piece::Part(start..end_of_part))
    }
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

/// Where the line ends that stands before `at`, but not before `start`.
fn line_end_before(body: &[u8], start: usize, at: usize) -> usize {
    let piece = &body[start..at];
    let piece = piece.strip_suffix(b"\n").map_or(piece, |p| p.strip_suffix(b"\r").unwrap_or(p));
    start + piece.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_an_entity_is() {
        let kind = |text: &str| EntityKind::of(&Header::parse(text.as_bytes()));
        let mixed = kind("Content-Type: Multipart/Mixed;\r\n Boundary=\"a b\"\r\n\r\n");
        assert_eq!((mixed.is("multipart/mixed"), mixed.boundary()), (true, Some(&b"a b"[..])));
        let none = kind("Subject: x\r\n\r\n");
        assert_eq!((none.is("text/plain"), none.declared, none.boundary()), (true, false, None));
        let text = kind(
            "content-type: text/html; charset=\"ISO-8859-1\"; format=flowed\r\n\
            content-transfer-encoding: Quoted-Printable\r\n\r\n",
        );
        assert_eq!(text.encoding, TransferEncoding::QuotedPrintable);
        assert_eq!(
            (text.parameter("charset"), text.parameter("format")),
            (Some("ISO-8859-1"), Some("flowed"))
        );
        for (encoding, want) in [
            ("", TransferEncoding::Identity),
            (" 8BIT", TransferEncoding::Identity),
            (" base64", TransferEncoding::Base64),
            (" x-uuencode", TransferEncoding::Unknown),
        ] {
            let text = format!(
                "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding:{encoding}\r\n\r\n"
            );
            assert_eq!(kind(&text).encoding, want, "{encoding}");
            assert_eq!(kind(&text).boundary().is_some(), want == TransferEncoding::Identity, "{encoding}");
        }
    }

    #[test]
    fn header_sections_of_parts_are_bounded() {
        for (fields, body, want) in
            [(100, 2 << 20, true), (349_000, 0, true), (350_000, 0, false), (2 << 20, 1, false)]
        {
            let part = format!("{}\r\n{}", "a\r\n".repeat(fields), "x".repeat(body));
            let header = part_header(part.as_bytes());
            assert_eq!(header.map(|header| header.body().len()), want.then_some(body), "{fields}");
        }
    }

    #[test]
    fn cuts_a_body_into_pieces() {
        for (body, want) in [
            ("", &["-"][..]),
            ("no part\r\n", &["-no part\r\n"]),
            (
                "pre\r\n--b\r\n\r\none\r\n--b \t\r\ntwo\r\n--b--\r\npost\r\n",
                &["-pre\r\n--b\r\n", "+\r\none", "-\r\n--b \t\r\n", "+two", "-\r\n--b--\r\n", "-post\r\n"],
            ),
            ("--b\r\n--b--", &["---b\r\n", "+", "---b--", "-"]),
            ("--b\none\n--bb\n--b", &["---b\n", "+one\n--bb", "-\n--b", "+"]),
            ("--b\r\nopen\r\n", &["---b\r\n", "+open\r\n"]),
            ("--b--\r\n--b\r\nx\r\n", &["---b--\r\n", "---b\r\nx\r\n"]),
        ] {
            let show = |piece| match piece {
                Piece::Part(range) => format!("+{}", &body[range]),
                Piece::Around(range) => format!("-{}", &body[range]),
            };
            assert_eq!(pieces(body.as_bytes(), b"b").map(show).collect::<Vec<_>>(), want, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_leave_nothing_out(parts in prop::collection::vec(
            prop::sample::select(vec!["--b", "--b--", "--", "b", "\r\n", "\n", "\r", "x", " "]), 0..40)) {
            let body = parts.concat();
            let ranges = pieces(body.as_bytes(), b"b").map(|piece| match piece {
                Piece::Part(range) | Piece::Around(range) => range,
            });
            let mut at = 0;
            for range in ranges {
                prop_assert_eq!(range.start, at);
                prop_assert!(range.end >= range.start);
                at = range.end;
            }
            prop_assert_eq!(at, body.len());
        }
    }
}
