//! Signatures of others that our changes break: they would only raise suspicion, so they go.
//!
//! The one rule for all changes: what a signature covers (RFC 6376 3.5, the tag `h`) is compared before and after, and the body
//! with it. A chain of ARC whose newest signature breaks is void as a whole (RFC 8617 5.2).

use std::collections::BTreeMap;

use crate::content::{ContentBody, SplitContent};
use crate::mail::header::{Field, Fields, Header};
use crate::mail::tags::{Tags, words};

/// Fields that sign the message.
const SIGNATURES: [&str; 2] = ["DKIM-Signature", "ARC-Message-Signature"];
/// All fields of a chain of ARC.
const CHAIN: [&str; 3] = ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"];

/// What the signatures of a message cover, as it was before we changed it.
pub(super) struct Covered {
    head: Vec<u8>,
    body: ContentBody,
}

impl Covered {
    /// `None` when nothing is signed.
    pub(super) fn of(content: &SplitContent) -> Option<Self> {
        let is_signed = Fields::new(content.head()).any(|field| is_signature(&field));
        is_signed.then(|| Self { head: content.head().to_vec(), body: content.body().clone() })
    }

    /// The content without the signatures that no longer fit it.
    pub(super) fn without_broken(&self, content: SplitContent) -> SplitContent {
        let mut header = Header::parse(content.head());
        let before = Header::parse(&self.head);
        let is_whole = content.body().is_same(&self.body);
        let kept = SameFields::between(&before, &header);
        let fits = |field: &Field<'_>| {
            is_whole && covered_names(field).iter().all(|(name, &count)| kept.has_all(name, count))
        };
        let is_broken = |field: &Field<'_>| is_signature(field) && !fits(field);
        let of_chain = |field: &Field<'_>| CHAIN.iter().any(|name| field.is(name));
        let is_void = header.fields().any(|field| of_chain(&field) && is_broken(&field));
        let gone = header.retain(|field| !(is_broken(field) || is_void && of_chain(field)));
        let left = (gone > 0).then(|| header.to_content());
        match left {
            Some(head) => content.with_head(head),
            None => content,
        }
    }
}

fn is_signature(field: &Field<'_>) -> bool {
    SIGNATURES.iter().any(|name| field.is(name))
}

/// The names in `h=`, in lower case, each with how many fields of it are covered. None where the tag can't be found: such a
/// signature is broken by itself.
fn covered_names(signature: &Field<'_>) -> BTreeMap<Vec<u8>, usize> {
    let value = signature.unfolded();
    let value = String::from_utf8_lossy(&value);
    let mut names = BTreeMap::new();
    let tags = Tags::readable(&value);
    for name in tags.iter().filter(|(tag, _)| *tag == "h").flat_map(|(_, names)| words(names)) {
        *names.entry(name.to_ascii_lowercase().into_bytes()).or_default() += 1;
    }
    names
}

/// How many fields of each name are as they were, from the last one up (RFC 6376 5.4.2). Counted once for all signatures: a
/// message may have thousands of them.
struct SameFields(BTreeMap<Vec<u8>, SameOfName>);

struct SameOfName {
    same: usize,
    /// There are no others, and were none.
    all: bool,
}

impl SameFields {
    fn between(before: &Header<'_>, after: &Header<'_>) -> Self {
        let (before, after) = (by_name(before), by_name(after));
        let names = before.keys().chain(after.keys()).cloned();
        let kept = |name: Vec<u8>| {
            let none = Vec::new();
            let (old, new) = (before.get(&name).unwrap_or(&none), after.get(&name).unwrap_or(&none));
            let pairs = old.iter().rev().zip(new.iter().rev());
            let same = pairs.take_while(|(old, new)| old.raw() == new.raw()).count();
            (name, SameOfName { same, all: old.len() == same && new.len() == same })
        };
        Self(names.map(kept).collect())
    }

    /// Whether the last `count` fields of a name are the same; where there were fewer, that there are no more.
    fn has_all(&self, name: &[u8], count: usize) -> bool {
        self.0.get(name).is_none_or(|kept| kept.all || kept.same >= count)
    }
}

fn by_name<'h>(header: &'h Header<'_>) -> BTreeMap<Vec<u8>, Vec<Field<'h>>> {
    let mut fields: BTreeMap<Vec<u8>, Vec<Field<'h>>> = BTreeMap::new();
    for field in header.fields() {
        fields.entry(field.name().to_ascii_lowercase()).or_default().push(field);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "DKIM-Signature: v=1; d=a.test; h=from : To:\r\n\tsubject; b=x\r\n\
        ARC-Seal: i=1; cv=none; b=x\r\nARC-Message-Signature: i=1; h=From:Date; b=x\r\n\
        ARC-Authentication-Results: i=1; a.test\r\nDKIM-Signature: v=1; d=b.test; h=Date; b=x\r\n\
        DKIM-Signature: v=1; d=c.test; b=x\r\n\
        From: a@a.test\r\nTo: b@b.test\r\nCc: c@b.test\r\nDate: today\r\n\r\nbody\r\n";

    fn split(content: &str) -> SplitContent {
        SplitContent::memory(content.into())
    }

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
            let covered = Covered::of(&split(SIGNED)).unwrap();
            let got = covered.without_broken(split(&SIGNED.replacen(from, to, 1)));
            let got = String::from_utf8(got.octets().unwrap().into_owned()).unwrap();
            for mark in ["h=from :", "d=b.test", "d=c.test", "ARC-Seal", "ARC-Message", "ARC-Auth"] {
                assert_eq!(!got.contains(mark), gone.contains(&mark), "{name}: {mark}");
            }
        }
        assert!(Covered::of(&split("From: a@a.test\r\n\r\nDKIM-Signature: x\r\n")).is_none());
    }

    #[test]
    fn fields_count_from_the_last_one_up() {
        for (name, signed, before, after, want) in [
            ("above", "A", "A: 1\r\nA: 2\r\n", "A: x\r\nA: 2\r\n", true),
            ("below", "A", "A: 1\r\nA: 2\r\n", "A: 1\r\nA: x\r\n", false),
            ("both covered", "A:a", "A: 1\r\nA: 2\r\n", "A: x\r\nA: 2\r\n", false),
            ("put above", "A", "A: 1\r\n", "A: x\r\nA: 1\r\n", true),
            ("put above, and signed as absent", "A:A", "A: 1\r\n", "A: x\r\nA: 1\r\n", false),
            ("signed as absent", "A:A:A", "A: 1\r\n", "A: 1\r\n", true),
            ("removed above", "A", "A: 1\r\nA: 2\r\n", "A: 2\r\n", true),
            ("removed above, covered", "A:A", "A: 1\r\nA: 2\r\n", "A: 2\r\n", false),
        ] {
            let content = |fields: &str| format!("DKIM-Signature: h={signed}; b=x\r\n{fields}\r\nbody\r\n");
            let (before, after) = (content(before), content(after));
            let covered = Covered::of(&split(&before)).unwrap();
            let got = covered.without_broken(split(&after));
            assert_eq!(*got.octets().unwrap() == *after.as_bytes(), want, "{name}");
        }
    }
}
