//! What a client asks for reports (RFC 3461) makes no field in the report and no parameter at the upstream. (Guard:
//! `from_xtext` in `mail::request`.)

use mailsluice::mail::header::{self, Fields};

use crate::path::Path;
use crate::support::upstream::{Act, Script, Seen, Step};

/// Values that hide something. Those with a line end or another control character must be refused.
const HIDDEN: &[(&str, bool)] = &[
    ("a+0D+0ABcc:+20evil@evil.example", false),
    ("a+0ABcc:+20evil@evil.example", false),
    ("a+0DBcc:+20evil@evil.example", false),
    ("a+0D+0A+0D+0Aevil", false),
    ("a+00b", false),
    ("a+1B[2J", false),
    ("a+7F", false),
    ("a+09b", false),
    ("a+0Db+3D", false),
    ("a+", false),
    ("a+4", false),
    ("a+GG", false),
    ("a+-1", false),
    ("a+ 1", false),
    ("a=b", false),
    ("a\u{1}b", false),
    ("+C2+85Bcc:", false),
    ("+E2+80+A8Bcc:", false),
    ("+20", true),
    ("a+20NOTIFY+3DNEVER", true),
    ("a+3E+20SIZE+3D1", true),
    ("+3Cevil@evil.example+3E", true),
    ("Bcc:+20evil@evil.example", true),
    ("=?utf-8?q?=0D=0ABcc:?=", false),
    ("+3D?utf-8?q?+3D0D+3D0ABcc:?+3D", true),
    ("--boundary", true),
    (".", true),
];

/// Sends one message, and gives back what its commands were answered, and what the upstream has got in the end.
async fn send(path: &Path, mail: &str, rcpt: &str) -> ([u16; 2], Vec<Seen>) {
    let mut client = path.connect();
    client.ask(b"EHLO x\r\n", 220).await;
    client.ask(b"", 250).await;
    let mut codes = [0; 2];
    let lines =
        [format!("MAIL FROM:<a@firm.example>{mail}\r\n"), format!("RCPT TO:<gone@dest.example>{rcpt}\r\n")];
    for (code, line) in codes.iter_mut().zip(lines) {
        client.send(line.as_bytes()).await;
        *code = client.reply().await[..3].parse().unwrap();
    }
    if codes == [250, 250] {
        // The first recipient is the only one of the report.
        client.send(b"RSET\r\n").await;
        client.reply().await;
        client
            .ask(format!("MAIL FROM:<a@firm.example>{mail}\r\nRCPT TO:<b@dest.example>\r\n").as_bytes(), 250)
            .await;
        client.ask(b"", 250).await;
        client.ask(format!("RCPT TO:<gone@dest.example>{rcpt}\r\n").as_bytes(), 250).await;
        client.ask(b"DATA\r\n", 354).await;
        client.ask(b"Subject: x\r\n\r\nx\r\n.\r\n", 250).await;
    }
    (codes, path.sent().await)
}

/// All fields of a report: of its header section, and of the part that programs read.
fn fields(report: &Seen) -> Vec<String> {
    let text = String::from_utf8(report.content.clone()).unwrap();
    assert!(!text.chars().any(|c| c.is_control() && !"\r\n\t".contains(c)), "{text:?}");
    assert_eq!(text.matches('\r').count(), text.matches("\r\n").count(), "{text:?}");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
    let start = text.find("message/delivery-status").expect("a report");
    let part = start + text[start..].find("\r\n\r\n").unwrap() + 4;
    let end = part + text[part..].find("\r\n--").unwrap() + 2;
    let groups = text[part..end].split("\r\n\r\n").map(str::as_bytes);
    let head = &report.content[..header::end(&report.content).unwrap()];
    let all = std::iter::once(head).chain(groups).flat_map(Fields::new);
    all.map(|field| String::from_utf8(field.name().to_vec()).unwrap()).collect()
}

/// The names of fields that a report has of its own.
const KNOWN: &[&str] = &[
    "Received",
    "Date",
    "From",
    "To",
    "Subject",
    "Message-ID",
    "References",
    "In-Reply-To",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "X-Mailsluice-Queue-ID",
    "X-Mailsluice-Report",
    "Original-Envelope-Id",
    "Reporting-MTA",
    "Arrival-Date",
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Last-Attempt-Date",
];

fn refusing() -> Script {
    Script { lax: true, ..Script::default() }.with(Step::Rcpt(1), Act::reply(550, "5.1.1 no such user"))
}

#[tokio::test(start_paused = true)]
async fn a_report_has_our_fields_only() {
    for (value, good) in HIDDEN {
        for (mail, rcpt, field) in [
            (format!(" ENVID={value}"), String::new(), "Original-Envelope-Id"),
            (String::new(), format!(" ORCPT=rfc822;{value}"), "Original-Recipient"),
        ] {
            let path = Path::to(refusing()).await;
            let (codes, sent) = send(&path, &mail, &rcpt).await;
            // What breaks the grammar of all parameters is refused; else the mail goes on without it.
            if !good && codes != [250, 250] {
                assert!(sent.is_empty());
                continue;
            }
            assert_eq!(codes, [250, 250], "{mail}{rcpt}");
            let reports: Vec<&Seen> = sent.iter().filter(|seen| seen.reverse_path.is_empty()).collect();
            assert_eq!((sent.len(), reports.len()), (2, 1), "{mail}{rcpt}");
            let names = fields(reports[0]);
            for name in &names {
                assert!(KNOWN.contains(&name.as_str()), "{mail}{rcpt}: {name} in {names:?}");
            }
            let count = |name: &str| names.iter().filter(|n| *n == name).count();
            for name in ["Final-Recipient", "Reporting-MTA"] {
                assert_eq!(count(name), 1, "{mail}{rcpt}: {name} in {names:?}");
            }
            assert!(count(field) == 1 || !good && count(field) == 0, "{mail}{rcpt}: {field} in {names:?}");
        }
    }
}

/// The type of an ORCPT is one word.
#[tokio::test(start_paused = true)]
async fn the_type_of_an_address_is_one_word() {
    let path = Path::lax().await;
    for value in ["X-Evil: y;z", "x\r;y", "x:y;z", ";z", "x;", "x", "x(y);z", "x@y;z", "\u{fc};z", "x;y;=z"] {
        let (codes, _) = send(&path, "", &format!(" ORCPT={value}")).await;
        assert!(matches!(codes, [250, 250 | 501 | 555]), "{value:?}: {codes:?}");
    }
    for value in [format!("rfc822;{}", "x".repeat(494)), "x".repeat(600)] {
        assert_eq!(send(&path, "", &format!(" ORCPT={value}")).await.0, [250, 250], "{value:?}");
    }
    assert_eq!(send(&path, &format!(" ENVID={}", "x".repeat(101)), "").await.0[0], 250);
    let passed_on = [path.upstream.commands_of("MAIL"), path.upstream.commands_of("RCPT")].concat();
    assert!(passed_on.iter().all(|line| !line.contains("ORCPT") && !line.contains("ENVID")), "{passed_on:?}");
}

/// What xtext says (RFC 3461 4).
fn decoded(text: &str) -> String {
    let mut parts = text.split('+');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| {
        all + &char::from(u8::from_str_radix(&part[..2], 16).unwrap()).to_string() + &part[2..]
    })
}

/// An upstream that offers DSN gets each value as one parameter.
#[tokio::test(start_paused = true)]
async fn an_upstream_gets_one_parameter() {
    let path = Path::to(Script { lax: true, ..Script::default() }.offering("DSN")).await;
    let mut count = 0;
    for (value, _) in HIDDEN.iter().filter(|(_, good)| *good) {
        let (codes, _) = send(&path, &format!(" ENVID={value}"), &format!(" ORCPT=rfc822;{value}")).await;
        assert_eq!(codes, [250, 250], "{value}");
        count += 1;
        let mail = path.upstream.commands_of("MAIL").pop().unwrap();
        let rcpt = path.upstream.commands_of("RCPT").pop().unwrap();
        for (line, key) in [(&mail, "ENVID="), (&rcpt, "ORCPT=rfc822;")] {
            let passed = line.split(' ').find_map(|word| word.strip_prefix(key)).unwrap();
            assert_eq!(decoded(passed), decoded(value), "{line}");
        }
        for (line, known) in [(mail, &["SIZE", "BODY", "ENVID", "RET"][..]), (rcpt, &["NOTIFY", "ORCPT"])] {
            let parameters = line.split(' ').skip(2).map(|word| word.split('=').next().unwrap());
            assert!(parameters.into_iter().all(|key| known.contains(&key)), "{line}");
        }
    }
    assert_eq!(path.sent().await.len(), count);
}
