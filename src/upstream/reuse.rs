//! What a refusal on a connection that was used before proves: nothing, where a new connection may not be refused.
//!
//! An idle connection may be gone without our knowing; servers take so many messages over one; some lose step after a refused
//! transaction. So such a refusal is made again on a new connection before anything is concluded.

use super::answer::{Answer, RecipientResult, TransactionResult};
use super::error::{DialogueFault, Stage};
use super::replies::{ReplyAction, is_greylisting, row_for};
use crate::smtp::Reply;

impl TransactionResult {
    /// Whether the result, on a connection that had carried a transaction before (`used`) or was only open, says nothing of the
    /// message, the recipients or the upstream.
    #[must_use]
    pub fn proves_nothing(&self, used: bool) -> bool {
        let Some(first) = self.recipients.first() else { return false };
        let all = |f: &dyn Fn(&RecipientResult) -> bool| self.recipients.iter().all(f);
        match first.stage {
            Stage::Mail => all(&|result| result.stage == Stage::Mail && result.may_be_the_connections(used)),
            Stage::Data => used && all(&|result| result.stage == Stage::Data && result.is_plain_refusal()),
            Stage::Rcpt => {
                let is_alike = |result: &RecipientResult| {
                    result.stage == Stage::Rcpt
                        && result.is_plain_refusal()
                        && !result.refusal().is_some_and(names_mailbox)
                        && result.is_like(first)
                };
                used && all(&is_alike)
            }
            _ => false,
        }
    }

    /// Whether it ended as another did: at the same point, with the same code.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self.recipients.first(), other.recipients.first()) {
            (Some(a), Some(b)) => a.is_like(b),
            _ => false,
        }
    }
}

impl RecipientResult {
    /// A result of MAIL that an end of the connection may explain.
    fn may_be_the_connections(&self, used: bool) -> bool {
        match &self.answer {
            Answer::Failed(DialogueFault::Closed | DialogueFault::CutOff | DialogueFault::Broken(_)) => true,
            Answer::Failed(_) => used,
            Answer::Refused(reply) => (used || reply.code == 421) && self.is_plain_refusal(),
            _ => false,
        }
    }

    /// A refusal whose words the table does not know as the provider's pace, quota or stop: those mean it.
    fn is_plain_refusal(&self) -> bool {
        let row = self.refusal().map(|reply| row_for(self.stage, reply));
        row.is_some_and(|row| {
            !matches!(
                row.action,
                ReplyAction::Slow(_)
                    | ReplyAction::Pause { .. }
                    | ReplyAction::Stop { .. }
                    | ReplyAction::StopSender(_)
                    | ReplyAction::Refresh
            )
        })
    }

    fn is_like(&self, other: &Self) -> bool {
        let key = |result: &Self| result.refusal().map(|reply| (reply.code, reply.status));
        self.stage == other.stage && key(self) == key(other)
    }
}

/// Whether a refusal of a recipient is about its mailbox or address (x.1.z, x.2.z), or asks to come again later.
fn names_mailbox(reply: &Reply) -> bool {
    reply.status.is_some_and(|(_, subject, _)| matches!(subject, 1 | 2)) || is_greylisting(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(stage: Stage, answers: &[Answer]) -> TransactionResult {
        let each = answers.iter().map(|answer| RecipientResult { stage, answer: answer.clone() });
        TransactionResult { recipients: each.collect() }
    }

    #[test]
    fn what_proves_nothing() {
        let refused = |code, status, text: &str| Answer::Refused(Reply::new(code, status, text));
        let closed = || Answer::Failed(DialogueFault::Closed);
        for (stage, answers, open, used) in [
            (Stage::Mail, vec![closed()], true, true),
            (Stage::Mail, vec![refused(421, (4, 4, 2), "timeout")], true, true),
            (Stage::Mail, vec![refused(452, (4, 5, 3), "10 messages are enough")], false, true),
            (Stage::Mail, vec![refused(503, (5, 5, 1), "sender already given")], false, true),
            (Stage::Mail, vec![refused(550, (5, 7, 1), "no")], false, true),
            (
                Stage::Mail,
                vec![refused(421, (4, 4, 2), "Message submission rate for this client has exceeded")],
                false,
                false,
            ),
            (Stage::Mail, vec![Answer::Failed(DialogueFault::OutOfStep)], false, true),
            (
                Stage::Rcpt,
                vec![refused(452, (4, 3, 0), "enough"), refused(452, (4, 3, 0), "enough")],
                false,
                true,
            ),
            (
                Stage::Rcpt,
                vec![refused(452, (4, 3, 0), "enough"), refused(550, (5, 7, 1), "no")],
                false,
                false,
            ),
            (Stage::Rcpt, vec![refused(550, (5, 1, 1), "unknown")], false, false),
            (Stage::Rcpt, vec![refused(450, (4, 7, 1), "Greylisted, come again")], false, false),
            (Stage::Rcpt, vec![closed()], false, false),
            (Stage::Data, vec![refused(451, (4, 3, 0), "no")], false, true),
            (Stage::FinalDot, vec![refused(554, (5, 6, 0), "no")], false, false),
        ] {
            let result = result(stage, &answers);
            assert_eq!(
                (result.proves_nothing(false), result.proves_nothing(true)),
                (open, used),
                "{result:?}"
            );
        }
    }
}
