//! One window, counted in slots.

use std::collections::VecDeque;

use super::amount::{Amount, AmountSum};
use super::calendar::Period;
use crate::config::Window;
use crate::time::Moment;

/// What was counted in a window: the slots that are not empty, the oldest first, and their sums.
///
/// Only the newest slot is kept as numbers; of those before it each takes a few octets, so that the counts of a thousand
/// accounts fit into a few MiB. For that the octets of content in them are rounded up to whole units of 64.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    window: Window,
    /// All but the newest: for each the distance to the one before it, its messages, its recipients, its octets in units,
    /// as varints.
    packed: VecDeque<u8>,
    /// The number that the distance of the first packed slot counts from.
    base: i64,
    /// The number of the last packed slot.
    packed_to: i64,
    newest: Option<Slot>,
    sum: AmountSum,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: i64,
    counted: AmountSum,
}

/// Octets are packed in units of so many: a window with a quota of 10 MB counts 0.4 % too much at most.
const UNIT: u64 = 64;

impl Slots {
    /// Nothing was counted.
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            packed: VecDeque::new(),
            base: 0,
            packed_to: 0,
            newest: None,
            sum: AmountSum::default(),
        }
    }

    /// What another window has counted is what this one knows of the time before it was there.
    pub(super) fn known_from(window: Window, other: &Self, now: Moment) -> Self {
        let mut slots = Self::new(window);
        for slot in other.iter() {
            slots.add_sum(window.slot_of(other.window, slot.number, now), slot.counted);
        }
        slots.expire(now, None);
        slots
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// Counts into a slot. A moment that is older than the newest slot is counted in that one: late, never early.
    pub(super) fn add(&mut self, number: i64, amount: &Amount) {
        self.add_sum(number, amount.into());
    }

    fn add_sum(&mut self, number: i64, amount: AmountSum) {
        self.sum.add(amount);
        match &mut self.newest {
            Some(newest) if newest.number >= number => newest.counted.add(amount),
            _ => {
                if let Some(full) = self.newest.replace(Slot { number, counted: amount }) {
                    self.pack(full);
                }
                // Where nothing is limited nobody asks what has left.
                let at = Moment(number * self.window.slot_width());
                self.drop_before(self.window.first_kept(at));
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
        self.drop_before(first);
    }

    fn drop_before(&mut self, first: i64) {
        while let Some((slot, octets)) = self.packed_at(0, self.base).filter(|(slot, _)| slot.number < first)
        {
            self.packed.drain(..octets);
            self.base = slot.number;
            self.sum.subtract(slot.counted);
        }
        if let Some(slot) = self.newest.take_if(|newest| newest.number < first) {
            self.sum.subtract(slot.counted);
        }
    }

    /// Whether everything has left the window, and a tenth of its length has passed since.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        let over = |slot: Slot| self.window.leaves(slot.number).after(self.window.length() / 10) <= now;
        self.newest.is_none_or(over)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.window);
    }

    pub(super) fn sum(&self) -> AmountSum {
        self.sum
    }

    /// When so much will have left that at most this remains. `None` when it is never going to.
    pub(super) fn down_to(&self, goal: AmountSum, period: Option<Period>) -> Option<Moment> {
        if let Some(period) = period {
            return Some(period.next);
        }
        let mut left = self.sum;
        self.iter().find_map(|slot| {
            left.subtract(slot.counted);
            let fits = left.messages <= goal.messages
                && left.recipients <= goal.recipients
                && left.octets <= goal.octets;
            fits.then(|| self.window.leaves(slot.number))
        })
    }

    /// What leaves when.
    pub(super) fn departures(&self) -> impl Iterator<Item = (Moment, AmountSum)> + '_ {
        self.iter().map(|slot| (self.window.leaves(slot.number), slot.counted))
    }

    /// Octets on the heap.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.packed.capacity()
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

    fn pack(&mut self, slot: Slot) {
        if self.packed.is_empty() {
            self.base = slot.number;
            self.packed_to = slot.number;
        }
        let distance = slot.number.abs_diff(self.packed_to);
        self.packed_to = slot.number;
        let units = slot.counted.octets.div_ceil(UNIT);
        self.sum.octets += units * UNIT - slot.counted.octets;
        for mut number in [distance, slot.counted.messages, slot.counted.recipients, units] {
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
        let distance = number()?;
        let counted = AmountSum { messages: number()?, recipients: number()?, octets: number()? * UNIT };
        Some((Slot { number: base.saturating_add_unsigned(distance), counted }, at - start))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Packed or not, the same slots with the same counts; octets are never less, and at most a unit more.
        #[test]
        fn packing_changes_nothing(
            adds in prop::collection::vec((0_i64..2_000, 0_u32..3_000, 0_u32..3_000_000, 0_u64..1 << 40), 0..80),
            pause in 0_i64..900_000_000,
        ) {
            let mut slots = Slots::new(Window::DAY);
            let mut plain: Vec<(i64, AmountSum)> = Vec::new();
            let mut number = 11_000_000;
            for (distance, messages, recipients, octets) in adds {
                number += distance;
                let amount = Amount { messages, recipients, octets };
                slots.add(number, &amount);
                match plain.last_mut() {
                    Some(last) if last.0 == number => last.1.add((&amount).into()),
                    _ => {
                        plain.push((number, (&amount).into()));
                        let kept = Window::DAY.first_kept(Moment(number * Window::DAY.slot_width()));
                        plain.retain(|&(number, ..)| number >= kept);
                    }
                }
            }
            let now = Moment(11_000_000 * Window::DAY.slot_width() + pause);
            slots.expire(now, None);
            plain.retain(|&(number, ..)| Window::DAY.leaves(number) > now);
            let got: Vec<_> = slots.iter().map(|slot| (slot.number, slot.counted)).collect();
            prop_assert_eq!(got.len(), plain.len());
            let mut sum = AmountSum::default();
            for (got, want) in got.iter().zip(&plain) {
                sum.add(got.1);
                let exact = AmountSum { octets: want.1.octets, ..got.1 };
                prop_assert_eq!((got.0, exact), *want);
                prop_assert!((want.1.octets..want.1.octets + UNIT).contains(&got.1.octets));
            }
            prop_assert_eq!(slots.sum(), sum);
        }
    }

    #[test]
    fn a_period_of_the_calendar_ends_all_at_once() {
        let mut slots = Slots::new(Window::HOUR);
        let width = Window::HOUR.slot_width();
        // The period begins in the middle of slot 10.
        let period = Period { start: Moment(10 * width + 1), next: Moment(700 * width) };
        for number in [8, 9, 10, 11] {
            slots.add(number, &Amount::of_message(1, 1));
        }
        slots.expire(Moment(12 * width), Some(period));
        assert_eq!(slots.sum().messages, 2, "slot 10 may hold what was sent after the period began");
        assert_eq!(slots.down_to(AmountSum::default(), Some(period)), Some(period.next));
    }
}
