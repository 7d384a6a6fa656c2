//! What a scope has sent, what is under way, and where its pace stands.

use super::amount::{Amount, AmountSum};
use super::calendar::Period;
use super::ceilings::{Ceilings, WindowCeiling};
use super::even_pace::EvenPace;
use super::slots::Slots;
use super::wait::{Cause, Wait};
use crate::config::Window;
use crate::time::{Moment, Timeline};

/// What was counted in one slot of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageRow {
    /// The window.
    pub window: Window,
    /// The slot's number; see [`Window::slot`].
    pub slot: i64,
    /// What was counted.
    pub amount: Amount,
}

/// All that is known of a scope where its counts were written down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeUsage {
    /// The windows beside the [named ones](Window::NAMED) in which all of it was counted.
    pub windows: Vec<Window>,
    /// What has ended; of each window the oldest slot first.
    pub rows: Vec<UsageRow>,
    /// What is under way: each permit.
    pub under_way: Vec<Amount>,
}

/// What a scope has sent in each window, what is under way, and where its pace stands.
///
/// A window that nobody has asked about begins with what is known from the next longer one with a name, as if each slot of that had been
/// sent at its end: so it leaves late, never early.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// The shortest first. Empty while nothing has ended; else with all that have names.
    windows: Vec<Slots>,
    under_way: AmountSum,
    even_pace: EvenPace,
    batch: BatchProgress,
}

#[derive(Debug, Clone, Default)]
struct BatchProgress {
    /// Transactions of the batch that have begun.
    begun: u32,
    /// When the last transaction ended.
    last: Option<Moment>,
}

impl Counts {
    /// Takes counts from where they were written down, in place of what was known. The pace goes on; where nothing was
    /// known of it the first may go at once.
    pub fn read(&mut self, usage: &ScopeUsage) {
        self.windows = Window::NAMED.iter().chain(&usage.windows).copied().map(Slots::new).collect();
        self.windows.sort_by_key(Slots::window);
        self.under_way = AmountSum::default();
        self.even_pace.forget_under_way();
        for row in &usage.rows {
            if let Ok(index) = self.place_of(row.window) {
                self.windows[index].add(row.slot, &row.amount);
            }
        }
        for amount in &usage.under_way {
            self.under_way.add(amount.into());
        }
    }

    /// A transaction begins.
    pub fn begin(&mut self, amount: &Amount, now: Moment) {
        self.under_way.add(amount.into());
        self.batch.begun = self.batch.begun.saturating_add(amount.messages);
        self.even_pace.begin(amount, now);
    }

    /// A transaction that is under way gets so much more, and has so much in all then. For the even pace it has begun when it
    /// did.
    pub fn join(&mut self, more: &Amount, all: &Amount) {
        self.under_way.add(more.into());
        self.even_pace.join(more, all);
    }

    /// A transaction that was begun as `taken` ends; the provider has counted so much of it, or nothing.
    pub fn end(&mut self, taken: &Amount, counted: Option<&Amount>, at: Moment) {
        self.under_way.subtract(taken.into());
        self.even_pace.end(taken, counted.is_some());
        let Some(counted) = counted else {
            self.batch.begun = self.batch.begun.saturating_sub(taken.messages);
            return;
        };
        self.batch.last = self.batch.last.max(Some(at));
        self.begin_windows();
        for slots in &mut self.windows {
            slots.add(slots.window().slot(at), counted);
        }
    }

    /// Forgets what was counted in these windows, or in all when there are none, and the pace. What is under way still counts
    /// when it ends.
    pub fn reset(&mut self, windows: &[Window]) {
        if windows.is_empty() {
            self.windows.clear();
        }
        self.begin_windows();
        for &window in windows {
            match self.place_of(window) {
                Ok(index) => self.windows[index].clear(),
                Err(index) => self.windows.insert(index, Slots::new(window)),
            }
        }
        self.even_pace = EvenPace::default();
        self.batch = BatchProgress::default();
    }

    /// Whether nothing is left that could matter: neither under way, nor in any window, whether it rolls or follows the
    /// calendar, whose days may have 25 hours.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        self.under_way == AmountSum::default() && self.windows.iter().all(|slots| slots.is_over(now))
    }

    /// When the first of what was counted leaves a window; `None` when nothing was.
    #[must_use]
    pub fn first_departure(&self, window: Window, now: Moment) -> Option<Moment> {
        let slots = self.place_of(window).ok().map(|index| &self.windows[index])?;
        slots.departures().map(|(at, _)| at).find(|at| *at > now)
    }

    /// What may go now, if the next transaction needs so much.
    pub(super) fn room(
        &mut self,
        ceilings: &Ceilings,
        needed: &Amount,
        now: Moment,
        timeline: &Timeline,
    ) -> Result<Amount, Wait> {
        let mut room = Amount::UNLIMITED;
        let mut wait: Option<Wait> = None;
        for ceiling in ceilings.in_force() {
            let period = ceilings.period(ceiling.window, now, timeline);
            match self.room_in(ceiling, needed, now, period) {
                Ok(here) => room = room.min(here),
                Err(here) => wait = Some(Wait::later(wait, here)),
            }
        }
        match self.batch_left(ceilings, now) {
            Ok(left) => room.messages = room.messages.min(left),
            Err(here) => wait = Some(Wait::later(wait, here)),
        }
        if ceilings.paces_evenly() {
            room.messages = room.messages.min(1);
            if let Some(next) = self.even_pace.next(ceilings).filter(|next| now < *next) {
                wait = Some(Wait::later(wait, Wait { cause: Cause::Even, until: Some(next) }));
            }
        }
        wait.map_or(Ok(room), Err)
    }

    /// Whether a transaction that is under way may have so much more. That it is one message is counted already: a window
    /// that its messages fill is not in the way.
    pub(super) fn room_for_more(
        &mut self,
        ceilings: &Ceilings,
        more: &Amount,
        now: Moment,
        timeline: &Timeline,
    ) -> Result<(), Wait> {
        let messages = self.under_way.messages;
        self.under_way.messages = messages.saturating_sub(1);
        let more = Amount { messages: 1, ..*more };
        let mut wait: Option<Wait> = None;
        for ceiling in ceilings.in_force() {
            let period = ceilings.period(ceiling.window, now, timeline);
            if let Err(here) = self.room_in(ceiling, &more, now, period) {
                wait = Some(Wait::later(wait, here));
            }
        }
        self.under_way.messages = messages;
        wait.map_or(Ok(()), Err)
    }

    fn room_in(
        &mut self,
        ceiling: WindowCeiling,
        needed: &Amount,
        now: Moment,
        period: Option<Period>,
    ) -> Result<Amount, Wait> {
        let WindowCeiling { window, quota, is_learned } = ceiling;
        let under_way = self.under_way;
        let slots = self.slots_at(window, now, period);
        let used = slots.sum().plus(under_way);
        let left = |limit: Option<u32>, used: u64| {
            let left = limit.map(|limit| u64::from(limit).saturating_sub(used));
            left.map_or(u32::MAX, |left| u32::try_from(left).unwrap_or(u32::MAX))
        };
        let room = Amount {
            messages: left(quota.messages, used.messages),
            recipients: left(quota.recipients, used.recipients),
            octets: quota.octets.map_or(u64::MAX, |limit| limit.saturating_sub(used.octets)),
        };
        let fits = room.messages >= needed.messages
            && room.recipients >= needed.recipients
            && room.octets >= needed.octets;
        if fits {
            return Ok(room);
        }
        // What the slots must come down to, if that helps at all.
        let needed = AmountSum::from(needed);
        let goal = |limit: Option<u64>, under_way: u64, need: u64| match limit {
            Some(limit) => limit.checked_sub(under_way + need).ok_or(()),
            None => Ok(u64::MAX),
        };
        let messages = goal(quota.messages.map(u64::from), under_way.messages, needed.messages);
        let recipients = goal(quota.recipients.map(u64::from), under_way.recipients, needed.recipients);
        let octets = goal(quota.octets, under_way.octets, needed.octets);
        let until = match (messages, recipients, octets) {
            (Ok(messages), Ok(recipients), Ok(octets)) => {
                slots.down_to(AmountSum { messages, recipients, octets }, period)
            }
            _ => None,
        };
        let cause = if is_learned && room.messages < 1 { Cause::Slowed } else { Cause::Window(window) };
        Err(Wait { cause, until })
    }

    /// Transactions that the batch still takes.
    fn batch_left(&mut self, ceilings: &Ceilings, now: Moment) -> Result<u32, Wait> {
        let Some(batch) = ceilings.batch else {
            return Ok(u32::MAX);
        };
        let resume = self.batch.last.map(|last| last.after(batch.pause));
        let idle = self.under_way.messages == 0;
        if idle && resume.is_none_or(|resume| resume <= now) {
            self.batch = BatchProgress::default();
        }
        match batch.messages.saturating_sub(self.batch.begun) {
            0 => Err(Wait { cause: Cause::Batch, until: resume.filter(|_| idle) }),
            left => Ok(left),
        }
    }

    /// What counts in a window now: what has ended and what is under way.
    pub(super) fn used(&mut self, window: Window, now: Moment, period: Option<Period>) -> AmountSum {
        self.slots_at(window, now, period).sum().plus(self.under_way)
    }

    pub(super) fn under_way(&self) -> AmountSum {
        self.under_way
    }

    /// What has ended and counts in a window now; `period` is that of the calendar, where the window follows it.
    pub(super) fn slots_at(&mut self, window: Window, now: Moment, period: Option<Period>) -> &mut Slots {
        self.begin_windows();
        let index = self.place_of(window).unwrap_or_else(|index| {
            // One without a name may itself have begun so. Of the time before the longest nothing is known.
            let mut longer = self.windows[index..].iter();
            let named = longer.find(|slots| slots.window().name().is_some());
            let known = named.or(self.windows.get(index)).or(self.windows.last());
            let new = known.map(|known| Slots::known_from(window, known, now));
            self.windows.insert(index, new.unwrap_or_else(|| Slots::new(window)));
            index
        });
        let slots = &mut self.windows[index];
        slots.expire(now, period);
        slots
    }

    /// Counts in all windows that have names, if it does not yet.
    fn begin_windows(&mut self) {
        if self.windows.is_empty() {
            self.windows.extend(Window::NAMED.map(Slots::new));
        }
    }

    /// Where a window is, or would be.
    fn place_of(&self, window: Window) -> Result<usize, usize> {
        self.windows.binary_search_by_key(&window, Slots::window)
    }

    /// Octets on the heap.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.windows.capacity() * size_of::<Slots>() + self.windows.iter().map(Slots::heap).sum::<usize>()
    }
}
