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
    Ask, AskOnFile, BlacklistEntry, BlacklistSource, Claimed, ClientInfo, CopyEnd, CutOff, Decisions,
    DecisionsError, Delivery, Disposition, DoubtPauses, EnqueueError, ExpiredCopy, FAILURES_APART,
    FAILURES_WITHIN, Forgotten, GrantChange, HeldMessage, HeldPortion, HeldWalk, HistoryEntry, HistoryId,
    HistoryPage, HistoryRules, HistorySearch, KeptMessage, LONGEST_KEPT_REPLY, LaneKind, LaneMove, LaneName,
    LaneSender, Lease, Leased, LeasedMove, ListFilter, ListingRule, MOST_COPIES, MOST_COPY_OCTETS,
    MOST_DOUBTS, MOST_HISTORY, MailboxFailure, MailboxFindings, Message, MessageId, MessageKind,
    MessageRelease, MessageState, NewBlacklistEntry, NewGrant, NewMessage, NewPermit, NewRecipient,
    NewSentCopy, NewSuspension, NextCopy, Orphans, Overdue, OverdueClaim, PassedMessage, PermitEnd,
    PermitExtension, PermitId, Permitted, Priority, QueueCounts, QueuedRecipient, RecipientEnd,
    RecipientState, Recipients, Recovered, Reservation, Restored, Ruled, SentCopy, SentCopyId, Settlement,
    StandingAsk, StoreError, StoreOrigin, StoredGrant, StoredLabel, StoredToken, Summary, SummaryRecipient,
    Suspension, SuspensionKind, TROUBLE_WITHIN, TakenAtOnce, TestModeCounts, TestTreatment, Totals,
    TroubledDomain, UsedQuota, WaitingCopies, domain_key, is_in_trouble, pattern_key, patterns_covering,
};
pub use upload::Upload;
