//! What lanes ask the queue for, and what became of an attempt.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Decisions, LaneName, Message, MessageId, NewMessage, NewSentCopy, RecipientState};
use crate::config::{DoubtPause, Upstream};
use crate::limits::{AccountKey, Amount, Ceilings, Scope, Wait};
use crate::mail::QueueId;
use crate::time::Moment;

/// What an account could send now of a lane's mail.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The lane.
    pub lane: LaneName,
    /// The account that would send it, whose permits are taken.
    pub account: AccountKey,
    /// The limits in force for what its transactions count in. A scope that is left out has none.
    pub ceilings: Vec<(Scope, Ceilings)>,
    /// Messages at most: the connections at hand.
    pub messages: u32,
    /// Recipients in one transaction at most; a larger envelope is split.
    pub recipients_per_message: u32,
    /// Mail that the account can't take. It is passed over, and its submitters keep their turns for other accounts.
    pub unfit: Arc<HashSet<MessageId>>,
    /// Octets of one message at most; what is larger is passed over likewise.
    pub max_size: Option<u64>,
}

/// What a claim brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Messages under a lease, the first to go first. Their permits are recorded.
    Messages {
        /// At least one.
        leased: Vec<Leased>,
        /// When the next message is due, if one is waiting. In the past: it is due, but there was no room for it, or no
        /// connection.
        more: Option<Moment>,
    },
    /// Mail is due that the account could take, and there is no room for it: why, and until when.
    Blocked(Wait),
    /// Nothing is due that the account could take.
    Empty {
        /// When something is due next, if something is waiting. What is passed over does not count.
        next_due: Option<Moment>,
    },
}

/// The right to settle a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The message.
    pub id: MessageId,
    /// What tells this lease of the message from others.
    pub token: u64,
}

/// A message under a lease, for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// What [`Claims::settle`](crate::store::Claims::settle) wants to see.
    pub lease: Lease,
    /// The message, with the recipients of this attempt: of those that are due, the ones that have been for longest.
    pub message: Message,
    /// Whether the sender has been warned of the delay.
    pub warned: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// How many other recipients are still waiting, due or not.
    pub others_waiting: u32,
    /// Whether a copy for a Sent folder was made already, after another transaction.
    pub copied: bool,
}

/// Which messages of a lane have waited too long. Ages leave out what was waited for limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueClaim {
    /// The lane.
    pub lane: LaneName,
    /// The age at which a message expires; `None` when none may end without another attempt.
    pub expired_after: Option<Duration>,
    /// The age at which its sender is to be warned, once.
    pub warn_after: Option<Duration>,
    /// How long the lane has waited for limits until now; see [`NewMessage::limit_wait`].
    pub limit_wait: Duration,
    /// Messages at most.
    pub messages: u32,
}

/// A message that has waited too long. No permit was taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The message, with all recipients that wait.
    pub leased: Leased,
    /// Whether it has expired; else its sender is to be warned.
    pub expired: bool,
}

/// What became of one recipient in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The place in the envelope.
    pub index: u32,
    /// `Waiting` when it was deferred.
    pub state: RecipientState,
    /// The reply, or what happened in words.
    pub reply: String,
    /// Whether it was an attempt for this recipient.
    pub counts: bool,
    /// Whether it failed for the message's own sake, not by the upstream's trouble.
    pub failed: bool,
    /// Whether the upstream may have the message though it has not said so.
    pub doubtful: bool,
    /// How long it rests when it still waits; `None`: it is due at once.
    pub again_in: Option<Duration>,
    /// Whether its own mailbox has taken it, which clears what was held against that. Never in test mode.
    pub reached: bool,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The lease, which ends by this.
    pub lease: Lease,
    /// For each recipient that was looked at; the others stay as they are.
    pub deliveries: Vec<Delivery>,
    /// Whether it was an attempt for the message.
    pub counts: bool,
    /// Whether the sender has now been warned of the delay.
    pub warned: bool,
    /// Whether what still waits is kept until a person releases it.
    pub hold: bool,
    /// What the provider has counted; `None` gives the permit back.
    pub used: Option<Amount>,
    /// Our reports about it, queued in the same transaction.
    pub reports: Vec<NewMessage>,
    /// A copy for a Sent folder, made in the same transaction; none if there was one.
    pub copy: Option<NewSentCopy>,
}

/// What a start found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Messages in the queue.
    pub messages: u64,
    /// What became of contents that belonged to no message.
    pub orphans: Orphans,
}

/// A message that was under a lease when the relay ended: it may be sent twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// Its name.
    pub queue_id: QueueId,
    /// By which upstream it was tried.
    pub upstream: String,
    /// How long it rests; `None` when it is due at once.
    pub again_in: Option<Duration>,
}

impl CutOff {
    /// What is noted of its recipients.
    pub const REPLY: &str =
        "broken off: the relay was ended in the middle of an attempt, so that it may have been sent";
}

/// How long mail rests whose attempt was cut off, where the upstream may go on with it; by any other it is due at once.
#[derive(Debug, Clone, Default)]
pub struct DoubtPauses(HashMap<String, DoubtPause>);

impl FromIterator<(String, DoubtPause)> for DoubtPauses {
    fn from_iter<T: IntoIterator<Item = (String, DoubtPause)>>(pauses: T) -> Self {
        Self(pauses.into_iter().collect())
    }
}

impl DoubtPauses {
    /// As these upstreams are.
    #[must_use]
    pub fn new(upstreams: &[Arc<Upstream>]) -> Self {
        let pause = |upstream: &Arc<Upstream>| Some((upstream.name.clone(), upstream.doubt_pause()?));
        upstreams.iter().filter_map(pause).collect()
    }

    /// Of mail that the upstream of this name may have.
    #[must_use]
    pub fn of(&self, upstream: &str) -> Option<DoubtPause> {
        self.0.get(upstream).copied()
    }
}

/// Contents that belong to no message, as a start has found them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orphans {
    /// Removed: nobody had been told that they were taken, or their messages had left the queue.
    pub removed: u64,
    /// Set aside: they may have been acknowledged.
    pub aside: Vec<QueueId>,
    /// Where these are now.
    pub folder: PathBuf,
}

/// A sender that has mail in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneSender {
    /// The lane.
    pub lane: LaneName,
    /// The address that routing goes by.
    pub sender: String,
}

/// Where a message under a lease goes that the upstream of its lane can't carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedMove {
    /// Its lease, which ends.
    pub lease: Lease,
    /// The lane in which it stands from now on.
    pub to: LaneName,
    /// Milliseconds that make its age count from later, as in [`LaneMove`].
    pub credit: i64,
    /// What holds for it from now on: by which upstream it goes, above all.
    pub decisions: Decisions,
    /// What the provider has counted, where it was tried; `None` gives the permit back.
    pub used: Option<Amount>,
}

/// Where a sender's mail goes from the lane in which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneMove {
    /// The address that routing goes by.
    pub sender: String,
    /// The lane in which it stands from now on.
    pub to: LaneName,
    /// Milliseconds that make its age count from later: what the old lane had waited for limits less what the new one
    /// has.
    pub credit: i64,
    /// Whether mail goes with it that a person has sent by this very upstream: only when its lane is no more.
    pub with_decided: bool,
}
