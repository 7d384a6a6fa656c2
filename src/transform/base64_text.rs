//! Text as base64, for servers that damage parts of 8 bits or in quoted-printable (`encode = "base64"`).
//!
//! What the text says stays the same; so does every octet of all else: of what is signed or encrypted, of messages that are
//! attached, and of parts that not every reader takes for the same.

use super::downgrade::{base64_lines, declare};
use crate::mail::header::Header;
use crate::mail::mime::{
    DecodedBody, EntityKind, MAX_DEPTH, Piece, TransferEncoding, is_plain_to_all, part_header, pieces,
};
use crate::mail::sealed::{is_armored, is_sealed_kind};
use crate::smtp::line_ends::end_lines;

/// The content with its text as base64.
pub(super) fn encode(content: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 3);
    let place = EntityPlace { depth: 0, in_digest: false };
    if entity((&content, Header::parse(&content)), place, &mut out) { out } else { content }
}

/// Where an entity stands.
#[derive(Debug, Clone, Copy)]
struct EntityPlace {
    depth: usize,
    /// A part of a digest is a message unless it says otherwise (RFC 2046 5.1.5).
    in_digest: bool,
}

/// Writes an entity. Returns whether anything in it has changed.
fn entity((octets, mut header): (&[u8], Header<'_>), place: EntityPlace, out: &mut Vec<u8>) -> bool {
    let kind = EntityKind::of(&header);
    let is_message = place.in_digest && !kind.declared;
    let is_open =
        is_plain_to_all(&header) && !header.rest().is_empty() && !is_sealed_kind(&kind) && !is_message;
    match kind.main.as_str() {
        "multipart" if is_open && place.depth < MAX_DEPTH => {
            if let Some(boundary) = kind.boundary() {
                let body = header.body();
                out.extend_from_slice(&octets[..octets.len() - body.len()]);
                return multipart(
                    body,
                    boundary,
                    EntityPlace { depth: place.depth + 1, in_digest: kind.sub == "digest" },
                    out,
                );
            }
        }
        "text" if is_open && !is_armored(&kind, header.body()) => {
            if let Some(text) = text(header.body(), kind.encoding) {
                write_text(&mut header, &kind, (&text, place.depth), out);
                return true;
            }
        }
        _ => {}
    }
    out.extend_from_slice(octets);
    false
}

fn multipart(body: &[u8], boundary: &[u8], place: EntityPlace, out: &mut Vec<u8>) -> bool {
    let mut is_changed = false;
    for piece in pieces(body, boundary) {
        let (octets, header) = match piece {
            Piece::Part(range) => (&body[range.clone()], part_header(&body[range])),
            Piece::Around(range) => (&body[range], None),
        };
        match header {
            Some(header) => is_changed |= entity((octets, header), place, out),
            None => out.extend_from_slice(octets),
        }
    }
    is_changed
}

/// What a body says that is to be encoded, with its line ends; `None` for one that nobody damages, or that readers may
/// decode in different ways.
fn text(body: &[u8], encoding: TransferEncoding) -> Option<Vec<u8>> {
    match encoding {
        TransferEncoding::Identity if body.is_ascii() => None,
        TransferEncoding::Identity => Some(end_lines(body).into_owned()),
        TransferEncoding::QuotedPrintable => {
            let lines = end_lines(body);
            let decoded = DecodedBody::of(&lines, encoding).filter(|_| is_well_quoted(&lines))?;
            Some(decoded.octets().to_vec())
        }
        TransferEncoding::Base64 | TransferEncoding::Unknown => None,
    }
}

/// Whether each equals sign of quoted-printable (RFC 2045 6.7) escapes an octet, or ends a line directly, and no line ends in
/// white space: then all decode it to the same.
fn is_well_quoted(body: &[u8]) -> bool {
    let is_escape = |at: usize| match &body[at + 1..] {
        [] | [b'\r', b'\n', ..] => true,
        [high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        [_] => false,
    };
    let is_blank_end = |at: usize| at > 0 && matches!(body[at - 1], b' ' | b'\t');
    memchr::memchr_iter(b'=', body).all(is_escape)
        && !memchr::memchr_iter(b'\r', body).any(is_blank_end)
        && !body.last().is_some_and(|b| matches!(b, b' ' | b'\t'))
        && body.is_ascii()
}

fn write_text(header: &mut Header<'_>, kind: &EntityKind, (text, depth): (&[u8], usize), out: &mut Vec<u8>) {
    if !text.is_ascii() {
        declare(header, kind, text);
    }
    header.replace("Content-Transfer-Encoding", b"base64");
    if depth == 0 && header.get("MIME-Version").is_none() {
        header.append("MIME-Version", b"1.0");
    }
    header.write_to(out);
    out.extend_from_slice(b"\r\n");
    let lines = base64_lines(text);
    // The line end before a delimiter is the delimiter's.
    let lines = if depth > 0 { lines.trim_ascii_end() } else { &lines };
    out.extend_from_slice(lines);
}

#[cfg(test)]
mod tests;
