use mail_parser::{Message, MessageParser, PartType};
use proptest::prelude::*;

use super::*;

const BODY: SevenBit = SevenBit { header: false, body: true };

fn down(content: &[u8]) -> Vec<u8> {
    let out = BODY.write(content).unwrap();
    assert!(Header::parse(&out).body().is_ascii());
    assert!(out.split(|&b| b == b'\n').all(|line| line.len() <= 999));
    out
}

fn bytes<'a>(message: &'a Message<'_>, part: usize) -> &'a [u8] {
    message.parts[part].contents()
}

#[test]
fn plain_text_without_mime() {
    for (body, charset) in
        [("Gr\u{fc}\u{df}e \r\n.\r\n\tx \r\n\r\n".as_bytes(), "utf-8"), (b"Gr\xfc\xdfe\r\n", "unknown-8bit")]
    {
        let out = down(&[b"A: 1\r\nTo : x\r\n\r\n", body].concat());
        let head = format!(
            "A: 1\r\nTo : x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        );
        let encoded = out.strip_prefix(head.as_bytes()).unwrap();
        assert_eq!(quoted_printable::decode(encoded, quoted_printable::ParseMode::Strict).unwrap(), body);
    }
}

#[test]
fn parts_each_in_their_way() {
    let content = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b b\"\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\npreamble\r\n--b b\r\n\
        Content-Type: multipart/alternative; boundary=b\r\ncontent-transfer-encoding:8BIT\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n\
        --bx is text\r\n\r\n\
        --b\r\n\r\n\xc3\xa9 no header\r\n\
        --b--  \r\nepilogue\r\n\
        --b b\r\nContent-Type: application/x-y\r\nContent-Transfer-Encoding: binary\r\n\r\n\xff\xfe\r\nx\r\n\
        --b b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3D\xe9\r\n\
        --b b\r\nContent-Type: text/plain\r\n\r\nplain =\r\n--b b--\r\n";
    let out = down(content);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("\r\nplain =\r\n--b b--\r\n") && text.contains("--b--  \r\nepilogue\r\n--b b\r\n"),
        "{text}"
    );
    assert_eq!(text.matches("7bit").count(), 2);
    assert!(!text.to_ascii_lowercase().contains("8bit") && !text.contains("binary"), "{text}");
    // The parser takes a line that only begins like a delimiter for one.
    let out = text.replace("--bx", "-bx").into_bytes();
    let parsed = MessageParser::default().parse(&out).unwrap();
    assert_eq!(bytes(&parsed, 2), "\u{e9}\r\n-bx is text\r\n".as_bytes());
    assert_eq!(bytes(&parsed, 3), "\u{e9} no header".as_bytes());
    assert_eq!(bytes(&parsed, 4), b"\xff\xfe\r\nx");
    assert!(matches!(&parsed.parts[5].body, PartType::Text(t) if t.starts_with("a=")));
}

#[test]
fn leaves_alone_what_it_must_not_change() {
    let part = |kind: &str| {
        format!(
            "Content-Type: {kind}; boundary=b\r\n\r\n--b\r\n\r\n\u{e9}\r\n--b\r\n\r\nsignature\r\n--b--\r\n"
        )
    };
    for (name, content) in [
        ("signed", part("multipart/signed")),
        ("encrypted", part("multipart/Encrypted")),
        ("wrong boundary", part("multipart/mixed").replace("boundary=b", "boundary=c")),
        ("no boundary", part("multipart/mixed").replace("boundary=b", "x=y")),
        ("signed in a message", format!("Content-Type: message/rfc822\r\n\r\n{}", part("multipart/signed"))),
        ("headless", part("multipart/mixed").replace("--b\r\n\r\n\u{e9}", "--b\r\n\u{e9}")),
        ("base 64", "Content-Transfer-Encoding: base64\r\n\r\n\u{e9}".to_owned()),
        ("unknown", "Content-Transfer-Encoding: x-uuencode\r\n\r\n\u{e9}".to_owned()),
        ("deep", {
            let mut deep = "\r\n\u{e9}\r\n".to_owned();
            for i in 0..200 {
                deep = format!(
                    "Content-Type: multipart/mixed; boundary=b{i}x\r\n\r\n--b{i}x\r\n{deep}\r\n--b{i}x--\r\n"
                );
            }
            deep
        }),
    ] {
        assert!(matches!(BODY.write(content.as_bytes()), Err(TransformError::EightBit(_))), "{name}");
    }
    let ascii = part("multipart/signed").replace('\u{e9}', "e");
    assert_eq!(BODY.write(ascii.as_bytes()).unwrap(), ascii.as_bytes());
}

#[test]
fn messages_in_messages() {
    let inner = "From: \u{e9}@x.test\r\nSubject: \u{e9}\r\n\r\n\u{e9}\r\n";
    let converted = "From: =?utf-8?B?w6lAeC50ZXN0?= :;\r\nSubject: =?utf-8?B?w6k=?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n";
    for (kind, fields) in [
        ("message/rfc822", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n"),
        ("message/global", "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n"),
    ] {
        let out =
            String::from_utf8(down(format!("MIME-Version: 1.0\r\n{fields}\r\n{inner}").as_bytes())).unwrap();
        let head =
            "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n";
        assert_eq!(out, format!("{head}{converted}"), "{kind}");
    }
    let digest = format!("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n{inner}\r\n--b--\r\n");
    let out = String::from_utf8(down(digest.as_bytes())).unwrap();
    assert!(out.contains(&format!("\r\n--b\r\n\r\n{converted}\r\n--b--\r\n")), "{out}");
}

#[test]
fn text_around_the_parts_is_nobody_s() {
    let content =
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n\u{e9}\r\n--b\r\n\r\nx\r\n--b--\r\n\u{e9}";
    let out = String::from_utf8(down(content.as_bytes())).unwrap();
    assert!(out.contains("\r\n\r\n??\r\n--b\r\n\r\nx\r\n--b--\r\n??"), "{out}");
}

#[test]
fn a_header_without_smtputf8_leaves_the_body() {
    let all = SevenBit { header: true, body: false };
    let part = "Content-Type: image/png; name=\"\u{e9}.png\"\r\n\r\n\u{e9}\r\n";
    let ascii_part = part.replace("name=\"\u{e9}.png\"", "name*=utf-8''%C3%A9.png");
    let attached = "Content-Type: message/rfc822\r\n\r\nSubject: \u{e9}\r\n\r\n\u{e9}\r\n";
    for (kind, got) in [("mixed", ascii_part.as_str()), ("signed", part), ("encrypted", part)] {
        let content = |subject: &str, part: &str| {
            format!(
                "Subject: {subject}\r\nContent-Type: multipart/{kind}; boundary=b\r\n\r\n\u{e9}\r\n--b\r\n{part}\r\n\
                --b\r\n{attached}\r\n--b--\r\n"
            )
        };
        let out = String::from_utf8(all.write(content("\u{e9}", part).as_bytes()).unwrap()).unwrap();
        assert_eq!(out, content("=?utf-8?B?w6k=?=", got), "{kind}");
    }
    let unreadable = "Content-Type: multipart/mixed\r\n\r\n\u{e9}";
    assert_eq!(all.write(unreadable.as_bytes()).unwrap(), unreadable.as_bytes());
}

proptest! {
    #[test]
    fn decoding_gives_the_same_octets(body in proptest::collection::vec(
        prop_oneof![Just(b'\xe9'), Just(b' '), Just(b'='), Just(b'.'), 1_u8..=255], 0..400)) {
        let body: Vec<u8> = body.into_iter().map(|b| if b == b'\r' || b == b'\n' { b'x' } else { b }).collect();
        let body = [&body[..], b"\r\n\xe9 \r\n", &body[..], b"\r\n"].concat();
        for kind in ["text/plain; charset=iso-8859-1", "image/x-y"] {
            let content = [format!("MIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n").as_bytes(), &body].concat();
            let out = down(&content);
            let encoded = Header::parse(&out).body();
            let got = if kind.starts_with("text") {
                quoted_printable::decode(encoded, quoted_printable::ParseMode::Strict).unwrap()
            } else {
                let joined: Vec<u8> = encoded.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
                STANDARD.decode(joined).unwrap()
            };
            prop_assert_eq!(got, &body[..]);
        }
    }

    #[test]
    fn never_panics(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        for header in [false, true] {
            let _ = SevenBit { header, body: !header }.write(&content);
            let _ = SevenBit { header, body: header }.write(&content);
        }
    }
}
