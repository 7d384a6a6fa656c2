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

    /// The same for many amounts, the smallest first. Where two of them are less than a hundredth apart, what lies between
    /// them is taken from the straight line: so the cost grows with the time that it tells of, not with the number.
    #[must_use]
    pub fn when_all(&self, amounts: &[(u64, u64)]) -> Vec<Option<Moment>> {
        let mut told = vec![None; amounts.len()];
        let Some(last) = amounts.len().checked_sub(1) else { return told };
        let when = |index: usize| self.when(amounts[index].0, amounts[index].1);
        (told[0], told[last]) = (when(0), when(last));
        let mut open = vec![(0, last)];
        while let Some((low, high)) = open.pop() {
            if high - low < 2 {
                continue;
            }
            match (told[low], told[high]) {
                (None, _) => {}
                (Some(from), Some(to)) if self.is_near(from, to) => {
                    let step = (to.0 - from.0).max(0) as f64 / (high - low) as f64;
                    for (place, told) in told[low..high].iter_mut().enumerate() {
                        *told = Some(Moment(from.0 + (step * place as f64) as i64));
                    }
                }
                _ => {
                    let middle = usize::midpoint(low, high);
                    told[middle] = when(middle);
                    open.extend([(low, middle), (middle, high)]);
                }
            }
        }
        told
    }

    fn is_near(&self, from: Moment, to: Moment) -> bool {
        to.since(from) <= (from.since(self.now) / 100).max(Duration::from_secs(1))
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
        let under_way = counter.under_way();
        for window in Window::ALL {
            let (slots, quota) = counter.window(window);
            let next = periods.map(|periods| periods[window as usize].next);
            for (limit, recipients) in [(quota.messages, false), (quota.recipients, true)] {
                let Some(limit) = limit.map(u64::from) else { continue };
                let used = if recipients { slots.recipients() } else { slots.messages() };
                // What is under way is taken to end now.
                let under_way = if recipients { under_way.1 } else { under_way.0 };
                let free = limit.saturating_sub(used + under_way);
                let leaves = match next {
                    Some(next) => vec![(next, used + under_way)],
                    None => leaves(slots, recipients, (now.after(window.length()), under_way)),
                };
                let length = window.length().as_millis() as i64;
                windows.push(WindowCapacity { limit, recipients, length, free, leaves });
            }
        }
        let from = match counter.paused(now) {
            _ if counter.stopped => Moment(i64::MAX),
            Some(paused) => paused.until,
            None => now,
        };
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

/// What leaves a window when, and last of all what is under way, added up.
fn leaves(slots: &Slots, recipients: bool, under_way: (Moment, u64)) -> Vec<(Moment, u64)> {
    let counted = slots.departures().map(|(at, m, r)| (at, if recipients { r } else { m }));
    let mut sum = 0;
    let add_up = |(at, count): (Moment, u64)| {
        sum += count;
        (at, sum)
    };
    counted.chain([under_way]).map(add_up).collect()
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
