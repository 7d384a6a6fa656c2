//! The way down from 8BITMIME and SMTPUTF8: content with octets over 127 for an upstream that takes 7 bits only (RFC 6152
//! 3), or no such header (RFC 6531).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders};

use super::{TransformError, ascii};
use crate::mail::header::Header;

/// Parts inside of parts that are looked into.
const MAX_DEPTH: usize = 32;
/// Octets that make one line of base 64 (RFC 2045 6.8).
const BASE64_LINE: usize = 57;
/// The longest line of quoted-printable (RFC 2045 6.7).
const QUOTED_LINE: usize = 76;

/// What an upstream takes in ASCII alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SevenBit {
    /// The header fields of the message and of its parts: what RFC 6532 allows needs SMTPUTF8.
    pub(super) header: bool,
    /// The body, the header fields of its parts and of messages in it included: it offers no 8BITMIME.
    pub(super) body: bool,
}

impl SevenBit {
    /// Writes the content anew: fields as their grammar allows, text as quoted-printable, all else as base 64.
    ///
    /// What is 7 bits already keeps every octet; so does, where only the header must be ASCII, what is signed or encrypted
    /// and what messages are attached.
    ///
    /// # Errors
    /// When what is signed or encrypted would have to change, or the structure can't be read.
    pub(super) fn write(self, content: &[u8]) -> Result<Vec<u8>, TransformError> {
        let mut out = Vec::with_capacity(content.len() + content.len() / 4);
        let mut header = Header::parse(content);
        if self.header {
            ascii::header(&mut header);
        }
        self.message(&mut header, 0, &mut out)?;
        Ok(out)
    }

    /// Writes a message, the outermost or one that is attached; its own fields are as they shall be.
    fn message(self, header: &mut Header<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), TransformError> {
        if self.body && !header.body().is_ascii() && header.get("MIME-Version").is_none() {
            header.append("MIME-Version", b"1.0");
        }
        self.entity(header, depth, out)
    }

    /// Writes one entity: a message or a part of one.
    fn entity(self, header: &mut Header<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), TransformError> {
        let body = header.body();
        if body.is_ascii() {
            // Lines that are no field may be a body that lacks its empty line.
            let hidden = header.fields().any(|field| field.name().is_empty() && !field.raw().is_ascii());
            if hidden && self.body {
                return Err(TransformError::EightBit("a part has no header"));
            }
            keep(header, out);
            return Ok(());
        }
        let kind = kind(header);
        match (kind.main.as_str(), kind.sub.as_str()) {
            ("multipart", "signed") if self.body => Err(TransformError::EightBit("it is signed")),
            ("multipart", "encrypted") if self.body => Err(TransformError::EightBit("it is encrypted")),
            ("multipart", "signed" | "encrypted") => {
                keep(header, out);
                Ok(())
            }
            ("multipart", _) if self.body || kind.can_be_read(depth) => {
                self.multipart(header, &kind, depth, out)
            }
            ("message", "rfc822" | "global") if kind.encoding == Encoding::Identity => {
                self.attached(header, &kind, depth, out)
            }
            _ if self.body => leaf(header, &kind, out),
            _ => {
                keep(header, out);
                Ok(())
            }
        }
    }

    /// Writes a multipart entity (RFC 2046 5.1).
    fn multipart(
        self,
        header: &mut Header<'_>,
        kind: &EntityKind,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError> {
        if !kind.can_be_read(depth) {
            return Err(TransformError::EightBit("its structure can't be read"));
        }
        let boundary = kind.boundary.as_deref().unwrap_or_default();
        self.write_head(header, out);
        let mut parts = 0;
        for (is_part, piece) in split(header.body(), boundary) {
            if is_part {
                parts += 1;
                self.part(piece, kind.sub == "digest", depth, out)?;
            } else {
                // Nobody reads what stands around the parts (RFC 2046 5.1.1).
                out.extend(piece.iter().map(|&b| if self.body && !b.is_ascii() { b'?' } else { b }));
            }
        }
        if parts == 0 && self.body {
            return Err(TransformError::EightBit("its structure can't be read"));
        }
        Ok(())
    }

    /// Writes a part. One of a digest is a message unless it says otherwise (RFC 2046 5.1.5).
    fn part(
        self,
        piece: &[u8],
        in_digest: bool,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError> {
        let mut part = Header::parse(piece);
        ascii::header(&mut part);
        if in_digest && self.body && !piece.is_ascii() && part.get("Content-Type").is_none() {
            let kind = kind(&part);
            return self.attached(&mut part, &kind, depth + 1, out);
        }
        self.entity(&mut part, depth + 1, out)
    }

    /// Writes a part that is a message (RFC 2046 5.2.1, RFC 6532 3.7).
    fn attached(
        self,
        header: &mut Header<'_>,
        kind: &EntityKind,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError> {
        let is_global = kind.sub == "global";
        if !self.body && !is_global {
            keep(header, out);
            return Ok(());
        }
        if depth >= MAX_DEPTH {
            return Err(TransformError::EightBit("its structure can't be read"));
        }
        if is_global {
            header.replace("Content-Type", b"message/rfc822");
        }
        self.write_head(header, out);
        let mut inner = Header::parse(header.body());
        ascii::header(&mut inner);
        self.message(&mut inner, depth + 1, out)
    }

    /// Writes the fields of an entity that holds others, and the empty line.
    fn write_head(self, header: &mut Header<'_>, out: &mut Vec<u8>) {
        if self.body && header.get("Content-Transfer-Encoding").is_some() {
            header.replace("Content-Transfer-Encoding", b"7bit");
        }
        write_head(header, out);
    }
}

/// Writes an entity with its body as it is.
fn keep(header: &Header<'_>, out: &mut Vec<u8>) {
    header.write_to(out);
    out.extend_from_slice(header.rest());
}

/// What the fields of an entity say of its body (RFC 2045).
struct EntityKind {
    main: String,
    sub: String,
    boundary: Option<Vec<u8>>,
    encoding: Encoding,
    declared: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    QuotedPrintable,
    /// Base 64 or an unknown one: octets over 127 have no meaning in it.
    Opaque,
}

impl EntityKind {
    /// Whether the parts of a multipart at this depth can be told apart.
    fn can_be_read(&self, depth: usize) -> bool {
        let has_boundary = self.boundary.as_ref().is_some_and(|boundary| !boundary.is_empty());
        has_boundary && self.encoding == Encoding::Identity && depth < MAX_DEPTH
    }
}

/// Writes an entity that holds no other.
fn leaf(header: &mut Header<'_>, kind: &EntityKind, out: &mut Vec<u8>) -> Result<(), TransformError> {
    let body = header.body();
    if !kind.declared {
        let charset = if std::str::from_utf8(body).is_ok() { "utf-8" } else { "unknown-8bit" };
        header.replace("Content-Type", format!("text/plain; charset={charset}").as_bytes());
    }
    let (name, encoded) = match kind.encoding {
        Encoding::Opaque => return Err(TransformError::EightBit("a part is encoded, and wrongly")),
        Encoding::QuotedPrintable => ("quoted-printable", escaped(body)),
        Encoding::Identity if kind.main == "text" => ("quoted-printable", quoted_printable::encode(body)),
        Encoding::Identity => ("base64", base64_lines(body)),
    };
    header.replace("Content-Transfer-Encoding", name.as_bytes());
    write_head(header, out);
    out.extend_from_slice(&encoded);
    Ok(())
}

fn write_head(header: &Header<'_>, out: &mut Vec<u8>) {
    header.write_to(out);
    out.extend_from_slice(b"\r\n");
}

fn kind(header: &Header<'_>) -> EntityKind {
    let mut raw = Vec::new();
    if let Some(field) = header.get("Content-Type") {
        raw.extend_from_slice(b"Content-Type:");
        raw.extend_from_slice(field.value());
        raw.extend_from_slice(b"\r\n");
    }
    let parsed = MessageParser::default().parse_headers(&raw);
    let content_type = parsed.as_ref().and_then(MimeHeaders::content_type);
    let encoding = header.get("Content-Transfer-Encoding").map(|f| f.unfolded().to_ascii_lowercase());
    let lower = |text: Option<&str>| text.unwrap_or_default().to_ascii_lowercase();
    EntityKind {
        main: content_type.map_or_else(|| "text".to_owned(), |c| lower(Some(c.ctype()))),
        sub: content_type.map_or_else(|| "plain".to_owned(), |c| lower(c.subtype())),
        boundary: content_type.and_then(|c| c.attribute("boundary")).map(|b| b.as_bytes().to_vec()),
        encoding: match encoding.as_deref() {
            None | Some(b"" | b"7bit" | b"8bit" | b"binary") => Encoding::Identity,
            Some(b"quoted-printable") => Encoding::QuotedPrintable,
            Some(_) => Encoding::Opaque,
        },
        declared: content_type.is_some(),
    }
}

/// Cuts the body of a multipart into parts (`true`) and what stands around them. The pieces together are the body.
fn split<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<(bool, &'a [u8])> {
    let mut pieces = Vec::new();
    // Where the present piece begins, and whether it is a part.
    let (mut start, mut in_part, mut closed) = (0, false, false);
    let mut at = 0;
    while at < body.len() {
        let next = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |i| at + i + 1);
        let delimiter = body[at..next].strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        let last = delimiter.is_some_and(|tail| tail.strip_prefix(b"--").is_some_and(is_blank));
        if !closed && (last || delimiter.is_some_and(is_blank)) {
            // The line end before a delimiter belongs to the delimiter.
            let end = if in_part { line_end_before(body, start, at) } else { start };
            if in_part {
                pieces.push((true, &body[start..end]));
            }
            pieces.push((false, &body[end..next]));
            (start, in_part, closed) = (next, !last, last);
        }
        at = next;
    }
    pieces.push((in_part, &body[start..]));
    pieces
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

/// Base 64 in lines.
fn base64_lines(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 3 * 4 + body.len() / BASE64_LINE * 2 + 8);
    for line in body.chunks(BASE64_LINE) {
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Text that is declared quoted-printable already: what it may not hold is escaped, all else stays.
fn escaped(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 2);
    let mut column = 0;
    for &b in body {
        if b < 0x80 {
            out.push(b);
            column = if b == b'\n' { 0 } else { column + 1 };
            continue;
        }
        if column + 4 > QUOTED_LINE {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        out.extend_from_slice(format!("={b:02X}").as_bytes());
        column += 3;
    }
    out
}

#[cfg(test)]
mod tests;
