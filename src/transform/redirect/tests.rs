use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::mail::header::{Fields, MAX_LINE, mailboxes};

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
        let got = String::from_utf8(got).unwrap().replace("Subject: [TEST]\r\n\r\n", "Subject: [TEST] \r\n");
        assert!(got.starts_with(want) || subject == "Subject:\r\n", "{subject:?}: {got:?}");
        assert!(got.starts_with("Subject: [TEST]"), "{got:?}");
    }
    let tight =
        redirected(format!("To: {}x@y\r\n\r\n", "u@example.org,".repeat(200)).as_bytes(), &["a@x.test"]);
    let kept = Header::parse(&tight).get("X-Mailsluice-Original-To").unwrap().raw().to_vec();
    assert!(kept.split(|&b| b == b'\n').all(|line| line.len() <= 80), "behind commas");
    assert_eq!(mailboxes(&kept[b"X-Mailsluice-Original-To:".len()..]).len(), 201);
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
    let field = header.get("X-Mailsluice-Original-Recipients").unwrap().unfolded();
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
        let bad = Fields::new(&got).any(|f| !f.careless_name().starts_with(b"x-") && f.raw().contains(&b'v'));
        assert!(!bad, "{text:?}");
    }
}

#[test]
fn moves_what_a_provider_takes_for_an_order() {
    for (line, want) in [
        ("X-SMTPAPI: {\"to\":[\"a\"]}", "X-Mailsluice-Original-X-SMTPAPI: {\"to\":[\"a\"]}"),
        ("x-mc-bccaddress: a", "X-Mailsluice-Original-x-mc-bccaddress: a"),
        ("X-PM-Tag : a", "X-Mailsluice-Original-X-PM-Tag: a"),
        ("Errors-To: boss@firm.example", "X-Mailsluice-Original-Errors-To: boss@firm.example"),
        ("Reply-To: One <ONE@x.test.>", "X-Mailsluice-Original-Reply-To: One <ONE@x.test.>"),
        ("X-Any: one\r\n @x.test", "X-Mailsluice-Original-X-Any: one\r\n @x.test"),
        (
            "List-Unsubscribe: <mailto:u@y.test?to=one%40x.test>",
            "X-Mailsluice-Original-List-Unsubscribe: <mailto:u@y.test?to=one%40x.test>",
        ),
        ("X-Any: two@xn--tda.test", "X-Mailsluice-Original-X-Any: two@xn--tda.test"),
        ("nonsense one@x.test", "X-Mailsluice-Original-nonsenseone@x.test:nonsense one@x.test"),
        (": one@x.test", "X-Mailsluice-Original-Line: one@x.test"),
    ] {
        let got = redirected(format!("{line}\r\n\r\n").as_bytes(), &["one@x.test", "two@\u{fc}.test"]);
        let text = String::from_utf8_lossy(&got);
        assert!(text.starts_with("Subject: ") && text.contains(&format!("\r\n{want}\r\n")), "{line}: {text}");
    }
    for line in [
        "From: one@x.test",
        "Sender: one@x.test",
        "Comments: to one@x.test",
        "Content-Type: text/plain; name=\"one@x.test\"",
        "Reply-To: two@x.test",
        "X-Any: test@firm.example",
    ] {
        let got = redirected(format!("{line}\r\n\r\n").as_bytes(), &["one@x.test", "test@firm.example"]);
        assert!(got.starts_with(line.as_bytes()), "{line}: {}", String::from_utf8_lossy(&got));
    }
}

#[test]
fn the_trace_stays_without_the_recipient() {
    for (line, want) in [
        (
            "Received: from a ([::1])\r\n\tby b with ESMTP id 1\r\n\tfor <one@x.test>;\r\n\tSun, 22 Nov",
            "Received: from a ([::1])\r\n\tby b with ESMTP id 1;\r\n\tSun, 22 Nov\r\n",
        ),
        ("Received: by b FOR one@x.test ; Sun", "Received: by b ; Sun\r\n"),
        ("Received: by b for <two@x.test>; Sun", "Received: by b for <two@x.test>; Sun\r\n"),
        ("Received: from one@x.test for <one@x.test>; Sun", "Subject: [TEST] (no subject)\r\n"),
        ("Received: by b for <one@x.test>", "Received: by b\r\n"),
    ] {
        let got = redirected(format!("{line}\r\n\r\n").as_bytes(), &["one@x.test"]);
        assert!(got.starts_with(want.as_bytes()), "{line}: {}", String::from_utf8_lossy(&got));
    }
}

/// Names of fields of all kinds: destinations, orders, traces, identification, unknown ones, and what is no field.
fn names() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 34] = [
        "to",
        "CC ",
        "Resent-To\t",
        "rEsent-cc",
        "Bcc",
        "Resent-Bcc",
        "To\u{b}",
        "T\r\n o",
        "X-SMTPAPI",
        "X-MC-BccAddress",
        "X-MSYS-API",
        "X-Mailgun-Recipient-Variables",
        "X-MJ-TemplateErrorReporting",
        "X-PM-Metadata-a",
        "X-SES-FROM-ARN",
        "Apparently-To",
        "X-Envelope-To",
        "X-Forwarded-To",
        "Delivered-To",
        "X-Original-To",
        "Errors-To",
        "Return-Receipt-To",
        "Disposition-Notification-To",
        "Reply-To",
        "Received",
        "Return-Path",
        "References",
        "Message-ID",
        "In-Reply-To",
        "List-Unsubscribe",
        "DKIM-Signature",
        "X-Mailsluice-Original-To",
        "Date",
        "",
    ];
    prop_oneof![4 => proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned), 1 => "[A-Za-z-]{1,20}"]
}

proptest! {
    #[test]
    fn no_field_keeps_a_recipient(
        fields in proptest::collection::vec(
            (names(), "[ \t]?(\r\n )?(x |\"y\" <|<mailto:a?b=)?(\r\n\t)?", 0..6_usize), 0..12)) {
        const FREE: [&str; 4] = ["subject", "comments", "from", "sender"];
        let forms = ["", "victim@x.test", "VICTIM@X.test", "victim%40x.test", "other@[192.0.2.1]", "v\u{ed}ctim@\u{fc}.test"];
        let mut content = "Subject: ask victim@x.test\r\nFrom: a@firm.example\r\n".to_owned();
        for (name, space, form) in &fields {
            content.extend([name, ":", space, forms[*form], "\r\n"]);
        }
        content += "\r\nvictim@x.test in the body\r\n";
        let got = redirected(content.as_bytes(), &["victim@x.test", "other@[192.0.2.1]", "v\u{ed}ctim@\u{fc}.test"]);
        for field in Fields::new(&got) {
            let name = String::from_utf8(field.careless_name()).unwrap();
            if name.starts_with("x-mailsluice-original-") || FREE.contains(&name.as_str()) {
                continue;
            }
            let text = String::from_utf8_lossy(field.raw()).to_lowercase();
            prop_assert!(!text.contains("ctim") && !text.contains("other"), "{}: {}", name, text);
        }
        for name in ["To", "Cc", "Resent-To", "Resent-Cc"] {
            prop_assert!(Fields::new(&got).filter(|f| f.is(name)).count() <= 1);
        }
        prop_assert!(got.ends_with(b"\r\n\r\nvictim@x.test in the body\r\n"));
    }
}
