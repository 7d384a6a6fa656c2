//! Whether an upstream can be used, as its attempts have found it.
//!
//! While it can't, one probing attempt is made at growing intervals. The state is shared by the lane and its attempts,
//! so that a failure counts before the next message is claimed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::config;
use crate::queue::{backoff, jitter};
use crate::time::Moment;

/// The first wait before a probe.
const PROBE_MIN: Duration = Duration::from_secs(10);
/// The longest wait before a probe: an upstream that comes back gets its mail soon.
const PROBE_MAX: Duration = Duration::from_mins(15);
/// Broken dialogues in a row, without one success, that make an upstream count as down.
const BROKEN_MAX: u32 = 3;

/// The health of one upstream.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    down: Option<Down>,
    broken: u32,
}

/// An upstream that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Down {
    /// What happened last, in words.
    pub(super) reason: String,
    /// When the next probe is made.
    pub(super) probe_at: Moment,
    /// Failures in a row.
    pub(super) failures: u32,
}

impl Health {
    /// The upstream is down, and how.
    pub(super) fn down(&self) -> Option<Down> {
        self.with(|state| state.down.clone())
    }

    /// It answers; true when it was down before.
    pub(super) fn answered(&self) -> bool {
        self.with(|state| {
            state.broken = 0;
            state.down.take().is_some()
        })
    }

    /// No connection that is ready for mail came about.
    pub(super) fn unreachable(&self, reason: &str, now: Moment, queue: &config::Queue) -> Down {
        self.with(|state| state.fail(reason, now, queue))
    }

    /// A dialogue broke. One may be the message's fault; several in a row are the upstream's.
    pub(super) fn broke(&self, reason: &str, now: Moment, queue: &config::Queue) -> Option<Down> {
        self.with(|state| {
            state.broken += 1;
            let is_down = state.broken >= BROKEN_MAX || state.down.is_some();
            is_down.then(|| state.fail(reason, now, queue))
        })
    }

    /// Lets the next attempt be the probe: a person wants it, or the last probe taught nothing.
    pub(super) fn probe_now(&self, now: Moment) {
        self.with(|state| {
            if let Some(down) = &mut state.down {
                down.probe_at = now;
            }
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn fail(&mut self, reason: &str, now: Moment, queue: &config::Queue) -> Down {
        let known = self.down.as_ref().filter(|down| now < down.probe_at);
        if let Some(down) = known {
            // Several connections failed at once: that is one failure.
            return down.clone();
        }
        let failures = self.down.as_ref().map_or(0, |down| down.failures) + 1;
        let wait = backoff(failures, PROBE_MIN.min(queue.retry_min), queue.retry_max.min(PROBE_MAX));
        let probe_at = now.after(jitter(wait, rand::random()));
        let down = Down { reason: reason.to_owned(), probe_at, failures };
        self.down = Some(down.clone());
        down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> config::Queue {
        let toml = "[[upstream]]\nname = \"x\"\nkind = \"capture\"\n";
        config::Config::from_toml(toml, "/".as_ref()).unwrap().config.queue
    }

    #[test]
    fn failures_at_once_are_one_and_later_ones_grow() {
        let (health, queue) = (Health::default(), queue());
        let first = health.unreachable("refused", Moment(0), &queue);
        assert!(first.probe_at >= Moment(10_000) && first.probe_at <= Moment(11_000), "{first:?}");
        assert_eq!(health.unreachable("refused", Moment(5), &queue), first);
        let second = health.unreachable("refused", first.probe_at, &queue);
        assert!(second.probe_at.since(first.probe_at) >= Duration::from_secs(20));
        assert!(health.answered());
        assert!(!health.answered());
        assert_eq!(health.down(), None);
    }

    #[test]
    fn one_broken_dialogue_is_not_the_upstreams_fault() {
        let (health, queue) = (Health::default(), queue());
        assert_eq!(health.broke("lost", Moment(0), &queue), None);
        assert_eq!(health.broke("lost", Moment(0), &queue), None);
        assert!(!health.answered());
        assert_eq!(health.broke("lost", Moment(0), &queue), None, "a success in between starts anew");
        health.broke("lost", Moment(0), &queue);
        assert!(health.broke("lost", Moment(0), &queue).is_some());
    }
}
