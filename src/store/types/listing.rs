//! What people ask about: the queue, the blacklist, the sums.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ClientInfo, Decisions, LaneName, MessageId, RecipientState};
use crate::limits::Load;
use crate::mail::QueueId;
use crate::time::Moment;

/// What a message in the queue is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// Not tried yet.
    Ready,
    /// Tried, and waiting for its next attempt.
    Deferred,
    /// Waiting for a person.
    Held,
    /// In an attempt.
    Sending,
}

impl MessageState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Deferred, Self::Held, Self::Sending];

    /// The name in commands and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Deferred => "deferred",
            Self::Held => "held",
            Self::Sending => "sending",
        }
    }
}

/// Which messages a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListFilter {
    /// Of this upstream.
    pub upstream: Option<String>,
    /// In this state.
    pub state: Option<MessageState>,
    /// From this sender or reverse-path, in any spelling.
    pub sender: Option<String>,
    /// For this recipient, in any spelling.
    pub recipient: Option<String>,
    /// Those that were taken in behind this one; all when `None`. With the last of an answer the next one begins.
    pub after: Option<MessageId>,
    /// Messages at most.
    pub limit: u32,
}

/// A walk over held messages, in the order of their keys, a portion at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldWalk {
    /// Which of them; how many a list may show does not matter here.
    pub filter: ListFilter,
    /// The walk goes on behind this one.
    pub after: MessageId,
    /// And ends with this one.
    pub up_to: MessageId,
    /// Messages that are looked at, at most, whether they fit or not.
    pub most: u32,
}

/// A message that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// The key.
    pub id: MessageId,
    /// The name.
    pub queue_id: QueueId,
    /// Recipients that are not settled.
    pub recipients: u64,
    /// What was decided about it.
    pub decisions: Decisions,
}

/// What a portion of such a walk has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldPortion {
    /// Those that fit.
    pub messages: Vec<HeldMessage>,
    /// Behind which message the next portion begins; `None` at the end.
    pub next: Option<MessageId>,
}

/// A held message that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRelease {
    /// Its key.
    pub id: MessageId,
    /// What was decided about it as far as whoever releases it knows. One about which something else is decided stays.
    pub known: Decisions,
    /// What holds for it from now on.
    pub decisions: Decisions,
}

/// A recipient in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRecipient {
    /// The forward-path.
    pub address: String,
    /// What became of it.
    pub state: RecipientState,
    /// Attempts so far.
    pub attempts: u32,
    /// Those of them after which the upstream may have the message though it has not said so.
    pub doubts: u32,
    /// Until when it rests for its own sake.
    pub due: Moment,
    /// The last reply.
    pub reply: String,
}

/// A message in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The key in the store.
    pub id: MessageId,
    /// The name.
    pub queue_id: QueueId,
    /// What it is doing.
    pub state: MessageState,
    /// The lane in which it stands.
    pub lane: LaneName,
    /// The reverse-path.
    pub reverse_path: String,
    /// The address that routing goes by.
    pub sender: String,
    /// All recipients.
    pub recipients: Vec<SummaryRecipient>,
    /// Octets.
    pub size: u64,
    /// Who handed it in.
    pub client: ClientInfo,
    /// By the wall clock, in milliseconds since 1970.
    pub accepted_wall: i64,
    /// When it is due.
    pub due: Moment,
    /// Attempts so far.
    pub attempts: u32,
    /// What was decided about it when it was accepted.
    pub decisions: Decisions,
}

impl Summary {
    /// Whether it waits for the time of day that a rule has set; a person who wants it sent at once has made it due.
    #[must_use]
    pub fn is_scheduled(&self, now: Moment) -> bool {
        self.attempts == 0 && self.decisions.ruled.delay_until.is_some() && self.due > now
    }
}

/// Messages by state. The control interface shows it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct QueueCounts {
    /// Not yet tried.
    pub ready: u64,
    /// Tried, and waiting for the next attempt.
    pub deferred: u64,
    /// Waiting for a person.
    pub held: u64,
    /// In an attempt.
    pub sending: u64,
}

/// How the queue is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueFigures {
    /// Messages by state.
    pub counts: QueueCounts,
    /// When the oldest message was accepted, whatever its state.
    pub oldest: Option<Moment>,
    /// What waits by lane, neither held nor in an attempt; lanes without mail may be missing.
    pub waiting: Vec<(LaneName, Load)>,
    /// The sums since the store was made, all but `queued`, which is left at 0.
    pub totals: Totals,
}

/// Messages of clients in the queue, by what test mode makes of them. The control interface shows it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TestModeCounts {
    /// No tests: accepted while test mode was off, they go to their recipients.
    pub outside_test_mode: u64,
    /// No tests either, and held: they go to their recipients when a person releases them.
    pub outside_test_mode_held: u64,
    /// Tests: they do not reach their recipients, whatever happens later.
    pub tests: u64,
    /// Tests that are held until a person releases or deletes them.
    pub tests_held: u64,
}

/// Recipients since the store was made:
/// `accepted + generated = sent + bounced + expired + dropped + captured + deleted + queued`. The control interface shows
/// it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// From clients.
    pub accepted: u64,
    /// Of our own reports.
    pub generated: u64,
    /// Taken by an upstream.
    pub sent: u64,
    /// Failed for good.
    pub bounced: u64,
    /// Outlived the queue.
    pub expired: u64,
    /// Dropped by the blacklist.
    pub dropped: u64,
    /// In the local mailbox.
    pub captured: u64,
    /// Deleted by a person.
    pub deleted: u64,
    /// Not settled yet, counted in the queue itself.
    pub queued: u64,
}
