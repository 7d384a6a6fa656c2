//! What an answer means for a recipient: sent, deferred, bounced (RFC 5321 4.2.1, 4.2.5).
//!
//! What it means for the account is another matter: see [`account::feedback`](crate::account).

use super::answer::{Answer, RecipientResult};
use super::error::Stage;
use super::replies::{ReplyAction, row_for};
use crate::smtp::{EnhancedStatus, Reply};

/// What became of a recipient in an attempt, or is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream has taken responsibility.
    Sent,
    /// The local mailbox has it.
    Captured,
    /// Waits for another attempt.
    Deferred {
        /// What it waits for.
        cause: DeferralCause,
        /// The upstream may have taken it already.
        possible_duplicate: bool,
    },
    /// Goes in another transaction, at once.
    Later,
    /// Failed for good.
    Bounced,
    /// The blacklist has dropped it.
    Dropped,
}

/// Why a recipient is deferred, which says when it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeferralCause {
    /// For its own sake: after a wait that grows.
    Message,
    /// The login may not send for this sender: a person must mend that, so after the longest wait.
    Sender,
    /// The upstream or the login is at fault: as soon as that answers again.
    Upstream,
}

impl Outcome {
    /// Deferred for the message's own sake.
    pub const DEFERRED: Self = Self::deferred(DeferralCause::Message);
    /// Deferred since the upstream can't be used.
    pub const UPSTREAM: Self = Self::deferred(DeferralCause::Upstream);

    /// Deferred; nothing has happened yet.
    #[must_use]
    pub const fn deferred(cause: DeferralCause) -> Self {
        Self::Deferred { cause, possible_duplicate: false }
    }

    /// Whether it was deferred, and not by the upstream's trouble: that is never held against a message.
    #[must_use]
    pub fn is_own_failure(self) -> bool {
        matches!(self, Self::Deferred { cause: DeferralCause::Message | DeferralCause::Sender, .. })
    }
}

/// Enhanced status codes that say that the mailbox does not exist (RFC 3463 3.2, RFC 7505 4).
const NO_SUCH_MAILBOX: [EnhancedStatus; 2] = [(5, 1, 1), (5, 1, 10)];

/// What is to be done for a recipient with this result, by the table alone.
#[must_use]
pub fn classify(result: &RecipientResult) -> Outcome {
    let row = result.refusal().map(|reply| row_for(result.stage, reply));
    outcome(result, row.map(|row| row.action))
}

/// The same, where it is known what a refusal calls for.
#[must_use]
pub fn outcome(result: &RecipientResult, action: Option<ReplyAction>) -> Outcome {
    match &result.answer {
        Answer::Accepted(_) => Outcome::Sent,
        Answer::Captured(_) => Outcome::Captured,
        Answer::Later(_) => Outcome::Later,
        Answer::Refused(_) => action.map_or(Outcome::DEFERRED, refusal),
        Answer::Failed(_) if result.stage <= Stage::Auth => Outcome::UPSTREAM,
        Answer::Failed(_) => Outcome::DEFERRED,
        Answer::Unknown(_) => Outcome::Deferred { cause: DeferralCause::Message, possible_duplicate: true },
    }
}

fn refusal(action: ReplyAction) -> Outcome {
    match action {
        ReplyAction::Slow(_)
        | ReplyAction::Pause { .. }
        | ReplyAction::Stop { .. }
        | ReplyAction::Refresh
        | ReplyAction::Contested { .. }
        | ReplyAction::Unavailable { .. } => Outcome::UPSTREAM,
        ReplyAction::StopSender(_) => Outcome::deferred(DeferralCause::Sender),
        // When none was accepted before it, there is nothing to split.
        ReplyAction::Split | ReplyAction::Retry | ReplyAction::Defer | ReplyAction::DeferStrange => {
            Outcome::DEFERRED
        }
        ReplyAction::Bounce => Outcome::Bounced,
    }
}

/// Whether a reply says that the mailbox does not exist: its address may go on the blacklist, when the reply was to
/// that recipient's RCPT, or to the final dot of a message with that recipient alone.
#[must_use]
pub fn blacklist_candidate(reply: &Reply) -> bool {
    reply.is_permanent() && reply.status.is_some_and(|status| NO_SUCH_MAILBOX.contains(&status))
}

#[cfg(test)]
mod tests {
    use super::super::error::{DialogueFault, Stage};
    use super::*;

    fn reply(code: u16) -> Reply {
        Reply::bare(code, vec!["text".into()])
    }

    #[test]
    fn every_row() {
        let refused = |code| Answer::Refused(reply(code));
        let failed = || Answer::Failed(DialogueFault::Closed);
        for (stage, answer, want) in [
            (Stage::Greeting, refused(554), Outcome::UPSTREAM),
            (Stage::Greeting, refused(421), Outcome::UPSTREAM),
            (Stage::Connect, failed(), Outcome::UPSTREAM),
            (Stage::Auth, refused(535), Outcome::UPSTREAM),
            (Stage::Auth, refused(454), Outcome::UPSTREAM),
            (Stage::Mail, refused(530), Outcome::UPSTREAM),
            (Stage::Mail, refused(535), Outcome::UPSTREAM),
            (Stage::Mail, refused(538), Outcome::UPSTREAM),
            (Stage::Mail, refused(421), Outcome::DEFERRED),
            (Stage::Rcpt, refused(421), Outcome::DEFERRED),
            (Stage::Mail, refused(451), Outcome::DEFERRED),
            (Stage::Mail, refused(550), Outcome::Bounced),
            (Stage::Mail, refused(552), Outcome::Bounced),
            (Stage::Mail, failed(), Outcome::DEFERRED),
            (Stage::Rcpt, refused(450), Outcome::DEFERRED),
            (Stage::Rcpt, refused(452), Outcome::DEFERRED),
            (Stage::Rcpt, refused(552), Outcome::DEFERRED),
            (Stage::Rcpt, refused(550), Outcome::Bounced),
            (Stage::Rcpt, refused(553), Outcome::Bounced),
            (Stage::Rcpt, Answer::Later(reply(452)), Outcome::Later),
            (Stage::Data, refused(451), Outcome::DEFERRED),
            (Stage::Data, refused(554), Outcome::Bounced),
            (Stage::Content, refused(452), Outcome::DEFERRED),
            (Stage::Content, refused(552), Outcome::Bounced),
            (Stage::Content, failed(), Outcome::DEFERRED),
            (Stage::FinalDot, refused(421), Outcome::DEFERRED),
            (Stage::FinalDot, refused(451), Outcome::DEFERRED),
            (Stage::FinalDot, refused(554), Outcome::Bounced),
            (Stage::FinalDot, Answer::Accepted(reply(250)), Outcome::Sent),
            (
                Stage::FinalDot,
                Answer::Unknown(DialogueFault::Closed),
                Outcome::Deferred { cause: DeferralCause::Message, possible_duplicate: true },
            ),
        ] {
            let result = RecipientResult { stage, answer };
            assert_eq!(classify(&result), want, "{result:?}");
        }
    }

    #[test]
    fn knows_who_does_not_exist() {
        for (code, status, want) in [
            (550, (5, 1, 1), true),
            (550, (5, 1, 2), false),
            (553, (5, 1, 3), false),
            (551, (5, 1, 6), false),
            (550, (5, 1, 10), true),
            (550, (5, 2, 1), false),
            (550, (5, 7, 1), false),
            (552, (5, 2, 2), false),
            (550, (5, 1, 8), false),
            (450, (4, 1, 1), false),
        ] {
            assert_eq!(blacklist_candidate(&Reply::new(code, status, "x")), want, "{code} {status:?}");
        }
        assert!(!blacklist_candidate(&reply(550)), "without an enhanced status code nothing is certain");
    }
}
