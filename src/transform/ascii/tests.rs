use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;

use super::*;

fn ascii(content: &[u8]) -> String {
    let mut section = Header::parse(content);
    header(&mut section);
    String::from_utf8(section.to_content()).expect("nothing but ASCII is left")
}

#[test]
fn each_field_by_its_grammar() {
    for (name, field, want) in [
        ("ASCII", "To:  a@b ,\r\n c@d", "To:  a@b ,\r\n c@d"),
        ("text", "Subject: Grüße 12", "Subject: =?utf-8?B?R3LDvMOfZQ==?= 12"),
        ("unknown", "X-Any: ü", "X-Any: =?utf-8?B?w7w=?="),
        ("domain", "From: info@müller.test", "From: info@xn--mller-kva.test"),
        ("brackets", "From: Info <info@müller.test>", "From: Info <info@xn--mller-kva.test>"),
        (
            "display name",
            "To: Jörg Ä <j@x.test>, k@x.test",
            "To: =?utf-8?B?SsO2cmcgw4Q=?= <j@x.test>, k@x.test",
        ),
        ("quoted", "To: \"Ä, \\\"B\\\"\" <j@x.test>", "To: =?utf-8?B?w4QsICJCIg==?= <j@x.test>"),
        ("comment", "Cc: j@x.test (Jörg)", "Cc: j@x.test (=?utf-8?B?SsO2cmc=?=)"),
        ("route", "Cc: <@ü.test:j@ü.test>", "Cc: <j@xn--tda.test>"),
        (
            "group",
            "To: Ämter: a@ü.test, b@x.test;, c@x.test",
            "To: =?utf-8?B?w4RtdGVy?=: a@xn--tda.test, b@x.test;, c@x.test",
        ),
        ("local part", "To: Jörg <jörg@x.test>", "To: =?utf-8?B?SsO2cmc=?= =?utf-8?B?asO2cmdAeC50ZXN0?= :;"),
        (
            "the same in a group",
            "To: A: Jörg <jörg@x.test>, b@x.test;",
            "To: A: (=?utf-8?B?asO2cmdAeC50ZXN0?=), b@x.test;",
        ),
        ("no address", "To: Jörg, a@x.test", "To: =?utf-8?B?SsO2cmc=?=, a@x.test"),
        (
            "encoded before",
            "To: =?utf-8?Q?=C3=A4?= Ä <a@x.test>",
            "To: =?utf-8?Q?=C3=A4?= =?utf-8?B?IMOE?= <a@x.test>",
        ),
        (
            "parameter",
            "Content-Disposition: attachment; filename=\"Grüße 1.pdf\"; size=3",
            "Content-Disposition: attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe%201.pdf;\r\n size=3",
        ),
        (
            "boundary",
            "Content-Type: a/b; boundary=ü",
            "Downgraded-Content-Type: a/b; =?utf-8?B?Ym91bmRhcnk9w7w=?=",
        ),
        ("identifier", "Message-ID: <1@müller.test>", "Message-ID: <1@xn--mller-kva.test>"),
        ("identifiers", "References: <1@a>\r\n <2@ü.test>", "References: <1@a> <2@xn--tda.test>"),
        ("no identifier", "References: <ü@a>", "Downgraded-References: =?utf-8?B?PMO8QGE+?="),
        ("no field", "Grüße", "Grüße"),
    ] {
        let mut section = Header::parse(field.as_bytes());
        header(&mut section);
        let got = String::from_utf8(section.to_content()).unwrap();
        assert_eq!(got.trim_end(), want, "{name}");
    }
}

#[test]
fn an_unknown_character_set_is_named_so() {
    assert_eq!(ascii(b"Subject: \xfc\r\n"), "Subject: =?unknown-8bit?B?/A==?=\r\n");
    assert_eq!(ascii(b"To: \xfc <a@x.test>\r\n"), "To: =?unknown-8bit?B?/A==?= <a@x.test>\r\n");
    assert_eq!(ascii(b"To: a@\xfc.test\r\n"), "To: =?unknown-8bit?B?YUD8LnRlc3Q=?= :;\r\n");
}

#[test]
fn long_names_of_files_are_read_as_before() {
    let name = "Grüße aus dem Süden ".repeat(9);
    let out = ascii(format!("Content-Type: text/plain; name=\"{name}.txt\"\r\n\r\nx").as_bytes());
    assert!(out.split("\r\n").all(|line| line.len() <= 78), "{out}");
    let message = MessageParser::default().parse(out.as_bytes()).unwrap();
    assert_eq!(message.content_type().unwrap().attribute("name"), Some(format!("{name}.txt").as_str()));
}

proptest! {
    #[test]
    fn all_fields_become_ascii(
        name in prop_oneof![Just("To"), Just("From"), Just("Subject"), Just("Content-Type"), Just("Message-ID"), Just("Received")],
        value in "[aü@.,:;<>()\\[\\]\"\\\\ =\r\n]{0,60}", octets in proptest::collection::vec(any::<u8>(), 0..60)) {
        for value in [value.as_bytes(), &octets[..]] {
            let value: Vec<u8> = value.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
            let content = [name.as_bytes(), b": ", &value, b"\r\n\r\nbody"].concat();
            let out = ascii(&content);
            prop_assert!(out.ends_with("\r\n\r\nbody"));
            prop_assert_eq!(Header::parse(out.as_bytes()).fields().count(), 1);
            prop_assert!(out.split("\r\n").all(|line| line.len() <= 998));
        }
    }

    /// Whoever could be read before, and is an address for all servers, can be read after.
    #[test]
    fn no_mailbox_is_lost(people in proptest::collection::vec((0..4_usize, 0..4_usize), 1..8)) {
        let names = ["", "Bob", "Jörg", "\"Ä, B\""];
        let addresses = ["a@x.test", "b@ü.test", "\"c d\"@x.test", "d@[192.0.2.1]"];
        let mailbox = |&(name, address): &(usize, usize)| format!("{} <{}>", names[name], addresses[address]);
        let list: Vec<String> = people.iter().map(mailbox).collect();
        let out = ascii(format!("To: {}\r\n", list.join(",")).as_bytes());
        let got = crate::mail::header::mailboxes(Header::parse(out.as_bytes()).get("To").unwrap().value());
        let want: Vec<String> = people.iter().map(|&(_, a)| addresses[a].replace('ü', "xn--tda")).collect();
        prop_assert_eq!(got.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
    }
}
