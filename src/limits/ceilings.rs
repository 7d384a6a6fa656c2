//! What is in force for a scope.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::amount::Amount;
use super::calendar::{self, Period};
use crate::config::{Batch, Limits, Pace, Quota, Quotas, SharedLimits, Window};
use crate::time::{Moment, Timeline};

/// What a scope may send. The default is no limit at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ceilings {
    /// How much in each window.
    pub quotas: Quotas,
    /// How permits are spread.
    pub pace: Pace,
    /// A rest after so many messages.
    pub batch: Option<Batch>,
    /// The zone whose calendar the windows with names follow; `None`: they roll, as all others do.
    pub calendar: Option<TimeZone>,
    /// Messages in a minute, as the provider's answers have taught.
    pub learned_per_minute: Option<u32>,
}

/// What is in force in one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowCeiling {
    pub(super) window: Window,
    pub(super) quota: Quota,
    /// Whether its messages are what was learned.
    pub(super) is_learned: bool,
}

impl Ceilings {
    /// Those of one account. `zone` is what the calendar is read in, if the account follows it.
    #[must_use]
    pub fn of_account(limits: &Limits, zone: &TimeZone) -> Self {
        Self {
            quotas: limits.quotas.clone(),
            pace: limits.pace,
            batch: limits.batch,
            calendar: limits.calendar.then(|| zone.clone()),
            learned_per_minute: None,
        }
    }

    /// Those of several accounts together; `calendar` says whether they follow it.
    #[must_use]
    pub fn of_several(limits: &SharedLimits, calendar: bool, zone: &TimeZone) -> Self {
        let calendar = calendar.then(|| zone.clone());
        Self { quotas: limits.quotas.clone(), calendar, ..Self::default() }
    }

    /// Whether there is no limit: nothing need be counted for it.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        !self.has_quotas() && self.batch.is_none() && self.learned_per_minute.is_none()
    }

    /// Whether some window has a quota.
    #[must_use]
    pub fn has_quotas(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// What is in force in a window.
    pub(super) fn of(&self, window: Window) -> WindowCeiling {
        let quota = self.quotas.of(window);
        let learned = self.learned_per_minute.filter(|_| window == Window::MINUTE);
        match learned {
            Some(learned) if quota.messages.is_none_or(|limit| learned < limit) => {
                WindowCeiling { window, quota: Quota { messages: Some(learned), ..quota }, is_learned: true }
            }
            _ => WindowCeiling { window, quota, is_learned: false },
        }
    }

    /// What is in force in each window that limits something.
    pub(super) fn in_force(&self) -> impl Iterator<Item = WindowCeiling> + '_ {
        let is_only_learned = self.learned_per_minute.is_some() && self.quotas.of(Window::MINUTE).is_none();
        let learned = is_only_learned.then_some(Window::MINUTE);
        learned.into_iter().chain(self.quotas.iter().map(|(window, _)| window)).map(|window| self.of(window))
    }

    /// The period of a window that a moment lies in, where the window follows the calendar.
    pub(super) fn period(&self, window: Window, now: Moment, timeline: &Timeline) -> Option<Period> {
        calendar::period(window, now, timeline, self.calendar.as_ref()?)
    }

    pub(super) fn paces_evenly(&self) -> bool {
        self.pace == Pace::Even && self.has_quotas()
    }

    /// How long after a transaction of this amount the next may start, so that none of the quotas is used up before its
    /// window ends.
    pub(super) fn even_distance(&self, amount: &Amount) -> Duration {
        let share = |length: Duration, limit: Option<f64>, count: f64| {
            limit.map_or(Duration::ZERO, |limit| length.mul_f64(count / limit))
        };
        let distance = |(window, quota): (Window, Quota)| {
            let length = window.length();
            let messages = share(length, quota.messages.map(f64::from), 1.0);
            let recipients = share(length, quota.recipients.map(f64::from), f64::from(amount.recipients));
            let octets = share(length, quota.octets.map(|octets| octets as f64), amount.octets as f64);
            messages.max(recipients).max(octets)
        };
        self.quotas.iter().map(distance).max().unwrap_or_default()
    }
}
