//! What the configuration says of a walk, the letters that are handed in, and what then becomes of each: told without the relay.

use super::dice::Dice;

/// `AUTH PLAIN` of the users, whose passwords are `secret`: of `trial` mail is a test as long as the configuration says so.
pub(crate) const LOGINS: [(&str, &str); 2] = [("erp", "AGVycABzZWNyZXQ="), ("trial", "AHRyaWFsAHNlY3JldA==")];
/// Where tests go.
pub(crate) const TESTER: &str = "tester@firm.example";
/// For how many letters a configuration names those who get copies of that letter alone.
const LETTERS: u64 = 8;

/// What the configuration says.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) enabled: bool,
    pub(crate) action: &'static str,
    /// Whether the mail of `trial` is a test.
    pub(crate) user_in_test: bool,
    /// In their order.
    pub(crate) rules: Vec<PlannedRule>,
    /// The first of the letters whose copies are named.
    pub(crate) copies_from: u64,
}

/// A rule. It is about letters that ask for it, but for [`Outside`](Self::Outside) and [`Copies`](Self::Copies).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlannedRule {
    /// It is a test.
    Trial,
    /// No rule before says that it is a test.
    Real,
    /// Mail of which a recipient is not at `there.example` is a test.
    Outside,
    /// Some letters have copies, seen and blind; and two fields name one who gets a copy.
    Copies,
    /// Whom a field names gets a copy.
    Clerk,
    /// It waits for a person.
    Hold,
    /// It is refused.
    Reject,
    /// It takes the other upstream.
    Other,
    /// It is from somebody else.
    Sender,
    /// It waits for the evening.
    Evening,
}

use PlannedRule::{Clerk, Copies, Evening, Hold, Other, Outside, Real, Reject, Sender, Trial};

const RULES: [PlannedRule; 10] = [Trial, Real, Outside, Copies, Clerk, Hold, Reject, Other, Sender, Evening];

/// A message that is handed in.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) number: u64,
    pub(crate) user: Option<(&'static str, &'static str)>,
    pub(crate) from: &'static str,
    /// Each recipient is named by one letter alone.
    pub(crate) to: Vec<String>,
    /// The rules that it asks for.
    asks: Vec<PlannedRule>,
}

/// What rules make of a letter.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) rejected: bool,
    pub(crate) test: bool,
    pub(crate) held: bool,
    /// Who gets it as well.
    pub(crate) copies: Vec<String>,
}

impl Plan {
    /// Any configuration, when so many letters have been written.
    pub(crate) fn drawn(dice: &mut Dice, written: u64) -> Self {
        let (enabled, action) = (dice.percent(40), *dice.pick(&["redirect", "hold", "capture"]));
        let user_in_test = dice.percent(70);
        let mut rules = Vec::new();
        // Without any rule, direct mode asks about recipients before the content is there.
        if dice.percent(75) {
            rules = RULES.into_iter().filter(|_| dice.percent(60)).collect();
            rules.sort_by_key(|_| dice.between(0, 99));
        }
        Self { enabled, action, user_in_test, rules, copies_from: written + 1 }
    }

    pub(crate) fn toml(&self) -> String {
        let Self { enabled, action, user_in_test, .. } = self;
        let rules: String = self.rules.iter().map(|rule| self.rule(*rule)).collect();
        format!(
            r#"
[test_mode]
enabled = {enabled}
action = "{action}"
address = "{TESTER}"
[[listener]]
address = "127.0.0.1:2525"
auth = "optional"
[[listener]]
address = "127.0.0.1:2526"
auth = "optional"
mode = "direct"
[[user]]
name = "erp"
password = "secret"
[[user]]
name = "trial"
password = "secret"
test = {user_in_test}
[[upstream]]
name = "main"
host = "up"
security = "none"
default = true
[[upstream]]
name = "other"
host = "other"
security = "none"
filter = ["other.example"]
{rules}"#
        )
    }

    /// A rule of the configuration, or several.
    fn rule(&self, rule: PlannedRule) -> String {
        let asked = format!(r#"{{ header = "X-Ask", contains = "{rule:?}" }}"#);
        let (when, action) = match rule {
            Trial => (asked, "test = true"),
            Real => (asked, "test = false"),
            Outside => (r#"{ not = { all_recipients = "there.example" } }"#.to_owned(), "test = true"),
            Clerk => (asked, r#"cc_from_header = "X-Clerk""#),
            Hold => (asked, "hold = true"),
            Reject => (asked, r#"reject = "not you""#),
            Other => (asked, r#"set_upstream = "other""#),
            Sender => (asked, r#"set_sender = "Office <office@firm.example>""#),
            Evening => (asked, r#"delay_until = "22:00""#),
            Copies => return self.copied().map(copying).collect(),
        };
        format!("[[rule]]\nname = \"{rule:?}\"\nwhen = {when}\n{action}\n")
    }

    fn copied(&self) -> std::ops::Range<u64> {
        self.copies_from..self.copies_from + LETTERS
    }

    /// What rules make of a letter that has these recipients.
    pub(crate) fn fate(&self, letter: &Letter, to: &[String]) -> Fate {
        let mut fate = Fate::default();
        for rule in &self.rules {
            let is_concerned = match rule {
                Outside => to.iter().any(|to| !to.ends_with("@there.example")),
                Copies => self.copied().contains(&letter.number),
                asked => letter.asks.contains(asked),
            };
            match rule {
                _ if !is_concerned => {}
                Trial | Outside => fate.test = true,
                Real => fate.test = false,
                Copies => fate.copies.extend(["cc", "bcc"].map(|kind| copy(letter.number, kind))),
                Clerk => fate.copies.push(copy(letter.number, "clerk")),
                Hold => fate.held = true,
                Reject => return Fate { rejected: true, ..fate },
                Other | Sender | Evening => {}
            }
        }
        fate
    }
}

/// The address that gets a copy of one letter alone.
fn copy(number: u64, kind: &str) -> String {
    format!("m{number}{kind}@copies.example")
}

fn copying(number: u64) -> String {
    let [cc, bcc] = ["cc", "bcc"].map(|kind| copy(number, kind));
    format!(
        r#"
[[rule]]
name = "copies-{number}"
when = {{ header = "X-Number", equals = "{number}" }}
add_cc = ["The clerk <{cc}>"]
add_bcc = ["{bcc}"]
set_header = {{ "X-Copied-To" = "The archive <{bcc}>" }}
set_reply_to = "{cc}"
"#
    )
}

impl Letter {
    pub(crate) fn drawn(dice: &mut Dice, number: u64) -> Self {
        let domain = if dice.percent(15) { "outside.example" } else { "there.example" };
        let to = (0..dice.between(1, 3)).map(|n| match n {
            0 => format!("m{number}r{n}@{domain}"),
            _ => format!("m{number}r{n}@there.example"),
        });
        Self {
            number,
            to: to.collect(),
            user: *dice.pick(&[None, Some(LOGINS[0]), Some(LOGINS[1]), Some(LOGINS[1])]),
            from: *dice.pick(&["a@firm.example", "b@other.example"]),
            asks: RULES
                .into_iter()
                .filter(|rule| dice.percent(if *rule == Reject { 8 } else { 25 }))
                .collect(),
        }
    }

    /// The name of its user.
    pub(crate) fn user(&self) -> Option<&'static str> {
        self.user.map(|(name, _)| name)
    }

    /// A content that names its recipients wherever a provider might look.
    pub(crate) fn content(&self, to: &[String]) -> String {
        let (all, first) = (to.join(", "), &to[0]);
        let Self { from, number, asks, .. } = self;
        let clerk = copy(*number, "clerk");
        format!(
            "From: {from}\r\nTo: {all}\r\nCc: \"{first}\" <{first}>,\r\n {all}\r\nBcc: {all}\r\nResent-To: {all}\r\n\
             Resent-From: {from}\r\nX-SMTPAPI: {{\"to\": [\"{first}\"]}}\r\nX-MC-BccAddress: {first}\r\n\
             Apparently-To: {first}\r\nX-Number: {number}\r\nX-Ask: {asks:?}\r\nX-Clerk: The clerk <{clerk}>\r\n\
             Subject: hello\r\n\r\nHello.\r\n."
        )
    }
}
