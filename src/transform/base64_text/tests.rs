use mail_parser::{MessageParser, PartType};
use proptest::prelude::*;

use super::*;

fn encoded(content: &str) -> String {
    String::from_utf8_lossy(&encode(content.as_bytes().to_vec())).into_owned()
}

#[test]
fn text_goes_as_base64() {
    for (name, content, want) in [
        (
            "8 bit",
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0\r\n\r\n\u{fc}\r\n",
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\nw7wNCg==\r\n",
        ),
        (
            "nothing said",
            "Subject: x\r\n\r\n\u{fc}",
            "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\n\
             w7w=\r\n",
        ),
        (
            "quoted-printable",
            "content-transfer-encoding: Quoted-Printable\r\nContent-Type: text/html\r\nMIME-Version: 1.0\r\n\r\n<a=3D=\r\nb>\r\n",
            "Content-Transfer-Encoding: base64\r\nContent-Type: text/html\r\nMIME-Version: 1.0\r\n\r\nPGE9Yj4NCg==\r\n",
        ),
        (
            "parts",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
             --c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\u{fc}\r\n--c--\r\n--b\r\nContent-Type: text/csv\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\na\r\n\r\n--b--\r\npost",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
             --c\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=\r\n--c--\r\n--b\r\n\
             Content-Type: text/csv\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ0K\r\n--b--\r\npost",
        ),
    ] {
        assert_eq!(encoded(content), want, "{name}");
        assert_eq!(encoded(&encoded(content)), want, "{name}: once is enough");
    }
}

#[test]
fn all_else_keeps_every_octet() {
    let open = |depth| format!("Content-Type: multipart/mixed; boundary=b{depth}x\r\n\r\n--b{depth}x\r\n");
    let nested = (0..=MAX_DEPTH).map(open).collect::<Vec<_>>().concat() + "\r\n\u{fc}";
    for content in [
        "Content-Type: text/plain\r\n\r\nplain\r\n",
        "Content-Transfer-Encoding: base64\r\n\r\nw7w=\r\n",
        "Content-Type: application/pdf\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{fc}",
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\u{fc}\r\n--b--\r\n",
        "Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n\u{fc}\r\n--b--\r\n",
        "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\u{fc}\r\n--b--\r\n--a--\r\n",
        "Subject: x\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\n\u{fc}\r\n",
        "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n\u{fc}",
        "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\n\u{fc}\r\n--b--\r\n",
        "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n\u{fc}",
        "Content-Transfer-Encoding: x-own\r\n\r\n\u{fc}",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\na=zz\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\na= \r\nb\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\na=\u{fc}\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\na \r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n\u{fc}",
        "no header\u{fc}",
        nested.as_str(),
    ] {
        assert_eq!(encoded(content), content);
    }
}

/// All texts, decoded, and all else as it stands, in their order.
fn read(content: &[u8]) -> Vec<Vec<u8>> {
    let message = MessageParser::default().parse(content).expect("it has a header");
    let say = |part: &mail_parser::MessagePart<'_>| match &part.body {
        PartType::Text(text) | PartType::Html(text) => Some(text.as_bytes().to_vec()),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => Some(octets.to_vec()),
        PartType::Message(_) | PartType::Multipart(_) => None,
    };
    message.parts.iter().filter_map(say).collect()
}

/// An entity that may hold others.
fn entities() -> impl Strategy<Value = String> {
    let text = "[a-z\u{fc}=. ]{0,120}(\r\n[a-z\u{20ac}]{1,9}){0,3}";
    let leaf = prop_oneof![
        text.prop_map(|text| format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}")),
        text.prop_map(|text| {
            let quoted = String::from_utf8(quoted_printable::encode(text)).unwrap();
            format!("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{quoted}")
        }),
        "[a-z]{0,20}".prop_map(|text| format!("Content-Type: application/x-any\r\n\r\n{text}")),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        (
            prop::collection::vec(inner, 1..4),
            "[a-z]{6}",
            prop::sample::select(vec!["mixed", "alternative", "signed"]),
        )
            .prop_map(|(parts, boundary, kind)| {
                let part = |part: &String| format!("--{boundary}\r\n{part}\r\n");
                let parts = parts.iter().map(part).collect::<Vec<_>>().concat();
                format!(
                    "Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n{parts}--{boundary}--\r\n"
                )
            })
    })
}

proptest! {
    /// Another program reads the same, and what is signed keeps its octets.
    #[test]
    fn it_says_the_same(entity in entities()) {
        let content = format!("Subject: x\r\nMIME-Version: 1.0\r\n{entity}");
        let got = encode(content.clone().into_bytes());
        prop_assert_eq!(read(&got), read(content.as_bytes()), "{}", content);
        if content.starts_with("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed") {
            prop_assert_eq!(got, content.into_bytes());
        } else if !content.contains("multipart/signed") {
            prop_assert!(got.is_ascii() && !String::from_utf8_lossy(&got).contains("quoted-printable"));
        }
    }

    #[test]
    fn any_octets_are_taken(octets in prop::collection::vec(any::<u8>(), 0..300), pieces in prop::collection::vec(
        prop::sample::select(vec!["Content-Type: multipart/mixed; boundary=b\r\n", "\r\n", "--b\r\n", "--b--", "\u{fc}", "x: y\r\n"]), 0..20)) {
        let _ = encode(octets);
        let _ = encode(pieces.concat().into_bytes());
    }
}
