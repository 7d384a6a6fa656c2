//! A time line that no clock step can bend.
//!
//! Limits must hold and retries must come even when somebody sets the clock. So the relay counts in *moments*:
//! milliseconds that start out as wall-clock time and then advance with the time since boot. Within one boot a
//! restart goes on where the last process was; across boots the wall clock tells how much has passed since it was last
//! noted, and never less than nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Clock;

/// A point on the relay's time line, in milliseconds. It began as Unix time, but is never stepped: only distances tell
/// something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// The moment that is `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long it is from `earlier` to here; nothing when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// What ties the time line to the clocks; kept in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The boot in which it was taken.
    pub boot_id: String,
    /// Time since that boot, in milliseconds.
    pub since_boot: i64,
    /// The moment at which it was taken.
    pub moment: Moment,
    /// What the wall clock showed then, in milliseconds of Unix time: across a boot the difference counts.
    pub wall: i64,
}

/// Tells the present moment.
#[derive(Clone)]
pub struct Timeline {
    clock: Arc<dyn Clock>,
    /// Moment minus time since boot, in milliseconds.
    offset: i64,
}

/// The clock has no form to show.
impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl Timeline {
    /// Goes on from the last process's anchor, or starts at the wall clock when there is none.
    #[must_use]
    pub fn resume(clock: Arc<dyn Clock>, last: Option<&Anchor>) -> Self {
        let since_boot = clock.since_boot().as_millis() as i64;
        let wall = clock.wall().as_millisecond();
        let now = match last {
            Some(last) if last.boot_id == clock.boot_id() && !last.boot_id.is_empty() => {
                last.moment.0 + (since_boot - last.since_boot)
            }
            Some(last) => last.moment.0 + (wall - last.wall).max(0),
            None => wall,
        };
        Self { clock, offset: now - since_boot }
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(self.offset + self.clock.since_boot().as_millis() as i64)
    }

    /// What the next process needs to go on.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        let since_boot = self.clock.since_boot().as_millis() as i64;
        let moment = Moment(self.offset + since_boot);
        Anchor { boot_id: self.clock.boot_id(), since_boot, moment, wall: self.wall().as_millisecond() }
    }

    /// How far the wall clock is ahead of the time line, in milliseconds: it changes when somebody sets the clock.
    #[must_use]
    pub fn wall_ahead(&self) -> i64 {
        self.wall().as_millisecond().saturating_sub(self.now().0)
    }

    /// The wall clock, for what people read: headers, the log, reports.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    /// What the wall clock shows at a moment, as far as is known now.
    #[must_use]
    pub fn wall_at(&self, moment: Moment) -> Timestamp {
        let distance = SignedDuration::from_millis(moment.0.saturating_sub(self.now().0));
        self.wall().checked_add(distance).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Hands {
        wall: i64,
        since_boot: u64,
        boot_id: &'static str,
    }

    struct TestClock(Mutex<Hands>);

    impl Clock for TestClock {
        fn wall(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0.lock().unwrap().wall).unwrap()
        }
        fn since_boot(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().since_boot)
        }
        fn boot_id(&self) -> String {
            self.0.lock().unwrap().boot_id.to_owned()
        }
    }

    fn clock(wall: i64, since_boot: u64, boot_id: &'static str) -> Arc<TestClock> {
        Arc::new(TestClock(Mutex::new(Hands { wall, since_boot, boot_id })))
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_nothing() {
        let clock = clock(1_000_000, 500, "a");
        let line = Timeline::resume(clock.clone(), None);
        assert_eq!(line.now(), Moment(1_000_000));
        clock.0.lock().unwrap().wall -= 3_600_000;
        clock.0.lock().unwrap().since_boot += 10;
        assert_eq!(line.now(), Moment(1_000_010));
        let again = Timeline::resume(clock.clone(), Some(&line.anchor()));
        assert_eq!(again.now(), Moment(1_000_010), "a restart within the boot goes on");
        assert_eq!(again.wall_at(Moment(1_000_020)).as_millisecond(), 1_000_000 - 3_600_000 + 10);
    }

    #[test]
    fn after_a_boot_the_wall_clock_tells_but_never_goes_back() {
        let anchor =
            Anchor { boot_id: "a".into(), since_boot: 500, moment: Moment(1_000_000), wall: 1_000_000 };
        assert_eq!(Timeline::resume(clock(1_600_000, 3, "b"), Some(&anchor)).now(), Moment(1_600_000));
        assert_eq!(Timeline::resume(clock(400_000, 3, "b"), Some(&anchor)).now(), Moment(1_000_000));
    }

    #[test]
    fn a_step_that_was_noted_counts_for_nothing_after_a_boot() {
        let before = clock(1_000_000, 500, "a");
        let line = Timeline::resume(before.clone(), None);
        before.0.lock().unwrap().wall += 86_400_000;
        assert_eq!(line.wall_ahead(), 86_400_000);
        let after = clock(1_000_000 + 86_400_000 + 70, 3, "b");
        assert_eq!(Timeline::resume(after, Some(&line.anchor())).now(), Moment(1_000_070));
    }
}
