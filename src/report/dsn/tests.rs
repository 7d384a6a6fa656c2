use jiff::Timestamp;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use super::*;
use crate::mail::{EnvelopeId, OriginalRecipient, QueueId};

const ORIGINAL: &[u8] =
    b"Received: x\r\nFrom: a@firm.example\r\nTo: b@x.test\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
    Message-ID: <1@firm.example>\r\nX-Raw: \xfc\r\n\r\nsecret body\r\n";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_327_200 + second).unwrap()
}

fn recipient(address: &str, status: &str, reply: &str, host: Option<&str>) -> Recipient {
    Recipient {
        address: Address::parse(address).unwrap(),
        original: None,
        status: status.into(),
        reply: reply.into(),
        host: host.map(Into::into),
        last_attempt: Some(at(60)),
        will_retry_until: Some(at(86_400)),
        listed: None,
    }
}

fn build(kind: Kind, original: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    build_with(kind, (original, false), None, recipients)
}

fn build_with(
    kind: Kind,
    (original, whole): (&[u8], bool),
    envelope_id: Option<&EnvelopeId>,
    recipients: &[Recipient],
) -> Vec<u8> {
    let dsn = Dsn {
        kind,
        hostname: "relay.example",
        from: &Address::parse("MAILER-DAEMON@relay.example").unwrap(),
        to: &Address::parse("a@firm.example").unwrap(),
        message_id: "<2@relay.example>",
        date: at(120),
        queue_id: &QueueId::new(0, 0),
        arrival: at(0),
        envelope_id,
        original,
        whole,
        recipients,
    };
    let out = dsn.build();
    assert!(out.is_ascii() && out.split(|&b| b == b'\n').all(|line| line.len() <= 999));
    assert!(!String::from_utf8_lossy(&out).replace("\r\n", "").contains(['\r', '\n', '\0']));
    out
}

fn part(message: &Message<'_>, part: usize) -> String {
    String::from_utf8_lossy(message.parts[part].contents()).into_owned()
}

#[test]
fn reports_a_failure() {
    let out = build(
        Kind::Failed,
        ORIGINAL,
        &[
            recipient("b@x.test", "5.1.1", "550 5.1.1 no such user", Some("mx.x.test")),
            recipient("m\u{fc}+x@x.test", "", "cannot convert", None),
        ],
    );
    let text = String::from_utf8(out.clone()).unwrap();
    let header = Header::parse(&out);
    for (name, want) in [
        ("From", "\"Mail Delivery System\" <MAILER-DAEMON@relay.example>"),
        ("To", "<a@firm.example>"),
        ("Subject", "Your message could not be delivered"),
        ("Date", &rfc5322_date(at(120))),
        ("Message-ID", "<2@relay.example>"),
        ("In-Reply-To", "<1@firm.example>"),
        ("References", "<1@firm.example>"),
        ("Auto-Submitted", "auto-replied"),
        ("X-Mailsluice-Report", "1"),
        ("MIME-Version", "1.0"),
    ] {
        let got = String::from_utf8(header.get(name).unwrap_or_else(|| panic!("{name}: {text}")).unfolded());
        assert_eq!(got.unwrap(), want, "{name}");
    }
    let message = MessageParser::default().parse(&out).unwrap();
    let kind = message.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    assert!(matches!(&message.parts[0].body, PartType::Multipart(parts) if parts.len() == 3));
    let words = part(&message, 1);
    for want in [
        "b@x.test",
        "mx.x.test said: 550 5.1.1 no such user",
        "Check the address",
        "Subject: Gr\u{fc}\u{df}e",
    ] {
        assert!(words.contains(want), "{want}: {words}");
    }
    assert_eq!(
        part(&message, 2),
        format!(
            "Reporting-MTA: dns; relay.example\r\nX-Mailsluice-Queue-ID: 0000000000000000\r\nArrival-Date: {}\r\n\
            \r\nFinal-Recipient: rfc822; b@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.x.test\r\n\
            Diagnostic-Code: smtp; 550 5.1.1 no such user\r\nLast-Attempt-Date: {last}\r\n\
            \r\nFinal-Recipient: utf-8; m\\x{{FC}}\\x{{2B}}x@x.test\r\nAction: failed\r\nStatus: 5.0.0\r\n\
            Diagnostic-Code: x-mailsluice; cannot convert\r\nLast-Attempt-Date: {last}\r\n",
            rfc5322_date(at(0)),
            last = rfc5322_date(at(60)),
        )
    );
    let returned = message.parts[3].contents();
    assert!(returned.starts_with(b"Received: x\r\nFrom: a@firm.example\r\n"), "{text}");
    assert!(!text.contains("secret body"));
}

#[test]
fn tells_expired_from_delayed() {
    let recipients = [recipient("b@x.test", "", "connection refused", None)];
    let expired =
        MessageParser::default().parse(&build(Kind::Expired, ORIGINAL, &recipients)).unwrap().into_owned();
    assert!(part(&expired, 2).contains("Action: failed\r\nStatus: 4.4.7\r\n"));
    assert!(!part(&expired, 2).contains("Will-Retry-Until"));
    let delayed =
        MessageParser::default().parse(&build(Kind::Delayed, ORIGINAL, &recipients)).unwrap().into_owned();
    assert!(part(&delayed, 2).contains("Action: delayed\r\nStatus: 4.0.0\r\n"));
    assert!(part(&delayed, 2).contains(&format!("Will-Retry-Until: {}\r\n", rfc5322_date(at(86_400)))));
    assert!(part(&delayed, 1).contains("need do nothing"));
}

#[test]
fn says_what_the_client_called_it() {
    let id = EnvelopeId::parse("order+20+2B7").unwrap();
    let original = OriginalRecipient::parse("rfc822;Old+2Bx@x.test");
    let about = [Recipient { original, ..recipient("b@x.test", "2.6.0", "250 2.6.0 queued", Some("mx")) }];
    let out = build_with(Kind::Relayed, (ORIGINAL, true), Some(&id), &about);
    let message = MessageParser::default().parse(&out).unwrap();
    let status = part(&message, 2);
    assert!(status.starts_with("Original-Envelope-Id: order +7\r\nReporting-MTA: "), "{status}");
    let want = "\r\n\r\nOriginal-Recipient: rfc822; Old+x@x.test\r\nFinal-Recipient: rfc822; b@x.test\r\n\
        Action: relayed\r\nStatus: 2.6.0\r\n";
    assert!(status.contains(want), "{status}");
    assert!(!String::from_utf8_lossy(&out).contains("secret body"), "all of it goes back with failures only");
    assert!(part(&message, 1).contains("does not confirm delivery"));
}

#[test]
fn returns_all_of_it_where_it_can() {
    let long = format!("A: b\r\n\r\n{}\r\n", "x".repeat(999));
    let plain = b"Subject: x\r\n\r\n--a\r\nsecret body\r\n".to_vec();
    for (original, all) in [(plain, true), (ORIGINAL.to_vec(), false), (long.into_bytes(), false)] {
        let about = [recipient("b@x.test", "5.1.1", "no", None)];
        let out = build_with(Kind::Failed, (&original, true), None, &about);
        let message = MessageParser::default().parse(&out).unwrap();
        let returned = &message.parts[3];
        let kind = returned.content_type().map(|kind| (kind.ctype(), kind.subtype()));
        assert_eq!(
            kind,
            Some(if all { ("message", Some("rfc822")) } else { ("text", Some("rfc822-headers")) })
        );
        assert_eq!(memchr::memmem::find(&out, &original).is_some(), all);
        assert!(!all || part(&message, 1).contains("\r\nIt is attached."));
    }
}

#[test]
fn names_nobody_who_got_a_blind_copy() {
    let original =
        b"From: a@firm.example\r\nBcc: c@secret.test,\r\n d@secret.test\r\nResent-Bcc : e@secret.test\r\n\
        BCC\x0b: f@secret.test\r\nSubject: s\r\n\r\nsecret body\r\n";
    for kind in [Kind::Failed, Kind::Expired, Kind::Delayed, Kind::Relayed] {
        for whole in [true, false] {
            let out =
                build_with(kind, (original, whole), None, &[recipient("b@x.test", "5.1.1", "no", None)]);
            let text = String::from_utf8_lossy(&out);
            assert!(!text.contains("secret.test"), "{kind:?}: {text}");
            assert!(text.contains("From: a@firm.example\r\nSubject: s\r\n"), "{kind:?}: {text}");
            let all = whole && matches!(kind, Kind::Failed | Kind::Expired);
            assert_eq!(text.contains("secret body"), all, "{kind:?}");
        }
    }
}

#[test]
fn nothing_from_outside_writes_a_field() {
    let evil = "550 x\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; v@x.test\0\u{202e}\u{fc}";
    let original = b"Message-ID: <1@x>\r\n <2@x>\r\nSubject: =?utf-8?Q?a=0D=0ABcc:_v@x.test?=\r\n\r\n";
    let out = build(Kind::Failed, original, &[recipient("b@x.test", "5.1.1\r\nX: y", evil, Some(evil))]);
    let message = MessageParser::default().parse(&out).unwrap();
    let status = part(&message, 2);
    assert_eq!(status.matches("\r\nAction:").count(), 1, "{status}");
    assert_eq!(status.matches("\r\n\r\n").count(), 1, "{status}");
    assert!(status.contains("\r\nStatus: 5.0.0\r\n"));
    assert!(part(&message, 1).contains("Subject: a Bcc: v@x.test\r\n"));
    let header = Header::parse(&out);
    assert!(header.get("In-Reply-To").is_none() && header.get("Bcc").is_none());
}

#[test]
fn stays_small() {
    let long = "x".repeat(1 << 20);
    let recipients: Vec<_> =
        (0..500).map(|i| recipient(&format!("r{i}@x.test"), "5.1.1", &long, Some(&long))).collect();
    let original = format!("A: {long}\r\n{}\r\n", "B: y\r\n".repeat(100_000));
    let out = build(Kind::Failed, original.as_bytes(), &recipients);
    assert!(out.len() < 2 << 20, "{}", out.len());
    let message = MessageParser::default().parse(&out).unwrap();
    assert_eq!(part(&message, 2).matches("Final-Recipient").count(), 500);
    assert!(part(&message, 1).contains("and 400 more"));
    let returned = message.parts[3].contents();
    assert!(returned.starts_with(b"B: y\r\n") && returned.len() <= MAX_HEADER);
}

proptest! {
    #[test]
    fn any_text_makes_a_sound_report(
        reply in any::<String>(), host in any::<String>(), status in any::<String>(),
        original in proptest::collection::vec(any::<u8>(), 0..300)) {
        let out = build(Kind::Failed, &original, &[recipient("b@x.test", &status, &reply, Some(&host))]);
        let message = MessageParser::default().parse(&out).unwrap();
        let status = part(&message, 2);
        let names: Vec<&str> =
            status.split("\r\n").filter(|l| !l.starts_with(' ')).filter_map(|l| l.split(':').next()).collect();
        let known = ["Reporting-MTA", "X-Mailsluice-Queue-ID", "Arrival-Date", "", "Final-Recipient", "Action", "Status",
            "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date"];
        prop_assert!(names.iter().all(|name| known.contains(name)), "{}", status);
        prop_assert_eq!(status.matches("\r\n\r\n").count(), 1);
    }
}

#[test]
fn names_the_host_alone() {
    for (host, want) in [
        ("mx.example.net[192.0.2.1]:25", "mx.example.net"),
        ("mx.example.net[2001:db8::1]:25", "mx.example.net"),
        ("mx.example.net:587", "mx.example.net"),
        ("mx.example.net", "mx.example.net"),
        ("127.0.0.1[127.0.0.1]:27600", "127.0.0.1"),
        ("127.0.0.1:27600", "127.0.0.1"),
        ("[::1][::1]:25", "[::1]"),
        ("[::1]:25", "[::1]"),
    ] {
        assert_eq!(name_of(host), want, "{host}");
    }
}

#[test]
fn who_has_come_on_the_blacklist_is_told_until_when() {
    for (listed, part) in [
        (Some(Listing { until: Some(at(86_400)) }), "mail to it is refused until Mon, 23 Nov 2026"),
        (Some(Listing { until: None }), "mail to it is refused."),
        (None, ""),
    ] {
        let about =
            [Recipient { listed, ..recipient("b@x.test", "5.1.1", "550 5.1.1 no such user", Some("mx")) }];
        let text = String::from_utf8(build(Kind::Failed, ORIGINAL, &about)).unwrap().replace("=\r\n", "");
        assert_eq!(text.contains("on this relay's blacklist"), listed.is_some(), "{text}");
        assert!(text.contains(part), "{text}");
    }
}
