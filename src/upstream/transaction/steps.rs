//! A transaction step by step, for a client that waits: each recipient's reply is known before the content is sent.

use super::progress::{Ended, Progress, Verb};
use super::{GROUP, Transaction};
use crate::content::ContentError;
use crate::upstream::answer::{Answer, RecipientResult, TransactionResult};
use crate::upstream::connection::{Connection, ConnectionState};
use crate::upstream::error::{DialogueFault, Stage};

/// A transaction whose MAIL the upstream has accepted, and to which no content was sent yet.
///
/// To give it up, [`reset`](Connection::reset) the connection.
pub struct Steps {
    progress: Progress,
}

impl Connection {
    /// Begins a transaction: MAIL. Of `transaction` the recipients do not matter yet; without content no SIZE is declared.
    ///
    /// # Errors
    /// With what the upstream, or the lack of an answer from it, means for every recipient.
    pub async fn begin(&mut self, transaction: &Transaction<'_>) -> Result<Steps, RecipientResult> {
        let mut progress = Progress::new(0);
        let before = std::mem::replace(&mut self.state, ConnectionState::Closed);
        let begun = async {
            self.clear(before).await?;
            self.exchange(&[Verb::Mail], transaction, &mut progress).await
        };
        begun.await.map_err(|Ended(result)| result)?;
        if let Some(refused) = progress.mail_refused.take() {
            self.set_next_state(ConnectionState::Ready);
            return Err(refused);
        }
        self.set_next_state(ConnectionState::Open);
        self.used = true;
        Ok(Steps { progress })
    }

    /// Asks for the recipients of `transaction` that were not asked for yet; those that were must stand first, in the
    /// same order. Returns for each of them `None` when it was accepted, or else what was decided.
    pub async fn ask<'a>(
        &mut self,
        steps: &'a mut Steps,
        transaction: &Transaction<'_>,
    ) -> &'a [Option<RecipientResult>] {
        let progress = &mut steps.progress;
        let (asked, all) = (progress.settled.len(), transaction.recipients.len());
        progress.settled.resize(all.max(asked), None);
        let most = self.most_recipients();
        let commands: Vec<_> = (asked..all.min(most)).map(Verb::Rcpt).collect();
        let answered = async {
            self.resume()?;
            for group in commands.chunks(if self.capabilities.pipelining { GROUP } else { 1 }) {
                self.exchange(group, transaction, progress).await?;
            }
            Ok(())
        };
        match answered.await {
            Ok(()) => {
                progress.hold_back(most);
                self.set_next_state(ConnectionState::Open);
            }
            Err(Ended(result)) => progress.settle(&result),
        }
        &progress.settled[asked..]
    }

    /// Sends the content to the recipients that were accepted, and tells what became of each.
    ///
    /// # Errors
    /// As [`send`](Connection::send).
    pub async fn finish(
        &mut self,
        steps: Steps,
        transaction: &Transaction<'_>,
    ) -> Result<TransactionResult, ContentError> {
        let mut progress = steps.progress;
        let done = async {
            self.resume()?;
            if progress.wants(Verb::Data) {
                self.exchange(&[Verb::Data], transaction, &mut progress).await?;
            }
            self.conclude(transaction, &mut progress).await
        };
        let ended = done.await;
        self.ended(ended, progress)
    }

    /// Goes on with a transaction. Until the step is done the connection is of no use for anything else.
    fn resume(&mut self) -> Result<(), Ended> {
        match std::mem::replace(&mut self.state, ConnectionState::Closed) {
            ConnectionState::Open => Ok(()),
            ConnectionState::Ready | ConnectionState::Closed => {
                let answer = Answer::Failed(DialogueFault::Closed);
                Err(Ended(RecipientResult { stage: Stage::Data, answer }))
            }
        }
    }
}
