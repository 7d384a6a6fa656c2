//! One window, counted in slots.

use std::collections::VecDeque;

use super::calendar::Period;
use crate::config::Window;
use crate::time::Moment;

/// What was counted in a window: the slots that are not empty, the oldest first, and their sums.
///
/// Only the newest slot is kept as numbers; of those before it each takes a few octets, so that the counts of a thousand
/// accounts fit into a few MiB.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    window: Window,
    /// All but the newest: for each the distance to the one before it, its messages, its recipients, as varints.
    packed: VecDeque<u8>,
    /// The number that the distance of the first packed slot counts from.
    base: i64,
    /// The number of the last packed slot.
    packed_to: i64,
    newest: Option<Slot>,
    messages: u64,
    recipients: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: i64,
    messages: u64,
    recipients: u64,
}

impl Slots {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            packed: VecDeque::new(),
            base: 0,
            packed_to: 0,
            newest: None,
            messages: 0,
            recipients: 0,
        }
    }

    /// Counts into a slot. A moment that is older than the newest slot is counted in that one: late, never early.
    pub(super) fn add(&mut self, number: i64, messages: u32, recipients: u32) {
        let (messages, recipients) = (u64::from(messages), u64::from(recipients));
        self.messages += messages;
        self.recipients += recipients;
        match &mut self.newest {
            Some(newest) if newest.number >= number => {
                newest.messages += messages;
                newest.recipients += recipients;
            }
            _ => {
                if let Some(full) = self.newest.replace(Slot { number, messages, recipients }) {
                    self.pack(full);
                }
            }
        }
    }

    /// Forgets what has left the window: by its length, or with `period`, by the end of the calendar's period.
    pub(super) fn expire(&mut self, now: Moment, period: Option<Period>) {
        // Slots before this number have left. One in which a period begins counts for that period.
        let first = match period {
            Some(period) => period.start.0.div_euclid(self.window.slot_width()),
            None => (now.0 - self.window.length().as_millis() as i64).div_euclid(self.window.slot_width()),
        };
        while let Some((slot, octets)) = self.packed_at(0, self.base).filter(|(slot, _)| slot.number < first)
        {
            self.packed.drain(..octets);
            self.base = slot.number;
            self.subtract(slot);
        }
        if let Some(slot) = self.newest.take_if(|newest| newest.number < first) {
            self.subtract(slot);
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
    pub(super) fn down_to(
        &self,
        messages: Option<u64>,
        recipients: Option<u64>,
        period: Option<Period>,
    ) -> Option<Moment> {
        if let Some(period) = period {
            return Some(period.next);
        }
        let (mut m, mut r) = (self.messages, self.recipients);
        self.iter().find_map(|slot| {
            m = m.saturating_sub(slot.messages);
            r = r.saturating_sub(slot.recipients);
            let fits = messages.is_none_or(|want| m <= want) && recipients.is_none_or(|want| r <= want);
            fits.then(|| self.window.leaves(slot.number))
        })
    }

    /// What leaves when: the moment, messages, recipients.
    pub(super) fn departures(&self) -> impl Iterator<Item = (Moment, u64, u64)> + '_ {
        self.iter().map(|slot| (self.window.leaves(slot.number), slot.messages, slot.recipients))
    }

    fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        let (mut at, mut base) = (0, self.base);
        let packed = std::iter::from_fn(move || {
            let (slot, octets) = self.packed_at(at, base)?;
            at += octets;
            base = slot.number;
            Some(slot)
        });
        packed.chain(self.newest)
    }

    fn subtract(&mut self, slot: Slot) {
        self.messages = self.messages.saturating_sub(slot.messages);
        self.recipients = self.recipients.saturating_sub(slot.recipients);
    }

    fn pack(&mut self, slot: Slot) {
        if self.packed.is_empty() {
            self.base = slot.number;
            self.packed_to = slot.number;
        }
        let distance = slot.number.abs_diff(self.packed_to);
        self.packed_to = slot.number;
        for mut number in [distance, slot.messages, slot.recipients] {
            while number >= 0x80 {
                self.packed.push_back(number as u8 | 0x80);
                number >>= 7;
            }
            self.packed.push_back(number as u8);
        }
    }

    /// The packed slot that begins at an octet, and how many octets it has.
    fn packed_at(&self, start: usize, base: i64) -> Option<(Slot, usize)> {
        let mut at = start;
        let mut number = || {
            let mut number = 0_u64;
            for shift in (0..64).step_by(7) {
                let octet = *self.packed.get(at)?;
                at += 1;
                number |= u64::from(octet & 0x7f) << shift;
                if octet < 0x80 {
                    break;
                }
            }
            Some(number)
        };
        let (distance, messages, recipients) = (number()?, number()?, number()?);
        Some((Slot { number: base.saturating_add_unsigned(distance), messages, recipients }, at - start))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Packed or not, the same slots with the same counts.
        #[test]
        fn packing_changes_nothing(
            adds in prop::collection::vec((0_i64..2_000, 0_u32..3_000, 0_u32..3_000_000), 0..80),
            pause in 0_i64..900_000_000,
        ) {
            let mut slots = Slots::new(Window::Day);
            let mut plain: Vec<(i64, u64, u64)> = Vec::new();
            let mut number = 11_000_000;
            for (distance, messages, recipients) in adds {
                number += distance;
                slots.add(number, messages, recipients);
                let entry = (number, u64::from(messages), u64::from(recipients));
                match plain.last_mut() {
                    Some(last) if last.0 == number => { last.1 += entry.1; last.2 += entry.2; }
                    _ => plain.push(entry),
                }
            }
            let now = Moment(11_000_000 * Window::Day.slot_width() + pause);
            slots.expire(now, None);
            plain.retain(|&(number, ..)| Window::Day.leaves(number) > now);
            let got: Vec<_> = slots.iter().map(|slot| (slot.number, slot.messages, slot.recipients)).collect();
            prop_assert_eq!(got, plain.clone());
            prop_assert_eq!(slots.messages(), plain.iter().map(|slot| slot.1).sum::<u64>());
            prop_assert_eq!(slots.recipients(), plain.iter().map(|slot| slot.2).sum::<u64>());
        }
    }

    #[test]
    fn a_period_of_the_calendar_ends_all_at_once() {
        let mut slots = Slots::new(Window::Hour);
        let width = Window::Hour.slot_width();
        // The period begins in the middle of slot 10.
        let period = Period { start: Moment(10 * width + 1), next: Moment(700 * width) };
        for number in [8, 9, 10, 11] {
            slots.add(number, 1, 1);
        }
        slots.expire(Moment(12 * width), Some(period));
        assert_eq!(slots.messages(), 2, "slot 10 may hold what was sent after the period began");
        assert_eq!(slots.down_to(Some(0), None, Some(period)), Some(period.next));
    }
}
