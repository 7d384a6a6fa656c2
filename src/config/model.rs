//! The configuration as the rest of the relay sees it. Everything here has been checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::SecretString;

use super::{
    AlertSettings, ApiToken, ByteSize, Console, Identity, NamedSignature, Rule, Secrets, SignIn, SmimeEntry,
    Upstream, User,
};
use crate::mail::{Address, Completion, DomainKey};

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name in the greeting, EHLO, Received and Message-ID.
    pub hostname: String,
    /// Where the queue, the counters and the captured mail live. Absolute.
    pub data_dir: PathBuf,
    /// Who may use the control socket besides the relay's user.
    pub control_group: Option<ControlGroup>,
    /// How long a shutdown waits for what is under way.
    pub shutdown_grace: Duration,
    /// The zone of calendar limits and schedules.
    pub timezone: TimeZone,
    /// The language of what people read who did not choose it: reports to senders.
    pub language: Language,
    /// Whether the configuration is read again when the file changes.
    pub watch: bool,
    /// What completes addresses without a domain.
    pub complete_addresses: Option<Completion>,
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
    /// `history_days` and `[history]`
    pub history: HistorySettings,
    /// `[[upstream]]`, at least one.
    pub upstreams: Vec<Arc<Upstream>>,
    /// `[[dkim]]`
    pub dkim: Vec<DkimEntry>,
    /// `[dns]`
    pub dns: Dns,
    /// `[[smime]]`
    pub smime: Vec<SmimeEntry>,
    /// `[[signature]]`
    pub signatures: Vec<NamedSignature>,
    /// `[[user]]`: who may log in.
    pub users: Vec<User>,
    /// `[[rule]]`, in their order.
    pub rules: Vec<Rule>,
    /// `[[oauth]]`
    pub sign_ins: Vec<Arc<SignIn>>,
    /// `[secrets]`
    pub secrets: Secrets,
    /// `[alert]`
    pub alert: AlertSettings,
    /// `[console]`
    pub console: Console,
    /// `[[api_token]]`
    pub api_tokens: Vec<ApiToken>,
}

/// A language that reports are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// `"en"`
    #[default]
    English,
    /// `"de"`
    German,
}

/// A group of the machine that has full control over the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroup {
    /// As the configuration names it.
    pub name: String,
    /// Its number.
    pub id: u32,
}

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// The least level that is written.
    pub level: LogLevel,
    /// Whether the subjects of messages are written.
    pub subject: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time LEVEL event key=value…`
    Text,
    /// A JSON object per line.
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
    /// And each line of a dialogue, but for logins and contents.
    Trace,
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
    /// Made CRLF.
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
    /// Where redirected mail goes; always there when `action` is redirect and `enabled` or somebody's `test` asks for it.
    pub address: Option<Address>,
    /// Messages in the captured mailbox at most.
    pub capture_max: usize,
}

impl TestMode {
    /// Whether mail would be redirected to nobody knows where.
    pub(in crate::config) fn lacks_address(&self) -> bool {
        self.action == TestAction::Redirect && self.address.is_none()
    }
}

/// What test mode does with mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestAction {
    /// A copy to the test address.
    Redirect,
    /// Kept until a person releases it.
    Hold,
    /// Into the local mailbox.
    Capture,
}

impl TestAction {
    /// As the file, commands and output call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Hold => "hold",
            Self::Capture => "capture",
        }
    }
}

/// `[blacklist]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blacklist {
    /// What a blacklisted recipient gets.
    pub action: BlacklistAction,
    /// Whether failures of mailboxes add entries.
    pub auto_add: bool,
    /// After how many of them that count.
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

/// `history_days` and `[history]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistorySettings {
    /// How long it is kept what became of each recipient; `None`: not at all.
    pub entries: Option<Duration>,
    /// Whether subjects are kept with it.
    pub subject: bool,
    /// How long contents are kept when their messages have left; `None`: not at all.
    pub contents: Option<Duration>,
}

/// `[dns]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Who is asked about records; empty: the system's servers.
    pub servers: Vec<SocketAddr>,
}

/// `[[dkim]]`
#[derive(Debug, Clone)]
pub struct DkimEntry {
    /// The signing domain, as `d=` has it.
    pub domain: DomainKey,
    /// The selector.
    pub selector: String,
    /// The private key, PEM.
    pub key: SecretString,
    /// The first day on which it signs, in UTC; `None` is always.
    pub from: Option<Date>,
}
