//! Signs messages as S/MIME (RFC 8551): multipart/signed with a detached signature (RFC 1847).
//!
//! What is signed is the body with the fields that say what it is, as it will be read: lines end in CRLF, octets over 127 are
//! encoded (RFC 8551 3.1). The other fields stay where they are.

mod cms;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use self::cms::CmsSigner;
pub use self::cms::SmimeError;
use super::downgrade::SevenBit;
use crate::config::SmimeEntry;
use crate::mail::AddressKey;
use crate::mail::header::{Field, Header, mailboxes};
use crate::mail::mime::EntityKind;
use crate::mail::sealed::is_sealed;
use crate::smtp::line_ends::end_lines;

/// Octets of a signature in one line of base 64 (RFC 2045 6.8), before it is encoded.
const BASE64_LINE: usize = 57;

/// All certificates, ready to sign.
#[derive(Debug, Default)]
pub(super) struct SmimeSigners(Vec<(AddressKey, CmsSigner)>);

impl SmimeSigners {
    /// Makes them ready.
    ///
    /// # Errors
    /// When a certificate or its key can't be used.
    pub(super) fn new(entries: &[SmimeEntry]) -> Result<Self, SmimeError> {
        let ready = |entry: &SmimeEntry| Ok((entry.address.key(), CmsSigner::new(entry)?));
        entries.iter().map(ready).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them signs for a message with this header section, as far as that can tell.
    pub(super) fn has_signer(&self, head: &[u8]) -> bool {
        !self.0.is_empty() && self.signer(&Header::parse(head)).is_some()
    }

    /// The content signed, when it is from one of the addresses alone, and neither signed nor encrypted, nor a report, which
    /// programs read; else `None`.
    ///
    /// # Errors
    /// When the signing fails.
    pub(super) fn sign(&self, content: &[u8], now: Timestamp) -> Result<Option<Vec<u8>>, SmimeError> {
        let header = Header::parse(content);
        let Some(signer) = self.signer(&header) else { return Ok(None) };
        if EntityKind::of(&header).is("multipart/report") || is_sealed(&header) {
            return Ok(None);
        }
        let entity = entity(&header);
        let signature = signer.sign(&entity, now)?;
        Ok(Some(signed(header, &entity, &signature)))
    }

    /// Who signs for the sole mailbox in From.
    fn signer(&self, header: &Header<'_>) -> Option<&CmsSigner> {
        let mut authors = header.fields().filter(|f| f.is("From")).flat_map(|f| mailboxes(f.value()));
        let (Some(author), None) = (authors.next(), authors.next()) else { return None };
        let author = author.key();
        self.0.iter().find(|(address, _)| *address == author).map(|(_, signer)| signer)
    }
}

fn is_of_body(field: &Field<'_>) -> bool {
    field.name().get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"Content-"))
}

/// What is signed: the fields that say what the body is, and the body.
fn entity(header: &Header<'_>) -> Vec<u8> {
    let mut fields = header.clone();
    fields.retain(is_of_body);
    if fields.get("Content-Type").is_none() {
        fields.append("Content-Type", b"text/plain; charset=us-ascii");
    }
    let mut entity = Vec::with_capacity(header.body().len() + 1024);
    fields.write_to(&mut entity);
    entity.extend_from_slice(b"\r\n");
    entity.extend_from_slice(&end_lines(header.body()));
    if entity.is_ascii() {
        return entity;
    }
    // What can't be written in ASCII goes as it is: the upstream takes 8 bits, or it would not have come here.
    let seven_bit = SevenBit { header: true, body: true }.write(&entity);
    let Ok(written) = seven_bit else { return entity };
    let mut written = Header::parse(&written);
    written.remove("MIME-Version");
    written.to_content()
}

/// The message with the signed entity and its signature as its body.
fn signed(mut header: Header<'_>, entity: &[u8], signature: &[u8]) -> Vec<u8> {
    header.retain(|field| !is_of_body(field));
    if header.get("MIME-Version").is_none() {
        header.append("MIME-Version", b"1.0");
    }
    // By its content, so that it is the same at each attempt; as a number, 32 digits.
    let name = digest(&SHA256, entity)
        .as_ref()
        .iter()
        .take(16)
        .fold(0_u128, |sum, octet| sum << 8 | u128::from(*octet));
    let boundary = format!("smime-{name:032x}");
    let kind = format!(
        "multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"{boundary}\""
    );
    header.append("Content-Type", kind.as_bytes());
    let mut out = Vec::with_capacity(entity.len() + signature.len() * 2 + 4096);
    header.write_to(&mut out);
    out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
    out.extend_from_slice(entity);
    let about = "Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n\
        Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7s\"\r\n";
    out.extend_from_slice(format!("\r\n--{boundary}\r\n{about}\r\n").as_bytes());
    for line in signature.chunks(BASE64_LINE) {
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

#[cfg(test)]
mod tests;
