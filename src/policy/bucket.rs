//! How often something happened per key, with governor (GCRA): each key may do so much at once, and gets it back over
//! time. The number of keys that are remembered is bounded.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::time::{Moment, Timeline};

/// Keys that are remembered at most.
const MAX_KEYS: usize = 16_384;

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

/// One bucket per key.
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
pub(super) enum Taken {
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
    pub(super) fn take(&self, key: &K) -> Taken {
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
            Ok(state) => Taken::Left(state.remaining_burst_capacity()),
            Err(not_yet) => {
                let at = not_yet.earliest_possible().as_u64().div_ceil(1_000_000);
                Taken::Empty { until: Moment(i64::try_from(at).unwrap_or(i64::MAX)) }
            }
        }
    }
}

fn limiter<K: Hash + Eq + Clone>(burst: NonZeroU32, refill: Duration, timeline: &Timeline) -> Limiter<K> {
    let quota = Quota::with_period(refill).expect("the constants are above zero").allow_burst(burst);
    RateLimiter::hashmap_with_clock(quota, Ticks(timeline.clone()))
        .with_middleware::<StateInformationMiddleware>()
}

/// Who a client is for counting: an IPv4 address, or the /64 of an IPv6 address, since one host has all of it.
pub(super) fn neighbourhood(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}
