//! The steps by which a connection is made ready, as a person sees them who probes an account.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio_rustls::rustls::{ClientConnection, ProtocolVersion};

use super::error::{ConnectError, Stage};
use crate::config::CertificateFacts;
use crate::smtp::Reply;
use crate::smtp::extension::Capabilities;

/// A step that was taken, or at which it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectStep {
    /// Which one.
    pub name: StepName,
    /// How long it took.
    pub took: Duration,
    /// What was found, or why it did not succeed.
    pub outcome: Result<StepFinding, StepFailure>,
}

/// Which step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepName {
    /// The host's name is looked up.
    Resolve,
    /// One of its addresses is tried.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The greeting.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// The token to log in with.
    SignIn,
    /// AUTH.
    Auth,
}

/// What a step has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepFinding {
    /// The addresses of the host, in the order in which they are tried.
    Resolved(Vec<SocketAddr>),
    /// The address that answered.
    Connected(SocketAddr),
    /// The proxy that has reached the upstream.
    Tunnelled(String),
    /// Whom the upstream has proved to be.
    Secured(Box<TlsFacts>),
    /// Its first words.
    Greeted(Reply),
    /// What it offers; `None` when it knows HELO alone.
    Offers(Option<Box<Offered>>),
    /// It begins TLS.
    BeginsTls,
    /// It has accepted a login, by this mechanism; `None` when none is configured.
    LoggedIn(Option<String>),
    /// It answers requests over HTTP.
    Answered {
        /// The status of the answer.
        status: u16,
        /// Whether it has proved by TLS who it is.
        is_shielded: bool,
    },
    /// There is a token for requests.
    HasToken(GraphLogin),
}

/// By what requests to Microsoft Graph are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphLogin {
    /// Whose token it is, as far as it says so.
    pub account: Option<String>,
    /// The rights that it names.
    pub rights: Vec<String>,
    /// The mailbox that sends; `None` where each message says so.
    pub mailbox: Option<String>,
}

/// What an upstream says to EHLO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Its lines, without the first, which only greets.
    pub lines: Vec<String>,
    /// What we read in them.
    pub capabilities: Capabilities,
}

/// What is known of a line behind its TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLS 1.2` or `TLS 1.3`
    pub version: String,
    /// The cipher suite, as its registry names it.
    pub cipher: String,
    /// The name that was asked of the certificate.
    pub name: String,
    /// The certificates that the upstream has shown, its own first.
    pub chain: Vec<CertificateFacts>,
}

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// What happened.
    pub reason: String,
    /// What a person does about it, where that is known.
    pub action: Option<String>,
    /// The upstream's reply, where it gave one.
    pub reply: Option<Reply>,
}

impl StepName {
    /// The name in the interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Hello => "ehlo",
            Self::StartTls => "starttls",
            Self::SignIn => "sign_in",
            Self::Auth => "auth",
        }
    }
}

impl From<Stage> for StepName {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Connect => Self::Connect,
            Stage::Tls => Self::Tls,
            Stage::Greeting => Self::Greeting,
            Stage::Hello => Self::Hello,
            Stage::StartTls => Self::StartTls,
            // No connection ends later before it is ready.
            _ => Self::Auth,
        }
    }
}

impl StepFinding {
    /// The step that finds it.
    pub(super) fn step(&self) -> StepName {
        match self {
            Self::Resolved(_) => StepName::Resolve,
            Self::Connected(_) | Self::Tunnelled(_) | Self::Answered { .. } => StepName::Connect,
            Self::Secured(_) => StepName::Tls,
            Self::Greeted(_) => StepName::Greeting,
            Self::Offers(_) => StepName::Hello,
            Self::BeginsTls => StepName::StartTls,
            Self::LoggedIn(_) => StepName::Auth,
            Self::HasToken(_) => StepName::SignIn,
        }
    }
}

impl StepFailure {
    /// Why a connection could not be made ready.
    #[must_use]
    pub fn of(error: &ConnectError) -> Self {
        Self { reason: error.reason(), action: error.action(), reply: error.reply().cloned() }
    }
}

/// In words for a person; what the upstream has said is not escaped.
impl fmt::Display for StepFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolved(addresses) => {
                let all: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
                f.write_str(&all.join(", "))
            }
            Self::Connected(address) => address.fmt(f),
            Self::Tunnelled(proxy) => write!(f, "over the proxy {proxy}"),
            Self::Secured(facts) => facts.fmt(f),
            Self::Greeted(reply) => reply.fmt(f),
            Self::Offers(None) => f.write_str("it knows HELO alone, and offers nothing"),
            Self::Offers(Some(offered)) if offered.lines.is_empty() => f.write_str("it offers nothing"),
            Self::Offers(Some(offered)) => f.write_str(&offered.lines.join(", ")),
            Self::BeginsTls => f.write_str("it begins TLS"),
            Self::LoggedIn(None) => f.write_str("no login is configured"),
            Self::LoggedIn(Some(mechanism)) => write!(f, "logged in by {mechanism}"),
            Self::Answered { status, is_shielded: true } => {
                write!(f, "answers requests (HTTP {status}); its certificate is trusted")
            }
            Self::Answered { status, is_shielded: false } => {
                write!(f, "answers requests (HTTP {status}), without TLS")
            }
            Self::HasToken(login) => login.fmt(f),
        }
    }
}

impl fmt::Display for GraphLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is a token")?;
        if let Some(account) = &self.account {
            write!(f, " of {account}")?;
        }
        match self.rights.as_slice() {
            // Rights that were given within a management scope do not stand in it.
            [] => f.write_str(", which names no rights")?,
            rights => write!(f, " with {}", rights.join(", "))?,
        }
        match &self.mailbox {
            Some(mailbox) => write!(f, "; mail goes as {mailbox}"),
            None => f.write_str("; mail goes as the mailbox in From"),
        }
    }
}

impl TlsFacts {
    /// Of a connection whose handshake is done, with a server that was to prove that it is `name`.
    pub(super) fn of(connection: &ClientConnection, name: &str) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
            other => format!("{other:?}"),
        };
        let suite = connection.negotiated_cipher_suite();
        let shown = connection.peer_certificates().unwrap_or_default();
        Self {
            version,
            cipher: suite.map(|suite| format!("{:?}", suite.suite())).unwrap_or_default(),
            name: name.to_owned(),
            chain: shown.iter().filter_map(|certificate| CertificateFacts::of(certificate)).collect(),
        }
    }

    /// The name in the upstream's certificate that stands for the one that was asked for.
    #[must_use]
    pub fn matched(&self) -> Option<&str> {
        self.chain.first().and_then(|own| own.name_for(&self.name))
    }
}

impl fmt::Display for TlsFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.version, self.cipher)?;
        let Some(own) = self.chain.first() else { return Ok(()) };
        write!(f, "; certificate for {}", self.matched().unwrap_or(&own.subject))?;
        if let Some(until) = own.not_after {
            write!(f, " until {}", until.strftime("%Y-%m-%d"))?;
        }
        write!(f, ", issued by {}", own.issuer)
    }
}
