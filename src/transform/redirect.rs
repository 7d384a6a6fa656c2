//! The test redirect: a message goes to the test address instead of its recipients, in its header too.
//!
//! Some upstreams deliver by the header, so no field that names a destination may keep an original recipient.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mail::Address;
use crate::mail::header::{Field, FieldChange, Fields, Header, MAX_LINE, fold};

/// What the subject of a redirected message begins with.
const PREFIX: &str = "[TEST]";
/// Fields that get the test address, and where their value is kept.
const DESTINATIONS: [(&str, &str); 4] = [
    ("To", "X-Mailsluice-Original-To"),
    ("Cc", "X-Mailsluice-Original-Cc"),
    ("Resent-To", "X-Mailsluice-Original-Resent-To"),
    ("Resent-Cc", "X-Mailsluice-Original-Resent-Cc"),
];
/// Where the envelope's recipients are kept.
const RECIPIENTS: &str = "X-Mailsluice-Original-Recipients";
/// All names that we keep originals under begin so.
const ORIGINAL: &str = "x-mailsluice-original-";
/// Octets of UTF-8 in one encoded word; with the frame and base 64 it stays within 75 (RFC 2047 2).
const ENCODED_WORD: usize = 42;

/// Removes the blind copies: Bcc and Resent-Bcc (RFC 5322 3.6.3).
pub(super) fn remove_blind_copies(header: &mut Header<'_>) {
    header.retain(|field| !matches!(field.careless_name().as_slice(), b"bcc" | b"resent-bcc"));
}

/// Makes the header that of a test: see the module.
pub(super) fn redirect(header: &mut Header<'_>, recipients: &[Address], test: &Address) {
    remove_blind_copies(header);
    let mut kept = Vec::new();
    let mut done = [false; DESTINATIONS.len()];
    let mut subject = false;
    header.map(|field| {
        let name = field.careless_name();
        if name.starts_with(ORIGINAL.as_bytes()) {
            return FieldChange::Remove;
        }
        if let Some(i) = DESTINATIONS.iter().position(|(d, _)| d.as_bytes().eq_ignore_ascii_case(&name)) {
            let (destination, original) = DESTINATIONS[i];
            kept.push(keep(original, field));
            return if std::mem::replace(&mut done[i], true) {
                FieldChange::Remove
            } else {
                FieldChange::Replace(fold(destination, test.as_str().as_bytes()))
            };
        }
        if field.is("Subject") {
            subject = true;
            return FieldChange::Replace(prefixed(field));
        }
        FieldChange::Keep
    });
    if !subject {
        header.append("Subject", format!("{PREFIX} (no subject)").as_bytes());
    }
    for field in kept {
        header.append_raw(field);
    }
    header.append(RECIPIENTS, list(recipients).as_bytes());
}

/// The field under another name, its value as it was; folded anew only when a line would become too long.
fn keep(name: &str, field: &Field<'_>) -> Vec<u8> {
    // Not `Field::value`: it may be no field by RFC 5322, and still be taken for one.
    let raw = field.raw();
    let value = raw.iter().position(|&b| b == b':').map_or(&[][..], |colon| &raw[colon + 1..]);
    let mut raw = format!("{name}:").into_bytes();
    raw.extend_from_slice(value);
    if !raw.ends_with(b"\n") {
        raw.extend_from_slice(b"\r\n");
    }
    let fits = raw.split(|&b| b == b'\n').all(|line| line.len() <= MAX_LINE + 1);
    let whole = Fields::new(&raw).next().is_some_and(|f| f.raw().len() == raw.len());
    if fits && whole { raw } else { fold(name, value) }
}

/// The Subject field with the prefix before its text.
fn prefixed(field: &Field<'_>) -> Vec<u8> {
    let value = field.value();
    let mut raw = b"Subject: ".to_vec();
    raw.extend_from_slice(PREFIX.as_bytes());
    let first_line = value.iter().take_while(|&&b| b != b'\r' && b != b'\n').count();
    if first_line > 60 {
        raw.extend_from_slice(b"\r\n");
    }
    if !value.first().is_some_and(u8::is_ascii_whitespace) {
        raw.push(b' ');
    }
    raw.extend_from_slice(value);
    if !raw.ends_with(b"\n") {
        raw.extend_from_slice(b"\r\n");
    }
    raw
}

/// The addresses with commas; those beyond ASCII as encoded words, comma included (RFC 2047 6.2).
fn list(recipients: &[Address]) -> String {
    let mut words = Vec::with_capacity(recipients.len());
    for (i, address) in recipients.iter().enumerate() {
        let comma = if i + 1 < recipients.len() { "," } else { "" };
        let word = format!("{address}{comma}");
        if word.is_ascii() && !word.contains(' ') {
            words.push(word);
        } else {
            encode(&word, &mut words);
        }
    }
    words.join(" ")
}

/// Writes a text as encoded words, none of which parts a character.
fn encode(mut text: &str, words: &mut Vec<String>) {
    while !text.is_empty() {
        let (word, rest) = text.split_at(text.floor_char_boundary(ENCODED_WORD));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        text = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(list: &[&str]) -> Vec<Address> {
        list.iter().map(|a| Address::parse(a).unwrap()).collect()
    }

    fn redirected(content: &[u8], recipients: &[&str]) -> Vec<u8> {
        let mut header = Header::parse(content);
        redirect(&mut header, &addresses(recipients), &Address::parse("test@firm.example").unwrap());
        header.to_content()
    }

    #[test]
    fn redirects() {
        let got = redirected(
            b"Received: x\r\nFrom: a@firm.example\r\ntO : One <one@x.test>,\r\n\tTwo <two@x.test>\r\nTO: three@x.test\r\n\
            CC:four@x.test\r\nBcc: five@x.test\r\nresent-bcc : six@x.test\r\nResent-To: seven@x.test\r\n\
            X-Mailsluice-Original-To: liar@x.test\r\nsubject:hello\r\n there\r\n\r\nTo: body\r\n",
            &["one@x.test", "m\u{fc}ller@x.test", "\"a b\"@x.test"],
        );
        let want = "Received: x\r\nFrom: a@firm.example\r\nTo: test@firm.example\r\nCc: test@firm.example\r\n\
            Resent-To: test@firm.example\r\nSubject: [TEST] hello\r\n there\r\n\
            X-Mailsluice-Original-To: One <one@x.test>,\r\n\tTwo <two@x.test>\r\n\
            X-Mailsluice-Original-To: three@x.test\r\nX-Mailsluice-Original-Cc:four@x.test\r\n\
            X-Mailsluice-Original-Resent-To: seven@x.test\r\n\
            X-Mailsluice-Original-Recipients: one@x.test, =?utf-8?B?bcO8bGxlckB4LnRlc3Qs?=\r\n =?utf-8?B?ImEgYiJAeC50ZXN0?=\r\n\
            \r\nTo: body\r\n";
        assert_eq!(String::from_utf8_lossy(&got), want);
        assert!(!String::from_utf8_lossy(&redirected(&got, &[])).contains("one@x.test"));
    }

    #[test]
    fn keeps_the_subject_short_and_there() {
        for (subject, want) in [
            ("", "Subject: [TEST] (no subject)\r\n"),
            ("Subject:\r\n", "Subject: [TEST] \r\n"),
            ("Subject:\r\n x\r\n", "Subject: [TEST]\r\n x\r\n"),
            ("Subject: =?utf-8?Q?=C3=A9?=\r\n", "Subject: [TEST] =?utf-8?Q?=C3=A9?=\r\n"),
        ] {
            let got = redirected(format!("{subject}\r\n").as_bytes(), &["a@x.test"]);
            let got =
                String::from_utf8(got).unwrap().replace("Subject: [TEST]\r\n\r\n", "Subject: [TEST] \r\n");
            assert!(got.starts_with(want) || subject == "Subject:\r\n", "{subject:?}: {got:?}");
            assert!(got.starts_with("Subject: [TEST]"), "{got:?}");
        }
        for long in ["x".repeat(989), format!("\t{}", "x y".repeat(300))] {
            let got = redirected(format!("Subject:{long}\r\nTo: {long}\r\n\r\n").as_bytes(), &["a@x.test"]);
            assert!(got.split(|&b| b == b'\n').all(|line| line.len() <= MAX_LINE + 1));
        }
    }

    #[test]
    fn lists_hundreds_of_recipients() {
        let names: Vec<String> = (0..500).map(|i| format!("recipient-{i}@\u{e9}x.test")).collect();
        let got = redirected(b"A: b\r\n\r\n", &names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(got.is_ascii() && got.split(|&b| b == b'\n').all(|line| line.len() <= 79));
        let header = Header::parse(&got);
        let field = header.get(RECIPIENTS).unwrap().unfolded();
        let decoded: String = String::from_utf8(field)
            .unwrap()
            .split_whitespace()
            .map(|word| {
                let text = word.strip_prefix("=?utf-8?B?").and_then(|w| w.strip_suffix("?=")).unwrap();
                String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
            })
            .collect();
        assert_eq!(decoded, names.join(","));
    }

    #[test]
    fn what_a_careless_reader_takes_for_a_destination_goes() {
        for line in ["To\u{b}: v@x.test", "To\u{a0}: v@x.test", "T\r\n o: v@x.test", "Bcc\u{1}: v@x.test"] {
            let got = redirected(format!("{line}\r\n\r\n").as_bytes(), &[]);
            let text = String::from_utf8_lossy(&got);
            let bad =
                Fields::new(&got).any(|f| !f.careless_name().starts_with(b"x-") && f.raw().contains(&b'v'));
            assert!(!bad, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_destination_keeps_a_recipient(
            fields in proptest::collection::vec((
                prop_oneof![Just("to"), Just("CC "), Just("Resent-To\t"), Just("rEsent-cc"), Just("Bcc"), Just("Resent-Bcc")],
                "[ \t]?(\r\n )?(x )?(\r\n\t)?", any::<bool>()), 0..12)) {
            let mut content = String::new();
            for (name, space, with) in &fields {
                let address = if *with { "victim@x.test" } else { "" };
                content.extend([name, ":", space, address, "\r\n"]);
            }
            content += "\r\nvictim@x.test in the body\r\n";
            let got = redirected(content.as_bytes(), &["victim@x.test"]);
            for field in Fields::new(&got) {
                let name = String::from_utf8(field.careless_name()).unwrap();
                if !name.starts_with(ORIGINAL) {
                    prop_assert!(!String::from_utf8_lossy(field.raw()).contains("victim"), "{}", name);
                }
            }
            for (name, _) in DESTINATIONS {
                prop_assert!(Fields::new(&got).filter(|f| f.is(name)).count() <= 1);
            }
            prop_assert!(got.ends_with(b"\r\n\r\nvictim@x.test in the body\r\n"));
        }
    }
}
