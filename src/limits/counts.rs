//! What a scope has sent, what is under way, and where its pace stands.

use super::amount::{Amount, AmountSum};
use super::calendar::Period;
use super::ceilings::{Ceilings, Periods};
use super::even_pace::EvenPace;
use super::slots::Slots;
use super::wait::{Cause, Wait};
use crate::config::Window;
use crate::time::Moment;

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
    /// What has ended; of each window the oldest slot first.
    pub rows: Vec<UsageRow>,
    /// What is under way: each permit.
    pub under_way: Vec<Amount>,
}

/// What a scope has sent in each window, what is under way, and where its pace stands.
#[derive(Debug, Clone)]
pub struct Counts {
    windows: [Slots; 4],
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

impl Default for Counts {
    fn default() -> Self {
        Self {
            windows: Window::ALL.map(Slots::new),
            under_way: AmountSum::default(),
            even_pace: EvenPace::default(),
            batch: BatchProgress::default(),
        }
    }
}

impl Counts {
    /// Takes counts from where they were written down, in place of what was known. The pace goes on; where nothing was
    /// known of it the first may go at once.
    pub fn read(&mut self, usage: &ScopeUsage) {
        self.windows = Window::ALL.map(Slots::new);
        self.under_way = AmountSum::default();
        self.even_pace.forget_under_way();
        for row in &usage.rows {
            self.windows[row.window as usize].add(row.slot, &row.amount);
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
        for (window, slots) in Window::ALL.into_iter().zip(&mut self.windows) {
            slots.add(window.slot(at), counted);
        }
    }

    /// Forgets what was counted in these windows, and the pace. What is under way still counts when it ends.
    pub fn reset(&mut self, windows: &[Window]) {
        for &window in windows {
            self.windows[window as usize].clear();
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
        self.windows[window as usize].departures().map(|(at, _)| at).find(|at| *at > now)
    }

    /// What may go now, if the next transaction needs so much.
    pub(super) fn room(
        &mut self,
        ceilings: &Ceilings,
        needed: &Amount,
        now: Moment,
        periods: Periods,
    ) -> Result<Amount, Wait> {
        let mut room = Amount::UNLIMITED;
        let mut wait: Option<Wait> = None;
        for window in Window::ALL {
            match self.room_in(window, ceilings, needed, (now, period(periods, window))) {
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
        periods: Periods,
    ) -> Result<(), Wait> {
        let messages = self.under_way.messages;
        self.under_way.messages = messages.saturating_sub(1);
        let more = Amount { messages: 1, ..*more };
        let rooms =
            Window::ALL.map(|window| self.room_in(window, ceilings, &more, (now, period(periods, window))));
        self.under_way.messages = messages;
        let waits = rooms.into_iter().filter_map(Result::err);
        waits.fold(None, |wait, other| Some(Wait::later(wait, other))).map_or(Ok(()), Err)
    }

    fn room_in(
        &mut self,
        window: Window,
        ceilings: &Ceilings,
        needed: &Amount,
        (now, period): (Moment, Option<Period>),
    ) -> Result<Amount, Wait> {
        let (quota, is_learned) = ceilings.quota(window);
        let slots = &mut self.windows[window as usize];
        slots.expire(now, period);
        let used = slots.sum().plus(self.under_way);
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
        let (under_way, needed) = (self.under_way, AmountSum::from(needed));
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
    pub(super) fn used(&mut self, window: Window, now: Moment, periods: Periods) -> AmountSum {
        let slots = &mut self.windows[window as usize];
        slots.expire(now, period(periods, window));
        slots.sum().plus(self.under_way)
    }

    pub(super) fn under_way(&self) -> AmountSum {
        self.under_way
    }

    pub(super) fn slots(&self, window: Window) -> &Slots {
        &self.windows[window as usize]
    }

    /// Octets on the heap.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.windows.iter().map(Slots::heap).sum()
    }
}

pub(super) fn period(periods: Periods, window: Window) -> Option<Period> {
    periods.map(|periods| periods[window as usize])
}
