//! One rolling window, counted in slots.

use std::collections::VecDeque;

use crate::config::Window;
use crate::time::Moment;

/// What was counted in a window: a queue of slots that are not empty, the oldest first, and their sums.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    window: Window,
    counted: VecDeque<Slot>,
    messages: u64,
    recipients: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: i64,
    messages: u32,
    recipients: u32,
}

impl Slots {
    pub(super) fn new(window: Window) -> Self {
        Self { window, counted: VecDeque::new(), messages: 0, recipients: 0 }
    }

    /// Counts into a slot. A moment that is older than the newest slot is counted in that one: late, never early.
    pub(super) fn add(&mut self, number: i64, messages: u32, recipients: u32) {
        self.messages += u64::from(messages);
        self.recipients += u64::from(recipients);
        match self.counted.back_mut() {
            Some(last) if last.number >= number => {
                last.messages = last.messages.saturating_add(messages);
                last.recipients = last.recipients.saturating_add(recipients);
            }
            _ => self.counted.push_back(Slot { number, messages, recipients }),
        }
    }

    /// Forgets what has left the window.
    pub(super) fn expire(&mut self, now: Moment) {
        while let Some(first) = self.counted.front().copied()
            && self.window.leaves(first.number) <= now
        {
            self.messages = self.messages.saturating_sub(u64::from(first.messages));
            self.recipients = self.recipients.saturating_sub(u64::from(first.recipients));
            self.counted.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.window);
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn recipients(&self) -> u64 {
        self.recipients
    }

    /// When so much will have left that at most this remains. `None` when it is never going to.
    pub(super) fn down_to(&self, messages: Option<u64>, recipients: Option<u64>) -> Option<Moment> {
        let (mut m, mut r) = (self.messages, self.recipients);
        self.counted.iter().find_map(|slot| {
            m = m.saturating_sub(u64::from(slot.messages));
            r = r.saturating_sub(u64::from(slot.recipients));
            let fits = messages.is_none_or(|want| m <= want) && recipients.is_none_or(|want| r <= want);
            fits.then(|| self.window.leaves(slot.number))
        })
    }
}
