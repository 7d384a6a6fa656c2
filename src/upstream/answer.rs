//! What became of each recipient of a transaction.

use std::fmt;

use super::error::{DialogueFault, Stage};
use crate::smtp::Reply;

/// What the upstream, or the lack of an answer from it, means for a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The upstream has taken responsibility.
    Accepted(Reply),
    /// The local mailbox has it.
    Captured(Reply),
    /// The upstream has refused.
    Refused(Reply),
    /// The upstream took others and no more in this transaction: send it in another (RFC 5321 4.5.3.1.10).
    Later(Reply),
    /// The dialogue broke before the final dot: nothing has happened.
    Failed(DialogueFault),
    /// The dialogue broke after the final dot: the upstream may have the message.
    Unknown(DialogueFault),
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientResult {
    /// At which point it was decided.
    pub stage: Stage,
    /// What was decided.
    pub answer: Answer,
}

impl RecipientResult {
    /// The upstream's reply, where one decided it.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match &self.answer {
            Answer::Accepted(reply)
            | Answer::Captured(reply)
            | Answer::Refused(reply)
            | Answer::Later(reply) => Some(reply),
            Answer::Failed(_) | Answer::Unknown(_) => None,
        }
    }

    /// Whether the message has arrived.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self.answer, Answer::Accepted(_) | Answer::Captured(_))
    }

    /// The reply by which it was refused, if it was.
    #[must_use]
    pub fn refusal(&self) -> Option<&Reply> {
        match &self.answer {
            Answer::Refused(reply) => Some(reply),
            _ => None,
        }
    }

    /// Whether a second attempt may bring the message twice.
    #[must_use]
    pub fn possible_duplicate(&self) -> bool {
        matches!(self.answer, Answer::Unknown(_))
    }
}

/// What the log and `queue show` say: the reply, or what happened in words.
impl fmt::Display for RecipientResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            Answer::Accepted(reply)
            | Answer::Captured(reply)
            | Answer::Refused(reply)
            | Answer::Later(reply) => reply.fmt(f),
            Answer::Failed(DialogueFault::Mailbox(reason)) => f.write_str(reason),
            Answer::Failed(fault) | Answer::Unknown(fault) => write!(f, "at {}: {fault}", self.stage),
        }
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionResult {
    /// A result per recipient, in the order of the transaction.
    pub recipients: Vec<RecipientResult>,
}

impl TransactionResult {
    /// The reply that says that no request of this size is taken, if that is what became of it (RFC 3463 3.4).
    #[must_use]
    pub fn too_large(&self) -> Option<&Reply> {
        let first = self.recipients.first().filter(|first| first.stage == Stage::Request)?;
        first.refusal().filter(|reply| reply.is_permanent() && reply.status == Some((5, 3, 4)))
    }
}
