//! The only place that makes things durable: the queue, the counts of the limits, suspensions, the blacklist, the switches.
//!
//! The traits speak the relay's own words, and are split by who asks. Whether there is room for a message is decided here,
//! in the claim that takes it ([`limits`](crate::limits) has the arithmetic). [`sqlite`] is the embedded store; one that
//! several relays share can stand beside it.

pub mod sqlite;
mod traits;
mod types;
mod upload;

pub use crate::content::{Content, ContentError};
pub use crate::limits::Load;
pub use traits::{
    Admin, Claims, HistoryStore, Intake, Outlook, Permits, SentCopies, SignInStore, Store, Switches, Upkeep,
};
pub use types::{
    Ask, AskOnFile, BlacklistEntry, BlacklistFilter, BlacklistPage, BlacklistSearch, BlacklistSource,
    Claimed, ClientInfo, CopyEnd, CutOff, Decisions, DecisionsError, Delivery, Disposition, DoubtPauses,
    EnqueueError, ExpiredCopy, FAILURES_APART, FAILURES_WITHIN, Forgotten, GrantChange, HeldMessage,
    HeldPortion, HeldWalk, HistoryEntry, HistoryId, HistoryPage, HistoryRules, HistorySearch, ImportedEntry,
    KeptMessage, LONGEST_KEPT_REPLY, LaneKind, LaneMove, LaneName, LaneSender, Learned, LearnedMailbox,
    Lease, Leased, LeasedMove, ListFilter, ListingEnd, ListingRule, MOST_COPIES, MOST_COPY_OCTETS,
    MOST_DOUBTS, MOST_HISTORY, MailboxFailure, MailboxFindings, Message, MessageId, MessageKind,
    MessageRelease, MessageState, NewBlacklistEntry, NewGrant, NewMessage, NewPermit, NewRecipient,
    NewSentCopy, NewSuspension, NextCopy, Orphans, Overdue, OverdueClaim, PassedMessage, PatternKind,
    PermitEnd, PermitExtension, PermitId, Permitted, Priority, QueueCounts, QueueFigures, QueuedRecipient,
    RecipientEnd, RecipientState, Recipients, Recovered, Reservation, Restored, Ruled, SentCopy, SentCopyId,
    Settlement, StandingAsk, StoreError, StoreOrigin, StoredGrant, StoredLabel, StoredToken, Summary,
    SummaryRecipient, Suspension, SuspensionKind, TROUBLE_WITHIN, TakenAtOnce, TestModeCounts, TestTreatment,
    Totals, TroubledDomain, UsedQuota, WaitingCopies, covering, domain_key, is_in_trouble, pattern_domain,
    pattern_key, pattern_kind, patterns_containing, patterns_covering,
};
pub use upload::Upload;
