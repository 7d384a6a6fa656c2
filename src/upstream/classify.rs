//! What an answer means for a recipient: sent, deferred, bounced (RFC 5321 4.2.1, 4.2.5).
//!
//! What it means for the upstream is another matter: see [`lessons`](super::lessons).

use super::error::Stage;
use super::replies::{Treatment, treat};
use super::transaction::{Answer, RecipientResult};
use crate::smtp::{EnhancedStatus, Reply};

/// What is to be done for a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done: the upstream has taken responsibility.
    Sent,
    /// Try again later.
    Defer {
        /// The upstream may have taken it already.
        possible_duplicate: bool,
    },
    /// It has failed for good.
    Bounce,
    /// Send it now, in another transaction.
    Later,
    /// The login may not send for this sender: the mail waits until a person has mended that.
    Sender,
    /// It is not about the message: the mail waits for the upstream, or the login, and nothing bounces.
    Upstream,
}

const DEFER: Verdict = Verdict::Defer { possible_duplicate: false };

/// Enhanced status codes that say that the mailbox does not exist (RFC 3463 3.2, RFC 7505 4).
const NO_SUCH_MAILBOX: [EnhancedStatus; 6] =
    [(5, 1, 1), (5, 1, 2), (5, 1, 3), (5, 1, 6), (5, 1, 10), (5, 2, 1)];

/// What is to be done for a recipient with this result.
#[must_use]
pub fn classify(result: &RecipientResult) -> Verdict {
    match &result.answer {
        Answer::Accepted(_) => Verdict::Sent,
        Answer::Later(_) => Verdict::Later,
        Answer::Refused(reply) => refusal(treat(result.stage, reply).treatment),
        Answer::Failed(_) if result.stage <= Stage::Auth => Verdict::Upstream,
        Answer::Failed(_) => DEFER,
        Answer::Unknown(_) => Verdict::Defer { possible_duplicate: true },
    }
}

fn refusal(treatment: Treatment) -> Verdict {
    match treatment {
        Treatment::Slow(_)
        | Treatment::Pause { .. }
        | Treatment::Stop { .. }
        | Treatment::Refresh
        | Treatment::Unavailable { .. } => Verdict::Upstream,
        Treatment::StopSender(_) => Verdict::Sender,
        // When none was accepted before it, there is nothing to split.
        Treatment::Split | Treatment::Retry | Treatment::Defer => DEFER,
        Treatment::Bounce => Verdict::Bounce,
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
    use super::super::error::{Fault, Stage};
    use super::*;

    fn reply(code: u16) -> Reply {
        Reply::bare(code, vec!["text".into()])
    }

    #[test]
    fn every_row() {
        let refused = |code| Answer::Refused(reply(code));
        let failed = || Answer::Failed(Fault::Closed);
        for (stage, answer, want) in [
            (Stage::Greeting, refused(554), Verdict::Upstream),
            (Stage::Greeting, refused(421), Verdict::Upstream),
            (Stage::Connect, failed(), Verdict::Upstream),
            (Stage::Auth, refused(535), Verdict::Upstream),
            (Stage::Auth, refused(454), Verdict::Upstream),
            (Stage::Mail, refused(530), Verdict::Upstream),
            (Stage::Mail, refused(535), Verdict::Upstream),
            (Stage::Mail, refused(538), Verdict::Upstream),
            (Stage::Mail, refused(421), Verdict::Upstream),
            (Stage::Rcpt, refused(421), DEFER),
            (Stage::Mail, refused(451), DEFER),
            (Stage::Mail, refused(550), Verdict::Bounce),
            (Stage::Mail, refused(552), Verdict::Bounce),
            (Stage::Mail, failed(), DEFER),
            (Stage::Rcpt, refused(450), DEFER),
            (Stage::Rcpt, refused(452), DEFER),
            (Stage::Rcpt, refused(552), DEFER),
            (Stage::Rcpt, refused(550), Verdict::Bounce),
            (Stage::Rcpt, refused(553), Verdict::Bounce),
            (Stage::Rcpt, Answer::Later(reply(452)), Verdict::Later),
            (Stage::Data, refused(451), DEFER),
            (Stage::Data, refused(554), Verdict::Bounce),
            (Stage::Content, refused(452), DEFER),
            (Stage::Content, refused(552), Verdict::Bounce),
            (Stage::Content, failed(), DEFER),
            (Stage::FinalDot, refused(421), DEFER),
            (Stage::FinalDot, refused(451), DEFER),
            (Stage::FinalDot, refused(554), Verdict::Bounce),
            (Stage::FinalDot, Answer::Accepted(reply(250)), Verdict::Sent),
            (Stage::FinalDot, Answer::Unknown(Fault::Closed), Verdict::Defer { possible_duplicate: true }),
        ] {
            let result = RecipientResult { stage, answer };
            assert_eq!(classify(&result), want, "{result:?}");
        }
    }

    #[test]
    fn knows_who_does_not_exist() {
        for (code, status, want) in [
            (550, (5, 1, 1), true),
            (550, (5, 1, 2), true),
            (553, (5, 1, 3), true),
            (551, (5, 1, 6), true),
            (550, (5, 1, 10), true),
            (550, (5, 2, 1), true),
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
