//! Tells those who wait for it what becomes of a message's recipients, when it has been stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::mail::QueueId;
use crate::store::{Delivery, Message, RecipientState};

/// News that wait for whoever reads them; what is more is lost, and the log has it.
const WAITING: usize = 256;

/// Who waits, by the message. Nobody, as a rule: then it costs a look at a number.
#[derive(Debug, Default)]
pub struct OutcomeWatchers {
    watched: AtomicUsize,
    by_id: Mutex<HashMap<QueueId, mpsc::Sender<RecipientNews>>>,
}

/// Waits for what becomes of a message. Dropped, it does no longer.
#[derive(Debug)]
pub struct OutcomeWatch {
    watchers: Arc<OutcomeWatchers>,
    queue_id: QueueId,
    news: mpsc::Receiver<RecipientNews>,
}

/// Stands for news that are being stored.
pub(super) struct OutcomeTeller(mpsc::Sender<RecipientNews>);

/// What an attempt has brought for a recipient, or the end of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientNews {
    /// The forward-path.
    pub address: String,
    /// What has become of it; one that waits was deferred.
    pub state: RecipientState,
    /// The reply, or what happened in words.
    pub reply: String,
    /// How long it rests, where it waits.
    pub again_in: Option<Duration>,
}

impl OutcomeWatchers {
    /// Waits for what becomes of a message from now on: to be called before it is in the queue.
    #[must_use]
    pub fn watch(self: &Arc<Self>, queue_id: &QueueId) -> OutcomeWatch {
        let (sender, news) = mpsc::channel(WAITING);
        let mut by_id = self.lock();
        by_id.insert(queue_id.clone(), sender);
        self.watched.store(by_id.len(), Ordering::Release);
        OutcomeWatch { watchers: self.clone(), queue_id: queue_id.clone(), news }
    }

    /// Tells of what is about to be stored of a message, when that is done; `None` when nobody waits for it.
    ///
    /// To be taken before that: whoever sees in the queue how it stands then knows whether news of it are to come.
    pub(super) fn teller(&self, queue_id: &QueueId) -> Option<OutcomeTeller> {
        if self.watched.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.lock().get(queue_id).cloned().map(OutcomeTeller)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, mpsc::Sender<RecipientNews>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutcomeTeller {
    /// These deliveries of a message were stored.
    pub(super) fn tell(self, message: &Message, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let recipient = message.recipients.iter().find(|recipient| recipient.index == delivery.index);
            let Some(recipient) = recipient else { continue };
            let news = RecipientNews {
                address: recipient.address.to_string(),
                state: delivery.state,
                reply: delivery.reply.clone(),
                again_in: delivery.again_in,
            };
            // Whoever waits may have gone just now, or read too slowly.
            let _ = self.0.try_send(news);
        }
    }
}

impl OutcomeWatch {
    /// Waits for the next news.
    pub async fn next(&mut self) -> RecipientNews {
        match self.news.recv().await {
            Some(news) => news,
            // Another watches the same message in its place.
            None => std::future::pending().await,
        }
    }

    /// News that are there already.
    pub fn ready(&mut self) -> Option<RecipientNews> {
        self.news.try_recv().ok()
    }

    /// Whether news are being stored: the queue may show already what they will tell.
    #[must_use]
    pub fn is_storing(&self) -> bool {
        // One sender is the watchers' own.
        self.news.sender_strong_count() > 1
    }
}

impl Drop for OutcomeWatch {
    fn drop(&mut self) {
        let mut by_id = self.watchers.lock();
        by_id.remove(&self.queue_id);
        self.watchers.watched.store(by_id.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_looks_at_the_queue_knows_whether_news_are_to_come() {
        let watchers = Arc::new(OutcomeWatchers::default());
        let queue_id = QueueId::new(0, 0);
        assert!(watchers.teller(&queue_id).is_none());
        let mut watch = watchers.watch(&queue_id);
        assert!(!watch.is_storing());
        let teller = watchers.teller(&queue_id).expect("somebody waits");
        assert!(watch.is_storing());
        let news = RecipientNews {
            address: "b@dest.example".to_owned(),
            state: RecipientState::Sent,
            reply: "250 ok".to_owned(),
            again_in: None,
        };
        teller.0.try_send(news.clone()).unwrap();
        drop(teller);
        assert!(!watch.is_storing());
        assert_eq!((watch.ready(), watch.ready()), (Some(news), None));
    }
}
