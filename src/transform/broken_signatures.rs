//! Signatures of others that our changes break: they would only raise suspicion, so they go.
//!
//! The one rule for all changes: what a signature covers (RFC 6376 3.5, the tag `h`) is compared before and after, and the body
//! with it. A chain of ARC whose newest signature breaks is void as a whole (RFC 8617 5.2).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};

use crate::mail::header::{Field, Header};

/// Fields that sign the message.
const SIGNATURES: [&str; 2] = ["DKIM-Signature", "ARC-Message-Signature"];
/// All fields of a chain of ARC.
const CHAIN: [&str; 3] = ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"];

/// What the signatures of a message cover, as it was before we changed it.
pub(super) struct Covered {
    /// The fields of each name that some signature covers.
    fields: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    body: u64,
}

impl Covered {
    /// `None` when nothing is signed.
    pub(super) fn of(header: &Header<'_>) -> Option<Self> {
        let names: Vec<Vec<u8>> =
            header.fields().filter(is_signature).flat_map(|field| covered_names(&field)).collect();
        let is_signed = header.fields().any(|field| is_signature(&field));
        let fields = names.into_iter().map(|name| (of_name(header, &name), name));
        let fields = fields.map(|(fields, name)| (name, fields)).collect();
        is_signed.then(|| Self { fields, body: digest(header.body()) })
    }

    /// The content without the signatures that no longer fit it.
    pub(super) fn without_broken(&self, content: Vec<u8>) -> Vec<u8> {
        let mut header = Header::parse(&content);
        let is_whole = digest(header.body()) == self.body;
        let changed: Vec<&Vec<u8>> = self
            .fields
            .iter()
            .filter(|(name, before)| of_name(&header, name) != **before)
            .map(|(n, _)| n)
            .collect();
        let is_broken = |field: &Field<'_>| {
            is_signature(field)
                && (!is_whole || covered_names(field).iter().any(|name| changed.contains(&name)))
        };
        let of_chain = |field: &Field<'_>| CHAIN.iter().any(|name| field.is(name));
        let is_void = header.fields().any(|field| of_chain(&field) && is_broken(&field));
        let gone = header.retain(|field| !(is_broken(field) || is_void && of_chain(field)));
        if gone == 0 { content } else { header.to_content() }
    }
}

fn is_signature(field: &Field<'_>) -> bool {
    SIGNATURES.iter().any(|name| field.is(name))
}

/// The names in `h=`, in lower case. None where the tag can't be found: such a signature is broken by itself.
fn covered_names(field: &Field<'_>) -> Vec<Vec<u8>> {
    let value = field.unfolded();
    let tag = value.split(|&b| b == b';').find_map(|tag| {
        let (name, list) = tag.split_at(tag.iter().position(|&b| b == b'=')?);
        (name.trim_ascii() == b"h").then(|| list[1..].to_vec())
    });
    let names = tag.unwrap_or_default();
    let names = names.split(|&b| b == b':').map(|name| name.trim_ascii().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// All fields of a name.
fn of_name(header: &Header<'_>, name: &[u8]) -> Vec<Vec<u8>> {
    let fields = header.fields().filter(|field| field.name().eq_ignore_ascii_case(name));
    fields.map(|field| field.raw().trim_ascii_end().to_vec()).collect()
}

fn digest(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "DKIM-Signature: v=1; d=a.test; h=from : To:\r\n\tsubject; b=x\r\n\
        ARC-Seal: i=1; cv=none; b=x\r\nARC-Message-Signature: i=1; h=From:Date; b=x\r\n\
        ARC-Authentication-Results: i=1; a.test\r\nDKIM-Signature: v=1; d=b.test; h=Date; b=x\r\n\
        DKIM-Signature: v=1; d=c.test; b=x\r\n\
        From: a@a.test\r\nTo: b@b.test\r\nCc: c@b.test\r\nDate: today\r\n\r\nbody\r\n";

    #[test]
    fn only_what_covers_a_change_goes() {
        for (name, from, to, gone) in [
            ("nothing", "", "", &[][..]),
            ("not covered", "Cc: c@", "Cc: d@", &[]),
            ("added", "Date:", "Subject: x\r\nDate:", &["h=from :"]),
            ("removed", "To: b@b.test\r\n", "", &["h=from :"]),
            ("covered", "From: a@", "From: x@", &["h=from :", "ARC-Seal", "ARC-Message", "ARC-Auth"]),
            ("date", "Date: today", "Date: now", &["d=b.test", "ARC-Seal", "ARC-Message", "ARC-Auth"]),
            (
                "body",
                "\r\n\r\nbody",
                "\r\n\r\nother",
                &["h=from :", "d=b.test", "d=c.test", "ARC-Seal", "ARC-Message", "ARC-Auth"],
            ),
        ] {
            let covered = Covered::of(&Header::parse(SIGNED.as_bytes())).unwrap();
            let got = covered.without_broken(SIGNED.replacen(from, to, 1).into_bytes());
            let got = String::from_utf8(got).unwrap();
            for mark in ["h=from :", "d=b.test", "d=c.test", "ARC-Seal", "ARC-Message", "ARC-Auth"] {
                assert_eq!(!got.contains(mark), gone.contains(&mark), "{name}: {mark}");
            }
        }
        assert!(Covered::of(&Header::parse(b"From: a@a.test\r\n\r\nDKIM-Signature: x\r\n")).is_none());
    }
}
