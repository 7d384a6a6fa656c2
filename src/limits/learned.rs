//! What a provider allows, as its answers have taught: down at once when it complains, up again step by step.
//!
//! A complaint about the rate brings it down to what the provider took in the last minute, but by no more than a half.
//! A rate that has held for a while is raised by a tenth of the configured limit. When that is too much, the rate that
//! held comes back, and the next try waits twice as long: so a limit that is lower than configured is found within
//! minutes, and asked about ever more rarely.

use std::time::Duration;

use super::amount::Amount;
use super::slots::Slots;
use crate::config::Window;
use crate::time::Moment;

/// How long a rate must hold before a higher one is tried, at first.
const HOLD: Duration = Duration::from_mins(10);
/// How long at most.
const LONGEST_HOLD: Duration = Duration::from_hours(4);
/// Complaints within this time are one: several transactions were under way.
const SAME: Duration = Duration::from_secs(10);

/// Refusals of connections within this time before all are refused were no more than the beginning of that.
const BEGINNING: Duration = Duration::from_mins(1);

/// A provider's complaint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slowdown {
    /// Too many messages.
    Rate,
    /// Too many connections.
    Connections,
}

/// A ceiling that was learned.
#[derive(Debug, Clone, Copy)]
struct LearnedCeiling {
    now: u32,
    /// The highest that has held.
    held: u32,
    raise_at: Moment,
    hold: Duration,
}

/// Refusals of one connection more.
#[derive(Debug, Clone, Copy)]
struct Refusals {
    last: Moment,
    /// The ceiling before the first of those that came shortly after each other.
    before: Option<LearnedCeiling>,
}

/// What an account's provider allows, as its answers have taught.
#[derive(Debug)]
pub struct LearnedPace {
    /// Messages in a minute.
    rate: Option<LearnedCeiling>,
    connections: Option<LearnedCeiling>,
    /// What the provider took in the last minute.
    taken: Slots,
    /// When it complained last.
    complained: Option<Moment>,
    /// How often it has complained since it last took a message.
    complaints: u32,
    /// When it last refused one connection more.
    refused: Option<Refusals>,
}

impl Default for LearnedPace {
    fn default() -> Self {
        Self {
            rate: None,
            connections: None,
            taken: Slots::new(Window::MINUTE),
            complained: None,
            complaints: 0,
            refused: None,
        }
    }
}

impl LearnedPace {
    /// Messages in a minute; `None` when it is as configured.
    #[must_use]
    pub fn per_minute(&self) -> Option<u32> {
        self.rate.map(|ceiling| ceiling.now)
    }

    /// Connections at the same time; `None` when it is as configured.
    #[must_use]
    pub fn connections(&self) -> Option<u32> {
        self.connections.map(|ceiling| ceiling.now)
    }

    /// How often the provider has complained since it last took a message; complaints at about the same time are one.
    #[must_use]
    pub fn complaints_in_a_row(&self) -> u32 {
        self.complaints
    }

    /// The provider has complained. `per_minute` is the configured limit, `connections` are those that are open, and the
    /// configured limit. Tells in words what has changed.
    pub fn slow_down(
        &mut self,
        slowdown: Slowdown,
        per_minute: Option<u32>,
        connections: (u32, u32),
        now: Moment,
    ) -> Option<String> {
        if self.complained.is_some_and(|before| now.since(before) < SAME) {
            return None;
        }
        self.complained = Some(now);
        self.complaints = self.complaints.saturating_add(1);
        match slowdown {
            Slowdown::Rate => {
                self.taken.expire(now, None);
                let taken = u32::try_from(self.taken.sum().messages).unwrap_or(u32::MAX).max(1);
                let configured = per_minute.unwrap_or(taken.saturating_mul(2));
                self.rate = Some(LearnedCeiling::lowered(self.rate, configured, taken, now));
                self.per_minute().map(|rate| format!("{rate} messages a minute"))
            }
            Slowdown::Connections => {
                let (open, configured) = connections;
                let fewer = open.min(configured).saturating_sub(1).max(1);
                self.connections = Some(LearnedCeiling::lowered(self.connections, configured, fewer, now));
                self.connections().map(|most| format!("{most} connections"))
            }
        }
    }

    /// The provider has refused a connection while so many others were there. Tells in words what has changed.
    pub fn refuse_connection(&mut self, others: u32, now: Moment) -> Option<String> {
        let before = self.connections();
        let fewer = others.max(1);
        let recent = self.refused.filter(|refused| now.since(refused.last) <= BEGINNING);
        let known = recent.map_or(self.connections, |refused| refused.before);
        self.refused = Some(Refusals { last: now, before: known });
        self.connections = match self.connections {
            Some(ceiling) if ceiling.now <= fewer => Some(ceiling),
            Some(ceiling) if ceiling.held > 0 && ceiling.held <= fewer => {
                Some(LearnedCeiling::lowered(Some(ceiling), fewer, fewer, now))
            }
            _ => Some(LearnedCeiling { now: fewer, held: 0, raise_at: now.after(HOLD), hold: HOLD }),
        };
        (before != self.connections()).then(|| format!("{fewer} connections"))
    }

    /// The provider refuses every connection: what it refused a moment ago says nothing of how many it takes. What was known
    /// before stays.
    pub fn forget_refusals(&mut self, now: Moment) {
        if let Some(refused) = self.refused.take().filter(|refused| now.since(refused.last) <= BEGINNING) {
            self.connections = refused.before;
        }
    }

    /// The provider has taken a message; `per_minute` and `connections` are the configured limits. Tells in words what has changed.
    pub fn delivered(&mut self, per_minute: Option<u32>, connections: u32, now: Moment) -> Option<String> {
        self.taken.expire(now, None);
        self.taken.add(Window::MINUTE.slot(now), &Amount::of_message(0, 0));
        self.complaints = 0;
        let was = (self.per_minute(), self.connections());
        // Without a configured limit it goes up by a quarter, until it is no limit any more.
        self.rate = self.rate.and_then(|rate| {
            let full = per_minute.unwrap_or(u32::MAX);
            let step = per_minute.map_or(rate.now / 4, |limit| limit / 10).max(1);
            rate.raised(step, full, now)
        });
        self.connections = self.connections.and_then(|most| most.raised(1, connections, now));
        if was == (self.per_minute(), self.connections()) {
            return None;
        }
        Some(self.words().unwrap_or_else(|| "as configured".to_owned()))
    }

    /// The provider has taken a message over one of so many connections, where `most` may be open. Tells in words what has
    /// changed.
    pub fn raise_connections(&mut self, most: u32, now: Moment) -> Option<String> {
        let was = self.connections()?;
        self.connections = self.connections.and_then(|ceiling| ceiling.raised(1, most, now));
        match self.connections() {
            Some(is) if is == was => None,
            Some(is) => Some(format!("{is} connections")),
            None => Some("as configured".to_owned()),
        }
    }

    /// Octets on the heap.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.taken.heap()
    }

    /// What was learned, in words; `None` when it is as configured.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let rate = self.per_minute().map(|rate| format!("{rate} messages a minute"));
        let most = self.connections().map(|most| match most {
            1 => "1 connection".to_owned(),
            most => format!("{most} connections"),
        });
        let parts: Vec<String> = rate.into_iter().chain(most).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl LearnedCeiling {
    /// The ceiling after a complaint, when the provider had just taken `taken`.
    fn lowered(before: Option<Self>, configured: u32, taken: u32, now: Moment) -> Self {
        if let Some(Self { held, hold, .. }) =
            before.filter(|ceiling| ceiling.now > ceiling.held && ceiling.held > 0)
        {
            // A higher one was tried, and was too much.
            let twice = hold.saturating_mul(2).min(LONGEST_HOLD);
            return Self { now: held, held, raise_at: now.after(twice), hold: twice };
        }
        let was = before.map_or(configured, |ceiling| ceiling.now);
        let lower = taken.min(was.saturating_sub(1)).max(was / 2).max(1);
        Self { now: lower, held: 0, raise_at: now.after(HOLD), hold: HOLD }
    }

    /// The ceiling after a success; `None` when the full one has held.
    fn raised(self, step: u32, full: u32, now: Moment) -> Option<Self> {
        if now < self.raise_at {
            return Some(self);
        }
        let higher = self.now.saturating_add(step).min(full);
        // After a raise that has held, the next need not wait as long as after one that was too much.
        let hold = if self.now > self.held && self.held > 0 { HOLD } else { self.hold };
        (self.now < full).then(|| Self { now: higher, held: self.now, raise_at: now.after(HOLD), hold })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A provider that takes `allows` messages in each minute, and an account that sends as it has learned.
    fn complaints(
        learned: &mut LearnedPace,
        allows: u32,
        configured: u32,
        minutes: std::ops::Range<i64>,
    ) -> (u32, u32) {
        let (mut refused, mut taken, mut here) = (0, 0, 0);
        for second in minutes.start * 60..minutes.end * 60 {
            let now = Moment(second * 1000);
            here = if second % 60 == 0 { 0 } else { here };
            if here >= learned.per_minute().unwrap_or(configured) {
                continue;
            }
            if here < allows {
                here += 1;
                taken += 1;
                learned.delivered(Some(configured), 3, now);
            } else {
                refused += 1;
                learned.slow_down(Slowdown::Rate, Some(configured), (3, 3), now);
            }
        }
        (refused, taken)
    }

    #[test]
    fn finds_a_lower_limit_and_keeps_to_it() {
        let mut learned = LearnedPace::default();
        complaints(&mut learned, 20, 30, 0..10);
        let (refused, taken) = complaints(&mut learned, 20, 30, 10..600);
        assert!(taken >= 590 * 20 * 9 / 10, "{taken}");
        assert!(refused * 100 < taken, "{refused} of {taken}");
        assert_eq!(complaints(&mut learned, 100, 30, 600..900).0, 0);
        assert_eq!(learned.per_minute(), None, "in the end it is what was configured");
    }

    #[test]
    fn one_complaint_never_takes_more_than_half() {
        let mut learned = LearnedPace::default();
        assert_eq!(
            learned.slow_down(Slowdown::Rate, Some(30), (1, 3), Moment(0)).as_deref(),
            Some("15 messages a minute")
        );
        assert_eq!(
            learned.slow_down(Slowdown::Rate, Some(30), (1, 3), Moment(5_000)),
            None,
            "it is the same"
        );
        learned.slow_down(Slowdown::Rate, Some(30), (1, 3), Moment(60_000));
        assert_eq!(learned.per_minute(), Some(7));
        for minute in 0..20 {
            learned.slow_down(Slowdown::Rate, Some(30), (1, 3), Moment(minute * 60_000 + 120_000));
        }
        assert_eq!(learned.per_minute(), Some(1));
    }

    #[test]
    fn a_closing_provider_teaches_nothing_and_what_was_known_stays() {
        let mut learned = LearnedPace::default();
        learned.refuse_connection(2, Moment(0));
        learned.forget_refusals(Moment(5_000));
        assert_eq!(learned.connections(), None, "nothing was known");
        learned.refuse_connection(3, Moment(100_000));
        learned.refuse_connection(2, Moment(400_000));
        learned.refuse_connection(1, Moment(430_000));
        assert_eq!(learned.connections(), Some(1));
        learned.forget_refusals(Moment(440_000));
        assert_eq!(learned.connections(), Some(3), "refused long before it closed");
        learned.forget_refusals(Moment(440_000));
        assert_eq!(learned.connections(), Some(3));
    }

    #[test]
    fn connections_go_down_one_by_one_and_come_back() {
        let mut learned = LearnedPace::default();
        learned.slow_down(Slowdown::Connections, None, (3, 3), Moment(0));
        assert_eq!(learned.connections(), Some(2));
        learned.slow_down(Slowdown::Connections, None, (2, 3), Moment(60_000));
        learned.slow_down(Slowdown::Connections, None, (1, 3), Moment(120_000));
        assert_eq!(learned.connections(), Some(1));
        assert_eq!(learned.delivered(None, 3, Moment(720_000)).as_deref(), Some("2 connections"));
        assert_eq!(learned.delivered(None, 3, Moment(1_320_000)).as_deref(), Some("3 connections"));
        learned.slow_down(Slowdown::Connections, None, (3, 3), Moment(1_330_000));
        assert_eq!(learned.connections(), Some(2), "what held comes back");
        assert_eq!(learned.delivered(None, 3, Moment(2_000_000)), None, "and is kept for longer");
        assert_eq!(learned.delivered(None, 3, Moment(2_600_000)).as_deref(), Some("3 connections"));
        assert_eq!(learned.delivered(None, 3, Moment(3_200_000)).as_deref(), Some("as configured"));
    }
}
