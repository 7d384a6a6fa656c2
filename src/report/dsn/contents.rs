//! What a report tells, before it is written.

use jiff::Timestamp;

use crate::mail::{Address, EnvelopeId, OriginalRecipient, QueueId};

/// Characters of a reply that are shown at most.
pub(super) const MAX_REPLY: usize = 1_000;
/// The longest line of a content that is sent back whole, its CR included, in octets.
const MAX_LINE: usize = 999;

/// What a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Recipients were refused for good.
    Failed,
    /// Recipients outlived the queue.
    Expired,
    /// Recipients are waiting, and go on waiting.
    Delayed,
    /// A server that sends no reports of success has taken them (RFC 3461 5.2.2).
    Relayed,
}

impl Kind {
    /// What has happened, in the words of RFC 3464 2.3.3.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Failed | Self::Expired => "failed",
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
    /// The upstream's host; `None` when no upstream spoke.
    pub host: Option<String>,
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

/// A report, ready to be written.
#[derive(Debug, Clone, Copy)]
pub struct Dsn<'a> {
    /// What it says.
    pub kind: Kind,
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
    /// `original` is complete, and the client wants it back with a failure (RET=FULL). It goes back whole where it is
    /// in 7 bits and lines that every server takes; else its header does.
    pub whole: bool,
    /// The recipients that it is about; at least one.
    pub recipients: &'a [Recipient],
}

impl Dsn<'_> {
    /// Whether all of the original is sent back: an attached message can't be encoded (RFC 2046 5.2.1).
    pub(super) fn returns_all(&self) -> bool {
        let failure = matches!(self.kind, Kind::Failed | Kind::Expired);
        let plain = |line: &[u8]| line.is_ascii() && line.len() <= MAX_LINE && !line.contains(&0);
        self.whole && failure && self.original.split(|&b| b == b'\n').all(plain)
    }
}

impl Recipient {
    /// A status code in any case (RFC 3463 2).
    pub(super) fn status(&self, kind: Kind) -> String {
        let parts: Vec<&str> = self.status.split('.').collect();
        let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let classes: &[&str] = if kind == Kind::Relayed { &["2"] } else { &["4", "5"] };
        if classes.contains(&parts[0]) && parts.len() == 3 && parts.iter().all(number) {
            return self.status.clone();
        }
        match kind {
            Kind::Failed => "5.0.0",
            Kind::Expired => "4.4.7",
            Kind::Delayed => "4.0.0",
            Kind::Relayed => "2.0.0",
        }
        .to_owned()
    }
}
