//! What becomes of a mail that a person has sent: told while it happens.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::control::ApiState;
use crate::control::view::{MessageJson, OutcomeJson, QueuedJson, SendEnd, SendEvent, WaitingJson};
use crate::deliver::{OutcomeWatch, RecipientNews};
use crate::mail::QueueId;
use crate::store::{MessageState, RecipientState, StoreError};

/// How often it is looked at how it stands in the queue.
const LOOK: Duration = Duration::from_secs(1);

/// A mail that is in the queue by now.
pub(super) struct InQueue {
    pub(super) json: QueuedJson,
    pub(super) queue_id: QueueId,
    pub(super) held: bool,
    /// Who is to get it, and has no outcome yet.
    pub(super) open: Vec<String>,
    /// Who gets nothing.
    pub(super) dropped: Vec<String>,
}

/// Tells what becomes of a message.
pub(super) struct Following {
    state: ApiState,
    events: mpsc::Sender<SendEvent>,
    watch: OutcomeWatch,
}

impl Following {
    /// Hands the events to this sender; `watch` was there before the message was in the queue.
    pub(super) fn new(state: ApiState, events: mpsc::Sender<SendEvent>, watch: OutcomeWatch) -> Self {
        Self { state, events, watch }
    }

    /// Tells until the outcome of each recipient is known, or there is no more patience.
    pub(super) async fn run(mut self, queued: InQueue, patience: Duration) {
        let InQueue { json, queue_id, held, mut open, dropped } = queued;
        self.tell(SendEvent::Queued(json)).await;
        for address in dropped {
            let reply = Some("on the blacklist".to_owned());
            let outcome = OutcomeJson { address, state: "dropped".to_owned(), reply, next: None };
            self.tell(SendEvent::Recipient(outcome)).await;
        }
        let end = match (held, open.is_empty()) {
            (_, true) => SendEnd::Settled,
            (true, false) => SendEnd::Held,
            (false, false) => self.follow(&queue_id, &mut open, Instant::now() + patience).await,
        };
        self.tell(SendEvent::Ended { end }).await;
    }

    async fn follow(&mut self, queue_id: &QueueId, open: &mut Vec<String>, deadline: Instant) -> SendEnd {
        let mut look = Instant::now();
        let mut shown: Option<WaitingJson> = None;
        while !open.is_empty() {
            let now = tokio::select! {
                // What has become of a recipient is told before how the others stand.
                biased;
                news = self.watch.next() => {
                    self.news(&news, open).await;
                    // The lane learns what that means for it a little later than we.
                    look = Instant::now() + LOOK;
                    continue;
                }
                () = sleep_until(deadline) => return SendEnd::Waiting,
                () = sleep_until(look) => self.stands(queue_id).await,
            };
            look = Instant::now() + LOOK;
            // A store that fails is asked again, and nothing is told twice, before its news and behind them.
            let Ok(now) = now else { continue };
            if self.watch.is_storing() {
                continue;
            }
            while let Some(news) = self.watch.ready() {
                self.news(&news, open).await;
            }
            match now {
                _ if open.is_empty() => {}
                None => return SendEnd::Gone,
                Some(now) => {
                    let is_held = now.state == MessageState::Held.name();
                    if shown.as_ref() != Some(&now) {
                        shown = Some(now.clone());
                        self.tell(SendEvent::Waiting(now)).await;
                    }
                    if is_held {
                        return SendEnd::Held;
                    }
                }
            }
        }
        SendEnd::Settled
    }

    async fn news(&self, news: &RecipientNews, open: &mut Vec<String>) {
        if news.state != RecipientState::Waiting {
            open.retain(|address| *address != news.address);
        }
        self.tell(SendEvent::Recipient(OutcomeJson::new(news, &self.state.timeline))).await;
    }

    /// How it stands in the queue; `None` when it is there no more.
    async fn stands(&self, queue_id: &QueueId) -> Result<Option<WaitingJson>, StoreError> {
        let Some(message) = self.state.store.show(queue_id.clone()).await? else { return Ok(None) };
        let lane = self.state.statuses.of(&message.lane);
        let json = MessageJson::new(&message, lane.as_ref(), None, &self.state.timeline);
        Ok(Some(WaitingJson::new(&json, lane.as_ref())))
    }

    async fn tell(&self, event: SendEvent) {
        // When nobody reads any more, this ends.
        let _ = self.events.send(event).await;
    }
}
