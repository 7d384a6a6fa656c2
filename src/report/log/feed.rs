//! Copies of what is logged, for whoever reads along.
//!
//! Whoever logs hands a line over and goes on: no reader is waited for. One that is too slow is told how many lines it has
//! missed. While nobody reads along nothing is made for it.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use crate::metrics::Counter;

/// Lines that wait for a reader at most.
const WAITING: usize = 1024;

/// An event of the log.
#[derive(Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its name.
    pub name: String,
    /// All of it, as one JSON object without line ends: what the log writes in the format `json`.
    pub json: String,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// The next event.
    Event(Arc<LoggedEvent>),
    /// So many events are missing: the reader was too slow.
    Lost(u64),
}

/// Where the events come by.
#[derive(Debug, Clone)]
pub struct LogFeed {
    events: Sender<Arc<LoggedEvent>>,
    lost: Arc<Counter>,
}

/// Reads the events from the moment on when it was made.
#[derive(Debug)]
pub struct FeedReader(Receiver<Arc<LoggedEvent>>);

impl Default for LogFeed {
    fn default() -> Self {
        Self { events: channel(WAITING).0, lost: Arc::default() }
    }
}

impl LogFeed {
    /// Reads along from now on.
    #[must_use]
    pub fn read(&self) -> FeedReader {
        FeedReader(self.events.subscribe())
    }

    /// How many lines are missing in the log itself, since it began.
    #[must_use]
    pub fn lost_lines(&self) -> u64 {
        self.lost.get()
    }

    /// One of a log whose missing lines are counted there.
    pub(super) fn of_log(lost: Arc<Counter>) -> Self {
        Self { lost, ..Self::default() }
    }

    /// Hands an event to whoever reads along; it is made only when somebody does.
    pub(super) fn tell(&self, event: impl FnOnce() -> LoggedEvent) {
        if self.events.receiver_count() > 0 {
            // All may have gone at this moment.
            let _ = self.events.send(Arc::new(event()));
        }
    }
}

impl FeedReader {
    /// Waits for the next event; `None` when there will be none any more.
    pub async fn next(&mut self) -> Option<FeedItem> {
        match self.0.recv().await {
            Ok(event) => Some(FeedItem::Event(event)),
            Err(RecvError::Lagged(events)) => Some(FeedItem::Lost(events)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64) -> LoggedEvent {
        LoggedEvent { name: number.to_string(), json: "{}".to_owned() }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_has_missed() {
        let feed = LogFeed::default();
        feed.tell(|| unreachable!("nobody reads along"));
        let (mut slow, mut quick) = (feed.read(), feed.read());
        let most = WAITING as u64;
        for number in 0..most + 5 {
            feed.tell(|| event(number));
            assert_eq!(quick.next().await, Some(FeedItem::Event(Arc::new(event(number)))));
        }
        assert_eq!(slow.next().await, Some(FeedItem::Lost(5)));
        for number in 5..most + 5 {
            assert_eq!(slow.next().await, Some(FeedItem::Event(Arc::new(event(number)))));
        }
        drop(feed);
        assert_eq!(slow.next().await, None);
    }
}
