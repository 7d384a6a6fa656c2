//! What is in force for a scope.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::amount::Amount;
use super::calendar::{self, Period};
use crate::config::{Batch, Limits, Pace, Quota, SharedLimits, Window};
use crate::time::{Moment, Timeline};

/// The periods of the calendar around the present, where the windows follow it; in the order of [`Window::ALL`].
pub(super) type Periods = Option<[Period; 4]>;

/// What a scope may send. The default is no limit at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ceilings {
    /// A quota per window, in the order of [`Window::ALL`].
    pub quotas: [Quota; 4],
    /// How permits are spread.
    pub pace: Pace,
    /// A rest after so many messages.
    pub batch: Option<Batch>,
    /// The zone whose calendar the windows follow; `None`: they roll.
    pub calendar: Option<TimeZone>,
    /// Messages in a minute, as the provider's answers have taught.
    pub learned_per_minute: Option<u32>,
}

impl Ceilings {
    /// Those of one account. `zone` is what the calendar is read in, if the account follows it.
    #[must_use]
    pub fn of_account(limits: &Limits, zone: &TimeZone) -> Self {
        Self {
            quotas: limits.quotas,
            pace: limits.pace,
            batch: limits.batch,
            calendar: limits.calendar.then(|| zone.clone()),
            learned_per_minute: None,
        }
    }

    /// Those of all accounts of an upstream together; `calendar` says whether they follow it.
    #[must_use]
    pub fn of_upstream(limits: &SharedLimits, calendar: bool, zone: &TimeZone) -> Self {
        let calendar = calendar.then(|| zone.clone());
        Self { quotas: limits.quotas, calendar, ..Self::default() }
    }

    /// Whether there is no limit: nothing need be counted for it.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        !self.has_quotas() && self.batch.is_none() && self.learned_per_minute.is_none()
    }

    /// Whether some window has a quota.
    #[must_use]
    pub fn has_quotas(&self) -> bool {
        self.quotas.iter().any(|quota| *quota != Quota::default())
    }

    /// The quota in force in a window, and whether its messages are what was learned.
    pub(super) fn quota(&self, window: Window) -> (Quota, bool) {
        let quota = self.quotas[window as usize];
        match self.learned_per_minute {
            Some(learned)
                if window == Window::Minute && quota.messages.is_none_or(|limit| learned < limit) =>
            {
                (Quota { messages: Some(learned), ..quota }, true)
            }
            _ => (quota, false),
        }
    }

    pub(super) fn periods(&self, now: Moment, timeline: &Timeline) -> Periods {
        let zone = self.calendar.as_ref()?;
        Some(Window::ALL.map(|window| calendar::period(window, now, timeline, zone)))
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
        let distance = |window: Window| {
            let (quota, length) = (self.quotas[window as usize], window.length());
            let messages = share(length, quota.messages.map(f64::from), 1.0);
            let recipients = share(length, quota.recipients.map(f64::from), f64::from(amount.recipients));
            let octets = share(length, quota.octets.map(|octets| octets as f64), amount.octets as f64);
            messages.max(recipients).max(octets)
        };
        Window::ALL.into_iter().map(distance).max().unwrap_or_default()
    }
}
