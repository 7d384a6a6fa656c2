//! Signatures of others that our changes break: they would only raise suspicion, so they go.
//!
//! The one rule for all changes: what a signature covers (RFC 6376 3.5, the tag `h`) is compared before and after, and the body
//! with it. A chain of ARC whose newest signature breaks is void as a whole (RFC 8617 5.2).

use sha2::{Digest, Sha256};

use crate::mail::header::{Field, Header};

/// Fields that sign the message.
const SIGNATURES: [&str; 2] = ["DKIM-Signature", "ARC-Message-Signature"];
/// All fields of a chain of ARC.
const CHAIN: [&str; 3] = ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"];

/// What the signatures of a message cover, as it was before we changed it.
pub(super) struct Covered {
    fields: Vec<u8>,
    body: [u8; 32],
}

impl Covered {
    /// `None` when nothing is signed.
    pub(super) fn of(header: &Header<'_>) -> Option<Self> {
        header.fields().find(is_signature)?;
        let mut fields = Vec::new();
        header.write_to(&mut fields);
        Some(Self { fields, body: digest(header) })
    }

    /// The content without the signatures that no longer fit it.
    pub(super) fn without_broken(&self, content: Vec<u8>) -> Vec<u8> {
        let mut header = Header::parse(&content);
        let (before, after) = (Header::parse(&self.fields), header.clone());
        let is_whole = digest(&after) == self.body;
        let fits = |field: &Field<'_>| {
            is_whole && covered_names(field).iter().all(|name| is_same(name, &before, &after))
        };
        let is_broken = |field: &Field<'_>| is_signature(field) && !fits(field);
        let of_chain = |field: &Field<'_>| CHAIN.iter().any(|name| field.is(name));
        let is_void = after.fields().any(|field| of_chain(&field) && is_broken(&field));
        let gone = header.retain(|field| !(is_broken(field) || is_void && of_chain(field)));
        if gone == 0 { content } else { header.to_content() }
    }
}

fn is_signature(field: &Field<'_>) -> bool {
    SIGNATURES.iter().any(|name| field.is(name))
}

/// The names in `h=`, in lower case, each with how many fields of it are covered. None where the tag can't be found: such a
/// signature is broken by itself.
fn covered_names(signature: &Field<'_>) -> Vec<(String, usize)> {
    let value = signature.unfolded();
    let tags = value.split(|&b| b == b';').filter_map(|tag| {
        let equals = tag.iter().position(|&b| b == b'=')?;
        (tag[..equals].trim_ascii() == b"h").then(|| &tag[equals + 1..])
    });
    let mut names: Vec<(String, usize)> = Vec::new();
    for name in tags.flat_map(|names| names.split(|&b| b == b':')) {
        let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
        match names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => names.push((name, 1)),
        }
    }
    names
}

/// Whether the fields that are covered, from the last one up (RFC 6376 5.4.2), are the same.
fn is_same((name, count): &(String, usize), before: &Header<'_>, after: &Header<'_>) -> bool {
    let covered = |header: &Header<'_>| {
        let all: Vec<Vec<u8>> = header.fields().filter(|f| f.is(name)).map(|f| f.raw().to_vec()).collect();
        all.into_iter().rev().take(*count).collect::<Vec<_>>()
    };
    covered(before) == covered(after)
}

fn digest(header: &Header<'_>) -> [u8; 32] {
    Sha256::digest(header.body()).into()
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
