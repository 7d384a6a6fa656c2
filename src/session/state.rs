//! The dialogue as a state machine: which command is legal now, and what happens next. No socket, no clock, no policy.
//!
//! ```text
//! Greeted ──EHLO/HELO──► Ready ──MAIL──► Sender ──RCPT──► Recipients ──DATA──► (content) ──► Ready
//!                          ▲               │                 │
//!                          └──RSET, EHLO───┴─────────────────┘
//! ```
//!
//! A command either gets its reply at once, or asks for a decision that the machine can't make ([`Action`]); the
//! driver brings the decision back with [`Dialogue::admit`], [`Dialogue::judge`] or [`Dialogue::finish`].

use crate::mail::{Address, Envelope};
use crate::policy::users::LoggedIn;
use crate::smtp::Reply;
use crate::smtp::command::{Command, CommandError, Extension, Forward, Initial, Mail};
use crate::smtp::sasl_server::Mechanism;

/// What the dialogue must know of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Our name.
    pub hostname: String,
    /// The largest content in octets; announced as SIZE.
    pub max_message_size: u64,
    /// Recipients in one envelope.
    pub max_recipients: usize,
    /// Errors after which the session is closed.
    pub max_errors: u32,
    /// Whether the client can begin TLS by STARTTLS.
    pub starttls: bool,
    /// How clients can log in; empty when they can't.
    pub mechanisms: &'static [Mechanism],
    /// Whether they can before TLS has begun.
    pub auth_in_clear: bool,
    /// Whether they must, before they hand in mail.
    pub auth_required: bool,
}

/// How the client introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name that it gave.
    pub name: String,
    /// EHLO, not HELO.
    pub extended: bool,
}

/// A message whose content is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Reverse-path and accepted recipients.
    pub envelope: Envelope,
    /// Places in the envelope of recipients that were accepted but get nothing (blacklist), in order.
    pub dropped: Vec<usize>,
}

/// One session's dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    rules: Rules,
    hello: Option<Hello>,
    phase: Phase,
    errors: u32,
    secure: bool,
    user: Option<LoggedIn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// No message is under way.
    Idle,
    /// MAIL was accepted; `refused` tells whether a recipient was tried.
    Sender { mail: Mail, refused: bool },
    /// At least one recipient was accepted.
    Recipients(Transaction),
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing but this reply.
    Reply(Reply),
    /// Decide whether a message can be taken now, then call [`Dialogue::admit`].
    Admit(Mail),
    /// Decide about a recipient, then call [`Dialogue::judge`].
    Judge(Address),
    /// Answer 354, take the content, decide about it, then call [`Dialogue::finish`].
    Receive(Transaction),
    /// Say this, begin TLS, then call [`Dialogue::secure`].
    StartTls(Reply),
    /// Lead a login, then call [`Dialogue::log_in`] when it succeeds.
    LogIn(Mechanism, Option<Initial>),
    /// Say this, then close the connection.
    Close(Reply),
}

/// What was decided about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It gets the message.
    Accept,
    /// The client reads 250, but nothing is sent to it.
    Drop,
    /// This reply, and the others go on.
    Refuse(Reply),
}

impl Dialogue {
    /// A dialogue in which nothing was said yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, hello: None, phase: Phase::Idle, errors: 0, secure: false, user: None }
    }

    /// TLS has begun. Whatever was said before is forgotten (RFC 3207 4.2), except for errors.
    #[must_use]
    pub fn secure(self) -> Self {
        let errors = self.errors;
        Self { secure: true, errors, ..Self::new(self.rules) }
    }

    /// Whether TLS has begun.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Who has logged in.
    #[must_use]
    pub fn user(&self) -> Option<&LoggedIn> {
        self.user.as_ref()
    }

    /// The client has logged in.
    #[must_use]
    pub fn log_in(mut self, user: LoggedIn) -> (Self, Reply) {
        self.user = Some(user);
        (self, Reply::new(235, (2, 7, 0), "logged in"))
    }

    /// The first words, which are ours (RFC 5321 3.1).
    #[must_use]
    pub fn greeting(&self) -> Reply {
        Reply::bare(220, vec![format!("{} ESMTP Mailsluice", self.rules.hostname)])
    }

    /// How the client introduced itself, if it did.
    #[must_use]
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Whether a message is under way.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// The reverse-path of the message under way, empty when there is none.
    #[must_use]
    pub fn reverse_path(&self) -> &str {
        match &self.phase {
            Phase::Idle => "",
            Phase::Sender { mail, .. } => mail.reverse_path.as_str(),
            Phase::Recipients(transaction) => transaction.envelope.reverse_path.as_str(),
        }
    }

    /// Counts an error; true when the client has made as many as it may.
    ///
    /// Only replies that tell of a broken dialogue or a failed login count, never a refused recipient.
    pub fn count(&mut self, reply: &Reply) -> bool {
        if matches!(reply.code, 500..=504 | 555 | 454 | 535) {
            self.errors += 1;
        }
        self.errors >= self.rules.max_errors
    }

    /// What a client reads that made too many errors.
    #[must_use]
    pub fn too_many_errors(&self) -> Reply {
        Reply::new(421, (4, 7, 0), format!("{} too many errors, closing", self.rules.hostname))
    }

    /// Advances by one command and says what to do.
    #[must_use]
    pub fn step(mut self, command: Command) -> (Self, Action) {
        let action = match command {
            Command::Ehlo(name) => self.greet(Hello { name, extended: true }),
            Command::Helo(name) => self.greet(Hello { name, extended: false }),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(forward) => self.rcpt(forward),
            Command::Data => return self.data(),
            Command::Rset => {
                self.phase = Phase::Idle;
                ok("reset")
            }
            Command::Noop => ok("OK"),
            Command::Vrfy => reply(252, (2, 5, 0), "cannot verify, but will take mail and try to deliver it"),
            Command::Help => Action::Reply(help()),
            Command::Quit => {
                Action::Close(Reply::new(221, (2, 0, 0), format!("{} closing", self.rules.hostname)))
            }
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial),
            Command::Expn | Command::NotOffered(Extension::Bdat) => not_implemented(),
        };
        (self, action)
    }

    /// A message can be taken: the sender stands.
    #[must_use]
    pub fn admit(mut self, mail: Mail) -> (Self, Reply) {
        self.phase = Phase::Sender { mail, refused: false };
        (self, Reply::new(250, (2, 1, 0), "sender OK"))
    }

    /// Notes what was decided about a recipient.
    #[must_use]
    pub fn judge(mut self, recipient: Address, verdict: Verdict) -> (Self, Reply) {
        let dropped = match verdict {
            Verdict::Accept => false,
            Verdict::Drop => true,
            Verdict::Refuse(reply) => {
                if let Phase::Sender { refused, .. } = &mut self.phase {
                    *refused = true;
                }
                return (self, reply);
            }
        };
        self.phase = match self.phase {
            // The driver judges only what `step` asked it to, and that needs a sender.
            Phase::Idle => Phase::Idle,
            Phase::Sender { mail, .. } => {
                let mut envelope = Envelope::new(mail.reverse_path, recipient);
                envelope.body = mail.body;
                envelope.smtputf8 = mail.smtputf8;
                Phase::Recipients(Transaction { envelope, dropped: Vec::from_iter(dropped.then_some(0)) })
            }
            Phase::Recipients(mut transaction) => {
                transaction.dropped.extend(dropped.then_some(transaction.envelope.recipients().len()));
                transaction.envelope.add(recipient);
                Phase::Recipients(transaction)
            }
        };
        (self, Reply::new(250, (2, 1, 5), "recipient OK"))
    }

    /// The message is over, whatever became of it.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.phase = Phase::Idle;
        self
    }

    /// EHLO and HELO also end a message that was under way (RFC 5321 4.1.4).
    fn greet(&mut self, hello: Hello) -> Action {
        let extended = hello.extended;
        self.hello = Some(hello);
        self.phase = Phase::Idle;
        let mut lines = vec![self.rules.hostname.clone()];
        if extended {
            let size = format!("SIZE {}", self.rules.max_message_size);
            let words = ["PIPELINING", &size, "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "HELP"];
            lines.extend(words.map(str::to_owned));
            lines.extend(self.offered());
        }
        Action::Reply(Reply::bare(250, lines))
    }

    /// STARTTLS and AUTH, where they can be had now.
    fn offered(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.rules.starttls && !self.secure {
            words.push("STARTTLS".to_owned());
        }
        if !self.rules.mechanisms.is_empty() && self.may_log_in() {
            let names = self.rules.mechanisms.iter().map(|mechanism| mechanism.name());
            words.push(std::iter::once("AUTH").chain(names).collect::<Vec<_>>().join(" "));
        }
        words
    }

    /// Whether a password may be sent now.
    fn may_log_in(&self) -> bool {
        self.secure || self.rules.auth_in_clear
    }

    fn start_tls(&self) -> Action {
        if self.secure {
            reply(503, (5, 5, 1), "TLS has begun already")
        } else if !self.rules.starttls {
            not_implemented()
        } else if self.hello.is_none() {
            reply(503, (5, 5, 1), "say EHLO first")
        } else if self.in_transaction() {
            reply(503, (5, 5, 1), "not while a message is under way")
        } else {
            Action::StartTls(Reply::new(220, (2, 0, 0), "begin TLS now"))
        }
    }

    fn auth(&self, mechanism: &str, initial: Option<Initial>) -> Action {
        let known = Mechanism::named(mechanism).filter(|known| self.rules.mechanisms.contains(known));
        match known {
            _ if self.rules.mechanisms.is_empty() => not_implemented(),
            _ if self.hello.is_none() => reply(503, (5, 5, 1), "say EHLO first"),
            _ if self.user.is_some() => reply(503, (5, 5, 1), "you have logged in already"),
            _ if self.in_transaction() => reply(503, (5, 5, 1), "not while a message is under way"),
            _ if !self.may_log_in() => reply(538, (5, 7, 11), "encryption is required: say STARTTLS first"),
            None => reply(504, (5, 5, 4), "mechanism not implemented"),
            Some(mechanism) => Action::LogIn(mechanism, initial),
        }
    }

    fn mail(&self, mail: Mail) -> Action {
        if self.hello.is_none() {
            return reply(503, (5, 5, 1), "say EHLO first");
        }
        if self.rules.auth_required && self.user.is_none() {
            let text = if self.may_log_in() { "log in first" } else { "say STARTTLS and log in first" };
            return reply(530, (5, 7, 0), text);
        }
        if self.phase != Phase::Idle {
            return reply(503, (5, 5, 1), "MAIL was given already; RSET starts again");
        }
        let max = self.rules.max_message_size;
        match mail.size {
            Some(size) if size > max => {
                reply(552, (5, 3, 4), format!("a message of {size} octets is too large; {max} is the limit"))
            }
            _ => Action::Admit(mail),
        }
    }

    fn rcpt(&self, forward: Forward) -> Action {
        let (smtputf8, count) = match &self.phase {
            Phase::Idle => return reply(503, (5, 5, 1), "MAIL first"),
            Phase::Sender { mail, .. } => (mail.smtputf8, 0),
            Phase::Recipients(t) => (t.envelope.smtputf8, t.envelope.recipients().len()),
        };
        let recipient = match forward {
            Forward::Address(address) => address,
            Forward::Postmaster => match Address::parse(&format!("postmaster@{}", self.rules.hostname)) {
                Ok(address) => address,
                Err(error) => return Action::Reply(CommandError::ForwardPath(error).reply()),
            },
        };
        if !smtputf8 && !recipient.is_ascii() {
            return Action::Reply(CommandError::NeedsSmtpUtf8.reply());
        }
        if count >= self.rules.max_recipients {
            return reply(452, (4, 5, 3), "too many recipients; send the rest in another message");
        }
        Action::Judge(recipient)
    }

    fn data(mut self) -> (Self, Action) {
        let action = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Recipients(transaction) => Action::Receive(transaction),
            Phase::Idle => reply(503, (5, 5, 1), "MAIL and RCPT first"),
            Phase::Sender { mail, refused } => {
                self.phase = Phase::Sender { mail, refused };
                if refused {
                    reply(554, (5, 5, 1), "no valid recipients")
                } else {
                    reply(503, (5, 5, 1), "RCPT first")
                }
            }
        };
        (self, action)
    }
}

fn reply(code: u16, status: (u8, u16, u16), text: impl Into<String>) -> Action {
    Action::Reply(Reply::new(code, status, text))
}

fn not_implemented() -> Action {
    reply(502, (5, 5, 1), "command not implemented")
}

fn ok(text: &str) -> Action {
    reply(250, (2, 0, 0), text)
}

fn help() -> Reply {
    let lines = [
        "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT",
        "a relay: it takes mail for its upstreams only",
    ];
    Reply { code: 214, status: Some((2, 0, 0)), lines: lines.map(str::to_owned).to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue() -> Dialogue {
        let rules = Rules {
            hostname: "relay.example".into(),
            max_message_size: 1000,
            max_recipients: 2,
            max_errors: 3,
            starttls: false,
            mechanisms: &[],
            auth_in_clear: false,
            auth_required: false,
        };
        Dialogue::new(rules)
    }

    /// Says the lines; all messages are admitted, recipients at `bad.example` are refused, at `drop.example` dropped.
    fn say(mut dialogue: Dialogue, lines: &[&str]) -> (Dialogue, Vec<String>) {
        let mut replies = Vec::new();
        for line in lines {
            let command = Command::parse(line.as_bytes()).unwrap();
            let (next, action) = dialogue.step(command);
            let (next, reply) = match action {
                Action::Reply(reply) | Action::Close(reply) => (next, reply),
                Action::Admit(mail) => next.admit(mail),
                Action::Judge(recipient) => {
                    let verdict = match recipient.domain() {
                        "bad.example" => Verdict::Refuse(Reply::new(550, (5, 7, 1), "no")),
                        "drop.example" => Verdict::Drop,
                        _ => Verdict::Accept,
                    };
                    next.judge(recipient, verdict)
                }
                Action::StartTls(reply) => (next.secure(), reply),
                Action::LogIn(mechanism, _) => {
                    let (next, reply) = next.log_in(LoggedIn { name: mechanism.name().into() });
                    (next, reply)
                }
                Action::Receive(t) => {
                    let text = format!("{:?} dropped {:?}", t.envelope.recipients().len(), t.dropped);
                    (next.finish(), Reply::new(250, (2, 0, 0), text))
                }
            };
            dialogue = next;
            replies.push(reply.to_string().chars().take(9).collect());
            if reply.code == 250 && reply.lines[0].contains("dropped") {
                replies.push(reply.lines[0].clone());
            }
        }
        (dialogue, replies)
    }

    #[test]
    fn holds_the_order() {
        for (lines, want) in [
            (vec!["MAIL FROM:<a@b>"], vec!["503 5.5.1"]),
            (vec!["EHLO x", "RCPT TO:<a@b>", "DATA"], vec!["250 relay", "503 5.5.1", "503 5.5.1"]),
            (
                vec![
                    "HELO x",
                    "MAIL FROM:<a@b>",
                    "MAIL FROM:<a@b>",
                    "DATA",
                    "RCPT TO:<a@bad.example>",
                    "DATA",
                ],
                vec!["250 relay", "250 2.1.0", "503 5.5.1", "503 5.5.1", "550 5.7.1", "554 5.5.1"],
            ),
            (
                vec!["HELO x", "MAIL FROM:<>", "RCPT TO:<a@b>", "RSET", "DATA", "QUIT"],
                vec!["250 relay", "250 2.1.0", "250 2.1.5", "250 2.0.0", "503 5.5.1", "221 2.0.0"],
            ),
            (
                vec!["HELO x", "MAIL FROM:<>", "EHLO x", "MAIL FROM:<> SIZE=1001", "MAIL FROM:<> SIZE=1000"],
                vec!["250 relay", "250 2.1.0", "250 relay", "552 5.3.4", "250 2.1.0"],
            ),
        ] {
            assert_eq!(say(dialogue(), &lines).1, want, "{lines:?}");
        }
    }

    #[test]
    fn tls_and_logins() {
        const BOTH: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];
        let rules = |starttls, auth_in_clear, auth_required| Rules {
            starttls,
            mechanisms: BOTH,
            auth_in_clear,
            auth_required,
            max_errors: 99,
            ..dialogue().rules
        };
        for (rules, lines, want) in [
            (
                rules(true, false, true),
                &["EHLO x", "AUTH PLAIN", "MAIL FROM:<a@b>", "STARTTLS", "AUTH PLAIN", "STARTTLS", "EHLO x"]
                    [..],
                &["250 relay", "538 5.7.1", "530 5.7.0", "220 2.0.0", "503 5.5.1", "503 5.5.1", "250 relay"]
                    [..],
            ),
            (
                rules(false, true, true),
                &[
                    "AUTH PLAIN",
                    "EHLO x",
                    "AUTH X",
                    "AUTH SCRAM-SHA-256",
                    "AUTH LOGIN",
                    "AUTH LOGIN",
                    "STARTTLS",
                ],
                &["503 5.5.1", "250 relay", "504 5.5.4", "504 5.5.4", "235 2.7.0", "503 5.5.1", "502 5.5.1"],
            ),
            (
                rules(true, true, false),
                &[
                    "STARTTLS",
                    "HELO x",
                    "MAIL FROM:<a@b>",
                    "AUTH PLAIN",
                    "STARTTLS",
                    "RSET",
                    "AUTH PLAIN",
                    "STARTTLS",
                ],
                &[
                    "503 5.5.1",
                    "250 relay",
                    "250 2.1.0",
                    "503 5.5.1",
                    "503 5.5.1",
                    "250 2.0.0",
                    "235 2.7.0",
                    "220 2.0.0",
                ],
            ),
        ] {
            let (dialogue, replies) = say(Dialogue::new(rules), lines);
            assert_eq!(replies, want, "{lines:?}");
            assert_eq!(
                (dialogue.is_secure(), dialogue.user().is_some()),
                (lines.len() != 7 || lines[0] == "EHLO x", lines[4] == "AUTH LOGIN")
            );
        }
    }

    #[test]
    fn offers_what_can_be_had_now() {
        let rules = |auth_in_clear| Rules {
            starttls: true,
            mechanisms: &[Mechanism::Plain, Mechanism::ScramSha256],
            auth_in_clear,
            ..dialogue().rules
        };
        let auth = "AUTH PLAIN SCRAM-SHA-256";
        let before = Dialogue::new(rules(false));
        assert_eq!(before.offered(), ["STARTTLS"]);
        assert_eq!(before.secure().offered(), [auth]);
        assert_eq!(Dialogue::new(rules(true)).offered(), ["STARTTLS", auth]);
        assert!(dialogue().offered().is_empty());
    }

    #[test]
    fn keeps_the_good_recipients_and_knows_the_dropped() {
        let lines = [
            "EHLO x",
            "MAIL FROM:<a@b>",
            "RCPT TO:<a@bad.example>",
            "RCPT TO:<a@b>",
            "RCPT TO:<a@drop.example>",
            "RCPT TO:<c@b>",
            "DATA",
        ];
        let (dialogue, replies) = say(dialogue(), &lines);
        assert_eq!(
            replies[2..],
            ["550 5.7.1", "250 2.1.5", "250 2.1.5", "452 4.5.3", "250 2.0.0", "2 dropped [1]"]
        );
        assert!(!dialogue.in_transaction());
    }

    #[test]
    fn counts_errors_but_not_refused_recipients() {
        let mut dialogue = dialogue();
        for code in [550, 552, 452, 554, 250, 551, 553] {
            assert!(!dialogue.count(&Reply::new(code, (5, 0, 0), "")), "{code}");
        }
        for code in [500, 555] {
            assert!(!dialogue.count(&Reply::new(code, (5, 0, 0), "")), "{code}");
        }
        assert!(dialogue.count(&Reply::new(503, (5, 0, 0), "")));
    }

    #[test]
    fn an_address_beyond_ascii_needs_the_extension() {
        let lines =
            ["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<\u{fc}@b>", "RSET", "MAIL FROM:<\u{fc}@b> SMTPUTF8"];
        let (dialogue, replies) = say(dialogue(), &lines);
        assert_eq!(replies[2], "553 5.6.7");
        let (_, replies) = say(dialogue, &["RCPT TO:<\u{fc}@b>", "RCPT TO:<postmaster>"]);
        assert_eq!(replies, ["250 2.1.5", "250 2.1.5"]);
    }
}
