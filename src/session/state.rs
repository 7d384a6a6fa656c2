//! The dialogue as a state machine: which command is legal now, and what happens next. No socket, no clock, no policy.
//!
//! ```text
//! Greeted ──EHLO/HELO──► Ready ──MAIL──► Sender ──RCPT──► Recipients ──DATA──► (content) ──► Ready
//!                          ▲               │                 │  │
//!                          ├──RSET, EHLO───┴─────────────────┘  └─BDAT─► Chunks ──BDAT LAST──► Ready
//!                          └──RSET, EHLO────────────────────────────────────┘
//! ```
//!
//! A command either gets its reply at once, or asks for a decision that the machine can't make ([`Action`]); the
//! driver brings the decision back with [`Dialogue::admit`], [`Dialogue::judge`], [`Dialogue::repeat`] or [`Dialogue::finish`].

mod types;

pub use types::{Action, Hello, MailTransaction, RecipientDecision, Rules, Sender};

use super::help::help;
use crate::mail::{Address, Envelope, RecipientRequest};
use crate::policy::users::LoggedIn;
use crate::smtp::command::{Chunk, Command, CommandError, Forward, Initial, Mail, Rcpt};
use crate::smtp::sasl_server::ServerMechanism;
use crate::smtp::{INSTANCE_KEYWORD, Reply};

/// The largest number that a limit can have (RFC 9422 4).
const MAX_LIMIT: usize = 999_999;

/// The dialogue of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    rules: Rules,
    hello: Option<Hello>,
    phase: DialoguePhase,
    errors: u32,
    secure: bool,
    user: Option<LoggedIn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum DialoguePhase {
    /// No message is under way.
    Idle,
    /// MAIL was accepted; `refused` tells whether a recipient was tried.
    Sender { mail: Mail, refused: bool },
    /// At least one recipient was accepted.
    Recipients(MailTransaction),
    /// Part of the content has come by BDAT; the driver has the transaction.
    Chunks,
    /// A chunk was refused. Others may be on their way (RFC 3030 2).
    Refused,
}

impl Dialogue {
    /// A dialogue in which nothing was said yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, hello: None, phase: DialoguePhase::Idle, errors: 0, secure: false, user: None }
    }

    /// The configuration has changed. What was said stays said.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
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
        !matches!(self.phase, DialoguePhase::Idle | DialoguePhase::Refused)
    }

    /// Whether part of a content has come by BDAT, and more is to come.
    #[must_use]
    pub fn in_chunks(&self) -> bool {
        self.phase == DialoguePhase::Chunks
    }

    /// The reverse-path of the message under way as long as its content has not begun, else empty.
    #[must_use]
    pub fn reverse_path(&self) -> &str {
        match &self.phase {
            DialoguePhase::Idle | DialoguePhase::Chunks | DialoguePhase::Refused => "",
            DialoguePhase::Sender { mail, .. } => mail.reverse_path.as_str(),
            DialoguePhase::Recipients(transaction) => transaction.envelope.reverse_path.as_str(),
        }
    }

    /// Who sends the message under way, as long as its content has not begun.
    #[must_use]
    pub fn sender(&self) -> Option<Sender<'_>> {
        match &self.phase {
            DialoguePhase::Idle | DialoguePhase::Chunks | DialoguePhase::Refused => None,
            DialoguePhase::Sender { mail, .. } => Some(Sender {
                reverse_path: &mail.reverse_path,
                smtputf8: mail.smtputf8,
                request: &mail.request,
            }),
            DialoguePhase::Recipients(MailTransaction { envelope, request, .. }) => {
                Some(Sender { reverse_path: &envelope.reverse_path, smtputf8: envelope.smtputf8, request })
            }
        }
    }

    /// Counts an error; true when the client has made as many as it may.
    ///
    /// Only replies that tell of a broken dialogue or a failed login count. Not to be asked about replies to RCPT: a list
    /// may hold any number of recipients that are refused or malformed.
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
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => return self.data(),
            Command::Bdat(chunk) => return self.bdat(chunk),
            Command::Rset => {
                self.phase = DialoguePhase::Idle;
                ok("reset")
            }
            Command::Noop => ok("OK"),
            Command::Vrfy => reply(252, (2, 5, 0), "cannot verify, but will take mail and try to deliver it"),
            Command::Help(topic) => Action::Reply(help(&topic)),
            Command::Quit => {
                Action::Close(Reply::new(221, (2, 0, 0), format!("{} closing", self.rules.hostname)))
            }
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial),
            Command::Expn => reply(502, (5, 5, 1), NOT_IMPLEMENTED),
        };
        (self, action)
    }

    /// A message can be taken: the sender stands.
    #[must_use]
    pub fn admit(mut self, mail: Mail) -> (Self, Reply) {
        self.phase = DialoguePhase::Sender { mail, refused: false };
        (self, Reply::new(250, (2, 1, 0), "sender OK"))
    }

    /// Notes what was decided about a recipient.
    #[must_use]
    pub fn judge(
        mut self,
        recipient: Address,
        request: RecipientRequest,
        verdict: RecipientDecision,
    ) -> (Self, Reply) {
        let dropped = match verdict {
            RecipientDecision::Accept => false,
            RecipientDecision::Drop => true,
            RecipientDecision::Refuse(reply) => {
                if let DialoguePhase::Sender { refused, .. } = &mut self.phase {
                    *refused = true;
                }
                return (self, reply);
            }
        };
        self.phase = match self.phase {
            // The driver judges only what `step` asked it to, and that needs a sender.
            phase @ (DialoguePhase::Idle | DialoguePhase::Chunks | DialoguePhase::Refused) => phase,
            DialoguePhase::Sender { mail, .. } => {
                let mut envelope = Envelope::new(mail.reverse_path, recipient);
                envelope.body = mail.body;
                envelope.smtputf8 = mail.smtputf8;
                let dropped = Vec::from_iter(dropped.then_some(0));
                let requests = vec![request];
                DialoguePhase::Recipients(MailTransaction {
                    envelope,
                    dropped,
                    request: mail.request,
                    requests,
                })
            }
            DialoguePhase::Recipients(mut transaction) => {
                transaction.dropped.extend(dropped.then_some(transaction.envelope.recipients().len()));
                transaction.envelope.add(recipient);
                transaction.requests.push(request);
                DialoguePhase::Recipients(transaction)
            }
        };
        (self, recipient_ok())
    }

    /// Notes what is asked for a recipient that was given again. It is still one: stored, counted and sent to once.
    #[must_use]
    pub fn repeat(mut self, place: usize, request: RecipientRequest) -> (Self, Reply) {
        if let DialoguePhase::Recipients(transaction) = &mut self.phase
            && let Some(known) = transaction.requests.get_mut(place)
        {
            known.join(request);
        }
        (self, recipient_ok())
    }

    /// The message is over, and this was the reply to it. A message that was accepted makes good for all errors before it:
    /// a connection may last for days.
    #[must_use]
    pub fn finish(mut self, reply: &Reply) -> Self {
        self.phase = DialoguePhase::Idle;
        if reply.is_positive() {
            self.errors = 0;
        }
        self
    }

    /// A chunk was refused, and with it the message.
    #[must_use]
    pub fn refuse_chunks(mut self) -> Self {
        self.phase = DialoguePhase::Refused;
        self
    }

    /// EHLO and HELO also end a message that was under way (RFC 5321 4.1.4).
    fn greet(&mut self, hello: Hello) -> Action {
        let extended = hello.extended;
        self.hello = Some(hello);
        self.phase = DialoguePhase::Idle;
        let mut lines = vec![self.rules.hostname.clone()];
        if extended {
            let size = format!("SIZE {}", self.rules.max_message_size);
            let limits = format!("LIMITS RCPTMAX={}", self.rules.max_recipients.min(MAX_LIMIT));
            let words = ["PIPELINING", &size, "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"];
            lines.extend(words.map(str::to_owned));
            lines.extend(["CHUNKING", "DSN", "MT-PRIORITY", &limits].map(str::to_owned));
            lines.extend(self.rules.instance.map(|own| format!("{INSTANCE_KEYWORD} {own}")));
            lines.push("HELP".to_owned());
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
            reply(502, (5, 5, 1), NOT_IMPLEMENTED)
        } else if self.hello.is_none() {
            reply(503, (5, 5, 1), "say EHLO first")
        } else if self.in_transaction() {
            reply(503, (5, 5, 1), "not while a message is under way")
        } else {
            Action::StartTls(Reply::new(220, (2, 0, 0), "begin TLS now"))
        }
    }

    fn auth(&self, mechanism: &str, initial: Option<Initial>) -> Action {
        let known = ServerMechanism::named(mechanism).filter(|known| self.rules.mechanisms.contains(known));
        match known {
            _ if self.rules.mechanisms.is_empty() => reply(502, (5, 5, 1), NOT_IMPLEMENTED),
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
        if self.in_transaction() {
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

    fn rcpt(&self, rcpt: Rcpt) -> Action {
        let (smtputf8, count) = match &self.phase {
            DialoguePhase::Chunks => return reply(503, (5, 5, 1), CHUNKS_ARE_COMING),
            DialoguePhase::Idle | DialoguePhase::Refused => return reply(503, (5, 5, 1), "MAIL first"),
            DialoguePhase::Sender { mail, .. } => (mail.smtputf8, 0),
            DialoguePhase::Recipients(t) => (t.envelope.smtputf8, t.envelope.recipients().len()),
        };
        let recipient = match rcpt.forward {
            Forward::Address(address) => address,
            Forward::Postmaster => match Address::parse(&format!("postmaster@{}", self.rules.hostname)) {
                Ok(address) => address,
                Err(error) => return Action::Reply(CommandError::ForwardPath(error).reply()),
            },
        };
        if !smtputf8 && !recipient.is_ascii() {
            return Action::Reply(CommandError::NeedsSmtpUtf8.reply());
        }
        if let DialoguePhase::Recipients(transaction) = &self.phase
            && let Some(place) = transaction.envelope.place_of(&recipient)
        {
            return Action::Repeat(place, rcpt.request.new_to(&transaction.requests[place]));
        }
        if count >= self.rules.max_recipients {
            return reply(452, (4, 5, 3), "too many recipients; send the rest in another message");
        }
        Action::Judge(recipient, rcpt.request)
    }

    fn data(mut self) -> (Self, Action) {
        let action = match std::mem::replace(&mut self.phase, DialoguePhase::Idle) {
            DialoguePhase::Recipients(transaction) => Action::Receive(transaction),
            phase => {
                let refusal = no_content(&phase);
                self.phase = phase;
                Action::Reply(refusal)
            }
        };
        (self, action)
    }

    fn bdat(mut self, chunk: Chunk) -> (Self, Action) {
        let action = match std::mem::replace(&mut self.phase, DialoguePhase::Idle) {
            DialoguePhase::Recipients(transaction) => {
                self.phase = DialoguePhase::Chunks;
                Action::Take(chunk, Some(transaction))
            }
            DialoguePhase::Chunks => {
                self.phase = DialoguePhase::Chunks;
                Action::Take(chunk, None)
            }
            DialoguePhase::Refused => {
                self.phase = if chunk.last { DialoguePhase::Idle } else { DialoguePhase::Refused };
                let refusal = Reply::new(554, (5, 5, 1), "the message was refused already");
                Action::Discard(chunk.octets, refusal)
            }
            phase => {
                let refusal = no_content(&phase);
                self.phase = phase;
                Action::Misplaced(chunk.octets, refusal)
            }
        };
        (self, action)
    }
}

/// Why no content can come now.
fn no_content(phase: &DialoguePhase) -> Reply {
    match phase {
        DialoguePhase::Sender { refused: true, .. } => Reply::new(554, (5, 5, 1), "no valid recipients"),
        DialoguePhase::Sender { refused: false, .. } => Reply::new(503, (5, 5, 1), "RCPT first"),
        // DATA and BDAT can't be mixed (RFC 3030 2).
        DialoguePhase::Chunks => Reply::new(503, (5, 5, 1), CHUNKS_ARE_COMING),
        DialoguePhase::Idle | DialoguePhase::Refused | DialoguePhase::Recipients(_) => {
            Reply::new(503, (5, 5, 1), "MAIL and RCPT first")
        }
    }
}

/// What a client reads that asks for what is not offered.
const NOT_IMPLEMENTED: &str = "command not implemented";
/// What a client reads that says something else between two chunks.
const CHUNKS_ARE_COMING: &str = "the content is coming by BDAT; RSET starts again";

fn reply(code: u16, status: (u8, u16, u16), text: impl Into<String>) -> Action {
    Action::Reply(Reply::new(code, status, text))
}

fn recipient_ok() -> Reply {
    Reply::new(250, (2, 1, 5), "recipient OK")
}

fn ok(text: &str) -> Action {
    reply(250, (2, 0, 0), text)
}

#[cfg(test)]
mod tests;
