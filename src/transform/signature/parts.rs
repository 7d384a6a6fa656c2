//! Which parts of a message a person reads as its text.

use std::ops::Range;

use crate::mail::header::Header;
use crate::mail::mime::{EntityKind, MAX_DEPTH, Piece, is_plain_to_all, pieces};
use crate::mail::sealed::is_armored;

/// Parts of one multipart entity that are looked at.
const MOST_PARTS: usize = 100;
/// Forms of one text. Nobody writes more.
const MOST_TEXTS: usize = 10;

/// A part with text, and where it stands in the content.
#[derive(Debug)]
pub(super) struct TextPart {
    /// Its fields, without the empty line behind them.
    pub(super) header: Range<usize>,
    pub(super) body: Range<usize>,
    pub(super) kind: EntityKind,
    /// The fields of the entities that it stands in, outermost first.
    pub(super) holders: Vec<Range<usize>>,
}

impl TextPart {
    /// Whether it is the whole message.
    pub(super) fn is_whole(&self) -> bool {
        self.holders.is_empty()
    }
}

/// The text of a message: one part, or several that say the same. None where it is signed, encrypted, a report, or where
/// readers could take different parts for it.
pub(super) fn text_parts(content: &[u8]) -> Vec<TextPart> {
    let mut found = Search { content, holders: Vec::new(), parts: Vec::new(), armored: false };
    found.entity(0..content.len());
    let is_plain = !found.armored && found.parts.len() <= MOST_TEXTS;
    if is_plain { found.parts } else { Vec::new() }
}

struct Search<'a> {
    content: &'a [u8],
    holders: Vec<Range<usize>>,
    parts: Vec<TextPart>,
    /// A text is signed or encrypted by PGP.
    armored: bool,
}

impl Search<'_> {
    fn entity(&mut self, place: Range<usize>) {
        let entity = &self.content[place.clone()];
        let header = Header::parse(entity);
        let has_body = !header.rest().is_empty() || self.holders.is_empty();
        if !has_body || !is_plain_to_all(&header) || is_file(&header) {
            return;
        }
        let kind = EntityKind::of(&header);
        let body = place.end - header.body().len()..place.end;
        let fields = place.start..place.end - header.rest().len();
        match (kind.main.as_str(), kind.sub.as_str()) {
            ("text", "plain" | "html") => {
                self.armored |= is_armored(&kind, header.body());
                self.parts.push(TextPart { header: fields, body, kind, holders: self.holders.clone() });
            }
            ("multipart", "alternative" | "mixed" | "related") if self.holders.len() < MAX_DEPTH => {
                self.holders.push(fields);
                self.multipart(&kind, &body);
                self.holders.pop();
            }
            _ => {}
        }
    }

    /// Looks into all parts that say the same, or into the one that is the body and not attached to it.
    fn multipart(&mut self, kind: &EntityKind, body: &Range<usize>) {
        let Some(boundary) = kind.boundary() else { return };
        let content = &self.content[body.clone()];
        let parts = pieces(content, boundary).filter_map(|piece| match piece {
            Piece::Part(part) => Some(body.start + part.start..body.start + part.end),
            Piece::Around(_) => None,
        });
        let parts = parts.take(MOST_PARTS);
        if kind.sub == "alternative" {
            parts.for_each(|part| self.entity(part));
            return;
        }
        let root = kind.parameter("start").filter(|_| kind.sub == "related");
        let is_body = |part: &Range<usize>| {
            let header = Header::parse(&self.content[part.clone()]);
            match root {
                Some(root) => header.get("Content-ID").is_some_and(|id| id.unfolded() == root.as_bytes()),
                None => !is_file(&header),
            }
        };
        let mut parts = parts;
        if let Some(part) = parts.find(is_body) {
            self.entity(part);
        }
    }
}

/// Whether it is attached, or has the name of a file (RFC 2183).
fn is_file(header: &Header<'_>) -> bool {
    let disposition = header.get("Content-Disposition").map(|field| field.unfolded().to_ascii_lowercase());
    disposition.is_some_and(|value| {
        value.starts_with(b"attachment") || memchr::memmem::find(&value, b"filename").is_some()
    })
}
