//! A copier: puts the copies of one account into its Sent folder, one after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::folder::{FolderMessage, OpenFolder};
use crate::account::Account;
use crate::content::ContentError;
use crate::deliver::Context;
use crate::imap::{ImapError, SentMailbox};
use crate::memory::MemoryBudget;
use crate::store::{CopyEnd, NextCopy, SentCopy, StoreError};
use crate::time::Moment;

/// How long a session stays open for the next copy.
const IDLE: Duration = Duration::from_secs(30);
/// How long nothing is tried after the first failure; each further one in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// How often a message that the server refuses is offered to it.
const MOST_REFUSALS: u32 = 20;
/// How often a store that fails is asked.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Puts copies into one folder.
pub(super) struct Copier {
    account: Arc<Account>,
    context: Arc<Context>,
    /// Octets of copies that may be in memory.
    memory: MemoryBudget,
    /// Since when it works.
    begun: Moment,
    /// How often in a row the server has failed.
    failures: u32,
}

/// What comes after a copy, or in place of one.
enum Then {
    /// The next one.
    Next,
    /// Nothing is due before then, if ever.
    Rest(Option<Moment>),
    /// Nothing is tried for so long.
    Pause(Duration),
}

impl Copier {
    /// For an account, with a share of the memory for copies.
    pub(super) fn new(account: Arc<Account>, context: Arc<Context>, memory: MemoryBudget) -> Self {
        Self { begun: context.timeline.now(), account, context, memory, failures: 0 }
    }

    /// Works until it is ended, which may be at any time: what was under way is looked for before it is tried again.
    pub(super) async fn run(mut self) {
        let settings = self.account.settings();
        let Some(mailbox) = settings.sent_mailbox() else { return };
        let mut folder = OpenFolder::new(mailbox);
        // Whoever has started or reloaded the relay may have mended what was in the way.
        self.make_due().await;
        loop {
            let then = match self.context.store.next_copy(self.account.key().clone()).await {
                Ok(NextCopy::Due(copy)) => self.copy(&mut folder, mailbox, &copy).await,
                Ok(NextCopy::Later(due)) => Then::Rest(Some(due)),
                Ok(NextCopy::None) => Then::Rest(None),
                Err(error) => self.store_failed(&error),
            };
            match then {
                Then::Next => {}
                Then::Rest(until) => self.rest(&mut folder, until).await,
                Then::Pause(pause) => {
                    folder.close().await;
                    sleep(pause).await;
                }
            }
        }
    }

    /// Makes one copy.
    async fn copy(&mut self, folder: &mut OpenFolder<'_>, mailbox: &SentMailbox, copy: &SentCopy) -> Then {
        let _memory = self.memory.acquire(copy.content.len()).await;
        let content = match copy.content.read().await {
            Ok(content) => content,
            Err(error) => return self.unreadable(copy, &error).await,
        };
        let message = FolderMessage {
            content: &content,
            sent: Timestamp::from_millisecond(copy.sent_wall).unwrap_or_default(),
            // What this copier has not tried, and nobody before it, is not there.
            may_be_there: copy.tries > 0 || copy.made <= self.begun,
        };
        match folder.put(&message).await {
            Ok(()) => {
                self.copied(mailbox, copy).await;
                if std::mem::take(&mut self.failures) > 0 {
                    self.make_due().await;
                }
                Then::Next
            }
            Err(error) if error.is_about_message() => {
                if copy.tries + 1 >= MOST_REFUSALS {
                    self.give_up(copy, &error.to_string()).await;
                } else {
                    self.failed(copy, &error, mailbox, pause_after(copy.tries)).await;
                }
                Then::Next
            }
            Err(error) => {
                let pause = pause_after(self.failures);
                self.failures = self.failures.saturating_add(1);
                self.failed(copy, &error, mailbox, pause).await;
                Then::Pause(pause)
            }
        }
    }

    async fn copied(&self, mailbox: &SentMailbox, copy: &SentCopy) {
        tracing::info!(
            event = "copied",
            queue_id = %copy.queue_id,
            upstream = &*self.account.key().upstream,
            account = self.account.name(),
            host = mailbox.server(),
            delay = format!("{:.1}s", self.context.timeline.now().since(copy.made).as_secs_f64()),
            attempt = copy.tries + 1,
            size = copy.content.len(),
        );
        self.end(copy, CopyEnd::Over).await;
    }

    async fn failed(&self, copy: &SentCopy, error: &ImapError, mailbox: &SentMailbox, after: Duration) {
        let next = format!("{:.3}", self.context.timeline.wall_at(self.context.timeline.now().after(after)));
        let reason = error.to_string();
        tracing::warn!(
            event = "copy_failed",
            queue_id = %copy.queue_id,
            upstream = &*self.account.key().upstream,
            account = self.account.name(),
            host = mailbox.server(),
            attempt = copy.tries + 1,
            reason,
            next,
        );
        self.end(copy, CopyEnd::Again { after, reason }).await;
    }

    async fn unreadable(&self, copy: &SentCopy, error: &ContentError) -> Then {
        self.give_up(copy, &format!("its stored content can't be read: {error}")).await;
        Then::Next
    }

    async fn give_up(&self, copy: &SentCopy, reason: &str) {
        tracing::error!(
            event = "copy_given_up",
            queue_id = %copy.queue_id,
            upstream = &*self.account.key().upstream,
            account = self.account.name(),
            reason,
        );
        self.end(copy, CopyEnd::Over).await;
    }

    /// Writes down what became of a copy; it is known nowhere else, so it is offered until the store takes it.
    async fn end(&self, copy: &SentCopy, end: CopyEnd) {
        while let Err(error) = self.context.store.end_copy(copy.id, end.clone()).await {
            tracing::error!(event = "store", queue_id = %copy.queue_id, reason = %error, effect = "offered again");
            sleep(STORE_RETRY).await;
        }
    }

    async fn make_due(&self) {
        if let Err(error) = self.context.store.retry_copies(self.account.key().clone()).await {
            self.store_failed(&error);
        }
    }

    fn store_failed(&self, error: &StoreError) -> Then {
        let upstream = &*self.account.key().upstream;
        tracing::error!(event = "store", upstream, reason = %error, effect = "copies for Sent folders wait");
        Then::Pause(STORE_RETRY)
    }

    /// Waits until something may be due; closes the session when nothing has come for a while.
    async fn rest(&self, folder: &mut OpenFolder<'_>, until: Option<Moment>) {
        let noted = self.account.copy_noted();
        tokio::pin!(noted);
        let pause = || until.map(|until| until.since(self.context.timeline.now()));
        if folder.is_open() {
            let most = pause().map_or(IDLE, |pause| pause.min(IDLE));
            if timeout(most, &mut noted).await.is_ok() || most < IDLE {
                return;
            }
            folder.close().await;
        }
        match pause() {
            Some(pause) => drop(timeout(pause, noted).await),
            None => noted.await,
        }
    }
}

/// How long is waited after so many failures in a row before the last.
fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let minutes = |failures| pause_after(failures).as_secs() / 60;
        assert_eq!([0, 1, 2, 5, 6, u32::MAX].map(minutes), [1, 2, 4, 32, 60, 60]);
    }
}
