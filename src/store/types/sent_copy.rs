//! Copies for Sent folders: what was sent, until its copy lies in the folder.

use std::time::Duration;

use crate::content::Content;
use crate::limits::AccountKey;
use crate::mail::QueueId;
use crate::time::Moment;

/// Copies of one account that may wait; what is more is not copied.
pub const MOST_COPIES: u64 = 10_000;

/// Octets of one account's copies that may wait; what is more is not copied.
pub const MOST_COPY_OCTETS: u64 = 1 << 30;

/// A copy's key in the store. No key is used twice while copies wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SentCopyId(pub i64);

/// A copy that is to be made of a message, since an upstream has taken it. The store stamps when that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSentCopy {
    /// Names its content.
    pub copy_id: QueueId,
    /// The message.
    pub queue_id: QueueId,
    /// By whom it went, and in whose folder the copy belongs.
    pub account: AccountKey,
    /// The octets that the upstream has taken.
    pub content: Content,
}

/// A copy that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCopy {
    /// What [`SentCopies::end_copy`](crate::store::SentCopies::end_copy) wants to see.
    pub id: SentCopyId,
    /// The message.
    pub queue_id: QueueId,
    /// When the upstream took it, by the wall clock, in milliseconds since 1970.
    pub sent_wall: i64,
    /// The same on the time line.
    pub made: Moment,
    /// Tries so far: all of them have failed.
    pub tries: u32,
    /// What was sent.
    pub content: Content,
}

/// What an account has to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextCopy {
    /// This one, now.
    Due(Box<SentCopy>),
    /// Something, then.
    Later(Moment),
    /// Nothing.
    None,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyEnd {
    /// It lies in the folder, or will never: it is forgotten.
    Over,
    /// It failed.
    Again {
        /// How long the copy rests.
        after: Duration,
        /// Why, in words.
        reason: String,
    },
}

/// The copies of an account that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingCopies {
    /// Whose they are.
    pub account: AccountKey,
    /// How many.
    pub copies: u64,
    /// Their octets.
    pub octets: u64,
    /// Since when the oldest waits.
    pub oldest: Moment,
    /// Why the last try failed; empty when none has.
    pub reason: String,
}

/// A copy that has waited too long, and is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredCopy {
    /// The message.
    pub queue_id: QueueId,
    /// Whose it was.
    pub account: AccountKey,
    /// Tries, all of which have failed.
    pub tries: u32,
    /// Why the last one failed; empty when there was none.
    pub reason: String,
}
