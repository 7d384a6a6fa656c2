//! When will it go? An estimate from the counts as they are.

use std::time::Duration;

use super::amount::{Amount, AmountSum, Load};
use super::ceilings::{Ceilings, WindowCeiling};
use super::counts::Counts;
use super::slots::Slots;
use crate::time::{Moment, Timeline};

/// Nothing further away than this is estimated.
const HORIZON: Duration = Duration::from_hours(24 * 90);

/// What some accounts of an upstream can send from now on.
#[derive(Debug, Clone)]
pub struct Forecast {
    now: Moment,
    shared: Vec<Capacity>,
    accounts: Vec<Capacity>,
}

/// Whether a scope may send at all, whatever its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Nothing is in the way.
    Now,
    /// Not before then.
    From(Moment),
    /// Not until a person has seen to it.
    Never,
}

/// What one scope lets through as time goes by.
#[derive(Debug, Clone)]
pub struct Capacity {
    windows: Vec<WindowCapacity>,
    /// Nothing before.
    from: Moment,
    /// A transaction, or one batch of so many, in each such time.
    pace: Option<(Duration, u64)>,
}

#[derive(Debug, Clone)]
struct WindowCapacity {
    limit: u64,
    counts: Counted,
    length: i64,
    free: u64,
    /// What leaves when, added up.
    leaves: Vec<(Moment, u64)>,
}

/// What a window limits.
#[derive(Debug, Clone, Copy)]
enum Counted {
    Messages,
    Recipients,
    Octets,
}

impl Forecast {
    /// What these accounts can send together, within what they share.
    #[must_use]
    pub fn new(now: Moment, shared: Vec<Capacity>, accounts: Vec<Capacity>) -> Self {
        Self { now, shared, accounts }
    }

    /// When the last of so much mail will have gone. `None` when it is too far away to say.
    #[must_use]
    pub fn when(&self, mail: Load) -> Option<Moment> {
        let fits = |at: Moment| self.fit(mail, at);
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
    pub fn when_all(&self, amounts: &[Load]) -> Vec<Option<Moment>> {
        let mut moments = vec![None; amounts.len()];
        let Some(last) = amounts.len().checked_sub(1) else { return moments };
        let when = |index: usize| self.when(amounts[index]);
        (moments[0], moments[last]) = (when(0), when(last));
        let mut open = vec![(0, last)];
        while let Some((low, high)) = open.pop() {
            if high - low < 2 {
                continue;
            }
            match (moments[low], moments[high]) {
                (None, _) => {}
                (Some(from), Some(to)) if self.is_near(from, to) => {
                    let step = (to.0 - from.0).max(0) as f64 / (high - low) as f64;
                    for (place, moment) in moments[low..high].iter_mut().enumerate() {
                        *moment = Some(Moment(from.0 + (step * place as f64) as i64));
                    }
                }
                _ => {
                    let middle = usize::midpoint(low, high);
                    moments[middle] = when(middle);
                    open.extend([(low, middle), (middle, high)]);
                }
            }
        }
        moments
    }

    fn is_near(&self, from: Moment, to: Moment) -> bool {
        to.since(from) <= (from.since(self.now) / 100).max(Duration::from_secs(1))
    }

    fn fit(&self, mail: Load, at: Moment) -> bool {
        // Messages are all taken to be of the same kind.
        let each = |all: u64| all.div_ceil(mail.messages.max(1)).max(1);
        let each = AmountSum { messages: 1, recipients: each(mail.recipients), octets: each(mail.octets) };
        let by = |scope: &Capacity| scope.by(at, self.now, &each);
        let all = self.accounts.iter().map(by).fold(0_u64, u64::saturating_add);
        self.shared.iter().map(by).fold(all, u64::min) >= mail.messages
    }
}

impl Capacity {
    /// What a scope lets through from now on, given what is in force, what it has sent, and whether it may send.
    #[must_use]
    pub fn new(
        ceilings: &Ceilings,
        counts: &mut Counts,
        availability: Availability,
        now: Moment,
        timeline: &Timeline,
    ) -> Self {
        let mut windows = Vec::new();
        let under_way = counts.under_way();
        for WindowCeiling { window, quota, .. } in ceilings.in_force() {
            let period = ceilings.period(window, now, timeline);
            let used = counts.used(window, now, period);
            let limits = [
                (quota.messages.map(u64::from), Counted::Messages),
                (quota.recipients.map(u64::from), Counted::Recipients),
                (quota.octets, Counted::Octets),
            ];
            for (limit, what) in limits {
                let Some(limit) = limit else { continue };
                let of = |sum: AmountSum| what.of(&sum);
                // What is under way is taken to end now.
                let free = limit.saturating_sub(of(used));
                let slots = counts.slots_at(window, now, period);
                let leaves = match period {
                    Some(period) => vec![(period.next, of(used))],
                    None => leaves(slots, of, (now.after(window.length()), of(under_way))),
                };
                let length = window.length().as_millis() as i64;
                windows.push(WindowCapacity { limit, counts: what, length, free, leaves });
            }
        }
        let from = match availability {
            Availability::Now => now,
            Availability::From(from) => from.max(now),
            Availability::Never => Moment(i64::MAX),
        };
        let pace = if ceilings.paces_evenly() {
            Some((ceilings.even_distance(&Amount::of_message(1, 0)), 1))
        } else {
            ceilings.batch.map(|batch| (batch.pause, u64::from(batch.messages)))
        };
        Self { windows, from, pace }
    }

    /// How many messages of that kind may have gone by then.
    fn by(&self, at: Moment, now: Moment, each: &AmountSum) -> u64 {
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
fn leaves(slots: &Slots, of: impl Fn(AmountSum) -> u64, under_way: (Moment, u64)) -> Vec<(Moment, u64)> {
    let counted = slots.departures().map(|(at, counted)| (at, of(counted)));
    let mut sum = 0;
    let add_up = |(at, count): (Moment, u64)| {
        sum += count;
        (at, sum)
    };
    counted.chain([under_way]).map(add_up).collect()
}

impl Counted {
    fn of(self, sum: &AmountSum) -> u64 {
        match self {
            Self::Messages => sum.messages,
            Self::Recipients => sum.recipients,
            Self::Octets => sum.octets,
        }
    }
}

impl WindowCapacity {
    fn by(&self, at: Moment, now: Moment, each: &AmountSum) -> u64 {
        let passed = (at.0 - now.0).max(0);
        // What goes within one length from now comes again in each that follows.
        let (whole, rest) = ((passed / self.length) as u64, passed % self.length);
        let until = Moment(now.0 + rest);
        let left = self.leaves.partition_point(|&(leaves, _)| leaves <= until);
        let left = left.checked_sub(1).map_or(0, |last| self.leaves[last].1);
        let amount = whole.saturating_mul(self.limit) + (self.free + left).min(self.limit);
        amount / self.counts.of(each)
    }
}
