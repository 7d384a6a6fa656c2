//! `mailsluice explain` tells what then happens: the same messages, by the same configurations, are handed to sessions. And
//! the recipes of docs/rules.md do what the text says.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "support/memory_store.rs"]
mod memory_store;
#[path = "support/world.rs"]
#[expect(dead_code, reason = "other tests need more of a world")]
mod world;

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use mailsluice::config::{Config, ServerAuth};
use mailsluice::explain::{Explanation, Inquiry, explain};
use mailsluice::mail::{Address, ReversePath};
use mailsluice::store::NewMessage;
use mailsluice::time::{Clock as _, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use world::World;

const CASES: u32 = 300;

const BASE: &str = r#"
timezone = "UTC"
[test_mode]
address = "test@firm.example"
[[listener]]
address = "127.0.0.1:2525"
auth = "optional"
[[upstream]]
name = "firm"
host = "smtp.firm.example"
filter = ["firm.example"]
[[upstream]]
name = "other"
host = "smtp.other.example"
filter = ["other.example", "big@firm.example"]
fallback = ["firm"]
[upstream.limits]
message_size = 3000
per_day = { recipients = 10000 }
[[upstream]]
name = "graph"
kind = "graph"
mailbox = "office@graph.example"
filter = ["graph.example"]
oauth = "app"
large = "other"
[upstream.limits]
message_size = 2000
[[upstream]]
name = "bare"
kind = "graph"
mailbox = "office@bare.example"
filter = ["bare.example"]
oauth = "app"
[upstream.limits]
message_size = 2000
[[oauth]]
name = "app"
provider = "microsoft"
tenant = "firm.example"
client_id = "7d3a"
flow = "device_code"
[[user]]
name = "erp"
password = "x"
senders = ["firm.example", "other.example", "nowhere.example", "graph.example", "bare.example"]
"#;

/// What rules may be made of.
const CONDITIONS: [&str; 12] = [
    r#"{ header = "X-Type", equals = "invoice" }"#,
    r#"{ header = "X-Type", matches = "^(of|in)" }"#,
    r#"{ not = { header = "X-Type", contains = "o" } }"#,
    r#"{ subject = { contains = "märz" } }"#,
    r"{ attachment = { matches = 'pdf$' } }",
    r#"{ sender = "firm.example" }"#,
    r#"{ recipient = ["*.out.example", "in.example"] }"#,
    r#"{ all_recipients = "in.example" }"#,
    r#"{ user = "ERP" }"#,
    r#"{ client = "10.0.0.0/8" }"#,
    r"{ size = { over = 2500 } }",
    r#"{ all = [{ user = "erp" }, { any = [{ sender = "other.example" }, { client = "::1" }] }] }"#,
];
const ACTIONS: [&str; 15] = [
    r#"set_sender = "Firm <office@firm.example>""#,
    r#"set_sender = "big@firm.example""#,
    r#"set_sender = "x@nowhere.example""#,
    r#"set_upstream = "other""#,
    r#"set_priority = "low""#,
    r#"add_cc = ["Clerk <clerk@in.example>"]"#,
    r#"add_bcc = ["archive@in.example", "b@in.example"]"#,
    r#"cc_from_header = "X-Clerk""#,
    r#"set_header = { "X-Set" = "1" }"#,
    r#"drop_header = ["X-Type"]"#,
    "hold = true",
    "hold = false",
    "test = true",
    r#"delay_until = "22:00""#,
    r#"reject = "no""#,
];

/// Draws the same numbers each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }

    fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

struct Case {
    toml: String,
    question: Inquiry,
}

fn case(dice: &mut Dice) -> Case {
    let mut toml = BASE.to_owned();
    for number in 0..dice.below(6) {
        let (when, action) = (dice.one(&CONDITIONS), dice.one(&ACTIONS));
        let last = if dice.below(6) == 0 { "last = true" } else { "" };
        write!(toml, "[[rule]]\nname = \"r{number}\"\nwhen = {when}\n{action}\n{last}\n").unwrap();
    }
    let from = dice.one(&[
        "a@firm.example",
        "A <b@other.example>",
        "c@nowhere.example",
        "a@firm.example, b@other.example",
        "g@graph.example",
        "h@bare.example",
    ]);
    let named =
        dice.one(&["b@in.example", "b@in.example, c@x.out.example", "root <b@in.example", "z@in.example"]);
    let kind = dice.one(&[
        "",
        "X-Type: Invoice\r\n",
        "X-Type: offer\r\n",
        "X-Clerk: a@firm.example, k@in.example\r\n",
    ]);
    let subject = dice.one(&["x", "=?utf-8?q?Im_M=C3=A4rz?="]);
    let part = dice.one(&["", "Content-Type: application/pdf; name=a.pdf\r\n"]);
    let body = "x".repeat(70) + "\r\n";
    // None is so near a limit that a name in our Received field decides.
    let lines = dice.below(60);
    let body = body.repeat(if (18..45).contains(&lines) { 10 } else { lines });
    let content = format!("From: {from}\r\nTo: {named}\r\n{kind}Subject: {subject}\r\n{part}\r\n{body}");
    let path = dice.one(&["", "a@firm.example", "b@other.example"]);
    let mut to = vec!["b@in.example", "c@x.out.example", "d@in.example"];
    to.truncate(1 + dice.below(3));
    Case {
        toml,
        question: question(
            &content,
            path,
            &to,
            (dice.below(2) == 0).then_some("erp"),
            dice.one(&["127.0.0.1", "10.1.1.1"]),
        ),
    }
}

fn question(content: &str, path: &str, to: &[&str], user: Option<&str>, client: &str) -> Inquiry {
    Inquiry {
        content: content.as_bytes().to_vec(),
        reverse_path: Address::parse(path).map_or(ReversePath::Null, ReversePath::Address),
        recipients: to.iter().map(|to| Address::parse(to).unwrap()).collect(),
        user: user.map(str::to_owned),
        client: client.parse().unwrap(),
        listener: None,
        now: SystemClock.wall(),
    }
}

fn config(toml: &str) -> Config {
    Config::from_toml(toml, Path::new("/")).unwrap_or_else(|faults| panic!("{toml}\n{faults}")).config
}

/// Hands a message in; the reply to its end, and what is queued.
async fn hand_in(config: &Config, asked: &Inquiry) -> (String, Option<NewMessage>) {
    let mut world = World::new();
    let folder = world.config.data_dir.clone();
    world.config = Config { data_dir: folder, ..config.clone() };
    world.config.listeners[0].relay_from = vec!["0.0.0.0/0".parse().unwrap()];
    world.config.listeners[0].auth = ServerAuth::Optional;
    world.config.listeners[0].auth_without_tls = true;
    world.client = asked.client;
    let mut running = world.connect().await;
    let mut script = b"EHLO x\r\n".to_vec();
    if asked.user.is_some() {
        // erp, x
        script.extend_from_slice(b"AUTH PLAIN AGVycAB4\r\n");
    }
    script.extend_from_slice(format!("MAIL FROM:<{}>\r\n", asked.reverse_path.as_str()).as_bytes());
    for to in &asked.recipients {
        script.extend_from_slice(format!("RCPT TO:<{to}>\r\n").as_bytes());
    }
    script.extend_from_slice(format!("BDAT {} LAST\r\n", asked.content.len()).as_bytes());
    script.extend_from_slice(&asked.content);
    script.extend_from_slice(b"QUIT\r\n");
    running.client.write_all(&script).await.unwrap();
    let mut answers = String::new();
    running.client.read_to_string(&mut answers).await.unwrap();
    let end = answers.lines().rev().nth(1).unwrap().to_owned();
    let queued = running.store.messages.lock().unwrap().pop();
    (end, queued)
}

fn texts<'a>(all: impl Iterator<Item = &'a Address>) -> Vec<String> {
    all.map(ToString::to_string).collect()
}

/// That what was told is what has happened.
fn agree(told: &Explanation, (reply, queued): &(String, Option<NewMessage>), now: Timestamp) {
    let Some(queued) = queued else {
        assert_eq!(told.rejected.as_deref(), Some(reply.as_str()));
        return;
    };
    assert_eq!(told.rejected, None);
    assert_eq!(told.rules, queued.decisions.ruled.rules);
    assert_eq!(told.decided, queued.decisions.in_words());
    assert_eq!(told.upstream.as_deref(), Some(queued.lane.upstream()));
    assert_eq!(told.reverse_path, queued.reverse_path.as_str());
    assert_eq!(told.recipients, texts(queued.recipients.iter().filter(|to| !to.copy).map(|to| &to.address)));
    assert_eq!(told.copies, texts(queued.recipients.iter().filter(|to| to.copy).map(|to| &to.address)));
    assert_eq!(told.test_mode.is_some(), queued.decisions.test.is_some());
    assert_eq!(told.held_by.is_some(), queued.held);
    let at = told.not_before.as_ref().map(|at| at.parse::<Timestamp>().unwrap());
    assert_eq!(at.is_some(), !queued.delay.is_zero());
    if let Some(at) = at {
        let waits = at.duration_since(now).as_secs_f64();
        let day = 24.0 * 3600.0;
        let apart = (waits - queued.delay.as_secs_f64()).rem_euclid(day);
        assert!(apart.min(day - apart) < 60.0, "{waits} {:?}", queued.delay);
    }
}

#[tokio::test]
async fn what_is_explained_then_happens() {
    let mut dice = Dice(7);
    let (mut rejected, mut held, mut delayed, mut copied, mut tests, mut detours) = (0, 0, 0, 0, 0, 0);
    for number in 0..CASES {
        let Case { toml, question } = case(&mut dice);
        let config = config(&toml);
        let told = explain(&config, &question).await;
        let happened = hand_in(&config, &question).await;
        eprintln!("case {number}: {told:?}");
        agree(&told, &happened, question.now);
        rejected += usize::from(told.rejected.is_some());
        held += usize::from(told.held_by.is_some());
        delayed += usize::from(told.not_before.is_some());
        copied += usize::from(!told.copies.is_empty());
        tests += usize::from(told.test_mode.is_some());
        detours += usize::from(told.detour.is_some());
    }
    let seen = [rejected, held, delayed, copied, tests, detours];
    assert!(seen.iter().all(|&seen| seen >= 5), "each kind is among the cases: {seen:?}");
}

/// The recipe below a heading, with the configuration that it is a piece of.
fn recipe(heading: &str) -> Config {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md")).unwrap();
    let section = text.split("### ").find(|section| section.starts_with(heading)).unwrap();
    let block = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    config(&format!("{BASE}{block}"))
}

#[tokio::test]
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
        let config = recipe(heading);
        let asked = question(&content, "a@firm.example", &to, user, "127.0.0.1");
        let told = explain(&config, &asked).await;
        agree(&told, &hand_in(&config, &asked).await, asked.now);
        let all: Vec<_> = told.recipients.iter().chain(&told.copies).cloned().collect();
        let later = if told.not_before.is_some() { ", later" } else { "" };
        let got = told.rejected.clone().unwrap_or_else(|| {
            format!("{} | {}{later}", told.from.clone().unwrap_or_default(), all.join(", "))
        });
        assert_eq!(got, want, "{heading}: {header:?}");
    }
    let inside =
        question("From: a@firm.example\r\n\r\n", "a@firm.example", &["b@firm.example"], None, "127.0.0.1");
    assert_eq!(explain(&recipe(INSIDE), &inside).await.rejected, None);
    let mixed = ["b@firm.example", "buyer@example.org"];
    let mixed = question("From: a@firm.example\r\n\r\n", "a@firm.example", &mixed, None, "127.0.0.1");
    assert!(explain(&recipe(INSIDE), &mixed).await.rejected.is_some());
}
