//! What rules have decided about the header, done on the way out.

use super::encoded_words::encode;
use super::identity::{mailbox_field, set_author};
use crate::mail::header::{Field, FieldChange, Header, mailboxes};
use crate::mail::{AddressKey, Mailbox};
use crate::store::Ruled;

/// Changes the fields that rules are about; all others keep every octet.
pub(super) fn apply(header: &mut Header<'_>, ruled: &Ruled) {
    for edit in &ruled.header {
        match &edit.value {
            None => {
                header.remove(&edit.name);
            }
            Some(value) => header.replace(&edit.name, &text(value)),
        }
    }
    if let Some(reply_to) = &ruled.reply_to {
        header.replace_raw("Reply-To", mailbox_field("Reply-To", reply_to));
    }
    if let Some(author) = &ruled.author {
        set_author(header, author);
    }
    name_copies(header, &ruled.cc);
}

/// A value of free text: as it is, or as encoded words (RFC 2047) where it is not ASCII or looks like such words.
fn text(value: &str) -> Vec<u8> {
    if value.is_ascii() && !value.contains("=?") {
        return value.into();
    }
    encode(value.as_bytes()).join(" ").into_bytes()
}

/// Names those who get a copy in Cc, behind whom it names already; not those who are named in To or Cc.
fn name_copies(header: &mut Header<'_>, copies: &[Mailbox]) {
    let named: Vec<AddressKey> = header
        .fields()
        .filter(|field| field.is("To") || field.is("Cc"))
        .flat_map(|field| mailboxes(field.value()))
        .map(|address| address.key())
        .collect();
    let new: Vec<&Mailbox> = copies.iter().filter(|copy| !named.contains(&copy.address.key())).collect();
    let Some((first, others)) = new.split_first() else { return };
    let mut written = mailbox_field("Cc", first);
    for copy in others {
        add(&mut written, copy);
    }
    let mut is_done = false;
    header.map(|field| {
        if is_done || !field.is("Cc") {
            return FieldChange::Keep;
        }
        is_done = true;
        FieldChange::Replace(with_copies(field, &new).unwrap_or_else(|| written.clone()))
    });
    if !is_done {
        header.append_raw(written);
    }
}

/// A Cc field with more mailboxes behind its own, which keep every octet. `None` where it names nobody; what can't be gone on
/// with is written anew.
fn with_copies(field: &Field<'_>, new: &[&Mailbox]) -> Option<Vec<u8>> {
    let before = mailboxes(field.value());
    if before.is_empty() {
        return None;
    }
    let mut longer = field.raw().trim_ascii_end().to_vec();
    let ends_with_comma = longer.last() == Some(&b',');
    if ends_with_comma {
        longer.pop();
    }
    longer.extend_from_slice(b"\r\n");
    for copy in new {
        add(&mut longer, copy);
    }
    if mailboxes(Field::of(&longer).value()).len() == before.len() + new.len() {
        return Some(longer);
    }
    let (first, others) = before.split_first()?;
    let mut anew = mailbox_field("Cc", &Mailbox::from(first.clone()));
    for address in others {
        add(&mut anew, &Mailbox::from(address.clone()));
    }
    for copy in new {
        add(&mut anew, copy);
    }
    Some(anew)
}

/// Puts a mailbox behind the others of a whole field, on a line of its own.
fn add(field: &mut Vec<u8>, mailbox: &Mailbox) {
    field.truncate(field.len() - 2);
    field.extend_from_slice(b",\r\n");
    let one = mailbox_field("", mailbox);
    field.extend_from_slice(&one[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HeaderEdit;

    fn mailboxes_of(texts: &[&str]) -> Vec<Mailbox> {
        texts.iter().map(|text| Mailbox::parse(text).unwrap()).collect()
    }

    fn applied(header: &str, ruled: &Ruled) -> String {
        let content = format!("{header}\r\nCc: body\r\n");
        let mut parsed = Header::parse(content.as_bytes());
        apply(&mut parsed, ruled);
        String::from_utf8(parsed.to_content()).unwrap().replace("\r\nCc: body\r\n", "")
    }

    #[test]
    fn copies_are_named_in_cc() {
        for (header, copies, want) in [
            ("To: a@b.test\r\n", &["c@b.test"][..], "To: a@b.test\r\nCc: c@b.test\r\n"),
            ("To: A <a@b.test>\r\n", &["a@B.test"], "To: A <a@b.test>\r\n"),
            (
                "Cc:  X\r\n <x@b.test>\r\nB: 1\r\n",
                &["c@b.test", "Firm, Ltd <d@b.test>"],
                "Cc:  X\r\n <x@b.test>,\r\n c@b.test,\r\n \"Firm, Ltd\" <d@b.test>\r\nB: 1\r\n",
            ),
            ("CC: x@b.test, \r\n", &["c@b.test"], "CC: x@b.test,\r\n c@b.test\r\n"),
            ("Cc: \r\nA: 1\r\n", &["c@b.test"], "Cc: c@b.test\r\nA: 1\r\n"),
            ("Cc: x@b.test (open\r\n", &["c@b.test"], "Cc: x@b.test,\r\n c@b.test\r\n"),
            ("Cc: G: x@b.test;\r\n", &["c@b.test"], "Cc: G: x@b.test;,\r\n c@b.test\r\n"),
            (
                "Cc: x@b.test\r\nCc: y@b.test\r\n",
                &["c@b.test"],
                "Cc: x@b.test,\r\n c@b.test\r\nCc: y@b.test\r\n",
            ),
            ("Cc: c@b.test\r\n", &[], "Cc: c@b.test\r\n"),
        ] {
            let ruled = Ruled { cc: mailboxes_of(copies), ..Ruled::default() };
            assert_eq!(applied(header, &ruled), want, "{header:?} {copies:?}");
        }
    }

    #[test]
    fn fields_are_set_and_dropped() {
        let edit =
            |name: &str, value: Option<&str>| HeaderEdit { name: name.into(), value: value.map(Into::into) };
        let ruled = Ruled {
            header: vec![edit("x-old", None), edit("X-Set", Some("b")), edit("X-Word", Some("Größe"))],
            reply_to: Mailbox::parse("It <it@b.test>"),
            author: Mailbox::parse("Firm <f@b.test>"),
            ..Ruled::default()
        };
        assert_eq!(
            applied(
                "X-Old: 1\r\nX-SET : 2\r\n 3\r\nA:  1\r\nFrom: x@y.test\r\nX-OLD: 2\r\nX-Set: 4\r\n",
                &ruled
            ),
            "X-Set: b\r\nA:  1\r\nFrom: Firm <f@b.test>\r\nX-Word: =?utf-8?B?R3LDtsOfZQ==?=\r\nReply-To: It <it@b.test>\r\n"
        );
        assert_eq!(applied("A: 1\r\n b\r\nB:2\r\n", &Ruled::default()), "A: 1\r\n b\r\nB:2\r\n");
    }
}
