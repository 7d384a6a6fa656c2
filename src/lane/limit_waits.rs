//! How long each lane has waited for limits: that makes no mail older.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::LaneName;
use crate::time::Moment;

/// The waits of all lanes. A message's age counts from its acceptance *less* this figure then, *plus* this figure now:
/// so no row need be touched for it.
#[derive(Debug, Clone, Default)]
pub struct LimitWaits(Arc<Mutex<HashMap<LaneName, LaneWait>>>);

#[derive(Debug, Default)]
struct LaneWait {
    /// All waits that have ended.
    ended: Duration,
    /// How many wait at present. A lane that ends and the one that follows it may both.
    waiters: u32,
    /// Since when at least one has waited without a break.
    since: Option<Moment>,
}

/// A wait for a limit. Whoever waits owns one, and ends it: by [`LimitWait::end`], or by dropping it, which counts
/// nothing of the time since the last look.
#[derive(Debug)]
pub struct LimitWait {
    waits: LimitWaits,
    lane: LaneName,
    seen: Moment,
}

impl LimitWaits {
    /// How long a lane has waited for limits up to `now`, all waits together.
    #[must_use]
    pub fn of(&self, lane: &LaneName, now: Moment) -> Duration {
        self.lock().get(lane).map_or(Duration::ZERO, |wait| wait.until(now))
    }

    /// Puts back what a former process counted.
    pub fn restore(&self, lane: LaneName, waited: Duration) {
        self.lock().entry(lane).or_default().ended = waited;
    }

    /// Somebody waits for a limit from `now` on.
    #[must_use]
    pub fn begin(&self, lane: &LaneName, now: Moment) -> LimitWait {
        let mut lanes = self.lock();
        let wait = lanes.entry(lane.clone()).or_default();
        wait.waiters += 1;
        wait.since.get_or_insert(now);
        drop(lanes);
        LimitWait { waits: self.clone(), lane: lane.clone(), seen: now }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaneName, LaneWait>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneWait {
    fn until(&self, now: Moment) -> Duration {
        self.ended + self.since.map_or(Duration::ZERO, |since| now.since(since))
    }
}

impl LimitWait {
    /// The wait still lasts at `now`.
    pub fn seen(&mut self, now: Moment) {
        self.seen = self.seen.max(now);
    }

    /// Ends the wait.
    pub fn end(mut self, now: Moment) {
        self.seen(now);
    }
}

impl Drop for LimitWait {
    fn drop(&mut self) {
        let mut lanes = self.waits.lock();
        let Some(wait) = lanes.get_mut(&self.lane) else { return };
        wait.waiters = wait.waiters.saturating_sub(1);
        if wait.waiters == 0 {
            wait.ended = wait.until(self.seen);
            wait.since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(waits: &LimitWaits, lane: &LaneName, now: i64) -> u128 {
        waits.of(lane, Moment(now)).as_millis()
    }

    #[test]
    fn adds_up_the_waits() {
        let (waits, a) = (LimitWaits::default(), LaneName::of_upstream("a"));
        waits.restore(a.clone(), Duration::from_millis(100));
        let wait = waits.begin(&a, Moment(1_000));
        assert_eq!(of(&waits, &a, 2_000), 1_100);
        wait.end(Moment(3_000));
        assert_eq!(of(&waits, &a, 9_000), 2_100);
        assert_eq!(of(&waits, &LaneName::of_upstream("b"), 9_000), 0);
    }

    #[test]
    fn a_wait_that_ends_leaves_the_others_alone() {
        let (waits, a) = (LimitWaits::default(), LaneName::of_upstream("a"));
        let old = waits.begin(&a, Moment(0));
        let new = waits.begin(&a, Moment(1_000));
        old.end(Moment(2_000));
        assert_eq!(of(&waits, &a, 5_000), 5_000, "the other one goes on");
        new.end(Moment(6_000));
        assert_eq!(of(&waits, &a, 9_000), 6_000);
    }
}
