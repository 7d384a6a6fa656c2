//! Which parts of a message a person reads as its text.

use std::ops::Range;

use crate::mail::header::Header;
use crate::mail::mime::{EntityKind, MAX_DEPTH, Piece, is_plain_to_all, part_header, pieces};
use crate::mail::sealed::is_armored;

/// Parts of one multipart entity that are looked at.
const MOST_PARTS: usize = 100;
/// Forms of one text. Nobody writes more.
const MOST_TEXTS: usize = 10;
/// Parts that are looked at in all: parts in parts in parts are many.
const MOST_ENTITIES: usize = 1_000;

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
pub(super) fn text_parts(content: &[u8], header: &Header<'_>) -> Vec<TextPart> {
    let mut found = Search { content, holders: Vec::new(), parts: Vec::new(), seen: 0, armored: false };
    found.entity(0..content.len(), header);
    let is_plain = !found.armored && !found.is_too_much();
    if is_plain { found.parts } else { Vec::new() }
}

struct Search<'a> {
    content: &'a [u8],
    holders: Vec<Range<usize>>,
    parts: Vec<TextPart>,
    /// Parts that were looked at.
    seen: usize,
    /// A text is signed or encrypted by PGP.
    armored: bool,
}

impl Search<'_> {
    /// Whether it is no text that a person has written: then there is nothing more to look at.
    fn is_too_much(&self) -> bool {
        self.parts.len() > MOST_TEXTS || self.seen > MOST_ENTITIES
    }

    /// Looks at what stands in a place and begins with these fields.
    fn entity(&mut self, place: Range<usize>, header: &Header<'_>) {
        self.seen += 1;
        let has_body = !header.rest().is_empty() || self.holders.is_empty();
        if !has_body || !is_plain_to_all(header) || is_file(header) {
            return;
        }
        let kind = EntityKind::of(header);
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
        let all = self.content;
        let parts = pieces(&all[body.clone()], boundary).filter_map(|piece| match piece {
            Piece::Part(part) => Some(body.start + part.start..body.start + part.end),
            Piece::Around(_) => None,
        });
        let parts = parts.take(MOST_PARTS).map(|part| (part.clone(), part_header(&all[part])));
        let root = kind.parameter("start").filter(|_| kind.sub == "related");
        let is_body = |header: &Header<'_>| match root {
            Some(root) => header.get("Content-ID").is_some_and(|id| id.unfolded() == root.as_bytes()),
            None => !is_file(header),
        };
        let is_alternative = kind.sub == "alternative";
        for (part, header) in parts {
            if self.is_too_much() {
                return;
            }
            // One that can't be read may be the body.
            let Some(header) = header else { return };
            if is_alternative {
                self.entity(part, &header);
            } else if is_body(&header) {
                return self.entity(part, &header);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiparts in each other, each with a hundred parts, the innermost with these.
    fn nested(depth: usize, leaf: &str) -> String {
        let inner = if depth == 0 { leaf.to_owned() } else { nested(depth - 1, leaf) };
        let part = format!("--b{depth}\r\n{inner}\r\n");
        format!(
            "Content-Type: multipart/alternative; boundary=b{depth}\r\n\r\n{}--b{depth}--\r\n",
            part.repeat(100)
        )
    }

    #[test]
    fn no_more_is_looked_at_than_a_person_writes() {
        for (name, leaf) in [("texts", "\r\n"), ("others", "Content-Type: a/b\r\n\r\n")] {
            let content = nested(1, leaf);
            let header = Header::parse(content.as_bytes());
            let mut found = Search {
                content: content.as_bytes(),
                holders: Vec::new(),
                parts: Vec::new(),
                seen: 0,
                armored: false,
            };
            found.entity(0..content.len(), &header);
            assert!(found.is_too_much(), "{name}");
            assert!(found.parts.len() <= MOST_TEXTS + 1 && found.seen <= MOST_ENTITIES + 1, "{name}");
            assert_eq!(text_parts(content.as_bytes(), &header).len(), 0, "{name}");
        }
    }
}
