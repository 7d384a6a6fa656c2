//! Delivery reports of others: what is taken of them, and that nothing that comes by mail can break the reader.
//!
//! The samples are written by hand in the forms that the programs use; `victim@customer.example` stands where a stranger would put an
//! address that is to be listed.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

use std::fs;
use std::path::Path;

use mailsluice::returned::{NoReport, NotTaken, ReportForm, read};
use proptest::prelude::*;

type Verdict = Result<(), NotTaken>;

fn sample(name: &str) -> Vec<u8> {
    fs::read(Path::new("tests/reports").join(name)).unwrap()
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let files =
        fs::read_dir("tests/reports").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), sample(&name))).collect()
}

/// What is said of each address.
type Verdicts = [(&'static str, Verdict)];

#[test]
fn each_form_is_read() {
    let gone = "anna@customer.example";
    let table: [(&str, ReportForm, &Verdicts); 10] = [
        ("postfix.eml", ReportForm::Standard, &[("Anna@Customer.example", Ok(()))]),
        ("exchange-german.eml", ReportForm::Standard, &[(gone, Ok(()))]),
        ("google.eml", ReportForm::Standard, &[(gone, Ok(()))]),
        (
            "utf8.eml",
            ReportForm::Standard,
            &[("jürgen@customer.example", Ok(())), ("jörg@customer.example", Ok(()))],
        ),
        (
            "exchange-text.eml",
            ReportForm::Exchange,
            &[(gone, Ok(())), ("max@customer.example", Err(NotTaken::OtherCause))],
        ),
        ("exchange-old.eml", ReportForm::Exchange, &[(gone, Ok(()))]),
        ("google-text.eml", ReportForm::Google, &[(gone, Ok(()))]),
        (
            "qmail.eml",
            ReportForm::Qmail,
            &[
                (gone, Ok(())),
                ("local@firm.example", Ok(())),
                ("full@customer.example", Err(NotTaken::OtherCause)),
                ("silent@customer.example", Err(NotTaken::NoStatus)),
            ],
        ),
        (
            "exim.eml",
            ReportForm::Exim,
            &[
                (gone, Ok(())),
                ("max@customer.example", Err(NotTaken::Forwarded)),
                ("here@firm.example", Err(NotTaken::NoStatus)),
            ],
        ),
        (
            "postfix-text.eml",
            ReportForm::Postfix,
            &[
                (gone, Ok(())),
                ("max@elsewhere.example", Err(NotTaken::Forwarded)),
                ("list@customer.example", Err(NotTaken::OtherCause)),
            ],
        ),
    ];
    for (name, form, want) in table {
        let report = read(&sample(name)).unwrap_or_else(|_| panic!("{name} is a report"));
        let found: Vec<(&str, Verdict)> =
            report.recipients.iter().map(|to| (&*to.address, to.verdict.clone().map(drop))).collect();
        assert_eq!((report.form, &found[..]), (form, want), "{name}");
    }
}

#[test]
fn only_a_mailbox_that_does_not_exist_is_taken() {
    let report = read(&sample("several.eml")).unwrap();
    let found: Vec<(&str, Verdict)> =
        report.recipients.iter().map(|to| (&*to.address, to.verdict.clone().map(drop))).collect();
    let want = [
        ("gone@customer.example", Ok(())),
        ("full@customer.example", Err(NotTaken::OtherCause)),
        ("late@customer.example", Err(NotTaken::NotFailed)),
        ("tired@customer.example", Err(NotTaken::Transient)),
        ("got@customer.example", Err(NotTaken::NotFailed)),
        ("refused@customer.example", Err(NotTaken::OtherCause)),
        ("sales@customer.example", Err(NotTaken::Forwarded)),
        ("vague@customer.example", Err(NotTaken::OtherCause)),
        ("odd@customer.example", Ok(())),
        ("judged@customer.example", Err(NotTaken::Doubtful)),
    ];
    assert_eq!(found, want);
}

#[test]
fn other_mail_is_no_report() {
    for name in ["vacation.eml", "mail.eml", "forwarded.eml"] {
        assert_eq!(read(&sample(name)), Err(NoReport), "{name}");
    }
    for content in [&b""[..], b"\r\n", b"Subject: x\r\n\r\nHi.", b"\xff\xfe\0"] {
        assert_eq!(read(content), Err(NoReport));
    }
}

#[test]
fn of_the_mail_that_was_sent_nothing_is_read() {
    for (name, content) in samples() {
        let recipients = read(&content).map(|report| report.recipients).unwrap_or_default();
        assert!(recipients.iter().all(|to| !to.address.contains("victim")), "{name}");
    }
}

/// A sample in which something has been cut out, doubled, or written over.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let all = samples();
    let at = any::<proptest::sample::Index>;
    let change = (at(), at(), 0..4_u8, proptest::collection::vec(any::<u8>(), 0..8));
    (0..all.len(), proptest::collection::vec(change, 1..6)).prop_map(move |(which, changes)| {
        let mut content = all[which].1.clone();
        for (from, to, kind, octets) in changes {
            let (from, to) = (from.index(content.len() + 1), to.index(content.len() + 1));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 400));
            match kind {
                0 => drop(content.drain(from..to)),
                1 => {
                    let piece = content[from..to].to_vec();
                    content.splice(from..from, piece);
                }
                2 => drop(content.splice(from..to.min(from + octets.len()), octets)),
                _ => content.truncate(to.max(1)),
            }
        }
        content
    })
}

proptest! {
    #[test]
    fn nothing_breaks_the_reader(content in damaged()) {
        if let Ok(report) = read(&content) {
            prop_assert!(!report.recipients.is_empty());
            for recipient in report.recipients {
                prop_assert!(recipient.said.chars().count() <= 200 && !recipient.said.chars().any(char::is_control));
                if recipient.verdict.is_ok() {
                    prop_assert!(mailsluice::mail::Address::parse(&recipient.address).is_ok());
                }
            }
        }
    }
}
