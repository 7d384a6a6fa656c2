//! Whether an upstream, or one login of it, can be used, as attempts have found it.
//!
//! While it can't, one probing attempt is made at growing intervals. The state is shared by all who send by it, so that a
//! failure counts before the next message is claimed.

use std::sync::{Arc, Mutex, PoisonError};
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

/// The health of one upstream, or of one login.
#[derive(Debug, Default, Clone)]
pub(super) struct Health {
    state: Arc<Mutex<State>>,
    /// After so many failures in a row a person is told; 0 is never.
    disable_after: u32,
}

#[derive(Debug, Default)]
struct State {
    down: Option<Down>,
    broken: u32,
    /// Whether a probe is under way.
    probing: bool,
}

/// The right to make the one probing attempt; when it is dropped, another may be made.
pub(super) struct Probe(Health);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.with(|state| state.probing = false);
    }
}

/// What may be done with an upstream, or a login.
pub(super) enum Use {
    /// It answers.
    Freely,
    /// One attempt may find out whether it answers again.
    Probe(Probe),
    /// That attempt is under way.
    Probing,
    /// Nothing, until the next probe.
    Not(Down),
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
    /// Whether there were so many that it counts as disabled.
    pub(super) disabled: bool,
}

impl Down {
    /// Whether it has just come to count as disabled.
    pub(super) fn is_newly_disabled(&self, disable_after: u32) -> bool {
        self.disabled && self.failures == disable_after
    }
}

impl Health {
    pub(super) fn new(disable_after: u32) -> Self {
        Self { state: Arc::default(), disable_after }
    }

    /// The upstream is down, and how.
    pub(super) fn down(&self) -> Option<Down> {
        self.with(|state| state.down.clone())
    }

    /// What may be done now.
    pub(super) fn usable(&self, now: Moment) -> Use {
        self.with(|state| match &state.down {
            None => Use::Freely,
            Some(_) if state.probing => Use::Probing,
            Some(down) if now < down.probe_at => Use::Not(down.clone()),
            Some(_) => {
                state.probing = true;
                Use::Probe(Probe(self.clone()))
            }
        })
    }

    /// It answers. What was wrong until now, if anything.
    pub(super) fn answered(&self) -> Option<Down> {
        self.with(|state| {
            state.broken = 0;
            state.down.take()
        })
    }

    /// No connection that is ready for mail came about.
    pub(super) fn unreachable(&self, reason: &str, now: Moment, queue: &config::Queue) -> Down {
        self.with(|state| state.fail(reason, now, queue, self.disable_after))
    }

    /// A dialogue broke. One may be the message's fault; several in a row are the upstream's.
    pub(super) fn broke(&self, reason: &str, now: Moment, queue: &config::Queue) -> Option<Down> {
        self.with(|state| {
            state.broken += 1;
            let is_down = state.broken >= BROKEN_MAX || state.down.is_some();
            is_down.then(|| state.fail(reason, now, queue, self.disable_after))
        })
    }

    /// Lets the next attempt be the probe: a person wants it.
    pub(super) fn probe_now(&self, now: Moment) {
        self.with(|state| {
            if let Some(down) = &mut state.down {
                down.probe_at = now;
            }
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn fail(&mut self, reason: &str, now: Moment, queue: &config::Queue, disable_after: u32) -> Down {
        let known = self.down.as_ref().filter(|down| now < down.probe_at);
        if let Some(down) = known {
            // Several connections failed at once: that is one failure.
            return down.clone();
        }
        let failures = self.down.as_ref().map_or(0, |down| down.failures) + 1;
        let wait = backoff(failures, PROBE_MIN.min(queue.retry_min), queue.retry_max.min(PROBE_MAX));
        let probe_at = now.after(jitter(wait, rand::random()));
        let disabled = disable_after > 0 && failures >= disable_after;
        let down = Down { reason: reason.to_owned(), probe_at, failures, disabled };
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
        assert!(health.answered().is_some());
        assert!(health.answered().is_none());
        assert_eq!(health.down(), None);
    }

    #[test]
    fn one_probe_at_a_time() {
        let (health, queue) = (Health::default(), queue());
        assert!(matches!(health.usable(Moment(0)), Use::Freely));
        let down = health.unreachable("refused", Moment(0), &queue);
        assert!(matches!(health.usable(Moment(1)), Use::Not(_)));
        let Use::Probe(probe) = health.usable(down.probe_at) else { panic!("a probe is due") };
        assert!(matches!(health.usable(down.probe_at), Use::Probing));
        drop(probe);
        assert!(
            matches!(health.usable(down.probe_at), Use::Probe(_)),
            "one that taught nothing is made again"
        );
    }

    #[test]
    fn one_broken_dialogue_is_not_the_upstreams_fault() {
        let (health, queue) = (Health::default(), queue());
        assert_eq!(health.broke("lost", Moment(0), &queue), None);
        assert_eq!(health.broke("lost", Moment(0), &queue), None);
        assert_eq!(health.answered(), None);
        assert_eq!(health.broke("lost", Moment(0), &queue), None, "a success in between starts anew");
        health.broke("lost", Moment(0), &queue);
        assert!(health.broke("lost", Moment(0), &queue).is_some());
    }
}
