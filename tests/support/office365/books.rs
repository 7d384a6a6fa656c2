//! Rolling windows that hold each event.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// What happened within the last so much time.
pub(super) struct Window {
    length: Duration,
    events: VecDeque<(Instant, u64)>,
    sum: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, events: VecDeque::new(), sum: 0 }
    }

    /// Whether so much more would be too much.
    pub(super) fn is_over(&mut self, more: u64, limit: u64, now: Instant) -> bool {
        while let Some((at, count)) = self.events.front()
            && now.duration_since(*at) >= self.length
        {
            self.sum -= count;
            self.events.pop_front();
        }
        self.sum.saturating_add(more) > limit
    }

    pub(super) fn add(&mut self, count: u64, now: Instant) {
        self.events.push_back((now, count));
        self.sum += count;
    }
}
