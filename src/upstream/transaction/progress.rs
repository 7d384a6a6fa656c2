//! How far the commands of a transaction have come, and what is settled.

use crate::content::ContentError;
use crate::smtp::Reply;
use crate::upstream::answer::{Answer, RecipientResult, TransactionResult};
use crate::upstream::error::{DialogueFault, Stage};

/// The commands before the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Mail,
    Rcpt(usize),
    Data,
}

impl Verb {
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Mail => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
        }
    }
}

/// Why a transaction ended early: it settles every recipient that is still open.
pub(super) struct Ended(pub(super) RecipientResult);

impl Ended {
    pub(super) fn fault(stage: Stage, fault: DialogueFault) -> Self {
        Self(RecipientResult { stage, answer: Answer::Failed(fault) })
    }

    pub(super) fn unknown(fault: DialogueFault) -> Self {
        Self(RecipientResult { stage: Stage::FinalDot, answer: Answer::Unknown(fault) })
    }

    pub(super) fn refused(stage: Stage, reply: Reply) -> Self {
        Self(RecipientResult { stage, answer: Answer::Refused(reply) })
    }

    /// Whether the dialogue broke, rather than that the upstream has ended it with a reply.
    pub(super) fn is_fault(&self) -> bool {
        matches!(self.0.answer, Answer::Failed(_))
    }
}

/// Why a transaction did not come to its end.
pub(super) enum Unfinished {
    /// It ended early.
    Ended(Ended),
    /// The content can't be read to its end: it was broken off before the final dot.
    Unread(ContentError),
}

impl From<Ended> for Unfinished {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// How far the commands have come.
pub(super) struct Progress {
    /// What is settled; `None` while a recipient is open, or accepted and waiting for the content.
    pub(super) settled: Vec<Option<RecipientResult>>,
    /// Recipients that the upstream has accepted at RCPT.
    pub(super) accepted: usize,
    /// Whether MAIL was accepted.
    pub(super) mail_accepted: bool,
    /// How MAIL was refused, if it was.
    pub(super) mail_refused: Option<RecipientResult>,
    /// The reply to DATA, once it was sent.
    pub(super) data: Option<Reply>,
}

impl Progress {
    pub(super) fn new(recipients: usize) -> Self {
        Self {
            settled: vec![None; recipients],
            accepted: 0,
            mail_accepted: false,
            mail_refused: None,
            data: None,
        }
    }

    /// Recipients that are more than the upstream takes in one transaction go in another (RFC 9422 6.2).
    pub(super) fn hold_back(&mut self, most: usize) {
        let text = format!("the upstream takes {most} recipients in one transaction");
        let answer = Answer::Later(Reply::new(452, (4, 5, 3), text));
        for surplus in self.settled.iter_mut().skip(most).filter(|settled| settled.is_none()) {
            *surplus = Some(RecipientResult { stage: Stage::Rcpt, answer: answer.clone() });
        }
    }

    /// Whether a command still makes sense.
    pub(super) fn wants(&self, command: Verb) -> bool {
        match command {
            Verb::Mail => true,
            Verb::Rcpt(_) => self.mail_refused.is_none(),
            Verb::Data => self.mail_refused.is_none() && self.accepted > 0,
        }
    }

    /// Takes the reply to a command.
    pub(super) fn take(&mut self, command: Verb, reply: Reply) -> Result<(), Ended> {
        let stage = command.stage();
        // After 421 the upstream closes the connection, whatever the command was (RFC 5321 3.8).
        if reply.code == 421 {
            return Err(Ended::refused(stage, reply));
        }
        match command {
            Verb::Mail if reply.code >= 400 => {
                let refused = RecipientResult { stage, answer: Answer::Refused(reply) };
                self.settle(&refused);
                self.mail_refused = Some(refused);
            }
            Verb::Rcpt(_) if self.mail_refused.is_some() => {}
            Verb::Rcpt(index) if reply.code >= 400 => {
                let full = self.accepted > 0 && matches!(reply.code, 452 | 552);
                let answer = if full { Answer::Later(reply) } else { Answer::Refused(reply) };
                self.settled[index] = Some(RecipientResult { stage, answer });
            }
            Verb::Data if reply.code >= 400 || reply.code == 354 => self.data = Some(reply),
            Verb::Rcpt(_) if reply.is_positive() => self.accepted += 1,
            Verb::Mail if reply.is_positive() => self.mail_accepted = true,
            _ => return Err(Ended::fault(stage, DialogueFault::Unexpected(reply))),
        }
        Ok(())
    }

    /// Whether something was refused, and no content went out behind it.
    pub(super) fn has_refusal_without_content(&self) -> bool {
        let is_refused = |result: &RecipientResult| {
            result.stage < Stage::Content && matches!(result.answer, Answer::Refused(_))
        };
        self.settled.iter().all(|settled| settled.as_ref().is_some_and(is_refused))
    }

    /// The replies did not fit the commands: who was refused is open again.
    pub(super) fn disbelieve(&mut self) {
        self.settled.iter_mut().for_each(|settled| *settled = None);
        self.mail_refused = None;
    }

    /// Settles all recipients that are still open.
    pub(super) fn settle(&mut self, result: &RecipientResult) {
        for open in self.settled.iter_mut().filter(|settled| settled.is_none()) {
            *open = Some(result.clone());
        }
    }

    /// The end; all are settled.
    pub(super) fn into_result(self) -> TransactionResult {
        let recipients = self.settled.into_iter();
        let recipients = recipients.map(|result| result.expect("a run that ends has settled each recipient"));
        TransactionResult { recipients: recipients.collect() }
    }
}
