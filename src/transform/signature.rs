//! Puts a signature below the text of a message.
//!
//! It goes into the parts that a person reads as the text, each in its own character set and encoding. Every octet that it
//! does not have to touch stays: what is attached, what stands before it in its part, and all fields but those that say how
//! the part is written.

mod charset;
mod fields;
mod parts;
mod replies;
mod text;

use std::collections::BTreeMap;
use std::ops::Range;

use charset::PartCharset;
use parts::{TextPart, text_parts};

use crate::config::Signature;
use crate::mail::header::Header;
use crate::mail::mime::{DecodedBody, Splice, TransferEncoding};

/// Whether a message with this header is to have the signature: not where it is a reply or a forward.
pub(super) fn is_wanted(header: &Header<'_>, signature: &Signature) -> bool {
    !(signature.skip_replies && replies::is_reply_or_forward(header))
}

/// The content with the signature; `None` when it gets none: it is not [wanted](is_wanted), signed or encrypted, has it
/// already, or no text that it could be put below.
///
/// `header` is the header section of the content.
pub(super) fn with_signature(content: &[u8], header: &Header<'_>, signature: &Signature) -> Option<Vec<u8>> {
    if !is_wanted(header, signature) {
        return None;
    }
    let mut changes = Changes::default();
    for part in text_parts(content, header) {
        changes.sign(content, &part, signature);
    }
    (!changes.0.is_empty()).then(|| changes.apply(content))
}

/// What is changed where: the end of the range that goes, and what comes, by the beginning of the range.
#[derive(Default)]
struct Changes(BTreeMap<usize, (usize, Vec<u8>)>);

impl Changes {
    /// Puts the signature into one part.
    fn sign(&mut self, content: &[u8], part: &TextPart, signature: &Signature) {
        let Some(body) = DecodedBody::of(&content[part.body.clone()], part.kind.encoding) else { return };
        let text = body.octets();
        let Some(charset) = PartCharset::of(&part.kind, text) else { return };
        let Some(written) = text::written(signature, &part.kind, charset) else { return };
        let place = text::place(&part.kind, text);
        if text::is_there(&text[..place], &written.octets) {
            return;
        }
        let lines = text::lines(&part.kind, text, place, &written.octets, part.is_whole());
        let is_new_to_it = part.kind.encoding == TransferEncoding::Identity && text.is_ascii();
        let eight_bit = is_new_to_it && !lines.is_ascii();
        if !self.declare(content, part, written.as_utf8, eight_bit) {
            return;
        }
        let Splice { range, octets } = body.insert(place, &lines);
        let start = part.body.start;
        self.put(start + range.start..start + range.end, &octets);
    }

    /// Changes the fields of a part, and of those that it stands in, so that they tell the truth. Returns whether they do.
    fn declare(&mut self, content: &[u8], part: &TextPart, utf8: bool, eight_bit: bool) -> bool {
        let mut header = Header::parse(&content[part.header.start..part.body.end]);
        if utf8 && !fields::declare_utf8(&mut header, &part.kind) {
            return false;
        }
        if eight_bit {
            fields::declare_eight_bit(&mut header);
            for holder in &part.holders {
                let mut header = Header::parse(&content[holder.clone()]);
                fields::allow_eight_bit(&mut header);
                self.fields(holder, &header);
            }
        }
        if header.is_changed() && part.is_whole() && header.get("MIME-Version").is_none() {
            header.append("MIME-Version", b"1.0");
        }
        // A message without an empty line has no body yet.
        if header.rest().is_empty() {
            let mut octets = Vec::new();
            header.write_to(&mut octets);
            octets.extend_from_slice(if octets.is_empty() || octets.ends_with(b"\n") {
                b"\r\n"
            } else {
                b"\r\n\r\n"
            });
            self.put(part.header.clone(), &octets);
        } else {
            self.fields(&part.header, &header);
        }
        true
    }

    fn fields(&mut self, place: &Range<usize>, header: &Header<'_>) {
        if header.is_changed() {
            let mut octets = Vec::new();
            header.write_to(&mut octets);
            self.put(place.clone(), &octets);
        }
    }

    /// Notes a change. One that is there already stays, and this one follows it.
    fn put(&mut self, place: Range<usize>, octets: &[u8]) {
        let change = self.0.entry(place.start).or_insert((place.end, Vec::new()));
        if change.0 == place.end && change.1 == octets {
            return;
        }
        change.0 = change.0.max(place.end);
        change.1.extend_from_slice(octets);
    }

    fn apply(self, content: &[u8]) -> Vec<u8> {
        let more: usize = self.0.values().map(|(_, octets)| octets.len()).sum();
        let mut out = Vec::with_capacity(content.len() + more);
        let mut at = 0;
        for (start, (end, octets)) in self.0 {
            out.extend_from_slice(&content[at..start]);
            out.extend_from_slice(&octets);
            at = end;
        }
        out.extend_from_slice(&content[at..]);
        out
    }
}

#[cfg(test)]
mod tests;
