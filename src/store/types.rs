//! The words that the relay and its store share.

use std::path::PathBuf;

use crate::config::{TestAction, Window};
use crate::mail::{Address, Body, MessageRequest, QueueId, RecipientRequest, ReversePath};
use crate::time::Moment;

/// A message's key in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub i64);

/// Who handed a message in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientInfo {
    /// The client's IP address.
    pub address: String,
    /// What it called itself in EHLO or HELO.
    pub helo: String,
    /// The user that it logged in as.
    pub user: Option<String>,
    /// The listener that it came in by.
    pub listener: String,
}

/// Where the content is when a message is handed to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredContent {
    /// The octets themselves.
    Inline(Vec<u8>),
    /// A file `DATA_DIR/content/QUEUE_ID`, already synced together with its folder; its size in octets.
    File(u64),
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A client handed it in.
    Submitted,
    /// Our own report (RFC 3464).
    Report,
}

/// Which of several due messages goes first. Reports go before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Our own reports.
    Report = 0,
    /// Before normal mail.
    High = 1,
    /// What mail has when nobody says.
    Normal = 2,
    /// After normal mail.
    Low = 3,
}

impl Priority {
    /// What MT-PRIORITY (RFC 6710) means here: above 0 is high, below is low.
    #[must_use]
    pub fn asked(priority: Option<i8>) -> Self {
        match priority.unwrap_or_default() {
            1.. => Self::High,
            0 => Self::Normal,
            _ => Self::Low,
        }
    }
}

/// The test mode that was in force when a message was accepted; it never changes by a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestTreatment {
    /// What is done with the message.
    pub action: TestAction,
    /// Where it goes when redirected.
    pub address: Option<Address>,
}

/// A recipient as it enters the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecipient {
    /// The forward-path.
    pub address: Address,
    /// Accepted from the client but dropped (blacklist): counted, never sent.
    pub dropped: bool,
    /// The reports that the client asked for.
    pub request: RecipientRequest,
}

/// A message as it enters the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its name.
    pub queue_id: QueueId,
    /// Submitted or a report.
    pub kind: MessageKind,
    /// Which of several due messages goes first.
    pub priority: Priority,
    /// The upstream that it will probably take; decided again at every attempt.
    pub route: String,
    /// When it was accepted, on the time line.
    pub accepted: Moment,
    /// When it was accepted by the wall clock, in milliseconds since 1970.
    pub accepted_wall: i64,
    /// How long the route had waited for limits until then; see [`Store::set_limit_wait`](super::Store::set_limit_wait).
    pub limit_wait: i64,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// The address that routing goes by, lower case; empty for a report of unknown origin.
    pub sender: String,
    /// What the client declared.
    pub body: Body,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    /// What else the client asked for.
    pub request: MessageRequest,
    /// Who handed it in.
    pub client: ClientInfo,
    /// The test mode in force.
    pub test: Option<TestTreatment>,
    /// Whether it waits for a person.
    pub held: bool,
    /// At least one.
    pub recipients: Vec<NewRecipient>,
    /// The content with our Received header.
    pub content: StoredContent,
}

/// The content of a queued message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The octets themselves.
    Inline(Vec<u8>),
    /// A file that holds them.
    File(PathBuf),
}

/// What became of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecipientState {
    /// It has not been settled.
    Waiting,
    /// It is in an attempt.
    Sending,
    /// An upstream took it.
    Sent,
    /// It failed for good; a report was made.
    Bounced,
    /// It outlived the queue; a report was made.
    Expired,
    /// The blacklist dropped it.
    Dropped,
    /// It is in the local mailbox.
    Captured,
}

impl RecipientState {
    /// Its name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::Captured => "captured",
        }
    }
}

/// A recipient of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// Its place in the envelope, from 0.
    pub index: u32,
    /// The forward-path.
    pub address: Address,
    /// Attempts so far.
    pub attempts: u32,
    /// Those of them that failed for the message's own sake, not by the upstream's trouble.
    pub failures: u32,
    /// The last reply, empty when there was none.
    pub last_reply: String,
    /// The reports that the client asked for.
    pub request: RecipientRequest,
}

/// A message under a lease: what an attempt needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Its key.
    pub id: MessageId,
    /// Its name.
    pub queue_id: QueueId,
    /// Submitted or a report.
    pub kind: MessageKind,
    /// The upstream whose queue it stands in.
    pub route: String,
    /// When it was accepted, on the time line.
    pub accepted: Moment,
    /// When it was accepted by the wall clock, in milliseconds since 1970.
    pub accepted_wall: i64,
    /// `accepted` less what the route had waited for limits until then: its age counts from here.
    pub age_base: i64,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// The address that routing goes by.
    pub sender: String,
    /// What the client declared.
    pub body: Body,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    /// What else the client asked for.
    pub request: MessageRequest,
    /// Who handed it in.
    pub client: ClientInfo,
    /// The test mode in which it was accepted.
    pub test: Option<TestTreatment>,
    /// Whether the sender has been warned of the delay.
    pub warned: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// The recipients of this attempt: of those that wait, the ones that were tried least often. The others of the
    /// envelope are settled, or wait for another transaction.
    pub recipients: Vec<QueuedRecipient>,
    /// How many other recipients are still waiting.
    pub others_waiting: u32,
    /// How many of those were tried no more often than the recipients of this attempt, and so are to go at once.
    pub others_at_once: u32,
    /// Octets.
    pub size: u64,
    /// The content with our Received header.
    pub content: Content,
}

/// What an attempt does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It goes to its recipients.
    Sent,
    /// One copy goes to the test address, whoever it was for.
    OneCopy,
    /// It goes into the local mailbox.
    Captured,
}

impl QueuedMessage {
    /// What an attempt does with it, by the test mode in which it was accepted.
    #[must_use]
    pub fn treatment(&self) -> Treatment {
        match self.test.as_ref().map(|test| test.action) {
            Some(TestAction::Redirect) => Treatment::OneCopy,
            Some(TestAction::Capture) => Treatment::Captured,
            // One that was held and is sent after all has been released, and then it is no test any more.
            Some(TestAction::Hold) | None => Treatment::Sent,
        }
    }

    /// The recipients that the provider will count for this attempt.
    #[must_use]
    pub fn permit(&self) -> u32 {
        match self.treatment() {
            Treatment::Sent => self.recipients.len() as u32,
            Treatment::OneCopy => 1,
            Treatment::Captured => 0,
        }
    }
}

/// What may go in one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The upstream.
    pub route: String,
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
    /// The upstream.
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
    /// The upstream.
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

/// How a blacklist entry came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlacklistSource {
    /// A person.
    Manual,
    /// A hard bounce.
    Bounce,
}

/// One entry of the blacklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlacklistEntry {
    /// An address, `@domain` or `*.domain`; lower case.
    pub pattern: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub source: BlacklistSource,
    /// When, by the wall clock in milliseconds since 1970.
    pub added: i64,
    /// When it ends, on the time line.
    pub expires: Option<Moment>,
}

/// What a message in the queue is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// It was not tried yet.
    Ready,
    /// It was tried, and waits for its next attempt.
    Deferred,
    /// It waits for a person.
    Held,
    /// It is in an attempt.
    Sending,
}

impl MessageState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Deferred, Self::Held, Self::Sending];

    /// Its name in commands and output.
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
    /// From this sender or reverse-path; lower case.
    pub sender: Option<String>,
    /// For this recipient; lower case.
    pub recipient: Option<String>,
    /// Messages at most.
    pub limit: u32,
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
    /// The last reply.
    pub reply: String,
}

/// A message in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub queue_id: QueueId,
    /// What it is doing.
    pub state: MessageState,
    /// The upstream.
    pub route: String,
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
    /// The test mode in which it was accepted.
    pub test: Option<TestTreatment>,
}

/// Messages by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Not yet tried.
    pub ready: u64,
    /// Tried, and waiting for the next attempt.
    pub deferred: u64,
    /// Waiting for a person.
    pub held: u64,
    /// In an attempt.
    pub sending: u64,
}

/// Recipients since the store was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A sync or a write failed: nothing is believed until a checkpoint has succeeded.
    #[error("the store's disk failed: {0}; mail is refused with 451 until a checkpoint succeeds")]
    Broken(String),
    /// The data base reported an error.
    #[error("the store failed: {0}")]
    Database(String),
    /// A file of the store could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another instance uses the same folder.
    #[error("{0} is in use by another mailsluice; stop that one first, or give this one another data_dir")]
    InUse(PathBuf),
    /// The store was written by a newer version.
    #[error("the store has schema version {found}, this program knows up to {known}; use a newer mailsluice")]
    Newer {
        /// In the store.
        found: i64,
        /// In this program.
        known: i64,
    },
    /// The store's own thread has ended: the relay is stopping.
    #[error("the store is closed")]
    Closed,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The configured ceiling was reached.
    #[error("the queue is full: {messages} messages of {limit}")]
    Full {
        /// In the queue.
        messages: u64,
        /// `[queue] max_messages`
        limit: u64,
    },
    /// The store could not make it durable.
    #[error("cannot store the message")]
    Store(#[from] StoreError),
}
