use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use super::*;
use crate::config::Language;
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
        cause: ReportCause::NoSuchMailbox,
        expired: false,
        may_have_arrived: false,
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
    written(Dsn { kind, envelope_id, original, whole, ..dsn(recipients) })
}

/// A report of a failure; its borrowed parts live for the whole test.
fn dsn(recipients: &[Recipient]) -> Dsn<'_> {
    fn leaked<T>(value: T) -> &'static T {
        Box::leak(Box::new(value))
    }
    Dsn {
        kind: Kind::Failed,
        reader: ReportReader::Sender,
        language: Language::English,
        zone: leaked(TimeZone::UTC),
        lifetime: Duration::from_hours(120),
        hostname: "relay.example",
        from: leaked(Address::parse("MAILER-DAEMON@relay.example").unwrap()),
        to: leaked(Address::parse("a@firm.example").unwrap()),
        message_id: "<2@relay.example>",
        date: at(120),
        queue_id: leaked(QueueId::new(0, 0)),
        arrival: at(0),
        envelope_id: None,
        original: ORIGINAL,
        whole: false,
        recipients,
    }
}

fn written(dsn: Dsn<'_>) -> Vec<u8> {
    let out = dsn.build();
    assert!(out.is_ascii() && out.split(|&b| b == b'\n').all(|line| line.len() <= 999));
    assert!(!String::from_utf8_lossy(&out).replace("\r\n", "").contains(['\r', '\n', '\0']));
    out
}

/// The part that people read, its lines joined.
fn words_of(report: &[u8]) -> String {
    let message = MessageParser::default().parse(report).unwrap();
    part(&message, 1).split_whitespace().collect::<Vec<_>>().join(" ")
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
    let expired = [Recipient { expired: true, ..recipients[0].clone() }];
    let expired = build(Kind::Failed, ORIGINAL, &expired);
    assert!(
        words_of(&expired).contains("The time for its delivery (5 days) is over"),
        "{}",
        words_of(&expired)
    );
    let expired = MessageParser::default().parse(&expired).unwrap().into_owned();
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
    for kind in [Kind::Failed, Kind::Delayed, Kind::Relayed] {
        for whole in [true, false] {
            let out =
                build_with(kind, (original, whole), None, &[recipient("b@x.test", "5.1.1", "no", None)]);
            let text = String::from_utf8_lossy(&out);
            assert!(!text.contains("secret.test"), "{kind:?}: {text}");
            assert!(text.contains("From: a@firm.example\r\nSubject: s\r\n"), "{kind:?}: {text}");
            let all = whole && kind == Kind::Failed;
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
        (
            Some(Listing { until: Some(at(86_400)) }),
            "mail to it is refused until 23 November 2026, 06:00 (UTC+00:00).",
        ),
        (Some(Listing { until: None }), "mail to it is refused."),
        (None, ""),
    ] {
        let about =
            [Recipient { listed, ..recipient("b@x.test", "5.1.1", "550 5.1.1 no such user", Some("mx")) }];
        let text = words_of(&build(Kind::Failed, ORIGINAL, &about));
        assert_eq!(text.contains("on this relay's blacklist"), listed.is_some(), "{text}");
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn what_happened_to_several_is_explained_once() {
    let about: Vec<Recipient> = [
        ("b@x.test", ReportCause::NoSuchMailbox),
        ("c@x.test", ReportCause::MailboxFull),
        ("d@x.test", ReportCause::NoSuchMailbox),
    ]
    .into_iter()
    .map(|(to, cause)| Recipient {
        cause,
        ..recipient(to, "5.1.1", &format!("550 5.1.1 <{to}> no"), Some("mx"))
    })
    .collect();
    let text = words_of(&written(dsn(&about)));
    assert!(text.contains("to these 3 recipients:"), "{text}");
    assert_eq!(text.matches("This mailbox does not exist.").count(), 1, "{text}");
    assert_eq!(text.matches("mailbox is full.").count(), 1, "{text}");
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    let order = ["<b@x.test> no", "<d@x.test> no", "does not exist.", "<c@x.test> no", "is full."].map(place);
    assert!(order.is_sorted(), "{order:?}: {text}");
}

#[test]
fn german_is_for_people_and_programs_read_the_same() {
    let about = [
        Recipient {
            cause: ReportCause::TooLarge,
            ..recipient("b@x.test", "5.3.4", "552 5.3.4 zu groß?", Some("mx"))
        },
        Recipient { expired: true, may_have_arrived: true, ..recipient("c@x.test", "", "", None) },
    ];
    let zone = TimeZone::get("Europe/Zurich").unwrap();
    let german = Dsn { language: Language::German, zone: &zone, ..dsn(&about) };
    let (out, english) = (written(german), written(dsn(&about)));
    let text = words_of(&out);
    for part in [
        "Ihre Nachricht konnte diesen 2 Empfängern nicht zugestellt werden:",
        "Antwort von mx: 552 5.3.4 zu groß?",
        "Die Nachricht ist zu groß. Senden Sie sie mit kleineren Anhängen erneut",
        "Die Frist für die Zustellung (5 Tage) ist abgelaufen",
        "Sie kann trotzdem angekommen sein",
        "Betreff: Grüße Angenommen: 22.11.2026, 07:00 Uhr (UTC+01:00)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let parse = |report| MessageParser::default().parse(report).unwrap();
    let (german, english) = (parse(&*out), parse(&*english));
    assert_eq!(german.parts[1].content_language().as_text(), Some("de"));
    assert_eq!(english.parts[1].content_language().as_text(), Some("en"));
    assert_eq!(part(&german, 2), part(&english, 2));
    assert_eq!(german.subject(), Some("Ihre Nachricht konnte nicht zugestellt werden"));
    let late = Dsn { language: Language::German, kind: Kind::Delayed, ..dsn(&about[..1]) };
    let late = written(late);
    let header = String::from_utf8(Header::parse(&late).get("Subject").unwrap().unfolded()).unwrap();
    assert!(header.starts_with("=?utf-8?"), "{header}");
    assert_eq!(parse(&*late).subject(), Some("Die Zustellung Ihrer Nachricht verzögert sich"));
    assert!(
        words_of(&late)
            .contains("Die Zustellung wird bis 23.11.2026, 06:00 Uhr (UTC+00:00) weiter versucht.")
    );
}

#[test]
fn a_copy_says_whom_the_report_went_to() {
    let about = [recipient("b@x.test", "5.1.1", "no", None)];
    let sender = Address::parse("a@firm.example").unwrap();
    for (told, part) in
        [(Some(&sender), "The report itself went to a@firm.example."), (None, "The sender gets no report.")]
    {
        let out = written(Dsn { reader: ReportReader::Operator { told }, ..dsn(&about) });
        assert!(words_of(&out).contains(part), "{}", words_of(&out));
        let message = MessageParser::default().parse(&out).unwrap();
        assert_eq!(message.subject(), Some("Copy: Your message could not be delivered"));
    }
}

#[test]
fn a_delay_never_has_a_permanent_status() {
    let about = [recipient("b@x.test", "5.7.1", "554 5.7.1 no", Some("mx"))];
    let out = build(Kind::Delayed, ORIGINAL, &about);
    let message = MessageParser::default().parse(&out).unwrap();
    let status = part(&message, 2);
    assert!(
        status.contains("Status: 4.0.0\r\n") && status.contains("Diagnostic-Code: smtp; 554 5.7.1 no"),
        "{status}"
    );
}

#[test]
fn times_are_told_in_the_unit_that_fits() {
    for (hours, want) in
        [(120, "(5 days)"), (24, "(one day)"), (36, "(36 hours)"), (1, "(one hour)"), (0, "(20 minutes)")]
    {
        let lifetime = if hours == 0 { Duration::from_mins(20) } else { Duration::from_hours(hours) };
        let about = [Recipient { expired: true, ..recipient("b@x.test", "", "", None) }];
        let text = words_of(&written(Dsn { lifetime, ..dsn(&about) }));
        assert!(text.contains(want), "{want}: {text}");
    }
}
