//! What the upstream does.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ServerConfig;

/// A point at which the upstream can misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Connect,
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Auth,
    Mail,
    /// The n-th RCPT of a transaction, from 0.
    Rcpt(usize),
    /// Every RCPT that has no row of its own.
    AnyRcpt,
    Data,
    /// While the content arrives.
    Content,
    /// The final dot has arrived.
    Dot,
    Rset,
    Quit,
}

/// Of whom something is not normal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Who has logged in by that name.
    User(String),
    /// Transactions with that reverse-path.
    Sender(String),
    /// Transactions in which that recipient was named.
    Recipient(String),
    /// Connections that have carried a transaction.
    Used,
}

impl Whose {
    pub fn user(name: &str) -> Self {
        Self::User(name.to_owned())
    }

    pub fn sender(address: &str) -> Self {
        Self::Sender(address.to_owned())
    }

    pub fn recipient(address: &str) -> Self {
        Self::Recipient(address.to_owned())
    }
}

/// What it does there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// What a good server does.
    Normal,
    /// Refuses the connection (at `Connect`).
    Refuse,
    /// This reply instead.
    Reply(u16, String),
    /// This reply, then it closes the connection.
    ReplyAndDrop(u16, String),
    /// These octets instead of a reply.
    Raw(Vec<u8>),
    /// These octets instead of a reply, then it closes the connection.
    RawAndDrop(Vec<u8>),
    /// The normal reply, and these octets at once behind it.
    Append(Vec<u8>),
    /// Nothing ever again.
    Hang,
    /// Closes the connection without a word.
    Drop,
    /// The normal reply octet by octet, with this pause before each.
    Slow(Duration),
    /// The normal reply, after this pause.
    Late(Duration),
}

impl Act {
    pub fn reply(code: u16, text: &str) -> Self {
        Self::Reply(code, text.to_owned())
    }

    /// A line that is no reply.
    pub fn malformed() -> Self {
        Self::Raw(b"what do you mean?\r\n".to_vec())
    }

    /// One reply with two codes.
    pub fn two_codes() -> Self {
        Self::Raw(b"250-yes\r\n550 no\r\n".to_vec())
    }

    /// A reply that never ends.
    pub fn huge() -> Self {
        Self::Raw(b"250-and another thing\r\n".repeat(5000))
    }
}

/// What the upstream offers, and what it does differently from a good server.
#[derive(Clone)]
pub struct Script {
    /// Lines of the EHLO reply after the first.
    pub extensions: Vec<String>,
    /// The steps that are not normal.
    pub acts: Vec<(Step, Act)>,
    /// The steps that are not normal for some; they go before `acts`.
    pub acts_of: Vec<(Whose, Step, Act)>,
    /// Connections that may be open at a time, and what becomes of another, at its beginning or at its greeting.
    pub most_open: (usize, Act),
    /// Who may log in.
    pub login: Option<(String, String)>,
    /// Who else may, with the same password.
    pub others: Vec<String>,
    /// The tokens that it takes, from anybody.
    pub tokens: Vec<String>,
    /// What it answers to another token.
    pub token_refusal: String,
    /// Whether it says why before that, in JSON (RFC 7628 3.2.2).
    pub token_error: Option<String>,
    /// How often SCRAM hashes the password.
    pub iterations: u32,
    /// MAIL is refused without a login.
    pub require_auth: bool,
    /// The certificate; STARTTLS is offered when there is one.
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS from the first octet instead of STARTTLS.
    pub implicit_tls: bool,
    /// Recipients in one transaction; more get 452 4.5.3.
    pub max_recipients: usize,
    /// Takes any mixture of CR and LF for a line end, and so LF.LF for the end of the content.
    pub lax: bool,
}

impl Default for Script {
    fn default() -> Self {
        let extensions = ["PIPELINING", "SIZE 36700160", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"];
        Self {
            extensions: extensions.map(str::to_owned).to_vec(),
            acts: Vec::new(),
            acts_of: Vec::new(),
            most_open: (usize::MAX, Act::Normal),
            login: None,
            others: Vec::new(),
            tokens: Vec::new(),
            token_refusal: "535 5.7.8 bad token".to_owned(),
            token_error: None,
            iterations: 4096,
            require_auth: false,
            tls: None,
            implicit_tls: false,
            max_recipients: usize::MAX,
            lax: false,
        }
    }
}

impl Script {
    /// Does `act` at `step`.
    #[must_use]
    pub fn with(mut self, step: Step, act: Act) -> Self {
        self.acts.push((step, act));
        self
    }

    /// Offers this, too.
    #[must_use]
    pub fn offering(mut self, extension: &str) -> Self {
        self.extensions.push(extension.to_owned());
        self
    }

    /// Does `act` at `step` for some.
    #[must_use]
    pub fn with_for(mut self, whose: Whose, step: Step, act: Act) -> Self {
        self.acts_of.push((whose, step, act));
        self
    }

    /// Serves so many connections at a time, and does `act` to others: `Refuse`, or something at the greeting.
    #[must_use]
    pub fn with_most_open(mut self, connections: usize, act: Act) -> Self {
        self.most_open = (connections, act);
        self
    }

    /// Does not offer what begins like this.
    #[must_use]
    pub fn without(mut self, extension: &str) -> Self {
        self.extensions.retain(|line| !line.starts_with(extension));
        self
    }

    /// Offers these mechanisms to anna, whose password is secret.
    #[must_use]
    pub fn with_login(mut self, mechanisms: &str) -> Self {
        self.login = Some(("anna".to_owned(), "secret".to_owned()));
        self.require_auth = true;
        self.offering(&format!("AUTH {mechanisms}"))
    }

    /// Offers PLAIN to these, whose password is secret.
    #[must_use]
    pub fn with_logins(mut self, users: &[&str]) -> Self {
        self.others.extend(users.iter().map(|&user| user.to_owned()));
        self.with_login("PLAIN")
    }

    /// Offers these mechanisms to whoever has one of these tokens.
    #[must_use]
    pub fn with_tokens(mut self, mechanisms: &str, tokens: &[&str]) -> Self {
        self.tokens = tokens.iter().map(|&token| token.to_owned()).collect();
        self.require_auth = true;
        self.offering(&format!("AUTH {mechanisms}"))
    }

    /// Answers this to a token that it does not take.
    #[must_use]
    pub fn refusing_tokens(mut self, reply: &str) -> Self {
        reply.clone_into(&mut self.token_refusal);
        self
    }

    /// Offers STARTTLS with this certificate.
    #[must_use]
    pub fn with_tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// What it does at a step, where those are concerned of whom that holds.
    pub fn act_for(&self, step: Step, concerns: impl Fn(&Whose) -> bool) -> Act {
        let is_it = |of: Step| of == step || (of == Step::AnyRcpt && matches!(step, Step::Rcpt(_)));
        let own = self.acts_of.iter().find(|(whose, of, _)| is_it(*of) && concerns(whose));
        own.map_or_else(|| self.act(step), |(_, _, act)| act.clone())
    }

    pub fn act(&self, step: Step) -> Act {
        let find = |wanted| self.acts.iter().find(|(step, _)| *step == wanted).map(|(_, act)| act.clone());
        let any = || if matches!(step, Step::Rcpt(_)) { find(Step::AnyRcpt) } else { None };
        find(step).or_else(any).unwrap_or(Act::Normal)
    }
}
