use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::{Config, Schedule};
use crate::mail::header::scan;
use crate::mail::{Address, QueueId};
use crate::store::{Content, Ruled, Upload};

const BASE: &str = "[test_mode]\naddress = \"t@firm.example\"\n[[upstream]]\nname = \"main\"\nhost = \"h\"\n[[upstream]]\n\
    name = \"other\"\nhost = \"g\"\nfilter = [\"other.example\"]\n[[user]]\nname = \"erp\"\npassword = \"x\"\n";

fn rules(text: &str) -> Vec<Rule> {
    let text = format!("{BASE}{text}");
    Config::from_toml(&text, Path::new("/")).unwrap_or_else(|faults| panic!("{faults}")).config.rules
}

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| Address::parse(text).unwrap()).collect()
}

struct Mail {
    content: Content,
    sender: Option<Address>,
    recipients: Vec<Address>,
}

impl Mail {
    fn new(text: &str, to: &[&str]) -> Self {
        let content = format!("Received: from x by y; z\r\n{text}");
        let sender = scan(text.as_bytes()).author.mailboxes().first().cloned();
        Self { content: Content::memory(content.into_bytes()), sender, recipients: addresses(to) }
    }

    async fn judge(&self, rules: &[Rule]) -> RulesVerdict {
        let mail = RuledMail {
            content: &self.content,
            sender: self.sender.as_ref(),
            recipients: &self.recipients,
            user: Some("ERP"),
            listener: "127.0.0.1:2525",
            client: IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)),
        };
        judge(rules, mail).await.unwrap()
    }
}

const TEXT: &str = "From: Ann <ann@firm.example>\r\nTo: b@x.example\r\nSubject: =?utf-8?q?Rechnung_f=C3=BCr?=\r\n \
    =?utf-8?q?_M=C3=A4rz?=\r\nX-Type: offer\r\nX-Type:\r\n invoice\r\nContent-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\n\
    --b 1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\n\r\ntext\r\nX-Body: 1\r\n--b2--\r\n\
    --b 1\r\nContent-Type: application/pdf; name*0*=utf-8''R%C3%A9; name*1=sum.pdf\r\n\r\n--b3\r\n\
    --b 1\r\nContent-Disposition: attachment;\r\n filename=\"=?utf-8?q?Gr=C3=B6=C3=9Fe=2Exlsx?=\"\r\n\r\nx\r\n--b 1--\r\n\
    Content-Disposition: attachment; filename=late.exe\r\n\r\n";

#[tokio::test]
async fn conditions() {
    let mail = Mail::new(TEXT, &["b@x.example", "c@Firm.example"]);
    for (when, want) in [
        (r#"{ header = "x-type", equals = "INVOICE" }"#, true),
        (r#"{ header = "X-Type", equals = ["order", "offer"] }"#, true),
        (r#"{ header = "X-Type", equals = "order" }"#, false),
        (r#"{ header = "X-Body", matches = "" }"#, false),
        (r#"{ header = "Received", matches = "from x" }"#, false),
        (r#"{ subject = { equals = "rechnung für märz" } }"#, true),
        (r"{ subject = { matches = 'für M' } }", true),
        (r#"{ attachment = { equals = "résum.pdf" } }"#, true),
        (r"{ attachment = { matches = '\.XLSX$' } }", false),
        (r"{ attachment = { matches = '^Größe\.xlsx$' } }", true),
        (r#"{ attachment = { contains = "late" } }"#, false),
        (r#"{ sender = "ANN@firm.example" }"#, true),
        (r#"{ sender = "*.firm.example" }"#, false),
        (r#"{ recipient = "firm.example" }"#, true),
        (r#"{ all_recipients = "firm.example" }"#, false),
        (r#"{ all_recipients = ["firm.example", "b@x.example"] }"#, true),
        (r#"{ user = "erp" }"#, true),
        (r#"{ listener = "127.0.0.1:2525" }"#, true),
        (r#"{ listener = "control" }"#, false),
        (r#"{ client = "10.0.0.0/8" }"#, true),
        (r#"{ client = ["192.0.2.1", "::1"] }"#, false),
        (r#"{ size = { over = 100, under = "1MiB" } }"#, true),
        (r#"{ size = { over = "1MiB" } }"#, false),
        (r#"{ not = { user = "erp" } }"#, false),
        (r#"{ all = [{ user = "erp" }, { client = "192.0.2.1" }] }"#, false),
        (
            r#"{ any = [{ not = { user = "erp" } }, { all = [{ user = "erp" }, { sender = "firm.example" }] }] }"#,
            true,
        ),
    ] {
        let rules = rules(&format!("[[rule]]\nname = \"r\"\nwhen = {when}\nhold = true\n"));
        assert_eq!(!mail.judge(&rules).await.ruled.rules.is_empty(), want, "{when}");
    }
}

#[tokio::test]
async fn the_last_setting_wins() {
    let mail = Mail::new(
        "From: ann@firm.example\r\nX-Clerk: \"B\" <bob@firm.example>, ann@firm.example, ONE@firm.example\r\n\r\n",
        &["b@x.example"],
    );
    let text = r#"
[[rule]]
name = "one"
set_sender = "One <one@firm.example>"
set_priority = "low"
set_upstream = "main"
hold = true
test = true
add_cc = ["c@firm.example"]
add_bcc = "C@firm.example"
set_header = { "X-A" = "1", "X-B" = "1" }
[[rule]]
name = "never"
when = { user = "erp" }
last = false
drop_header = "x-a"
[[rule]]
name = "two"
set_priority = "high"
set_upstream = "other"
hold = false
cc_from_header = "X-Clerk"
add_cc = "one@firm.example"
add_bcc = ["d@firm.example", "b@X.example"]
set_header = { "x-b" = "2" }
delay_until = "22:00-06:00"
last = true
[[rule]]
name = "behind"
reject = "no"
"#;
    let mut rules = rules(text);
    rules[0].actions.signature = Some("First".to_owned());
    rules[2].actions.signature = Some("Sales".to_owned());
    let verdict = mail.judge(&rules).await;
    let Ruled { rules, author, priority, header, cc, bcc, held_by, test_by, .. } = verdict.ruled.clone();
    let names = |all: Vec<crate::mail::NamedAddress>| {
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(rules, ["one", "never", "two"]);
    assert_eq!(author.unwrap().to_string(), "One <one@firm.example>");
    assert_eq!(
        (priority, held_by, test_by.as_deref()),
        (Some(crate::store::Priority::High), None, Some("one"))
    );
    let header: Vec<_> = header.iter().map(|edit| (edit.name.as_str(), edit.value.as_deref())).collect();
    assert_eq!(header, [("x-a", None), ("x-b", Some("2"))]);
    // Who wrote it gets a copy, since it goes out as somebody else; whom it is from only where a rule says so itself.
    assert_eq!(names(cc), "c@firm.example one@firm.example bob@firm.example ann@firm.example");
    assert_eq!(names(bcc), "d@firm.example b@X.example");
    assert_eq!(verdict.ruled.signature.as_deref(), Some("Sales"));
    assert_eq!(
        (verdict.delay_until.map(|at| at.to_string()).as_deref(), verdict.upstream.as_deref()),
        (Some("22:00-06:00"), Some("other"))
    );
    let copies: Vec<_> = verdict.copies(&mail.recipients).iter().map(ToString::to_string).collect();
    assert_eq!(
        copies,
        ["c@firm.example", "one@firm.example", "bob@firm.example", "ann@firm.example", "d@firm.example"]
    );
    assert_eq!(verdict.rejection, None);
}

#[tokio::test]
async fn a_refusal_ends_the_rules() {
    let mail = Mail::new("From: ann@firm.example\r\nX-Clerk: ann@firm.example\r\n\r\n", &["b@x.example"]);
    let text = "[[rule]]\nname = \"a\"\ncc_from_header = \"X-Clerk\"\n[[rule]]\nname = \"b\"\nreject = \"not you\"\n\
        [[rule]]\nname = \"c\"\nhold = true\n";
    let verdict = mail.judge(&rules(text)).await;
    assert_eq!(verdict.rejection, Some(Rejection { rule: "b".into(), text: "not you".into() }));
    assert_eq!((verdict.ruled.rules.len(), verdict.ruled.held_by, verdict.ruled.cc.len()), (2, None, 0));
}

#[test]
fn only_what_waits_is_stored_as_delayed() {
    let night = Schedule::parse("22:00-06:00");
    for (now, want) in [("2026-11-26T21:59:00Z", Some("22:00")), ("2026-11-26T23:00:00Z", None)] {
        let verdict = RulesVerdict { delay_until: night, ..RulesVerdict::default() };
        let (ruled, goes_at) = verdict.delayed(now.parse().unwrap(), &jiff::tz::TimeZone::UTC);
        assert_eq!((ruled.delay_until.as_deref(), goes_at.is_some()), (want, want.is_some()), "{now}");
    }
}

#[tokio::test]
async fn a_content_in_a_file_is_read_like_one_in_memory() {
    let text = TEXT.replace("--b 1--", &format!("{}\r\n--b 1--", "x".repeat(300_000)));
    let wanted = || {
        Wanted::by(&rules("[[rule]]\nname = \"r\"\nwhen = { any = [{ attachment = { matches = \"\" } }, { header = \"X-Type\", matches = \"\" }] }\nhold = true\n")).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut upload = Upload::new(folder.path(), &QueueId::new(1, 1));
    for piece in text.as_bytes().chunks(7_777) {
        upload.write(piece.to_vec()).await.unwrap();
    }
    let file = upload.finish().await.unwrap();
    let found = reading::read(&file, wanted()).await.unwrap();
    assert_eq!(found, reading::read(&Content::memory(text.into_bytes()), wanted()).await.unwrap());
    assert_eq!(found.attachments, ["Résum.pdf", "Größe.xlsx"]);
    assert_eq!(found.fields("x-type").count(), 2);
}

proptest! {
    /// Whatever it is made of, reading it ends, and never holds more than its bounds.
    #[test]
    fn any_content_is_read(lines in proptest::collection::vec(
        "(Content-Type: multipart/mixed; boundary=b|Content-Disposition: a; filename=|--b|--b--|X-Type: |\\PC| |\r|){1,3}\r?\n", 0..40)) {
        let content = Content::memory(lines.concat().into_bytes());
        let all = rules("[[rule]]\nname = \"r\"\nwhen = { any = [{ attachment = { matches = \"\" } }, { header = \"X-Type\", matches = \"\" }] }\nhold = true\n");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(reading::read(&content, Wanted::by(&all).unwrap())).unwrap();
        prop_assert!(found.attachments.len() <= lines.len());
    }
}
