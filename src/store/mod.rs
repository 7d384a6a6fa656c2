//! The only place that makes things durable: the queue, the counters, the blacklist, the switches.
//!
//! Level 2. The trait speaks the relay's own words; each call is one transaction, and what it reports as done is on
//! disk. [`sqlite`] is the embedded store; one that several relays share can stand beside it.

pub mod sqlite;
mod types;

use async_trait::async_trait;

pub use types::{
    Ahead, BlacklistCandidate, BlacklistEntry, BlacklistSource, Claim, Claimed, ClientInfo, Content, Counts,
    Delivery, EnqueueError, Handover, ListFilter, Load, MessageId, MessageKind, MessageState, NewMessage,
    NewPermit, NewRecipient, OverdueClaim, Permit, PermitId, Priority, QueuedMessage, QueuedRecipient,
    RecipientState, Recovered, Route, Settlement, Standing, StandingKind, StoreError, StoredContent, Summary,
    SummaryRecipient, TestTreatment, Totals, Treatment, UsageRow,
};

use crate::config::Window;
use crate::mail::QueueId;
use crate::time::{Anchor, Moment};

/// Durable state of the relay. Each call is atomic, and durable when it returns `Ok`.
#[async_trait]
pub trait Store: Send + Sync {
    /// Takes a message into the queue. Only after this may a client read 250.
    ///
    /// # Errors
    /// When the queue is full or the store can't make it durable: then nothing was taken.
    async fn enqueue(&self, message: NewMessage) -> Result<(), EnqueueError>;

    /// Whether the store believes its own commits at present.
    ///
    /// # Errors
    /// With the reason why it accepts nothing.
    fn healthy(&self) -> Result<(), StoreError>;

    /// Messages in the queue now.
    fn queue_length(&self) -> u64;

    /// What waits in a lane, due or deferred. Costs a look-up in memory.
    fn lane_load(&self, route: &str) -> Load;

    /// What of its lane goes before a message, of what is due by `now`. `None` when it is held or unknown; nothing while it
    /// is being sent.
    async fn ahead(&self, queue_id: QueueId, now: Moment) -> Result<Option<Ahead>, StoreError>;

    /// Takes due messages of one route under a lease, and records their permits. Turns are shared between submitters
    /// ([`ClientInfo::submitter`]).
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// Takes messages under a lease that have outlived the lifetime (or the time after which to warn).
    async fn claim_overdue(&self, claim: OverdueClaim) -> Result<Vec<QueuedMessage>, StoreError>;

    /// Records what became of an attempt, ends its permit and its lease, queues the report.
    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError>;

    /// Gives up leases of messages that were not tried: they are due again, and their permits are returned.
    async fn hand_back(&self, messages: Vec<MessageId>) -> Result<(), StoreError>;

    /// Records a permit for a transaction that has no message in the queue.
    async fn take_permit(&self, permit: NewPermit) -> Result<PermitId, StoreError>;

    /// Records what became of such a transaction, and ends its permit. Told twice, it counts once.
    async fn hand_over(&self, handover: Handover) -> Result<(), StoreError>;

    /// Voids the leases of a dead predecessor; permits whose outcome is unknown count as ended now.
    async fn recover(&self, now: Moment) -> Result<Recovered, StoreError>;

    /// All senders in the queue with the route they have, for routing them again after a change.
    async fn routes(&self) -> Result<Vec<Route>, StoreError>;

    /// Moves waiting messages of a sender from one route to another. `credit` is added to their age.
    async fn reroute(&self, from: Route, to: String, credit: i64) -> Result<(), StoreError>;

    /// Makes all waiting messages of a route due at `now`.
    async fn make_due(&self, route: String, now: Moment) -> Result<(), StoreError>;

    /// What was counted in each window, for all accounts.
    async fn usage(&self) -> Result<Vec<UsageRow>, StoreError>;

    /// Forgets what was counted.
    async fn reset_usage(&self, upstream: String, windows: Vec<Window>) -> Result<(), StoreError>;

    /// Forgets counts that have left their windows.
    async fn prune_usage(&self, now: Moment) -> Result<(), StoreError>;

    /// How long each route has waited for limits, in milliseconds.
    async fn limit_waits(&self) -> Result<Vec<(String, i64)>, StoreError>;

    /// Notes how long a route has waited for limits.
    async fn set_limit_wait(&self, route: String, millis: i64) -> Result<(), StoreError>;

    /// What keeps upstreams and accounts from sending beyond a restart.
    async fn standings(&self) -> Result<Vec<Standing>, StoreError>;

    /// Notes one, in place of one of the same kind.
    async fn set_standing(&self, standing: Standing) -> Result<(), StoreError>;

    /// Forgets those of these kinds, of an upstream or of all.
    async fn clear_standings(
        &self,
        upstream: Option<String>,
        kinds: Vec<StandingKind>,
    ) -> Result<(), StoreError>;

    /// The entry that covers a recipient (address, `@domain`, `*.domain`; expired ones left out).
    async fn blacklist_match(
        &self,
        address: String,
        now: Moment,
    ) -> Result<Option<BlacklistEntry>, StoreError>;

    /// All entries, ordered.
    async fn blacklist(&self) -> Result<Vec<BlacklistEntry>, StoreError>;

    /// Adds or replaces an entry.
    async fn blacklist_add(&self, entry: BlacklistEntry) -> Result<(), StoreError>;

    /// Removes an entry; false when there was none.
    async fn blacklist_remove(&self, pattern: String) -> Result<bool, StoreError>;

    /// Messages in the queue, oldest first.
    async fn list(&self, filter: ListFilter) -> Result<Vec<Summary>, StoreError>;

    /// One message with all its recipients.
    async fn show(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError>;

    /// The content as stored.
    async fn content(&self, queue_id: QueueId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Makes one message (or, with `None`, all) due at `now`. Returns how many.
    async fn retry(&self, queue_id: Option<QueueId>, now: Moment) -> Result<u64, StoreError>;

    /// Keeps a message that is not being sent until it is released; false when it is unknown.
    async fn hold(&self, queue_id: QueueId) -> Result<bool, StoreError>;

    /// Makes a held message due at `now`, to be treated like this from now on; false when it is not held.
    async fn release(
        &self,
        queue_id: QueueId,
        test: Option<TestTreatment>,
        now: Moment,
    ) -> Result<bool, StoreError>;

    /// Removes a message that is not being sent; `Ok(None)` when it is unknown.
    async fn delete(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError>;

    /// Messages by state.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// The sums since the store was made.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// A switch that lasts over restarts.
    async fn switch(&self, key: &'static str) -> Result<Option<String>, StoreError>;

    /// Sets a switch.
    async fn set_switch(&self, key: &'static str, value: String) -> Result<(), StoreError>;

    /// The last process's tie to the clocks.
    async fn anchor(&self) -> Result<Option<Anchor>, StoreError>;

    /// Notes our tie to the clocks.
    async fn set_anchor(&self, anchor: Anchor) -> Result<(), StoreError>;
}
