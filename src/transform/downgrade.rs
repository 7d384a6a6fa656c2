//! The way down from 8BITMIME and SMTPUTF8: content with octets over 127 for an upstream that takes 7 bits only (RFC 6152
//! 3), or no such header (RFC 6531).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{TransformError, ascii};
use crate::content::SplitContent;
use crate::mail::header::Header;
use crate::mail::mime::{EntityKind, MAX_DEPTH, Piece, TransferEncoding, part_header, pieces};

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
    /// Writes a content anew, as [`write`](Self::write). One whose body is ASCII is changed above it alone; of another the body
    /// must be in memory: else `None`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(super) fn write_split(self, content: SplitContent) -> Result<Option<SplitContent>, TransformError> {
        if content.body().is_ascii() {
            let head = self.write(content.head())?;
            return Ok(Some(content.with_head(head)));
        }
        content.octets().map(|octets| self.write(&octets).map(SplitContent::memory)).transpose()
    }

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
        let kind = EntityKind::of(header);
        match (kind.main.as_str(), kind.sub.as_str()) {
            ("multipart", "signed") if self.body => Err(TransformError::EightBit("it is signed")),
            ("multipart", "encrypted") if self.body => Err(TransformError::EightBit("it is encrypted")),
            ("multipart", "signed" | "encrypted") => {
                keep(header, out);
                Ok(())
            }
            ("multipart", _) if self.body || can_be_read(&kind, depth) => {
                self.multipart(header, &kind, depth, out)
            }
            ("message", "rfc822" | "global") if kind.encoding == TransferEncoding::Identity => {
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
        let Some(boundary) = kind.boundary().filter(|_| depth < MAX_DEPTH) else {
            return Err(TransformError::EightBit("its structure can't be read"));
        };
        self.write_head(header, out);
        let mut parts = 0;
        let body = header.body();
        for piece in pieces(body, boundary) {
            match piece {
                Piece::Part(range) => {
                    parts += 1;
                    self.part(&body[range], kind.sub == "digest", depth, out)?;
                }
                // Nobody reads what stands around the parts (RFC 2046 5.1.1).
                Piece::Around(range) => {
                    out.extend(
                        body[range].iter().map(|&b| if self.body && !b.is_ascii() { b'?' } else { b }),
                    );
                }
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
        let Some(mut part) = part_header(piece) else { return unreadable(piece, out) };
        ascii::header(&mut part);
        if in_digest && self.body && !piece.is_ascii() && part.get("Content-Type").is_none() {
            let kind = EntityKind::of(&part);
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
        let inner = part_header(header.body());
        self.write_head(header, out);
        let Some(mut inner) = inner else { return unreadable(header.body(), out) };
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

/// Writes what can't be told apart into fields and body, as long as it can stay as it is.
fn unreadable(entity: &[u8], out: &mut Vec<u8>) -> Result<(), TransformError> {
    if !entity.is_ascii() {
        return Err(TransformError::EightBit("its structure can't be read"));
    }
    out.extend_from_slice(entity);
    Ok(())
}

/// Writes an entity with its body as it is.
fn keep(header: &Header<'_>, out: &mut Vec<u8>) {
    header.write_to(out);
    out.extend_from_slice(header.rest());
}

/// Whether the parts of a multipart at this depth can be told apart.
fn can_be_read(kind: &EntityKind, depth: usize) -> bool {
    depth < MAX_DEPTH && kind.boundary().is_some()
}

/// Writes an entity that holds no other.
fn leaf(header: &mut Header<'_>, kind: &EntityKind, out: &mut Vec<u8>) -> Result<(), TransformError> {
    let body = header.body();
    declare(header, kind, body);
    let (name, encoded) = match kind.encoding {
        // Octets over 127 have no meaning in these.
        TransferEncoding::Base64 | TransferEncoding::Unknown => {
            return Err(TransformError::EightBit("a part is encoded, and wrongly"));
        }
        TransferEncoding::QuotedPrintable => ("quoted-printable", escaped(body)),
        TransferEncoding::Identity if kind.main == "text" => {
            ("quoted-printable", quoted_printable::encode(body))
        }
        TransferEncoding::Identity => ("base64", base64_lines(body)),
    };
    header.replace("Content-Transfer-Encoding", name.as_bytes());
    write_head(header, out);
    out.extend_from_slice(&encoded);
    Ok(())
}

/// Says of a text of 8 bits what it is, where nothing is said.
pub(super) fn declare(header: &mut Header<'_>, kind: &EntityKind, text: &[u8]) {
    if !kind.declared {
        let charset = if std::str::from_utf8(text).is_ok() { "utf-8" } else { "unknown-8bit" };
        header.replace("Content-Type", format!("text/plain; charset={charset}").as_bytes());
    }
}

fn write_head(header: &Header<'_>, out: &mut Vec<u8>) {
    header.write_to(out);
    out.extend_from_slice(b"\r\n");
}

/// Base 64 in lines.
pub(super) fn base64_lines(body: &[u8]) -> Vec<u8> {
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
