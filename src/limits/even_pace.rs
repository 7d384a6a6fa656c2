//! When the transactions of a scope began, for the even pace: the next one comes a distance after the last.
//!
//! One that the provider has not counted was none: the distance to it does not hold. Which of several it was is not known
//! where they are of the same size; then the one that began first is forgotten, so that nothing goes too early.

use super::amount::Amount;
use super::ceilings::Ceilings;
use crate::time::Moment;

/// A transaction that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    at: Moment,
    amount: Amount,
}

/// When the transactions of a scope began.
#[derive(Debug, Clone, Default)]
pub(super) struct EvenPace {
    /// Those that are under way, in the order in which they began.
    under_way: Vec<Begun>,
    /// The last of those that have ended and were counted.
    last: Option<Begun>,
}

impl EvenPace {
    /// A transaction begins.
    pub(super) fn begin(&mut self, amount: &Amount, at: Moment) {
        self.under_way.push(Begun { at, amount: *amount });
    }

    /// A transaction that is under way gets so much more, and has so much in all then. It has begun when it did.
    pub(super) fn join(&mut self, more: &Amount, all: &Amount) {
        let before = |amount: &Amount| {
            all.recipients.checked_sub(more.recipients) == Some(amount.recipients)
                && all.messages.checked_sub(more.messages) == Some(amount.messages)
        };
        if let Some(begun) = self.under_way.iter_mut().find(|begun| before(&begun.amount)) {
            begun.amount = *all;
        } else if let Some(last) = &mut self.last {
            last.amount = last.amount.max(*all);
        }
    }

    /// A transaction that was begun as `taken` ends. Whether the provider has counted it.
    pub(super) fn end(&mut self, taken: &Amount, is_counted: bool) {
        let Some(index) = self.under_way.iter().position(|begun| begun.amount == *taken) else { return };
        let ended = self.under_way.remove(index);
        if is_counted {
            self.note_last(ended);
        }
    }

    /// What is under way is not known by its beginning any more: all of it counts as it stood.
    pub(super) fn forget_under_way(&mut self) {
        for begun in std::mem::take(&mut self.under_way) {
            self.note_last(begun);
        }
    }

    /// When the next one may begin; `None` when nothing has begun.
    pub(super) fn next(&self, ceilings: &Ceilings) -> Option<Moment> {
        let all = self.under_way.iter().chain(&self.last);
        all.map(|begun| begun.at.after(ceilings.even_distance(&begun.amount))).max()
    }

    fn note_last(&mut self, begun: Begun) {
        if self.last.is_none_or(|last| last.at <= begun.at) {
            self.last = Some(begun);
        }
    }
}
