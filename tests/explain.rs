//! `mailsluice explain` tells what then happens: the same messages, by the same configurations, are handed to a relay that
//! runs, and arrive at upstreams that record them. And the recipes of docs/rules.md do what the text says.

#![allow(clippy::disallowed_methods, reason = "a test file need not last")]
#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

#[path = "explain/cases.rs"]
mod cases;
#[path = "model/dice.rs"]
#[allow(dead_code, reason = "the model uses another part of it")]
mod dice;
#[path = "explain/happening.rs"]
mod happening;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cases::{BASE, Case, question};
use dice::Dice;
use happening::{Happened, Happening};
use jiff::Timestamp;
use mail_auth::common::crypto::Ed25519Key;
use mailsluice::config::TestAction;
use mailsluice::explain::{DkimAnswer, Explanation, Inquiry, explain};
use mailsluice::mail::Address;
use mailsluice::mail::header::{Fields, mailboxes};
use mailsluice::store::{MessageState, Summary};
use mailsluice::time::Clock as _;

const CASES: u32 = 300;

/// Of all messages together, or of one, what must have been among them.
#[derive(Debug, Default)]
struct Tally {
    rejected: usize,
    refused: usize,
    held: usize,
    delayed: usize,
    copied: usize,
    redirected: usize,
    captured: usize,
    direct: usize,
    signed: usize,
    by_bound_account: usize,
}

impl Tally {
    fn count(&mut self, told: &Explanation, happened: &Happened) {
        let test = |name: &str| told.test_mode.as_ref().is_some_and(|test| test.starts_with(name));
        self.rejected += usize::from(told.rejected.is_some());
        self.refused += usize::from(!told.refused.is_empty() && told.rejected.is_none());
        self.held += usize::from(told.held_by.is_some());
        self.delayed += usize::from(told.not_before.is_some());
        self.copied += usize::from(!told.copies.is_empty());
        self.redirected += usize::from(test("redirect"));
        self.captured += usize::from(!happened.captured.is_empty());
        self.direct += usize::from(happened.queued.is_none() && !happened.arrived.is_empty());
        self.signed += usize::from(!told.dkim.is_empty());
        let by_bound = |user: &Option<String>| user.as_deref() == Some(cases::ACCOUNTS[1]);
        self.by_bound_account += usize::from(happened.arrived.iter().any(|(_, seen)| by_bound(&seen.user)));
    }

    fn all(&self) -> [usize; 10] {
        let Self { rejected, refused, held, delayed, copied, redirected, captured, direct, .. } = *self;
        let Self { signed, by_bound_account, .. } = *self;
        [rejected, refused, held, delayed, copied, redirected, captured, direct, signed, by_bound_account]
    }
}

/// The address in From, where it is one.
fn author(content: &[u8]) -> Option<String> {
    let from = Fields::new(content).filter(|field| field.is("From"));
    let from: Vec<Address> = from.flat_map(|field| mailboxes(field.value())).collect();
    (from.len() == 1).then(|| from[0].to_string())
}

/// Domain and selector of the signatures above all else.
fn signatures(content: &[u8]) -> Vec<DkimAnswer> {
    let ours = Fields::new(content).take_while(|field| field.is("DKIM-Signature"));
    let ours = ours.map(|field| {
        let text = String::from_utf8(field.unfolded()).unwrap();
        let tag = |tag: &str| {
            let found = text.split(';').find_map(|part| part.trim().strip_prefix(tag));
            found.unwrap_or_default().to_owned()
        };
        DkimAnswer { domain: tag("d="), selector: tag("s=") }
    });
    ours.collect()
}

/// That what was told of the answer is what the client has read, and of the queue what has stood there.
fn agree(told: &Explanation, happened: &Happened) {
    let refused: Vec<_> = told.refused.iter().map(|one| (one.recipient.clone(), one.reply.clone())).collect();
    assert_eq!(refused, happened.refused);
    let is_direct = happened.queued.is_none();
    if let (Some(why), true) = (&told.undeliverable, is_direct) {
        assert!(happened.reply.starts_with("552 5.3.4 "), "{why}: {}", happened.reply);
        return;
    }
    if !happened.reply.starts_with("250") {
        assert_eq!(told.rejected.as_deref(), Some(happened.reply.as_str()));
        assert!(happened.arrived.is_empty() && happened.captured.is_empty());
        return;
    }
    assert_eq!(told.rejected, None);
    if let Some(queued) = &happened.queued {
        agree_with_queue(told, queued, happened.due);
    } else {
        assert_eq!((&told.held_by, &told.not_before), (&None, &None));
    }
    agree_with_arrivals(told, happened);
}

fn agree_with_queue(told: &Explanation, queued: &Summary, due: Option<i64>) {
    let decisions = &queued.decisions;
    assert_eq!(told.rules, decisions.ruled.rules);
    assert_eq!(told.decided, decisions.in_words());
    assert_eq!(told.priority.as_deref(), decisions.ruled.priority.map(mailsluice::store::Priority::name));
    let action = decisions.test.as_ref().map(|test| test.action);
    let told_action = told.test_mode.as_deref().map(|test| test.split(' ').next().unwrap());
    let action_name = |action| match action {
        TestAction::Redirect => "redirect",
        TestAction::Hold => "hold",
        TestAction::Capture => "capture",
    };
    assert_eq!(told_action, action.map(action_name));
    if action != Some(TestAction::Capture) {
        assert_eq!(told.upstream.as_deref(), Some(queued.lane.upstream()));
    }
    let all: Vec<String> = told.recipients.iter().chain(&told.copies).cloned().collect();
    assert_eq!(all, queued.recipients.iter().map(|to| to.address.clone()).collect::<Vec<_>>());
    let is_held = told.held_by.is_some() || action == Some(TestAction::Hold);
    assert_eq!(is_held, queued.state == MessageState::Held);
    let not_before = told.not_before.as_ref().map(|at| at.parse::<Timestamp>().unwrap().as_millisecond());
    let apart = not_before.zip(due).map(|(told, due)| (told - due).abs());
    assert!(not_before.is_some() == due.is_some() && apart.is_none_or(|ms| ms < 60_000), "{apart:?}");
}

fn agree_with_arrivals(told: &Explanation, happened: &Happened) {
    let is_local = told.test_mode.as_deref().is_some_and(|test| test.starts_with("capture"));
    if told.undeliverable.is_some() {
        return assert!(happened.arrived.is_empty() && happened.captured.is_empty());
    }
    for content in happened.arrived.iter().map(|(_, seen)| &seen.content).chain(&happened.captured) {
        assert_eq!(author(content), told.from, "{}", String::from_utf8_lossy(content));
        assert_eq!(signatures(content), told.dkim);
    }
    assert_eq!((happened.captured.len(), happened.arrived.is_empty()), (usize::from(is_local), is_local));
    let mut reached: Vec<&String> = Vec::new();
    for (upstream, seen) in &happened.arrived {
        assert_eq!(told.upstream.as_deref(), Some(*upstream));
        assert_eq!(told.reverse_path, seen.reverse_path);
        let account = seen.user.clone().unwrap_or_default();
        assert!(told.accounts.contains(&account), "{account}: {:?}", told.accounts);
        let limits = told.limits.iter().find(|limits| limits.account == account).unwrap();
        assert!(seen.recipients.len() <= limits.recipients_per_message.unwrap() as usize);
        assert!(limits.message_size.is_none_or(|size| seen.content.len() as u64 <= size));
        reached.extend(&seen.recipients);
    }
    let mut addressed: Vec<&String> = told.addressed.iter().filter(|_| !is_local).collect();
    addressed.sort();
    reached.sort();
    assert_eq!(addressed, reached);
    agree_with_limits(told, happened);
}

/// What the relay shows of the accounts that may send.
fn agree_with_limits(told: &Explanation, happened: &Happened) {
    let upstream = told.upstream.clone().unwrap();
    let named = |account: &str| format!("{upstream} {account}");
    let shown = happened.limits.iter().filter(|(account, ..)| {
        account == &named("*") || told.accounts.iter().any(|may| account == &named(may))
    });
    let windows = told.limits.iter().flat_map(|limits| {
        limits
            .windows
            .iter()
            .map(|window| (named(&limits.account), window.window.clone(), window.messages, window.recipients))
    });
    assert_eq!(windows.collect::<Vec<_>>(), shown.cloned().collect::<Vec<_>>());
}

/// Asks, hands the same in, and compares.
async fn told_and_happened(toml: &str, asked: &mut Inquiry) -> (Explanation, Happened) {
    let happening = Happening::new(toml);
    asked.now = happening.sim.clock.wall();
    let told = explain(&happening.sim.config, asked).await;
    let happened = happening.of(asked).await;
    eprintln!("{asked:?}\n{told:?}\n{happened:?}");
    agree(&told, &happened);
    (told, happened)
}

/// A key that signs, and a text, in files.
fn files(folder: &Path) -> (String, String) {
    let [key, signature] = ["key.pem", "signature.txt"].map(|name| folder.join(name));
    let der = STANDARD.encode(Ed25519Key::generate_pkcs8().unwrap());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(0o600).open(&key).unwrap();
    std::io::Write::write_all(&mut file, pem.as_bytes()).unwrap();
    std::fs::write(&signature, "-- \nThe sales team\n").unwrap();
    (key.display().to_string(), signature.display().to_string())
}

#[tokio::test(start_paused = true)]
async fn what_is_explained_then_happens() {
    let folder = tempfile::tempdir().unwrap();
    let (key, signature) = files(folder.path());
    let mut dice = Dice::new(7);
    let mut tally = Tally::default();
    for number in 0..CASES {
        let Case { toml, mut question } = cases::drawn(&mut dice, Timestamp::UNIX_EPOCH, (&key, &signature));
        eprintln!("case {number}\n{toml}");
        let (told, happened) = told_and_happened(&toml, &mut question).await;
        tally.count(&told, &happened);
    }
    assert!(tally.all().iter().all(|&seen| seen >= 3), "each kind is among the cases: {tally:?}");
}

/// The recipe below a heading, with the configuration that it is a piece of.
fn recipe(heading: &str) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md")).unwrap();
    let section = text.split("### ").find(|section| section.starts_with(heading)).unwrap();
    let block = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    format!("timezone = \"UTC\"\n{BASE}{block}")
}

#[tokio::test(start_paused = true)]
async fn recipes_do_what_they_say() {
    const KIND: &str = "The sender by the kind";
    const CLERK: &str = "The clerk in charge";
    const INSIDE: &str = "External recipients only";
    let to = ["buyer@example.org"];
    for (heading, header, user, want) in [
        (KIND, "X-Document-Type: Reminder\r\n", None, "invoices@firm.example | buyer@example.org"),
        (KIND, "X-Document-Type: offer\r\n", None, "sales@firm.example | buyer@example.org"),
        (KIND, "", None, "a@firm.example | buyer@example.org"),
        (
            "A copy of every document",
            "X-Document-Type: offer\r\n",
            None,
            "a@firm.example | buyer@example.org, archive@firm.example",
        ),
        (
            "A copy of every document",
            "Content-Type: application/pdf; name=R-1.PDF\r\n",
            None,
            "a@firm.example | buyer@example.org, archive@firm.example",
        ),
        ("A copy of every document", "", None, "a@firm.example | buyer@example.org"),
        (
            CLERK,
            "X-Clerk: Bob <bob@firm.example>\r\n",
            None,
            "a@firm.example | buyer@example.org, bob@firm.example",
        ),
        (CLERK, "X-Clerk: a@firm.example\r\n", None, "a@firm.example | buyer@example.org"),
        ("Mass mail at night", "Precedence: bulk\r\n", None, "a@firm.example | buyer@example.org, later"),
        ("Mass mail at night", "", None, "a@firm.example | buyer@example.org"),
        (INSIDE, "", None, "550 5.7.1 external recipients are not for you; ask it@firm.example"),
        (INSIDE, "", Some("erp"), "a@firm.example | buyer@example.org"),
    ] {
        let content = format!("From: a@firm.example\r\n{header}Subject: x\r\n\r\nx\r\n");
        let mut asked = question(&content, "a@firm.example", &to, user, "127.0.0.1");
        let (told, _) = told_and_happened(&recipe(heading), &mut asked).await;
        let all: Vec<_> = told.recipients.iter().chain(&told.copies).cloned().collect();
        let later = if told.not_before.is_some() { ", later" } else { "" };
        let got = told.rejected.clone().unwrap_or_else(|| {
            format!("{} | {}{later}", told.from.clone().unwrap_or_default(), all.join(", "))
        });
        assert_eq!(got, want, "{heading}: {header:?}");
    }
    for (to, refused) in [(&["b@firm.example"][..], false), (&["b@firm.example", "buyer@example.org"], true)]
    {
        let content = "From: a@firm.example\r\n\r\n";
        let mut asked = question(content, "a@firm.example", to, None, "127.0.0.1");
        let (told, _) = told_and_happened(&recipe(INSIDE), &mut asked).await;
        assert_eq!(told.rejected.is_some(), refused, "{to:?}");
    }
}
