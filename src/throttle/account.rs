//! The counters and limits of one account.

use std::time::Duration;

use super::LimitLine;
use super::slots::Slots;
use crate::config::{Limits, Pace, Window};
use crate::store::UsageRow;
use crate::time::Moment;

/// What may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So much; both at least 1.
    Open {
        /// Transactions.
        messages: u32,
        /// Recipients of them together.
        recipients: u32,
    },
    /// Nothing.
    Wait(Wait),
}

/// Why nothing may go, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The window that is full; `None` when it is the even pace.
    pub window: Option<Window>,
    /// When there is room; `None` when a transaction that is under way must end first.
    pub until: Option<Moment>,
}

#[derive(Debug)]
pub(super) struct Account {
    /// Whether the configuration has it.
    known: bool,
    limits: Limits,
    windows: [Slots; 4],
    /// Messages and recipients of transactions that are under way.
    under_way: (u64, u64),
    /// With an even pace: when the next transaction may start.
    even_from: Moment,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            known: false,
            limits: Limits::default(),
            windows: Window::ALL.map(Slots::new),
            under_way: (0, 0),
            even_from: Moment(i64::MIN),
        }
    }
}

impl Account {
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    pub(super) fn forget_limits(&mut self) {
        self.known = false;
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.known = true;
        self.limits = limits;
        self.even_from = Moment(i64::MIN);
    }

    pub(super) fn restore(&mut self, row: &UsageRow) {
        self.windows[row.window as usize].add(row.slot, row.messages, row.recipients);
    }

    /// What may go now, if the next message has this many recipients.
    pub(super) fn budget(&mut self, needed: u32, now: Moment) -> Budget {
        let needed = needed.max(1);
        let mut messages = u32::MAX;
        let mut recipients = u32::MAX;
        let mut wait: Option<Wait> = None;
        for (window, slots) in Window::ALL.into_iter().zip(&mut self.windows) {
            slots.expire(now);
            let quota = self.limits.quota(window);
            let left = |limit: Option<u32>, used: u64| {
                limit.map_or(u32::MAX, |limit| u64::from(limit).saturating_sub(used) as u32)
            };
            let m = left(quota.messages, slots.messages() + self.under_way.0);
            let r = left(quota.recipients, slots.recipients() + self.under_way.1);
            messages = messages.min(m);
            recipients = recipients.min(r);
            if m == 0 || r < needed {
                let room = |limit: Option<u32>, under_way: u64, need: u64| {
                    limit.map(|limit| u64::from(limit).checked_sub(under_way + need))
                };
                let m_room = room(quota.messages, self.under_way.0, 1);
                let r_room = room(quota.recipients, self.under_way.1, u64::from(needed));
                let until = match (m_room, r_room) {
                    (Some(None), _) | (_, Some(None)) => None,
                    (m, r) => slots.down_to(m.flatten(), r.flatten()),
                };
                wait = Some(later(wait, Wait { window: Some(window), until }));
            }
        }
        if let Some(wait) = wait {
            return Budget::Wait(wait);
        }
        if self.paces_evenly() {
            if now < self.even_from {
                return Budget::Wait(Wait { window: None, until: Some(self.even_from) });
            }
            messages = 1;
        }
        Budget::Open { messages, recipients }
    }

    pub(super) fn begin(&mut self, recipients: u32, now: Moment) {
        self.under_way.0 += 1;
        self.under_way.1 += u64::from(recipients);
        if self.paces_evenly() {
            self.even_from = now.after(self.even_distance(recipients));
        }
    }

    pub(super) fn end(&mut self, taken: u32, counted: Option<(u32, u32, Moment)>) {
        self.under_way.0 = self.under_way.0.saturating_sub(1);
        self.under_way.1 = self.under_way.1.saturating_sub(u64::from(taken));
        if let Some((messages, recipients, ended)) = counted {
            for (window, slots) in Window::ALL.into_iter().zip(&mut self.windows) {
                slots.add(window.slot(ended), messages, recipients);
            }
        }
    }

    pub(super) fn reset(&mut self, windows: &[Window]) {
        for &window in windows {
            self.windows[window as usize].clear();
        }
        self.even_from = Moment(i64::MIN);
    }

    pub(super) fn line(
        &mut self,
        upstream: String,
        account: String,
        window: Window,
        now: Moment,
    ) -> LimitLine {
        let quota = self.limits.quota(window);
        let slots = &mut self.windows[window as usize];
        slots.expire(now);
        let messages_used = slots.messages() + self.under_way.0;
        let recipients_used = slots.recipients() + self.under_way.1;
        let full = |limit: Option<u32>, used: u64| limit.is_some_and(|limit| used >= u64::from(limit));
        let is_full = full(quota.messages, messages_used) || full(quota.recipients, recipients_used);
        let below = |limit: Option<u32>| limit.map(|limit| u64::from(limit).saturating_sub(1));
        let next_free =
            is_full.then(|| slots.down_to(below(quota.messages), below(quota.recipients))).flatten();
        LimitLine {
            upstream,
            account,
            window,
            messages_used,
            messages_limit: quota.messages,
            recipients_used,
            recipients_limit: quota.recipients,
            next_free,
        }
    }

    fn paces_evenly(&self) -> bool {
        self.limits.pace == Pace::Even
            && self.limits.quotas.iter().any(|q| q.messages.is_some() || q.recipients.is_some())
    }

    /// How long after a transaction with this many recipients the next may start, so that none of the quotas is used
    /// up before its window ends.
    fn even_distance(&self, recipients: u32) -> Duration {
        let share = |length: Duration, limit: Option<u32>, count: u32| {
            limit.map_or(Duration::ZERO, |limit| length.mul_f64(f64::from(count) / f64::from(limit)))
        };
        let distance = |window: Window| {
            let quota = self.limits.quota(window);
            share(window.length(), quota.messages, 1).max(share(
                window.length(),
                quota.recipients,
                recipients,
            ))
        };
        Window::ALL.into_iter().map(distance).max().unwrap_or_default()
    }
}

/// The one of two waits that lasts longer; one whose end is not known lasts longest.
fn later(a: Option<Wait>, b: Wait) -> Wait {
    match a {
        Some(a) if a.until.is_none() || b.until.is_some_and(|b| a.until >= Some(b)) => a,
        _ => b,
    }
}
