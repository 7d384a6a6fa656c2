//! An attempt that has ended, and what became of each recipient.

use crate::limits::Amount;
use crate::store::{Leased, QueuedRecipient, RecipientState};
use crate::upstream::Outcome;

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecipientOutcome {
    pub(super) recipient: QueuedRecipient,
    pub(super) outcome: Outcome,
    /// The reply, or what happened in words.
    pub(super) reply: String,
    /// Whether a reply has said that its mailbox does not exist.
    pub(super) no_such_mailbox: bool,
}

/// An attempt that has ended.
pub(super) struct Attempted {
    pub(super) leased: Leased,
    /// The upstream as it answered; empty when none did.
    pub(super) host: String,
    /// For each recipient that was looked at.
    pub(super) outcomes: Vec<RecipientOutcome>,
    /// Whether the upstream sends the reports of success that were asked for.
    pub(super) sends_reports: bool,
    /// What the provider may have counted: a transaction that was begun.
    pub(super) used: Option<Amount>,
}

impl Attempted {
    /// Nothing was looked at yet.
    pub(super) fn new(leased: Leased) -> Self {
        Self { leased, host: String::new(), outcomes: Vec::new(), sends_reports: false, used: None }
    }

    /// The same for every recipient.
    pub(super) fn all(leased: Leased, outcome: Outcome, reply: &str) -> Self {
        let each = |recipient: &QueuedRecipient| RecipientOutcome {
            recipient: recipient.clone(),
            outcome,
            reply: reply.to_owned(),
            no_such_mailbox: false,
        };
        let outcomes = leased.message.recipients.iter().map(each).collect();
        Self { outcomes, ..Self::new(leased) }
    }

    /// A transaction was begun, which the provider may have counted.
    pub(super) fn counted(mut self) -> Self {
        self.used = Some(self.leased.message.amount());
        self
    }

    /// With recipients that were settled without being tried.
    pub(super) fn with_listed(mut self, listed: Vec<RecipientOutcome>) -> Self {
        self.leased.message.recipients.extend(listed.iter().map(|listed| listed.recipient.clone()));
        self.outcomes.extend(listed);
        self
    }
}

/// What is stored of an outcome. `expired`: the message has outlived the queue, so what would wait has expired.
pub(super) fn state(outcome: Outcome, expired: bool) -> RecipientState {
    match outcome {
        Outcome::Sent => RecipientState::Sent,
        Outcome::Captured => RecipientState::Captured,
        Outcome::Deferred { .. } if expired => RecipientState::Expired,
        Outcome::Deferred { .. } | Outcome::Later => RecipientState::Waiting,
        Outcome::Bounced => RecipientState::Bounced,
        Outcome::Dropped => RecipientState::Dropped,
    }
}
