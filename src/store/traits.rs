//! What a store does, by who asks for it.
//!
//! Each call is one transaction, and what it reports as done lasts. No caller hands in a moment: the store stamps time by
//! the clock that it was given, and takes durations.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Ask, BlacklistEntry, BlacklistFilter, BlacklistPage, Claimed, CopyEnd, CutOff, Decisions, DoubtPauses,
    EnqueueError, ExpiredCopy, Forgotten, HeldPortion, HeldWalk, HistoryPage, HistoryRules, HistorySearch,
    ImportedEntry, KeptMessage, LaneMove, LaneName, LaneSender, Learned, LearnedMailbox, Lease, LeasedMove,
    ListFilter, ListingEnd, MailboxFailure, MailboxFindings, MessageId, MessageRelease, NewBlacklistEntry,
    NewGrant, NewMessage, NewPermit, NewSuspension, NextCopy, Overdue, OverdueClaim, PermitEnd,
    PermitExtension, Permitted, QueueFigures, Recovered, Restored, SentCopyId, Settlement, StandingAsk,
    StoreError, StoredGrant, Summary, Suspension, SuspensionKind, TakenAtOnce, TestModeCounts, Totals,
    Upload, UsedQuota, WaitingCopies,
};
use crate::config::Window;
use crate::limits::{AccountKey, Amount, Ceilings, Counts, Load, Scope, Wait};
use crate::mail::{Address, QueueId};
use crate::metrics::WriteMeter;
use crate::time::{Moment, Timeline};

/// Takes mail in: for sessions.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Whether the store believes its own commits at present.
    ///
    /// # Errors
    /// With the reason why it accepts nothing.
    fn healthy(&self) -> Result<(), StoreError>;

    /// Messages in the queue now. Costs a look-up in memory.
    fn queue_length(&self) -> u64;

    /// Makes ready for the content of the message with this name. It is synced before the message is handed in.
    fn upload(&self, id: &QueueId) -> Upload;

    /// Takes a message into the queue. Only after this may a client read 250. From here on the store answers for its
    /// content: nothing of it is left when the message is refused, or has nobody to go to. `Some` when an ask that stands
    /// ([`Claims::stand`]) has taken it already: its attempt begins when this is dropped.
    ///
    /// # Errors
    /// When the queue is full or the store can't make it durable: then nothing was taken.
    async fn enqueue(&self, message: NewMessage) -> Result<Option<TakenAtOnce>, EnqueueError>;

    /// The entries that cover recipients, each in its place (address, `@domain`, `*.domain`; expired ones left out). Costs
    /// nothing while the blacklist is empty.
    async fn blacklisted(&self, addresses: &[Address]) -> Result<Vec<Option<BlacklistEntry>>, StoreError>;
}

/// Switches that last over restarts.
#[async_trait]
pub trait Switches: Send + Sync {
    /// How one stands.
    async fn switch(&self, key: &'static str) -> Result<Option<String>, StoreError>;

    /// Sets one.
    async fn set_switch(&self, key: &'static str, value: String) -> Result<(), StoreError>;
}

/// Tells what waits and what has been counted: for estimates, and for lanes that look whether they are empty.
#[async_trait]
pub trait Outlook: Send + Sync {
    /// What waits in a lane, due or deferred, but neither held nor in an attempt. Costs a look-up in memory.
    fn lane_load(&self, lane: &LaneName) -> Load;

    /// What of its lane goes before a message by the rule of turns, of what is due by now. `None` when it is held or
    /// unknown; nothing while it is being sent.
    async fn ahead(&self, queue_id: QueueId) -> Result<Option<Load>, StoreError>;

    /// The same for all that waits in a lane, in one go; nothing when it holds more than so many. What is not there is held,
    /// being sent, or gone.
    async fn places(&self, lane: LaneName, most: u32) -> Result<HashMap<MessageId, Load>, StoreError>;

    /// What was counted for each of these scopes, with what is under way, in their order.
    async fn usage(&self, scopes: Vec<Scope>) -> Result<Vec<Counts>, StoreError>;
}

/// Gives mail out, and notes what became of it: for lanes.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Takes due messages of a lane under a lease, each with those of its recipients that are due, as many as the limits and the caller have room for, and records their
    /// permits. Turns are shared between submitters ([`ClientInfo::submitter`](super::ClientInfo::submitter)).
    async fn claim(&self, ask: Ask) -> Result<Claimed, StoreError>;

    /// Lets an ask stand. What enters its lane from now on, while nothing else of it is due and there is room, comes under a lease by
    /// the very transaction that accepts it. A store need not do so: then it is to be claimed. An earlier ask of the same lane stands
    /// no longer.
    fn stand(&self, ask: Ask) -> StandingAsk;

    /// Takes messages under a lease that have outlived the lifetime (or the time after which to warn), the oldest first.
    async fn claim_overdue(&self, claim: OverdueClaim) -> Result<Vec<Overdue>, StoreError>;

    /// Records what became of an attempt, ends its permit and its lease, queues the reports.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lease has ended already; so it is after a settlement that was offered again since
    /// nobody knew whether it had been committed.
    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError>;

    /// Gives up leases of messages that were not tried: they are due again, and their permits are returned. Leases that have
    /// ended already are passed over; tells how many had not.
    async fn hand_back(&self, leases: Vec<Lease>) -> Result<u64, StoreError>;

    /// Gives up the lease of a message that was not tried, and moves it with all that waits of it to another lane, in one go: its
    /// permit is returned.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lease has ended already.
    async fn move_leased(&self, moved: LeasedMove) -> Result<(), StoreError>;

    /// Notes mailboxes that do not exist, and lists those of them that have failed often enough: as often as their rule says, each
    /// time a day after the last at least, within 90 days, with no delivery between. Of a domain in trouble none is listed, and
    /// its failures of a day are no evidence. An entry that a person made stays as it is.
    async fn mailboxes_failed(&self, failures: Vec<MailboxFailure>) -> Result<MailboxFindings, StoreError>;

    /// When something of a lane is due next, if something is waiting.
    async fn next_due(&self, lane: &LaneName) -> Result<Option<Moment>, StoreError>;

    /// All lanes that hold mail, with its senders: for routing it again after a change.
    async fn lanes_in_use(&self) -> Result<Vec<LaneSender>, StoreError>;

    /// Moves what waits or is held for these senders from a lane to others; tells how many messages. It is done in portions,
    /// so that nobody waits for long: other writes go in between, and a failure leaves some of them moved.
    async fn reroute(&self, from: LaneName, moves: Vec<LaneMove>) -> Result<u64, StoreError>;

    /// How long each lane has waited for limits.
    async fn limit_waits(&self) -> Result<Vec<(LaneName, Duration)>, StoreError>;

    /// Notes how long a lane has waited for limits.
    async fn set_limit_wait(&self, lane: LaneName, waited: Duration) -> Result<(), StoreError>;
}

/// Keeps the limits, and why nothing may go: for what sends without the queue, and for people.
#[async_trait]
pub trait Permits: Send + Sync {
    /// Records a permit for a transaction that has no message in the queue, if there is room for it.
    async fn take_permit(&self, permit: NewPermit) -> Result<Permitted, StoreError>;

    /// Adds recipients to a permit. Writes nothing as long as they are within what was recorded.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it has ended already.
    async fn extend_permit(&self, extension: PermitExtension) -> Result<Permitted, StoreError>;

    /// Records what became of such a transaction, and ends its permit. Told twice, it counts once.
    async fn end_permit(&self, end: PermitEnd) -> Result<(), StoreError>;

    /// How much may go now if the next transaction needs so much; or why nothing, and until when. Takes nothing.
    async fn room(
        &self,
        ceilings: Vec<(Scope, Ceilings)>,
        needed: Amount,
    ) -> Result<Result<Amount, Wait>, StoreError>;

    /// Forgets what was counted for an upstream and its accounts. What is under way still counts when it ends.
    async fn reset_usage(&self, upstream: String, windows: Vec<Window>) -> Result<(), StoreError>;

    /// What keeps upstreams and accounts from sending at present.
    async fn suspensions(&self) -> Result<Vec<Suspension>, StoreError>;

    /// Notes a suspension, in place of one of the same kind; but a pause does not shorten a longer one. Tells the one that
    /// is in force.
    async fn suspend(&self, suspension: NewSuspension) -> Result<Suspension, StoreError>;

    /// Forgets suspensions of these kinds: of an upstream or of all, and of these all, or those of one account alone.
    async fn end_suspensions(
        &self,
        upstream: Option<String>,
        account: Option<String>,
        kinds: Vec<SuspensionKind>,
    ) -> Result<(), StoreError>;
}

/// Shows and changes what is in the store: for people.
#[async_trait]
pub trait Admin: Send + Sync {
    /// Messages in the queue, oldest first.
    async fn list(&self, filter: ListFilter) -> Result<Vec<Summary>, StoreError>;

    /// A message with all its recipients.
    async fn show(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError>;

    /// The content as stored.
    async fn content(&self, queue_id: QueueId) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first so many octets of the content as stored, or all where there are fewer.
    async fn beginning(&self, queue_id: QueueId, most: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Makes a message that waits due now, with all of its recipients; one that was tried too often in doubt may be tried
    /// once more. Returns the lane where it stands, which is to be woken; `None` when no such
    /// message waits. Waits for one that is being sent.
    async fn retry(&self, queue_id: QueueId) -> Result<Option<LaneName>, StoreError>;

    /// Does the same to all messages that wait. Returns how many.
    async fn retry_all(&self) -> Result<u64, StoreError>;

    /// Keeps a message until it is released; false when it is unknown. Waits for one that is being sent.
    async fn hold(&self, queue_id: QueueId) -> Result<bool, StoreError>;

    /// Makes a held message due now, with all of its recipients, under these decisions from now on. Returns the lane where it stands, which is to be
    /// woken; `None` when no such message is held.
    async fn release(&self, queue_id: QueueId, decisions: Decisions) -> Result<Option<LaneName>, StoreError>;

    /// The next portion of a walk over held messages.
    async fn held(&self, walk: HeldWalk) -> Result<HeldPortion, StoreError>;

    /// Releases held messages, in one go. For each the lane where it stands, which is to be woken; `None` for one that is
    /// not held any more, or about which something else has been decided.
    async fn release_known(&self, releases: Vec<MessageRelease>)
    -> Result<Vec<Option<LaneName>>, StoreError>;

    /// Removes a message; `Ok(None)` when it is unknown. Waits for one that is being sent.
    async fn delete(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError>;

    /// How the queue is, for whoever asks all the time: no message is looked at.
    async fn queue_figures(&self) -> Result<QueueFigures, StoreError>;

    /// How many messages of clients in the queue are tests, and how many are none.
    async fn test_mode_counts(&self) -> Result<TestModeCounts, StoreError>;

    /// The sums since the store was made.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// A page of the blacklist, of what has not expired.
    async fn blacklist_page(&self, filter: BlacklistFilter) -> Result<BlacklistPage, StoreError>;

    /// The first of these patterns (as [`pattern_key`](super::pattern_key) writes them) that is on the blacklist.
    async fn blacklist_first(&self, patterns: Vec<String>) -> Result<Option<BlacklistEntry>, StoreError>;

    /// Adds or replaces an entry.
    async fn blacklist_add(&self, entry: NewBlacklistEntry) -> Result<BlacklistEntry, StoreError>;

    /// Adds or replaces entries of a file, in one go; tells what became of each.
    async fn blacklist_import(&self, entries: Vec<ImportedEntry>) -> Result<Vec<ListingEnd>, StoreError>;

    /// Adds mailboxes that do not exist, as reports say, or makes their entries last longer; tells what became of each. An
    /// entry that a person made stays as it is.
    async fn blacklist_learn(&self, mailboxes: Vec<LearnedMailbox>) -> Result<Vec<Learned>, StoreError>;

    /// Removes an entry, and what was held against the mailbox; false when there was no entry.
    async fn blacklist_remove(&self, pattern: String) -> Result<bool, StoreError>;
}

/// Keeps what people's sign-ins at providers gave: for the keepers of tokens.
#[async_trait]
pub trait SignInStore: Send + Sync {
    /// All of it, by the name of the sign-in.
    async fn grants(&self) -> Result<Vec<StoredGrant>, StoreError>;

    /// Notes what a sign-in gave, in place of what was there: from here on the new token lasts, and the old one is gone.
    /// Who has signed in, and when, changes by a sign-in alone.
    async fn save_grant(&self, grant: NewGrant) -> Result<StoredGrant, StoreError>;
}

/// Keeps copies until they lie in Sent folders: for those who put them there. They are made by settlements, and by ends of
/// permits.
#[async_trait]
pub trait SentCopies: Send + Sync {
    /// What an account has to copy next.
    async fn next_copy(&self, account: AccountKey) -> Result<NextCopy, StoreError>;

    /// Makes all that an account has to copy due now.
    async fn retry_copies(&self, account: AccountKey) -> Result<(), StoreError>;

    /// Notes what became of a try.
    async fn end_copy(&self, id: SentCopyId, end: CopyEnd) -> Result<(), StoreError>;

    /// Forgets copies that were made longer ago; tells which.
    async fn expire_copies(&self, older_than: Duration) -> Result<Vec<ExpiredCopy>, StoreError>;

    /// What waits, by account.
    async fn waiting_copies(&self) -> Result<Vec<WaitingCopies>, StoreError>;
}

/// Keeps what became of mail that has left: for people. It is written by whatever ends a recipient.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// Keeps from now on what these rules say.
    fn set_history(&self, rules: HistoryRules);

    /// Looks for entries.
    async fn history(&self, search: HistorySearch) -> Result<HistoryPage, StoreError>;

    /// A message that has left, if its content was kept.
    async fn kept(&self, queue_id: QueueId) -> Result<Option<KeptMessage>, StoreError>;

    /// Forgets all entries of an address in any spelling, as a recipient or as a reverse-path, and the contents of that mail. What
    /// is in the queue stays there. Other writes go in between.
    async fn forget(&self, address: String) -> Result<Forgotten, StoreError>;

    /// Makes what is new quick to be found, and removes what is too old or too much. Other writes go in between.
    async fn tidy_history(&self) -> Result<(), StoreError>;
}

/// Keeps the house: for whoever starts the relay.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// The time line by which the store stamps.
    fn timeline(&self) -> &Timeline;

    /// What commits cost, from the opening on.
    fn write_meter(&self) -> Arc<WriteMeter>;

    /// Messages that a predecessor was sending when it died, and how long each will rest: they may be sent twice. That must be said
    /// before they are recovered, for nothing tells afterwards which they were.
    async fn cut_off(&self, pauses: DoubtPauses) -> Result<Vec<CutOff>, StoreError>;

    /// Voids the leases of a dead predecessor; permits whose outcome is unknown count as ended now. What an upstream may go on
    /// with rests, and counts as in doubt once more. Contents that belong to no message go if nobody can count on them, and
    /// are set aside otherwise.
    async fn recover(&self, pauses: DoubtPauses) -> Result<Recovered, StoreError>;

    /// Whether the store came out of a backup or of damaged files. The first time after that all that these quotas let through counts
    /// as used from now on; its mail is held since it was opened.
    async fn restored(&self, quotas: Vec<UsedQuota>) -> Result<Option<Restored>, StoreError>;

    /// How it stands with the mail of such a store.
    async fn restored_mail(&self) -> Result<Option<Restored>, StoreError>;

    /// Waits until the store has an answer to a write in which there is nothing to write; it costs no sync.
    ///
    /// # Errors
    /// What a write would end with now.
    async fn answers(&self) -> Result<(), StoreError>;

    /// Notes our tie to the clocks, from which the next process goes on.
    async fn note_clock(&self) -> Result<(), StoreError>;

    /// Takes so many messages into the queue at most from now on; what is there stays.
    fn set_max_messages(&self, most: u64);

    /// Gives room on the disk back that nothing needs any more. Other writes go in between.
    async fn release_space(&self) -> Result<(), StoreError>;

    /// Looks at what was too much to be looked at before the start, while mail goes on: what is damaged of it, in words. Asked again
    /// it has nothing more to look at.
    async fn damage(&self) -> Result<Option<String>, StoreError>;

    /// Forgets counts that have left their windows, suspensions that are over, contents that have been removed, and what
    /// counts no more towards the blacklist.
    async fn prune(&self) -> Result<(), StoreError>;
}

/// Durable state of the relay. Each call is atomic, and durable when it returns `Ok`.
pub trait Store:
    Intake + Switches + Outlook + Claims + Permits + Admin + SignInStore + SentCopies + HistoryStore + Upkeep
{
}

impl<S> Store for S where
    S: Intake
        + Switches
        + Outlook
        + Claims
        + Permits
        + Admin
        + SignInStore
        + SentCopies
        + HistoryStore
        + Upkeep
        + ?Sized
{
}
