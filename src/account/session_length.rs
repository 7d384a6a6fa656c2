//! How many messages a connection bears: as configured, and as refusals have taught.

use std::time::Duration;

use tokio::time::Instant;

/// For how long it is believed that connections bear no more messages than those that were refused.
const SESSION_LEARNED: Duration = Duration::from_hours(1);

/// Messages that a connection bears.
#[derive(Default)]
pub(super) struct SessionLength {
    /// As configured.
    most: u32,
    /// After how many messages connections were refused lately what new ones were not: the last two. One may have been a
    /// coincidence.
    refused_after: [Option<u32>; 2],
    /// Until when that is believed.
    until: Option<Instant>,
}

impl SessionLength {
    /// How many the configuration allows.
    pub(super) fn configure(&mut self, most: u32) {
        self.most = most;
    }

    /// How many, as configured and as refusals have taught.
    pub(super) fn most(&self) -> u32 {
        let learned = match self.refused_after {
            [Some(a), Some(b)] if self.until.is_some_and(|until| Instant::now() < until) => a.max(b),
            _ => u32::MAX,
        };
        self.most.min(learned)
    }

    /// One that had borne so many was refused what a new one was not.
    pub(super) fn ended_after(&mut self, messages: u32) {
        let now = Instant::now();
        if self.until.is_some_and(|until| until <= now) {
            self.refused_after = [None; 2];
        }
        self.refused_after = [self.refused_after[1], Some(messages)];
        self.until = Some(now + SESSION_LEARNED);
    }
}
