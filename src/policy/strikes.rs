//! Failures by key: some are free, then each leads to a pause, and each pause is twice as long as the one before. The
//! number of keys that are remembered is bounded.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::MAX_KEYS;
use crate::time::{Moment, Timeline};

/// How many failures lead to which pauses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leniency {
    /// With so many failures the first pause begins; at least 1.
    pub(super) allowed: u32,
    /// How long the first pause is.
    pub(super) first: Duration,
    /// How long one is at most.
    pub(super) longest: Duration,
    /// So long after a pause, or a failure without one, all is forgotten.
    pub(super) memory: Duration,
}

impl Leniency {
    /// The pause after so many failures.
    fn pause(&self, failures: u32) -> Option<Duration> {
        let doublings = failures.checked_sub(self.allowed)?;
        Some(self.first.saturating_mul(1 << doublings.min(30)).min(self.longest))
    }
}

/// What a failure has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strike {
    /// Which it is, from 1.
    pub(super) number: u32,
    /// The pause that begins with it.
    pub(super) pause: Option<Duration>,
}

/// The failures of each key.
pub(super) struct Strikes<K> {
    leniency: Leniency,
    timeline: Timeline,
    records: Mutex<HashMap<K, Record>>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    failures: u32,
    /// When the pause ends; the moment of the last failure when there is none.
    until: Moment,
}

impl<K> fmt::Debug for Strikes<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strikes").field("leniency", &self.leniency).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Copy> Strikes<K> {
    /// Nobody has failed yet.
    pub(super) fn new(leniency: Leniency, timeline: Timeline) -> Self {
        Self { leniency, timeline, records: Mutex::default() }
    }

    /// How much of a key's pause is left; `None` when there is none.
    pub(super) fn pause(&self, key: &K) -> Option<Duration> {
        let now = self.timeline.now();
        let until = self.records().get(key)?.until;
        (until > now).then(|| until.since(now))
    }

    /// Counts a failure.
    pub(super) fn strike(&self, key: K) -> Strike {
        let now = self.timeline.now();
        let mut records = self.records();
        if records.len() >= MAX_KEYS && !records.contains_key(&key) {
            self.make_room(&mut records, now);
        }
        let record = records.entry(key).or_insert(Record { failures: 0, until: now });
        if now >= record.until.after(self.leniency.memory) {
            record.failures = 0;
        }
        record.failures = record.failures.saturating_add(1);
        let pause = self.leniency.pause(record.failures);
        record.until = now.after(pause.unwrap_or_default());
        Strike { number: record.failures, pause }
    }

    /// Forgets the failures of a key.
    pub(super) fn forgive(&self, key: &K) {
        self.records().remove(key);
    }

    /// Removes what is over; when that is little, those who have failed least, and of these the oldest. Who floods us from
    /// everywhere does not free those who have failed much.
    fn make_room(&self, records: &mut HashMap<K, Record>, now: Moment) {
        records.retain(|_, record| now < record.until.after(self.leniency.memory));
        let surplus = records.len().saturating_sub(MAX_KEYS / 4 * 3);
        if surplus == 0 {
            return;
        }
        let mut order: Vec<_> =
            records.iter().map(|(key, record)| (record.failures, record.until, *key)).collect();
        order.select_nth_unstable_by_key(surplus - 1, |(failures, until, _)| (*failures, *until));
        for (_, _, key) in &order[..surplus] {
            records.remove(key);
        }
    }

    fn records(&self) -> MutexGuard<'_, HashMap<K, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.records().len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::tests::Hands;
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const LENIENCY: Leniency =
        Leniency { allowed: 3, first: seconds(10), longest: seconds(35), memory: seconds(100) };

    #[test]
    fn pauses_grow_and_are_forgotten() {
        let hands = Hands::new();
        let strikes = Strikes::new(LENIENCY, hands.timeline());
        let mut pauses = Vec::new();
        for number in 1..=6 {
            let strike = strikes.strike('a');
            assert_eq!(strike.number, number);
            assert_eq!(strikes.pause(&'a'), strike.pause);
            pauses.push(strike.pause.map_or(0, |pause| pause.as_secs()));
            hands.advance(strike.pause.unwrap_or_default());
            assert_eq!(strikes.pause(&'a'), None);
        }
        assert_eq!(pauses, [0, 0, 10, 20, 35, 35]);
        assert_eq!(strikes.pause(&'b'), None);
        hands.advance(seconds(99));
        assert_eq!(strikes.strike('a').number, 7);
        hands.advance(seconds(35 + 100));
        assert_eq!(strikes.strike('a').number, 1);
        strikes.strike('a');
        strikes.forgive(&'a');
        assert_eq!(strikes.strike('a').number, 1);
    }

    #[test]
    fn a_flood_does_not_free_who_has_failed_much() {
        let hands = Hands::new();
        let strikes = Strikes::new(LENIENCY, hands.timeline());
        for _ in 0..3 {
            strikes.strike(usize::MAX);
        }
        for key in 0..MAX_KEYS * 3 {
            strikes.strike(key);
            assert!(strikes.len() <= MAX_KEYS);
        }
        assert!(strikes.pause(&usize::MAX).is_some());
        hands.advance(seconds(1000));
        strikes.strike(0);
        for key in 0..MAX_KEYS {
            strikes.strike(key);
        }
        assert!(strikes.len() <= MAX_KEYS);
    }
}
