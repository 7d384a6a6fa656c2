//! What a report tells, before it is written.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cause::ReportCause;
use crate::config::Language;
use crate::mail::{Address, EnvelopeId, OriginalRecipient, QueueId};

/// Characters of a reply that are shown at most.
pub(super) const MAX_REPLY: usize = 1_000;
/// The longest line of a content that is sent back whole, its CR included, in octets.
const MAX_LINE: usize = 999;

/// What a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Recipients were refused for good, or have outlived the queue.
    Failed,
    /// Recipients are waiting, and go on waiting.
    Delayed,
    /// A server that sends no reports of success has taken them (RFC 3461 5.2.2).
    Relayed,
}

impl Kind {
    /// What has happened, in the words of RFC 3464 2.3.3.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Relayed => "relayed",
        }
    }
}

/// A recipient of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The forward-path, as it was in the envelope.
    pub address: Address,
    /// What the client gave as ORCPT.
    pub original: Option<OriginalRecipient>,
    /// The enhanced status code, such as `5.1.1`; when it is none, one that fits the kind is written.
    pub status: String,
    /// The last reply of the upstream, or what happened in words; any text.
    pub reply: String,
    /// The upstream's host; `None` when the reply is none of it.
    pub host: Option<String>,
    /// What the reply means.
    pub cause: ReportCause,
    /// Whether it has outlived the queue; only for [`Kind::Failed`].
    pub expired: bool,
    /// Whether it may have arrived all the same.
    pub may_have_arrived: bool,
    /// When it was tried last.
    pub last_attempt: Option<Timestamp>,
    /// How long it will be tried, for [`Kind::Delayed`].
    pub will_retry_until: Option<Timestamp>,
    /// Whether it has come on our blacklist by this.
    pub listed: Option<Listing>,
}

/// A recipient has come on our blacklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// `None`: until a person removes it.
    pub until: Option<Timestamp>,
}

/// For whom a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportReader<'a> {
    /// Whoever has sent the original.
    Sender,
    /// The operator, who gets a copy.
    Operator {
        /// Who got the report itself, if anybody did.
        told: Option<&'a Address>,
    },
}

/// A report, ready to be written.
#[derive(Debug, Clone, Copy)]
pub struct Dsn<'a> {
    /// What it says.
    pub kind: Kind,
    /// For whom it is.
    pub reader: ReportReader<'a>,
    /// In which language people read it; what programs read is the same in all.
    pub language: Language,
    /// The zone of its times.
    pub zone: &'a TimeZone,
    /// How long a message is tried.
    pub lifetime: Duration,
    /// Our host name.
    pub hostname: &'a str,
    /// Its From.
    pub from: &'a Address,
    /// Its To: where reports of the original go.
    pub to: &'a Address,
    /// Its own Message-ID, with angle brackets.
    pub message_id: &'a str,
    /// Its Date.
    pub date: Timestamp,
    /// The original's name in our queue.
    pub queue_id: &'a QueueId,
    /// When we accepted the original.
    pub arrival: Timestamp,
    /// What the client gave as ENVID.
    pub envelope_id: Option<&'a EnvelopeId>,
    /// The original: its header, or more of it.
    pub original: &'a [u8],
    /// `original` is complete, and may go back with a failure. It goes back whole where it is in 7 bits and lines that
    /// every server takes; else its header does.
    pub whole: bool,
    /// The recipients that it is about; at least one.
    pub recipients: &'a [Recipient],
}

impl Dsn<'_> {
    /// Whether all of the original is sent back: an attached message can't be encoded (RFC 2046 5.2.1).
    pub(super) fn returns_all(&self) -> bool {
        let plain = |line: &[u8]| line.is_ascii() && line.len() <= MAX_LINE && !line.contains(&0);
        self.whole && self.kind == Kind::Failed && self.original.split(|&b| b == b'\n').all(plain)
    }
}

impl Recipient {
    /// A status code in any case (RFC 3463 2).
    pub(super) fn status(&self, kind: Kind) -> String {
        let parts: Vec<&str> = self.status.split('.').collect();
        let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        // A server's permanent code for what is tried again all the same would tell a program that it has failed.
        let classes: &[&str] = match kind {
            Kind::Relayed => &["2"],
            Kind::Delayed => &["4"],
            Kind::Failed => &["4", "5"],
        };
        if classes.contains(&parts[0]) && parts.len() == 3 && parts.iter().all(number) {
            return self.status.clone();
        }
        match kind {
            Kind::Failed if self.expired => "4.4.7",
            Kind::Failed => "5.0.0",
            Kind::Delayed => "4.0.0",
            Kind::Relayed => "2.0.0",
        }
        .to_owned()
    }
}
