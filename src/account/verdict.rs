//! What an answer means, and to whom: by the table, and by what went before at the account.

use std::time::Duration;

use super::precedents::{Concern, Precedents};
use crate::mail::{Address, ReversePath};
use crate::smtp::Reply;
use crate::store::{Message, MessageId, MessageKind};
use crate::time::Moment;
use crate::upstream::{
    Answer, Outcome, RecipientResult, ReplyAction, Row, Slow, Stage, TransactionResult, outcome,
};

/// What a complaint calls for that any server makes, message after message.
const SLOWER: Slow = Slow { connections: false, hard: false, wait: Duration::from_mins(1), insists: false };
/// What to do about it.
const TOO_FAST: &str = "the upstream takes mail more slowly than this: set per_minute in its limits";

/// Whose mail was answered.
pub(crate) struct MailFacts<'a> {
    /// The message; `None` when its client waits.
    pub(crate) id: Option<MessageId>,
    /// Whether it is a report of ours.
    pub(crate) is_report: bool,
    /// The address that routing goes by; empty where it is not known.
    pub(crate) sender: &'a str,
    pub(crate) reverse_path: &'a ReversePath,
}

impl<'a> MailFacts<'a> {
    /// Of a message; the id is that of one in the queue.
    pub(crate) fn of(message: &'a Message, id: Option<MessageId>) -> Self {
        let is_report = message.kind == MessageKind::Report;
        Self { id, is_report, sender: &message.sender, reverse_path: &message.reverse_path }
    }
}

impl<'r> MailFacts<'r> {
    /// The same of mail that the upstream was told to be from another address than it came from.
    pub(crate) fn told_as(self, reverse_path: &'r ReversePath) -> Self {
        if reverse_path == self.reverse_path { self } else { Self { sender: "", reverse_path, ..self } }
    }
}

/// What the upstream has answered, and for whom; nobody is named where MAIL ended it before a recipient was.
pub(crate) type Answered<'a> = (Option<&'a Address>, &'a RecipientResult);

/// A transaction that a used connection has refused, and that is made again over a new one.
pub(crate) struct RefusedWhenUsed {
    pub(crate) result: TransactionResult,
    /// Messages that the connection had carried by then.
    pub(crate) carried: u32,
}

/// What a refusal calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) action: ReplyAction,
    /// In words for the operator.
    pub(super) advice: &'static str,
    /// Whether it is the account's affair, or may be, though it hit a message or recipient.
    may_be_ours: bool,
}

/// What the answers of a transaction mean for the message.
pub(crate) struct Judgement {
    /// For each answer.
    pub(crate) outcomes: Vec<Outcome>,
    /// Whether the message, or what it met, is suspect: a probe takes another, while there is one.
    pub(crate) is_suspect: bool,
}

impl Verdict {
    /// Of one refusal.
    pub(super) fn of(
        before: &mut Precedents,
        mail: &MailFacts<'_>,
        (to, stage, reply): (Option<&Address>, Stage, &Reply),
        row: &'static Row,
        now: Moment,
    ) -> Self {
        let plain = Self { action: row.action, advice: row.advice, may_be_ours: false };
        let defer = Self { action: ReplyAction::Defer, ..plain };
        match row.action {
            // A report of ours that is not wanted says nothing of other mail, and goes the way of any that is deferred.
            ReplyAction::Contested { .. } | ReplyAction::Unavailable { .. } if mail.is_report => defer,
            ReplyAction::Contested { .. } if stage > Stage::Mail => match to
                .map_or(Concern::Unsettled, |to| before.concern(to, now))
            {
                Concern::Recipient if reply.is_permanent() => Self { action: ReplyAction::Bounce, ..plain },
                Concern::Recipient => defer,
                Concern::Account => Self { may_be_ours: true, ..plain },
                Concern::Unsettled => Self { may_be_ours: true, ..defer },
            },
            ReplyAction::Defer if matches!(stage, Stage::Mail | Stage::FinalDot) => {
                if before.is_about_pace(stage, reply, mail.id) {
                    Self { action: ReplyAction::Slow(SLOWER), advice: TOO_FAST, may_be_ours: false }
                } else {
                    plain
                }
            }
            _ => plain,
        }
    }
}

impl Judgement {
    pub(super) fn new(answers: &[Answered<'_>], verdicts: &[Option<Verdict>]) -> Self {
        let outcomes = answers.iter().zip(verdicts);
        let outcomes =
            outcomes.map(|((_, answer), verdict)| outcome(answer, verdict.map(|verdict| verdict.action)));
        let is_suspect = answers.iter().any(|(_, answer)| is_broken(answer))
            || verdicts.iter().flatten().any(|verdict| verdict.may_be_ours);
        Self { outcomes: outcomes.collect(), is_suspect }
    }
}

/// Whether the dialogue broke, or the upstream has closed it.
pub(super) fn is_broken(result: &RecipientResult) -> bool {
    match &result.answer {
        Answer::Failed(_) | Answer::Unknown(_) => true,
        Answer::Refused(reply) => reply.code == 421,
        Answer::Accepted(_) | Answer::Captured(_) | Answer::Later(_) => false,
    }
}
