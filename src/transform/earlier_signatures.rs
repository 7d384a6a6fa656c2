//! DKIM signatures that a message brings along (RFC 6376): those that our changes break are removed.
//!
//! A broken signature says nothing to a receiver that no signature would not say, and some count it against the sender. What
//! has changed is seen by comparing what came with what goes, so that every change is covered, whoever makes it.

use sha2::{Digest, Sha256};

use crate::mail::header::{Field, Header};

const NAME: &str = "DKIM-Signature";

/// What the signatures of a message were made of, before anything is changed.
#[derive(Debug)]
pub(super) struct EarlierSignatures {
    fields: Vec<u8>,
    body: [u8; 32],
}

impl EarlierSignatures {
    /// Of a content as it was accepted; `None` when it has no signatures.
    pub(super) fn of(content: &[u8]) -> Option<Self> {
        let header = Header::parse(content);
        header.get(NAME)?;
        let mut fields = Vec::new();
        header.write_to(&mut fields);
        Some(Self { fields, body: digest(&header) })
    }

    /// Removes from the content that goes each signature that what has become of it does not bear out.
    pub(super) fn remove_broken(&self, content: Vec<u8>) -> Vec<u8> {
        let mut header = Header::parse(&content);
        let (before, after) = (Header::parse(&self.fields), header.clone());
        let same_body = digest(&after) == self.body;
        header.retain(|field| {
            !field.is(NAME)
                || same_body && signed_names(field).iter().all(|name| is_same(name, &before, &after))
        });
        if header.is_changed() { header.to_content() } else { content }
    }
}

fn digest(header: &Header<'_>) -> [u8; 32] {
    Sha256::digest(header.body()).into()
}

/// The names of the fields that a signature covers, each with how many of them: the tag `h` (RFC 6376 3.5).
fn signed_names(signature: &Field<'_>) -> Vec<(String, usize)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = "DKIM-Signature: v=1; a=x; h=From : To:\r\n\t Cc:Cc; b=y\r\nReceived: z\r\nFrom: a@b\r\nTo: c@d\r\n\
        Cc: e@f\r\nSubject: s\r\ndkim-signature: h=subject; b=z\r\n\r\nbody\r\n";

    #[test]
    fn what_breaks_is_removed() {
        for (from, to, want) in [
            ("Received: z\r\n", "", [true, true]),
            ("Subject: s", "Subject: t", [true, false]),
            ("a@b", "c@b", [false, true]),
            ("Cc: e@f\r\n", "Cc: e@f\r\nCC: new\r\n", [false, true]),
            ("\r\nbody", "\r\nBody", [false, false]),
        ] {
            let earlier = EarlierSignatures::of(CONTENT.as_bytes()).unwrap();
            let changed = CONTENT.replacen(from, to, 1);
            let got = String::from_utf8(earlier.remove_broken(changed.clone().into())).unwrap();
            assert_eq!([got.contains("b=y"), got.contains("b=z")], want, "{to}");
            let kept: String = changed.split_inclusive("\r\n").filter(|line| got.contains(line)).collect();
            assert_eq!(kept, got, "{to}");
        }
        assert!(EarlierSignatures::of(b"From: a@b\r\n\r\nDKIM-Signature: x\r\n").is_none());
    }
}
