//! Wakes the lane whose mail has just been queued, and knows how long each lane has waited for limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::time::Moment;

/// One signal per lane. A wake-up that comes while the lane is busy is not lost.
#[derive(Debug, Default)]
pub struct Wake {
    lanes: Mutex<HashMap<String, Lane>>,
}

#[derive(Debug, Default)]
struct Lane {
    signal: Arc<Notify>,
    waited: i64,
    since: Option<Moment>,
    retry: bool,
}

impl Wake {
    /// Tells a lane that something for it has changed.
    pub fn wake(&self, route: &str) {
        self.with(route, |lane| lane.signal.notify_one());
    }

    /// Tells all lanes.
    pub fn wake_all(&self) {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.values().for_each(|lane| lane.signal.notify_one());
    }

    /// Tells a lane that a person wants its mail tried now, even if the upstream was down a moment ago.
    pub fn retry(&self, route: &str) {
        self.with(route, |lane| {
            lane.retry = true;
            lane.signal.notify_one();
        });
    }

    /// Tells all lanes the same.
    pub fn retry_all(&self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in lanes.values_mut() {
            lane.retry = true;
            lane.signal.notify_one();
        }
    }

    /// Whether [`Wake::retry`] was called since this was last asked.
    #[must_use]
    pub fn take_retry(&self, route: &str) -> bool {
        self.with(route, |lane| std::mem::take(&mut lane.retry))
    }

    /// The signal of a lane.
    #[must_use]
    pub fn signal(&self, route: &str) -> Arc<Notify> {
        self.with(route, |lane| lane.signal.clone())
    }

    /// How long the lane has waited for limits up to `now`, in milliseconds, all waits together.
    ///
    /// A message's age counts from its acceptance *less* this figure then, *plus* this figure now: so waiting for a
    /// limit makes no message older, and no row need be touched for it.
    #[must_use]
    pub fn limit_wait(&self, route: &str, now: Moment) -> i64 {
        self.with(route, |lane| {
            lane.waited + lane.since.map_or(0, |since| now.since(since).as_millis() as i64)
        })
    }

    /// Restores what a former process counted.
    pub fn restore_limit_wait(&self, route: &str, millis: i64) {
        self.with(route, |lane| lane.waited = millis);
    }

    /// Notes that the lane waits for a limit from `now` on.
    pub fn limit_wait_begins(&self, route: &str, now: Moment) {
        self.with(route, |lane| {
            lane.since.get_or_insert(now);
        });
    }

    /// Notes that the lane no longer waits.
    pub fn limit_wait_ends(&self, route: &str, now: Moment) {
        self.with(route, |lane| {
            if let Some(since) = lane.since.take() {
                lane.waited += now.since(since).as_millis() as i64;
            }
        });
    }

    fn with<T>(&self, route: &str, f: impl FnOnce(&mut Lane) -> T) -> T {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if !lanes.contains_key(route) {
            lanes.insert(route.to_owned(), Lane::default());
        }
        f(lanes.get_mut(route).expect("it was put there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_the_waits() {
        let wake = Wake::default();
        wake.restore_limit_wait("a", 100);
        wake.limit_wait_begins("a", Moment(1_000));
        wake.limit_wait_begins("a", Moment(1_500));
        assert_eq!(wake.limit_wait("a", Moment(2_000)), 1_100);
        wake.limit_wait_ends("a", Moment(3_000));
        assert_eq!(wake.limit_wait("a", Moment(9_000)), 2_100);
        assert_eq!(wake.limit_wait("b", Moment(9_000)), 0);
    }
}
