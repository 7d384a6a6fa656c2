use proptest::prelude::*;

use super::*;

fn addresses(list: &[&str]) -> Vec<Address> {
    list.iter().map(|a| Address::parse(a).unwrap()).collect()
}

fn obeyed(content: &[u8], recipients: &[&str]) -> Result<(String, String), HeaderFault> {
    let mut header = Header::parse(content);
    let edited = obey_envelope(&mut header, &addresses(recipients), OtherRecipients::TakenOut)?;
    Ok((String::from_utf8_lossy(&header.to_content()).into_owned(), edited.to_string()))
}

/// What it is, a header, the recipients, the header as it goes, and the fields that others were taken out of.
const OBEYED: [(&str, &str, &[&str], &str, &str); 12] = [
    (
        "as it is",
        "To: A <a@x.test>,\r\n\tb@x.test\r\n",
        &["a@x.test", "B@x.test"],
        "To: A <a@x.test>,\r\n\tb@x.test\r\n",
        "",
    ),
    (
        "blind",
        "To: a@x.test\r\nBcc: c@x.test\r\n",
        &["a@x.test", "b@x.test"],
        "To: a@x.test\r\nBcc: b@x.test\r\n",
        "",
    ),
    (
        "others",
        "To: \"B, b\" <b@x.test>, a@x.test\r\nCC: c@x.test\r\nSubject: x\r\n",
        &["a@x.test"],
        "To: a@x.test\r\nSubject: x\r\nX-Mailsluice-Other-To: \"B, b\" <b@x.test>\r\nX-Mailsluice-Other-Cc: c@x.test\r\n",
        "to,cc",
    ),
    (
        "a group",
        "Cc: Team: a@x.test, b@x.test;\r\n",
        &["a@x.test"],
        "Cc: Team: a@x.test;\r\nX-Mailsluice-Other-Cc: b@x.test\r\n",
        "cc",
    ),
    (
        "two fields",
        "To: a@x.test\r\nA: 1\r\nto: b@x.test\r\n",
        &["a@x.test", "b@x.test"],
        "To: a@x.test,\r\n b@x.test\r\nA: 1\r\n",
        "",
    ),
    (
        "what others deliver by",
        "Resent-To: c@x.test\r\nResent-Date: x\r\nresent-bcc : d@x.test\r\nX-SMTPAPI: e\r\nApparently-To: f@x.test\r\n\
             X-Mailsluice-Other-To: liar@x.test\r\nTo: a@x.test\r\n",
        &["a@x.test"],
        "To: a@x.test\r\n",
        "",
    ),
    (
        "names with white space",
        "To : a@x.test\r\nSubject :x\r\n \r\n y\r\n",
        &["a@x.test"],
        "To: a@x.test\r\nSubject:x\r\n y\r\n",
        "",
    ),
    (
        "no lists",
        "Subject: x\r\n",
        &["a@x.test", "b@m\u{fc}.test"],
        "Subject: x\r\nBcc: a@x.test, b@xn--m-eha.test\r\n",
        "",
    ),
    (
        "undisclosed",
        "To: undisclosed-recipients:;\r\n",
        &["a@x.test"],
        "To: undisclosed-recipients:;\r\nBcc: a@x.test\r\n",
        "",
    ),
    (
        "nothing left",
        "To: b@x.test\r\nCc:\r\n",
        &["a@x.test"],
        "Bcc: a@x.test\r\nX-Mailsluice-Other-To: b@x.test\r\n",
        "to",
    ),
    (
        "an old program",
        "To: M\u{fc}ller <a@x.test>\r\n",
        &["a@x.test"],
        "To: =?utf-8?B?TcO8bGxlcg==?= <a@x.test>\r\n",
        "",
    ),
    ("its own name", "To: \"a@x.test\" <a@x.test>\r\n", &["a@x.test"], "To: \"a@x.test\" <a@x.test>\r\n", ""),
];

#[test]
fn the_header_says_what_the_envelope_says() {
    for (name, header, recipients, want, edited) in OBEYED {
        let got = obeyed(format!("{header}\r\nTo: body\r\n").as_bytes(), recipients);
        assert_eq!(got, Ok((format!("{want}\r\nTo: body\r\n"), edited.to_owned())), "{name}");
    }
}

#[test]
fn what_is_not_clear_is_not_sent() {
    let list = |fault| HeaderFault::List { field: "To", fault };
    for (header, want) in [
        ("To: \"open <a@x.test>\r\n", list(ListFault::Grammar)),
        ("To: a@x.test\r\nTo: Mary\r\n", list(ListFault::Word)),
        ("To: \u{fc}@x.test, a@x.test\r\n", HeaderFault::Named { field: "To" }),
        ("To: \"b@x.test\" <a@x.test>\r\n", HeaderFault::Named { field: "To" }),
        ("Cc: a@x.test (=?utf-8?Q?b=40x.test?=)\r\n", HeaderFault::Named { field: "Cc" }),
        ("Cc: =?utf-8?Q?a=2C_b=40x.test?= <a@x.test>\r\n", HeaderFault::Named { field: "Cc" }),
        ("T\r\n o: b@x.test\r\n", HeaderFault::Line("T\r\n o: b@x.test".into())),
        ("To\u{a0}: b@x.test\r\n", HeaderFault::Line("To\u{a0}: b@x.test".into())),
        ("Subject: x\rTo: b@x.test\r\n", HeaderFault::Line("Subject: x\rTo: b@x.test".into())),
        ("Subject: x\u{b}To: b@x.test\r\n", HeaderFault::Line("Subject: x\u{b}To: b@x.test".into())),
        ("Subject: x\u{2028}To: b\r\n", HeaderFault::Line("Subject: x\u{2028}To: b".into())),
        ("From root\r\nTo: a@x.test\r\n", HeaderFault::Line("From root".into())),
    ] {
        assert_eq!(obeyed(format!("{header}\r\n").as_bytes(), &["a@x.test"]), Err(want), "{header:?}");
    }
    for recipient in ["\"a b\"@x.test", "a..b@x.test", "a@[192.0.2.1]"] {
        let want = HeaderFault::Recipient(Address::parse(recipient).unwrap());
        assert_eq!(obeyed(b"To: a@x.test\r\n\r\n", &["a@x.test", recipient]), Err(want));
    }
}

#[test]
fn another_upstream_gets_what_names_others() {
    let recipients = addresses(&["a@x.test"]);
    for (header, want) in [
        ("To: a@x.test\r\nBcc: b@x.test\r\n", Ok("")),
        ("To: a@x.test\r\nCc: b@x.test\r\n", Err("Cc names others than the recipients of this transaction")),
        (
            "To: b@x.test\r\nCc: c@x.test\r\n",
            Err("To and Cc names others than the recipients of this transaction"),
        ),
        ("To: b@x.test, \"open\r\n", Err("the To field is not clear")),
    ] {
        let content = format!("{header}\r\n");
        let mut header = Header::parse(content.as_bytes());
        let got = obey_envelope(&mut header, &recipients, OtherRecipients::GoElsewhere);
        match (got, want) {
            (Ok(edited), Ok(want)) => assert_eq!(edited.to_string(), want),
            (Err(fault), Err(want)) => assert!(fault.to_string().starts_with(want), "{fault}"),
            (got, want) => panic!("{content}: {got:?}, not {want:?}"),
        }
    }
}

#[test]
fn hundreds_are_listed() {
    let names: Vec<String> = (0..500).map(|i| format!("recipient-{i}@x.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (blind, _) = obeyed(b"Subject: x\r\n\r\n", &names).unwrap();
    assert!(blind.lines().all(|line| line.len() <= 78));
    let (open, _) = obeyed(format!("To: {}\r\n\r\n", names.join(", ")).as_bytes(), &names[..250]).unwrap();
    assert_eq!(mailboxes(Header::parse(open.as_bytes()).get("To").unwrap().value()).len(), 250);
}

/// Pieces of lists and names, good and bad, that are put together.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: [&str; 36] = [
        "a@x.test",
        "b@x.test",
        "v@y.test",
        "W@y.test",
        "<a@x.test>",
        "<v@y.test>",
        "A <a@x.test>",
        "\"V, v\" <v@y.test>",
        "\"v@y.test\" <a@x.test>",
        "Team: a@x.test, v@y.test;",
        "G:;",
        "(v@y.test)",
        "(x)",
        ",",
        ", ",
        ",\r\n ",
        ";",
        ":",
        "\"",
        "(",
        ")",
        "<",
        ">",
        "@",
        "\\",
        "=?utf-8?Q?v=40y.test?=",
        "=?utf-8?Q?x?= <b@x.test>",
        " ",
        "\r\n\t",
        "\r\n \r\n ",
        "\r",
        "\u{fc}",
        "v@y.test <v@y.test>",
        "<@y.test:v@y.test>",
        "\"v w\"@y.test",
        "\u{0}",
    ];
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6).prop_map(|pieces| pieces.concat())
}

fn names() -> impl Strategy<Value = &'static str> {
    const NAMES: [&str; 19] = [
        "To",
        "to",
        "TO ",
        "Cc",
        "CC\t",
        "Bcc",
        "Resent-To",
        "Resent-Cc",
        "resent-bcc",
        "T\r\n o",
        "To\u{1}",
        "X-SMTPAPI",
        "Apparently-To",
        "Delivered-To",
        "Subject",
        "Reply-To",
        "X-Any",
        "From",
        "",
    ];
    prop::sample::select(&NAMES[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Nobody but the recipients stands in any field that a careless reader delivers by, and each of them does.
    #[test]
    fn exactly_the_recipients_are_named(
        fields in prop::collection::vec((names(), pieces()), 0..6), wanted in 1_usize..4) {
        let recipients = &["a@x.test", "b@x.test", "w@y.test"][..wanted];
        let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let content = lines.concat();
        let content = format!("{content}\r\nTo: v@y.test\r\n");
        let Ok((got, _)) = obeyed(content.as_bytes(), recipients) else { return Ok(()) };
        prop_assert!(got.ends_with("\r\n\r\nTo: v@y.test\r\n") || got.starts_with("\r\nTo: v@y.test"), "{}", got);
        let mut read = HashSet::new();
        let mut is_body = false;
        let mut name = String::new();
        for line in got.split(['\n', '\r', '\u{b}', '\u{c}']).filter(|line| !line.is_empty()) {
            if !line.starts_with([' ', '\t']) {
                let (before, _) = line.split_once(':').unwrap_or((line, ""));
                name = before.chars().filter(char::is_ascii_graphic).collect::<String>().to_lowercase();
            }
            is_body |= line == "To: v@y.test";
            if is_body || !["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc", "apparently-to", "delivered-to"].contains(&name.as_str()) {
                continue;
            }
            for (at, _) in line.match_indices('@') {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
                let before = line[..at].rsplit(|c| !is_part(c)).next().unwrap_or_default();
                let behind = line[at + 1..].split(|c| !is_part(c)).next().unwrap_or_default();
                // Without a local part, quoted or not, or without a domain, it is nobody's address.
                let has_domain = !behind.is_empty() || line[at + 1..].starts_with('[');
                let is_quoted = line[..at].ends_with('"') && line[..at].matches('"').count() % 2 == 0;
                if has_domain && (!before.is_empty() || is_quoted) {
                    read.insert(format!("{before}@{behind}").to_lowercase());
                }
            }
            prop_assert!(!line.contains("=40"), "{}", line);
        }
        let want: HashSet<String> = recipients.iter().map(ToString::to_string).collect();
        prop_assert_eq!(read, want, "{}", got);
    }
}
