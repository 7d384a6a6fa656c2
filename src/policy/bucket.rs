//! How often something happened per key, with governor (GCRA): each key may do so much at once, and gets it back over
//! time. The number of keys that are remembered is bounded.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::MAX_KEYS;
use crate::time::{Moment, Timeline};

/// The relay's time line as governor's clock.
#[derive(Clone)]
struct Ticks(Timeline);

impl Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let milliseconds = u64::try_from(self.0.now().0).unwrap_or(0);
        Nanos::from(Duration::from_millis(milliseconds))
    }
}

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, Ticks, StateInformationMiddleware>;

/// A bucket for each key.
pub(super) struct Buckets<K: Hash + Eq + Clone> {
    burst: NonZeroU32,
    refill: Duration,
    timeline: Timeline,
    limiter: Mutex<Limiter<K>>,
}

impl<K: Hash + Eq + Clone> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets")
            .field("burst", &self.burst)
            .field("refill", &self.refill)
            .finish_non_exhaustive()
    }
}

/// What taking from a bucket came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakeResult {
    /// So much is left.
    Left(u32),
    /// There was nothing to take; there will be at this moment.
    Empty {
        /// When the next one can be taken.
        until: Moment,
    },
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Each key may take `burst` at once, and gets one back per `refill` (at least a nanosecond).
    pub(super) fn new(burst: NonZeroU32, refill: Duration, timeline: Timeline) -> Self {
        let limiter = Mutex::new(limiter(burst, refill, &timeline));
        Self { burst, refill, timeline, limiter }
    }

    /// Takes one.
    pub(super) fn take(&self, key: &K) -> TakeResult {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        if limiter.len() >= MAX_KEYS {
            limiter.retain_recent();
            // Most are in use: under such a flood the figures of single clients mean little, memory means more.
            if limiter.len() > MAX_KEYS / 4 * 3 {
                tracing::warn!(event = "pacing_forgotten", reason = "too many clients at once");
                *limiter = self::limiter(self.burst, self.refill, &self.timeline);
            }
        }
        match limiter.check_key(key) {
            Ok(state) => TakeResult::Left(state.remaining_burst_capacity()),
            Err(not_yet) => {
                let at = not_yet.earliest_possible().as_u64().div_ceil(1_000_000);
                TakeResult::Empty { until: Moment(i64::try_from(at).unwrap_or(i64::MAX)) }
            }
        }
    }
}

fn limiter<K: Hash + Eq + Clone>(burst: NonZeroU32, refill: Duration, timeline: &Timeline) -> Limiter<K> {
    let quota = Quota::with_period(refill).expect("the constants are above zero").allow_burst(burst);
    RateLimiter::hashmap_with_clock(quota, Ticks(timeline.clone()))
        .with_middleware::<StateInformationMiddleware>()
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use jiff::Timestamp;

    use super::*;
    use crate::time;

    /// A clock that stands still until it is advanced.
    pub(in crate::policy) struct Hands(Arc<AtomicU64>);

    struct TestClock(Arc<AtomicU64>);

    impl time::Clock for TestClock {
        fn wall(&self) -> Timestamp {
            Timestamp::from_second(1_800_000_000).unwrap()
        }
        fn since_boot(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
        fn boot_id(&self) -> String {
            "boot".to_owned()
        }
    }

    impl Hands {
        pub(in crate::policy) fn new() -> Self {
            Self(Arc::default())
        }

        pub(in crate::policy) fn timeline(&self) -> Timeline {
            Timeline::resume(Arc::new(TestClock(self.0.clone())), None)
        }

        pub(in crate::policy) fn advance(&self, by: Duration) {
            self.0.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
        }
    }

    #[test]
    fn gives_back_over_time() {
        let hands = Hands::new();
        let two = NonZeroU32::new(2).unwrap();
        let buckets = Buckets::new(two, Duration::from_secs(10), hands.timeline());
        let start = hands.timeline().now();
        assert_eq!([buckets.take(&"a"), buckets.take(&"a")], [TakeResult::Left(1), TakeResult::Left(0)]);
        assert_eq!(buckets.take(&"a"), TakeResult::Empty { until: start.after(Duration::from_secs(10)) });
        assert_eq!(buckets.take(&"b"), TakeResult::Left(1));
        hands.advance(Duration::from_secs(10));
        assert_eq!(buckets.take(&"a"), TakeResult::Left(0));
        assert_eq!(buckets.take(&"a"), TakeResult::Empty { until: start.after(Duration::from_secs(20)) });
    }

    #[test]
    fn stays_small() {
        let hands = Hands::new();
        let buckets = Buckets::new(NonZeroU32::MIN, Duration::from_secs(10), hands.timeline());
        for key in 0..MAX_KEYS * 3 {
            assert_eq!(buckets.take(&key), TakeResult::Left(0));
            assert!(buckets.limiter.lock().unwrap().len() <= MAX_KEYS);
        }
    }

    #[test]
    fn forgets_what_is_over_first() {
        let hands = Hands::new();
        let buckets = Buckets::new(NonZeroU32::MIN, Duration::from_secs(10), hands.timeline());
        (0..MAX_KEYS).for_each(|key| assert_eq!(buckets.take(&key), TakeResult::Left(0)));
        hands.advance(Duration::from_mins(1));
        assert_eq!(buckets.take(&MAX_KEYS), TakeResult::Left(0));
        assert_eq!(buckets.limiter.lock().unwrap().len(), 1);
    }
}
