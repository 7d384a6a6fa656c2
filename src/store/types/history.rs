//! What became of mail: an entry for each recipient that has ended, and contents that are kept for sending them again.

use std::time::Duration;

use super::{Decisions, RecipientState, StoredLabel};
use crate::config::{ByteSize, HistorySettings, TestAction};
use crate::content::Content;
use crate::mail::{Body, MessageRequest, QueueId, ReversePath};
use crate::time::Moment;

/// Entries of the history at most; when there are more, the oldest go.
pub const MOST_HISTORY: u64 = 5_000_000;

/// Octets of a reply that the history keeps.
pub const LONGEST_KEPT_REPLY: usize = 500;

/// How a recipient has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecipientEnd {
    /// An upstream took it.
    Sent,
    /// Failed for good.
    Bounced,
    /// Outlived the queue.
    Expired,
    /// The blacklist dropped it.
    Dropped,
    /// In the local mailbox.
    Captured,
    /// A person has deleted the message before.
    Deleted,
}

impl RecipientEnd {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Sent, Self::Bounced, Self::Expired, Self::Dropped, Self::Captured, Self::Deleted];

    /// The one that a state is; `None` for one that is not final.
    #[must_use]
    pub fn of(state: RecipientState) -> Option<Self> {
        match state {
            RecipientState::Waiting | RecipientState::Sending => None,
            RecipientState::Sent => Some(Self::Sent),
            RecipientState::Bounced => Some(Self::Bounced),
            RecipientState::Expired => Some(Self::Expired),
            RecipientState::Dropped => Some(Self::Dropped),
            RecipientState::Captured => Some(Self::Captured),
        }
    }

    /// The name in output, and of the total that it counts into.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::Captured => "captured",
            Self::Deleted => "deleted",
        }
    }
}

/// What is kept of mail that has left, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRules {
    /// How long entries are kept; `None` keeps none.
    pub entries: Option<Duration>,
    /// How long contents are kept after their messages have left; `None` keeps none.
    pub contents: Option<Duration>,
    /// While less than so many octets are free on the disk no content is kept, and the oldest ones go.
    pub free_disk: u64,
}

impl HistoryRules {
    /// Those of a configuration. Contents that are only kept give way long before mail is refused for want of room.
    #[must_use]
    pub fn new(settings: &HistorySettings, min_free_disk: ByteSize) -> Self {
        const LEAST: u64 = 128 << 20;
        Self {
            entries: settings.entries,
            contents: settings.contents,
            free_disk: min_free_disk.0.max(LEAST).saturating_mul(2),
        }
    }
}

/// An entry's key. Keys grow with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HistoryId(pub i64);

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The key.
    pub id: HistoryId,
    /// The message.
    pub queue_id: QueueId,
    /// Its Message-ID, and its subject where that is kept.
    pub label: StoredLabel,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// The recipient: in test mode the one that the message was for.
    pub to: String,
    /// How it has ended.
    pub end: RecipientEnd,
    /// The upstream; empty where none was tried.
    pub upstream: String,
    /// The last reply, or what happened in words, as far as it is kept.
    pub reply: String,
    /// What test mode has made of it.
    pub test: Option<TestAction>,
    /// Attempts for this recipient.
    pub attempts: u32,
    /// Octets of the message.
    pub size: u64,
    /// When the message was accepted, by the wall clock, in milliseconds since 1970.
    pub accepted_wall: i64,
    /// When it has ended, by the wall clock, in milliseconds since 1970.
    pub at_wall: i64,
}

/// Which entries are looked for; all that is said must hold. Addresses are meant in any spelling.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistorySearch {
    /// For this recipient.
    pub to: Option<String>,
    /// With this reverse-path; an empty one is that of reports.
    pub from: Option<String>,
    /// With this in the subject, in upper or lower case.
    pub subject: Option<String>,
    /// With this Message-ID, with or without angle brackets.
    pub message_id: Option<String>,
    /// Of this message.
    pub queue_id: Option<QueueId>,
    /// Not before then.
    pub since: Option<Moment>,
    /// Older than this one; the newest first when `None`.
    pub before: Option<HistoryId>,
    /// Entries at most.
    pub limit: u32,
}

/// Entries that fit, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryPage {
    /// They may be fewer than wanted, or none, though more follow: the search goes on behind `next`.
    pub entries: Vec<HistoryEntry>,
    /// Before which entry the next page begins; `None` at the end.
    pub next: Option<HistoryId>,
}

/// What was forgotten of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Entries of it as a recipient, or of mail from it.
    pub entries: u64,
    /// Contents of that mail.
    pub contents: u64,
}

/// A message that has left, with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMessage {
    /// The name that it had.
    pub queue_id: QueueId,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// The address that routing went by.
    pub sender: String,
    /// What the client declared.
    pub body: Body,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    /// What else the client asked for.
    pub request: MessageRequest,
    /// What was decided about it, as of when it left.
    pub decisions: Decisions,
    /// By what it is found.
    pub label: StoredLabel,
    /// The content as stored.
    pub content: Content,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_give_way_before_mail_is_refused() {
        let settings = HistorySettings { entries: None, subject: false, contents: None };
        for (min_free_disk, want) in [(0, 256 << 20), (256 << 20, 512 << 20), (u64::MAX, u64::MAX)] {
            let rules = HistoryRules::new(&settings, ByteSize(min_free_disk));
            assert_eq!(rules.free_disk, want);
        }
    }
}
