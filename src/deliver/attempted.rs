//! An attempt that has ended, and what became of each recipient.

use std::time::Duration;

use super::content::SentContent;
use crate::config::DoubtPause;
use crate::content::DAMAGED;
use crate::limits::Amount;
use crate::store::{Leased, MOST_DOUBTS, Message, QueuedRecipient, RecipientState};
use crate::transform::EditedFields;
use crate::upstream::Outcome;

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecipientOutcome {
    pub(super) recipient: QueuedRecipient,
    pub(super) outcome: Outcome,
    /// The reply, or what happened in words.
    pub(super) reply: String,
    /// Whether the upstream itself has said that.
    pub(super) is_said: bool,
    /// How long the reply asks us to wait.
    pub(super) stated: Option<Duration>,
    /// How long it rests that may have arrived, whatever the queue's own pauses are.
    pub(super) doubt_pause: Option<DoubtPause>,
    /// Whether a reply has said that its mailbox does not exist.
    pub(super) no_such_mailbox: bool,
}

impl RecipientOutcome {
    /// What became of a recipient, in words that are no upstream's reply.
    pub(super) fn new(recipient: QueuedRecipient, outcome: Outcome, reply: String) -> Self {
        Self {
            recipient,
            outcome,
            reply,
            is_said: false,
            stated: None,
            doubt_pause: None,
            no_such_mailbox: false,
        }
    }

    /// Whether it may have arrived without our knowing.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self.outcome, Outcome::Deferred { possible_duplicate: true, .. })
    }

    /// Whether it may have arrived so often that only a person has it tried again.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(self.outcome, Outcome::Deferred { .. })
            && self.recipient.doubts + u32::from(self.is_doubtful()) >= MOST_DOUBTS
    }

    /// Whether it was an attempt for this recipient: it had its turn, and was not set aside.
    pub(super) fn is_attempt(&self) -> bool {
        self.outcome != Outcome::Later && !is_set_aside(&self.recipient)
    }
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
    /// The fields that others than the recipients were taken out of.
    pub(super) edited: EditedFields,
    /// What the provider may have counted: a transaction that was begun.
    pub(super) used: Option<Amount>,
    /// Why the stored content must not be sent, if that is so: then a person has to see to the message.
    pub(super) damaged: Option<String>,
    /// What the upstream was sent, where a copy of that is wanted.
    pub(super) sent: Option<SentContent>,
}

impl Attempted {
    /// Nothing was looked at yet.
    pub(super) fn new(leased: Leased) -> Self {
        Self {
            leased,
            host: String::new(),
            outcomes: Vec::new(),
            sends_reports: false,
            edited: EditedFields::default(),
            used: None,
            damaged: None,
            sent: None,
        }
    }

    /// The same for every recipient.
    pub(super) fn all(leased: Leased, outcome: Outcome, reply: &str) -> Self {
        let each =
            |recipient: &QueuedRecipient| RecipientOutcome::new(recipient.clone(), outcome, reply.to_owned());
        let outcomes = leased.message.recipients.iter().map(each).collect();
        Self { outcomes, ..Self::new(leased) }
    }

    /// The stored content is not what was taken: nothing was tried, and nothing is held against the recipients.
    pub(super) fn damaged(leased: Leased, reason: String) -> Self {
        let reply = format!("451 4.3.0 {DAMAGED}: {reason}");
        Self { damaged: Some(reason), ..Self::all(leased, Outcome::Later, &reply) }
    }

    /// A transaction was begun, which the provider may have counted.
    pub(super) fn counted(mut self) -> Self {
        self.used = Some(self.leased.message.amount());
        self
    }

    /// So much of it was begun before, over another connection: the provider may have counted that, too.
    pub(super) fn counted_again(mut self, before: Option<Amount>) -> Self {
        self.used = match (self.used, before) {
            (Some(used), Some(before)) => Some(used.plus(before)),
            (used, before) => used.or(before),
        };
        self
    }

    /// With recipients that were looked at without being tried.
    pub(super) fn with(mut self, others: Vec<RecipientOutcome>) -> Self {
        self.leased.message.recipients.extend(others.iter().map(|other| other.recipient.clone()));
        self.outcomes.extend(others);
        self
    }
}

/// Takes out those that may have arrived too often already: they wait until the message expires.
pub(super) fn set_aside(message: &mut Message) -> Vec<RecipientOutcome> {
    let aside = message.recipients.extract_if(.., |recipient| is_set_aside(recipient));
    aside
        .map(|recipient| {
            let reply = recipient.last_reply.clone();
            RecipientOutcome::new(recipient, Outcome::UPSTREAM, reply)
        })
        .collect()
}

fn is_set_aside(recipient: &QueuedRecipient) -> bool {
    recipient.doubts >= MOST_DOUBTS
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
