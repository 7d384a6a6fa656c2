//! When will it go? An estimate from the counts as they are.

use std::time::Duration;

use super::counter::{Counter, Periods};
use super::slots::Slots;
use crate::config::Window;
use crate::time::Moment;

/// Nothing further away than this is estimated.
const HORIZON: Duration = Duration::from_hours(24 * 90);

/// What some accounts of an upstream can send from now on.
#[derive(Debug, Clone)]
pub struct Forecast {
    now: Moment,
    shared: Capacity,
    accounts: Vec<Capacity>,
}

/// What one counter lets through as time goes by.
#[derive(Debug, Clone)]
pub(super) struct Capacity {
    windows: Vec<WindowCapacity>,
    /// Nothing before.
    from: Moment,
    /// One transaction, or one batch of so many, in each such time.
    pace: Option<(Duration, u64)>,
}

#[derive(Debug, Clone)]
struct WindowCapacity {
    limit: u64,
    /// Whether it counts recipients.
    recipients: bool,
    length: i64,
    free: u64,
    /// What leaves when, added up.
    leaves: Vec<(Moment, u64)>,
}

impl Forecast {
    pub(super) fn new(now: Moment, shared: Capacity, accounts: Vec<Capacity>) -> Self {
        Self { now, shared, accounts }
    }

    /// When the last of so many messages with so many recipients in all will have gone. `None` when it is too far away
    /// to say.
    #[must_use]
    pub fn when(&self, messages: u64, recipients: u64) -> Option<Moment> {
        let fits = |at: Moment| self.fit(messages, recipients, at);
        if fits(self.now) {
            return Some(self.now);
        }
        let (mut early, mut late) = (self.now.0, self.now.after(HORIZON).0);
        if !fits(Moment(late)) {
            return None;
        }
        while late - early > 500 {
            let middle = early + (late - early) / 2;
            if fits(Moment(middle)) { late = middle } else { early = middle }
        }
        Some(Moment(late))
    }

    fn fit(&self, messages: u64, recipients: u64, at: Moment) -> bool {
        // Messages are all taken to be of the same kind.
        let each = recipients.div_ceil(messages.max(1)).max(1);
        let all = self.accounts.iter().map(|account| account.by(at, self.now, each));
        let all = all.fold(0_u64, u64::saturating_add);
        all.min(self.shared.by(at, self.now, each)) >= messages
    }
}

impl Capacity {
    pub(super) fn new(counter: &Counter, now: Moment, periods: Periods) -> Self {
        let mut windows = Vec::new();
        for window in Window::ALL {
            let (slots, quota) = counter.window(window);
            let next = periods.map(|periods| periods[window as usize].next);
            for (limit, recipients) in [(quota.messages, false), (quota.recipients, true)] {
                let Some(limit) = limit.map(u64::from) else { continue };
                let used = if recipients { slots.recipients() } else { slots.messages() };
                let free = limit.saturating_sub(used);
                let leaves = next.map_or_else(|| departures(slots, recipients), |next| vec![(next, used)]);
                let length = window.length().as_millis() as i64;
                windows.push(WindowCapacity { limit, recipients, length, free, leaves });
            }
        }
        let from = counter.paused(now).map_or(now, |paused| paused.until);
        let pace = if counter.paces_evenly() {
            Some((counter.even_distance(1), 1))
        } else {
            counter.limits().batch.map(|batch| (batch.pause, u64::from(batch.messages)))
        };
        Self { windows, from, pace }
    }

    /// How many messages with `each` recipients may have gone by then.
    fn by(&self, at: Moment, now: Moment, each: u64) -> u64 {
        if at < self.from {
            return 0;
        }
        let paced = self.pace.map_or(u64::MAX, |(every, count)| {
            let millis = (every.as_millis() as u64).max(1);
            (at.since(self.from).as_millis() as u64 / millis + 1).saturating_mul(count)
        });
        let windows = self.windows.iter().map(|window| window.by(at, now, each));
        windows.fold(paced, u64::min)
    }
}

/// What leaves a window when, added up: recipients, or messages.
fn departures(slots: &Slots, recipients: bool) -> Vec<(Moment, u64)> {
    let leaving = slots.departures().map(|(at, m, r)| (at, if recipients { r } else { m }));
    let added = leaving.scan(0, |sum, (at, count)| {
        *sum += count;
        Some((at, *sum))
    });
    added.collect()
}

impl WindowCapacity {
    fn by(&self, at: Moment, now: Moment, each: u64) -> u64 {
        let passed = (at.0 - now.0).max(0);
        // What goes within one length from now comes again in each that follows.
        let (whole, rest) = ((passed / self.length) as u64, passed % self.length);
        let until = Moment(now.0 + rest);
        let left = self.leaves.partition_point(|&(leaves, _)| leaves <= until);
        let left = left.checked_sub(1).map_or(0, |last| self.leaves[last].1);
        let amount = whole.saturating_mul(self.limit) + (self.free + left).min(self.limit);
        if self.recipients { amount / each } else { amount }
    }
}
