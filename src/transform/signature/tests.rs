use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;

use super::*;

fn signature(text: Option<&str>, html: Option<&str>) -> Signature {
    Signature { text: text.map(str::to_owned), html: html.map(str::to_owned), skip_replies: true }
}

/// The same, with the header section read here.
fn with_signature(content: &[u8], signature: &Signature) -> Option<Vec<u8>> {
    super::with_signature(content, &Header::parse(content), signature)
}

/// The content with a short signature; without any change when it gets none.
fn signed(content: &str) -> String {
    let both = signature(Some("-- \nFirm"), Some("<p>Firm</p>"));
    with_signature(content.as_bytes(), &both)
        .map_or_else(|| content.to_owned(), |out| String::from_utf8(out).unwrap())
}

#[test]
fn goes_below_the_text() {
    for (name, content, want) in [
        ("plain", "From: a@b\r\n\r\nhi\r\n", "From: a@b\r\n\r\nhi\r\n\r\n-- \r\nFirm\r\n"),
        ("an empty line at the end", "A: b\r\n\r\nhi\r\n\r\n", "A: b\r\n\r\nhi\r\n\r\n-- \r\nFirm\r\n"),
        ("no line end", "A: b\r\n\r\nhi", "A: b\r\n\r\nhi\r\n\r\n-- \r\nFirm\r\n"),
        ("no text", "A: b\r\n\r\n", "A: b\r\n\r\n-- \r\nFirm\r\n"),
        ("no empty line", "A: b\r\n", "A: b\r\n\r\n-- \r\nFirm\r\n"),
        ("no line end in the header", "A: b", "A: b\r\n\r\n-- \r\nFirm\r\n"),
        ("nothing", "", "\r\n-- \r\nFirm\r\n"),
        (
            "html",
            "Content-Type: text/html\r\n\r\n<html><body>hi</BODY ></html>\r\n",
            "Content-Type: text/html\r\n\r\n<html><body>hi\r\n<p>Firm</p>\r\n</BODY ></html>\r\n",
        ),
        (
            "a piece of html",
            "Content-Type: text/html\r\n\r\n<p>hi</p>\r\n",
            "Content-Type: text/html\r\n\r\n<p>hi</p>\r\n<p>Firm</p>\r\n",
        ),
        (
            "quoted-printable",
            "Content-Transfer-Encoding: quoted-printable\r\n\r\nhi=20=\r\n",
            "Content-Transfer-Encoding: quoted-printable\r\n\r\nhi=20=\r\n\r\n\r\n--=20\r\nFirm\r\n",
        ),
        (
            "base64",
            "Content-Transfer-Encoding: base64\r\n\r\naGkNCg==\r\n",
            "Content-Transfer-Encoding: base64\r\n\r\naGkNCg0KLS0gDQpGaXJtDQo=\r\n",
        ),
        (
            "alternative, in mixed, and a file behind it",
            "Content-Type: multipart/mixed; boundary=m\r\n\r\npreamble\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
             --a\r\n\r\nhi\r\n--a\r\nContent-Type: text/html\r\n\r\n<p>hi</p>\r\n--a--\r\n--m\r\n\
             Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nfile\r\n--m--\r\nepilogue\r\n",
            "Content-Type: multipart/mixed; boundary=m\r\n\r\npreamble\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
             --a\r\n\r\nhi\r\n\r\n-- \r\nFirm\r\n--a\r\nContent-Type: text/html\r\n\r\n<p>hi</p>\r\n<p>Firm</p>\r\n--a--\r\n--m\r\n\
             Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nfile\r\n--m--\r\nepilogue\r\n",
        ),
        (
            "a file first, no end",
            "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: application/pdf\r\n\
             Content-Disposition: Attachment; filename=x\r\n\r\nfile\r\n--m\r\n\r\nhi\r\n",
            "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: application/pdf\r\n\
             Content-Disposition: Attachment; filename=x\r\n\r\nfile\r\n--m\r\n\r\nhi\r\n\r\n-- \r\nFirm\r\n",
        ),
        (
            "related, with its root behind",
            "Content-Type: multipart/related; boundary=m; start=\"<r>\"\r\n\r\n--m\r\nContent-Type: text/html\r\n\r\nx\r\n\
             --m\r\nContent-Type: text/html\r\nContent-ID: <r>\r\n\r\ny\r\n--m--\r\n",
            "Content-Type: multipart/related; boundary=m; start=\"<r>\"\r\n\r\n--m\r\nContent-Type: text/html\r\n\r\nx\r\n\
             --m\r\nContent-Type: text/html\r\nContent-ID: <r>\r\n\r\ny\r\n<p>Firm</p>\r\n--m--\r\n",
        ),
        (
            "flowed",
            "Content-Type: text/plain; format=flowed\r\n\r\nhi \r\n",
            "Content-Type: text/plain; format=flowed\r\n\r\nhi \r\n\r\n-- \r\nFirm\r\n",
        ),
    ] {
        assert_eq!(signed(content), want, "{name}");
        assert_eq!(signed(want), want, "{name}: twice");
    }
}

#[test]
fn what_must_stay_stays() {
    for content in [
        "In-Reply-To: <a@b>\r\n\r\nhi\r\n",
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b--\r\n",
        "Content-Type: application/pkcs7-mime\r\n\r\nhi\r\n",
        "A: b\r\n\r\n-----BEGIN PGP MESSAGE-----\r\nx\r\n",
        "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\nx\r\n--b\r\n\r\n\
         -----BEGIN PGP SIGNED MESSAGE-----\r\n--b--\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n\r\nhi\r\n--c--\r\n--b--\r\n",
        "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b--\r\n",
        "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nhi\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nhi\r\n--b--\r\n",
        "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nhi\r\n",
        "Content-Type: text/plain\r\nContent-Disposition: inline; filename=x.txt\r\n\r\nhi\r\n",
        "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nhi\r\n",
        "A: b\r\nno field\r\n\r\nhi\r\n",
        "Content-Type: text/calendar\r\n\r\nhi\r\n",
        "Content-Type: text/plain; charset=utf-16\r\n\r\nhi\r\n",
        "Content-Transfer-Encoding: x-own\r\n\r\nhi\r\n",
        "Content-Transfer-Encoding: base64\r\n\r\naGk*\r\n",
        "Content-Type: multipart/mixed\r\n\r\nhi\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n--b--\r\n",
    ] {
        assert_eq!(signed(content), content);
    }
    let to_all = Signature { skip_replies: false, ..signature(Some("Firm"), None) };
    assert!(with_signature(b"In-Reply-To: <a@b>\r\n\r\nhi\r\n", &to_all).is_some());
    // Only what is configured is put below.
    assert_eq!(with_signature(b"A: b\r\n\r\nhi\r\n", &signature(None, Some("<p>x</p>"))), None);
}

#[test]
fn a_text_alone_stands_in_html_too() {
    let content = b"Content-Type: text/html\r\n\r\nhi";
    let out = with_signature(content, &signature(Some("-- \nA & B <a@b>"), None)).unwrap();
    let want = "Content-Type: text/html\r\n\r\nhi\r\n<p>-- <br>\r\nA &amp; B &lt;a@b&gt;</p>\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn lines_stay_apart_where_text_flows() {
    let content = b"Content-Type: text/plain; format=Flowed\r\n\r\nhi\r\n";
    let out = with_signature(content, &signature(Some("-- \nFirm  \nFrom us\n>x\n y"), None)).unwrap();
    let want = "hi\r\n\r\n-- \r\nFirm\r\n From us\r\n >x\r\n  y\r\n";
    assert!(out.ends_with(want.as_bytes()), "{}", out.escape_ascii());
}

#[test]
fn fields_tell_the_truth() {
    let umlaut = signature(Some("Gr\u{fc}\u{df}e"), None);
    for (name, content, want) in [
        (
            "no fields",
            &b"From: a@b\r\n\r\nhi\r\n"[..],
            &b"From: a@b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0\r\n\r\nhi\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"[..],
        ),
        (
            "ASCII in a part of 7 bits",
            b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7BIT\r\n\r\n--b\r\n\
              Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\nhi\r\n--b--\r\n",
            b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\
              Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nhi\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n--b--\r\n",
        ),
        (
            "Latin 1",
            b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n",
            b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n\r\nGr\xfc\xdfe\r\n",
        ),
        (
            "quoted-printable",
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n",
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n\r\nGr=C3=BC=C3=9Fe\r\n",
        ),
    ] {
        let out = with_signature(content, &umlaut).unwrap();
        assert_eq!(out, want, "{name}: {}", out.escape_ascii());
        assert_eq!(with_signature(&out, &umlaut), None, "{name}: twice");
    }
}

/// A part of a message that is made at random.
#[derive(Debug, Clone)]
enum Made {
    Text { html: bool, charset: &'static str, encoding: &'static str, body: String },
    File(String),
    Holder { kind: &'static str, ended: bool, parts: Vec<Made> },
}

impl Made {
    fn written(&self, depth: usize) -> String {
        match self {
            Self::Text { html, charset, encoding, body } => {
                let kind = if *html { "html" } else { "plain" };
                let body = if *encoding == "base64" { in_base64(body) } else { body.clone() };
                format!(
                    "X-Odd:\r\n folded \r\nX-Odd:\r\nContent-Type: Text/{kind};\r\n\tcharset={charset}\r\n\
                     Content-Transfer-Encoding: {encoding}\r\n\r\n{body}"
                )
            }
            Self::File(body) => format!(
                "Content-Type: text/plain\r\nContent-Disposition: attachment;\r\n filename=\"a b\"\r\n\r\n{body}"
            ),
            Self::Holder { kind, ended, parts } => {
                let part = |part: &Self| format!("\r\n--=_{depth} \r\n{}", part.written(depth + 1));
                let parts: Vec<String> = parts.iter().map(part).collect();
                let is_ended = *ended || depth > 0;
                let end = if is_ended { format!("--=_{depth}--\r\nepilogue\r\n") } else { String::new() };
                format!(
                    "Content-Type: multipart/{kind}; boundary=\"=_{depth}\"\r\n\r\npreamble\r\n--=_9\r\n{}\r\n{end}",
                    parts.concat()
                )
            }
        }
    }
}

fn in_base64(body: &str) -> String {
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
    let lines = body.as_bytes().chunks(60).map(|line| std::str::from_utf8(line).unwrap());
    lines.collect::<Vec<_>>().join("\r\n")
}

fn made() -> impl Strategy<Value = Made> {
    let body = "([a-z .>-]{0,70}\r\n){0,4}[a-z]{0,9}";
    let text = (
        any::<bool>(),
        prop::sample::select(vec!["us-ascii", "UTF-8", "iso-8859-15"]),
        prop::sample::select(vec!["7bit", "8bit", "quoted-printable", "base64"]),
        body,
    )
        .prop_map(|(html, charset, encoding, body)| Made::Text { html, charset, encoding, body });
    let leaf = prop_oneof![3 => text, 1 => body.prop_map(Made::File)];
    leaf.prop_recursive(4, 16, 4, |inner| {
        (
            prop::sample::select(vec!["mixed", "alternative", "related"]),
            any::<bool>(),
            prop::collection::vec(inner, 1..4),
        )
            .prop_map(|(kind, ended, parts)| Made::Holder { kind, ended, parts })
    })
}

/// Lines that may change: fields that say how a part is written, and the end of a body in base64.
fn may_change(line: &str) -> bool {
    let field = line.to_ascii_lowercase();
    field.starts_with("content-t")
        || field.starts_with("\tcharset=")
        || (line.len() < 64 && !line.contains([' ', '.', '>']))
}

proptest! {
    /// Other lines stay in their order, every reader finds the signature in each text, and twice is once.
    #[test]
    fn every_untouched_octet_stays(made in made(), text in prop::sample::select(vec!["Firm Ltd", "-- \nGr\u{fc}\u{df}e\nFirm \u{20ac}"])) {
        let head = "Received: x\r\nSUBJECT : odd\r\n\tfolded\r\nMime-Version: 1.0\r\n";
        let content = format!("{head}{}", made.written(0));
        let configured = signature(Some(text), None);
        let parts = text_parts(content.as_bytes(), &Header::parse(content.as_bytes()));
        let Some(out) = with_signature(content.as_bytes(), &configured) else {
            prop_assert!(parts.is_empty(), "{}", content);
            return Ok(());
        };
        prop_assert_eq!(with_signature(&out, &configured), None);
        let new = String::from_utf8_lossy(&out).into_owned();
        let mut left = new.split("\r\n");
        for line in content.split("\r\n").filter(|line| !may_change(line)) {
            prop_assert!(left.any(|other| other == line), "{:?} of {}\nis not in {}", line, content, new);
        }
        // That reader does not find the last part of a message that is cut.
        if matches!(made, Made::Holder { ended: false, .. }) {
            return Ok(());
        }
        let parsed = MessageParser::default().parse(&out).unwrap();
        let is_text = |part: &&mail_parser::MessagePart<'_>| part.is_text() && part.attachment_name().is_none();
        let signed = parsed.parts.iter().filter(is_text).filter(|part| part.text_contents().is_some_and(|text| text.contains("Firm")));
        prop_assert_eq!(signed.count(), parts.len(), "{}", new);
    }

    /// Whatever comes, nothing panics, and what is outside of the parts stays.
    #[test]
    fn anything_is_met(parts in prop::collection::vec(prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=b\r\n", "Content-Type: text/html; charset=", "\r\n", "\n", "--b\r\n", "--b--", "\r",
        "Content-Transfer-Encoding: base64\r\n", "=", "aGk", "Content-Type: multipart/alternative; boundary=\"b\"\r\n", ";", "\u{e9}", "</body>",
    ]), 0..30)) {
        let content = parts.concat();
        let configured = signature(Some("-- \nGr\u{fc}\u{df}e"), Some("<p>x\u{20ac}</p>"));
        if let Some(out) = with_signature(content.as_bytes(), &configured) {
            prop_assert!(out.len() > content.len() - content.len().min(8));
            prop_assert_eq!(with_signature(&out, &configured), None, "{:?}", content);
        }
    }
}
