//! Configurations and messages of every kind that `explain` is asked about.

use std::fmt::Write as _;

use jiff::Timestamp;
use mailsluice::explain::Inquiry;
use mailsluice::mail::{Address, ReversePath};

use super::dice::Dice;

/// The listener whose clients wait for the upstream.
pub(crate) const DIRECT: &str = "127.0.0.1:2526";
/// `AUTH PLAIN` of the users, whose passwords are `x`.
pub(crate) const LOGINS: [(&str, &str); 2] = [("erp", "AGVycAB4"), ("shop", "AHNob3AAeA==")];
/// The accounts of the other upstream; the second is bound to its sender.
pub(crate) const ACCOUNTS: [&str; 2] = ["anna", "big@firm.example"];

/// What recipes are put into, too.
pub(crate) const BASE: &str = r#"
[test_mode]
address = "test@firm.example"
[queue]
bounce_to_sender = false
[[listener]]
address = "127.0.0.1:2525"
auth = "optional"
auth_without_tls = true
relay_from = ["127.0.0.0/8", "10.0.0.0/8"]
[[listener]]
address = "127.0.0.1:2526"
auth = "optional"
mode = "direct"
auth_without_tls = true
relay_from = ["127.0.0.0/8", "10.0.0.0/8"]
[[user]]
name = "erp"
password = "x"
senders = ["firm.example", "other.example", "nowhere.example"]
[[user]]
name = "shop"
password = "x"
recipients = ["in.example", "*.out.example"]
max_message_size = 2500
[[upstream]]
name = "firm"
host = "firm"
security = "none"
filter = ["firm.example"]
[upstream.limits]
recipients_per_message = 2
[upstream.shared_limits]
per_hour = { messages = 500 }
[[upstream]]
name = "other"
host = "other"
security = "none"
allow_plaintext_auth = true
user = "anna"
password = "secret"
filter = ["other.example", "big@firm.example"]
fallback = ["firm"]
[upstream.limits]
message_size = 3000
per_day = { recipients = 10000 }
[[upstream.account]]
user = "big@firm.example"
password = "secret"
sender_bound = true
"#;

/// What rules may be made of.
const CONDITIONS: [&str; 13] = [
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
    r#"{ listener = "127.0.0.1:2526" }"#,
    r"{ size = { over = 2500 } }",
    r#"{ all = [{ user = "erp" }, { any = [{ sender = "other.example" }, { client = "::1" }] }] }"#,
];
const ACTIONS: [&str; 18] = [
    r#"set_sender = "Firm <office@firm.example>""#,
    r#"set_sender = "big@firm.example""#,
    r#"set_sender = "x@nowhere.example""#,
    r#"set_reply_to = "Answers <answers@in.example>""#,
    r#"set_upstream = "other""#,
    r#"set_priority = "low""#,
    r#"add_cc = ["Clerk <clerk@in.example>"]"#,
    r#"add_bcc = ["archive@in.example", "b@in.example"]"#,
    r#"cc_from_header = "X-Clerk""#,
    r#"set_header = { "X-Set" = "1" }"#,
    r#"drop_header = ["X-Type"]"#,
    r#"signature = "Sales""#,
    "hold = true",
    "hold = false",
    "test = true",
    r#"delay_until = "22:00""#,
    r#"reject = "no""#,
    r#"reject = "Größe""#,
];

/// A configuration, and what is asked of it.
pub(crate) struct Case {
    pub(crate) toml: String,
    pub(crate) question: Inquiry,
}

/// Any configuration: with a key that signs, and perhaps test mode, a sender of the upstreams, a signature, rules.
fn configuration(dice: &mut Dice, key: &str) -> String {
    let mut toml = BASE.to_owned();
    let mut replace = |from: &str, to: &str| toml = toml.replacen(from, to, 1);
    if dice.percent(20) {
        let action = dice.pick(&["redirect", "hold", "capture"]);
        replace("[test_mode]\n", &format!("[test_mode]\nenabled = true\naction = \"{action}\"\n"));
    } else {
        let action = dice.pick(&["redirect", "redirect", "hold", "capture"]);
        replace("[test_mode]\n", &format!("[test_mode]\naction = \"{action}\"\n"));
    }
    if dice.percent(20) {
        replace("name = \"shop\"\n", "name = \"shop\"\ntest = true\n");
    }
    if dice.percent(30) {
        replace("name = \"other\"\n", "name = \"other\"\nsign = false\n");
    }
    // The sender of the other upstream is that of the account by which mail goes.
    for (upstream, address) in [("firm", "address = \"office@firm.example\"\n"), ("other", "")] {
        if dice.percent(35) {
            let when = dice.pick(&["missing", "always"]);
            let sender = format!("[upstream.sender]\nname = \"Firm\"\n{address}when = \"{when}\"\n");
            let limits =
                if upstream == "firm" { "[upstream.shared_limits]\n" } else { "[[upstream.account]]\n" };
            let user = if upstream == "other" {
                ("user = \"anna\"", "user = \"anna@other.example\"")
            } else {
                ("", "")
            };
            replace(user.0, user.1);
            replace(limits, &format!("{sender}{limits}"));
        }
    }
    if dice.percent(40) {
        toml.insert_str(0, "complete_addresses = \"firm.example\"\n");
    }
    toml.insert_str(0, "timezone = \"UTC\"\n");
    for (domain, selector) in [("firm.example", "s1"), ("nowhere.example", "s2")] {
        if dice.percent(70) {
            let key = format!("{{ file = \"{key}\" }}");
            write!(toml, "[[dkim]]\ndomain = \"{domain}\"\nselector = \"{selector}\"\nkey = {key}\n")
                .unwrap();
        }
    }
    toml
}

/// Any case; what comes is dated `now`. `key` and `signature` are files.
pub(crate) fn drawn(dice: &mut Dice, now: Timestamp, (key, signature): (&str, &str)) -> Case {
    let mut toml = configuration(dice, key);
    write!(toml, "[[signature]]\nname = \"Sales\"\ntext = \"{signature}\"\n").unwrap();
    for number in 0..dice.between(0, 5) {
        let (when, action) = (dice.pick(&CONDITIONS), dice.pick(&ACTIONS));
        let last = if dice.percent(16) { "last = true" } else { "" };
        write!(toml, "[[rule]]\nname = \"r{number}\"\nwhen = {when}\n{action}\n{last}\n").unwrap();
    }
    let from = dice.pick(&[
        "From: a@firm.example\r\n",
        "From: a@firm.example\r\n",
        "From: A <b@other.example>\r\n",
        "From: Big <big@firm.example>\r\n",
        "From: c@nowhere.example\r\n",
        "From: a@firm.example, b@other.example\r\n",
        "From: root (Cron Daemon)\r\n",
        "",
    ]);
    let kind = dice.pick(&[
        "",
        "X-Type: Invoice\r\n",
        "X-Type: offer\r\n",
        "X-Clerk: a@firm.example, k@in.example\r\n",
    ]);
    let subject = dice.pick(&["x", "=?utf-8?q?Im_M=C3=A4rz?="]);
    let part = dice.pick(&["", "", "Content-Type: application/pdf; name=a.pdf\r\n"]);
    let body = ("x".repeat(70) + "\r\n").repeat(dice.between(0, 60) as usize);
    let content = format!("{from}To: b@in.example\r\n{kind}Subject: {subject}\r\n{part}\r\n{body}");
    let path = dice.pick(&["", "a@firm.example", "b@other.example"]);
    let mut to = vec!["b@in.example", "c@x.out.example", "d@in.example", "e@else.example"];
    if dice.percent(40) {
        to.reverse();
    }
    let listener = dice.percent(25).then(|| DIRECT.to_owned());
    // A client that waits is told to send to more in another message; what else it hears depends on when it asks.
    to.truncate(dice.between(1, if listener.is_some() { 2 } else { 4 }) as usize);
    let user = dice.pick(&[None, None, Some("erp"), Some("shop")]);
    let client = dice.pick(&["127.0.0.1", "127.0.0.1", "10.1.1.1", "192.0.2.9"]);
    let question = question(&content, path, &to, *user, client);
    Case { toml, question: Inquiry { now, listener, ..question } }
}

/// What is asked; it is to be dated.
pub(crate) fn question(content: &str, path: &str, to: &[&str], user: Option<&str>, client: &str) -> Inquiry {
    Inquiry {
        content: content.as_bytes().to_vec(),
        reverse_path: Address::parse(path).map_or(ReversePath::Null, ReversePath::Address),
        recipients: to.iter().map(|to| Address::parse(to).unwrap()).collect(),
        user: user.map(str::to_owned),
        client: client.parse().unwrap(),
        listener: None,
        now: Timestamp::UNIX_EPOCH,
    }
}
