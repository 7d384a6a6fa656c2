//! What is claimed for an attempt, and what became of it.

use super::{MessageId, NewMessage, QueuedMessage, RecipientState};
use crate::config::Window;
use crate::mail::QueueId;
use crate::time::Moment;

/// What may go in one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The lane.
    pub route: String,
    /// The upstream that carries the mail.
    pub upstream: String,
    /// The account whose permits are taken.
    pub account: String,
    /// The present moment.
    pub now: Moment,
    /// When the lease ends by itself.
    pub lease_until: Moment,
    /// Messages at most.
    pub messages: u32,
    /// Recipients at most, all messages together.
    pub recipients: u32,
    /// Recipients of one message at most.
    pub recipients_per_message: u32,
}

/// What a claim brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// Messages under a lease, the first to go first. Their permits are recorded.
    pub messages: Vec<QueuedMessage>,
    /// When the next message of the route is due, if one is waiting. In the past: it is due, but did not fit.
    pub next_due: Option<Moment>,
    /// Recipients that the first message that did not fit would need.
    pub next_recipients: Option<u32>,
}

/// Which messages are overdue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueClaim {
    /// The lane.
    pub route: String,
    /// The present moment.
    pub now: Moment,
    /// When the lease ends by itself.
    pub lease_until: Moment,
    /// Messages whose age counts from before this have expired; `None` when none may end without another attempt.
    pub expired_before: Option<i64>,
    /// Messages that were not yet warned about and whose age counts from before this.
    pub warn_before: Option<i64>,
    /// Messages at most.
    pub messages: u32,
}

/// What became of one recipient in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the envelope.
    pub index: u32,
    /// `Waiting` when it was deferred.
    pub state: RecipientState,
    /// The reply, or what happened in words.
    pub reply: String,
    /// Whether it was an attempt for this recipient.
    pub counts: bool,
    /// Whether it failed for the message's own sake, not by the upstream's trouble.
    pub failed: bool,
    /// The mailbox does not exist: count that, and blacklist it when it has happened often enough.
    pub blacklist: Option<BlacklistCandidate>,
}

/// An address whose mailbox does not exist, as a permanent reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlacklistCandidate {
    /// The address.
    pub address: String,
    /// It goes on the list after so many of these.
    pub after: u32,
    /// When it happened, by the wall clock in milliseconds since 1970.
    pub added: i64,
    /// When the entry ends; `None` is never.
    pub expires: Option<Moment>,
}

/// The end of a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// The upstream.
    pub upstream: String,
    /// The account.
    pub account: String,
    /// When the transaction ended.
    pub ended: Moment,
    /// Messages that the provider counted.
    pub messages: u32,
    /// Recipients that the provider counted.
    pub recipients: u32,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The message.
    pub id: MessageId,
    /// For each recipient that was looked at; the others stay as they are.
    pub deliveries: Vec<Delivery>,
    /// When the recipients that still wait are due; `None` leaves it as it is.
    pub next_attempt: Option<Moment>,
    /// Whether it was an attempt for the message.
    pub counts: bool,
    /// Whether the sender has now been warned of the delay.
    pub warned: bool,
    /// What it used of the limits; `None` gives the permit back.
    pub permit: Option<Permit>,
    /// Our reports about it, queued in the same transaction.
    pub reports: Vec<NewMessage>,
}

/// What a start found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Messages in the queue.
    pub messages: u64,
    /// Messages whose last outcome is unknown: they may be sent twice.
    pub unknown: Vec<QueueId>,
    /// Content files that belonged to no message.
    pub orphans: u64,
}

/// A sender whose messages take a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The lane.
    pub route: String,
    /// The sender.
    pub sender: String,
}

/// What was counted in one slot of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The upstream.
    pub upstream: String,
    /// The account.
    pub account: String,
    /// The window.
    pub window: Window,
    /// The slot's number; see `throttle`.
    pub slot: i64,
    /// Messages.
    pub messages: u32,
    /// Recipients.
    pub recipients: u32,
}

/// Why an upstream or an account sends nothing, beyond a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The upstream.
    pub upstream: String,
    /// The account; `None` is all of them.
    pub account: Option<String>,
    /// What it is.
    pub kind: StandingKind,
    /// When it ends by itself.
    pub until: Option<Moment>,
    /// Why, in words.
    pub reason: String,
}

/// What keeps an upstream or an account from sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandingKind {
    /// The provider's word, for a while.
    Paused = 0,
    /// A fault of the configuration: until a reload, or a person says so.
    Stopped = 1,
    /// A person: until a person says so.
    Disabled = 2,
}
