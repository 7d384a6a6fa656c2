//! The configuration as the rest of the relay sees it. Everything here has been checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use secrecy::SecretString;

use super::{Account, Fallback, Identity, ScramVerifier, SharedLimits};
use crate::mail::Address;

/// A size in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or((1, "B"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name in the greeting, EHLO, Received and Message-ID.
    pub hostname: String,
    /// Where the queue, the counters and the captured mail live. Absolute.
    pub data_dir: PathBuf,
    /// How long a shutdown waits for what is under way.
    pub shutdown_grace: Duration,
    /// The zone of calendar limits and schedules.
    pub timezone: TimeZone,
    /// `[log]`
    pub log: Log,
    /// `[[listener]]`, at least one.
    pub listeners: Vec<Listener>,
    /// `[session]`
    pub session: Session,
    /// `[queue]`
    pub queue: Queue,
    /// `[test_mode]`
    pub test_mode: TestMode,
    /// `[blacklist]`
    pub blacklist: Blacklist,
    /// `[[upstream]]`, at least one.
    pub upstreams: Vec<Upstream>,
    /// `[[dkim]]`
    pub dkim: Vec<DkimEntry>,
    /// `[[user]]`: who may log in.
    pub users: Vec<User>,
}

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// The least level that is written.
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time LEVEL event key=value…`
    Text,
    /// One JSON object per line.
    Json,
}

/// The least level that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what needs a person.
    Error,
    /// And what may soon need one.
    Warn,
    /// And what became of every recipient.
    Info,
    /// And each session.
    Debug,
}

/// `[[listener]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Clients that may relay without AUTH.
    pub relay_from: Vec<IpNet>,
    /// TLS; `None` is clear text alone.
    pub tls: Option<ServerTls>,
    /// Whether clients may or must log in.
    pub auth: ServerAuth,
    /// Whether a password may come over an open connection from beyond loopback.
    pub auth_without_tls: bool,
    /// Clients whose PROXY header is believed, and required.
    pub proxy_protocol_from: Vec<IpNet>,
    /// When its clients are answered; `None` is as [`Queue::mode`] says.
    pub mode: Option<Mode>,
}

/// When a client is answered that has handed a message in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As soon as the message is in the queue.
    Queued,
    /// When the upstream has answered, and as it has answered; nothing stays in the queue.
    Direct,
}

/// TLS on a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// When it begins.
    pub mode: TlsMode,
    /// What the listener proves itself with.
    pub identity: Identity,
}

/// When TLS begins on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// When the client says STARTTLS (RFC 3207).
    StartTls,
    /// With the first octet (RFC 8314).
    Implicit,
}

/// Whether clients log in at a listener (RFC 4954).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAuth {
    /// AUTH is not offered.
    None,
    /// Who logs in may relay, and so may `relay_from`.
    Optional,
    /// Without a login no message is taken.
    Required,
}

/// `[session]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Announced as SIZE (RFC 1870).
    pub max_message_size: ByteSize,
    /// Recipients in one envelope.
    pub max_recipients: usize,
    /// Sessions at the same time.
    pub max_connections: usize,
    /// Sessions at the same time from one client address.
    pub max_connections_per_client: usize,
    /// For one whole command line.
    pub command_timeout: Duration,
    /// For the whole content.
    pub data_timeout: Duration,
    /// Errors after which a session is closed.
    pub max_errors: u32,
    /// Memory for messages in flight, in and out.
    pub memory_budget: ByteSize,
    /// What a bare LF means.
    pub bare_newline: Newlines,
    /// What becomes of content lines over 998 octets.
    pub long_lines: LongLines,
}

impl Session {
    /// What clients that are handing in messages may take of the memory budget, all together, in octets: a sixteenth, or a
    /// little more where that would be too little for a header section. A session can do with 8 KiB beside it.
    #[must_use]
    pub fn memory_in(&self) -> u64 {
        let ByteSize(budget) = self.memory_budget;
        (budget / 16).max((budget / 2).min(LEAST_MEMORY_IN))
    }

    /// The rest of the memory budget, for what is being sent, in octets: half of it and more.
    #[must_use]
    pub fn memory_out(&self) -> u64 {
        self.memory_budget.0 - self.memory_in()
    }
}

/// Two header sections of the largest size, in octets.
const LEAST_MEMORY_IN: u64 = 2 << 20;

/// What a bare CR or LF means; never the end of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newlines {
    /// It becomes CRLF.
    Normalize,
    /// The command or the message is refused.
    Reject,
}

/// What becomes of content lines over 998 octets (RFC 5322 2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongLines {
    /// Broken with CRLF and a space.
    Wrap,
    /// Passed on as they are.
    Pass,
    /// The message is refused with 554 5.6.0.
    Reject,
}

/// `[queue]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// When clients are answered, where their listener does not say.
    pub mode: Mode,
    /// The first wait after a transient failure; it doubles.
    pub retry_min: Duration,
    /// The longest wait.
    pub retry_max: Duration,
    /// After this a recipient expires.
    pub expire_after: Duration,
    /// After this a delay report is sent; `None` is never.
    pub warn_after: Option<Duration>,
    /// Messages in the queue at most.
    pub max_messages: u64,
    /// With less free disk than this nothing is accepted.
    pub min_free_disk: ByteSize,
    /// Whether reports go to the sender.
    pub bounce_to_sender: bool,
    /// The From of reports.
    pub bounce_from: BounceFrom,
    /// Gets a copy of each report.
    pub bounce_copy_to: Option<Address>,
}

/// The From of our reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BounceFrom {
    /// The upstream account's address where it is one, else `MAILER-DAEMON@hostname`.
    Auto,
    /// This address.
    Address(Address),
}

/// `[test_mode]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestMode {
    /// What the file says; the switch in force is kept in the store.
    pub enabled: bool,
    /// What happens to mail.
    pub action: TestAction,
    /// Where redirected mail goes; always there when `enabled` and `action` is redirect.
    pub address: Option<Address>,
    /// Messages in the captured mailbox at most.
    pub capture_max: usize,
}

/// What test mode does with mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestAction {
    /// One copy to the test address.
    Redirect,
    /// Kept until a person releases it.
    Hold,
    /// Into the local mailbox.
    Capture,
}

/// `[blacklist]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blacklist {
    /// What a blacklisted recipient gets.
    pub action: BlacklistAction,
    /// Whether hard bounces add entries.
    pub auto_add: bool,
    /// After how many of them.
    pub auto_add_after: u32,
    /// How long such an entry lasts; `None` is for ever.
    pub expire_after: Option<Duration>,
}

/// What a blacklisted recipient gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlacklistAction {
    /// 550 5.7.1.
    Reject,
    /// 250, and nothing is sent.
    Drop,
}

/// `[[upstream]]`
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its unique name.
    pub name: String,
    /// Whether it takes what no filter matches.
    pub default: bool,
    /// Whether it is used.
    pub enabled: bool,
    /// The senders that it serves.
    pub filter: Vec<Filter>,
    /// Whether we sign for it.
    pub sign: bool,
    /// What it is.
    pub kind: UpstreamKind,
    /// Its logins; never empty. Its own comes first, if it has one.
    pub accounts: Vec<Account>,
    /// What these may send together.
    pub shared_limits: SharedLimits,
    /// Who serves in its place.
    pub fallback: Fallback,
    /// After how many failed connections or logins in a row it is disabled; 0 is never.
    pub disable_after: u32,
}

/// What an upstream is.
#[derive(Debug, Clone)]
pub enum UpstreamKind {
    /// A smart host.
    Smtp(Box<Smtp>),
    /// The local mailbox; nothing leaves the machine.
    Capture(Capture),
}

/// The local mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Messages in it at most (`[test_mode] capture_max`).
    pub max: usize,
}

/// One entry of `filter`; lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// A full sender address.
    Address(String),
    /// That domain alone.
    Domain(String),
    /// `*.domain`: its subdomains, without the `*.`.
    Subdomains(String),
}

/// A smart host that speaks SMTP.
#[derive(Debug, Clone)]
pub struct Smtp {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name in the upstream's certificate when it is not `host`.
    pub tls_name: Option<String>,
    /// Our name in EHLO when it is not `hostname`.
    pub ehlo: Option<String>,
    /// The local address that we connect from.
    pub source_address: Option<IpAddr>,
    /// How we log in.
    pub auth: Auth,
    /// Whether a password may go over an open connection beyond loopback.
    pub allow_plaintext_auth: bool,
    /// How long we wait for it.
    pub timeouts: Timeouts,
}

/// How a connection is secured. What is configured is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Clear text.
    None,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}

/// How we log in (RFC 4954).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// The best mechanism that both sides know; none when no user is configured.
    Auto,
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN.
    Login,
    /// CRAM-MD5 (RFC 2195).
    CramMd5,
}

/// How long we wait for an upstream (RFC 5321 4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection and the TLS handshake.
    pub connect: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For the reply to EHLO, AUTH, MAIL, RCPT and QUIT.
    pub command: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For each block of content to be taken.
    pub block: Duration,
    /// For the reply to the final dot.
    pub final_dot: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |m: u64| Duration::from_secs(60 * m);
        Self {
            connect: minutes(1),
            greeting: minutes(5),
            command: minutes(5),
            data: minutes(2),
            block: minutes(3),
            final_dot: minutes(10),
        }
    }
}

/// `[[dkim]]`
#[derive(Debug, Clone)]
pub struct DkimEntry {
    /// The signing domain, lower case.
    pub domain: String,
    /// The selector.
    pub selector: String,
    /// The private key, PEM.
    pub key: SecretString,
}

/// `[[user]]`
#[derive(Debug, Clone)]
pub struct User {
    /// The login name; unique, whatever the case.
    pub name: String,
    /// What a login is checked against.
    pub password: UserPassword,
    /// The senders that it may use; empty: any.
    pub senders: Vec<Filter>,
    /// The From of messages that have none.
    pub default_sender: Option<Address>,
    /// Whether a sender that is not granted becomes `default_sender`, which is there then.
    pub replace_foreign_sender: bool,
    /// How urgent its mail is.
    pub priority: UserPriority,
}

/// What a login is checked against.
#[derive(Debug, Clone)]
pub enum UserPassword {
    /// `{ hash = … }`: an argon2id string of bounded cost.
    Argon2id(SecretString),
    /// `{ scram = … }`
    Scram(ScramVerifier),
    /// The password itself.
    Plain(SecretString),
}

/// How urgent a user's mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserPriority {
    /// After normal mail.
    Low,
    /// As all mail.
    Normal,
    /// Before normal mail.
    High,
}

impl Filter {
    /// Whether it names this address; case does not matter.
    #[must_use]
    pub fn matches(&self, address: &Address) -> bool {
        let key = address.key();
        let domain = address.domain().to_lowercase();
        match self {
            Self::Address(address) => *address == key,
            Self::Domain(name) => *name == domain,
            Self::Subdomains(parent) => {
                domain.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }
}

impl User {
    /// Whether the user may send as this address.
    #[must_use]
    pub fn grants(&self, address: &Address) -> bool {
        self.senders.is_empty() || self.senders.iter().any(|filter| filter.matches(address))
    }
}
