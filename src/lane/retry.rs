//! When to try again.

use std::time::Duration;

/// The wait after the `failures`-th failure in a row (1 is the first): `min`, doubled each time, at most `max`.
#[must_use]
pub fn backoff(failures: u32, min: Duration, max: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    min.saturating_mul(1 << doublings).min(max).max(min.min(max))
}

/// Spreads a wait by up to 10 % beyond it, so that what failed together does not come back together.
///
/// `random` is any number; it is taken as a share of its whole range.
#[must_use]
pub fn jitter(wait: Duration, random: u32) -> Duration {
    wait + wait.mul_f64(0.1 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let wait = |n| backoff(n, Duration::from_mins(1), Duration::from_hours(1)).as_secs();
        assert_eq!([1, 2, 3, 6, 7, 8, u32::MAX].map(wait), [60, 120, 240, 1920, 3600, 3600, 3600]);
    }

    proptest! {
        #[test]
        fn never_shorter_than_before(n in 1u32..100, min in 1u64..1000, more in 0u64..100_000, random: u32) {
            let (min, max) = (Duration::from_secs(min), Duration::from_secs(min + more));
            prop_assert!(backoff(n, min, max) <= backoff(n + 1, min, max));
            let wait = backoff(n, min, max);
            prop_assert!(jitter(wait, random) >= wait && jitter(wait, random) <= wait.mul_f64(1.1));
        }
    }
}
